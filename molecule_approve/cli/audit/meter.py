"""Progress of long work: one line at a terminal, which is erased when the work is done; nothing elsewhere."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from molecule_approve.cli import output
from molecule_approve.cli.terminal import ERASE

PATIENCE = 0.5
"""Seconds before the first picture."""

EVERY = 0.1
"""Seconds between two pictures."""


class Meter:
    """Draws how many bytes are done, and how fast; ``doing`` says what the work is."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, doing: str = "verifying") -> None:
        self._clock = clock
        self._doing = doing
        self._started = clock()
        self._next = self._started + PATIENCE
        self._drawn = False

    def tell(self, done: int, total: int) -> None:
        """So many bytes are done, of so many."""
        now = self._clock()
        if now < self._next or not total:
            return
        self._next = now + EVERY
        self._drawn = True
        speed = done / (now - self._started) / 1e6
        output.write_talk(f"{ERASE}{self._doing}: {100 * done // total} %, {speed:.0f} MB/s")

    def close(self) -> None:
        """The line goes."""
        if self._drawn:
            output.write_talk(ERASE)


@contextmanager
def meter(doing: str = "verifying") -> Iterator[Callable[[int, int], None]]:
    """The progress callback; it does nothing unless stderr is a terminal that can erase a line."""
    from molecule_approve.settings.resolve import in_ci

    dumb = os.environ.get("TERM", "") in {"", "dumb"}
    if dumb or in_ci(os.environ) or not output.is_terminal(sys.stderr):
        yield lambda _done, _total: None
        return
    drawing = Meter(doing=doing)
    try:
        with _raising_on_interrupt():
            yield drawing.tell
    finally:
        drawing.close()


@contextmanager
def _raising_on_interrupt() -> Iterator[None]:
    """Ctrl-C becomes an exception: the program would leave at once, and the line stay where the prompt comes."""
    before = signal.getsignal(signal.SIGINT)
    if before is signal.SIG_IGN:
        yield
        return
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
