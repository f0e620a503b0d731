"""Jobs that wait for the writing thread share a transaction, and nothing else: each has an outcome of its own."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
import sqlalchemy as sa

from molecule_approve.clock import utc_now
from molecule_approve.errors import ServerError
from molecule_approve.server import credentials
from molecule_approve.server.database.address import parse
from molecule_approve.server.database.postgres import PostgresStore
from molecule_approve.server.database.sqlite import SqliteStore
from molecule_approve.server.database.values import Change
from molecule_approve.server.limits import Limits
from molecule_approve.server.refusals import RefusedError, forbidden
from molecule_approve.server.threads import TOGETHER, DatabaseThreads, threads_needed
from tests.server.desk import PATIENCE

if TYPE_CHECKING:
    from molecule_approve.paths import Places
    from molecule_approve.server.database.transaction import Transaction
    from molecule_approve.server.database.values import StoreError

LOCK_PATIENCE = 0.3
"""Seconds that a transaction waits for the database's lock."""

Scene = Callable[[DatabaseThreads], Awaitable[None]]


class Held:
    """A job that occupies the writing thread until it is let go: others queue up behind it."""

    def __init__(self) -> None:
        self.begun, self.let_go = threading.Event(), threading.Event()

    def __call__(self, transaction: Transaction) -> None:
        self.begun.set()
        assert self.let_go.wait(PATIENCE)

    @contextmanager
    def holding(self, threads: DatabaseThreads) -> Iterator[asyncio.Future[None]]:
        """The thread is occupied inside this block; gives the end of the job."""
        task = asyncio.ensure_future(threads.write(self))
        try:
            yield task
        finally:
            self.let_go.set()
        assert not task.cancelled()

    async def has_begun(self) -> None:
        """Wait until the thread is occupied."""
        await asyncio.to_thread(self.begun.wait, PATIENCE)


def _run(places: Places, scene: Scene) -> list[StoreError]:
    """The scene with threads of its own; the warnings."""
    said: list[StoreError] = []

    async def main() -> None:
        with credentials.opened(places, replace(Limits(), database_patience=LOCK_PATIENCE)) as store:
            threads = DatabaseThreads(store, said.append)
            try:
                await scene(threads)
            finally:
                threads.close()

    places.state.mkdir(mode=0o700, parents=True, exist_ok=True)
    asyncio.run(main())
    return said


def _adding(name: str, seen: list[int], refusal: RefusedError | None = None) -> Callable[[Transaction], str]:
    def job(transaction: Transaction) -> str:
        seen.append(id(transaction))
        transaction.credentials.add_approver(name, f"hash of {name}", utc_now())
        if refusal is not None:
            raise refusal
        return name

    return job


async def _names(threads: DatabaseThreads) -> list[str]:
    return [name for name, *_ in await threads.read(lambda transaction: transaction.credentials.approvers())]


def test_jobs_that_wait_share_a_transaction(server_places: Places) -> None:
    """One commit for all of them, up to a limit; each gets what it returned."""

    async def scene(threads: DatabaseThreads) -> None:
        held, seen = Held(), list[int]()
        names = [f"n-{number:03}" for number in range(TOGETHER + 1)]
        with held.holding(threads):
            await held.has_begun()
            waiting = [asyncio.ensure_future(threads.write(_adding(name, seen))) for name in names]
            await asyncio.sleep(0)
        assert await asyncio.gather(*waiting) == names
        assert await _names(threads) == names
        assert len(set(seen[:TOGETHER])) == 1
        assert seen[0] != seen[TOGETHER]

    assert _run(server_places, scene) == []


async def _share(threads: DatabaseThreads, jobs: int) -> None:
    """Let so many jobs share a transaction."""
    held = Held()
    with held.holding(threads):
        await held.has_begun()
        waiting = [asyncio.ensure_future(threads.write(lambda _: None)) for _ in range(jobs)]
        await asyncio.sleep(0)
    await asyncio.gather(*waiting)


def test_a_transaction_waits_for_as_many_jobs_as_the_last_one_had(
    server_places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Jobs that come in different steps of the event loop share it then."""
    monkeypatch.setattr("molecule_approve.server.threads._GATHERING", PATIENCE)

    async def scene(threads: DatabaseThreads) -> None:
        await _share(threads, 3)
        threads._took = PATIENCE
        seen: list[Transaction] = []
        waiting = []
        for _ in range(3):
            waiting.append(asyncio.ensure_future(threads.write(seen.append)))
            for _ in range(12):
                await asyncio.sleep(0)
        await asyncio.gather(*waiting)
        assert seen == [seen[0]] * 3

    assert _run(server_places, scene) == []


@pytest.mark.parametrize(("took", "most"), [(0.01, 2 * PATIENCE), (2 * PATIENCE, 0.01)])
def test_a_job_that_stays_alone_waits_for_a_moment_only(
    server_places: Places, monkeypatch: pytest.MonkeyPatch, took: float, most: float
) -> None:
    """As long as the last transaction took, and never long; the next job, after one alone, waits for nobody."""
    monkeypatch.setattr("molecule_approve.server.threads._GATHERING", most)

    async def scene(threads: DatabaseThreads) -> None:
        await _share(threads, 3)
        threads._took = took
        assert await asyncio.wait_for(threads.write(lambda _: "alone"), PATIENCE) == "alone"
        monkeypatch.setattr("molecule_approve.server.threads._GATHERING", 2 * PATIENCE)
        threads._took = 2 * PATIENCE
        assert await asyncio.wait_for(threads.write(lambda _: "next"), PATIENCE) == "next"

    assert _run(server_places, scene) == []


def test_the_failure_of_one_undoes_nothing_of_another(server_places: Places) -> None:
    """What the one had changed is undone, what the others changed is committed; each ran once for good."""

    async def scene(threads: DatabaseThreads) -> None:
        held, seen = Held(), list[int]()
        with held.holding(threads):
            await held.has_begun()
            jobs = [_adding("a", seen), _adding("b", seen, forbidden("no")), _adding("c", seen), _adding("a", seen)]
            waiting = [asyncio.ensure_future(threads.write(job)) for job in jobs]
            await asyncio.sleep(0)
        first, refused, third, taken = await asyncio.gather(*waiting, return_exceptions=True)
        assert (first, third, type(taken).__name__) == ("a", "c", "NameTakenError")
        assert isinstance(refused, RefusedError)
        assert await _names(threads) == ["a", "c"]

    assert _run(server_places, scene) == []


def test_a_database_that_cannot_answer_is_waited_for_once(server_places: Places) -> None:
    """The first job waits for its lock, and then all others together: 503 for each, and one warning; later it is well."""

    async def scene(threads: DatabaseThreads) -> None:
        await threads.write(_adding("a", []))
        with closing(sqlite3.connect(server_places.database, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            start = time.monotonic()
            waiting = [threads.write(_adding(name, [])) for name in "bcdefghijklmnopq"]
            ends = await asyncio.gather(*waiting, return_exceptions=True)
            assert time.monotonic() - start < 8 * LOCK_PATIENCE
            assert [end.status for end in ends if isinstance(end, RefusedError)] == [503] * 16
            other.execute("ROLLBACK")
        await threads.write(_adding("z", []))
        assert await _names(threads) == ["a", "z"]

    assert len(_run(server_places, scene)) == 1


def test_a_job_whose_caller_is_gone_does_not_begin(server_places: Places) -> None:
    """Others that wait with it do; where nobody is left there is no transaction at all."""

    async def scene(threads: DatabaseThreads) -> None:
        begun: list[object] = []
        assert isinstance(threads._store, SqliteStore)
        sa.event.listen(threads._store._engine, "checkout", lambda *told: begun.append(told))
        for kept, transactions in (("a", 2), ("", 1)):
            begun.clear()
            held = Held()
            with held.holding(threads) as end:
                await held.has_begun()
                waiting = [asyncio.ensure_future(threads.write(_adding(name, []))) for name in ("gone", kept) if name]
                await asyncio.sleep(0)
                waiting[0].cancel()
                await asyncio.sleep(0)
            await asyncio.gather(end, *waiting, return_exceptions=True)
            await threads.write(lambda _: None)
            assert len(begun) == transactions + 1
        assert await _names(threads) == ["a"]

    assert _run(server_places, scene) == []


def test_a_job_whose_caller_goes_away_while_it_runs_is_finished(server_places: Places) -> None:
    """It is committed, which is told, and others get their answers."""

    async def scene(threads: DatabaseThreads) -> None:
        held, told = Held(), list[None]()
        running = asyncio.ensure_future(threads.write(held, told.append))
        await held.has_begun()
        running.cancel()
        held.let_go.set()
        assert await threads.write(_adding("a", [])) == "a"
        assert told == [None]
        assert await _names(threads) == ["a"]

    assert _run(server_places, scene) == []


class AtOnce(ThreadPoolExecutor):
    """Runs what it gets in the caller's thread, so that the steps of the event loop can be counted."""

    def submit(self, call: Any, /, *arguments: Any, **named: Any) -> Future[Any]:  # noqa: ANN401 - the library's signature
        """Run it."""
        done: Future[Any] = Future()
        done.set_result(call(*arguments, **named))
        return done


def test_a_job_that_comes_as_the_queue_gets_empty_is_not_left_behind(server_places: Places) -> None:
    """In whichever step of the event loop: one that met the last task as it ended waited for ever."""

    async def scene(threads: DatabaseThreads) -> None:
        threads._writers = AtOnce(1)
        for steps in range(12):
            first = asyncio.ensure_future(threads.write(lambda _: "first"))
            for _ in range(steps):
                await asyncio.sleep(0)
            assert await asyncio.wait_for(threads.write(lambda _: "second"), PATIENCE) == "second"
            assert await first == "first"

    assert _run(server_places, scene) == []


def test_a_database_that_stays_silent_is_waited_for_a_bounded_time(
    server_places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The call is refused, and the administrator told; the thread itself cannot be stopped."""
    monkeypatch.setattr("molecule_approve.server.threads._LONGEST", 0.1)

    async def scene(threads: DatabaseThreads) -> None:
        held = Held()
        with pytest.raises(RefusedError) as caught:
            await threads.write(held)
        held.let_go.set()
        assert caught.value.status == 503

    (said,) = _run(server_places, scene)
    assert "it has not answered for" in str(said)


def test_only_a_crowd_gets_a_second_thread(postgres_url: str) -> None:
    """A few jobs share the next transaction of the first thread, which is cheaper; many do not wait for it."""

    async def main() -> None:
        with closing(PostgresStore(parse(postgres_url), PATIENCE)) as store:
            said: list[StoreError] = []
            threads, held = DatabaseThreads(store, said.append), Held()
            with held.holding(threads):
                await held.has_begun()
                few = [asyncio.ensure_future(threads.write(lambda _: "few")) for _ in range(TOGETHER // 2)]
                await asyncio.sleep(0)
                at_work = len(threads._writing)
                crowd = [asyncio.ensure_future(threads.write(lambda _: "crowd")) for _ in range(TOGETHER // 2)]
                assert set(await asyncio.wait_for(asyncio.gather(*few, *crowd), PATIENCE)) == {"few", "crowd"}
                assert not held.let_go.is_set()
            assert (at_work, said) == (1, [])
            await asyncio.to_thread(threads.close)

    asyncio.run(main())


def test_a_crowd_of_changes_is_told_of_in_messages_that_fit(postgres_url: str) -> None:
    """Each change of a transaction arrives once, in order, however many there are."""
    changes = [Change(str(uuid.uuid4()), str(uuid.uuid4()), 1_777_777_777.123456 + n) for n in range(200)]
    with (
        closing(PostgresStore(parse(postgres_url), PATIENCE)) as store,
        psycopg.connect(postgres_url, autocommit=True) as listening,
    ):
        listening.execute("LISTEN molecule_approve")
        with store.write() as transaction:
            transaction.requests.changes.extend(changes)
        heard = [notice.payload for notice in listening.notifies(timeout=PATIENCE, stop_after=4)]
    assert [Change.decode(line) for text in heard for line in text.split("\n")] == changes


def test_only_a_thread_that_was_not_started_is_the_limit_s_fault() -> None:
    """Any other error of the same class stays what it is."""
    with pytest.raises(RuntimeError, match="loop is closed"), threads_needed():
        raise RuntimeError("Event loop is closed")
    with pytest.raises(ServerError, match="can't start new thread"), threads_needed():
        raise RuntimeError("can't start new thread")
