"""The real Claude Agent SDK, its control protocol on a transport of our own in place of Claude Code."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any

import pytest

from molecule_approve.errors import UsageError
from tests.watching import load_unwatched

if TYPE_CHECKING:
    from tests.callers import Caller

BASH = {"command": "rm -rf /srv", "description": "Clean up"}
ACTION = 'Bash {"command": "rm -rf /srv", "description": "Clean up"}'
EVENT: dict[str, Any] = {
    "hook_event_name": "PreToolUse",
    "session_id": "s-1",
    "cwd": "/shop",
    "permission_mode": "bypassPermissions",
    "tool_name": "Bash",
    "tool_input": BASH,
    "tool_use_id": "toolu_1",
}


@pytest.fixture(scope="module", autouse=True)
def _sdk() -> None:
    load_unwatched("claude_agent_sdk")


def hooked(event: object = EVENT, **options: Any) -> dict[str, Any]:  # noqa: ANN401 - also what makes no sense
    """What our hook decides about a call, as Claude Code hears it."""
    from .claude_code import conversation, hooking

    answer = conversation(
        hooking, options, subtype="hook_callback", callback_id="hook_0", input=event, tool_use_id="toolu_1"
    )
    assert answer["subtype"] == "success"
    found: dict[str, Any] = answer["response"]["hookSpecificOutput"]
    assert found["hookEventName"] == "PreToolUse"
    return found


def permitted(**options: Any) -> dict[str, Any]:  # noqa: ANN401 - as above
    """What our callback decides about a call, as Claude Code hears it."""
    from .claude_code import conversation, permitting

    answer = conversation(permitting, options, subtype="can_use_tool", tool_name="Bash", input=BASH, tool_use_id="toolu_1")
    assert answer["subtype"] == "success"
    found: dict[str, Any] = answer["response"]
    return found


# --- the hook --------------------------------------------------------------------------------------------------------------


def test_an_approved_call_is_allowed_by_the_hook(caller: Caller) -> None:
    """In a mode that asks about nothing; the approver sees the whole call and where it is from."""
    with caller.answering(ACTION):
        found = hooked(reason="spring")
    assert (found["permissionDecision"], found["permissionDecisionReason"]) == ("allow", "approved by alice")
    row = caller.desk.one(caller.requested())
    context = {key: row["context"][key] for key in ("agent", "session", "agent_folder", "tool_call_id")}
    assert context == {"agent": "Claude Agent SDK", "session": "s-1", "agent_folder": "/shop", "tool_call_id": "toolu_1"}
    assert row["reason"] == "spring"


def test_a_denied_call_is_denied_by_the_hook(caller: Caller) -> None:
    """With the reason."""
    with caller.answering(ACTION, lambda found: caller.desk.decide(found, "denied", comment="no")):
        found = hooked()
    assert found["permissionDecision"] == "deny"
    assert found["permissionDecisionReason"] == "the tool was not run: denied by alice: no"


BROKEN: dict[str, tuple[dict[str, Any], str]] = {
    "late": ({"timeout": 1}, "timed out"),
    "away": ({"platform_url": "http://127.0.0.1:9", "workspace_id": "w", "timeout": 1}, "gate failed"),
    "misspelt value": ({"transport": "pigeon"}, "gate failed"),
    "context that is none": ({"context": 5}, "internal error"),
}


@pytest.mark.parametrize(("options", "says"), BROKEN.values(), ids=BROKEN)
def test_whatever_breaks_the_hook_denies(caller: Caller, options: dict[str, Any], says: str) -> None:
    """And says why."""
    found = hooked(**options)
    assert found["permissionDecision"] == "deny"
    assert says in found["permissionDecisionReason"]


@pytest.mark.parametrize(
    "event",
    [
        None,
        [],
        "x",
        {},
        {"tool_name": "Bash"},
        {**EVENT, "session_id": ["s"]},
        {**EVENT, "tool_input": {"command": "x" * 5_000}},
    ],
    ids=["null", "list", "text", "empty", "no input", "session that is none", "too long"],
)
def test_an_event_that_is_none_is_denied(caller: Caller, event: object) -> None:
    """Nothing is asked, and nothing runs."""
    assert hooked(event)["permissionDecision"] == "deny"
    assert all(record["outcome"] != "requested" for record in caller.records())


def test_the_hook_ends_before_claude_code_gives_up(caller: Caller) -> None:
    """The request is withdrawn at half of a short limit, whatever the timeout is."""
    found = hooked(limit=2, timeout=60)
    assert found["permissionDecision"] == "deny"
    assert re.search(r"nobody decided within [1-9] s", found["permissionDecisionReason"])
    assert caller.desk.one(caller.requested())["decided_by"] == "withdrawn"


def test_a_call_that_claude_code_takes_back_is_withdrawn(caller: Caller) -> None:
    """Its cancel request ends ours."""
    from .claude_code import ClaudeCode, hooking

    async def main() -> None:
        claude = ClaudeCode()
        client = hooking(claude)
        await client.connect()
        claude.ask(subtype="hook_callback", callback_id="hook_0", input=EVENT, tool_use_id="toolu_1")
        approval_id = await asyncio.to_thread(caller.requested)
        claude.cancel()
        ended = await asyncio.to_thread(caller.desk.one, approval_id, 10)
        assert ended["decided_by"] == "withdrawn"
        await client.disconnect()

    asyncio.run(main())


@pytest.mark.parametrize(("matcher", "limit"), [(None, 3_600), ("Bash|Write", 90)], ids=["every tool", "some tools"])
def test_claude_code_is_told_to_block_when_the_hook_fails(matcher: str | None, limit: float) -> None:
    """And which tools, and how long it may take."""
    from .claude_code import ClaudeCode, hooking

    async def main() -> Any:  # noqa: ANN401 - JSON
        claude = ClaudeCode()
        client = hooking(claude, matcher, limit=limit)
        await client.connect()
        await client.disconnect()
        return claude.hooks

    wanted = {"matcher": matcher, "hookCallbackIds": ["hook_0"], "timeout": limit, "onFailure": "block"}
    assert asyncio.run(main()) == {"PreToolUse": [wanted]}


def test_a_claude_code_that_would_let_a_failed_hook_pass_is_refused() -> None:
    """By the SDK, when it connects."""
    from claude_agent_sdk import CLIConnectionError

    from .claude_code import ClaudeCode, hooking

    async def main() -> None:
        client = hooking(ClaudeCode(honours_on_failure=False))
        try:
            with pytest.raises(CLIConnectionError, match="does not honor on_failure"):
                await client.connect()
        finally:
            await client.disconnect()

    asyncio.run(main())


# --- the callback ----------------------------------------------------------------------------------------------------------


def test_an_approved_call_is_allowed_by_the_callback(caller: Caller) -> None:
    """With the input that was approved."""
    with caller.answering(ACTION):
        assert permitted() == {"behavior": "allow", "updatedInput": BASH}


def test_a_denied_call_is_denied_by_the_callback(caller: Caller) -> None:
    """With the reason."""
    with caller.answering(ACTION, "denied"):
        assert permitted() == {"behavior": "deny", "message": "Bash was not run: denied by alice"}


@pytest.mark.parametrize(("options", "says"), BROKEN.values(), ids=BROKEN)
def test_whatever_breaks_the_callback_denies(caller: Caller, options: dict[str, Any], says: str) -> None:
    """And says why."""
    found = permitted(**options)
    assert found["behavior"] == "deny"
    assert says in found["message"]


@pytest.mark.parametrize("make", ["approval_hooks", "can_use_tool"])
def test_an_unknown_option_is_refused(make: str) -> None:
    """Where it is made."""
    from molecule_approve.integrations import claude_agent_sdk

    with pytest.raises(UsageError, match="unknown option time_out="):
        getattr(claude_agent_sdk, make)(time_out=5)
