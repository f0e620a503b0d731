"""One HTTP connection, and the calls that it brings, for uvicorn's server: each answer is sent whole, in one write."""

from __future__ import annotations

import asyncio
import logging
import socket
from contextlib import suppress
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from uvicorn.protocols.utils import get_local_addr, get_remote_addr, is_ssl

from molecule_approve.clock import boottime
from molecule_approve.unix_peer import peer_uid

from .asgi import CONNECTION
from .call_reader import HEAD, CallHead, CallReader, MalformedCallError
from .connections import LimitedConnection

if TYPE_CHECKING:
    from uvicorn import Config
    from uvicorn.server import ServerState

    from .asgi import Message, Scope

logger = logging.getLogger("uvicorn.error")

_ASGI = {"version": "3.0", "spec_version": "2.3"}
_STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}
_PLAIN = (b"content-type", b"text/plain; charset=utf-8")
_CLOSE = b"connection: close\r\n\r\n"

_KEPT = 130.0
"""Seconds that a connection is kept between two calls: longer than proxies keep theirs (nginx and load balancers 60, Go's
transport 90, Caddy 120), or they would send calls into connections that are just being closed, and answer 502."""

_LINGERS = 5.0
"""Seconds after the last answer until the client must have ended its side."""


class HttpConnection(LimitedConnection, asyncio.Protocol):
    """One HTTP connection. ``pool`` is set by a subclass for each server."""

    def __init__(self, config: Config, server_state: ServerState, app_state: dict[str, Any]) -> None:  # noqa: ARG002 - uvicorn's
        self.app = config.loaded_app
        self.server_state = server_state
        self.writable: asyncio.Future[None] | None = None
        self._config = config
        self._reader = CallReader()
        self._call: AsgiCall | None = None
        self._paused = False
        self._served = False
        self._lingers = False
        self._since = boottime()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Accept the connection, if its group has room."""
        self.transport = transport
        self.server_state.connections.add(self)  # type: ignore[arg-type]  # uvicorn calls only `shutdown`
        transport.max_size = HEAD  # type: ignore[attr-defined]  # asyncio's, bytes of one read
        self._ends: dict[str, object] = {
            "server": get_local_addr(transport),
            "client": get_remote_addr(transport),
            "scheme": "https" if is_ssl(transport) else "http",
        }
        end = transport.get_extra_info("socket")
        self.over_unix = end.family == socket.AF_UNIX
        if self.over_unix:
            with suppress(OSError):
                self.peer_uid = peer_uid(end)
        if not self.assign("unauthenticated"):
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's
        """Remove the connection from its group, and tell its call."""
        self.pool.leave(self)
        self.server_state.connections.discard(self)
        if self._call is not None:
            self._call.leave()
        self.resume_writing()

    def data_received(self, data: bytes) -> None:
        """Take one piece; the next one of a body is read when its call asks for it."""
        if self._lingers:
            return
        if self._is_between:
            self._since = boottime()
        self._reader.receive(data)
        self._read()

    def _read(self) -> None:
        try:
            while self._reader.rest and self._read_part():
                pass
        except MalformedCallError as exc:
            self._refuse(exc)
        else:
            if self._call is not None and (self._call.more_body or self._reader.rest):
                self._paused = True
                self.transport.pause_reading()

    def _read_part(self) -> bool:
        """Read a head, or what there is of a body; False if that must wait."""
        reader, call = self._reader, self._call
        if reader.more:
            piece = reader.body()
            # After an early answer, the rest of the body is thrown away as it comes.
            if call is not None:
                call.put(piece, reader.more)
            return True
        head = reader.head() if call is None else None
        if head is None:
            return False
        if head.wants_socket:
            self._become_socket(head)
            return False
        self._begin(head)
        return True

    def _begin(self, head: CallHead) -> None:
        path, _, query = head.target.partition(b"?")
        text = path.decode("ascii")
        scope: Scope = {
            "type": "http",
            "asgi": _ASGI,
            "http_version": head.version,
            "method": head.method,
            "root_path": "",
            "path": unquote(text) if "%" in text else text,
            "raw_path": path,
            "query_string": query,
            "headers": head.headers,
            "state": {CONNECTION: self},
            **self._ends,
        }
        call = self._call = AsgiCall(self, head, scope, self._reader.more)
        call.start()

    def _become_socket(self, head: CallHead) -> None:
        """Become the handshake of an event stream, in the same group; its client must wait for all answers."""
        if self._reader.rest or self.writable is not None:
            self.transport.abort()
            return
        group = self.group
        self.pool.leave(self)
        self.group = group
        self.server_state.connections.discard(self)
        protocol = self._config.ws_protocol_class(  # type: ignore[call-arg,misc]  # uvicorn's
            config=self._config,
            server_state=self.server_state,
            app_state={CONNECTION: self},
        )
        protocol.connection_made(self.transport)
        protocol.data_received(head.encode())
        self.transport.set_protocol(protocol)

    def _refuse(self, why: MalformedCallError) -> None:
        """Answer with 400, and end the connection."""
        logger.warning("Invalid HTTP request received: %s", why)
        if self._call is not None:
            self._call.leave()
        elif self._reader.more:
            # Its call is answered.
            self._linger()
            return
        body = b"Invalid HTTP request received."
        self.transport.write(encode_head(400, [_PLAIN, (b"content-length", b"%d" % len(body))], keeps=False) + body)
        self._linger()

    def _linger(self) -> None:
        """End our side, and throw away what the client still sends: a close could cost it the answer (RFC 9112, 9.6)."""
        self._call, self._lingers, self._since = None, True, boottime()
        self._reader = CallReader()
        self.resume_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()

    def call_ended(self, *, keeps: bool) -> None:
        """Read on after an answer. The time limit of the next call begins."""
        self._call = None
        self._served = True
        self._since = boottime()
        self.server_state.total_requests += 1
        if not keeps:
            self._linger() if self._reader.more or self._reader.rest else self.transport.close()
        if not self.transport.is_closing():
            self.resume_reading()
            self._read()

    def resume_reading(self) -> None:
        """Read on, after a part of a body or a call."""
        if self._paused:
            self._paused = False
            self.transport.resume_reading()

    def pause_writing(self) -> None:
        """Let the next answer wait."""
        super().pause_writing()
        self.writable = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        """Let an answer go on that waits."""
        writable, self.writable = self.writable, None
        if writable is not None and not writable.done():
            writable.set_result(None)

    def shutdown(self) -> None:
        """End the connection after its call, because the server stops."""
        if self._call is None:
            self.transport.close()
        else:
            self._call.keeps = False

    @property
    def idle(self) -> bool:  # type: ignore[override]
        """Whether it waits for the client: for the head or body of a call."""
        return self._call is None or self._call.more_body

    @property
    def _is_between(self) -> bool:
        """Whether a call was answered, and nothing of another one has come."""
        return self._served and self._call is None and not self._reader.rest and not self._reader.more

    def overdue(self, now: float) -> bool:
        """Whether the client takes too long: for a head, for a body, or to read its answer."""
        limits = self.pool.limits
        if self._call is None and self.transport.get_write_buffer_size():
            # The answer is on its way, and how long that may take is another limit.
            self._since = now
        late = now - self._since >= (limits.head_time if self._call is None else limits.body_time)
        return (late and self.idle and not self._is_between) or super().overdue(now)

    def close_if_overdue(self, now: float) -> None:
        """Also close a connection whose client has no further call, or does not end its side."""
        super().close_if_overdue(now)
        kept = _LINGERS if self._lingers else _KEPT
        if (self._lingers or self._is_between) and now - self._since >= kept:
            self.transport.close()


class AsgiCall:
    """One call: ASGI's ``receive`` and ``send``. Nothing of its answer is sent before all of it is there."""

    __slots__ = (
        *("_answered", "_body", "_connection", "_expects_continue", "_gone", "_head", "_news", "_scope", "_task"),
        *("_waiting", "keeps", "more_body"),
    )

    def __init__(self, connection: HttpConnection, head: CallHead, scope: Scope, more_body: bool) -> None:
        self.keeps = head.keeps
        self.more_body = more_body
        self._connection = connection
        self._scope = scope
        self._expects_continue = head.expects_continue
        self._body: list[bytes] = []
        self._news = not more_body
        self._waiting: asyncio.Future[None] | None = None
        self._head: Message | None = None
        self._answered = False
        self._gone = False

    def start(self) -> None:
        """Let the application serve the call."""
        self._task = asyncio.get_running_loop().create_task(self._run())
        self._connection.server_state.tasks.add(self._task)

    async def _run(self) -> None:
        connection = self._connection
        try:
            await connection.app(self._scope, self.receive, self.send)
        except Exception:
            logger.exception("internal error while answering a call")
        finally:
            connection.server_state.tasks.discard(self._task)
            if not self._answered and not self._gone:
                # Its client must not wait for an answer that never comes.
                connection.transport.abort()

    def put(self, piece: bytes, more_body: bool) -> None:
        """Add a part of the body."""
        self._body.append(piece)
        self.more_body = more_body
        self._expects_continue = False
        self._wake()

    def leave(self) -> None:
        """Tell the application that its client has gone."""
        self._gone = True
        self._expects_continue = False
        self._wake()

    def _wake(self) -> None:
        self._news = True
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    async def receive(self) -> Message:
        """The next part of the body, once there is one; after the last one, that the client has gone or has its answer."""
        if self._expects_continue:
            self._expects_continue = False
            self._connection.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if not self._news and not self._answered:
            self._connection.resume_reading()
            self._waiting = asyncio.get_running_loop().create_future()
            await self._waiting
        self._news = False
        if self._gone or self._answered:
            return {"type": "http.disconnect"}
        body, self._body = b"".join(self._body), []
        return {"type": "http.request", "body": body, "more_body": self.more_body}

    async def send(self, message: Message) -> None:
        """Keep the answer's head; send it with its body, which is always one part."""
        if self._head is None:
            self._head = message
            return
        if self._connection.writable is not None:
            await self._connection.writable
        if not self._gone:
            self._answer(self._head["status"], self._head["headers"], message["body"])

    def _answer(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        connection = self._connection
        if self._expects_continue:
            # Its client may send the body all the same, or its next call.
            self.keeps = self._expects_continue = False
        head = encode_head(status, [*connection.server_state.default_headers, *headers], keeps=self.keeps)
        self._answered = True
        connection.transport.write(head if self._scope["method"] == "HEAD" else head + body)
        self._wake()
        connection.call_ended(keeps=self.keeps)


def encode_head(status: int, headers: list[tuple[bytes, bytes]], *, keeps: bool) -> bytes:
    """The head of an answer.

    Raises:
        RuntimeError: a header has a line break or a NUL.
    """
    lines = [_STATUS_LINES[status], *[b"%b: %b\r\n" % header for header in headers], b"\r\n" if keeps else _CLOSE]
    head = b"".join(lines)
    wanted = len(lines) + (not keeps)
    if head.count(b"\n") != wanted or head.count(b"\r") != wanted or b"\0" in head:
        raise RuntimeError("a header of the answer has a line break or a NUL")
    return head
