"""The threads for the database: some write, a few read. The event loop itself never waits for a disk.

Also what is said where the system starts no thread.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from molecule_approve.errors import ServerError

from .database import attempts
from .database.values import LostConnectionError, RaceError, StoreError, UnknownCommitError
from .refusals import unavailable
from .time_limit import TimeLimit

if TYPE_CHECKING:
    from .database.interface import Store
    from .database.transaction import Transaction

T = TypeVar("T")

READERS = 2

TOGETHER = 64
"""The most jobs of one transaction: other processes wait for the database's lock meanwhile."""

_CROWD = TOGETHER // 2
"""Jobs that wait for one thread before another one begins: fewer are quicker together in its next transaction."""

_GATHERING = 0.01
"""Seconds that a transaction waits at most until it has as many jobs as the last one, and no longer than that one took: who
was answered often calls again at once, and a transaction costs as much as several jobs."""

_LONGEST = 20.0
"""Seconds after which a call is refused although the database may still answer."""


def no_thread(error: BaseException) -> ServerError | None:
    """What to say if the error is that no thread could be started; None for any other error."""
    # Python has no exception of its own for it, and these words in every version.
    if not isinstance(error, RuntimeError) or str(error) != "can't start new thread":
        return None
    return ServerError(f"the server cannot run: {error}", hint="the user's process limit may be reached (ulimit -u)")


@contextmanager
def threads_needed() -> Iterator[None]:
    """Around all that a server does.

    Raises:
        ServerError: a thread that it needs could not be started.
    """
    try:
        yield
    except RuntimeError as exc:
        said = no_thread(exc)
        if said is None:
            raise
        raise said from exc


@dataclass(frozen=True, slots=True)
class _JobOutcome:
    """What a job returned, or the error that it or its transaction ended with."""

    value: Any = None
    error: Exception | None = None


_LATE = _JobOutcome(error=StoreError(f"it has not answered for {_LONGEST:.0f} s"))


@dataclass(frozen=True, slots=True)
class _QueuedJob:
    """A job that waits for a writing thread, the future that gets its outcome, and what is called once it is committed."""

    job: Callable[[Transaction], Any]
    answer: asyncio.Future[_JobOutcome]
    committed: Callable[[Any], None]

    def answered(self, outcome: _JobOutcome) -> None:
        """Pass the outcome on, if somebody still waits for it."""
        if not self.answer.done():
            self.answer.set_result(outcome)


def _nothing(_: object) -> None:
    """Do nothing."""


class DatabaseThreads:
    """Runs transactions in threads.

    SQLite has one writer, so there is one thread for writing: a second one would only sleep in the database's lock, which is
    unfair and slow. Jobs that wait for a thread share a transaction, so that one commit makes all of them durable. ``warn``
    gets the first error of each kind of thread, and the next one after a success.
    """

    def __init__(self, store: Store, warn: Callable[[StoreError], None]) -> None:
        self._store = store
        self._warn = warn
        self._failing: set[ThreadPoolExecutor] = set()
        self._writers = ThreadPoolExecutor(store.writers, "server-write")
        self._readers = ThreadPoolExecutor(READERS, "server-read")
        self._queue: deque[_QueuedJob] = deque()
        self._writing: set[asyncio.Task[None]] = set()
        self._expected, self._took = 0, 0.0
        self._gathered = asyncio.Event()
        self._time_limit = TimeLimit(_LONGEST, lambda: _LATE)

    @property
    def shared(self) -> bool:
        """Whether other servers may use the database at the same time."""
        return self._store.shared

    async def read(self, job: Callable[[Transaction], T]) -> T:
        """Run the job in a transaction that only reads.

        Raises:
            RefusedError: 503, the database cannot answer.
        """
        try:
            async with asyncio.timeout(_LONGEST):
                outcome = await asyncio.get_running_loop().run_in_executor(self._readers, self._read, job)
        except TimeoutError:
            outcome = _LATE
        value: T = self._value(self._readers, outcome)
        return value

    async def write(self, job: Callable[[Transaction], T], committed: Callable[[T], None] = _nothing) -> T:
        """Run the job in a transaction that may write; it is committed durably when this returns.

        The transaction may have other jobs. If one of them raises an error, all are undone, and each is run again in a
        transaction of its own: so a job must change nothing but the database. If the answer of a commit is lost, the job
        runs again with ``transaction.again`` set.

        ``committed`` gets what the job returned, also if the caller is gone by then, or was refused as it took too long.

        Raises:
            RefusedError: 503, the database cannot answer.
        """
        queued = _QueuedJob(job, asyncio.get_running_loop().create_future(), committed)
        self._queue.append(queued)
        if len(self._queue) >= self._expected:
            self._gathered.set()
        if not self._writing or (len(self._queue) > _CROWD and len(self._writing) < self._store.writers):
            self._writing.add(asyncio.create_task(self._write_queued()))
        self._time_limit.add(queued.answer)
        value: T = self._value(self._writers, await queued.answer)
        return value

    def _value(self, threads: ThreadPoolExecutor, outcome: _JobOutcome) -> Any:  # noqa: ANN401 - the job's
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
                await self._gather()
                batch = [self._queue.popleft() for _ in range(min(len(self._queue), TOGETHER))]
                # A caller that is gone before its job has begun wants it no more.
                batch = [queued for queued in batch if not queued.answer.done()]
                if not batch:
                    continue
                begin = loop.time()
                outcomes = await loop.run_in_executor(self._writers, self._write, [queued.job for queued in batch])
                self._expected, self._took = min(len(batch), _CROWD), loop.time() - begin
                for queued, outcome in zip(batch, outcomes, strict=True):
                    if outcome.error is None:
                        queued.committed(outcome.value)
                    queued.answered(outcome)
        finally:
            # In the same step as the queue is seen to be empty: a job that is queued after it must find nobody at work.
            self._writing.discard(asyncio.current_task())

    async def _gather(self) -> None:
        """Wait a moment for as many jobs as the last transaction had; after one alone, for none."""
        if len(self._queue) >= self._expected:
            return
        self._gathered.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(min(self._took, _GATHERING)):
                await self._gathered.wait()

    def _read(self, job: Callable[[Transaction], Any]) -> _JobOutcome:
        try:
            return _JobOutcome(attempts.read(self._store, job, self._patience(self._readers)))
        except Exception as exc:  # noqa: BLE001 - raised again where the caller waits
            return _JobOutcome(error=exc)

    def _write(self, jobs: Sequence[Callable[[Transaction], Any]]) -> list[_JobOutcome]:
        """The outcome of each job: all in one transaction, or each in its own if one of them fails."""
        end = time.monotonic() + self._patience(self._writers)
        if len(jobs) == 1:
            return [self._write_one(jobs[0], end)]
        outcomes: list[_JobOutcome] = []
        began = False

        def together(transaction: Transaction) -> None:
            nonlocal began
            began = True
            outcomes.clear()
            for job in jobs:
                transaction.requests.ended = []  # each job sees what it ended itself
                outcomes.append(_JobOutcome(job(transaction)))

        try:
            attempts.write(self._store, together, end - time.monotonic(), alone=False)
        except Exception as exc:  # noqa: BLE001 - raised again where the callers wait
            failed_in_job = began and len(outcomes) < len(jobs) and not isinstance(exc, LostConnectionError)
            if failed_in_job or isinstance(exc, (RaceError, UnknownCommitError)):
                return self._write_each(jobs, end, again=isinstance(exc, UnknownCommitError))
            return [_JobOutcome(error=exc)] * len(jobs)
        return outcomes

    def _write_each(self, jobs: Sequence[Callable[[Transaction], Any]], end: float, *, again: bool) -> list[_JobOutcome]:
        outcomes: list[_JobOutcome] = []
        for job in jobs:
            lost = outcomes[-1] if outcomes and isinstance(outcomes[-1].error, LostConnectionError) else None
            outcomes.append(lost or self._write_one(job, end, again=again))
        return outcomes

    def _write_one(self, job: Callable[[Transaction], Any], end: float, *, again: bool = False) -> _JobOutcome:
        try:
            return _JobOutcome(attempts.write(self._store, job, end - time.monotonic(), again=again))
        except Exception as exc:  # noqa: BLE001 - raised again where the caller waits
            return _JobOutcome(error=exc)

    def _patience(self, threads: ThreadPoolExecutor) -> float:
        # While the database is away, calls must not queue up behind those that still hope.
        return 0.0 if threads in self._failing else self._store.patience

    def close(self) -> None:
        """Wait for running transactions, and end the threads."""
        self._writers.shutdown()
        self._readers.shutdown()
