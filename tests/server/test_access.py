"""Who may do what: roles, tokens, Host and Origin, and the limits on rates."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from molecule_approve.server.browsers import Addresses
from molecule_approve.server.rates import RateLimiter

if TYPE_CHECKING:
    from tests.server.conftest import OpenDesk
    from tests.server.desk import Desk


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


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "localhost:1", "molecule-approve"])
def test_a_foreign_host_name_is_refused(desk: Desk, host: str) -> None:
    """A name that was rebound to loopback reaches nothing, with whatever token."""
    answer = desk.asker.get(desk.path, headers={"Host": host})
    assert (answer.status_code, answer.json()["code"]) == (421, "wrong_host")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "LOCALHOST"])
def test_every_usual_name_of_the_server_is_good(desk: Desk, host: str) -> None:
    """With its port."""
    port = desk.server.url.rpartition(":")[2]
    assert desk.asker.get(desk.path, headers={"Host": f"{host}:{port}"}).status_code == 200


def test_the_usual_port_may_be_left_out() -> None:
    """As clients do with the port of http://; with any other port they never do."""
    assert "localhost" in Addresses.of("127.0.0.1", 80).hosts
    assert Addresses.of("::1", 8788).hosts == {"[::1]:8788", "127.0.0.1:8788", "localhost:8788"}


def test_a_foreign_origin_is_refused(desk: Desk) -> None:
    """A web page elsewhere can do nothing here; our own address can."""
    for origin, status in (("https://evil.example", 403), ("null", 403), (desk.server.url, 200)):
        assert desk.asker.get(desk.path, headers={"Origin": origin}).status_code == status


def test_the_unix_socket_serves_the_same(desk: Desk) -> None:
    """REST over the socket in the runtime folder, under the name `localhost`; another name is refused there, too."""
    transport = httpx.HTTPTransport(uds=str(desk.server.places.socket))
    with httpx.Client(transport=transport, base_url="http://localhost", headers=desk.asker.headers) as client:
        assert client.get(desk.path).json() == []
        assert client.get(desk.path, headers={"Host": "evil.example"}).status_code == 421
    assert desk.server.places.runtime.stat().st_mode & 0o777 == 0o700
    assert desk.server.places.socket.stat().st_mode & 0o777 == 0o600


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


def test_calls_without_a_token_are_counted_for_their_address(open_desk: OpenDesk) -> None:
    """Also those that lead nowhere."""
    desk = open_desk(rate=2)
    with desk.client(None) as client:
        answers = [client.get(path) for path in ("/health", "/nothing", "/openapi.json", "/approvals/pending")]
    assert [answer.status_code for answer in answers] == [200, 404, 429, 429]


def test_wrong_tokens_are_limited_harder_and_shut_nobody_else_out(open_desk: OpenDesk) -> None:
    """Guessing ends with 429, with ever other tokens, too; a good token from the same address goes on."""
    desk = open_desk(failed_logins=2)
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


def test_after_a_minute_a_key_has_its_calls_again() -> None:
    """Not before; and what is left is told meanwhile."""
    now = [0.0]
    rates = RateLimiter(lambda: now[0])
    assert [rates.charge("key", 2)[1] for _ in range(3)] == [True, True, False]
    now[0] = 59.9
    assert rates.charge("key", 2)[1] is False
    now[0] = 60.0
    allowance, within = rates.charge("key", 2)
    assert (allowance.remaining, within) == (1, True)


def test_a_minute_starts_with_a_keys_first_call_and_is_forgotten() -> None:
    """Counted on a clock that never jumps; a thousand old keys are swept away by the next call."""
    now = [0.0]
    rates = RateLimiter(lambda: now[0])
    for number in range(RateLimiter.MANY):
        rates.charge(f"key {number}", 1)
    assert rates.charge("key 7", 1)[1] is False
    now[0] = 59.5
    assert rates.charge("key 7", 1)[0].reset == 1
    now[0] = 60.0
    allowance, within = rates.charge("key 7", 1)
    assert (allowance.remaining, allowance.reset, within) == (0, 60, True)
    assert len(rates) == 1
