"""Connections: framing that means two things, peers that take their time, and groups that crowd."""

from __future__ import annotations

import resource
import select
import socket
import sqlite3
from contextlib import ExitStack, closing
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from molecule_approve.server.connections import SocketConnection, connection_limit, raise_open_file_limit
from molecule_approve.server.limits import Limits
from tests.callers import until
from tests.integration.raw_http import PLAIN
from tests.server.desk import PATIENCE, Desk

if TYPE_CHECKING:
    from tests.server.conftest import OpenDesk


def _dial(desk: Desk) -> socket.socket:
    where = urlsplit(desk.server.url)
    return socket.create_connection((where.hostname or "", where.port or 0), PATIENCE)


def _all(connection: socket.socket) -> bytes:
    """All that comes until the end, a hard one included."""
    heard = bytearray()
    try:
        while chunk := connection.recv(65_536):
            heard += chunk
    except ConnectionError:
        pass
    return bytes(heard)


def _ended(connection: socket.socket) -> bool:
    connection.settimeout(PATIENCE)
    try:
        return connection.recv(1) == b""
    except ConnectionError:
        return True


BODY = b'{"action":"a"}'
CHUNKED = b"e\r\n" + BODY + b"\r\n0\r\n\r\n"


@pytest.mark.parametrize(
    ("line", "headers", "body"),
    [
        (b"HTTP/1.1", b"Content-Length: 14\r\nTransfer-Encoding: chunked\r\n", CHUNKED),
        (b"HTTP/1.1", b"Transfer-Encoding: chunked\r\nContent-Length: 14\r\n", CHUNKED),
        (b"HTTP/1.1", b"Content-Length: 14\r\nContent-Length: 15\r\n", BODY),
        (b"HTTP/1.1", b"Content-Length: 14, 15\r\n", BODY),
        (b"HTTP/1.1", b"Content-Length: 14\r\ncontent-length: 14\r\n", BODY),
        (b"HTTP/1.1", b"CONTENT-LENGTH: 14, 14\r\n", BODY),
        (b"HTTP/1.1", b"Content-Length: 14\r\nAuthorization: Bearer x\r\n", BODY),
        (b"HTTP/1.1", b"Content-Length: 14\r\nIdempotency-Key: a\r\nIdempotency-Key: b\r\n", BODY),
        (b"HTTP/1.1", b"Content-Length: +14\r\n", BODY),
        (b"HTTP/1.1", b"Content-Length : 14\r\n", BODY),
        (b"HTTP/1.1", b"Content-Length: 14\r\nX: y\r\n z\r\n", BODY),
        (b"HTTP/1.1", b"Content-Length: 14\r\nX: y\r\n\tTransfer-Encoding: chunked\r\n", BODY),
        (b"HTTP/1.1", b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", CHUNKED),
        (b"HTTP/1.1", b"Transfer-Encoding: chunked, identity\r\n", CHUNKED),
        (b"HTTP/1.1", b"Transfer-Encoding: xchunked\r\n", CHUNKED),
        (b"HTTP/1.0", b"Transfer-Encoding: chunked\r\n", CHUNKED),
        (b"HTTP/1.1", b"Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 14\r\n", BODY),
    ],
)
def test_a_body_whose_end_two_readers_see_elsewhere_is_refused(
    shared_desk: Desk, line: bytes, headers: bytes, body: bytes
) -> None:
    """400 and the end of the connection: what follows is no second call, and nothing was asked. A header twice, too."""
    path, token = shared_desk.path.encode(), shared_desk.server.requester.token.encode()
    common = b"Host: localhost\r\nAuthorization: Bearer " + token + b"\r\n"
    call = b"POST " + path + b" " + line + b"\r\n" + common + headers + b"\r\n" + body
    before = shared_desk.asker.get(shared_desk.path).json()
    with _dial(shared_desk) as connection:
        connection.sendall(call + b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        heard = _all(connection)
    assert heard.split()[1] in {b"400", b"501"}
    assert heard.count(b"HTTP/1.1 ") == 1
    assert shared_desk.asker.get(shared_desk.path).json() == before


@pytest.mark.parametrize("target", [b"http://evil.example/health", b"http://localhost/health", b"*"])
def test_a_target_that_is_no_path_is_refused(shared_desk: Desk, target: bytes) -> None:
    """400 and the end of the connection: its host could be another one than that of the Host header."""
    with _dial(shared_desk) as connection:
        connection.sendall(b"OPTIONS " + target + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert _all(connection).startswith(b"HTTP/1.1 400")


def test_a_folded_header_is_seen_behind_another_call_and_in_pieces(shared_desk: Desk) -> None:
    """Not only where it is the first thing that a connection brings."""
    first = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with _dial(shared_desk) as connection:
        connection.sendall(first + b"GET /health HTTP/1.1\r\nHost: localhost\r\nX: y\r\n")
        connection.sendall(b" z\r\n\r\n" + first)
        heard = _all(connection)
    assert [part.split()[0] for part in heard.split(b"HTTP/1.1 ")[1:]] == [b"200", b"400"]


def test_calls_behind_one_another_are_served(shared_desk: Desk) -> None:
    """What is plain stays allowed: two heads in one piece, a body that has the look of a fold."""
    body = b'{"action":"a",\n "reason":"b"}'
    token = shared_desk.server.requester.token
    head = f"POST {shared_desk.path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n"
    call = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
    with _dial(shared_desk) as connection:
        connection.sendall(call + call.replace(b"localhost\r\n", b"localhost\r\nConnection: close\r\n"))
        heard = _all(connection)
    assert heard.count(b"HTTP/1.1 201") == 2


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET /health HTTP/1.1\r\nHost: lo",
        b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\nG",
        b"POST /desk/session HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{",
        b"PUT /nothing HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{",
    ],
)
def test_a_peer_that_does_not_go_on_is_let_go(open_desk: OpenDesk, sent: bytes) -> None:
    """Before a head, in it, after an answer, and in a body that somebody or nobody reads."""
    desk = open_desk(head_time=0.1, body_time=0.2)
    with _dial(desk) as connection:
        connection.sendall(sent)
        connection.settimeout(PATIENCE)
        assert _all(connection).count(b"HTTP/1.1 ") <= 1


def test_a_held_answer_is_no_silence(open_desk: OpenDesk) -> None:
    """Who waits for a decision with `?wait=` is not the one who keeps the other waiting."""
    desk = open_desk(head_time=0.1, body_time=0.1, slow_reader=0.1)
    approval_id = desk.ask()
    assert desk.one(approval_id, wait=2.5)["status"] == "pending"


def test_an_answer_that_nobody_takes_is_given_up(open_desk: OpenDesk) -> None:
    """The connection of a peer that asks and does not read ends; others are served meanwhile."""
    desk = open_desk(slow_reader=0.1)
    for _ in range(50):
        desk.ask("a" * 4_096, reason="r" * 16_384)
    head = f"GET {desk.path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {desk.server.requester.token}\r\n\r\n"
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        where = urlsplit(desk.server.url)
        connection.connect((where.hostname, where.port))
        connection.sendall(head.encode() * 20)
        _until_reset(connection)
    assert desk.asker.get(desk.path).status_code == 200


def _until_reset(connection: socket.socket) -> None:
    """Wait until the peer has let go, without taking anything that it sent."""

    def gone() -> bool:
        try:
            connection.send(b"\r\n", socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except ConnectionError:
            return True
        return False

    until(gone, "the connection is still there")


def _pings(connection: socket.socket, most: int) -> int:
    """Ping without reading until the peer lets go; bytes that it took, ``most`` at most."""
    frame = b"\x89\xfd\0\0\0\0" + b"x" * 125
    sent, piece = 0, frame * 500
    connection.settimeout(PATIENCE)
    try:
        while sent < most:
            sent += connection.send(piece[sent % len(frame) :])
    except ConnectionError:
        pass
    return sent


def test_pings_that_nobody_reads_the_answers_of_fill_no_memory(open_desk: OpenDesk) -> None:
    """The server reads no further than its answers are taken, and lets the peer go; other sockets live on."""
    desk = open_desk(slow_reader=0.1)
    most = 64_000_000
    with desk.lazy() as lazy, desk.listening() as stream:
        assert _pings(lazy, most) < most
        desk.ask()
        assert stream.event()["event"] == "APPROVAL_REQUESTED"


def test_pings_between_words_fill_no_memory_either(open_desk: OpenDesk) -> None:
    """A message makes the server read on; what waits for the peer is bounded all the same."""
    desk = open_desk(slow_reader=600.0)
    piece = (b"\x89\xfd\0\0\0\0" + b"x" * 125) * 50 + b"\x81\x81\0\0\0\0x"
    with desk.lazy() as lazy:
        lazy.settimeout(10.0)  # nothing is read on
        sent = 0
        try:
            while sent < 64_000_000:
                lazy.sendall(piece)
                sent += len(piece)
        except (ConnectionError, TimeoutError):
            pass
        assert sent < 64_000_000


def test_a_message_in_endless_parts_is_refused(desk: Desk) -> None:
    """Each empty frame costs its sender six bytes, and would be kept."""
    with desk.lazy() as lazy:
        lazy.sendall(b"\x01\x80\0\0\0\0" + b"\x00\x80\0\0\0\0" * 100)
        assert _all(lazy).startswith(b" Switching Protocols")


def test_silent_strangers_lock_nobody_out(open_desk: OpenDesk) -> None:
    """The longest silent one makes room for the next caller; approvers and the private socket are not touched."""
    desk = open_desk(connections=60)
    with ExitStack() as stack:
        silent = [stack.enter_context(_dial(desk)) for _ in range(100)]
        assert desk.asker.get(desk.path).status_code == 200
        assert desk.decider.get("/desk/requests").status_code == 200
        with desk.client(desk.session()) as late, desk.listening() as stream:
            assert late.get("/desk/requests").status_code == 200
            desk.ask()
            assert stream.event()["event"] == "APPROVAL_REQUESTED"
        transport = httpx.HTTPTransport(verify=PLAIN, uds=str(desk.server.places.socket))
        with httpx.Client(transport=transport, base_url="http://localhost") as private:
            assert private.get("/health").status_code == 200
        assert _ended(silent[0])


def test_sockets_of_one_credential_lock_no_other_out(open_desk: OpenDesk) -> None:
    """A requester's streams fill a requester's share: 503 for the next one, also while its calls and approvers go on."""
    desk = open_desk(connections=24)
    with ExitStack() as stack:
        for _ in range(4):
            stack.enter_context(desk.listening())
        with pytest.raises(InvalidStatus) as caught:
            stack.enter_context(desk.listening())
        assert caught.value.response.status_code == 503
        approval_id = desk.ask()
        assert desk.decide(approval_id).status_code == 200
        approver = str(desk.decider.headers["authorization"]).removeprefix("Bearer ")
        stack.enter_context(desk.listening(approver))


def test_streams_without_a_token_lock_nobody_out(open_desk: OpenDesk) -> None:
    """Where they have leave to listen they fill a share of their own, and no call's."""
    desk = open_desk(connections=24, anonymous=True)
    url, headers = desk.server.url.replace("http", "ws") + "/ws", {"X-Workspace-ID": desk.workspace_id}
    with ExitStack() as stack:
        for _ in range(4):
            stack.enter_context(connect(url, additional_headers=headers, open_timeout=PATIENCE))
        with pytest.raises(InvalidStatus) as caught:
            connect(url, additional_headers=headers, open_timeout=PATIENCE)
        assert caught.value.response.status_code == 503
        assert desk.decide(desk.ask()).status_code == 200
        with desk.listening() as stream:
            desk.ask()
            assert stream.event()["event"] == "APPROVAL_REQUESTED"


def test_held_answers_lock_nobody_out(open_desk: OpenDesk) -> None:
    """They count for the credential that waits: 503 beyond its share, while others' first calls have room."""
    desk = open_desk(connections=6)
    approval_id, token = desk.ask(), desk.server.requester.token
    call = f"GET {desk.path}/{approval_id}?wait=9 HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n"
    with ExitStack() as stack:
        for _ in range(50):
            connection = stack.enter_context(_dial(desk))
            connection.sendall(call.encode())
            # Nothing comes where it is held, and a reset where the one before it was not counted for its credential yet.
            if select.select([connection], [], [], 0.1)[0] and (heard := _begun(connection)):
                break
        assert heard == b"HTTP/1.1 503"
        assert desk.decide(approval_id).status_code == 200


def _begun(connection: socket.socket) -> bytes:
    try:
        return connection.recv(12)
    except ConnectionError:
        return b""


def test_where_all_are_busy_the_next_one_is_refused(open_desk: OpenDesk) -> None:
    """Nobody's call is broken off for a new connection; the private socket has room meanwhile."""
    desk = open_desk(connections=6, database_patience=5.0)
    body = b'{"action":"a"}'
    head = f"POST {desk.path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {desk.server.requester.token}\r\n"
    with closing(sqlite3.connect(desk.server.places.database, isolation_level=None)) as holder, _dial(desk) as busy:
        holder.execute("BEGIN IMMEDIATE")
        # Read from once, so that what it sends next is read before a later connection is seen.
        busy.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        health = busy.recv(65_536)
        while not health.endswith(b"}"):
            health += busy.recv(65_536)
        busy.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        with _dial(desk) as late:
            assert _ended(late)
        transport = httpx.HTTPTransport(verify=PLAIN, uds=str(desk.server.places.socket))
        with httpx.Client(transport=transport, base_url="http://localhost") as private:
            assert private.get("/health").status_code == 200
        holder.execute("ROLLBACK")
        assert busy.recv(12) == b"HTTP/1.1 201"


def test_handshakes_that_are_none_end_quietly(shared_desk: Desk) -> None:
    """With another method, without a key, with too long a target: an answer or the end, and the server serves on."""
    for head in (b"POST /ws", b"GET /ws", b"GET /ws?" + b"x" * 9_000):
        with _dial(shared_desk) as connection:
            lines = b"Host: localhost\r\nConnection: Upgrade, close\r\nUpgrade: websocket\r\n\r\n"
            connection.sendall(head + b" HTTP/1.1\r\n" + lines)
            assert b"101" not in _all(connection)[:12]
    assert shared_desk.asker.get(shared_desk.path).status_code == 200


@pytest.mark.parametrize(
    ("soft", "hard", "raised", "found"),
    [(256, 1_024, 1_024, 924), (256, 100_000, 6_100, 6_000), (20_000, 20_000, 20_000, 6_000), (256, -1, 6_100, 6_000)],
)
def test_there_is_room_for_as_many_as_the_system_lets_us(
    monkeypatch: pytest.MonkeyPatch, soft: int, hard: int, raised: int, found: int
) -> None:
    """The soft limit of open files is raised where that is needed; some stay for all else."""
    limits = [(soft, hard)]
    monkeypatch.setattr(resource, "getrlimit", lambda _kind: limits[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda _kind, limit: limits.append(limit))
    raise_open_file_limit()
    assert limits[-1] == (raised, hard)
    assert connection_limit(Limits()) == found


def test_a_system_without_a_limit_needs_none_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then our own setting is the limit."""
    monkeypatch.setattr(resource, "getrlimit", lambda _kind: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    monkeypatch.delattr(resource, "setrlimit")
    raise_open_file_limit()
    assert connection_limit(Limits()) == 6_000


def test_a_stop_cuts_a_handshake_off() -> None:
    """Its client comes back, and finds the next server."""
    ends: list[None] = []
    waiting = SimpleNamespace(transport=SimpleNamespace(abort=lambda: ends.append(None)))
    SocketConnection.shutdown(cast("SocketConnection", waiting))
    assert ends == [None]


def test_a_handshake_ends_with_its_head() -> None:
    """A client that goes on before it is answered is let go; nothing that it said is read."""
    ends: list[None] = []
    early = SimpleNamespace(handshake_initiated=True, transport=SimpleNamespace(abort=lambda: ends.append(None)))
    SocketConnection.data_received(cast("SocketConnection", early), b"more")
    assert ends == [None]


def test_a_database_that_is_away_costs_no_guess(open_desk: OpenDesk) -> None:
    """Who signs in meanwhile is told to come back, however often, and is not counted among those who guess."""
    desk = open_desk(failed_login_rate=1, database_patience=0.01)
    code = desk.code()
    with closing(sqlite3.connect(desk.server.places.database, isolation_level=None)) as holder, desk.client(None) as client:
        holder.execute("BEGIN IMMEDIATE")
        assert [client.post("/desk/session", json={"code": code}).status_code for _ in range(3)] == [503] * 3
        holder.execute("ROLLBACK")
        assert client.post("/desk/session", json={"code": code}).status_code == 201


@pytest.mark.parametrize("action", ["", "/{id}/decide", "/{id}/redeem"])
def test_a_body_is_read_only_for_whom_it_may_be_from(shared_desk: Desk, action: str) -> None:
    """A wrong token is answered before the body has come; the rest is passed over, and the next call is served."""
    path = shared_desk.path + action.format(id=shared_desk.ask())
    wrong = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer wrong\r\nContent-Length: 1000000\r\n\r\n"
    with _dial(shared_desk) as connection:
        connection.sendall(wrong.encode() + b"x" * 400_000)
        assert connection.recv(12) == b"HTTP/1.1 401"
        connection.sendall(b"x" * 600_000 + b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert _all(connection).count(b"HTTP/1.1 200") == 1


def test_the_right_to_call_is_refused_before_the_body(open_desk: OpenDesk) -> None:
    """401, 403 and 404 come before 413: who may not call learns nothing of the limits."""
    desk = open_desk(body=1_000)
    path, long = f"{desk.path}/{desk.ask()}", b"x" * 1_001
    with desk.client("wrong") as stranger:
        assert [stranger.post(path + end, content=long).status_code for end in ("/decide", "/redeem")] == [401, 401]
    assert desk.asker.post(f"{path}/decide", content=long).status_code == 403
    assert desk.decider.post(f"{path}/redeem", content=long).status_code == 403
    assert desk.decider.post("/workspaces/none/approvals", content=long).status_code == 404
    assert desk.decider.post(f"{path}/decide", content=long).status_code == 413


def test_answers_that_nobody_takes_fill_a_credentials_share_alone(open_desk: OpenDesk) -> None:
    """Beyond it those that have waited longest are given up; who reads is served, whatever waits."""
    desk = open_desk(slow_reader=600.0, head_time=600.0, unread=5_000_000)
    for _ in range(60):
        desk.ask("\N{PILE OF POO}" * 4_096, reason="\N{PILE OF POO}" * 16_384)
    head = f"GET {desk.path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {desk.server.requester.token}\r\n\r\n"
    where = urlsplit(desk.server.url)
    with ExitStack() as stack:
        idle = []
        for _ in range(8):
            connection = stack.enter_context(socket.socket())
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            connection.settimeout(PATIENCE)
            connection.connect((where.hostname, where.port))
            connection.sendall(head.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n").encode())
            assert connection.recv(12) == b"HTTP/1.1 200"
            idle.append(connection)
        idle[0].settimeout(None)
        _until_reset(idle[0])
        assert len(desk.asker.get(desk.path).json()) == 50
        assert len(_all(idle[-1])) > 4_000_000
