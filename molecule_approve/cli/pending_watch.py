"""``pending --watch``: a table that lives on the terminal. ``feed`` keeps it up to date; here it is laid out and drawn."""

from __future__ import annotations

import os
import signal
import sys
from datetime import datetime
from typing import TYPE_CHECKING, NoReturn

from molecule_approve.errors import UsageError
from molecule_approve.safe_text import visible
from molecule_approve.wire import LIST_LENGTH

from . import output
from .pending_feed import Feed, State
from .pending_list import PendingRequests, now_utc
from .request_table import request_table
from .stop import SignalStop
from .terminal import Size, cut, size_of, styled

if TYPE_CHECKING:
    from types import FrameType

    from molecule_approve.client.rest import RestPlatform
    from molecule_approve.settings.resolve import Settings

READY = 1.0
"""Seconds that the first picture waits for the first read."""

# ECMA-48, and xterm's second screen, on which we leave nothing behind: there and back, the cursor hidden and shown, rows
# that are too long cut and not broken (terminals differ over the width of a character), to the first place, and erase to
# the end of the line and of the screen.
_ENTER, _LEAVE = "\x1b[?1049h\x1b[?25l\x1b[?7l", "\x1b[?7h\x1b[?25h\x1b[?1049l"
_HOME, _ERASE_LINE, _ERASE_REST = "\x1b[H", "\x1b[K", "\x1b[J"


def must_draw() -> None:
    """Return if a live table can be drawn here.

    Raises:
        UsageError: stdout is no terminal, or one that cannot.

    """
    from molecule_approve.settings.resolve import in_ci  # noqa: PLC0415 - loaded only now

    able = os.environ.get("TERM", "dumb") not in {"dumb", "unknown"} and not in_ci(os.environ)
    if not (able and output.is_terminal(sys.stdout)):
        raise UsageError("there is no terminal to draw a live table on", hint="`pending` alone prints a list and ends")


def watch(settings: Settings, platform: RestPlatform, *, approver: bool) -> NoReturn:
    """Draw until a signal.

    Raises:
        Interrupted: it came.
        ApprovalError: the platform could never be read.

    """
    stop = SignalStop(None)
    stop.install()
    desk = PendingRequests(platform, settings.workspace_id.value, approver=approver)
    listen = settings.transport.value != "poll"
    feed = Feed(desk, platform, listen=listen, interval=settings.poll_interval.value)
    screen = Screen()
    try:
        with stop.open():
            feed.start()
            state = feed.wait(READY)
            while True:
                now = now_utc()
                screen.draw(picture(state, now, screen.size()))
                # The times turn with the clock's own seconds.
                state = feed.wait(1.0 - now.microsecond / 1e6)
    finally:
        screen.leave()
        feed.close()


class Screen:
    """The terminal while the table lives on it. A picture that has not changed is not drawn again."""

    def __init__(self) -> None:
        self._drawn: tuple[Size, list[str]] | None = None
        self._writing = self._suspended = False
        if signal.getsignal(signal.SIGTSTP) is not signal.SIG_IGN:
            signal.signal(signal.SIGTSTP, self._on_suspend)

    def size(self) -> Size:
        """The window just now."""
        return size_of(sys.stdout)

    def draw(self, lines: list[str]) -> None:
        """Show these lines, and nothing else."""
        picture = (self.size(), lines)
        if picture == self._drawn:
            return
        start = _ENTER if self._drawn is None else ""
        self._drawn = picture
        body = "\n".join(f"{line}{_ERASE_LINE}" for line in lines)
        self._write(f"{start}{_HOME}{body}{_ERASE_REST}")

    def leave(self) -> None:
        """Put the terminal back as it was."""
        if self._drawn is not None:
            self._drawn = None
            self._write(_LEAVE)

    def _on_suspend(self, signum: int, frame: FrameType | None) -> None:
        """Ctrl-Z, at any moment: what is being written is written first, for no stream may be written to from within."""
        del signum, frame
        if self._writing:
            self._suspended = True
        else:
            self._suspend()

    def _suspend(self) -> None:
        """The shell gets its own screen; the next picture takes it again."""
        self._suspended = False
        self.leave()
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTSTP)
        signal.signal(signal.SIGTSTP, self._on_suspend)

    def _write(self, text: str) -> None:
        self._writing = True
        try:
            output.raw_bytes(text.encode(sys.stdout.encoding, "backslashreplace"))
        finally:
            self._writing = False
        if self._suspended:
            self._suspend()


# --- the picture -------------------------------------------------------------------------------------------------------


def picture(state: State, now: datetime, size: Size) -> list[str]:
    """The lines of the window, each as wide as it at most."""
    queue = state.queue
    rows = () if queue is None else queue.rows
    total = 0 if queue is None else queue.total
    top = [styled(cut(_title(state, total), size.columns), "bold")]
    if state.trouble:
        top.append(styled(cut(f"not up to date: {visible(state.trouble)}", size.columns), "warning"))
    room = max(1, size.lines - len(top) - 4)
    shown = rows if len(rows) == total <= room else rows[: room - 1]
    body = request_table(shown, now, size.columns) if shown else []
    more = [f"… and {total - len(shown)} more"] if total > len(shown) else []
    foot = "molecule-approve review decides; Ctrl-C ends" if total else "Ctrl-C ends"
    below = [cut(line, size.columns) for line in (*more, "", foot)]
    return [*top, "", *body, *below[:-1], styled(below[-1], "dim")][: size.lines]


def _title(state: State, total: int) -> str:
    how = "live" if state.live else "polling"
    if state.queue is None:
        return "looking what waits for a decision"
    seen = f" among the platform's {LIST_LENGTH} newest requests" if state.queue.unseen else ""
    return f"{total or 'nothing'} {'waits' if total < 2 else 'wait'} for a decision{seen} ({how})"
