"""``pending --watch``: a table that lives on the terminal. ``feed`` keeps it up to date; here it is laid out and drawn."""

from __future__ import annotations

import os
import signal
import sys
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from molecule_approve.errors import UsageError
from molecule_approve.safe_text import visible
from molecule_approve.wire import LIST_LENGTH

from . import output
from .pending_feed import Feed, State
from .pending_list import PendingRequests, age, left, now_utc, seconds_left, who, workspace
from .stop import SignalStop
from .window import BOLD, DIM, YELLOW, Size, cells, cut, padded, size_of, styled

if TYPE_CHECKING:
    from types import FrameType

    from molecule_approve.client.inbox import Waiting
    from molecule_approve.client.rest import RestPlatform
    from molecule_approve.settings.resolve import Settings

READY = 1.0
"""Seconds that the first picture waits for the first read."""

SOON = 60.0
"""Seconds left from which a request stands out."""

WORTH = 20
"""Columns below which an action says too little: another column goes instead."""

WIDEST = 24
"""Columns that a name may take."""

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
    from molecule_approve.settings.resolve import in_ci

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


class _Column(NamedTuple):
    name: str
    texts: list[str]

    @property
    def width(self) -> int:
        # Five for the times, which would else push the table to and fro while they turn.
        return min(WIDEST, max(5, *(cells(text) for text in (self.name, *self.texts))))


def picture(state: State, now: datetime, size: Size) -> list[str]:
    """The lines of the window, each as wide as it at most."""
    queue = state.queue
    rows = () if queue is None else queue.rows
    total = 0 if queue is None else queue.total
    top = [styled(cut(_title(state, total), size.columns), BOLD)]
    if state.trouble:
        top.append(styled(cut(f"not up to date: {visible(state.trouble)}", size.columns), YELLOW))
    room = max(1, size.lines - len(top) - 4)
    shown = rows if len(rows) == total <= room else rows[: room - 1]
    body = _table(shown, now, size.columns) if shown else []
    more = [f"… and {total - len(shown)} more"] if total > len(shown) else []
    foot = "molecule-approve review decides; Ctrl-C ends" if total else "Ctrl-C ends"
    below = [cut(line, size.columns) for line in (*more, "", foot)]
    return [*top, "", *body, *below[:-1], styled(below[-1], DIM)][: size.lines]


def _title(state: State, total: int) -> str:
    how = "live" if state.live else "polling"
    if state.queue is None:
        return "looking what waits for a decision"
    seen = f" among the platform's {LIST_LENGTH} newest requests" if state.queue.unseen else ""
    return f"{total or 'nothing'} {'waits' if total < 2 else 'wait'} for a decision{seen} ({how})"


def _table(rows: tuple[Waiting, ...], now: datetime, width: int) -> list[str]:
    columns = [
        _Column("ID", [visible(one.approval.id)[:8] for one in rows]),
        _Column("AGE", [age(one.approval, now) for one in rows]),
        _Column("LEFT", [left(one.approval, now) for one in rows]),
        _Column("WORKSPACE", [workspace(one) for one in rows]),
        _Column("WHO", [who(one.approval) for one in rows]),
    ]
    # What says least goes first where the window is narrow; the id stays, for `approve` wants it.
    for name in ("WORKSPACE", "WHO", "AGE", "LEFT"):
        if _taken(columns) + WORTH > width:
            columns = [column for column in columns if column.name != name]
    room = max(1, width - _taken(columns))
    actions = [cut(visible(one.approval.action), room) for one in rows]
    head = [padded(column.name, column.width) for column in columns]
    lines = [styled("  ".join([*head, cut("ACTION", room)]), DIM)]
    for number, one in enumerate(rows):
        texts = [padded(column.texts[number], column.width) for column in columns]
        line = "  ".join([*texts, actions[number]])
        seconds = seconds_left(one.approval, now)
        lines.append(styled(line, YELLOW if seconds is not None and seconds < SOON else ""))
    return lines


def _taken(columns: list[_Column]) -> int:
    return sum(column.width + 2 for column in columns)
