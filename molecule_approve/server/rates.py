"""Counts calls a minute by key; ``access`` chooses the keys."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from .limits import MINUTE

_SWEEP = 0.5
"""The least seconds between two sweeps."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """What a key has left within the minute, for the ``X-RateLimit-*`` headers."""

    limit: int
    remaining: int
    reset: int

    def headers(self) -> list[tuple[bytes, bytes]]:
        """The headers, as the platform sends them."""
        return [
            (b"x-ratelimit-limit", b"%d" % self.limit),
            (b"x-ratelimit-remaining", b"%d" % self.remaining),
            (b"x-ratelimit-reset", b"%d" % self.reset),
        ]


class RateLimiter:
    """Calls a minute, counted from a key's first call on; ``clock`` is monotonic, in seconds.

    Attributes:
        elsewhere: how many calls other servers counted, by key.
        counted: gets the key of each call.
    """

    MANY = 1_000
    """Keys after which old ones are swept away."""

    MOST = 10_000
    """Keys that are kept; further ones share one count for each limit, so that many addresses do not fill the memory."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._swept = -math.inf
        self._windows: dict[str, tuple[float, int]] = {}
        self.elsewhere: Mapping[str, int] = {}
        self.counted: Callable[[str], None] = lambda _: None

    def __len__(self) -> int:
        """How many keys are kept."""
        return len(self._windows)

    def charge(self, key: str, limit: int) -> tuple[Allowance, bool]:
        """Count one call; what is left, and whether this call was within the limit."""
        now = self._clock()
        self._sweep(now)
        if key not in self._windows and len(self._windows) >= self.MOST:
            key = f"all others {limit}"
        start, count = self._windows.get(key, (now, 0))
        if now - start >= MINUTE:
            start, count = now, 0
        count += 1
        self._windows[key] = (start, count)
        self.counted(key)
        count += self.elsewhere.get(key, 0)
        reset = max(1, math.ceil(start + MINUTE - now))
        return Allowance(limit, max(0, limit - count), reset), count <= limit

    def forget(self, key: str) -> None:
        """Reset the count of a key."""
        self._windows.pop(key, None)

    def _sweep(self, now: float) -> None:
        # Otherwise a caller with many tokens would fill the memory. Not at each call: it looks at all keys.
        if len(self._windows) >= self.MANY and now - self._swept >= _SWEEP:
            self._swept = now
            self._windows = {key: window for key, window in self._windows.items() if now - window[0] < MINUTE}
