"""The event stream: who may listen, who hears what, and what becomes of the slow and the revoked."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect, unix_connect

from molecule_approve.server.run import Running, ServePlan
from molecule_approve.wire import REQUEST_HEADER
from tests.server.desk import PATIENCE, Desk, desk_of, unsigned

if TYPE_CHECKING:
    from molecule_approve.paths import Places
    from tests.server.conftest import OpenDesk

BOTH_DATABASES = True

HANDSHAKES = json.loads((Path(__file__).parent.parent / "recordings" / "socket.json").read_text())["handshakes"]
LISTENER = "efc36fb8-13cf-4fd6-9e62-0fe9e429e738"

# Where the embedded server says something else than the platform, and protocol.md's reason.
DIFFERENT_HANDSHAKES = {
    "administrator's token": (101, "an approver may hear a workspace"),
    "unknown workspace": (404, "404 for an unknown workspace, on the socket too"),
    "workspace id is no UUID": (404, "404 for an unknown workspace, on the socket too"),
    "no X-Workspace-ID, no token": (400, "no socket without X-Workspace-ID but for an approver"),
    "a foreign Origin": (403, "with a body that says so"),
}


def _handshake(desk: Desk, headers: dict[str, str]) -> tuple[int, bytes]:
    try:
        with connect(desk.server.url.replace("http", "ws") + "/ws", additional_headers=headers, open_timeout=PATIENCE):
            return 101, b""
    except InvalidStatus as exc:
        return exc.response.status_code, bytes(exc.response.body or b"")


@pytest.mark.parametrize("recorded", HANDSHAKES, ids=[handshake["name"] for handshake in HANDSHAKES])
def test_who_is_let_in(desk: Desk, recorded: dict[str, Any]) -> None:
    """As on the platform, except where the table says why not; refused before the socket is accepted."""
    desk.add_workspace(LISTENER, "listener", "TOKEN_OF_LISTENER")
    desk.add_workspace("unrelated", "unrelated", "TOKEN_OF_UNRELATED")
    administrator = str(desk.decider.headers["authorization"]).removeprefix("Bearer ")
    headers = {key: value.replace("ADMIN_TOKEN", administrator) for key, value in recorded["request_headers"].items()}
    status, body = _handshake(desk, headers)
    different = DIFFERENT_HANDSHAKES.get(recorded["name"])
    if different is not None:
        assert status == different[0]
        return
    assert status == recorded["response"]["status"]
    if recorded["response"]["body"]:
        assert unsigned(json.loads(body)) == json.loads(recorded["response"]["body"])


def test_a_life_is_heard_in_both_dialects(desk: Desk) -> None:
    """The platform's nested events, and the flat decision of the earlier design."""
    with desk.listening() as stream:
        approval_id = desk.ask("a", reason="r", task_id="t")
        asked = stream.event()
        assert (asked["event"], asked["workspace_id"]) == ("APPROVAL_REQUESTED", desk.workspace_id)
        assert asked["payload"] == {"approval_id": approval_id, "action": "a", "reason": "r", "task_id": "t"}
        desk.decide(approval_id)
        native, flat = stream.event(), stream.event()
    assert native["event"] == "APPROVAL_APPROVED"
    assert native["payload"] == {"approval_id": approval_id, "decision": "approved", "decided_by": "alice"}
    assert native["timestamp"] == desk.one(approval_id)["decided_at"]
    assert flat == {"event": "APPROVAL_DECIDED", "approval_id": approval_id, "status": "approved", "decided_by": "alice"}


def test_denial_withdrawal_and_expiry_have_their_names(desk: Desk) -> None:
    """Each is a denial to older clients; the newer event says whether anybody said no."""
    denied, withdrawn = desk.ask_heard(), desk.ask_heard()
    with desk.listening() as stream:
        desk.decide(denied, "denied")
        desk.withdraw(withdrawn)
        assert stream.events(4) == ["APPROVAL_DENIED", "APPROVAL_DECIDED", "APPROVAL_WITHDRAWN", "APPROVAL_DECIDED"]
        expiring = desk.ask(expires_in=0.05)
        assert stream.event()["event"] == "APPROVAL_REQUESTED"
        expired, flat = stream.event(), stream.event()
    assert expired["event"] == "APPROVAL_EXPIRED"
    assert expired["payload"] == {"approval_id": expiring, "decision": "denied", "decided_by": "auto-expired"}
    assert flat["status"] == "denied"


def test_a_socket_hears_its_own_workspace_only_and_an_approver_all(desk: Desk) -> None:
    """What is asked elsewhere comes only to the approver's socket without a workspace."""
    desk.add_workspace("other", "other", "token-of-other")
    approver = str(desk.decider.headers["authorization"]).removeprefix("Bearer ")
    with desk.listening() as mine, desk.listening(approver, "") as everybody, desk.client("token-of-other") as other:
        other.post("/workspaces/other/approvals", json={"action": "theirs"})
        desk.ask("mine")
        assert mine.event()["payload"]["action"] == "mine"
        assert [everybody.event()["payload"]["action"] for _ in range(2)] == ["theirs", "mine"]


def test_the_unix_socket_carries_events(desk: Desk) -> None:
    """The same stream, over the socket that `local` names."""
    headers = {"Authorization": f"Bearer {desk.server.requester.token}", "X-Workspace-ID": desk.workspace_id}
    path = str(desk.server.places.socket)
    with unix_connect(path, "ws://localhost/ws", additional_headers=headers, open_timeout=PATIENCE) as connection:
        desk.ask()
        assert json.loads(connection.recv(PATIENCE))["event"] == "APPROVAL_REQUESTED"


def test_pings_are_answered_and_words_are_not(desk: Desk) -> None:
    """A client may ping whenever it likes; what it says is ignored."""
    with desk.listening() as stream:
        stream.connection.send("hello?")
        assert stream.connection.ping().wait(PATIENCE)
        desk.ask()
        assert stream.event()["event"] == "APPROVAL_REQUESTED"


def test_with_leave_a_client_without_a_token_may_listen(open_desk: OpenDesk) -> None:
    """For the server's own workspace, which it must name."""
    desk = open_desk(anonymous=True)
    assert _handshake(desk, {"X-Workspace-ID": desk.workspace_id})[0] == 101
    assert _handshake(desk, {})[0] == 400


def test_a_handshake_is_counted_like_any_call(open_desk: OpenDesk) -> None:
    """429 with the platform's body, before the socket is accepted."""
    desk = open_desk(rate=1)
    headers = {"X-Workspace-ID": desk.workspace_id, "Authorization": f"Bearer {desk.server.requester.token}"}
    assert _handshake(desk, headers)[0] == 101
    status, body = _handshake(desk, headers)
    assert (status, json.loads(body)["error"]) == (429, "rate limit exceeded")


def test_a_socket_that_does_not_read_is_dropped_and_blocks_nobody(open_desk: OpenDesk) -> None:
    """Its queue is bounded; others hear everything meanwhile."""
    desk = open_desk(socket_queue=4)
    with desk.lazy() as lazy, desk.listening() as quick:
        for number in range(100):
            desk.ask("\u6f22" * 4_096, reason="\u6f22" * 16_384, task_id=str(number))
            assert quick.event()["payload"]["task_id"] == str(number)
        heard = bytearray()
        while not heard.endswith(b"\x88\x02\x03\xf5") and (chunk := lazy.recv(65_536)):
            heard += chunk
        # What had been sent when it was dropped; then a close frame (1013) or the end.
        assert 0 < len(heard) < 100 * 60_000


def test_a_revoked_approvers_socket_is_let_go(open_desk: OpenDesk) -> None:
    """Soon after the revocation, without a call of its own; other sockets stay."""
    desk = open_desk(recheck=0.05)
    approver = str(desk.decider.headers["authorization"]).removeprefix("Bearer ")
    bob = desk.server.add_approver("bob")
    with desk.listening(approver) as theirs, desk.listening() as mine, desk.listening(bob, "") as bobs:
        desk.change("DELETE FROM approvers WHERE name = 'alice'")
        with pytest.raises(ConnectionClosed) as caught:
            theirs.event()
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 1013
        desk.ask()
        assert bobs.event()["event"] == "APPROVAL_REQUESTED"
        assert mine.event()["event"] == "APPROVAL_REQUESTED"


def test_a_socket_that_goes_away_is_forgotten(desk: Desk) -> None:
    """With and without a close frame; the next one hears as before."""
    with desk.listening() as abrupt:
        abrupt.connection.socket.shutdown(socket.SHUT_RDWR)
    with desk.listening():
        pass
    with desk.listening() as stream:
        desk.ask()
        assert stream.event()["event"] == "APPROVAL_REQUESTED"


def test_a_socket_that_names_a_request_hears_of_that_one_only(desk: Desk) -> None:
    """Its decision, by an id in any spelling; others hear everything as before."""
    with desk.listening() as everything:
        mine, other = desk.ask("mine"), desk.ask("other")
        heard = everything.events(2)  # by then no event of these is under way
        with desk.listening(**{REQUEST_HEADER: mine.upper()}) as named:
            desk.decide(other)
            desk.decide(mine, "denied")
            assert named.events(2) == ["APPROVAL_DENIED", "APPROVAL_DECIDED"]
        assert len(heard + everything.events(4)) == 6


def test_a_request_of_another_workspace_is_not_heard_by_its_name(desk: Desk) -> None:
    """Whoever knows an id learns nothing by it."""
    desk.add_workspace("other", "other", "token-of-other")
    theirs, mine = desk.ask("theirs"), ""
    with desk.listening("token-of-other", "other", **{REQUEST_HEADER: theirs}) as spy:
        desk.decide(theirs)
        with desk.client("token-of-other") as other, desk.listening("token-of-other", "other") as all_of_it:
            mine = other.post("/workspaces/other/approvals", json={"action": "mine"}).json()["approval_id"]
            assert all_of_it.event()["payload"]["approval_id"] == mine
        with pytest.raises(TimeoutError):
            spy.connection.recv(0)


@pytest.mark.parametrize("name", ["", "no id", "../decide", "1" * 36])
def test_a_name_that_is_no_id_is_refused(shared_desk: Desk, name: str) -> None:
    """422, before the socket is accepted."""
    headers = {"X-Workspace-ID": shared_desk.workspace_id, REQUEST_HEADER: name}
    headers["Authorization"] = f"Bearer {shared_desk.server.requester.token}"
    assert _handshake(shared_desk, headers)[0] == 422


def test_a_reader_that_pauses_gets_all_in_order(desk: Desk) -> None:
    """What did not fit into the connection waits in the server, and is sent as soon as it is read."""
    with desk.lazy() as lazy:
        for number in range(100):
            desk.ask("\u6f22" * 4_096, reason="\u6f22" * 16_384, task_id=f"task-{number}")
        heard = bytearray()
        while b'"task-99"' not in heard[-70_000:]:
            heard += lazy.recv(65_536)
    places = [heard.index(f'"task-{number}"'.encode()) for number in range(100)]
    assert places == sorted(places)


def test_a_client_that_does_not_wait_for_the_answer_is_let_go(shared_desk: Desk) -> None:
    """What it says before the handshake is answered would be no part of the stream, and the rest would be out of step."""
    where = urlsplit(shared_desk.server.url)
    head = (
        f"GET /ws HTTP/1.1\r\nHost: localhost\r\nX-Workspace-ID: {shared_desk.workspace_id}\r\nConnection: Upgrade\r\n"
        f"Authorization: Bearer {shared_desk.server.requester.token}\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    with socket.create_connection((where.hostname or "", where.port or 0), PATIENCE) as hasty:
        hasty.sendall(head.encode() + b"\x89\x80\0\0")
        assert _rest(hasty) == b""


def test_a_client_that_breaks_the_protocol_is_told_so(desk: Desk) -> None:
    """A frame that is not masked: the close frame names a protocol error (1002), and the connection ends."""
    with desk.lazy() as lazy:
        lazy.sendall(b"\x81\x01x")
        heard = bytearray()
        while chunk := lazy.recv(65_536):
            heard += chunk
        assert b"\x03\xea" in heard


def test_a_client_that_closes_is_answered(desk: Desk) -> None:
    """With its own code."""
    with desk.lazy() as lazy:
        lazy.sendall(b"\x88\x82\0\0\0\0\x03\xe8")
        heard = bytearray()
        while chunk := lazy.recv(65_536):
            heard += chunk
        assert heard.endswith(b"\x88\x02\x03\xe8")


def test_a_dropped_client_that_does_not_answer_is_cut_off(open_desk: OpenDesk) -> None:
    """It gets the close frame, and no further event; its connection ends soon afterwards, whatever it does."""
    desk = open_desk(recheck=0.05)
    bob = desk.server.add_approver("bob")
    with desk.lazy(bob) as lazy:
        desk.change("UPDATE approvers SET revoked_at = '2026' WHERE name = 'bob'")
        heard = bytearray()
        while not heard.endswith(b"\x88\x02\x03\xf5"):
            chunk = lazy.recv(65_536)
            assert chunk
            heard += chunk
        desk.ask()
        assert _rest(lazy) == b""


def _rest(connection: socket.socket) -> bytes:
    try:
        return connection.recv(65_536)
    except ConnectionError:
        return b""


def test_a_stop_sends_a_stream_away(server_places: Places) -> None:
    """The close code (1012) says that the server restarts; one that the client has closed already is left alone."""
    with Running(ServePlan(server_places)) as server, desk_of(server) as desk, desk.listening() as stream:
        server.stop()
        with pytest.raises(ConnectionClosed) as caught:
            stream.event()
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 1012


def test_an_event_of_any_length_is_whole(desk: Desk) -> None:
    """A frame says its length in one, three or nine bytes."""
    with desk.listening() as stream:
        for length in (1, 400, 16_384):
            desk.ask("x", reason="\N{PILE OF POO}" * length)
            assert stream.event()["payload"]["reason"] == "\N{PILE OF POO}" * length
        desk.decide(desk.ask("x"))
        assert stream.events(3)[-1] == "APPROVAL_DECIDED"
