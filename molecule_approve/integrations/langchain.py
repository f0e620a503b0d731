"""LangChain (extra ``langchain``): the tool ``request_approval``, and middleware that gates other tools by name."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Collection
from typing import Any, Unpack

from molecule_approve import api
from molecule_approve.errors import UsageError
from molecule_approve.model import EXPIRED_BY, WITHDRAWN_BY, JsonValue, Outcome, Verdict
from molecule_approve.safe_text import visible

from . import tool_requests
from .tool_requests import RequestOptions, checked, missing, refusal

try:
    from langchain.agents.middleware import AgentMiddleware, AgentState, ToolCallRequest
    from langchain_core.messages import ToolMessage
    from langchain_core.tools import StructuredTool
    from langgraph.types import Command
except ImportError as exc:
    missing("LangChain", "langchain", exc)

_ENDED_BY = {Outcome.EXPIRED: EXPIRED_BY, Outcome.WITHDRAWN: WITHDRAWN_BY}

# --- the tool -------------------------------------------------------------------------------------------------------------


def _request(action: str, reason: str) -> dict[str, JsonValue]:
    """Ask a person for approval before a sensitive action, and wait for the decision.

    Call it before anything destructive, expensive or outside your normal authority, and go on only if ``approved`` is true.

    Args:
        action: what you are about to do, complete and exact.
        reason: why it is necessary.
    """
    return _result(api.request_approval_sync(action, reason))


async def _request_async(action: str, reason: str) -> dict[str, JsonValue]:
    return _result(await api.request_approval(action, reason))


def _result(verdict: Verdict) -> dict[str, JsonValue]:
    """The verdict in the words of the platform's own tool: each outcome has the keys that it has there."""
    found: dict[str, JsonValue] = {"approved": verdict.approved}
    if verdict.approval_id is not None:
        found["approval_id"] = verdict.approval_id
    match verdict.outcome:
        case Outcome.APPROVED:
            return {**found, "decided_by": verdict.decided_by}
        case Outcome.DENIED:
            comment = f": {visible(verdict.comment)}" if verdict.comment else ""
            return {**found, "decided_by": verdict.decided_by, "message": f"Denied by human{comment}"}
        case Outcome.EXPIRED | Outcome.WITHDRAWN:
            return {**found, "decided_by": _ENDED_BY[verdict.outcome], "message": verdict.message}
        case Outcome.TIMEOUT:
            return {**found, "error": f"Timed out after {round(verdict.waited_seconds):.1f}s waiting for human decision"}
        case Outcome.NOT_PERMITTED:
            return {**found, "error": visible(f"RBAC: {verdict.error.message if verdict.error else ''}")}
        case _:
            return {**found, "error": visible(f"Failed to request approval: {verdict.message}")}


request_approval = StructuredTool.from_function(_request, _request_async, name="request_approval")
"""A tool with the name, the arguments and the results of the platform's own ``request_approval``; settings as for the
command line. A model may choose not to call it: what must not run without an approval is gated by ``ApprovalMiddleware``."""

# --- the middleware -------------------------------------------------------------------------------------------------------

_Answer = ToolMessage | Command[Any]


class ApprovalMiddleware(AgentMiddleware[AgentState[Any], Any, Any]):
    """Tools run only after a person approved the very call; else the model gets an error that says why.

    A tool is gated if its own name or the name in the call is. It gets the arguments that the approver saw, as a copy.
    Put it last in the list of middleware: what comes behind it could still change the call.

    Args:
        gated: names of the tools to gate; None gates every tool.
        reason: why, for the approver.
        options: as for :func:`molecule_approve.request_approval`.

    Raises:
        UsageError: an option is unknown, or ``gated`` is one text instead of several names, or holds something else, such as
            the tools themselves.
    """

    def __init__(self, gated: Collection[str] | None = None, *, reason: str = "", **options: Unpack[RequestOptions]) -> None:
        super().__init__()
        if isinstance(gated, str):
            raise UsageError("gated= must be a list of names, not a str", hint=f"pass [{gated!r}]")
        names = None if gated is None else list(gated)
        for name in names or ():
            if not isinstance(name, str):  # it would gate no tool
                raise UsageError(
                    f"gated= must be a list of names, not of {type(name).__name__}", hint="pass the tools' names"
                )
        self._gated = None if names is None else frozenset(names)
        self._reason, self._options = reason, checked(options)

    def wrap_tool_call(self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], _Answer]) -> _Answer:
        """Run the tool after an approval; see AgentMiddleware."""
        if self._is_free(request):
            return handler(request)
        own = _copied(request)
        verdict = tool_requests.request(*_described(own), self._reason, self._options)
        return handler(own) if verdict.approved else _refused(own, verdict)

    async def awrap_tool_call(
        self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], Awaitable[_Answer]]
    ) -> _Answer:
        """The same for asyncio; cancelling it withdraws the request."""
        if self._is_free(request):
            return await handler(request)
        own = _copied(request)
        verdict = await tool_requests.request_async(*_described(own), self._reason, self._options)
        return await handler(own) if verdict.approved else _refused(own, verdict)

    def _is_free(self, request: ToolCallRequest) -> bool:
        return self._gated is not None and self._gated.isdisjoint({_tool(request), request.tool_call["name"]})


def _tool(request: ToolCallRequest) -> str:
    """The name of the tool that runs: middleware in front can rename the call, or put another tool behind it."""
    return request.tool_call["name"] if request.tool is None else request.tool.name


def _copied(request: ToolCallRequest) -> ToolCallRequest:
    """The call with arguments of its own: shared ones could change after the approver saw them."""
    arguments: Any
    try:
        arguments = json.loads(json.dumps(request.tool_call["args"]))
    except (TypeError, ValueError, RecursionError) as exc:
        arguments = exc  # what cannot be written cannot be shown: the request fails
    return request.override(tool_call={**request.tool_call, "args": arguments})


def _described(request: ToolCallRequest) -> tuple[str, object, dict[str, str]]:
    call = request.tool_call
    return _tool(request), call["args"], {"agent": "LangChain", "tool_call_id": call["id"] or ""}


def _refused(request: ToolCallRequest, verdict: Verdict) -> ToolMessage:
    call = request.tool_call
    return ToolMessage(refusal(call["name"], verdict), name=call["name"], tool_call_id=call["id"] or "", status="error")
