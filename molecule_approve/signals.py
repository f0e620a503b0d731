"""Signals that wait, and threads that never take one."""

from __future__ import annotations

import contextlib
import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def held() -> Iterator[set[int]]:
    """Let this thread's signals wait until the block ends; gives the numbers of those that waited before.

    A thread that is started inside takes none in all its life (pthread_sigmask(3): it inherits the mask). Each thread of
    a program that has an approved command must be started so: a signal to the process goes to any thread that does not
    block it, and would end us there, with the command left alone.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        yield {int(number) for number in before}
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
