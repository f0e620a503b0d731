"""The threads for the database: one writes, a few read. The event loop itself never waits for a disk."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from .database.values import StoreError
from .refusals import unavailable

if TYPE_CHECKING:
    from .database.interface import Store
    from .database.transaction import Transaction

T = TypeVar("T")

READERS = 2

TOGETHER = 64
"""The most jobs of one transaction: other processes wait for the database's lock meanwhile."""


@dataclass(frozen=True, slots=True)
class _JobOutcome:
    """What a job returned, or the error that it or its transaction ended with."""

    value: Any = None
    error: Exception | None = None


@dataclass(frozen=True, slots=True)
class _QueuedJob:
    """A job that waits for the writing thread, and the future that gets its outcome."""

    job: Callable[[Transaction], Any]
    answer: asyncio.Future[Any]


class DatabaseThreads:
    """Runs transactions in threads.

    There is one thread for writing, because SQLite has one writer: a second thread would only sleep in the database's
    lock, which is unfair and slow. Jobs that wait for it share a transaction, so that one commit makes all of them durable.
    ``warn`` gets the first error of each kind of thread, and the next one after a success.
    """

    def __init__(self, store: Store, warn: Callable[[StoreError], None]) -> None:
        self._store = store
        self._warn = warn
        self._failing: set[ThreadPoolExecutor] = set()
        self._writer = ThreadPoolExecutor(1, "server-write")
        self._readers = ThreadPoolExecutor(READERS, "server-read")
        self._queue: deque[_QueuedJob] = deque()
        self._writing: asyncio.Task[None] | None = None

    async def read(self, job: Callable[[Transaction], T]) -> T:
        """Run the job in a transaction that only reads.

        Raises:
            RefusedError: 503, the database cannot answer.
        """
        outcome = await asyncio.get_running_loop().run_in_executor(self._readers, self._read, job)
        value: T = self._value(self._readers, outcome)
        return value

    async def write(self, job: Callable[[Transaction], T]) -> T:
        """Run the job in a transaction that may write; it is committed durably when this returns.

        The transaction may have other jobs. If one of them raises an error, all are undone, and each is run again in a
        transaction of its own: so a job must change nothing but the database.

        Raises:
            RefusedError: 503, the database cannot answer.
        """
        queued = _QueuedJob(job, asyncio.get_running_loop().create_future())
        self._queue.append(queued)
        if self._writing is None:
            self._writing = asyncio.create_task(self._write_queued())
        value: T = self._value(self._writer, await queued.answer)
        return value

    def _value(self, threads: ThreadPoolExecutor, outcome: _JobOutcome) -> Any:  # noqa: ANN401 - whatever the job returns
        if isinstance(outcome.error, StoreError):
            if threads not in self._failing:
                self._failing.add(threads)
                self._warn(outcome.error)
            raise unavailable() from outcome.error
        self._failing.discard(threads)
        if outcome.error is not None:
            raise outcome.error
        return outcome.value

    async def _write_queued(self) -> None:
        """Run what is queued, all that waits in one transaction, until nothing is."""
        loop = asyncio.get_running_loop()
        try:
            while self._queue:
                batch = [self._queue.popleft() for _ in range(min(len(self._queue), TOGETHER))]
                # A caller that is gone before its job has begun wants it no more.
                batch = [queued for queued in batch if not queued.answer.done()]
                if not batch:
                    continue
                outcomes = await loop.run_in_executor(self._writer, self._write, [queued.job for queued in batch])
                for queued, outcome in zip(batch, outcomes, strict=True):
                    if not queued.answer.done():
                        queued.answer.set_result(outcome)
        finally:
            self._writing = None

    def _read(self, job: Callable[[Transaction], Any]) -> _JobOutcome:
        try:
            with self._store.read() as transaction:
                return _JobOutcome(job(transaction))
        except Exception as exc:  # noqa: BLE001 - raised again where the caller waits
            return _JobOutcome(error=exc)

    def _write(self, jobs: Sequence[Callable[[Transaction], Any]]) -> list[_JobOutcome]:
        """The outcome of each job: all in one transaction, or each in its own if one of them fails."""
        is_in_job = False
        try:
            with self._store.write() as transaction:
                outcomes = []
                is_in_job = True
                for job in jobs:
                    transaction.requests.ended = []  # each job sees what it ended itself
                    outcomes.append(_JobOutcome(job(transaction)))
                is_in_job = False
        except Exception as exc:  # noqa: BLE001 - raised again where the callers wait
            if is_in_job and len(jobs) > 1:
                return [self._write([job])[0] for job in jobs]
            return [_JobOutcome(error=exc)] * len(jobs)
        return outcomes

    def close(self) -> None:
        """Wait for running transactions, and end the threads."""
        self._writer.shutdown()
        self._readers.shutdown()
