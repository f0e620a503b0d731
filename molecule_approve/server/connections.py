"""Limits on connections: the time that a client may take, and how many connections there may be.

A connection belongs to a group: that of its credential, or before a valid one has come, the
unauthenticated ones of its listener. Each group has its own share, so that no group can lock out another one.
"""

from __future__ import annotations

import asyncio
import math
import resource
from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from molecule_approve.clock import boottime

from .asgi import CONNECTION
from .limits import Limits

_SPARE = 100
"""File descriptors for the database, the audit log, and connections that are closing."""

MOST_PARTS = 64
"""Frames of one message; an empty frame costs its sender almost nothing."""

_UNREADABLE = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"

_SHARES = 6
"""Groups that can be full at once: unauthenticated and requester (each on TCP and the Unix socket), two approvers."""


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
            connection.close_if_overdue(now)


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

    def close_if_overdue(self, now: float) -> None:
        """Close it if the client takes too long."""
        if self.overdue(now):
            self.transport.abort()

    def stuck(self, now: float, patience: float) -> bool:
        """Whether data has waited for the client for so many seconds."""
        if self.transport.get_write_buffer_size() == 0:
            self.stuck_since = None
        elif self.stuck_since is None:
            self.stuck_since = now
        return self.stuck_since is not None and now - self.stuck_since >= patience

    def pause_writing(self) -> None:
        """Note that the client does not read, and keep within what may wait for all clients of its group."""
        super().pause_writing()  # type: ignore[misc]  # uvicorn's or asyncio's
        self.stuck(boottime(), math.inf)
        self.pool.close_unread(self.group)

    def assign(self, credential: str) -> bool:
        """Move it to the group of this credential; False if that is full."""
        return self.pool.join(self, f"{credential} {'on the socket' if self.over_unix else 'over TCP'}")


class _Released(asyncio.Transport):
    """What a protocol has instead of a transport that it gave away."""

    def close(self) -> None:
        """Close nothing: uvicorn closes its connection when the handshake's call has ended."""


class SocketConnection(LimitedConnection, WebSocketsSansIOProtocol):
    """The handshake of one WebSocket connection; it replaces the HTTP connection, and an event stream replaces it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - uvicorn's
        super().__init__(*args, **kwargs)
        self._http: LimitedConnection = self.app_state[CONNECTION]
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
            # uvicorn waits for an event, and websockets has none for a head with too many or too long lines.
            self.transport.write(_UNREADABLE)
            self.transport.close()

    def release(self) -> asyncio.Transport:
        """Give the transport to another protocol, and leave everything that counts connections."""
        transport, self.transport = self.transport, _Released()
        self.pool.leave(self)
        self.connections.discard(self)
        return transport

    def shutdown(self) -> None:
        """Cut the handshake off because the server stops; uvicorn's own method fails if the client is already closing."""
        self.transport.abort()
