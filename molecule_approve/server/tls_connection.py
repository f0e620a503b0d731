"""TLS of one TCP connection, whose client counts from the start, and not only once it has shaken hands."""

from __future__ import annotations

import asyncio
from asyncio import sslproto
from typing import TYPE_CHECKING

from .connections import Connections, LimitedConnection

if TYPE_CHECKING:
    import ssl

_RECORD = 16_384
"""Bytes of the longest part in which TLS sends data."""


class _Handshake(LimitedConnection):
    """A connection whose handshake is not over: it waits for its client, so it may have to make room for another one."""

    idle = True

    def __init__(self, pool: Connections) -> None:
        self.pool = pool


class _Arrival(asyncio.Protocol):
    """Waits for the end of the handshake, when the connection's own protocol takes over, and counts it from then on."""

    def __init__(self, handshake: _Handshake, protocol: asyncio.Protocol) -> None:
        self._handshake = handshake
        self._protocol = protocol

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Hand the connection over."""
        self._handshake.pool.leave(self._handshake)
        transport.set_protocol(self._protocol)
        self._protocol.connection_made(transport)


class TlsConnection(sslproto.SSLProtocol):
    """asyncio's own TLS; until the client has shaken hands, the connection counts as one without a credential.

    asyncio tells ``protocol`` of a connection only after the handshake, and nobody of one that never comes so far.
    """

    # asyncio makes a buffer of this size for each connection: 256 KB, also for a client that only listens.
    max_size = _RECORD

    def __init__(self, protocol: asyncio.Protocol, pool: Connections, context: ssl.SSLContext) -> None:
        self._handshake = _Handshake(pool)
        super().__init__(
            asyncio.get_running_loop(),
            _Arrival(self._handshake, protocol),
            context,
            None,  # type: ignore[arg-type]  # nobody waits for the handshake
            server_side=True,
            ssl_handshake_timeout=pool.limits.head_time,  # type: ignore[arg-type]  # a float is right
            ssl_shutdown_timeout=pool.limits.stop,
        )

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin the handshake, if the group of those without a credential has room."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - for mypy: a socket's
        self._handshake.transport = transport
        super().connection_made(transport)
        if not self._handshake.assign("unauthenticated"):
            transport.abort()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Count it no more."""
        self._handshake.pool.leave(self._handshake)
        super().connection_lost(exc)
