"""Pydantic AI (extra ``pydantic-ai``): a person decides about the tools with ``requires_approval=True``."""

from __future__ import annotations

import asyncio
from typing import Any, Unpack

from .tool_requests import RequestOptions, checked, missing, refusal, request_async

try:
    from pydantic_ai.capabilities import HandleDeferredToolCalls
    from pydantic_ai.tools import DeferredToolRequests, DeferredToolResults, RunContext, ToolApproved, ToolDenied
except ImportError as exc:
    missing("Pydantic AI", "pydantic-ai", exc)


def approval_by_person(*, reason: str = "", **options: Unpack[RequestOptions]) -> HandleDeferredToolCalls[Any]:
    """A capability for ``Agent(capabilities=[…])``: each call that requires approval is requested, all of a step at once.

    A call that is not approved is denied; the model gets the reason. Calls that wait for something else are left alone.

    Args:
        reason: why, for the approver.
        options: as for :func:`molecule_approve.request_approval`.

    Raises:
        UsageError: an option is unknown.
    """
    checked(options)

    async def resolve(context: RunContext[Any], requests: DeferredToolRequests) -> DeferredToolResults:
        agent = (context.agent and context.agent.name) or "Pydantic AI"
        verdicts = await asyncio.gather(
            *(
                request_async(
                    call.tool_name, call.args or {}, {"agent": agent, "tool_call_id": call.tool_call_id}, reason, options
                )
                for call in requests.approvals
            )
        )
        approvals: dict[str, bool | ToolApproved | ToolDenied] = {}
        for call, verdict in zip(requests.approvals, verdicts, strict=True):
            if verdict.approved:
                approvals.setdefault(call.tool_call_id, ToolApproved())
            else:  # also where two calls came under one id
                approvals[call.tool_call_id] = ToolDenied(refusal(call.tool_name, verdict))
        return requests.build_results(approvals=approvals)

    return HandleDeferredToolCalls(handler=resolve)
