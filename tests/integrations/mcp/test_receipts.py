"""An agent whose machine holds keys, at a server that lies: no tool ever says that something is allowed."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from tests.integration.lying_server import LyingServer
from tests.integration.test_lying_server import ACTION, LIES, holds, honest, lines

from .agent import Agent, agent_of, server_of

if TYPE_CHECKING:
    from tests.callers import Caller

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="the file of keys has to be root's")


@pytest.fixture
def liar(caller: Caller) -> Iterator[LyingServer]:
    """The server of an agent whose machine holds the keys of alice and bo."""
    holds(caller, *lines())
    with LyingServer(honest) as found:
        caller.set(PLATFORM_URL=found.url, WORKSPACE_ID="w", MOLECULE_TOKEN="t")
        caller.set(APPROVAL_USE_WEBSOCKET="false")
        yield found


def with_agent(body: Callable[[Agent], Awaitable[None]]) -> None:
    """Run a body with an agent."""

    async def main() -> None:
        async with agent_of(server_of()) as agent:
            await body(agent)

    asyncio.run(main())


def test_a_proven_approval_is_allowed(liar: LyingServer) -> None:
    """So it is the lies below that are not."""

    async def body(agent: Agent) -> None:
        report = await agent.request(ACTION, wait=15)
        assert (report["status"], report["allowed"], report["approved_action"]) == ("approved", True, ACTION)

    with_agent(body)


@pytest.mark.parametrize("lie", ["no receipt", "no proofs", "a key of its own", "another action's", "another task's"])
def test_a_lie_allows_an_agent_nothing(caller: Caller, liar: LyingServer, lie: str) -> None:
    """Whichever tool it asks, and however often; the message says what does not hold, and nothing is recorded as granted."""
    liar.lie, sentence = LIES[lie]

    async def body(agent: Agent) -> None:
        report = await agent.request(ACTION, wait=15)
        assert (report["allowed"], report["approved_action"]) == (False, None), report
        assert sentence in report["message"]
        for again in (await agent.wait(report["id"], 2), await agent.call("get_approval", id=report["id"])):
            assert (again["allowed"], again["approved_action"]) == (False, None), again

    with_agent(body)
    assert "granted" not in [record["outcome"] for record in caller.records()]
