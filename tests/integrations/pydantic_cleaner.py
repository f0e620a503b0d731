"""An agent of Pydantic AI with a model that makes the calls that it is told to make."""

from __future__ import annotations

import asyncio
from typing import Any

from pydantic_ai import Agent, DeferredToolRequests
from pydantic_ai.exceptions import CallDeferred
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart, ToolReturnPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

from molecule_approve.integrations.pydantic_ai import approval_by_person


class Cleaner:
    """An agent that may drop tables, and what it ran."""

    def __init__(self) -> None:
        self.ran: list[str] = []
        self.output: object = None

    def run(self, *calls: tuple[str, dict[str, Any]], **options: Any) -> list[str]:  # noqa: ANN401 - also what makes no sense
        """Let the model make these calls in one step; what it was told of them."""
        parts = [ToolCallPart(name, arguments, f"call-{number}") for number, (name, arguments) in enumerate(calls)]

        def model(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
            return ModelResponse(parts=parts if len(messages) == 1 else [TextPart("done")])

        agent = Agent(
            FunctionModel(model),
            name="Cleaner",
            output_type=[str, DeferredToolRequests],
            capabilities=[approval_by_person(**options)],
        )

        @agent.tool_plain(requires_approval=True)
        def drop(table: str) -> str:
            self.ran.append(table)
            return f"dropped {table}"

        @agent.tool_plain
        def later() -> str:
            raise CallDeferred

        result = asyncio.run(agent.run("clean up"))
        self.output = result.output
        said = [part for message in result.all_messages() for part in message.parts]
        return [str(part.content) for part in said if isinstance(part, ToolReturnPart)]
