"""The additions of the embedded server: keys, expiry, redeem, withdraw, one request, held answers."""

from __future__ import annotations

import socket
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from tests.server.desk import PATIENCE, Desk

if TYPE_CHECKING:
    from tests.server.conftest import OpenDesk

BOTH_DATABASES = True


def test_a_201_announces_the_address_of_the_request(desk: Desk) -> None:
    """`Location` is exactly the path of the new request, and answers."""
    answer = desk.asker.post(desk.path, json={"action": "a", "reason": "r", "context": {"host": "h"}, "expires_in": 90})
    assert answer.headers["location"] == f"{desk.path}/{answer.json()['approval_id']}"
    found = desk.asker.get(answer.headers["location"]).json()
    assert (found["action"], found["reason"], found["context"], found["status"]) == ("a", "r", {"host": "h"}, "pending")
    assert found["expires_at"] > found["created_at"]
    assert found["decided_by_verified"] is False


def test_a_decision_carries_the_name_on_the_token_and_the_comment(desk: Desk) -> None:
    """The name in the body is not believed; the comment is kept and told."""
    approval_id = desk.ask()
    answer = desk.decide(approval_id, "denied", decided_by="mallory", comment="not on a Friday")
    assert (answer.status_code, answer.json()) == (200, {"approval_id": approval_id, "status": "denied"})
    found = desk.one(approval_id)
    assert (found["decided_by"], found["comment"], found["decided_by_verified"]) == ("alice", "not on a Friday", True)


def test_a_second_decision_is_told_what_won(desk: Desk) -> None:
    """409 names the status, who decided, and the request."""
    approval_id = desk.ask()
    desk.decide(approval_id)
    answer = desk.decide(approval_id, "denied")
    assert answer.status_code == 409
    assert answer.json() == {
        "error": "the request has already ended: approved by alice",
        "code": "ended",
        "approval_id": approval_id,
        "status": "approved",
        "decided_by": "alice",
    }


def test_a_withdrawn_request_cannot_be_decided(desk: Desk) -> None:
    """Withdrawing is a denial by `withdrawn`, which a later click learns about; it cannot be withdrawn twice."""
    approval_id = desk.ask()
    answer = desk.withdraw(approval_id)
    assert (answer.status_code, answer.json()) == (200, {"approval_id": approval_id, "status": "denied"})
    late = desk.decide(approval_id).json()
    assert (late["decided_by"], late["error"]) == ("withdrawn", "the request has already ended: withdrawn")
    assert desk.withdraw(approval_id).json()["code"] == "ended"
    assert desk.one(approval_id)["decided_by_verified"] is False


def test_an_approval_is_used_up_once(desk: Desk) -> None:
    """The same invocation gets the same answer again, with its own id; any other is told when the approval was used."""
    approval_id, invocation = desk.ask(), str(uuid.uuid4())
    desk.decide(approval_id)
    first, again = desk.redeem(approval_id, invocation), desk.redeem(approval_id, invocation.upper())
    assert (first.status_code, again.status_code) == (200, 200)
    assert first.json() == again.json() == {**desk.one(approval_id), "invocation": invocation}
    other = desk.redeem(approval_id)
    assert (other.status_code, other.json()["code"]) == (409, "already_used")
    assert other.json()["used_at"] in other.json()["error"]


@pytest.mark.parametrize("decision", [None, "denied"])
def test_what_is_no_approval_is_only_shown(desk: Desk, decision: str | None) -> None:
    """Redeeming a pending or denied request uses nothing up: each invocation sees it."""
    approval_id = desk.ask()
    if decision:
        desk.decide(approval_id, decision)
    answers = [desk.redeem(approval_id) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].json()["status"] == (decision or "pending")
    if decision is None:
        desk.decide(approval_id)
        assert desk.redeem(approval_id).json()["status"] == "approved"


def test_a_key_takes_the_pending_request_up(desk: Desk) -> None:
    """The same key with the same text gives the same request with 200; another key another one."""
    keys = ["deploy é 7", "deploy é 7", "8"]
    first, again, other = (
        desk.asker.post(desk.path, json={"action": "a"}, headers={b"Idempotency-Key": key.encode()}) for key in keys
    )
    assert (first.status_code, again.status_code, other.status_code) == (201, 200, 201)
    assert first.json() == again.json()
    assert first.headers["location"] == again.headers["location"]
    assert first.json() != other.json()


@pytest.mark.parametrize("changed", [{"action": "b"}, {"action": "a", "reason": "r"}])
def test_a_key_is_good_for_one_text(desk: Desk, changed: dict[str, str]) -> None:
    """Another action or reason under the same key is refused, and names the request that holds the key."""
    headers = {"Idempotency-Key": "k"}
    first = desk.asker.post(desk.path, json={"action": "a"}, headers=headers).json()["approval_id"]
    answer = desk.asker.post(desk.path, json=changed, headers=headers)
    assert (answer.status_code, answer.json()["code"], answer.json()["approval_id"]) == (422, "key_conflict", first)


def test_a_key_never_gives_yesterdays_yes(desk: Desk) -> None:
    """The key of a request that has ended is used, and names that request."""
    headers = {"Idempotency-Key": "k"}
    approval_id = desk.asker.post(desk.path, json={"action": "a"}, headers=headers).json()["approval_id"]
    desk.decide(approval_id)
    answer = desk.asker.post(desk.path, json={"action": "a"}, headers=headers)
    assert (answer.status_code, answer.json()["code"], answer.json()["approval_id"]) == (409, "key_used", approval_id)


@pytest.mark.parametrize("route", ["", "/decide", "/redeem", "/withdraw"])
def test_an_unknown_request_is_unknown(desk: Desk, route: str) -> None:
    """404 as JSON, unlike the plain text that stands for an unknown route."""
    path = f"{desk.path}/{uuid.uuid4()}{route}"
    match route:
        case "":
            answer = desk.asker.get(path)
        case "/decide":
            answer = desk.decider.post(path, json={"decision": "denied"})
        case _:
            answer = desk.asker.post(path, json={"invocation": str(uuid.uuid4())})
    assert answer.status_code == 404
    assert "error" in answer.json()


def test_a_held_answer_comes_with_the_decision(desk: Desk) -> None:
    """`?wait=` answers as soon as the request ends, long before the time is over."""
    approval_id = desk.ask_heard()
    with ThreadPoolExecutor(1) as pool, desk.listening() as stream:
        held = pool.submit(desk.one, approval_id, 30)
        assert not held.done()
        desk.decide(approval_id)
        assert stream.event()["event"] == "APPROVAL_APPROVED"
        assert held.result(PATIENCE)["decided_by"] == "alice"


def test_a_held_answer_ends_with_its_time(open_desk: OpenDesk) -> None:
    """After the time (at most the server's own) the request is told as it is; an ended one at once."""
    desk = open_desk(longest_wait=0.05)
    approval_id = desk.ask()
    assert desk.one(approval_id, 3000)["status"] == "pending"
    desk.decide(approval_id)
    assert desk.one(approval_id, 3000)["status"] == "approved"


def test_a_held_answer_that_nobody_waits_for_is_let_go(desk: Desk) -> None:
    """A caller that hangs up costs the server nothing more; the next calls are answered."""
    approval_id = desk.ask()
    where = urlsplit(desk.server.url)
    with socket.create_connection((where.hostname or "", where.port or 0), PATIENCE) as caller:
        lines = f"GET {desk.path}/{approval_id}?wait=30 HTTP/1.1", f"Host: {where.netloc}"
        token = f"Authorization: Bearer {desk.server.requester.token}"
        caller.sendall("\r\n".join([*lines, token, "", ""]).encode())
    assert desk.one(approval_id)["status"] == "pending"


@pytest.mark.parametrize("wait", ["soon", "-1", "inf", "nan"])
def test_a_wait_that_is_no_number_is_refused(desk: Desk, wait: str) -> None:
    """422 instead of a guess."""
    answer = desk.asker.get(f"{desk.path}/{desk.ask()}", params={"wait": wait})
    assert (answer.status_code, answer.json()["code"]) == (422, "unacceptable")


def test_pending_requests_of_every_workspace_are_listed_for_an_approver(desk: Desk) -> None:
    """With the workspace's name; and reading changes nothing."""
    desk.add_workspace("other", "the other one", "token-of-other")
    mine = desk.ask("mine")
    with desk.client("token-of-other") as other:
        theirs = other.post("/workspaces/other/approvals", json={"action": "theirs"}).json()["approval_id"]
    found = desk.decider.get("/approvals/pending").json()
    assert [(row["id"], row["workspace_name"]) for row in found] == [(theirs, "the other one"), (mine, "local")]
    assert found == desk.decider.get("/approvals/pending").json()


@pytest.mark.usefixtures("untraced")
def test_the_list_of_what_waits_holds_what_the_newest_do_not(desk: Desk) -> None:
    """Newest first, counted by a header, without what has ended; another status is no filter."""
    first, ended, last = desk.ask("first"), desk.ask("ended"), desk.ask("last")
    for _ in range(51):
        desk.withdraw(desk.ask("newer"))
    desk.decide(ended)
    answer = desk.asker.get(f"{desk.path}?status=pending")
    mine = [row["id"] for row in answer.json() if row["id"] in {first, ended, last}]
    assert (answer.status_code, mine) == (200, [last, first])
    assert int(answer.headers["X-Molecule-Waiting"]) == len(answer.json())
    newest = desk.asker.get(f"{desk.path}?status=denied")
    assert (len(newest.json()), "X-Molecule-Waiting" in newest.headers) == (50, False)


@pytest.mark.usefixtures("untraced")
def test_a_task_is_found_behind_any_number_of_newer_requests(open_desk: OpenDesk) -> None:
    """All its requests, ended ones too, newest first; of this workspace alone, and for its members alone."""
    desk = open_desk()
    task_id = str(uuid.uuid4())
    mine = [desk.ask(task_id=task_id) for _ in range(2)]
    desk.decide(mine[0])
    desk.add_workspace("other", "other", "token-of-other")
    for number in range(51):
        desk.ask(task_id=str(number))
    found = desk.asker.get(desk.path, params={"task_id": task_id}).json()
    assert [(row["id"], row["status"]) for row in found] == [(mine[1], "pending"), (mine[0], "approved")]
    with desk.client("token-of-other") as other:
        assert other.get(desk.path, params={"task_id": task_id}).status_code == 401
        assert other.get("/workspaces/other/approvals", params={"task_id": task_id}).json() == []


@pytest.mark.parametrize("query", ["task_id=", "task_id=a&task_id=b", "task_id=" + "a" * 257])
def test_a_task_id_that_can_be_no_requests_is_refused(desk: Desk, query: str) -> None:
    """An empty list would say that nothing was asked."""
    answer = desk.asker.get(f"{desk.path}?{query}")
    assert (answer.status_code, answer.json()["code"]) == (422, "unacceptable")


def test_a_list_has_a_size(open_desk: OpenDesk) -> None:
    """As many requests as fit, one at least; how many wait is told beside, so nobody takes it for all."""
    desk = open_desk(list_size=10_000)
    ids = [desk.ask("a" * 4_000, context={"key": "c" * 500}, task_id="t") for _ in range(4)]
    for path, shown in (
        (f"{desk.path}?status=pending", ids[1::-1]),
        ("/approvals/pending", ids[:1:-1]),
        ("/desk/requests", ids[:2]),
        (f"{desk.path}?task_id=t", ids[:1:-1]),
        (desk.path, ids[::-1]),
    ):
        answer = (desk.decider if path[1] in "ad" else desk.asker).get(path)
        found = answer.json()
        rows = found["pending"] if "desk" in path else found
        assert [row["id"] for row in rows] == shown, path
        if "pending" in path:
            assert answer.headers["X-Molecule-Waiting"] == "4"
        if "desk" in path:
            assert found["waiting"] == 4
    huge = desk.ask("b" * 4_096, reason="\x01" * 2_000)
    for approval_id in ids:
        desk.decide(approval_id)
    assert [row["id"] for row in desk.asker.get(f"{desk.path}?status=pending").json()] == [huge]


def test_an_id_that_no_database_can_hold_names_nothing(open_desk: OpenDesk) -> None:
    """It is refused before the database sees it, which would be taken for away: nothing is warned of."""
    said: list[str] = []
    desk = open_desk(warn=said.append)
    asked = [
        desk.asker.get("/workspaces/%00/approvals"),
        desk.asker.get(f"{desk.path}/%00"),
        desk.asker.post(f"{desk.path}/%00/withdraw"),
        desk.decider.post(f"{desk.path}/%00/decide", json={"decision": "approved"}),
        desk.decider.get("/desk/requests/%00"),
        desk.decider.post("/desk/sessions/%00/end"),
    ]
    assert [answer.status_code for answer in asked] == [404] * len(asked)
    assert desk.asker.get(f"{desk.path}?task_id=%00").status_code == 422
    assert said == []
