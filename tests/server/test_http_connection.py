"""One connection and its calls: through real sockets, to the server and to small applications."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from molecule_approve.clock import boottime
from molecule_approve.server import http_connection
from molecule_approve.server.connections import Connections
from molecule_approve.server.http_connection import encode_head
from molecule_approve.server.http_server import HttpServer, configure
from molecule_approve.server.limits import Limits
from molecule_approve.server.run import Running, ServePlan
from tests.callers import until
from tests.certificates import new_pair
from tests.server.desk import PATIENCE, desk_of

if TYPE_CHECKING:
    from pathlib import Path

    from molecule_approve.paths import Places
    from molecule_approve.server.asgi import App, Receive, Scope, Send
    from tests.server.conftest import OpenDesk
    from tests.server.desk import Desk

_USUAL = Limits()

GET = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"


def heard(connection: socket.socket) -> bytes:
    """All that comes until the end."""
    found = b""
    try:
        while piece := connection.recv(65_536):
            found += piece
    except ConnectionError:
        pass
    return found


@contextmanager
def dialled(desk: Desk) -> Iterator[socket.socket]:
    """A connection to the server."""
    host, _, port = desk.server.url.rpartition("/")[2].rpartition(":")
    with socket.create_connection((host, int(port)), PATIENCE) as connection:
        yield connection


@contextmanager
def serving(app: App, limits: Limits = _USUAL, tls: ssl.SSLContext | None = None) -> Iterator[tuple[str, int]]:
    """A server with this application."""
    started, place, stop = threading.Event(), list[tuple[str, int]](), list[Callable[[], None]]()

    async def run() -> None:
        listening = socket.create_server(("127.0.0.1", 0))
        end, loop = asyncio.Event(), asyncio.get_running_loop()
        place.append(listening.getsockname())

        def end_it() -> None:
            loop.call_soon_threadsafe(end.set)

        stop.append(end_it)
        connections = Connections(limits, 100)
        config = configure(app, limits, connections)
        await HttpServer(config, connections, end, started.set, lambda: None, tls).serve([listening])

    thread = threading.Thread(target=asyncio.run, args=(run(),))
    thread.start()
    started.wait(PATIENCE)
    try:
        yield place[0]
    finally:
        stop[0]()
        thread.join()


async def failing(_scope: Scope, _receive: Receive, _send: Send) -> None:
    """Fail."""
    raise RuntimeError("a fault of the application")


async def silent(_scope: Scope, _receive: Receive, _send: Send) -> None:
    """Give no answer."""


@pytest.mark.parametrize("app", [failing, silent])
def test_nobody_waits_for_an_answer_that_never_comes(app: App, caplog: pytest.LogCaptureFixture) -> None:
    """A fault of the application, or no answer, ends the connection."""
    caplog.set_level(logging.CRITICAL, "molecule_approve.server")
    with serving(app) as place, socket.create_connection(place, PATIENCE) as connection:
        connection.sendall(GET)
        assert heard(connection) == b""


def test_a_stop_ends_a_connection_without_a_call_at_once_and_another_after_its_answer(server_places: Places) -> None:
    """The answer of a call that waits comes at once, and says that it was the last one."""
    with Running(ServePlan(server_places)) as server, desk_of(server) as desk, dialled(desk) as idle, dialled(desk) as busy:
        asked, token = desk.ask(), server.requester.token
        idle.sendall(GET)
        assert idle.recv(65_536).startswith(b"HTTP/1.1 200")
        call = f"GET {desk.path}/{asked}?wait=30 HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n"
        busy.sendall(call.encode())
        until(lambda: "molecule_waiting_calls 1.0" in desk.asker.get("/metrics").text, "the call that waits")
        stopping = threading.Thread(target=server.stop)
        stopping.start()
        assert heard(idle) == b""
        last = heard(busy)
        stopping.join(PATIENCE)
    assert last.startswith(b"HTTP/1.1 200")
    assert b"connection: close" in last
    assert b'"status":"pending"' in last


def test_a_client_that_asks_first_is_told_to_go_on(shared_desk: Desk) -> None:
    """`Expect: 100-continue`: it sends the body when it is told to; a refusal comes instead, and ends the connection."""
    body, path = b'{"action":"a"}', shared_desk.path
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: {len(body)}\r\n"
    for token, answers in ((shared_desk.server.requester.token, [b"100", b"201"]), ("wrong", [b"401"])):
        with dialled(shared_desk) as connection:
            connection.sendall(f"{head}Authorization: Bearer {token}\r\nConnection: close\r\n\r\n".encode())
            first = connection.recv(65_536)
            if first.startswith(b"HTTP/1.1 100"):
                connection.sendall(body)
            said = first + heard(connection)
        assert [part.split()[0] for part in said.split(b"HTTP/1.1 ")[1:]] == answers
        assert b"connection: close" in said


CHUNKED = "POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nTransfer-Encoding: chunked\r\n\r\n"


def test_a_body_that_breaks_off_in_nonsense_is_refused(shared_desk: Desk) -> None:
    """400, and the end of the connection; nothing is asked."""
    before = shared_desk.asker.get(shared_desk.path).json()
    with dialled(shared_desk) as connection:
        connection.sendall(CHUNKED.format(path=shared_desk.path, token=shared_desk.server.requester.token).encode())
        connection.sendall(b"1\r\n{\r\nnonsense\r\n")
        assert heard(connection).startswith(b"HTTP/1.1 400")
    assert shared_desk.asker.get(shared_desk.path).json() == before


def test_nonsense_after_an_early_answer_ends_the_connection(shared_desk: Desk) -> None:
    """The answer has come; there is no second one."""
    with dialled(shared_desk) as connection:
        connection.sendall(CHUNKED.format(path=shared_desk.path, token="wrong").encode())
        first = connection.recv(65_536)
        connection.sendall(b"nonsense\r\n")
        assert (first.split()[1], heard(connection)) == (b"401", b"")


def test_a_header_cannot_bring_a_line_of_its_own() -> None:
    """Neither a line break nor a NUL leaves the server in a header."""
    for value in (b"a\r\nSet-Cookie: x", b"a\nb", b"a\rb", b"a\0b"):
        with pytest.raises(RuntimeError, match="line break or a NUL"):
            encode_head(200, [(b"location", value)], keeps=True)
    assert encode_head(200, [(b"a", b"b")], keeps=False) == b"HTTP/1.1 200 OK\r\na: b\r\nconnection: close\r\n\r\n"


async def large(_scope: Scope, _receive: Receive, send: Send) -> None:
    """Answer with more than what fits on the way to a client."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % LARGE)]})
    await send({"type": "http.response.body", "body": b"x" * LARGE})


LARGE = 8_000_000


def until_it_is_silent(place: tuple[str, int]) -> None:
    """Wait as long as a connection may be silent at the start."""
    with socket.create_connection(place, PATIENCE) as silent:
        assert heard(silent) == b""


def test_an_answer_may_take_longer_than_a_head() -> None:
    """The time for what its client still has to send, here the rest of a body, begins once the client has taken it."""
    begun = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{"
    with serving(large, replace(_USUAL, head_time=0.5)) as place, socket.create_connection(place, PATIENCE) as slow:
        slow.sendall(begun)
        slow.recv(1)
        until_it_is_silent(place)
        assert len(heard(slow)) > LARGE


def test_a_connection_is_kept_between_two_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    """Longer than a head may take, and no longer than a while; once a call has begun, only its own time counts."""
    limits = replace(_USUAL, head_time=1.2)
    with serving(large, limits) as place, ExitStack() as stack:
        kept, begun, done = (stack.enter_context(socket.create_connection(place, PATIENCE)) for _ in range(3))
        for connection in (kept, begun, done):
            connection.sendall(GET)
            take_large(connection)
        until_it_is_silent(place)
        before = boottime()
        begun.sendall(GET[:9])
        assert heard(begun) == b""
        assert boottime() - before >= limits.head_time
        kept.sendall(GET)
        take_large(kept)
        monkeypatch.setattr(http_connection, "_KEPT", 0.5)
        assert heard(kept) == heard(done) == b""


def test_proxies_close_their_connections_first() -> None:
    """Caddy keeps one for two minutes."""
    assert http_connection._KEPT > 120


def take_large(connection: socket.socket) -> None:
    """Read one of the large answers."""
    said = b""
    while not said.endswith(b"x" * LARGE):
        piece = connection.recv(LARGE)
        assert piece
        said += piece


BEGUN = "POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer wrong\r\nContent-Length: 900000\r\n"


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (BEGUN + "Connection: close\r\n\r\n", b"401"),
        (BEGUN.replace("1.1", "1.0") + "\r\n", b"401"),
        (BEGUN + "Content-Length: 1\r\n\r\n", b"400"),
        (GET.decode().replace("\r\n\r\n", "\r\nConnection: close\r\n\r\nmore"), b"200"),
    ],
)
def test_a_client_that_still_sends_does_not_lose_the_answer(shared_desk: Desk, head: str, status: bytes) -> None:
    """The last answer of a connection comes before the body is sent: it is read away until the client ends its side."""
    with dialled(shared_desk) as connection:
        connection.sendall(head.format(path=shared_desk.path).encode())
        said = b""
        while piece := connection.recv(65_536):
            said += piece
        connection.sendall(b"x" * 900_000)
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(1) == b""
    assert said.split()[1] == status
    assert b"connection: close" in said


def test_a_client_that_does_not_end_its_side_is_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Soon after the last answer, also over TLS, where a side cannot be ended alone."""
    monkeypatch.setattr(http_connection, "_LINGERS", 0.5)
    pair = new_pair(tmp_path / "tls")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*pair)
    trusted = ssl.create_default_context(cafile=str(pair.cert))
    with (
        serving(failing, tls=context) as place,
        socket.create_connection(place, PATIENCE) as raw,
        trusted.wrap_socket(raw, server_hostname="localhost") as connection,
    ):
        connection.sendall(b"nonsense\r\n\r\n")
        assert connection.recv(65_536).startswith(b"HTTP/1.1 400")
        connection.sendall(b"more")
        assert connection.recv(1) == b""


def test_a_client_that_ends_its_side_has_gone(open_desk: OpenDesk) -> None:
    """As for nginx (499): a killed client looks just like that, and nobody must wait for it."""
    desk = open_desk()
    asked, token = desk.ask(), desk.server.requester.token
    call = f"GET {desk.path}/{asked}?wait=30 HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n"
    with dialled(desk) as connection:
        connection.sendall(call.encode())
        until(lambda: "molecule_waiting_calls 1.0" in desk.asker.get("/metrics").text, "the call that waits")
        connection.shutdown(socket.SHUT_WR)
        assert heard(connection) == b""
    until(lambda: "molecule_waiting_calls 0.0" in desk.asker.get("/metrics").text, "the end of the wait")


HANDSHAKE = (
    b"GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
)


def test_a_handshake_behind_an_answer_that_is_not_taken_ends_the_connection() -> None:
    """The event stream would not know that its client does not read, and would send it without end."""
    kinds = list[str]()

    async def noting(scope: Scope, receive: Receive, send: Send) -> None:
        kinds.append(scope["type"])
        await large(scope, receive, send)

    with serving(noting) as place, socket.create_connection(place, PATIENCE) as connection:
        connection.sendall(GET + HANDSHAKE + b"\r\n")
        assert len(heard(connection)) < LARGE
    assert kinds == ["http"]


@pytest.mark.parametrize("lines", [b"A: b\r\n" * 200, b"A: " + b"b" * 9_000 + b"\r\n"])
def test_a_handshake_with_too_much_in_its_head_is_answered(shared_desk: Desk, lines: bytes) -> None:
    """With 400: a proxy would take an end without an answer for a fault of the server."""
    with dialled(shared_desk) as connection:
        connection.sendall(HANDSHAKE + lines + b"\r\n")
        assert heard(connection).startswith(b"HTTP/1.1 400")


def test_an_early_refusal_is_not_followed_by_leave_to_send(monkeypatch: pytest.MonkeyPatch) -> None:
    """`Expect: 100-continue`, and a body of nonsense at once: 400, and nothing behind it."""
    refused, received = threading.Event(), list[str]()

    async def late(_scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.to_thread(refused.wait, PATIENCE)
        received.append((await receive())["type"])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    monkeypatch.setattr(http_connection.logger, "warning", lambda *_: refused.set())
    head = b"POST / HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n"
    with serving(late) as place, socket.create_connection(place, PATIENCE) as connection:
        connection.sendall(head + b"nonsense\r\n")
        said = heard(connection)
    assert said.startswith(b"HTTP/1.1 400")
    assert said.count(b"HTTP/1.1") == 1
    assert received == ["http.disconnect"]


def test_the_log_says_why_a_call_is_refused_and_nothing_that_came(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a secret nor a line of a stranger's."""
    # Another server of these tests may throttle the usual one.
    monkeypatch.setattr(http_connection, "logger", logging.getLogger("tests.refused"))
    secret = b"Authorization: Bearer secret\r\n"
    for call in (b"GET /\x1b[31m HTTP/1.1\r\n" + secret, b"GET / HTTP/1.1\r\n" + 2 * secret, b"secret\x1b\r\n"):
        with serving(failing) as place, socket.create_connection(place, PATIENCE) as connection:
            connection.sendall(call + b"\r\n")
            heard(connection)
    refused = "Invalid HTTP request received: "
    unreadable = refused + "the request line is not accepted, or a header is folded over several lines"
    twice = refused + "authorization is given twice"
    assert [record.getMessage() for record in caplog.records] == [unreadable, twice, unreadable]
