"""WebSocket: who may listen, and the frames on their way to one socket. What is told is made in ``service``."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from .access import Approver

if TYPE_CHECKING:
    from starlette.websockets import WebSocket

    from .access import Doorkeeper
    from .lanes import Lanes
    from .notify import Hub, Subscription

_DROPPED = 1013
"""The close code of a socket that was too slow, or whose token was revoked: try again later."""

_GOODBYE = 1.0
"""Seconds that a dropped socket has to take the close frame."""


@dataclass(frozen=True, slots=True)
class Live:
    """``GET /ws``."""

    hub: Hub
    doors: Doorkeeper
    lanes: Lanes

    async def listen(self, socket: WebSocket) -> None:
        """Accept the socket, and pass events on until one side is gone."""
        workspace_id = socket.headers.get("x-workspace-id", "")
        with self.doors.visit(socket) as visitor:
            caller = await self.lanes.read(partial(visitor.listener, workspace_id=workspace_id))
        # A requester's token lives as long as the server; only an approver's can be revoked under an open socket.
        credential = caller.token_hash if isinstance(caller, Approver) else None
        # Heard from before the handshake is answered, so that the read after it misses nothing.
        with self.hub.subscribe(workspace_id or None, credential) as subscription:
            await socket.accept()
            await _first_of(_send(socket, subscription), _drain(socket), subscription.ended())
            if subscription.over:
                # Whoever does not read gets no goodbye either.
                with suppress(TimeoutError):
                    await asyncio.wait_for(socket.close(_DROPPED), _GOODBYE)


async def _first_of(*jobs: Coroutine[None, None, None]) -> None:
    tasks = [asyncio.ensure_future(job) for job in jobs]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _send(socket: WebSocket, subscription: Subscription) -> None:
    while (frame := await subscription.next()) is not None:
        await socket.send_text(frame)


async def _drain(socket: WebSocket) -> None:
    # Clients have nothing to say here, but the end of the connection is read like a message.
    while (await socket.receive())["type"] != "websocket.disconnect":
        pass
