"""WebSocket: who may listen, and sending the frames to one socket. ``service`` makes the frames."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.websockets import WebSocket

    from .access import AccessControl, Visitor
    from .hub import Hub, Subscriber
    from .threads import DatabaseThreads

INBOX_PROTOCOL = "molecule-desk"
"""The subprotocol of the inbox page, which listens to all workspaces; its session comes as a second subprotocol."""

_SESSION = "session."

_DROPPED = 1013
"""The close code (try again later) of a socket that was too slow, or whose token or session is no longer valid."""

_CLOSE_TIMEOUT = 1.0
"""Seconds for a client to take the close frame."""


@dataclass(frozen=True, slots=True)
class LiveSocket:
    """``GET /ws``."""

    hub: Hub
    access: AccessControl
    database: DatabaseThreads

    async def listen(self, socket: WebSocket) -> None:
        """Accept the socket, and send events until one side disconnects."""
        is_inbox = INBOX_PROTOCOL in socket.scope["subprotocols"]
        workspace_id = "" if is_inbox else socket.headers.get("x-workspace-id", "")
        with self.access.admit(socket, _session(socket) if is_inbox else None) as visitor:
            check = visitor.administrator if is_inbox else partial(visitor.listener, workspace_id=workspace_id)
            await self.database.read(check)
        # Subscribed before the handshake is answered, so that a client that reads after it misses no event.
        with self.hub.subscribe(workspace_id or None, _credentials(visitor)) as subscription:
            await socket.accept(INBOX_PROTOCOL if is_inbox else None)
            await _first_of(_send(socket, subscription), _drain(socket), subscription.ended())
            if subscription.over:
                # A client that does not read cannot take the close frame either.
                with suppress(TimeoutError):
                    await asyncio.wait_for(socket.close(_DROPPED), _CLOSE_TIMEOUT)


def _session(socket: WebSocket) -> str | None:
    """The session in the page's subprotocols: a page cannot set a header, and a URL would be logged."""
    offered: list[str] = socket.scope["subprotocols"]
    return next((name.removeprefix(_SESSION) for name in offered if name.startswith(_SESSION)), None)


def _credentials(visitor: Visitor) -> frozenset[str]:
    """The hash of the token or session that the socket depends on."""
    return frozenset() if visitor.token_hash is None else frozenset({visitor.token_hash})


async def _first_of(*jobs: Coroutine[None, None, None]) -> None:
    tasks = [asyncio.ensure_future(job) for job in jobs]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _send(socket: WebSocket, subscription: Subscriber) -> None:
    while (frame := await subscription.next()) is not None:
        await socket.send_text(frame)


async def _drain(socket: WebSocket) -> None:
    # Clients send nothing, but a disconnect arrives like a message.
    while (await socket.receive())["type"] != "websocket.disconnect":
        pass
