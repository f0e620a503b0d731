"""An agent of the OpenAI Agents SDK with a model that says what it is told to say, in the JSON of the API."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from agents import (
    Agent,
    HostedMCPTool,
    Model,
    ModelResponse,
    RunConfig,
    Runner,
    ShellTool,
    Tool,
    Usage,
    function_tool,
    tool_namespace,
)
from agents.items import ToolCallOutputItem
from openai.types.responses import (
    ResponseFunctionShellToolCall,
    ResponseFunctionToolCall,
    ResponseOutputItem,
    ResponseOutputMessage,
    ResponseOutputText,
)
from openai.types.responses.response_output_item import McpApprovalRequest

from molecule_approve.integrations.openai_agents import resolve_interruptions

Item = Mapping[str, object]

OFFLINE = RunConfig(tracing_disabled=True)
KINDS: dict[str, type[ResponseFunctionToolCall | ResponseFunctionShellToolCall | McpApprovalRequest]] = {
    "function_call": ResponseFunctionToolCall,
    "shell_call": ResponseFunctionShellToolCall,
    "mcp_approval_request": McpApprovalRequest,
}


def parsed(item: Item) -> ResponseOutputItem:
    """What the SDK makes of a part of the model's answer."""
    return KINDS[str(item["type"])].model_validate(item)


def done() -> ResponseOutputMessage:
    """The model says its last word."""
    text = ResponseOutputText(annotations=[], text="done", type="output_text")
    return ResponseOutputMessage(id="m", content=[text], role="assistant", status="completed", type="message")


class Scripted(Model):
    """Makes these calls in its first answer, the later ones each in one of its own, and then is done."""

    def __init__(self, calls: Sequence[Item], later: Sequence[Item]) -> None:
        self._answers: list[list[ResponseOutputItem]] = [
            [parsed(one) for one in calls],
            *([parsed(one)] for one in later),
            [done()],
        ]

    async def get_response(self, *arguments: Any, **more: Any) -> ModelResponse:  # noqa: ANN401 - the SDK's
        """The next answer."""
        return ModelResponse(output=self._answers.pop(0), usage=Usage(), response_id=None)

    def stream_response(self, *arguments: Any, **more: Any) -> AsyncIterator[Any]:  # noqa: ANN401 - the SDK's
        """Nobody streams here."""
        raise NotImplementedError


class Cleaner:
    """An agent that may drop tables, and what it ran."""

    def __init__(self) -> None:
        self.ran: list[str] = []

    def run(self, *calls: Item, later: Sequence[Item] = (), **options: Any) -> list[str]:  # noqa: ANN401 - also what makes no sense
        """Let the model make these calls, resolve what the run waits for, and give what the model was told of them."""

        @function_tool(needs_approval=True)
        def drop(table: str) -> str:
            self.ran.append(table)
            return f"dropped {table}"

        def drop_old(table: str) -> str:
            self.ran.append(f"old {table}")
            return "dropped"

        def execute(request: Any) -> str:  # noqa: ANN401 - the SDK's
            self.ran.extend(request.data.action.commands)
            return "executed"

        hosted = HostedMCPTool({"type": "mcp", "server_label": "warehouse", "server_url": "https://db.example"})
        tools: list[Tool] = [drop, ShellTool(executor=execute, needs_approval=True), hosted]
        tools += tool_namespace(
            name="archive", description="Old tables.", tools=[function_tool(drop_old, needs_approval=True)]
        )
        agent = Agent(name="Cleaner", model=Scripted(calls, later), tools=tools)

        async def main() -> list[str]:
            result = await Runner.run(agent, "clean up", run_config=OFFLINE)
            assert self.ran == []
            while result.interruptions:
                state = await resolve_interruptions(result, **options)
                result = await Runner.run(agent, state, run_config=OFFLINE)
            assert result.final_output == "done"
            return [str(item.output) for item in result.new_items if isinstance(item, ToolCallOutputItem)]

        return asyncio.run(main())
