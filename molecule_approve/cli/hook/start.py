"""Blocks the call where a hook does not even come to its command: an import that hangs would outlast the host's limit."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

LONGEST_START = 10.0
"""Seconds that it may take until the command has its own watchdog; less than half of the shortest limit that a host has."""


class StartWatch:
    """Waits for the command to begin."""

    def __init__(self) -> None:
        self._begun = threading.Event()

    def begin(
        self, block: Callable[[str], int], seconds: float = LONGEST_START, leave: Callable[[int], object] = os._exit
    ) -> None:
        """Watch from now on.

        Args:
            block: says no to the host, with the reason, and gives the exit code.
            seconds: how long the start may take.
            leave: ends the process.
        """

        def wait() -> None:
            if not self._begun.wait(seconds):
                leave(block("the hook did not start in time"))

        threading.Thread(target=wait, daemon=True).start()

    def end(self) -> None:
        """The command has begun."""
        self._begun.set()


WATCH = StartWatch()
"""That of this process."""
