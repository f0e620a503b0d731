"""A time limit of many futures at once: one timer for all, as a timer for each would cost more than what it waits for."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class TimeLimit(Generic[T]):
    """Ends each future that is not done so many seconds after it was added, by the value that ``late`` gives."""

    def __init__(self, seconds: float, late: Callable[[], T]) -> None:
        self._seconds = seconds
        self._late = late
        self._waiting: deque[tuple[float, asyncio.Future[T]]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def add(self, future: asyncio.Future[T]) -> None:
        """Begin the future's time."""
        loop = asyncio.get_running_loop()
        self._waiting.append((loop.time() + self._seconds, future))
        self._drop_done()
        if self._timer is None:
            self._timer = loop.call_at(self._waiting[0][0], self._end)

    def _drop_done(self) -> None:
        while self._waiting and self._waiting[0][1].done():
            self._waiting.popleft()

    def _end(self) -> None:
        """End those whose time is over; the timer goes on with the next one."""
        loop = asyncio.get_running_loop()
        self._timer = None
        self._drop_done()
        while self._waiting and self._waiting[0][0] <= loop.time():
            self._waiting.popleft()[1].set_result(self._late())
            self._drop_done()
        if self._waiting:
            self._timer = loop.call_at(self._waiting[0][0], self._end)
