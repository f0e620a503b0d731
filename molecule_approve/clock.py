"""The clocks, and chance: what a pure module takes as an argument.

Durations use a clock that never jumps; the wall clock is for records and people, and decides nothing.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import NamedTuple

Clock = Callable[[], float]
"""Seconds since some fixed moment; only differences are meaningful."""

# CLOCK_BOOTTIME goes on while the machine sleeps (clock_gettime(2)); elsewhere the monotonic clock is the nearest.
_BOOTTIME = getattr(time, "CLOCK_BOOTTIME", None)


def boottime() -> float:
    """Seconds on a clock that never jumps and goes on while the machine sleeps."""
    return time.monotonic() if _BOOTTIME is None else time.clock_gettime(_BOOTTIME)


def fraction() -> float:
    """A number in [0, 1), for jitter; without the ``random`` module, which takes milliseconds to import."""
    return int.from_bytes(os.urandom(4), "big") / 2**32


def utc_now() -> str:
    """The wall clock as RFC 3339 in UTC with microseconds, for records and people."""
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


class Steady:
    """The wall clock in seconds since the epoch, as it would be had nobody set it back since the first call.

    ``clock`` never jumps.
    """

    def __init__(self, wall: Clock, clock: Clock = boottime) -> None:
        self._wall = wall
        self._clock = clock
        # One value, so that threads never see half of it.
        self._seen = (self._wall(), clock())

    def __call__(self) -> float:
        """Now: never earlier than before, and as much later as time has passed."""
        (seen, since), wall, at = self._seen, self._wall(), self._clock()
        now = max(wall, seen + at - since)
        self._seen = (now, at)
        return now


class Deadline(NamedTuple):
    """A moment on a clock; a value, so that one deadline can be passed through all that must obey it."""

    at: float
    clock: Clock = boottime

    @classmethod
    def after(cls, seconds: float, clock: Clock = boottime) -> Deadline:
        """The moment that many seconds from now."""
        return cls(clock() + seconds, clock)

    def left(self) -> float:
        """Seconds until then; never negative."""
        return max(0.0, self.at - self.clock())

    def overdue(self) -> float:
        """Seconds since then; negative before."""
        return self.clock() - self.at

    def passed(self) -> bool:
        """Whether the moment has come."""
        return self.clock() >= self.at

    def capped(self, seconds: float) -> Deadline:
        """This deadline, or that many seconds from now if that is sooner."""
        return Deadline(min(self.at, self.clock() + seconds), self.clock)
