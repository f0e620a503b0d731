"""The use cases under pressure: many at once, expiry, restarts; exactly one ending each, the same everywhere."""

from __future__ import annotations

import sqlite3
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from functools import partial
from typing import TYPE_CHECKING

import httpx
import pytest

from molecule_approve.server.run import Running, ServePlan
from molecule_approve.wire import ONCE_HEADER
from tests.callers import until
from tests.server.desk import PATIENCE, Desk, desk_of, unsigned

if TYPE_CHECKING:
    from molecule_approve.paths import Places
    from tests.server.conftest import OpenDesk

BOTH_DATABASES = True

RACERS = 64


def _race(calls: list[Callable[[], httpx.Response]]) -> list[httpx.Response]:
    """All at once, each in a thread and on a connection of its own."""
    line = threading.Barrier(len(calls))

    def run(call: Callable[[], httpx.Response]) -> httpx.Response:
        line.wait(PATIENCE)
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


def _journaled(desk: Desk, approval_id: str) -> list[tuple[str, str | None]]:
    return [(row["outcome"], row["decided_by"]) for row in desk.journal() if row["approval_id"] == approval_id]


@pytest.mark.usefixtures("untraced")
def test_of_sixty_four_deciders_one_wins(desk: Desk) -> None:
    """The others get 409 that says who won; database and log agree; the stream tells one decision."""
    approval_id = desk.ask_heard()
    tokens = {f"approver-{number}": desk.server.add_approver(f"approver-{number}") for number in range(RACERS)}
    path = f"{desk.path}/{approval_id}/decide"
    with ExitStack() as stack, desk.listening() as stream:
        clients = [stack.enter_context(desk.client(token)) for token in tokens.values()]
        for client in clients:
            client.get("/health")
        bodies = [{"decision": "approved" if number % 2 else "denied"} for number in range(RACERS)]
        answers = _race([partial(c.post, path, json=b) for c, b in zip(clients, bodies, strict=True)])
        winners = [number for number, answer in enumerate(answers) if answer.status_code == 200]
        assert len(winners) == 1
        won = f"approver-{winners[0]}"
        status = bodies[winners[0]]["decision"]
        for number, answer in enumerate(answers):
            if number != winners[0]:
                assert (answer.status_code, answer.json()["decided_by"], answer.json()["status"]) == (409, won, status)
        found = desk.one(approval_id)
        assert (found["status"], found["decided_by"]) == (status, won)
        assert _journaled(desk, approval_id) == [("granted" if status == "approved" else "denied", won)]
        assert stream.events(2) == [f"APPROVAL_{status.upper()}", "APPROVAL_DECIDED"]
        desk.ask("the next")
        assert stream.event()["event"] == "APPROVAL_REQUESTED"


@pytest.mark.usefixtures("untraced")
def test_approval_withdrawal_expiry_and_redemption_agree_on_one_ending(desk: Desk) -> None:
    """Whoever comes first: answers, database and log tell the same, and nobody uses up what is no approval."""
    endings = set()
    for number in range(30):
        approval_id = desk.ask(expires_in=0.004 if number % 3 == 0 else 60)
        decide, withdraw, redeem = _race(
            [
                partial(desk.decide, approval_id),
                partial(desk.withdraw, approval_id),
                partial(desk.redeem, approval_id),
            ]
        )
        found = desk.one(approval_id)
        endings.add(found["decided_by"])
        assert (decide.status_code == 200) == (found["decided_by"] == "alice")
        assert (withdraw.status_code == 200) == (found["decided_by"] == "withdrawn")
        if found["decided_by"] == "auto-expired":
            assert {decide.status_code, withdraw.status_code} == {409}
        assert redeem.status_code == 200
        assert redeem.json()["status"] in {"pending", found["status"]}
        outcome = {"alice": "granted", "withdrawn": "withdrawn", "auto-expired": "timeout"}[found["decided_by"]]
        # An expiry by the timer can be read a moment before it is journaled.
        until(partial(_journaled, desk, approval_id), "the ending is not journaled")
        assert _journaled(desk, approval_id) == [(outcome, found["decided_by"])]
    assert endings <= {"alice", "withdrawn", "auto-expired"}


def test_of_many_redemptions_one_is_the_first(desk: Desk) -> None:
    """Sixteen invocations of one approval: one 200, the others are told when it was used."""
    approval_id = desk.ask()
    desk.decide(approval_id)
    answers = _race([lambda: desk.redeem(approval_id) for _ in range(16)])
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 15


def test_of_many_submissions_with_one_key_one_is_new(desk: Desk) -> None:
    """The others take it up: one live request for one key."""
    headers = {"Idempotency-Key": "once"}
    answers = _race([lambda: desk.asker.post(desk.path, json={"action": "a"}, headers=headers) for _ in range(16)])
    assert sorted(answer.status_code for answer in answers) == [200] * 15 + [201]
    assert len({answer.json()["approval_id"] for answer in answers}) == 1


def test_a_request_expires_by_itself_and_cannot_be_decided_afterwards(desk: Desk) -> None:
    """At its time, without anybody reading: a held answer ends with it."""
    approval_id = desk.ask(expires_in=0.05)
    found = desk.one(approval_id, wait=PATIENCE)
    assert (found["status"], found["decided_by"], found["decided_by_verified"]) == ("denied", "auto-expired", False)
    answer = desk.decide(approval_id)
    assert (answer.status_code, answer.json()["decided_by"]) == (409, "auto-expired")


def test_a_sooner_expiry_wakes_the_timer(desk: Desk) -> None:
    """A short request behind a long one does not wait for the long one's time."""
    desk.ask(expires_in=3600)
    assert desk.one(desk.ask(expires_in=0.05), wait=PATIENCE)["decided_by"] == "auto-expired"


def test_without_a_time_of_its_own_a_request_stands_as_long_as_the_server_says(open_desk: OpenDesk) -> None:
    """For clients of the platform, which names no time in its requests."""
    desk = open_desk(expiry=0.05)
    assert desk.one(desk.ask(), wait=PATIENCE)["decided_by"] == "auto-expired"


def test_nobody_sees_an_expired_request_as_pending(desk: Desk) -> None:
    """Even where the timer is late, as after a sleep: each read and each decision looks at the time first."""
    for look in ("one", "list", "pending", "decide"):
        approval_id = desk.ask(expires_in=3600)
        desk.change("UPDATE approvals SET expires = ? WHERE id = ?", time.time() - 1, approval_id)
        match look:
            case "one":
                assert desk.one(approval_id)["decided_by"] == "auto-expired"
            case "list":
                assert desk.asker.get(desk.path).json()[0]["decided_by"] == "auto-expired"
            case "pending":
                assert desk.decider.get("/approvals/pending").json() == []
            case _:
                assert desk.decide(approval_id).json()["decided_by"] == "auto-expired"


def test_a_key_does_not_take_up_what_has_expired(desk: Desk) -> None:
    """Even where the timer is late; the next request brings the expiry with it."""
    headers = {"Idempotency-Key": "k"}
    first = desk.asker.post(desk.path, json={"action": "a", "expires_in": 3600}, headers=headers).json()["approval_id"]
    desk.change("UPDATE approvals SET expires = 1")
    answer = desk.asker.post(desk.path, json={"action": "a"}, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (409, "key_used")
    desk.ask()
    until(lambda: _journaled(desk, first) == [("timeout", "auto-expired")], "the expiry is not journaled")
    assert desk.one(first)["decided_by"] == "auto-expired"


def test_a_restart_keeps_everything_and_expires_what_was_due_meanwhile(server_places: Places) -> None:
    """Workspace, token, requests, used approvals; and what should have expired while nobody served, expires at once."""
    invocation = str(uuid.uuid4())
    with Running(ServePlan(server_places)) as first, desk_of(first) as desk:
        pending, due, used = desk.ask("pending", context={"k": "v"}), desk.ask("due", expires_in=3600), desk.ask("used")
        desk.decide(used, comment="yes")
        assert desk.redeem(used, invocation).status_code == 200
        before = [desk.one(pending), desk.one(used)]
        requester = first.requester
    with closing(sqlite3.connect(server_places.database)) as database, database:
        database.execute("UPDATE approvals SET expires = 1 WHERE id = ?", [due])
    with Running(ServePlan(server_places)) as second:
        assert second.requester == requester
        headers = {"Authorization": f"Bearer {requester.token}"}
        path = f"{second.url}/workspaces/{requester.workspace_id}/approvals"
        assert [unsigned(httpx.get(f"{path}/{one}", headers=headers).json()) for one in (pending, used)] == before
        assert httpx.get(f"{path}/{due}", headers=headers, params={"wait": "9"}).json()["decided_by"] == "auto-expired"
        again = httpx.post(f"{path}/{used}/redeem", headers=headers, json={"invocation": invocation})
        other = httpx.post(f"{path}/{used}/redeem", headers=headers, json={"invocation": str(uuid.uuid4())})
        assert (again.status_code, other.status_code) == (200, 409)


@pytest.mark.sqlite_only
def test_while_the_database_is_locked_the_answer_is_503(open_desk: OpenDesk) -> None:
    """Never a 401 for a valid token, and nothing half done; afterwards all is as before."""
    desk = open_desk(database_patience=0.05)
    approval_id = desk.ask()
    with closing(sqlite3.connect(desk.server.places.database, isolation_level=None)) as holder:
        holder.execute("BEGIN EXCLUSIVE")
        for answer in (desk.decide(approval_id), desk.asker.post(desk.path, json={"action": "a"}), desk.redeem(approval_id)):
            assert (answer.status_code, answer.json()["code"]) == (503, "platform_unavailable")
        # Readers need no lock.
        assert desk.one(approval_id)["status"] == "pending"
        holder.execute("ROLLBACK")
    assert desk.decide(approval_id).status_code == 200


@pytest.mark.sqlite_only
def test_an_expiry_that_the_database_refuses_is_tried_again(open_desk: OpenDesk) -> None:
    """A lock at the wrong moment costs the timer a second, not its life."""
    desk = open_desk(database_patience=0.01)
    approval_id = desk.ask(expires_in=0.1)
    with closing(sqlite3.connect(desk.server.places.database, isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        # A read after its time finds it due, and cannot expire it.
        assert desk.asker.get(f"{desk.path}/{approval_id}", params={"wait": "0.2"}).status_code == 503
        holder.execute("ROLLBACK")
    assert desk.one(approval_id, wait=PATIENCE)["decided_by"] == "auto-expired"


def test_a_clock_that_is_set_back_prolongs_no_request(open_desk: OpenDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    """It expires when its time has passed, whatever the wall clock says by then."""
    desk, real = open_desk(), time.time
    approval_id = desk.ask(expires_in=1)
    monkeypatch.setattr(time, "time", lambda: real() - 3_600)
    assert desk.one(approval_id, wait=9)["decided_by"] == "auto-expired"


@pytest.mark.sqlite_only
def test_a_database_that_cannot_be_used_is_told_once(open_desk: OpenDesk) -> None:
    """With its path and the cause; again only after it had worked in between."""
    told: list[str] = []
    desk = open_desk(database_patience=0.01, warn=told.append)
    for times in (1, 2):
        with closing(sqlite3.connect(desk.server.places.database, isolation_level=None)) as holder:
            holder.execute("BEGIN IMMEDIATE")
            for _ in range(3):
                assert desk.asker.post(desk.path, json={"action": "a"}).status_code == 503
        assert len(told) == times
        desk.ask()
    assert str(desk.server.places.database) in told[0]
    assert "locked" in told[0]


@pytest.mark.sqlite_only
def test_what_is_stored_after_its_caller_was_refused_is_recorded_and_told(
    open_desk: OpenDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database took too long for a decision and for a request, and stored them all the same."""
    # Long enough for what must succeed on a machine that is busy.
    monkeypatch.setattr("molecule_approve.server.threads._LONGEST", 1.0)
    desk = open_desk(database_patience=PATIENCE)
    approval_id = desk.ask()
    for call, told in (
        (partial(desk.decide, approval_id), ["APPROVAL_APPROVED", "APPROVAL_DECIDED"]),
        (partial(desk.asker.post, desk.path, json={"action": "late"}), ["APPROVAL_REQUESTED"]),
    ):
        with desk.listening() as stream:
            with closing(sqlite3.connect(desk.server.places.database, isolation_level=None)) as holder:
                holder.execute("BEGIN IMMEDIATE")
                assert call().status_code == 503
            assert stream.events(len(told)) == told
    assert _journaled(desk, approval_id) == [("granted", "alice")]


def test_a_request_that_is_sent_again_is_asked_once(desk: Desk) -> None:
    """By its task id, where its sender wants that: at the same time, later, and when it has ended; others may share one."""
    task_id = str(uuid.uuid4())
    headers = dict([ONCE_HEADER])

    def send(number: int, **more: str) -> tuple[int, str]:
        answer = desk.asker.post(desk.path, json={"action": "deploy", "task_id": task_id, **more}, headers=headers)
        return answer.status_code, answer.json().get("approval_id", answer.json().get("code"))

    with ThreadPoolExecutor(8) as pool:
        sent = list(pool.map(send, range(16)))
    approval_id = sent[0][1]
    assert sorted(sent) == [(200, approval_id)] * 15 + [(201, approval_id)]
    assert desk.decide(approval_id).status_code == 200
    assert send(0) == (200, approval_id)
    assert send(0, action="another") == (422, approval_id)
    assert len(desk.asker.get(desk.path, params={"task_id": task_id}).json()) == 1
    for number in range(2):
        desk.ask(task_id=task_id)
        assert len(desk.asker.get(desk.path, params={"task_id": task_id}).json()) == 2 + number


@pytest.mark.parametrize("task_id", ["", "build-7"])
def test_what_is_no_uuid_names_no_single_request(desk: Desk, task_id: str) -> None:
    """A label that many requests may have is not taken for a name of one."""
    body, headers = {"action": "deploy", "task_id": task_id}, dict([ONCE_HEADER])
    assert [desk.asker.post(desk.path, json=body, headers=headers).status_code for _ in range(2)] == [201, 201]


def test_what_has_expired_unnoticed_takes_no_place_of_a_new_request(open_desk: OpenDesk) -> None:
    """It ends in the transaction that counts the open requests."""
    desk = open_desk(pending=1)
    first = desk.ask(expires_in=3_000)
    desk.change("UPDATE approvals SET expires = 1")
    assert desk.one(desk.ask())["status"] == "pending"
    assert desk.one(first)["decided_by"] == "auto-expired"
