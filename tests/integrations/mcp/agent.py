"""An agent for the tests: the SDK's own client, connected to a server in this process or in one of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from molecule_approve import wiring
from molecule_approve.integrations.mcp.requests import Bounds
from molecule_approve.paths import locate
from molecule_approve.settings.resolve import Flags, resolve

if TYPE_CHECKING:
    from mcp import Client
    from mcp.client.client import ConnectMode
    from mcp.server import Server

    from molecule_approve.integrations.mcp.requests import OwnRequests
    from tests.callers import Caller

Report = dict[str, Any]

KEYS = {
    "id", "status", "allowed", "approved_action", "action", "expires_at", "decided_by", "comment", "message",
}  # fmt: skip


@dataclass(frozen=True)
class Agent:
    """A connected client."""

    client: Client

    async def call(self, tool: str, seen: list[float] | None = None, **given: object) -> Report:
        """Call a tool; its report, which is the same as text."""
        seen = [] if seen is None else seen

        async def note(progress: float, total: float | None, message: str | None) -> None:
            seen.append(progress)

        result = await self.client.call_tool(tool, given, progress_callback=note)
        report: Report = result.structured_content
        assert set(report) == KEYS
        assert not result.is_error
        return report

    async def request(
        self,
        action: str,
        *,
        wait: float = 0,
        **more: Any,  # noqa: ANN401 - arguments of any kind
    ) -> Report:
        """Request an approval."""
        return await self.call("request_approval", action=action, reason="spring", wait_seconds=wait, **more)

    async def wait(self, approval_id: object, seconds: float = 15) -> Report:
        """Wait for the decision."""
        return await self.call("wait_for_approval", id=approval_id, wait_seconds=seconds)


def server_of(bounds: Bounds = Bounds(), told: list[str] | None = None) -> Server[OwnRequests]:  # noqa: B008 - a frozen value
    """A server at the settings of this moment."""
    from molecule_approve.integrations.mcp.server import make_server

    environ = wiring.environment()
    settings = resolve(Flags(), environ, locate(environ), at_terminal=False)
    return make_server(settings, "1", (told if told is not None else []).append, bounds)


@asynccontextmanager
async def agent_of(server: Any, mode: ConnectMode = "legacy") -> AsyncIterator[Agent]:  # noqa: ANN401 - what the SDK's client takes
    """An agent at this server."""
    from mcp import Client

    async with Client(server, mode=mode) as client:
        yield Agent(client)


async def cancelled(caller: Caller, call: Callable[[], Coroutine[Any, Any, Report]]) -> None:
    """Cancel a call once the request is there; the client tells the server."""
    import anyio

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(call)
        await asyncio.to_thread(caller.requested)
        tasks.cancel_scope.cancel()
