"""Claude Agent SDK (extra ``claude-agent-sdk``): a hook that no permission mode skips, and ``can_use_tool``."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Unpack

from molecule_approve.model import Outcome, Verdict

from .tool_requests import RequestOptions, checked, missing, refusal, request_async

try:
    from claude_agent_sdk import (
        CanUseTool,
        HookMatcher,
        PermissionResultAllow,
        PermissionResultDeny,
        ToolPermissionContext,
    )
    from claude_agent_sdk.types import HookContext, HookEvent, HookInput, HookJSONOutput
except ImportError as exc:
    missing("Claude Agent SDK", "claude-agent-sdk", exc)


def approval_hooks(
    matcher: str | None = None, *, reason: str = "", limit: float = 3_600, **options: Unpack[RequestOptions]
) -> dict[HookEvent, list[HookMatcher]]:
    """Hooks for ``ClaudeAgentOptions(hooks=…)``: tools run only after a person approved the very call.

    No permission mode and no list of allowed tools skips a hook, and a hook that fails blocks; connecting to a Claude Code
    that does not know ``on_failure`` raises ``CLIConnectionError``.

    Args:
        matcher: the tools to gate, as Claude Code matches names (``Bash|Write|mcp__.*``); None gates every tool.
        reason: why, for the approver.
        limit: seconds after which Claude Code gives up. The request is withdrawn 30 s before, or at half of it.
        options: as for :func:`molecule_approve.request_approval`.

    Raises:
        UsageError: an option is unknown.
    """
    checked(options)
    patience = limit - 30 if limit > 60 else limit / 2

    async def hook(event: HookInput, tool_use_id: str | None, context: HookContext) -> HookJSONOutput:
        del context
        try:
            call: dict[str, Any] = {**event, "tool_use_id": tool_use_id}
            async with asyncio.timeout(patience):
                verdict = await request_async(call["tool_name"], call["tool_input"], _facts(call), reason, options)
        except TimeoutError:
            verdict = Verdict(Outcome.TIMEOUT, waited_seconds=patience)
        except Exception as exc:  # noqa: BLE001 - whatever it is, the tool must not run
            verdict = Verdict.of_error(exc)
        return _answer(verdict)

    return {"PreToolUse": [HookMatcher(matcher, [hook], timeout=limit, on_failure="block")]}


def can_use_tool(*, reason: str = "", **options: Unpack[RequestOptions]) -> CanUseTool:
    """A callback for ``ClaudeAgentOptions(can_use_tool=…)``.

    Claude Code calls it only for tools that it would ask about: not in the mode ``bypassPermissions``, not for tools in
    ``allowed_tools``, and not after a hook allowed the call. The gate is :func:`approval_hooks`.

    Args:
        reason: why, for the approver.
        options: as for :func:`molecule_approve.request_approval`.

    Raises:
        UsageError: an option is unknown.
    """
    checked(options)

    async def decide(
        tool: str, arguments: dict[str, Any], context: ToolPermissionContext
    ) -> PermissionResultAllow | PermissionResultDeny:
        facts = _facts({"tool_use_id": context.tool_use_id, "agent_id": context.agent_id})
        verdict = await request_async(tool, arguments, facts, reason, options)
        return PermissionResultAllow() if verdict.approved else PermissionResultDeny(message=refusal(tool, verdict))

    return decide


def _facts(call: Mapping[str, Any]) -> dict[str, str]:
    names = {"session": "session_id", "agent_folder": "cwd", "subagent": "agent_id", "tool_call_id": "tool_use_id"}
    return {"agent": "Claude Agent SDK", **{name: call.get(key) or "" for name, key in names.items()}}


def _answer(verdict: Verdict) -> HookJSONOutput:
    return {
        "hookSpecificOutput": {
            "hookEventName": "PreToolUse",
            "permissionDecision": "allow" if verdict.approved else "deny",
            "permissionDecisionReason": verdict.message if verdict.approved else refusal("the tool", verdict),
        }
    }
