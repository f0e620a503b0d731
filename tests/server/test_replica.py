"""Several servers of one database: a decision on one is known on all, and what one leaves behind is written by another."""

from __future__ import annotations

import signal
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

import httpx
import pytest
import sqlalchemy as sa
from websockets.exceptions import ConnectionClosed

from molecule_approve.audit.journal import Journal
from molecule_approve.clock import utc_now
from molecule_approve.errors import ServerError
from molecule_approve.paths import locate
from molecule_approve.server import credentials
from molecule_approve.server.database.queries.replicas import lock_key
from molecule_approve.server.database.values import ReplicaRow
from molecule_approve.server.outbox import record_of
from molecule_approve.server.run import Running
from tests.callers import let_pass, until
from tests.integration.proxy import Proxy
from tests.server.commits import CommitProxy
from tests.server.desk import PATIENCE, Desk, Socket, read_log
from tests.server.holding import log_held
from tests.server.serving import environment
from tests.server.team import Team, recorded, requester_of

if TYPE_CHECKING:
    from pathlib import Path

    from tests.server.postgres import Cluster


@pytest.fixture
def team(served_url: str) -> Iterator[Team]:
    """No server yet."""
    with Team(served_url) as found:
        yield found


@pytest.fixture
def pair(team: Team) -> tuple[Desk, Desk]:
    """Desks at two servers."""
    first = team.desk()
    return first, team.at(team.start())


def _run(team: Team, cluster: Cluster, statement: str) -> list[tuple[object, ...]]:
    return cluster.run(statement, team.url.rpartition("/")[2])


# --- events


def test_a_decision_on_one_server_wakes_the_waiters_of_another(pair: tuple[Desk, Desk]) -> None:
    """A call that waits, a requester's stream and an approver's page, each at the other server, hear of both events."""
    first, second = pair
    with (
        second.listening() as stream,
        second.at_desk(first.session()) as page,
        ThreadPoolExecutor(1) as pool,
    ):
        approval_id = first.ask()
        waiting = pool.submit(second.one, approval_id, PATIENCE)
        assert [one.event()["payload"]["approval_id"] for one in (stream, page)] == [approval_id] * 2
        assert first.decide(approval_id).status_code == 200
        assert waiting.result()["decided_by"] == "alice"
        for one in (stream, page):
            assert one.event()["event"] == "APPROVAL_APPROVED"
            assert one.event()["status"] == "approved"


def test_what_one_server_stores_every_server_knows(pair: tuple[Desk, Desk]) -> None:
    """Requests, decisions, redemptions, idempotency keys and sessions."""
    first, second = pair
    approval_id = first.ask()
    assert second.decide(approval_id).status_code == 200
    assert first.decide(approval_id, "denied").status_code == 409
    assert first.redeem(approval_id).status_code == 200
    assert second.redeem(approval_id).status_code == 409
    key = {"Idempotency-Key": "k"}
    asked = [desk.asker.post(desk.path, json={"action": "a"}, headers=key) for desk in pair]
    assert [answer.status_code for answer in asked] == [201, 200]
    with second.client(first.session()) as client:
        assert client.get("/desk/requests").status_code == 200


def test_a_request_expires_although_its_server_is_gone(team: Team) -> None:
    """The timer of any other server does it, as soon as it hears of the request."""
    first = team.desk(team.start())
    with Running(team.plan()) as gone:
        approval_id = team.at(gone).ask(expires_in=0.5)
    assert first.one(approval_id, wait=PATIENCE)["decided_by"] == "auto-expired"


def test_of_many_deciders_at_two_servers_one_wins(pair: tuple[Desk, Desk]) -> None:
    """And one redeems."""
    approval_id = pair[0].ask()
    with ThreadPoolExecutor(16) as pool:
        codes = list(pool.map(lambda number: pair[number % 2].decide(approval_id).status_code, range(16)))
        assert sorted(codes) == [200] + [409] * 15
        codes = list(pool.map(lambda number: pair[number % 2].redeem(approval_id).status_code, range(16)))
        assert sorted(codes) == [200] + [409] * 15


def test_failed_logins_are_counted_over_all_servers(team: Team) -> None:
    """After a second a caller has no more attempts at the second server than at the first; a valid token is let in."""
    first = team.desk(team.start(failed_login_rate=5))
    second = team.at(team.start(failed_login_rate=5))
    with first.client("wrong") as client:
        assert [client.get(first.path).status_code for _ in range(6)] == [401] * 5 + [429]
    with second.client("wrong as well") as client:
        until(lambda: second.select("SELECT sum(count) FROM rates") != [(None,)], "nothing is counted")
        assert client.get(second.path).status_code == 401  # makes it ask what the others counted
        let_pass(1.5)
        assert client.get(second.path).status_code == 429
    assert second.asker.get(second.path).status_code == 200
    assert first.decider.get("/desk/requests").status_code == 200


def test_what_is_told_of_unknown_requests_disturbs_nobody(team: Team, postgres_cluster: Cluster) -> None:
    """Nor does what another program tells on the same channel."""
    desk = team.desk()
    with desk.listening() as stream:
        for line in ("nonsense", "ended no-such-request w", f"ended no-such-request {desk.workspace_id}"):
            _run(team, postgres_cluster, f"SELECT pg_notify('molecule_approve', '{line}')")
        approval_id = desk.ask()
        assert stream.event()["payload"]["approval_id"] == approval_id


def test_an_ended_server_that_left_nothing_is_forgotten(team: Team) -> None:
    """At the next start of any server; one that comes back writes itself down again."""
    first, home = team.desk(), team.home()
    with Running(team.plan(home)):
        assert first.select("SELECT count(*) FROM replicas") == [(2,)]
    with Running(team.plan()):
        assert first.select("SELECT count(*) FROM replicas") == [(2,)]
        with Running(team.plan(home)):
            assert first.select("SELECT count(*) FROM replicas") == [(3,)]


def test_a_server_that_was_taken_for_ended_writes_itself_down_again(team: Team, postgres_cluster: Cluster) -> None:
    """Another one started while its connection was broken; without its row nobody would look into its log after its end."""
    first = team.desk()
    rows = first.select("SELECT id, log FROM replicas")
    _run(team, postgres_cluster, "DELETE FROM replicas")
    assert first.select("SELECT id, log FROM replicas") == []
    others = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    _run(team, postgres_cluster, f"SELECT pg_terminate_backend(pid) {others}")
    until(lambda: first.select("SELECT id, log FROM replicas") == rows, "it is not known any more")


# --- the database is away


def test_what_happened_without_a_connection_is_read_again(team: Team, postgres_cluster: Cluster) -> None:
    """Streams are closed, so that their clients look; calls that wait look by themselves."""
    with Proxy(postgres_cluster.port) as proxy:
        far = Team(team.url.replace(str(postgres_cluster.port), str(proxy.port)))
        first = team.desk()
        with far:
            second = team.at(far.start())
            approval_id = first.ask()
            with second.listening() as stream, ThreadPoolExecutor(1) as pool:
                waiting = pool.submit(second.one, approval_id, PATIENCE)
                # A call that has yet to look at the request would look now, and fail where the stall lasts.
                until(lambda: "\nmolecule_waiting_calls 1.0\n" in second.asker.get("/metrics").text)
                until(lambda: second.one(approval_id)["status"] == "pending")
                proxy.stall()
                assert first.decide(approval_id).status_code == 200
                proxy.cut()
                assert waiting.result()["status"] == "approved"
                until(lambda: _is_closed(stream), "the stream stays open")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT], ids=["restarted", "crashed"])
def test_a_database_that_comes_back_finds_all_servers_at_work(
    team: Team, pair: tuple[Desk, Desk], postgres_cluster: Cluster, number: signal.Signals
) -> None:
    """Meanwhile calls are refused with 503, readiness included; afterwards a decision wakes waiters at the other one."""
    first, second = pair
    approval_id = first.ask()
    with postgres_cluster.away(number):
        for desk in pair:
            assert desk.decide(approval_id).status_code == 503
    for desk in pair:
        until(partial(_is_pending, desk, approval_id), "a server does not come back")
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(second.one, approval_id, PATIENCE)
        until(lambda: first.decide(approval_id).status_code in {200, 409}, "the first server does not decide")
        assert waiting.result()["status"] == "approved"
    until(lambda: len(first.journal()) + len(second.journal()) == 1, "the decision is not in one log")
    assert all("cannot use the database postgresql://" in said for said in team.said)
    assert all("which needs no restart; check that PostgreSQL runs, and takes connections" in said for said in team.said)


@pytest.mark.parametrize("reaches", [True, False], ids=["stored", "lost"])
def test_a_commit_whose_answer_is_lost_is_answered_rightly(
    team: Team, postgres_cluster: Cluster, served_url: str, reaches: bool
) -> None:
    """Asked once, decided by whom it was decided, withdrawn, redeemed by whom it was redeemed; each is recorded once."""
    with CommitProxy(postgres_cluster.port) as proxy:
        with Team(served_url.replace(str(postgres_cluster.port), str(proxy.port))) as far:
            desk = far.desk()
            for _ in range(2):
                proxy.break_next(reaches=reaches)
                approval_id = desk.ask("broken")
                proxy.break_next(reaches=reaches)
                assert desk.decide(approval_id, comment="fine").status_code == 200
                assert desk.one(approval_id)["decided_by"] == "alice"
                proxy.break_next(reaches=reaches)
                assert desk.redeem(approval_id, str(uuid.uuid4())).status_code == 200
                assert desk.redeem(approval_id).status_code == 409
                second = desk.ask()
                proxy.break_next(reaches=reaches)
                assert desk.withdraw(second).status_code == 200
                assert desk.withdraw(second).status_code == 409
            asked = desk.asker.get(desk.path).json()
            assert len(asked) == 4
            until(lambda: len(desk.journal()) == 4, "what was decided is not in the log")
            until(lambda: desk.select("SELECT count(*) FROM journal WHERE journaled") == [(4,)], "it is not noted")
            assert len({record["approval_id"] for record in desk.journal()}) == 4
        assert proxy.broken == 8


def _is_pending(desk: Desk, approval_id: str) -> bool:
    return desk.one(approval_id).get("status") == "pending"


def _is_closed(stream: Socket) -> bool:
    try:
        stream.event()
    except ConnectionClosed:
        return True
    return False


# --- what is left behind


def _left(team: Team, home: Path, *, append: bool) -> str:
    """A server in a process of its own that is killed after a decision: the id. ``append``: the log has it, unnoted."""
    places = locate(environment(home))
    with team.process(home) as (process, url):
        workspace, token = requester_of(home)
        path, headers = f"{url}/workspaces/{workspace}/approvals", {"Authorization": f"Bearer {token}"}
        approval_id = str(httpx.post(path, headers=headers, json={"action": "a"}).json()["approval_id"])
        with log_held(places):
            decided = httpx.post(
                f"{path}/{approval_id}/decide",
                headers=dict(team.desk().decider.headers),
                json={"decision": "approved"},
                timeout=PATIENCE,
            )
            assert decided.status_code == 200
            process.kill()
            process.wait(PATIENCE)
    if append:
        with team.desk().server.opened() as store, store.read() as transaction:
            (owner,) = transaction.outbox.owners()
            (entry,) = transaction.outbox.unrecorded_of(owner)
        Journal(places.server_log).append(record_of(entry), patience=1.0)
    return approval_id


@pytest.mark.parametrize("append", [False, True], ids=["not recorded", "recorded, not noted"])
def test_what_a_killed_server_left_is_in_one_log_once(team: Team, append: bool) -> None:
    """Another server looks into its log first, and writes what is missing there into its own."""
    desk, home = team.desk(), team.home()
    approval_id = _left(team, home, append=append)
    until(lambda: desk.select("SELECT count(*) FROM journal WHERE journaled") == [(1,)], "nobody takes it over")
    ours = [record["approval_id"] for record in read_log(desk.server.places)]
    assert (recorded(home), ours) == (([approval_id], []) if append else ([], [approval_id]))
    with team.process(home) as (_, url):
        assert httpx.get(f"{url}/").status_code == 200
    assert recorded(home) + ours == [approval_id]


def test_a_server_that_comes_back_in_time_writes_what_it_left(team: Team) -> None:
    """Nobody takes it over before its time."""
    desk, home = team.desk(team.start(takeover=60.0)), team.home()
    approval_id = _left(team, home, append=False)
    with team.process(home):
        until(lambda: desk.select("SELECT count(*) FROM journal WHERE journaled") == [(1,)], "it does not write it")
    assert recorded(home) == [approval_id]
    assert read_log(desk.server.places) == []


@pytest.mark.parametrize("how", ["another machine", "another user", "forgotten", "damaged"])
def test_a_log_that_cannot_be_read_is_told(team: Team, postgres_cluster: Cluster, how: str) -> None:
    """What was not noted is written nevertheless; the warning says that it may be in both logs."""
    home = team.home()
    team.desk(team.start(takeover_blind=1.5))
    approval_id = _left(team, home, append=False)
    places = locate(environment(home))
    if how == "another machine":
        _run(team, postgres_cluster, "UPDATE replicas SET host = 'elsewhere' WHERE log LIKE '%" + home.name + "%'")
    elif how == "another user":
        _run(team, postgres_cluster, "UPDATE replicas SET log = '/none/of/ours' WHERE log LIKE '%" + home.name + "%'")
    elif how == "forgotten":
        _run(team, postgres_cluster, "DELETE FROM replicas WHERE log LIKE '%" + home.name + "%'")
    else:
        places.server_log.mkdir()
    desk = team.desk()
    until(lambda: [record["approval_id"] for record in desk.journal()] == [approval_id], "nobody takes it over")
    (said,) = team.said
    assert "has ended, and its audit log cannot be read here: the last 1 decisions" in said


def test_what_was_taken_over_is_not_written_by_its_first_server(team: Team, postgres_cluster: Cluster) -> None:
    """A server that lost its connection does not append, and reads again what is its own before it goes on."""
    with Proxy(postgres_cluster.port) as proxy:
        first = team.desk()
        with Team(team.url.replace(str(postgres_cluster.port), str(proxy.port))) as far:
            second = team.at(far.start(audit_patience=0.1, audit_retry_delay=0.1))
            approval_id = second.ask()
            with log_held(second.server.places):
                assert second.decide(approval_id).status_code == 200
                proxy.stall()
                _run(team, postgres_cluster, "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'")
                until(lambda: len(first.journal()) == 1, "the first server does not take it over")
                let_pass(5.0)  # the lease of the second one
            proxy.cut()
            until(lambda: second.one(approval_id).get("status") == "approved", "it does not come back")
            other = second.ask()
            assert second.decide(other).status_code == 200
            until(lambda: [record["approval_id"] for record in second.journal()] == [other], "it does not write")
    assert [record["approval_id"] for record in first.journal()] == [approval_id]


# --- starting


@pytest.mark.parametrize(("theirs", "ours"), [(None, "https://a.example"), ("https://a.example", "https://b.example")])
def test_servers_with_different_addresses_are_refused(team: Team, theirs: str | None, ours: str) -> None:
    """A link from one of them would not lead to the other; one that has ended does not count."""
    with Running(team.plan(public_url=theirs)):
        with pytest.raises(ServerError, match=f"has the public URL {theirs or 'none'}, and this one {ours}") as caught:
            Running(team.plan(public_url=ours)).__enter__()
        assert "--public-url" in (caught.value.hint or "")
        with Running(team.plan(public_url=theirs)):
            pass
    with Running(team.plan(public_url=ours)):
        pass


def test_a_server_that_starts_waits_for_another_one_that_starts(team: Team, postgres_cluster: Cluster) -> None:
    """Otherwise neither would see that the other has a different address."""
    plan, other = team.plan(public_url="https://b.example"), ReplicaRow("other", "host", "log", "https://a.example")
    with ThreadPoolExecutor(1) as pool, credentials.opened(plan.places, database=plan.database) as store:
        with store.write() as transaction:
            transaction.replicas.wait_for_others()
            transaction.connection.execute(sa.select(sa.func.pg_advisory_lock(lock_key(other.id))))
            starting = pool.submit(Running(plan).__enter__)
            until(lambda: _run(team, postgres_cluster, "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"))
            transaction.replicas.register(other, utc_now())
        with pytest.raises(ServerError, match=r"has the public URL https://a\.example, and this one https://b\.example"):
            starting.result(PATIENCE)


def test_a_copied_state_folder_is_refused(team: Team) -> None:
    """Two servers with one id would write each other's records."""
    plan, other = team.plan(), team.plan(start=4.0)
    with Running(plan):
        other.places.state.mkdir(mode=0o700, parents=True)
        other.places.replica.write_text(plan.places.replica.read_text())
        with pytest.raises(ServerError, match="another server has this server's id") as caught:
            Running(other).__enter__()
        assert "must not be copied" in (caught.value.hint or "")


def test_an_id_that_is_none_is_refused(team: Team) -> None:
    """The file is named."""
    plan = team.plan()
    plan.places.state.mkdir(mode=0o700, parents=True)
    plan.places.replica.write_text("nonsense")
    with pytest.raises(ServerError, match=f"cannot use {plan.places.replica}"):
        Running(plan).__enter__()


def test_servers_that_start_together_share_a_workspace(team: Team) -> None:
    """And each has a requester of its own, whose token stays valid when another one starts."""
    plans = [team.plan() for _ in range(4)]
    servers = [Running(plan) for plan in plans]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda server: server.__enter__(), servers))
    try:
        assert len({server.requester.workspace_id for server in servers}) == 1
        for server in servers:
            path = f"{server.url}/workspaces/{server.requester.workspace_id}/approvals"
            assert httpx.get(path, headers={"Authorization": f"Bearer {server.requester.token}"}).status_code == 200
    finally:
        for server in servers:
            server.stop()


def test_a_database_that_does_not_answer_is_said_with_its_address(team: Team, home: Path) -> None:
    """Without its password."""
    plan = Team("postgresql://alice:s3cret@127.0.0.1:1/db").plan(home)
    with pytest.raises(ServerError, match=r"cannot use the database postgresql://alice@127.0.0.1:1/db: ") as caught:
        Running(plan).__enter__()
    assert "s3cret" not in f"{caught.value} {caught.value.hint}"
