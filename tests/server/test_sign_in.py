"""Signing in and out over REST: by a code or a token, new codes, and one's own sessions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest
from websockets.exceptions import ConnectionClosed

from molecule_approve.server import credentials
from molecule_approve.server.run import Running, ServePlan
from tests.integration.raw_http import PLAIN
from tests.server.desk import PATIENCE, Desk, desk_of

if TYPE_CHECKING:
    from molecule_approve.paths import Places
    from tests.server.conftest import OpenDesk

BOTH_DATABASES = True


def test_a_code_is_exchanged_for_a_session(desk: Desk) -> None:
    """The session carries the approver's name, lasts twelve hours, and decides like the approver's token."""
    with desk.client(None) as stranger:
        answer = stranger.post("/desk/session", json={"code": desk.code()})
    found = answer.json()
    assert (answer.status_code, found["name"], found["expires_in"]) == (201, "alice", 43_200)
    assert set(found) == {"token", "name", "expires_in"}
    approval_id = desk.ask()
    with desk.client(found["token"]) as signed_in:
        assert signed_in.get("/desk/requests").json()["name"] == "alice"
        decided = signed_in.post(f"{desk.path}/{approval_id}/decide", json={"decision": "denied", "comment": "no"})
    assert decided.status_code == 200
    one = desk.one(approval_id)
    assert (one["status"], one["decided_by"], one["decided_by_verified"], one["comment"]) == ("denied", "alice", True, "no")


@pytest.mark.sqlite_only
@pytest.mark.parametrize(
    "body",
    [
        "",
        "[]",
        "{}",
        '{"code": ""}',
        '{"code": 7}',
        '{"code": null}',
        "code=x",
        '{"token": ""}',
        '{"token": 7}',
        '{"code": "a", "token": "b"}',
        '{"Code": "a"}',
    ],
)
def test_a_body_without_one_secret_is_refused(shared_desk: Desk, body: str) -> None:
    """400, and nobody is signed in."""
    with shared_desk.client(None) as stranger:
        answer = stranger.post("/desk/session", content=body)
    assert (answer.status_code, answer.json()) == (400, {"error": "invalid request body"})


@pytest.mark.sqlite_only
@pytest.mark.parametrize("code", ["\\ud800", "x\\udfff", "\\u0000"])
def test_a_code_of_text_that_is_none_is_refused(shared_desk: Desk, code: str) -> None:
    """A lone surrogate has no bytes: 422, instead of a fault that anybody could fill the server's log with."""
    with shared_desk.client(None) as stranger:
        answer = stranger.post("/desk/session", content=f'{{"code": "{code}"}}')
    assert (answer.status_code, answer.json()["code"]) == (422, "unacceptable")


@pytest.mark.sqlite_only
def test_a_body_that_is_no_code_at_all_is_not_read_to_its_end(shared_desk: Desk) -> None:
    """413: whoever sends it has proved nothing yet."""
    with shared_desk.client(None) as stranger:
        answer = stranger.post("/desk/session", json={"code": "x" * 5_000})
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


def test_signing_out_ends_the_session_and_its_sockets_at_once(open_desk: OpenDesk) -> None:
    """Without waiting for the next look at who is still good; another session of the same person stays."""
    desk = open_desk(recheck=600.0)
    first, second = desk.session(), desk.session()
    with desk.at_desk(first) as gone, desk.at_desk(second) as stays, desk.client(first) as client:
        assert client.post("/desk/session/end").json() == {"status": "ended"}
        with pytest.raises(ConnectionClosed) as caught:
            gone.event()
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 1013
        assert client.get("/desk/requests").status_code == 401
        assert client.post("/desk/session/end").status_code == 401
        desk.ask()
        assert stays.event()["event"] == "APPROVAL_REQUESTED"


def _sign_in(desk: Desk, browser: str = "a browser", **secret: str) -> httpx.Response:
    with desk.client(None) as stranger:
        return stranger.post("/desk/session", json=secret, headers={"User-Agent": browser})


def _token(desk: Desk) -> str:
    """Alice's token."""
    return str(desk.decider.headers["authorization"]).removeprefix("Bearer ")


def test_a_token_is_exchanged_for_a_session(desk: Desk) -> None:
    """As often as one likes; the session ends with the token."""
    first, second = (_sign_in(desk, token=_token(desk)) for _ in range(2))
    assert (first.status_code, first.json()["name"]) == (201, "alice")
    assert first.json()["token"] != second.json()["token"]
    with desk.client(first.json()["token"]) as client:
        assert client.get("/desk/requests").status_code == 200
        with desk.server.opened() as store:
            credentials.revoke(store, "alice")
        assert client.get("/desk/requests").status_code == 401
    assert _sign_in(desk, token=_token(desk)).status_code == 401


def test_what_is_no_approvers_token_signs_nobody_in(desk: Desk) -> None:
    """Unknown, a session (which would outlive itself), a code, a requester's."""
    code = desk.code()
    for secret in ("unknown", desk.session(), code):
        answer = _sign_in(desk, token=secret)
        assert (answer.status_code, answer.json()["code"]) == (401, "wrong_token")
    answer = _sign_in(desk, token=desk.server.requester.token)
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    assert _sign_in(desk, code=_token(desk)).json()["code"] == "wrong_code"
    assert _sign_in(desk, code=code).status_code == 201


def test_guessing_tokens_has_a_limit(open_desk: OpenDesk) -> None:
    """That of failed logins; the right one still works then."""
    desk = open_desk(failed_login_rate=3)
    assert [_sign_in(desk, token=f"guess {number}").status_code for number in range(5)] == [401] * 3 + [429] * 2
    assert _sign_in(desk, token=_token(desk)).status_code == 201


@pytest.mark.sqlite_only
@pytest.mark.parametrize("headers", [{"Origin": "https://evil.example.org"}, {"Sec-Fetch-Site": "cross-site"}])
def test_another_page_signs_nobody_in(desk: Desk, headers: dict[str, str]) -> None:
    """Neither the browser of a victim in its own name, nor with a form of plain text that happens to be JSON."""
    headers = {**headers, "Content-Type": "text/plain"}
    code = desk.code()
    with desk.client(None) as browser:
        for path in ("/desk/session", "/desk/code", "/desk/sessions/others/end"):
            answer = browser.post(path, json={"code": code}, headers=headers)
            assert (answer.status_code, path) == (403, path)
    assert _sign_in(desk, code=code).status_code == 201


def test_a_token_makes_a_code_for_its_own_approver(desk: Desk) -> None:
    """Valid once within a minute; the address is left to the caller, who knows under which one it sees the server."""
    desk.server.add_approver("bob")
    answer = desk.decider.post("/desk/code", json={"name": "bob"})
    found = answer.json()
    assert (answer.status_code, found["name"], found["url"], found["expires_in"]) == (201, "alice", None, 60)
    assert [_sign_in(desk, code=found["code"]).status_code for _ in range(2)] == [201, 401]
    with desk.client(desk.session()) as client:
        refused = client.post("/desk/code")
        assert (refused.status_code, "a session cannot" in refused.json()["error"]) == (403, True)


def test_a_code_over_the_socket_comes_with_the_servers_address(desk: Desk) -> None:
    """The socket is no address that a browser could open."""
    transport = httpx.HTTPTransport(uds=str(desk.server.places.socket))
    headers = {"Authorization": f"Bearer {_token(desk)}"}
    with httpx.Client(transport=transport, base_url="http://localhost", headers=headers, verify=PLAIN) as client:
        assert client.post("/desk/code", json={}, timeout=PATIENCE).json()["url"] == desk.server.url


@pytest.mark.sqlite_only
def test_a_code_comes_with_the_public_address(server_places: Places) -> None:
    """Whichever way its maker came: that is where others open the link."""
    public = "https://approve.example.org/approve"
    with Running(ServePlan(server_places, public_url=public)) as server, desk_of(server) as desk:
        assert desk.decider.post("/desk/code").json()["url"] == public
        host = {"Host": "approve.example.org"}
        assert desk.decider.post("/approve/desk/code", headers=host).json()["url"] == public


def test_codes_are_rationed(open_desk: OpenDesk) -> None:
    """To each approver apart."""
    desk = open_desk(codes=2)
    assert [desk.decider.post("/desk/code").status_code for _ in range(3)] == [201, 201, 429]
    with desk.client(desk.server.add_approver("bob")) as bob:
        assert bob.post("/desk/code").status_code == 201


def test_one_sees_ones_own_sessions(desk: Desk) -> None:
    """By which browser, since when, last used when, and which one calls; nobody else's, and no secret."""
    desk.server.add_approver("bob")
    desk.session("bob")
    browser = "Mozilla/5.0 " + "x" * 300
    first, second = (_sign_in(desk, browser, code=desk.code()).json()["token"] for _ in range(2))
    with desk.client(first) as client:
        found = client.get("/desk/sessions").json()
    assert (found["name"], len(found["sessions"])) == ("alice", 2)
    assert [row["current"] for row in found["sessions"]] == [False, True]
    for row in found["sessions"]:
        assert set(row) == {"id", "client", "began", "used", "current"}
        assert row["client"] == browser[:256]
        assert row["began"] <= row["used"] <= found["now"]
    assert not {first, second} & {str(value) for row in found["sessions"] for value in row.values()}
    assert [row["current"] for row in desk.decider.get("/desk/sessions").json()["sessions"]] == [False, False]


def test_a_session_that_is_over_is_not_listed(desk: Desk) -> None:
    """Idle for too long, older than its lifetime, or from the future; the one last used comes first."""
    for name in ("idle", "old", "future", "good", "better"):
        _sign_in(desk, name, code=desk.code())
    desk.change("UPDATE sessions SET used = used - 3600 WHERE client = 'idle'")
    desk.change("UPDATE sessions SET began = began - 43200 WHERE client = 'old'")
    desk.change("UPDATE sessions SET began = began + 60 WHERE client = 'future'")
    desk.change("UPDATE sessions SET used = used + 1 WHERE client = 'good'")
    assert [row["client"] for row in desk.decider.get("/desk/sessions").json()["sessions"]] == ["good", "better"]


def test_one_session_is_ended_by_another(open_desk: OpenDesk) -> None:
    """At once, with its sockets; somebody else's is no session that one has."""
    desk = open_desk(recheck=600.0)
    desk.server.add_approver("bob")
    mine, gone, bobs = desk.session(), desk.session(), desk.session("bob")
    with desk.client(gone) as client:
        rows = client.get("/desk/sessions").json()["sessions"]
    gone_id = next(row["id"] for row in rows if row["current"])
    with desk.client(bobs) as bob, desk.client(mine) as client, desk.at_desk(gone) as socket:
        assert bob.post(f"/desk/sessions/{gone_id}/end").json()["code"] == "unknown_session"
        assert client.post(f"/desk/sessions/{gone_id}/end").json() == {"status": "ended"}
        with pytest.raises(ConnectionClosed):
            socket.event()
        assert client.post(f"/desk/sessions/{gone_id}/end").status_code == 404
        assert client.get("/desk/requests").status_code == bob.get("/desk/requests").status_code == 200
    with desk.client(gone) as client:
        assert client.get("/desk/requests").status_code == 401


def test_all_others_end_at_once(desk: Desk) -> None:
    """But the one that calls; by a token, which is none, all of them end."""
    desk.server.add_approver("bob")
    mine, *others, bobs = desk.session(), desk.session(), desk.session(), desk.session("bob")

    def good(session: str) -> bool:
        with desk.client(session) as client:
            return client.get("/desk/requests").status_code == 200

    with desk.client(mine) as client:
        assert client.post("/desk/sessions/others/end").json() == {"status": "ended"}
    assert [good(session) for session in (mine, *others, bobs)] == [True, False, False, True]
    assert desk.decider.post("/desk/sessions/others/end").json() == {"status": "ended"}
    assert [good(session) for session in (mine, bobs)] == [False, True]


def test_the_ways_in_are_told_to_everybody(shared_desk: Desk) -> None:
    """Without a provider in server.yaml there is none."""
    with shared_desk.client(None) as stranger:
        assert stranger.get("/desk/sign-in").json() == {"openid": False, "name": None}
