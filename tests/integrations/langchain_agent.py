"""An agent of LangChain with a model that says what it is told to say."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware, ToolCallRequest
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool

if TYPE_CHECKING:
    from langchain_core.runnables import Runnable


class Model(GenericFakeChatModel):
    """Says what it was told to say; it knows every tool."""

    def bind_tools(self, tools: Sequence[Any], **more: Any) -> Runnable[Any, AIMessage]:  # noqa: ANN401 - LangChain's
        return self


class Agent:
    """An agent with two tools that say what ran, and what it got back of the calls that its model makes."""

    def __init__(self, *middleware: AgentMiddleware[Any, Any, Any], asynchronous: bool) -> None:
        self.ran: list[str] = []
        self._asynchronous = asynchronous
        self._middleware = middleware

    def run(self, *calls: tuple[str, dict[str, Any]]) -> list[ToolMessage]:
        """Let the model make these calls in one step."""

        @tool
        def drop(table: str) -> str:
            """Drop a table."""
            self.ran.append(table)
            return f"dropped {table}"

        @tool
        def look(table: str) -> str:
            """Look at a table."""
            self.ran.append(f"look {table}")
            return "empty"

        made = [{"name": name, "args": args, "id": f"call-{number}"} for number, (name, args) in enumerate(calls)]
        said = [AIMessage("", tool_calls=made), AIMessage("done")]
        agent = create_agent(Model(messages=iter(said)), [drop, look], middleware=self._middleware)
        given: Any = {"messages": [HumanMessage("clean up")]}
        found = asyncio.run(agent.ainvoke(given)) if self._asynchronous else agent.invoke(given)
        return [message for message in found["messages"] if isinstance(message, ToolMessage)]


class InFront(AgentMiddleware[Any, Any, Any]):
    """Changes the call before the approval is requested, and keeps what it handed on."""

    def __init__(self, change: Callable[[ToolCallRequest], ToolCallRequest]) -> None:
        super().__init__()
        self._change = change
        self.handed: list[ToolCallRequest] = []

    def wrap_tool_call(self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], Any]) -> Any:  # noqa: ANN401 - LangChain's
        self.handed.append(self._change(request))
        return handler(self.handed[0])

    async def awrap_tool_call(self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], Awaitable[Any]]) -> Any:  # noqa: ANN401 - LangChain's
        self.handed.append(self._change(request))
        return await handler(self.handed[0])
