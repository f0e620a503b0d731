"""The connection of a server to the others: it holds the server's lock, and comes back after each failure."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("psycopg")

import psycopg

from molecule_approve.server.database.address import parse
from molecule_approve.server.database.listener import Listener
from molecule_approve.server.database.queries.replicas import lock_key
from molecule_approve.server.database.values import StoreError
from tests.server.commits import CommitProxy

if TYPE_CHECKING:
    import socket
    import threading

    from tests.server.postgres import Cluster

PATIENCE = 20.0


class Ear:
    """A listener, what it heard, and how often it joined."""

    def __init__(self, url: str, failures: int = 0) -> None:
        self.heard: list[str] = []
        self.joins = 0
        self._failures = failures
        self.listener = Listener(parse(url), "one", self.heard.append, self._join, time.monotonic)

    async def _join(self) -> None:
        self.joins += 1
        if self.joins <= self._failures:
            raise StoreError("the database cannot answer")

    def run(self, scene: Callable[[Ear], Awaitable[None]]) -> None:
        """Listen while the scene plays."""

        async def main() -> None:
            task = asyncio.create_task(self.listener.run())
            try:
                await scene(self)
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

        asyncio.run(main())


async def _until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "it never came true"
        await asyncio.sleep(0.01)


def test_what_is_told_is_heard(postgres_cluster: Cluster, served_url: str) -> None:
    """Once the lock is held."""

    async def scene(ear: Ear) -> None:
        await _until(lambda: ear.listener.holds)
        postgres_cluster.run("SELECT pg_notify('molecule_approve', 'word')", served_url.rpartition("/")[2])
        await _until(lambda: ear.heard == ["word"])
        assert ear.listener.problem == ""

    Ear(served_url).run(scene)


def test_what_is_told_between_two_beats_is_heard(served_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also while the lock is confirmed, which here it always is; in order."""
    monkeypatch.setattr("molecule_approve.server.database.listener._BEAT", 0.0)
    words = [f"word {number}" for number in range(200)]

    async def scene(ear: Ear) -> None:
        await _until(lambda: ear.listener.holds)
        async with await psycopg.AsyncConnection.connect(served_url, autocommit=True) as other:
            for word in words:
                await other.execute("SELECT pg_notify('molecule_approve', %s)", (word,))
        await _until(lambda: len(ear.heard) == len(words))
        assert ear.heard == words

    Ear(served_url).run(scene)


def test_a_lost_connection_is_noticed_before_the_next_beat(
    postgres_cluster: Cluster, served_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it breaks, and the listener joins again on a new one."""
    monkeypatch.setattr("molecule_approve.server.database.listener._BEAT", 10 * PATIENCE)
    others = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"

    async def scene(ear: Ear) -> None:
        await _until(lambda: ear.listener.holds)
        postgres_cluster.run(f"SELECT pg_terminate_backend(pid) {others}", served_url.rpartition("/")[2])
        await _until(lambda: ear.joins == 2)

    Ear(served_url).run(scene)


def test_a_server_that_cannot_join_tries_again(served_url: str) -> None:
    """It does not count as one that runs before."""

    async def scene(ear: Ear) -> None:
        await _until(lambda: ear.joins == 1)
        assert not ear.listener.holds
        await _until(lambda: ear.listener.holds)
        assert ear.joins == 3

    Ear(served_url, failures=2).run(scene)


def test_its_own_last_connection_is_ended(served_url: str) -> None:
    """The database may not have heard of its end; a connection of another server is left alone."""
    with psycopg.connect(served_url, autocommit=True) as other:
        other.execute("SELECT pg_advisory_lock(%s)", (lock_key("one"),))

        async def scene(ear: Ear) -> None:
            await _until(lambda: ear.listener.problem == "another server has this server's id")
            assert not ear.listener.holds
            ear.listener._last_pid = other.info.backend_pid
            await _until(lambda: ear.listener.holds)

        Ear(served_url).run(scene)
        with pytest.raises(psycopg.OperationalError):
            other.execute("SELECT 1")


def test_a_database_that_does_not_answer_is_told(served_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """And it is connected to again."""
    with monkeypatch.context() as patch:
        patch.setattr("molecule_approve.server.database.listener._ANSWER", -1.0)

        async def scene(ear: Ear) -> None:
            await _until(lambda: ear.listener.problem == "it does not answer")
            patch.undo()
            await _until(lambda: ear.listener.holds)

        Ear(served_url).run(scene)


def test_without_its_connection_it_is_not_sure(postgres_cluster: Cluster, served_url: str) -> None:
    """After its lease; and it is again, once the database is back."""

    async def scene(ear: Ear) -> None:
        await _until(lambda: ear.listener.holds)
        await asyncio.to_thread(postgres_cluster.stop, signal.SIGQUIT)
        try:
            await _until(lambda: "refused" in ear.listener.problem)
            assert ear.listener.holds
            await _until(lambda: not ear.listener.holds)
        finally:
            await asyncio.to_thread(postgres_cluster.start)
        await _until(lambda: ear.listener.holds)
        assert ear.joins == 2

    Ear(served_url).run(scene)


class DeafProxy(CommitProxy):
    """Passes no notification on, like a pooler that gives the connection to others after each transaction."""

    @staticmethod
    def _answers(far: socket.socket, near: socket.socket, deaf: threading.Event) -> None:
        while data := far.recv(65_536):
            if not data.startswith(b"A"):
                near.sendall(data)
        CommitProxy._answers(far, near, deaf)


def test_a_pooler_that_keeps_events_back_is_told(
    postgres_cluster: Cluster, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server does not join: it would hear of no decision, and others could take it for one that has ended."""
    monkeypatch.setattr("molecule_approve.server.database.listener._ANSWER", 1.0)

    async def scene(ear: Ear) -> None:
        await _until(lambda: "must be in session mode" in ear.listener.problem)
        assert (ear.joins, ear.listener.holds) == (0, False)

    with DeafProxy(postgres_cluster.port) as proxy:
        Ear(postgres_url.replace(f":{postgres_cluster.port}/", f":{proxy.port}/")).run(scene)


def test_what_others_say_before_the_own_word_is_read_and_not_heard(
    postgres_cluster: Cluster, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Joining reads all that was before."""
    name = postgres_url.rpartition("/")[2]
    connect = Listener._connect

    async def connected(listener: Listener) -> psycopg.AsyncConnection[object]:
        found = await connect(listener)
        postgres_cluster.run("SELECT pg_notify('molecule_approve', 'early')", name)
        return found

    monkeypatch.setattr(Listener, "_connect", connected)

    async def scene(ear: Ear) -> None:
        await _until(lambda: ear.listener.holds)
        postgres_cluster.run("SELECT pg_notify('molecule_approve', 'late')", name)
        await _until(lambda: bool(ear.heard))
        assert ear.heard == ["late"]

    Ear(postgres_url).run(scene)
