"""OpenAI Agents SDK (extra ``openai-agents``): a person decides about the calls that a run was interrupted for."""

from __future__ import annotations

import asyncio
from typing import Any, Unpack

from .tool_requests import RequestOptions, checked, missing, refusal, request_async

try:
    from agents import RunResult, RunResultStreaming, RunState, ToolApprovalItem
except ImportError as exc:
    missing("OpenAI Agents SDK", "openai-agents", exc)


async def resolve_interruptions(
    result: RunResult | RunResultStreaming, *, reason: str = "", **options: Unpack[RequestOptions]
) -> RunState[Any]:
    """Request approval of each call that the run waits for, all at once, and return the state to run on with.

    A call that is not approved is rejected; the model gets the reason. Only this call is decided, never "always".

    Args:
        result: of a run; ``result.interruptions`` are the calls of tools with ``needs_approval``.
        reason: why, for the approver.
        options: as for :func:`molecule_approve.request_approval`.

    Raises:
        UsageError: an option is unknown.
    """
    checked(options)
    state, items = result.to_state(), result.interruptions
    verdicts = await asyncio.gather(
        *(request_async(_tool(item), _arguments(item), _facts(item), reason, options) for item in items)
    )
    for item, verdict in zip(items, verdicts, strict=True):
        if verdict.approved:
            state.approve(item)
        else:
            state.reject(item, rejection_message=refusal(_tool(item), verdict))
    return state


def _tool(item: ToolApprovalItem) -> str:
    return item.qualified_name or item.name or item.type


def _arguments(item: ToolApprovalItem) -> object:
    """What the tool gets; of a shell or a patch the whole call, which has no arguments of its own."""
    if item.arguments is not None:
        return item.arguments
    return item.raw_item if isinstance(item.raw_item, dict) else item.raw_item.model_dump(mode="json")


def _facts(item: ToolApprovalItem) -> dict[str, str]:
    server = getattr(item.raw_item, "server_label", None)
    return {"agent": item.agent.name, "tool_call_id": item.call_id or "", "server": server or ""}
