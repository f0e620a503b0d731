"""Who may do what: roles, tokens, and the limits on rates."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from molecule_approve.server import access
from molecule_approve.server.limits import Limits
from tests.integration.raw_http import PLAIN

if TYPE_CHECKING:
    from tests.server.conftest import OpenDesk
    from tests.server.desk import Desk

BOTH_DATABASES = True


def test_a_requesters_token_can_never_decide(desk: Desk) -> None:
    """403 with a sentence, and the request stays open."""
    approval_id = desk.ask()
    answer = desk.asker.post(f"{desk.path}/{approval_id}/decide", json={"decision": "approved", "decided_by": "alice"})
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    assert desk.one(approval_id)["status"] == "pending"


@pytest.mark.parametrize("route", ["redeem", "withdraw"])
def test_only_the_requester_redeems_and_withdraws(desk: Desk, route: str) -> None:
    """An approver's token cannot use an approval up or take a request back."""
    approval_id = desk.ask()
    answer = desk.decider.post(f"{desk.path}/{approval_id}/{route}", json={"invocation": str(uuid.uuid4())})
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    assert desk.one(approval_id)["status"] == "pending"


def test_a_workspace_sees_nothing_of_another(desk: Desk) -> None:
    """Its token is wrong there, and its requests are unknown under any other workspace."""
    desk.add_workspace("other", "other", "token-of-other")
    approval_id = desk.ask()
    with desk.client("token-of-other") as other:
        assert other.get(f"{desk.path}/{approval_id}").status_code == 401
        assert other.get(f"/workspaces/other/approvals/{approval_id}").status_code == 404
        assert other.post(f"/workspaces/other/approvals/{approval_id}/withdraw").status_code == 404
    assert desk.one(approval_id)["status"] == "pending"


def test_an_unknown_workspace_is_told_to_whoever_holds_a_good_token(desk: Desk) -> None:
    """404 with its own word, never a 401 for a valid token; a wrong token learns nothing."""
    path = "/workspaces/nowhere/approvals"
    assert desk.asker.get(path).json()["code"] == "unknown_workspace"
    assert desk.decider.get(path).status_code == 404
    with desk.client("wrong") as stranger:
        assert stranger.get(path).status_code == 401


@pytest.mark.parametrize("body", [b"no JSON", b'{"action": 1}', b'{"decision": "perhaps"}', b"\xff"])
def test_a_bad_body_is_refused_only_after_the_credential(desk: Desk, body: bytes) -> None:
    """Who may not make the call hears that, and nothing about the body; who may hears of the body, not of the request."""
    desk.add_workspace("other", "other", "token-of-other")
    requester, approver = desk.server.requester.token, str(desk.decider.headers["authorization"]).removeprefix("Bearer ")
    others = (None, "wrong", "token-of-other")
    unknown = f"{desk.path}/{uuid.uuid4()}"
    for path, refused, right in (
        (desk.path, dict.fromkeys(others, 401), requester),
        (unknown + "/decide", {**dict.fromkeys(others, 401), requester: 403}, approver),
        (unknown + "/redeem", {**dict.fromkeys(others, 401), approver: 403}, requester),
    ):
        elsewhere = path.replace(desk.workspace_id, "nowhere")
        for token, status in refused.items():
            with desk.client(token) as client:
                assert client.post(path, content=body).status_code == status, (path, token)
        with desk.client(right) as client:
            assert client.post(path, content=body).status_code in {400, 422}, path
            assert client.post(elsewhere, content=body).status_code == 404, path


@pytest.mark.parametrize("value", ["bearer {}", "Bearer", "Basic {}", "{}"])
def test_the_scheme_is_bearer_with_a_capital(desk: Desk, value: str) -> None:
    """Anything else is no token at all, as on the platform."""
    with desk.client(None) as client:
        answer = client.get(desk.path, headers={"Authorization": value.format(desk.server.requester.token)})
    assert (answer.status_code, answer.json()) == (401, {"error": "missing workspace auth token"})


def test_a_revoked_token_is_worth_nothing_at_once(desk: Desk) -> None:
    """The database is asked at each call, inside the transaction that decides."""
    approval_id = desk.ask()
    desk.change("DELETE FROM approvers WHERE name = 'alice'")
    assert desk.decide(approval_id).status_code == 401
    assert desk.one(approval_id)["status"] == "pending"


def test_calls_are_counted_and_limited(open_desk: OpenDesk) -> None:
    """The headers count down; beyond the limit 429 says when to come back, in the platform's words; others go on."""
    desk = open_desk(rate=3)
    left = [desk.asker.get(desk.path).headers["x-ratelimit-remaining"] for _ in range(3)]
    assert left == ["2", "1", "0"]
    answer = desk.asker.get(desk.path)
    assert answer.status_code == 429
    seconds = int(answer.headers["retry-after"])
    assert 0 < seconds <= 60
    assert answer.json() == {"error": "rate limit exceeded", "retry_after": seconds}
    assert answer.headers["x-ratelimit-limit"] == "3"
    assert desk.decider.get(desk.path).status_code == 200


def test_calls_without_a_token_are_counted_together(open_desk: OpenDesk) -> None:
    """Also those that lead nowhere, and from whatever address of loopback; good tokens go on."""
    desk = open_desk(unauthenticated_rate=2)
    paths = ("/health", "/nothing", "/openapi.json", "/approvals/pending")
    statuses = []
    for number, path in enumerate(paths, 1):
        transport = httpx.HTTPTransport(verify=PLAIN, local_address=f"127.0.0.{number}")
        with httpx.Client(transport=transport, base_url=desk.server.url) as client:
            statuses.append(client.get(path).status_code)
    assert statuses == [200, 404, 429, 429]
    assert (desk.asker.get(desk.path).status_code, desk.decider.get(desk.path).status_code) == (200, 200)


def test_the_private_socket_has_a_budget_of_its_own(open_desk: OpenDesk) -> None:
    """What strangers do over TCP is no matter there; nor the other way round."""
    desk = open_desk(unauthenticated_rate=1, failed_login_rate=1)
    transport = httpx.HTTPTransport(verify=PLAIN, uds=str(desk.server.places.socket))
    with desk.client(None) as tcp, httpx.Client(transport=transport, base_url="http://localhost") as private:
        wrong = {"Authorization": "Bearer wrong"}
        for client in (tcp, private):
            assert [client.get("/health").status_code for _ in range(2)] == [200, 429]
            assert [client.get(desk.path, headers=wrong).status_code for _ in range(2)] == [401, 429]


@pytest.mark.usefixtures("untraced")
def test_the_limits_are_wide_enough_for_five_hundred_commands_at_once(desk: Desk) -> None:
    """Each asks, listens, reads once a second for a minute and redeems; a token's calls beyond 600 a minute are answered."""
    limits = Limits()
    assert limits.pending >= 500
    assert limits.rate >= 500 * (3 + 60)
    statuses = {desk.asker.get(f"{desk.path}/{uuid.uuid4()}").status_code for _ in range(601)}
    assert statuses == {404}


def test_wrong_tokens_are_limited_harder_and_shut_nobody_else_out(open_desk: OpenDesk) -> None:
    """Guessing ends with 429, with ever other tokens, too; a good token from the same address goes on."""
    desk = open_desk(failed_login_rate=2)
    statuses = []
    for number in range(4):
        with desk.client(f"guess-{number}") as client:
            statuses.append(client.get(desk.path).status_code)
    assert statuses == [401, 401, 429, 429]
    assert desk.asker.get(desk.path).status_code == 200


def test_a_workspace_has_so_many_open_requests(open_desk: OpenDesk) -> None:
    """429 with a sentence; room again when one has ended."""
    desk = open_desk(pending=2)
    first, _ = desk.ask(), desk.ask()
    answer = desk.asker.post(desk.path, json={"action": "a"})
    assert (answer.status_code, answer.json()["code"]) == (429, "too_many_pending")
    assert answer.headers["retry-after"] == "60"
    desk.decide(first)
    desk.ask()


def test_without_leave_a_call_without_a_token_is_refused(desk: Desk) -> None:
    """`--anonymous-requests` is off by default."""
    with desk.client(None) as client:
        assert client.post(desk.path, json={"action": "a"}).status_code == 401


def test_with_leave_a_call_without_a_token_may_ask_and_list_but_nothing_else(open_desk: OpenDesk) -> None:
    """Only for the server's own workspace; deciding always needs an approver's token; a wrong token stays wrong."""
    desk = open_desk(anonymous=True)
    with desk.client(None) as client:
        approval_id = client.post(desk.path, json={"action": "a"}).json()["approval_id"]
        assert client.get(desk.path).json()[0]["id"] == approval_id
        refused: list[tuple[str, str, dict[str, Any]]] = [
            ("POST", f"{desk.path}/{approval_id}/decide", {"decision": "approved"}),
            ("POST", f"{desk.path}/{approval_id}/withdraw", {}),
            ("GET", f"{desk.path}/{approval_id}", {}),
            ("POST", "/workspaces/other/approvals", {"action": "a"}),
            ("GET", "/approvals/pending", {}),
        ]
        for method, path, body in refused:
            assert client.request(method, path, json=body).status_code == 401, path
        assert client.get("/health").json()["anonymous_requests"] is True
    with desk.client("wrong") as client:
        assert client.get(desk.path).status_code == 401
    assert desk.one(approval_id)["status"] == "pending"


def test_a_known_caller_that_is_revoked_learns_nothing_of_its_body(desk: Desk) -> None:
    """Its credential was valid at the call before: now each call of it is 401, whatever is in the body."""
    path, bodies = f"{desk.path}/{desk.ask()}/decide", (b"no json", b'{"decision": "maybe"}', b'{"decision": "approved"}')
    with desk.client(desk.server.add_approver("bob")) as bob:
        assert [bob.post(path, content=body).status_code for body in bodies[:2]] == [400, 400]
        assert bob.get("/approvals/pending").status_code == 200
        assert [bob.post(path, content=body).status_code for body in bodies[:2]] == [400, 400]
        for body in bodies:
            assert bob.get("/approvals/pending").status_code in {200, 401}
            desk.change("UPDATE approvers SET revoked_at = '2026' WHERE name = 'bob'")
            assert bob.post(path, content=body).status_code == 401
            desk.change("UPDATE approvers SET revoked_at = NULL WHERE name = 'bob'")
            assert bob.get("/approvals/pending").status_code == 200
    assert desk.decide(path.split("/")[-2]).status_code == 200


def test_a_known_caller_without_the_right_learns_nothing_of_its_body(desk: Desk) -> None:
    """403 for a requester that decides, and not what is wrong with what it sent."""
    path = f"{desk.path}/{desk.ask()}/decide"
    assert [desk.asker.post(path, content=b"no json").status_code for _ in range(2)] == [403, 403]


def test_no_more_credentials_are_remembered_than_there_is_room_for(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of a crowd displace one another, and each goes on working."""
    monkeypatch.setattr(access, "_MOST_KNOWN", 1)
    for _ in range(3):
        assert desk.decide(desk.ask()).status_code == 200
