"""A server among others whose database lets it wait, at the moments in which it has to look what the others did."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("psycopg")

import psycopg

from molecule_approve.server.database.values import StoreError
from molecule_approve.server.replica import Replica
from molecule_approve.server.run import Running
from molecule_approve.server.service import Service
from tests.callers import until
from tests.server.team import Team

if TYPE_CHECKING:
    from molecule_approve.server.database.values import Change
    from tests.server.desk import Desk
    from tests.server.postgres import Cluster


@pytest.fixture
def team(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Team]:
    """No server yet; the later ones do not wait long with their next try."""
    with Team(postgres_url) as found:
        monkeypatch.setattr("molecule_approve.server.replica._PAUSE", 0.05)
        yield found


@contextmanager
def _locked(url: str, table: str) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    """Nobody else reads or writes this table inside the block."""
    with psycopg.connect(url) as connection:
        connection.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE".encode())
        yield connection
        connection.rollback()


def test_what_was_told_while_nobody_could_look_is_told_afterwards(
    team: Team, postgres_cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database told of an end, and did not answer when the server looked at the request: it looks again."""
    looks, heard = [0], Service.heard

    async def counted(service: Service, changes: Sequence[Change]) -> None:
        looks[0] += 1
        await heard(service, changes)

    desk = team.desk()
    approval_id = desk.ask()
    assert desk.decide(approval_id).status_code == 200
    told = f"SELECT pg_notify('molecule_approve', 'ended {approval_id} {desk.workspace_id}')"
    with desk.listening() as stream:
        with _locked(team.url, "approvals"):
            monkeypatch.setattr("molecule_approve.server.threads._LONGEST", 0.3)
            monkeypatch.setattr(Service, "heard", counted)
            for _ in range(3):
                postgres_cluster.run(told, team.url.rpartition("/")[2])
            until(lambda: looks[0] >= 2, "it does not look again")
        assert stream.events(6) == ["APPROVAL_APPROVED", "APPROVAL_DECIDED"] * 3


def test_a_server_that_cannot_say_where_it_is_tries_again(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    """The database took its connection back, and did not answer; and one that is known already writes itself down once."""
    failed, join = [0], Replica._join

    async def counted(replica: Replica) -> None:
        try:
            await join(replica)
        except StoreError:
            failed[0] += 1
            raise

    monkeypatch.setattr(Replica, "_join", counted)
    # Long enough for what must succeed on a machine that is busy.
    monkeypatch.setattr("molecule_approve.server.threads._LONGEST", 2.0)
    desk = team.desk()
    before = _replicas(desk)
    with _locked(team.url, "replicas") as connection:
        others = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        connection.execute("DELETE FROM replicas")
        connection.execute(f"SELECT pg_terminate_backend(pid) {others}".encode())
        until(lambda: failed[0], "it did not come back")
        connection.execute("COMMIT")
    until(lambda: _replicas(desk) == before, "it is not known any more")
    for home in [team.home()] * 2:
        with Running(team.plan(home)):
            # Written by an attempt that had lost its lock again, the first one's row may go, and comes back.
            until(lambda: len(_replicas(desk)) == 2, "they are not known, each once")


def _replicas(desk: Desk) -> list[tuple[object, ...]]:
    return desk.select("SELECT id, log FROM replicas")
