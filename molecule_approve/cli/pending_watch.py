"""``pending --watch``: a live table. ``pending_feed`` keeps its content up to date; here it is laid out and drawn."""

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
"""Seconds that the first drawing waits for the first read."""

# ECMA-48, and xterm's alternate screen: enter and leave it, hide and show the cursor, cut rows that are too long instead of
# breaking them (terminals differ over the width of a character), go to the first place, erase the rest of a line and of the
# screen.
_ENTER, _LEAVE = "\x1b[?1049h\x1b[?25l\x1b[?7l", "\x1b[?7h\x1b[?25h\x1b[?1049l"
_HOME, _ERASE_LINE, _ERASE_REST = "\x1b[H", "\x1b[K", "\x1b[J"


def must_draw() -> None:
    """Check that a live table can be drawn here.

    Raises:
        UsageError: stdout is not a terminal, or one without control codes.
    """
    from molecule_approve.settings.resolve import in_ci

    able = os.environ.get("TERM", "dumb") not in {"dumb", "unknown"} and not in_ci(os.environ)
    if not (able and output.is_terminal(sys.stdout)):
        raise UsageError("--watch needs a terminal on stdout", hint="`molecule-approve pending` prints the list once")


def watch(settings: Settings, platform: RestPlatform, *, approver: bool) -> NoReturn:
    """Draw until a signal.

    Raises:
        Interrupted: the signal came.
        ApprovalError: the first read failed.
    """
    stop = SignalStop(None)
    stop.install()
    pending = PendingRequests(platform, settings.workspace_id.value, approver=approver)
    listen = settings.transport.value != "poll"
    feed = Feed(pending, platform, listen=listen, interval=settings.poll_interval.value)
    screen = Screen()
    try:
        with stop.open():
            feed.start()
            state = feed.wait(READY)
            while True:
                now = now_utc()
                screen.draw(picture(state, now, screen.size()))
                # Drawn again when the clock's second changes.
                state = feed.wait(1.0 - now.microsecond / 1e6)
    finally:
        screen.leave()
        feed.close()


class Screen:
    """The terminal's alternate screen. A picture that has not changed is not drawn again."""

    def __init__(self) -> None:
        self._drawn: tuple[Size, list[str]] | None = None
        self._writing = self._suspended = False
        if signal.getsignal(signal.SIGTSTP) is not signal.SIG_IGN:
            signal.signal(signal.SIGTSTP, self._on_suspend)

    def size(self) -> Size:
        """The window's size now."""
        return size_of(sys.stdout)

    def draw(self, lines: list[str]) -> None:
        """Show only these lines."""
        picture = (self.size(), lines)
        if picture == self._drawn:
            return
        start = _ENTER if self._drawn is None else ""
        self._drawn = picture
        body = "\n".join(f"{line}{_ERASE_LINE}" for line in lines)
        self._write(f"{start}{_HOME}{body}{_ERASE_REST}")

    def leave(self) -> None:
        """Restore the terminal."""
        if self._drawn is not None:
            self._drawn = None
            self._write(_LEAVE)

    def _on_suspend(self, signum: int, frame: FrameType | None) -> None:
        """Ctrl-Z: a write in progress is finished first, because a stream cannot be written to from within its own write."""
        del signum, frame
        if self._writing:
            self._suspended = True
        else:
            self._suspend()

    def _suspend(self) -> None:
        """Give the screen back to the shell until the process continues."""
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
    """The lines of the window, none wider than it."""
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
    foot = "Decide: molecule-approve review   Quit: Ctrl-C" if total else "Quit: Ctrl-C"
    below = [cut(line, size.columns) for line in (*more, "", foot)]
    return [*top, "", *body, *below[:-1], styled(below[-1], "dim")][: size.lines]


def _title(state: State, total: int) -> str:
    how = "live" if state.live else "polling"
    if state.queue is None:
        return "reading the pending requests"
    seen = f" among the platform's {LIST_LENGTH} newest requests" if state.queue.unseen else ""
    return f"{total or 'nothing'} {'waits' if total < 2 else 'wait'} for a decision{seen} ({how})"
