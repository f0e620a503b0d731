"""The whole server against what the real platform answered, exchange by exchange; and what stands around the routes."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from molecule_approve.server.activity import Activity
from molecule_approve.server.app import Front
from molecule_approve.server.metrics import Numbers
from molecule_approve.server.origins import Addresses
from molecule_approve.server.pages import Pages
from molecule_approve.server.routes import Routes
from molecule_approve.wire import key_task_id

if TYPE_CHECKING:
    import httpx

    from molecule_approve.server.asgi import App, Message, Receive, Scope, Send
    from molecule_approve.server.calls import Handler, HttpCall
    from tests.server.conftest import OpenDesk
    from tests.server.desk import Desk

BOTH_DATABASES = True

RECORDINGS = Path(__file__).parent.parent / "recordings"
EXCHANGES = [json.loads(line) for line in (RECORDINGS / "rest.jsonl").read_text().splitlines()]
WORKSPACES = {
    "ops": ("6d938018-d3d0-4d05-a6e9-6470f2d4cc13", "TOKEN_OF_OPS"),
    "other": ("8fa1f214-d1a1-4884-9647-00eb8fa78d44", "TOKEN_OF_OTHER"),
    "big": ("d275af08-2192-41ad-a5de-c104f4e941a3", "TOKEN_OF_BIG"),
    "crowded": ("6547a1fa-f263-4071-879a-9c732e4cb76b", "TOKEN_OF_CROWDED"),
}
AGED, ESCALATED = "fce6fa16-f451-402a-b843-e5d309551008", "ea522f04-8732-4917-96a3-f362582269c0"
KEYED = "3663c206-fe09-4abf-9cdd-d62fb5841634"


@dataclass(frozen=True)
class Differs:
    """An answer that is not the platform's, and the sentence of protocol.md that says so."""

    status: int
    code: str | None
    reason: str


WILL_NOT_KEEP = "422 for text it will not keep"
NEW_ROUTE = "the server's addition"
HONEST_404 = "404 for an unknown workspace"
NO_APPROVER = "never a 401 for a valid token"
NO_SELF_DECISION = "a requester's token can never decide"
ONE_MEANING = "a key that stands twice or in other letters is refused"
WHAT_WON = "deciding what is decided answers 409 with what won"

EXCEPTIONS = {
    "create, doubled key: the last wins": Differs(400, None, ONE_MEANING),
    "create, other case of a key is accepted": Differs(400, None, ONE_MEANING),
    "create again with the same Idempotency-Key: a second approval": Differs(200, None, "Idempotency-Key is honoured"),
    "create, blank action is accepted": Differs(422, "unacceptable", WILL_NOT_KEEP),
    "create, NUL in the action": Differs(422, "unacceptable", WILL_NOT_KEEP),
    "create, a lone surrogate": Differs(422, "unacceptable", WILL_NOT_KEEP),
    "create, invalid UTF-8": Differs(422, "unacceptable", WILL_NOT_KEEP),
    "create, one megabyte of action is accepted": Differs(422, "unacceptable", WILL_NOT_KEEP),
    "create, unknown workspace, administrator's token": Differs(404, "unknown_workspace", HONEST_404),
    "create, unknown workspace, a workspace's token": Differs(404, "unknown_workspace", HONEST_404),
    "create, workspace id is no UUID, administrator's token": Differs(404, "unknown_workspace", HONEST_404),
    "list, unknown workspace, administrator's token": Differs(404, "unknown_workspace", HONEST_404),
    "read of one approval does not exist": Differs(200, None, NEW_ROUTE),
    # Sent with the approver's token, which may not withdraw: else all that follows would find the request ended.
    "withdrawal does not exist": Differs(403, "forbidden", NEW_ROUTE),
    "decide, no decision": Differs(403, "forbidden", NO_SELF_DECISION),
    "decide, unknown decision": Differs(403, "forbidden", NO_SELF_DECISION),
    "decide, other case": Differs(403, "forbidden", NO_SELF_DECISION),
    "decide, unknown approval": Differs(403, "forbidden", NO_SELF_DECISION),
    "decide, approval id is no UUID": Differs(403, "forbidden", NO_SELF_DECISION),
    "decide: approved, by the requester's own token, with a name": Differs(403, "forbidden", NO_SELF_DECISION),
    "pending, a workspace's token": Differs(403, "forbidden", NO_APPROVER),
    "decide again": Differs(409, "ended", WHAT_WON),
    "decide, after the sweep": Differs(409, "ended", WHAT_WON),
}
AGAIN_BY_AN_APPROVER = {name for name, differs in EXCEPTIONS.items() if differs.reason is NO_SELF_DECISION}
NOT_A_UUID = "decide, approval id is no UUID"


class Replay:
    """The platform's exchanges, put to our server: its ids for theirs."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.administrator = str(desk.decider.headers["Authorization"]).removeprefix("Bearer ")
        self.ids: dict[str, str] = {}

    def send(self, exchange: dict[str, Any], *, as_approver: bool = False) -> httpx.Response:
        """The recorded request, to our server."""
        request = exchange["request"]
        headers = {k: v.replace("ADMIN_TOKEN", self.administrator) for k, v in request["headers"].items()}
        if as_approver or exchange["name"] == "withdrawal does not exist":
            headers["Authorization"] = f"Bearer {self.administrator}"
        path = request["path"]
        for theirs, ours in self.ids.items():
            path = path.replace(theirs, ours)
        with self.desk.client(None) as client:
            return client.request(request["method"], path, headers=headers, content=self.body(request["body"]))

    def body(self, recorded: str | None) -> bytes | None:
        """The body, byte for byte as it was sent, as far as the recording can say it."""
        if recorded is None or not recorded.startswith("<"):
            return None if recorded is None else recorded.encode().replace("\ufffd".encode(), b"\xff")
        return b'{"action": "' + b"x" * 1_000_000 + b'"}'

    def compare(self, exchange: dict[str, Any], answer: httpx.Response) -> None:
        """Status and body, ids, times and rate headers aside."""
        recorded = exchange["response"]
        assert answer.status_code == recorded["status"], (exchange["name"], answer.text)
        assert answer.headers["content-type"].partition(";")[0] == recorded["headers"]["content-type"].partition(";")[0]
        if recorded["headers"]["content-type"] == "text/plain":
            assert answer.text == recorded["body"]
        else:
            self.compare_values(json.loads(recorded["body"]), answer.json())

    def compare_values(self, theirs: Any, ours: Any) -> None:  # noqa: ANN401 - JSON
        """Two JSON values that mean the same."""
        if isinstance(theirs, list):
            kept = [row for row in theirs if row["id"] in self.ids]
            moved = [row for row in kept if row["id"] != AGED]  # its age was changed by hand, and so its place
            rows = {row["id"]: row for row in ours}
            assert [self.ids[row["id"]] for row in moved] == [r["id"] for r in ours if r["id"] != self.ids.get(AGED)]
            assert {self.ids[row["id"]] for row in kept} == set(rows)
            for row in kept:
                self.compare_rows(row, rows[self.ids[row["id"]]])
            return
        if "task_id" in ours:  # our 201 repeats it
            ours = {key: value for key, value in ours.items() if key != "task_id"}
        assert set(theirs) == set(ours)
        if "approval_id" in theirs:
            self.ids.setdefault(theirs["approval_id"], ours["approval_id"])
            theirs = {**theirs, "approval_id": self.ids[theirs["approval_id"]]}
        assert theirs == ours

    def compare_rows(self, theirs: dict[str, Any], ours: dict[str, Any]) -> None:
        """Two rows: every field but ids and times; a name is the one on the approver's token."""
        assert set(theirs) == set(ours)
        if theirs["id"] == KEYED and "task_id" in theirs:
            theirs = {**theirs, "task_id": key_task_id(WORKSPACES["ops"][0], "k-1")}  # the key is honoured
        for key in set(theirs) - {"id", "created_at", "decided_at", "decided_by", "status"}:
            assert theirs[key] == ours[key]
        if theirs["id"] == AGED:
            # Nobody has to sweep here: the server expires by its own clock.
            assert ours["status"] == "denied"
            assert ours["decided_by"] == "auto-expired"
            return
        assert theirs["status"] == ours["status"]
        if "decided_by" in theirs:
            assert (ours["decided_by"], ours["decided_at"] is None) == (
                None if theirs["decided_by"] is None else "alice",
                theirs["decided_at"] is None,
            )


def _change_by_hand(replay: Replay, name: str) -> None:
    """What the recorder changed in the platform's database before this exchange, and what it did not record."""
    if name == "list, an old request nobody has swept":
        replay.desk.change("UPDATE approvals SET expires = 1 WHERE id = ?", replay.ids[AGED])
    elif name == "list, with an escalated row":
        replay.desk.change("UPDATE approvals SET status = 'escalated' WHERE id = ?", replay.ids[ESCALATED])
    elif name.startswith("list of fifty-one"):
        workspace, token = WORKSPACES["crowded"]
        theirs = {row["action"]: row["id"] for row in json.loads(EXCHANGES[-1]["response"]["body"])}
        with replay.desk.client(token) as client:
            for action in ["the first", *(f"later {number}" for number in range(50))]:
                answer = client.post(f"/workspaces/{workspace}/approvals", json={"action": action})
                replay.ids[theirs.get(action, "none")] = answer.json()["approval_id"]


def test_every_recorded_exchange_is_answered_as_by_the_platform_or_differs_for_a_named_reason(open_desk: OpenDesk) -> None:
    """Status and body are the platform's, ids, times and rate headers aside, except where the table says why not."""
    desk = open_desk(failed_login_rate=600)
    for name, (workspace_id, token) in WORKSPACES.items():
        desk.add_workspace(workspace_id, name, token)
    replay, met = Replay(desk), set()
    for exchange in EXCHANGES:
        name = exchange["name"]
        _change_by_hand(replay, name)
        answer = replay.send(exchange)
        differs = EXCEPTIONS.get(name)
        if differs is None:
            replay.compare(exchange, answer)
            continue
        met.add(name)
        assert (answer.status_code, answer.json().get("code")) == (differs.status, differs.code), (name, answer.text)
        assert differs.reason
        if name in AGAIN_BY_AN_APPROVER and name != NOT_A_UUID:
            replay.compare(exchange, replay.send(exchange, as_approver=True))
    assert met == set(EXCEPTIONS)


def test_an_id_that_is_no_uuid_is_an_unknown_approval(desk: Desk) -> None:
    """Where the platform's database chokes on the id (500), this server knows no such approval (404)."""
    answer = desk.decider.post(f"{desk.path}/abc/decide", json={"decision": "approved"})
    assert (answer.status_code, answer.json()) == (404, {"error": "approval not found or already decided"})


def test_the_idempotency_key_is_also_the_task_id(desk: Desk) -> None:
    """The server stores under the key's own task id, so that the platform's way of finding a request works here too."""
    answer = desk.asker.post(desk.path, json={"action": "a"}, headers={"Idempotency-Key": "k-1"})
    assert desk.one(answer.json()["approval_id"])["task_id"] == key_task_id(desk.workspace_id, "k-1")


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/nothing"), ("PUT", "/health"), ("DELETE", "/workspaces/w/approvals")]
)
def test_an_unknown_route_or_method_is_answered_in_plain_text(desk: Desk, method: str, path: str) -> None:
    """Clients tell the additions from the platform's 404 by that."""
    answer = desk.asker.request(method, path)
    assert (answer.status_code, answer.text) == (404, "404 page not found")
    assert answer.headers["content-type"].startswith("text/plain")


def test_the_description_names_every_route_that_answers(desk: Desk) -> None:
    """`/openapi.json` is made from the list of routes: each of its addresses answers, with one of its statuses."""
    described = desk.asker.get("/openapi.json").json()
    assert described["openapi"].startswith("3.1")
    assert len(described["paths"]) == 30
    for path, methods in described["paths"].items():
        for method, told in methods.items():
            filled = path.replace("{workspace_id}", desk.workspace_id).replace("{approval_id}", "none")
            answer = desk.asker.request(method, filled)
            assert str(answer.status_code) in told["responses"], (path, answer.text)
            assert told["summary"]


def test_a_fault_of_the_server_is_told_without_its_words(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    """500 as JSON, and the traceback in the server's own log only."""
    approval_id = desk.ask()
    desk.change("UPDATE approvals SET status = 'nonsense'")
    answer = desk.asker.get(f"{desk.path}/{approval_id}")
    assert (answer.status_code, answer.json()) == (500, {"error": "internal error", "code": "internal"})
    assert "nonsense" in caplog.text


def test_a_fault_after_a_handshake_was_accepted_is_passed_on() -> None:
    """A second answer cannot follow the first; the server under us ends the connection."""

    async def half(call: HttpCall) -> None:
        await call.accept(None)
        raise LookupError

    assert _front("websocket", half) == (["websocket.accept"], LookupError)


@pytest.mark.parametrize(("kind", "sent"), [("http", "http.response"), ("websocket", "websocket.http.response")])
def test_a_fault_before_it_is_answered(kind: str, sent: str) -> None:
    """Whatever was called."""

    async def broken(_call: HttpCall) -> None:
        raise LookupError

    assert _front(kind, broken) == ([f"{sent}.start", f"{sent}.body"], None)


def test_a_caller_that_went_away_gets_no_answer() -> None:
    """Nothing is sent, nothing is logged."""

    async def gone(_call: HttpCall) -> None:
        raise ConnectionAbortedError

    assert _front("http", gone) == ([], None)


def _front(kind: str, handler: Handler) -> tuple[list[str], type[Exception] | None]:
    """What the front of the server sends for a call that this handler answers, and what it raises."""
    sent: list[str] = []

    async def send(message: Message) -> None:
        sent.append(message["type"])

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    own = ("127.0.0.1", 1)
    scope = {"type": kind, "path": "/", "server": own, "client": own, "headers": [(b"host", b"127.0.0.1:1")]}
    front = Front(Routes([], handler), Addresses.of("127.0.0.1"), Pages({}), Activity(Numbers()))
    try:
        asyncio.run(_called(front, scope, receive, send))
    except LookupError as exc:
        return sent, type(exc)
    return sent, None


async def _called(app: App, scope: Scope, receive: Receive, send: Send) -> None:
    await app(scope, receive, send)


def test_health_says_who_answers(desk: Desk) -> None:
    """`/health` wants no token."""
    with desk.client(None) as client:
        answer = client.get("/health")
    assert answer.json() == {"status": "ok", "anonymous_requests": False}
