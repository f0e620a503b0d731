"""What somebody tries who may not decide: from another web page, with a stolen token, with an old code, by guessing.

Each attack is made with all the rest in order (the right address, a good session), so that only what it lacks can stop it.
"""

from __future__ import annotations

import json
import socket
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from molecule_approve.paths import Places
from molecule_approve.server import credentials
from molecule_approve.server.limits import Limits
from molecule_approve.server.run import Running, ServePlan
from tests.callers import until
from tests.server.desk import PATIENCE, Desk, desk_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.server.conftest import OpenDesk

pytestmark = pytest.mark.usefixtures("untraced")  # what attacks run, the modules' own tests run too

BOTH_DATABASES = True

EVIL = "https://evil.example"
NO_CODE = {"code": "no code"}
APPROVE = {"decision": "approved"}

ELSEWHERE: list[dict[str, str]] = [
    {"Origin": EVIL},
    {"Origin": "null"},
    {"Origin": "http://127.0.0.1:1"},
    {"Origin": "file://"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"},
]
"""What a browser says beside a call that another page makes: an attacker cannot leave it out."""


@pytest.fixture(scope="module")
def attacked() -> Iterator[Attacked]:
    """One server for the attacks that do not wear it out, with a session of alice's and a request that waits."""
    with ExitStack() as stack:
        home = Path(stack.enter_context(TemporaryDirectory(prefix="ma-")))
        places = Places(home / "state", home / "run")
        server = stack.enter_context(Running(ServePlan(places, limits=replace(Limits(), unauthenticated_rate=100_000))))
        yield Attacked(stack.enter_context(desk_of(server)))


class Attacked:
    """The desk under attack."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.session = desk.session()
        self.waiting = desk.ask("the request that nobody decides")

    def state(self) -> list[Any]:
        """All that the database holds, approvers and codes included."""
        tables = ("workspaces", "approvers", "sign_in_codes", "approvals", "journal")
        return [self.desk.select(f"SELECT * FROM {table} ORDER BY 1") for table in tables]

    def routes(self) -> list[tuple[str, str]]:
        """Every route there is, and some that there are not, with the waiting request's id in it."""
        described = self.desk.asker.get("/openapi.json").json()["paths"]
        # Probes answer anybody, and say nothing: tests/server/test_health.py.
        asked = {path: methods for path, methods in described.items() if path not in {"/healthz", "/readyz"}}
        found = [(method.upper(), path) for path, methods in asked.items() for method in methods]
        found += [
            ("GET", "/"),
            ("GET", "/static/inbox.js"),
            ("GET", "/openapi.json"),
            ("GET", "/nothing"),
            ("POST", "/nothing"),
        ]
        filled = {"{workspace_id}": self.desk.workspace_id, "{approval_id}": self.waiting}
        for name, value in filled.items():
            found = [(method, path.replace(name, value)) for method, path in found]
        return found

    def handshake(self, **headers: str) -> int:
        """The status of a handshake of the page's socket, with a good session and these headers."""
        return _handshake(self.desk, self.session, headers)


def _handshake(desk: Desk, session: str, headers: dict[str, str] | None = None, host: str | None = None) -> int:
    where = urlsplit(desk.server.url)
    names = [Subprotocol("molecule-desk"), Subprotocol(f"session.{session}")]
    with socket.create_connection((where.hostname or "", where.port or 0), PATIENCE) as connection:
        try:
            with connect(
                f"ws://{host or where.netloc}/ws",
                sock=connection,
                subprotocols=names,
                additional_headers=headers,
                open_timeout=PATIENCE,
                close_timeout=1,
            ):
                return 101
        except InvalidStatus as exc:
            return exc.response.status_code


def _opened(desk: Desk, names: list[str], query: str) -> int:
    """The status of a handshake with these subprotocols, and this query in its address."""
    url = desk.server.url.replace("http://", "ws://") + f"/ws{query}"
    try:
        with connect(url, subprotocols=[Subprotocol(name) for name in names], open_timeout=PATIENCE, close_timeout=1):
            return 101
    except InvalidStatus as exc:
        return exc.response.status_code


def _body(path: str) -> dict[str, Any]:
    """A body that would do something there."""
    if path.endswith("/decide"):
        return APPROVE
    if path.endswith("/redeem"):
        return {"invocation": str(uuid.uuid4())}
    return NO_CODE if path == "/desk/session" else {"action": "planted"}


# --- from another web page ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("elsewhere", ELSEWHERE, ids=str)
def test_a_page_elsewhere_can_call_nothing(attacked: Attacked, elsewhere: dict[str, str]) -> None:
    """403 on every route, with an approver's session, and nothing changed; only the page itself may be navigated to."""
    before = attacked.state()
    with attacked.desk.client(attacked.session) as client:
        for method, path in attacked.routes():
            followed = elsewhere.get("Sec-Fetch-Mode") == "navigate" and (method, path) == ("GET", "/")
            answer = client.request(method, path, headers=elsewhere, json=_body(path) if method == "POST" else None)
            assert answer.status_code == (200 if followed else 403), (method, path)
            assert "access-control-allow-origin" not in answer.headers
    assert attacked.state() == before


def test_a_form_elsewhere_decides_nothing(attacked: Attacked) -> None:
    """A browser sends forms without asking first, with its cookies: there are none, and its Origin gives it away."""
    before = attacked.state()
    path = f"{attacked.desk.path}/{attacked.waiting}/decide"
    with attacked.desk.client(None) as client:
        for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
            sent = {"Content-Type": kind, "Cookie": f"session={attacked.session}; token={attacked.session}"}
            assert client.post(path, content=json.dumps(APPROVE), headers={**sent, "Origin": EVIL}).status_code == 403
            assert client.post(path, content=json.dumps(APPROVE), headers=sent).status_code == 401
    assert attacked.state() == before


def test_a_question_whether_another_page_may_call_is_answered_with_no(attacked: Attacked) -> None:
    """No route answers a preflight; with our own Origin there is nothing to allow either."""
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    with attacked.desk.client(attacked.session) as client:
        for _, path in attacked.routes():
            for origin, status in ((EVIL, 403), (attacked.desk.server.url, 404)):
                answer = client.options(path, headers={**asked, "Origin": origin})
                assert answer.status_code == status
                assert [name for name in answer.headers if name.startswith("access-control")] == []


@pytest.mark.parametrize("elsewhere", ELSEWHERE, ids=str)
def test_a_page_elsewhere_hears_nothing(attacked: Attacked, elsewhere: dict[str, str]) -> None:
    """The socket is refused before it is accepted, with a good session."""
    assert attacked.handshake(**elsewhere) == 403


def test_our_own_page_hears(attacked: Attacked) -> None:
    """The same handshake with our own Origin: so it is the Origin that the others lack."""
    own = {"Origin": attacked.desk.server.url, "Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "websocket"}
    assert attacked.handshake(**own) == 101


@pytest.mark.parametrize(
    ("names", "query", "status"),
    [
        ("molecule-desk", "", 401),
        ("molecule-desk", "?session={0}&token={0}&access_token={0}", 401),
        ("molecule-desk session.", "", 401),
        ("molecule-desk session. session.{0}", "", 401),
        ("molecule-desk session.guess session.{0}", "", 401),
        ("session.{0}", "", 400),
        ("Molecule-Desk session.{0}", "", 400),
        ("session.{0} molecule-desk", "", 101),
    ],
)
def test_a_socket_brings_one_session_in_its_one_place(attacked: Attacked, names: str, query: str, status: int) -> None:
    """The first that it names counts, an empty one included: nobody tries several; an address is no place for one."""
    session = attacked.session
    assert _opened(attacked.desk, names.format(session).split(), query.format(session)) == status


@pytest.mark.parametrize(
    "name",
    ["evil.example", "evil.example:{port}", "127.0.0.1.evil.example:{port}", "evil.example:127", "x@127.0.0.1:{port}"],
)
def test_a_name_that_was_rebound_to_loopback_reaches_nothing(attacked: Attacked, name: str) -> None:
    """421 on every route, with an approver's session and an Origin to match, and on the socket; nothing changed."""
    host = name.format(port=urlsplit(attacked.desk.server.url).port)
    before = attacked.state()
    with attacked.desk.client(attacked.session) as client:
        for method, path in attacked.routes():
            for more in ({}, {"Origin": f"http://{host}", "Sec-Fetch-Site": "same-origin"}):
                body = _body(path) if method == "POST" else None
                answer = client.request(method, path, headers={"Host": host, **more}, json=body)
                assert (answer.status_code, answer.json()["code"]) == (421, "wrong_host")
    if "@" not in host:
        assert _handshake(attacked.desk, attacked.session, host=host) == 421
    assert attacked.state() == before


def test_the_address_of_a_call_is_no_way_around_its_host(attacked: Attacked) -> None:
    """Two Host headers, none, or a whole address in the first line: refused."""
    where = urlsplit(attacked.desk.server.url)
    good = f"Host: {where.netloc}\r\n"
    for line, hosts in (
        ("GET /desk/requests HTTP/1.1", f"{good}Host: evil.example\r\n"),
        ("GET /desk/requests HTTP/1.1", f"Host: evil.example\r\n{good}"),
        ("GET /desk/requests HTTP/1.0", ""),
        ("GET http://evil.example/desk/requests HTTP/1.1", "Host: evil.example\r\n"),
    ):
        with socket.create_connection((where.hostname or "", where.port or 0), PATIENCE) as connection:
            connection.sendall(f"{line}\r\n{hosts}Authorization: Bearer {attacked.session}\r\n\r\n".encode())
            status = int(connection.recv(64).split()[1])
        assert status in {400, 421}, line


# --- a stolen requester's token ----------------------------------------------------------------------------------------


def test_a_requesters_token_opens_nothing_on_the_approvers_side(attacked: Attacked) -> None:
    """403 on every route and on the socket; it is no sign-in code either; nothing changed."""
    desk, before = attacked.desk, attacked.state()
    token = desk.server.requester.token
    routes = [
        ("POST", f"{desk.path}/{attacked.waiting}/decide"),
        ("GET", "/desk/requests"),
        ("POST", "/desk/session/end"),
        ("GET", "/approvals/pending"),
    ]
    for method, path in routes:
        answer = desk.asker.request(method, path, json=_body(path) if method == "POST" else None)
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden"), path
    assert _handshake(desk, token) == 403
    assert _handshake(desk, token, {"X-Workspace-ID": desk.workspace_id}) == 403
    assert desk.asker.post("/desk/session", json={"code": token}).status_code == 401
    assert attacked.state() == before


def test_another_workspaces_token_opens_nothing_either(attacked: Attacked) -> None:
    """Not its own side's, and not the other workspace's."""
    desk = attacked.desk
    desk.add_workspace("other", "other", "token-of-other")
    with desk.client("token-of-other") as other:
        assert other.get("/desk/requests").status_code == 403
        assert other.post(f"{desk.path}/{attacked.waiting}/decide", json=APPROVE).status_code == 401
    assert _handshake(desk, "token-of-other") == 403


def test_without_a_token_there_is_nothing(open_desk: OpenDesk) -> None:
    """Also where callers without a token may ask: 401 on the approvers' side, and no socket of the page's."""
    desk = open_desk(anonymous=True)
    approval_id = desk.ask()
    with desk.client(None) as stranger:
        assert stranger.post(f"{desk.path}/{approval_id}/decide", json=APPROVE).status_code == 401
        assert stranger.get("/desk/requests").status_code == 401
        assert stranger.post("/desk/session/end").status_code == 401
    assert _handshake(desk, "") == 401
    assert _handshake(desk, "", {"X-Workspace-ID": desk.workspace_id}) == 401


# --- sign-in codes -----------------------------------------------------------------------------------------------------


def _exchange(desk: Desk, code: str) -> httpx.Response:
    return httpx.post(f"{desk.server.url}/desk/session", json={"code": code}, timeout=PATIENCE)


def test_a_code_works_once(attacked: Attacked) -> None:
    """Whoever reads it later, in a history or over a shoulder, gets 401."""
    code = attacked.desk.code()
    assert [_exchange(attacked.desk, code).status_code for _ in range(3)] == [201, 401, 401]


@pytest.mark.usefixtures("untraced")
def test_of_many_that_use_a_code_at_once_one_gets_in(attacked: Attacked) -> None:
    """Taken by compare-and-delete."""
    code = attacked.desk.code()
    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(lambda _: _exchange(attacked.desk, code).status_code, range(8)))
    assert sorted(statuses) == [201] + [401] * 7


@pytest.mark.parametrize("shift", [-61, 3_600])
def test_a_code_of_another_minute_is_worth_nothing(attacked: Attacked, shift: int) -> None:
    """Too old, or from the future of a clock that was set back; and it is used up by the try."""
    code = attacked.desk.code()
    attacked.desk.change("UPDATE sign_in_codes SET made = made + ?", shift)
    assert _exchange(attacked.desk, code).json()["code"] == "wrong_code"
    attacked.desk.change("UPDATE sign_in_codes SET made = made - ?", shift)
    assert _exchange(attacked.desk, code).status_code == 401


def test_a_code_is_no_token_and_no_token_is_a_code(attacked: Attacked) -> None:
    """Each is good for its one purpose."""
    desk = attacked.desk
    code, approver = desk.code(), str(desk.decider.headers["authorization"]).removeprefix("Bearer ")
    with desk.client(code) as client:
        assert client.get("/desk/requests").status_code == 401
    assert _handshake(desk, code) == 401
    assert [_exchange(desk, wrong).status_code for wrong in (attacked.session, approver)] == [401, 401]
    assert _exchange(desk, code).status_code == 201


def test_a_code_of_somebody_who_was_revoked_is_worth_nothing(desk: Desk) -> None:
    """Also when the name is given to somebody again."""
    desk.server.add_approver("bob")
    code = desk.code("bob")
    with desk.server.opened() as store:
        credentials.revoke(store, "bob")
        credentials.add_approver(store, "bob")
    assert _exchange(desk, code).status_code == 401


# --- guessing ----------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("untraced")
def test_codes_cannot_be_guessed(open_desk: OpenDesk) -> None:
    """After so many wrong ones 429 says when to come back; a good one from the same address is still taken."""
    desk = open_desk(failed_login_rate=3)
    answers = [_exchange(desk, f"guess {number}") for number in range(5)]
    assert [answer.status_code for answer in answers] == [401, 401, 401, 429, 429]
    assert 0 < int(answers[-1].headers["retry-after"]) <= 60
    assert _exchange(desk, desk.code()).status_code == 201


def test_tokens_and_sessions_cannot_be_guessed(open_desk: OpenDesk) -> None:
    """One count for REST, the socket and the codes, with ever other guesses; who is signed in goes on."""
    desk = open_desk(failed_login_rate=4)
    session = desk.session()
    statuses = []
    for number in range(2):
        with desk.client(f"guess {number}") as client:
            statuses.append(client.get("/desk/requests").status_code)
        statuses.append(_handshake(desk, f"guess-{number}"))
    assert statuses == [401] * 4
    with desk.client("another guess") as client:
        assert client.post(f"{desk.path}/{desk.ask()}/decide", json=APPROVE).status_code == 429
    assert _handshake(desk, "another-guess") == 429
    assert _exchange(desk, "another guess").status_code == 429
    with desk.client(session) as client:
        assert client.get("/desk/requests").status_code == 200
    assert _handshake(desk, session) == 101


def test_calls_with_bodies_that_make_no_sense_are_counted_as_well(open_desk: OpenDesk) -> None:
    """Nobody asks without limit."""
    desk = open_desk(failed_login_rate=3)
    with desk.client(None) as client:
        statuses = [client.post("/desk/session", content=b"{").status_code for _ in range(4)]
    assert statuses == [400, 400, 400, 429]


# --- sessions that ended -----------------------------------------------------------------------------------------------


def _is_out(desk: Desk, session: str, approval_id: str) -> None:
    """The session is worth nothing: not to look, not to decide, not to listen, not to sign out."""
    with desk.client(session) as client:
        assert client.get("/desk/requests").status_code == 401
        assert client.post(f"{desk.path}/{approval_id}/decide", json=APPROVE).status_code == 401
        assert client.post("/desk/session/end").status_code == 401
    assert _handshake(desk, session) == 401
    assert desk.one(approval_id)["status"] == "pending"


def test_who_signed_out_is_out(desk: Desk) -> None:
    """At once, wherever the session was copied to."""
    session, approval_id = desk.session(), desk.ask()
    with desk.client(session) as client:
        client.post("/desk/session/end")
    _is_out(desk, session, approval_id)


@pytest.mark.usefixtures("untraced")
def test_a_session_is_over_when_its_time_is_over(open_desk: OpenDesk) -> None:
    """However busy it is, its open socket included."""
    desk = open_desk(session=1.0, recheck=0.05, rate=1_000_000)
    approval_id, session = desk.ask_heard(), desk.session()
    with desk.at_desk(session) as stream, desk.client(session) as client:
        assert client.get("/desk/requests").status_code == 200
        until(lambda: client.get("/desk/requests").status_code == 401)
        _is_closed(stream.connection.recv)
    _is_out(desk, session, approval_id)


def test_a_session_that_nobody_uses_is_over(open_desk: OpenDesk) -> None:
    """A page that was left open only listens: that is no use, and its socket goes with the session."""
    desk = open_desk(session_idle=1.0, recheck=0.05)
    approval_id, session = desk.ask_heard(), desk.session()
    with desk.at_desk(session) as stream:
        _is_closed(stream.connection.recv)
    _is_out(desk, session, approval_id)


def test_who_is_revoked_is_out(open_desk: OpenDesk) -> None:
    """With all sessions and sockets, also when the name is given to somebody again; others stay."""
    desk = open_desk(recheck=0.05)
    desk.server.add_approver("bob")
    bobs, alices, approval_id = desk.session("bob"), desk.session(), desk.ask()
    with desk.at_desk(bobs) as gone, desk.at_desk(alices) as stays:
        with desk.server.opened() as store:
            credentials.revoke(store, "bob")
            credentials.add_approver(store, "bob")
        _is_closed(gone.connection.recv)
        _is_out(desk, bobs, approval_id)
        desk.ask()
        assert stays.event()["event"] == "APPROVAL_REQUESTED"


def _is_closed(receive: Any) -> None:  # noqa: ANN401 - a socket's own method
    with pytest.raises(ConnectionClosed) as caught:
        receive(PATIENCE)
    assert caught.value.rcvd is not None
    assert caught.value.rcvd.code == 1013


def test_a_server_on_the_same_port_with_another_state_knows_no_session(server_places: Places, tmp_path: Path) -> None:
    """What the page kept is worth nothing to it; the next server with the same state knows session, token and code."""
    with Running(ServePlan(server_places)) as server, desk_of(server) as desk:
        session, code = desk.session(), desk.code()
        port = urlsplit(server.url).port or 0
        credentials_of_alice = dict(desk.decider.headers)
    with (
        Running(ServePlan(Places(tmp_path / "other", tmp_path / "run"), port=port)) as server,
        httpx.Client(base_url=server.url, timeout=PATIENCE) as client,
    ):
        assert client.get("/desk/requests", headers={"Authorization": f"Bearer {session}"}).status_code == 401
    with (
        Running(ServePlan(server_places, port=port)) as server,
        httpx.Client(base_url=server.url, timeout=PATIENCE) as client,
    ):
        assert client.get("/desk/requests", headers={"Authorization": f"Bearer {session}"}).status_code == 200
        assert client.get("/desk/requests", headers=credentials_of_alice).status_code == 200
        # A code is made for whoever serves; within its minute it is still good.
        assert client.post("/desk/session", json={"code": code}).status_code == 201


# --- text that would do something --------------------------------------------------------------------------------------

HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '"><svg/onload=alert(1)>',
    "</script><!--",
    "javascript:alert(1)",
    "\x1b[2J\x1b]8;;http://evil.example\x07click\x1b]8;;\x07",
    "\u202egpj.exe\u2066\u200b\ufeff",
    "line\r\nSet-Cookie: a=b\r\n\r\n<h1>",
    "\u2028\u2029'};alert(1)//",
    "{{7*7}}${7*7}%0a%0d",
]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_text_that_would_do_something_comes_back_as_data(attacked: Attacked, text: str) -> None:
    """In every field that somebody else fills: unchanged, as JSON that no browser takes for a page."""
    desk = attacked.desk
    approval_id = desk.ask(text, reason=text, task_id=text, context={text: text, "list": [text, {"deep": text}]})
    with desk.client(attacked.session) as client:
        waiting = client.get("/desk/requests")
        [row] = [row for row in waiting.json()["pending"] if row["id"] == approval_id]
        assert (row["action"], row["reason"], row["task_id"]) == (text, text, text)
        assert row["context"] == {text: text, "list": [text, {"deep": text}]}
        body = {"decision": "denied", "comment": text, "decided_by": text}
        decided = client.post(f"{desk.path}/{approval_id}/decide", json=body)
        again = client.post(f"{desk.path}/{approval_id}/decide", json=body)
        after = client.get("/desk/requests")
    ended = after.json()["decided"][0]
    assert (ended["comment"], ended["decided_by"], decided.json()["status"]) == (text, "alice", "denied")
    for answer in (waiting, decided, again, after):
        _is_only_data(answer)


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_text_that_would_do_something_is_not_repeated_by_refusals(attacked: Attacked, text: str) -> None:
    """Neither a code, nor a decision, nor an id, nor a token comes back."""
    desk = attacked.desk
    with desk.client(attacked.session) as client:
        answers = [
            client.post("/desk/session", json={"code": text}),
            client.post(f"{desk.path}/{attacked.waiting}/decide", json={"decision": text}),
            client.post(f"/workspaces/{quote(text.replace('/', ''))}x/approvals", json={"action": text}),
            client.post(f"{desk.path}/{attacked.waiting}/redeem", json={"invocation": text}),
        ]
    assert [answer.status_code for answer in answers] == [401, 400, 404, 403]
    for answer in answers:
        _is_only_data(answer)
        assert text not in answer.text


def _is_only_data(answer: httpx.Response) -> None:
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'; sandbox"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    assert "set-cookie" not in answer.headers
    # Control characters are escapes in it: whoever prints the answer at a terminal obeys nothing.
    assert not any(byte < 0x20 for byte in answer.content)


# --- what a GET can do -------------------------------------------------------------------------------------------------


def test_a_get_decides_nothing(attacked: Attacked) -> None:
    """Nor does it anything else: with an approver's session, on every route, with whatever it says to be in truth."""
    desk, before = attacked.desk, attacked.state()
    words = {"decision": "approved", "method": "POST", "_method": "POST", "code": "x"}
    override = {"X-HTTP-Method-Override": "POST", "X-Method-Override": "POST", "X-HTTP-Method": "POST"}
    with desk.client(attacked.session) as client:
        for _, path in attacked.routes():
            for method in ("GET", "HEAD"):
                answer = client.request(method, path, params=words, headers=override)
                # A receipt is that of a request that has ended.
                assert answer.status_code in {200, 404} or path.endswith("/receipt"), path
        assert client.get(f"{desk.path}/{attacked.waiting}/decide", params=words).status_code == 404
        assert client.get("/desk/session", params=words).status_code == 404
        assert client.get("/desk/session/end").status_code == 404
        assert client.get("/desk/requests").status_code == 200
    assert attacked.state() == before
    assert desk.one(attacked.waiting)["status"] == "pending"


def test_no_answer_sets_a_cookie_and_none_is_believed(attacked: Attacked) -> None:
    """Cookies ignore ports: any other local server would get them."""
    session = attacked.session
    sent = {"Cookie": f"session={session}; token={session}; molecule-desk={session}; Authorization=Bearer {session}"}
    with attacked.desk.client(None) as client:
        for path in ("/desk/requests", "/approvals/pending"):
            answer = client.get(path, headers=sent, params={"token": session, "session": session, "access_token": session})
            assert answer.status_code == 401
            assert "set-cookie" not in answer.headers
        assert "set-cookie" not in _exchange(attacked.desk, attacked.desk.code()).headers
