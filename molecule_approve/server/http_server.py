"""uvicorn, as this server runs it: with a stop of our own, our connections, and TLS for the TCP sockets alone."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import uvicorn

from .connections import Connections, SocketConnection
from .http_connection import HttpConnection
from .tls_connection import TlsConnection

if TYPE_CHECKING:
    import ssl

    from .asgi import App
    from .limits import Limits

_ACCEPTED_AT_ONCE = 16
"""Connections that asyncio accepts before it looks at any: each takes a file descriptor, even if there is no room."""

_QUEUE = 2_048
"""Connections that wait in the system to be accepted: a client of the Unix socket would fail if there were no room."""


class HttpServer(uvicorn.Server):
    """uvicorn, stopped by an event: its own loop wakes ten times a second, and its signal handling ends the process."""

    def __init__(
        self,
        config: uvicorn.Config,
        connections: Connections,
        stop: asyncio.Event,
        ready: Callable[[], None],
        halt: Callable[[], None],
        tls: ssl.SSLContext | None,
    ) -> None:
        super().__init__(config)
        self._tls = tls
        self._connections = connections
        self._stop = stop
        self._ready = ready
        self._halt = halt

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept calls on the sockets."""
        await super().startup([])
        self.servers = [await self._listen(listening) for listening in sockets or ()]
        for listening in sockets or ():
            # asyncio has made the queue as short as what it accepts at once.
            listening.listen(_QUEUE)

    async def _listen(self, listening: socket.socket) -> asyncio.Server:
        """Accept calls on one socket: with TLS if there is a certificate, but never on the Unix socket.

        uvicorn would use TLS for all sockets, and wait a minute for a client's part of the handshake.
        """
        config, tls = self.config, None if listening.family == socket.AF_UNIX else self._tls

        def protocol() -> asyncio.BaseProtocol:
            made: asyncio.Protocol = config.http_protocol_class(  # type: ignore[call-arg]  # uvicorn's
                config=config, server_state=self.server_state, app_state=self.lifespan.state
            )
            return made if tls is None else TlsConnection(made, self._connections, tls)

        return await asyncio.get_running_loop().create_server(protocol, sock=listening, backlog=config.backlog)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to who runs the server."""
        yield

    async def main_loop(self) -> None:
        """Serve until the stop, and close connections whose clients take too long."""
        await self.on_tick(0)
        self._ready()
        while not self._stop.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), 1.0)
            self._connections.close_overdue()
            await self.on_tick(0)  # the Date header
        self._halt()

    async def also_serve(self, listening: socket.socket) -> None:
        """Accept calls on one more socket."""
        before = self.servers
        await self.startup([listening])
        self.servers += before

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept no more, let open calls finish, and close every connection."""
        await super().shutdown(sockets)
        # An answer that its client does not read would be sent for ever.
        for connection in self.server_state.connections:
            connection.transport.abort()


def configure(app: App, limits: Limits, connections: Connections) -> uvicorn.Config:
    """The settings of uvicorn."""
    http, ws = (type(one.__name__, (one,), {"pool": connections}) for one in (HttpConnection, SocketConnection))
    return uvicorn.Config(
        app,
        loop="asyncio",
        http=http,
        ws=ws,
        backlog=_ACCEPTED_AT_ONCE,
        ws_max_size=limits.socket_message,
        # The clients ping; an idle socket costs nothing here.
        ws_ping_interval=None,
        ws_per_message_deflate=False,
        lifespan="off",
        log_config=None,
        access_log=False,
        # What proxies say is read in `senders`.
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=limits.stop,  # type: ignore[arg-type]  # passed on to asyncio.wait_for
    )
