"""The threads for the database: one writes, a few read. The event loop itself never waits for a disk."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from .database.values import StoreError
from .refusals import unavailable

if TYPE_CHECKING:
    from .database.interface import Store
    from .database.transaction import Transaction

T = TypeVar("T")

READERS = 2


class DatabaseThreads:
    """Runs transactions in threads.

    There is one thread for writing, because SQLite has one writer: a second thread would only sleep in the database's
    lock, which is unfair and slow. ``warn`` gets the first error of each kind of thread, and the next one after a success.
    """

    def __init__(self, store: Store, warn: Callable[[StoreError], None]) -> None:
        self._store = store
        self._warn = warn
        self._failing: set[ThreadPoolExecutor] = set()
        self._writer = ThreadPoolExecutor(1, "server-write")
        self._readers = ThreadPoolExecutor(READERS, "server-read")

    async def read(self, job: Callable[[Transaction], T]) -> T:
        """Run the job in a transaction that only reads.

        Raises:
            RefusedError: 503, the database cannot answer.
        """
        return await self._in(self._readers, self._reading, job)

    async def write(self, job: Callable[[Transaction], T]) -> T:
        """Run the job in a transaction that may write; it is committed durably when this returns.

        Raises:
            RefusedError: 503, the database cannot answer.
        """
        return await self._in(self._writer, self._writing, job)

    async def _in(
        self, threads: ThreadPoolExecutor, run: Callable[[Callable[[Transaction], T]], T], job: Callable[[Transaction], T]
    ) -> T:
        try:
            found = await asyncio.get_running_loop().run_in_executor(threads, run, job)
        except StoreError as exc:
            if threads not in self._failing:
                self._failing.add(threads)
                self._warn(exc)
            raise unavailable() from exc
        self._failing.discard(threads)
        return found

    def _reading(self, job: Callable[[Transaction], T]) -> T:
        with self._store.read() as transaction:
            return job(transaction)

    def _writing(self, job: Callable[[Transaction], T]) -> T:
        with self._store.write() as transaction:
            return job(transaction)

    def close(self) -> None:
        """Wait for running transactions, and end the threads."""
        self._writer.shutdown()
        self._readers.shutdown()
