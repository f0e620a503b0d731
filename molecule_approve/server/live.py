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

    from .access import Caller, Doorkeeper, Visitor
    from .hub import Hub, Subscriber
    from .threads import DatabaseThreads

DESK = "molecule-desk"
"""The subprotocol of the page: it hears every workspace, and brings its session as another one."""

_SESSION = "session."

_DROPPED = 1013
"""The close code of a socket that was too slow, or whose token or session is no longer good: try again later."""

_GOODBYE = 1.0
"""Seconds that a dropped socket has to take the close frame."""


@dataclass(frozen=True, slots=True)
class LiveSocket:
    """``GET /ws``."""

    hub: Hub
    doors: Doorkeeper
    lanes: DatabaseThreads

    async def listen(self, socket: WebSocket) -> None:
        """Accept the socket, and pass events on until one side is gone."""
        at_desk = DESK in socket.scope["subprotocols"]
        workspace_id = "" if at_desk else socket.headers.get("x-workspace-id", "")
        with self.doors.visit(socket, _session(socket) if at_desk else None) as visitor:
            enter = visitor.administrator if at_desk else partial(visitor.listener, workspace_id=workspace_id)
            caller = await self.lanes.read(enter)
        # Heard from before the handshake is answered, so that the read after it misses nothing.
        with self.hub.subscribe(workspace_id or None, _credentials(caller, visitor)) as subscription:
            await socket.accept(DESK if at_desk else None)
            await _first_of(_send(socket, subscription), _drain(socket), subscription.ended())
            if subscription.over:
                # Whoever does not read gets no goodbye either.
                with suppress(TimeoutError):
                    await asyncio.wait_for(socket.close(_DROPPED), _GOODBYE)


def _session(socket: WebSocket) -> str | None:
    """The session that the page names among the subprotocols: a page can set no header, and an address would be logged."""
    offered: list[str] = socket.scope["subprotocols"]
    return next((name.removeprefix(_SESSION) for name in offered if name.startswith(_SESSION)), None)


def _credentials(caller: Caller, visitor: Visitor) -> frozenset[str]:
    """What the socket rests on, as hashes: with any of them it ends."""
    # A requester's token lives as long as the server; only an approver's can be revoked under an open socket.
    found = {caller.token_hash, visitor.session} if isinstance(caller, Approver) else set()
    return frozenset(one for one in found if one is not None)


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
    # Clients have nothing to say here, but the end of the connection is read like a message.
    while (await socket.receive())["type"] != "websocket.disconnect":
        pass
