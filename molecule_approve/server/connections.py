"""Limits on connections: the head of a call, the time it may take, and how many connections there may be.

Built on uvicorn's protocols. A connection belongs to a group: that of its credential, or before a valid one has come, the
unauthenticated ones of its listener. Each group has its own share, so that no group can lock out another one.
"""

from __future__ import annotations

import asyncio
import math
import re
import resource
import socket
from contextlib import suppress
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from molecule_approve.clock import boottime
from molecule_approve.unix_peer import peer_uid

from .access import CONNECTION
from .limits import Limits

HEAD = 32_768
"""Bytes of a call's head."""

_SPARE = 100
"""File descriptors for the database, the audit log, and connections that are closing."""

MOST_PARTS = 64
"""Frames of one message; an empty frame costs its sender almost nothing."""

_SHARES = 6
"""Groups that can be full at once: unauthenticated and requester (each on TCP and the Unix socket), two approvers."""

_FOLDED = re.compile(rb"\n[ \t]")
_HEAD_END = re.compile(rb"\n\r?\n")
_LENGTH = re.compile(rb"\ncontent-length:[^\n]*", re.IGNORECASE)
_ONCE = (b"authorization", b"idempotency-key")
"""Headers of which one reader takes the first, and another one the last."""


class Connections:
    """All connections, by group: at most ``limit`` of all groups together."""

    def __init__(self, limits: Limits, limit: int) -> None:
        self.limits = limits
        self.share = max(1, limit // _SHARES)
        self._groups: dict[str, dict[LimitedConnection, None]] = {}

    def join(self, connection: LimitedConnection, group: str) -> bool:
        """Put the connection into the group. If that is full, close its oldest idle one; False if none is idle."""
        if connection.group == group:
            return True
        members = self._groups.get(group, {})
        if len(members) >= self.share:
            idle_one = next((one for one in members if one.idle), None)
            if idle_one is None:
                return False
            self.leave(idle_one)
            idle_one.transport.abort()
        self.leave(connection)
        self._groups.setdefault(group, {})[connection] = None
        connection.group = group
        return True

    def leave(self, connection: LimitedConnection) -> None:
        """Remove the connection from its group."""
        members = self._groups.get(connection.group)
        if members is not None:
            members.pop(connection, None)
            if not members:
                del self._groups[connection.group]
        connection.group = ""

    def close_unread(self, group: str) -> None:
        """Close those connections of the group that have waited for their readers longest, if too much waits."""
        waiting = [one for one in self._groups.get(group, ()) if one.transport.get_write_buffer_size()]
        total = sum(one.transport.get_write_buffer_size() for one in waiting)
        waiting.sort(key=lambda one: one.stuck_since or math.inf, reverse=True)
        while total > self.limits.unread:
            one = waiting.pop()
            total -= one.transport.get_write_buffer_size()
            one.transport.abort()

    def close_overdue(self) -> None:
        """Close the connections whose clients take too long."""
        now = boottime()
        for connection in [one for members in self._groups.values() for one in members]:
            if connection.overdue(now):
                connection.transport.abort()


class _StrictH11(h11.Connection):
    """h11, without the ambiguities that two HTTP parsers may read in two ways."""

    _head = b""

    def next_event(self) -> Any:  # noqa: ANN401 - as h11's
        """The next event.

        Raises:
            h11.RemoteProtocolError: the head, body or framing is not accepted.
        """
        if self.their_state is h11.IDLE:
            data = self.trailing_data[0]
            found = _HEAD_END.search(data)
            end = found.end() if found else len(data)
            if _FOLDED.search(data, 0, end):
                raise h11.RemoteProtocolError("a header is folded over several lines")
            # h11 itself makes one length out of equal ones.
            if b"," in b",".join(_LENGTH.findall(data, 0, end)):
                raise h11.RemoteProtocolError("the body's length is given twice")
        event = super().next_event()
        if isinstance(event, h11.Request):
            _check_framing(event)
            _check_meaning(event)
        return event

    def send(self, event: Any) -> Any:  # noqa: ANN401 - as h11's
        """The event's bytes; those of an answer's head come with what follows it, so that both are sent in one call."""
        output: bytes | None = super().send(event)
        if isinstance(event, h11.Response):
            self._head = output or b""
            return b""
        if self._head and output is not None:
            output, self._head = self._head + output, b""
        return output


def protocols(connections: Connections) -> tuple[type[HttpConnection], type[SocketConnection]]:
    """The HTTP and WebSocket protocols of a server with these connections."""
    return type("ServedHttp", (HttpConnection,), {"pool": connections}), type(
        "ServedSocket", (SocketConnection,), {"pool": connections}
    )


def connection_limit(limits: Limits) -> int:
    """How many connections there may be, so that file descriptors are left for everything else."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return limits.connections if limit == resource.RLIM_INFINITY else min(limits.connections, limit - _SPARE)


def raise_open_file_limit() -> None:
    """Raise the limit of open files to what the server needs, as far as the system allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = Limits().connections + _SPARE
    wanted = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _check_framing(head: h11.Request) -> None:
    names = [name for name, _ in head.headers]
    lengths, codings = names.count(b"content-length"), names.count(b"transfer-encoding")
    if lengths + codings > 1 or (codings and head.http_version != b"1.1"):
        raise h11.RemoteProtocolError("the body's length is given twice")
    if b"upgrade" in names and (lengths or codings) and dict(head.headers).get(b"content-length") != b"0":
        raise h11.RemoteProtocolError("a handshake has no body")


def _check_meaning(head: h11.Request) -> None:
    names = [name for name, _ in head.headers]
    if any(names.count(name) > 1 for name in _ONCE):
        raise h11.RemoteProtocolError("a header is given twice")
    # A whole address has a host of its own beside that of the Host header.
    if not head.target.startswith(b"/"):
        raise h11.RemoteProtocolError("the target is not a path")


class LimitedConnection:
    """What both kinds of connection have: a group, and a client that must read what it is sent."""

    transport: asyncio.Transport
    pool: Connections
    group = ""
    over_unix = False
    peer_uid: int | None = None
    """The user at the other end of the Unix socket; None over TCP, and where the system does not tell it."""

    idle = False
    """Whether it waits for the client: for the head or body of a call."""

    stuck_since: float | None = None
    """When the client was first seen not to read what waits for it."""

    def overdue(self, now: float) -> bool:
        """Whether the client takes too long to read."""
        return self.stuck(now, self.pool.limits.slow_reader)

    def stuck(self, now: float, patience: float) -> bool:
        """Whether data has waited for the client for so many seconds."""
        if self.transport.get_write_buffer_size() == 0:
            self.stuck_since = None
        elif self.stuck_since is None:
            self.stuck_since = now
        return self.stuck_since is not None and now - self.stuck_since >= patience

    def pause_writing(self) -> None:
        """Note that the client does not read, and keep within what may wait for all clients of its group."""
        super().pause_writing()  # type: ignore[misc]  # uvicorn's
        self.stuck(boottime(), math.inf)
        self.pool.close_unread(self.group)

    def assign(self, credential: str) -> bool:
        """Move it to the group of this credential; False if that is full."""
        return self.pool.join(self, f"{credential} {'on the socket' if self.over_unix else 'over TCP'}")


class HttpConnection(LimitedConnection, H11Protocol):
    """One HTTP connection. ``pool`` is set by a subclass for each server."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - uvicorn's
        super().__init__(*args, **kwargs)
        self.conn = _StrictH11(h11.SERVER, HEAD)
        self.app_state = {**self.app_state, CONNECTION: self}
        self._since = boottime()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Accept the connection, if its group has room."""
        super().connection_made(transport)
        transport.max_size = HEAD  # type: ignore[attr-defined]  # asyncio's, bytes of one read
        end = transport.get_extra_info("socket")
        self.over_unix = end.family == socket.AF_UNIX
        if self.over_unix:
            with suppress(OSError):
                self.peer_uid = peer_uid(end)
        if not self.assign("unauthenticated"):
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Remove the connection from its group."""
        self.pool.leave(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take one piece; the next one of a body is read when its call asks for it."""
        super().data_received(data)
        if self._has_call and self.cycle.more_body:
            self.flow.pause_reading()

    def on_response_complete(self) -> None:
        """Start the time limit of the next call. What is left of the body is thrown away as it comes."""
        self._since = boottime()
        self.cycle.body.clear()
        super().on_response_complete()

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """Become the handshake of an event stream, in the same group; its client must wait for the answer."""
        if self.conn.trailing_data[0]:
            self.transport.abort()
            return
        group = self.group
        self.pool.leave(self)
        self.group = group
        super().handle_websocket_upgrade(event)

    @property
    def idle(self) -> bool:  # type: ignore[override]
        """Whether it waits for the client: for the head or body of a call."""
        return not self._has_call or self.cycle.more_body

    @property
    def _has_call(self) -> bool:
        cycle: object = self.cycle  # uvicorn's annotation does not allow None
        return cycle is not None and not self.cycle.response_complete

    def overdue(self, now: float) -> bool:
        """Whether the client takes too long: for a head, for a body, or to read its answer."""
        limits = self.pool.limits
        late = self.idle and now - self._since >= (limits.body_time if self._has_call else limits.head_time)
        return late or super().overdue(now)


class _Released(asyncio.Transport):
    """What a protocol has instead of a transport that it gave away."""

    def close(self) -> None:
        """Close nothing: uvicorn closes its connection when the handshake's call has ended."""


class SocketConnection(LimitedConnection, WebSocketsSansIOProtocol):
    """The handshake of one WebSocket connection; it replaces the HTTP connection, and an event stream replaces it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - uvicorn's
        super().__init__(*args, **kwargs)
        self._http: HttpConnection = self.app_state[CONNECTION]
        self.app_state = {**self.app_state, CONNECTION: self}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take over the group of the HTTP connection."""
        self.over_unix = self._http.over_unix
        super().connection_made(transport)
        # There is room: the HTTP connection has just left.
        self.pool.join(self, self._http.group)

    def connection_lost(self, exc: Exception | None) -> None:
        """Remove the connection from its group."""
        self.pool.leave(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read the head of the handshake; its client must wait for the answer."""
        if self.handshake_initiated:
            self.transport.abort()
            return
        super().data_received(data)
        if self.conn.handshake_exc is not None and not self.handshake_initiated:
            # uvicorn waits for an event, and websockets has none for a head that it cannot read (16: any method but GET).
            self.transport.abort()

    def release(self) -> asyncio.Transport:
        """Give the transport to another protocol, and leave everything that counts connections."""
        transport, self.transport = self.transport, _Released()
        self.pool.leave(self)
        self.connections.discard(self)
        return transport

    def shutdown(self) -> None:
        """Cut the handshake off because the server stops; uvicorn's own method fails if the client is already closing."""
        self.transport.abort()
