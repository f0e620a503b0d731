"""The MCP server: four tools, what they take and return. None of them decides, grants, or reads a credential.

Identity and platform are the settings that it is made with; no argument of a tool changes them.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import anyio
from mcp.server import Server, ServerRequestContext
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INVALID_PARAMS,
    CallToolRequestParams,
    CallToolResult,
    ListToolsResult,
    PaginatedRequestParams,
    TextContent,
    Tool,
    ToolAnnotations,
)

from molecule_approve import arguments
from molecule_approve.errors import UsageError

from .requests import Bounds, OwnRequest, OwnRequests, Tell, Wanted, refusal

if TYPE_CHECKING:
    from mcp.server.session import ServerSession

    from molecule_approve.arguments import Given
    from molecule_approve.model import JsonValue
    from molecule_approve.settings.resolve import Settings

Context = ServerRequestContext[OwnRequests, Any]


def make_server(
    settings: Settings,
    version: str,
    tell: Tell,
    bounds: Bounds = Bounds(),  # noqa: B008 - a frozen value
) -> Server[OwnRequests]:
    """The server, which runs on any transport of the SDK.

    Args:
        settings: identity and platform of every request.
        version: the program's.
        tell: is told what goes wrong on the side.
        bounds: what one client can make it do.
    """

    @asynccontextmanager
    async def connected(_: Server[OwnRequests]) -> AsyncIterator[OwnRequests]:
        requests = OwnRequests(settings, tell, bounds)
        try:
            yield requests
        finally:
            with anyio.CancelScope(shield=True):
                await requests.close()

    return Server(
        "molecule-approve",
        version=version,
        instructions=_INSTRUCTIONS,
        lifespan=connected,
        on_list_tools=_list_tools,
        on_call_tool=_call_tool,
    )


async def _list_tools(context: Context, params: PaginatedRequestParams | None) -> ListToolsResult:
    del context, params
    return ListToolsResult(tools=[found.offered for found in _TOOLS.values()])


async def _call_tool(context: Context, params: CallToolRequestParams) -> CallToolResult:
    found = _TOOLS.get(params.name)
    if found is None:
        raise MCPError(INVALID_PARAMS, f"there is no tool {params.name[:80]!r}")
    given = params.arguments or {}
    try:
        report = await found.run(_Call(context), found.complete(given))
    except Exception as exc:  # noqa: BLE001 - whatever the arguments are, a failure is a report, and a no
        report = refusal(exc)
    return CallToolResult(content=[TextContent(text=json.dumps(report))], structured_content=report)


# --- one call ----------------------------------------------------------------------------------------------------------


class _Call:
    """One call of a tool: who makes it, and since when it waits."""

    def __init__(self, context: Context) -> None:
        self.requests = context.lifespan_context
        self.bounds = self.requests.bounds
        self.agent = _name_of(context.session)
        self._report_progress = context.session.report_progress
        self._now = asyncio.get_running_loop().time
        self._begun = self._now()

    async def until(self, happens: asyncio.Future[Any], seconds: float) -> None:
        """Wait for it until so many seconds after the call began, and report progress meanwhile."""
        while not happens.done() and (left := self._begun + seconds - self._now()) > 0:
            await asyncio.wait({happens}, timeout=min(left, self.bounds.progress))
            if not happens.done():
                await self._report_progress(self._now() - self._begun, seconds, "waiting for a decision")

    async def report_after(self, request: OwnRequest, wait: float) -> dict[str, JsonValue]:
        """What became of the request within the wait; its approval is given to the client by this."""
        await self.until(request.verdict, wait)
        return request.report(redeem=True)


def _name_of(session: ServerSession) -> str:
    """The client's name and version, as it gives them; empty if it gives none."""
    params = session.client_params
    return "" if params is None else f"{params.client_info.name} {params.client_info.version}".strip()


def _seconds(value: object, longest: float) -> float:
    """How long to wait: at most the longest wait, whatever is asked for."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise UsageError(f"wait_seconds= must be a number, not {type(value).__name__}", hint="pass seconds, 0 to 50")
    return float(max(0, min(value, longest)))


@contextlib.contextmanager
def _dropping(request: OwnRequest) -> Iterator[None]:
    """A call that is cancelled, or fails, withdraws the request: its client will not hear of the decision."""
    try:
        yield
    except BaseException:
        request.drop("the call was cancelled")
        raise


# --- the tools ---------------------------------------------------------------------------------------------------------


async def _request_approval(call: _Call, given: Given) -> dict[str, JsonValue]:
    wait = _seconds(given["wait_seconds"], call.bounds.wait)
    request = call.requests.start(Wanted.read(given, call.agent, call.requests.settings))
    with _dropping(request):
        await call.until(request.taken, call.bounds.wait)
        if not request.taken.done():
            request.drop(f"the platform did not take the request within {call.bounds.wait:g} s")
            await asyncio.wait({request.verdict})
        return await call.report_after(request, wait)


async def _wait_for_approval(call: _Call, given: Given) -> dict[str, JsonValue]:
    wait = _seconds(given["wait_seconds"], call.bounds.wait)
    request = call.requests.find(arguments.text(given["id"], "id"))
    with _dropping(request):
        return await call.report_after(request, wait)


async def _get_approval(call: _Call, given: Given) -> dict[str, JsonValue]:
    return call.requests.find(arguments.text(given["id"], "id")).report()


async def _withdraw_approval(call: _Call, given: Given) -> dict[str, JsonValue]:
    request = call.requests.find(arguments.text(given["id"], "id"))
    request.drop("the agent withdrew it")
    await asyncio.wait({request.verdict})
    return request.report()


class _OwnTool(NamedTuple):
    """A tool as it is offered, and what it does."""

    run: Callable[[_Call, Given], Awaitable[dict[str, JsonValue]]]
    offered: Tool

    def complete(self, given: Given) -> Given:
        """The arguments, with the default of each that is missing.

        Raises:
            UsageError: one is missing that has none, or there is one too many.
        """
        properties = self.offered.input_schema["properties"]
        unknown = [name for name in given if name not in properties]
        missing = [name for name in self.offered.input_schema["required"] if name not in given]
        if unknown or missing:
            what = f"unknown argument {unknown[0][:80]!r}" if unknown else f"{missing[0]}= is missing"
            raise UsageError(f"{self.offered.name}: {what}", hint=f"it takes {', '.join(properties)}")
        return {name: schema.get("default") for name, schema in properties.items()} | dict(given)


def _tool(
    run: Callable[[_Call, Given], Awaitable[dict[str, JsonValue]]],
    description: str,
    properties: dict[str, Any],
    *required: str,
    reads: bool = False,
) -> _OwnTool:
    schema = {"type": "object", "properties": properties, "required": [*required], "additionalProperties": False}
    name = run.__name__.lstrip("_")
    hints = ToolAnnotations(read_only_hint=reads, destructive_hint=False, open_world_hint=False)
    offered = Tool(name=name, description=description, input_schema=schema, output_schema=_REPORT, annotations=hints)
    return _OwnTool(run, offered)


_INSTRUCTIONS = (
    "Request a person's approval before an action that needs one, and do it only if a result says allowed: true. That"
    " holds for the very text in approved_action, and once. Every other result means no: do not do it."
)


def _nullable(description: str) -> dict[str, Any]:
    return {"type": ["string", "null"], "description": description}


_FIELDS: dict[str, Any] = {
    "id": _nullable("The request's id, for the other tools."),
    "status": {
        "type": "string",
        "description": "pending, approved, denied, timeout, expired, withdrawn, not_permitted, interrupted or failed.",
    },
    "allowed": {
        "type": "boolean",
        "description": "Whether you may do approved_action now. True once for each approval; false means no.",
    },
    "approved_action": _nullable("The exact text that a person approved; only with allowed."),
    "action": _nullable("The text that was requested."),
    "expires_at": _nullable("When the request is withdrawn if nobody has decided."),
    "decided_by": _nullable("Who decided."),
    "comment": _nullable("What they said."),
    "message": {"type": "string", "description": "The result in a sentence."},
}
_REPORT = {"type": "object", "properties": _FIELDS, "required": [*_FIELDS], "additionalProperties": False}

_LONGEST = Bounds().wait
_ID = {"type": "string", "description": "An id that request_approval returned."}
_WAIT = {
    "type": "number",
    "default": _LONGEST,
    "minimum": 0,
    "maximum": _LONGEST,
    "description": f"Seconds to wait for the decision, {_LONGEST:g} at most; 0 returns at once.",
}

_TOOLS = {
    found.offered.name: found
    for found in (
        _tool(
            _request_approval,
            "Ask a person to approve an action, before you do it. Do it only if allowed is true. While status is pending,"
            " call wait_for_approval with the id. Cancelling the call withdraws the request.",
            {
                "action": {
                    "type": "string",
                    "description": "What you are about to do, exactly and completely; 1 to 4096 characters.",
                },
                "reason": {"type": "string", "description": "Why; the approver reads it."},
                "context": {
                    "type": ["object", "null"],
                    "additionalProperties": {"type": ["string", "number"]},
                    "description": "Further facts for the approver, such as a ticket.",
                },
                "timeout": {
                    "type": ["number", "string", "null"],
                    "description": "Until when a person can decide: seconds, or text such as 10m.",
                },
                "wait_seconds": _WAIT,
            },
            "action",
            "reason",
        ),
        _tool(
            _wait_for_approval,
            "Wait for the decision on a request of yours, and use the approval. Call it again while status is pending."
            " Cancelling the call withdraws the request.",
            {"id": _ID, "wait_seconds": _WAIT},
            "id",
        ),
        _tool(
            _get_approval,
            "See how a request of yours stands. It uses no approval: allowed is always false.",
            {"id": _ID},
            "id",
            reads=True,
        ),
        _tool(
            _withdraw_approval,
            "Withdraw a request of yours that you no longer need, or its unused approval.",
            {"id": _ID},
            "id",
        ),
    )
}
