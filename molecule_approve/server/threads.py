"""The threads for the database: some write, a few read. The event loop itself never waits for a disk."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from .database import attempts
from .database.values import StoreError
from .refusals import unavailable

if TYPE_CHECKING:
    from .database.interface import Store
    from .database.transaction import Transaction

T = TypeVar("T")

READERS = 2


class DatabaseThreads:
    """Runs transactions in threads.

    For SQLite there is one thread for writing, because it has one writer: a second thread would only sleep in the database's
    lock, which is unfair and slow. ``warn`` gets the first error of each kind of thread, and the next one after a success.
    """

    def __init__(self, store: Store, warn: Callable[[StoreError], None]) -> None:
        self._store = store
        self._warn = warn
        self._failing: set[ThreadPoolExecutor] = set()
        self._writer = ThreadPoolExecutor(store.writers, "server-write")
        self._readers = ThreadPoolExecutor(READERS, "server-read")

    @property
    def shared(self) -> bool:
        """Whether other servers may use the database at the same time."""
        return self._store.shared

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
        return attempts.read(self._store, job, self._patience(self._readers))

    def _writing(self, job: Callable[[Transaction], T]) -> T:
        return attempts.write(self._store, job, self._patience(self._writer))

    def _patience(self, threads: ThreadPoolExecutor) -> float:
        # While the database is away, calls must not queue up behind those that still hope.
        return 0.0 if threads in self._failing else self._store.patience

    def close(self) -> None:
        """Wait for running transactions, and end the threads."""
        self._writer.shutdown()
        self._readers.shutdown()
