"""Rates that hold over all servers of a database: each tells the others how many calls it counted, about once a second."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from .limits import MINUTE
from .refusals import RefusedError

if TYPE_CHECKING:
    from .database.transaction import Transaction
    from .rates import RateLimiter
    from .threads import DatabaseThreads

_INTERVAL = 1.0
"""Seconds between two exchanges."""


class SharedRates:
    """Keeps ``rates.elsewhere`` up to date for those keys that ``is_shared`` names; ``clock`` is monotonic, in seconds.

    Callers at several servers have no more calls than at one, but for those of the last second.
    """

    def __init__(
        self,
        rates: RateLimiter,
        database: DatabaseThreads,
        is_shared: Callable[[str], bool],
        clock: Callable[[], float],
    ) -> None:
        self._rates = rates
        self._database = database
        self._is_shared = is_shared
        self._clock = clock
        self._new: Counter[str] = Counter()
        # What this server told within the last minute: that is not the others'.
        self._told: deque[tuple[float, Counter[str]]] = deque()
        self._awake = asyncio.Event()
        rates.counted = self._count

    def _count(self, key: str) -> None:
        if self._is_shared(key):
            self._new[key] += 1
            self._awake.set()

    async def run(self) -> None:
        """Exchange counts, while anything is counted. Runs until it is cancelled."""
        while True:
            if not self._told:
                await self._awake.wait()
            self._awake.clear()
            # If the database does not answer, each server counts for itself.
            with suppress(RefusedError):
                await self._exchange()
            await asyncio.sleep(_INTERVAL)

    async def _exchange(self) -> None:
        new, self._new = self._new, Counter()
        now = self._clock()
        while self._told and now - self._told[0][0] >= MINUTE:
            self._told.popleft()
        if new:
            self._told.append((now, new))
        own: Counter[str] = sum((told for _, told in self._told), Counter())

        def job(transaction: Transaction) -> dict[str, int]:
            if new and not transaction.again:
                transaction.rates.add(new, transaction.now)
            return transaction.rates.of_a_minute(list(own), transaction.now)

        totals = await self._database.write(job) if own else {}
        self._rates.elsewhere = {key: max(0, totals.get(key, 0) - count) for key, count in own.items()}
