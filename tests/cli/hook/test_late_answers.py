"""A decision that comes after its hook has ended: it counts for the identical call, once, within the request's expiry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.callers import let_pass
from tests.cli.hook.hosts import COMMAND, call, call_briefly, check_allowed, check_blocked, event

if TYPE_CHECKING:
    from tests.callers import Caller
    from tests.integration.fake_platform import FakePlatform


def test_a_late_approval_lets_the_identical_call_through_once(caller: Caller) -> None:
    """Described in other words it is the identical call; the one after that asks anew."""
    given = event("claude-code")
    reason = check_blocked("claude-code", call_briefly(caller, "claude-code", given))
    earlier = caller.requested()
    assert f"request {earlier} stays open" in reason
    caller.desk.decide(earlier)
    again = {**given, "tool_input": {"command": COMMAND, "description": "other words", "timeout": 5}, "tool_use_id": "2"}
    check_allowed("claude-code", call_briefly(caller, "claude-code", again))
    records = caller.records()
    assert [record["outcome"] for record in records] == ["initiated", "requested", "resumed", "granted"]
    assert len({record["trace_id"] for record in records}) == 1
    check_blocked("claude-code", call_briefly(caller, "claude-code", again))
    assert caller.requested() != earlier


def test_a_late_approval_on_the_platform(caller: Caller, platform: FakePlatform) -> None:
    """The same where only our own log knows that an approval was used."""
    given = event("codex")
    check_blocked("codex", call_briefly(caller, "codex", given))
    platform.decide(platform.rows[0])
    check_allowed("codex", call_briefly(caller, "codex", given))
    check_blocked("codex", call_briefly(caller, "codex", given))
    assert len(platform.rows) == 2


def test_a_late_denial_counts_once(caller: Caller) -> None:
    """For the identical call; the one after that asks anew."""
    given = event("gemini")
    call_briefly(caller, "gemini", given)
    earlier = caller.requested()
    caller.desk.decide(earlier, "denied")
    assert "denied by alice" in check_blocked("gemini", call_briefly(caller, "gemini", given))
    call_briefly(caller, "gemini", given)
    assert caller.requested() != earlier


def test_a_late_approval_expires(caller: Caller) -> None:
    """When its request would have: the call is asked about anew."""
    given = event("claude-code")
    call_briefly(caller, "claude-code", given)
    earlier = caller.requested()
    caller.desk.decide(earlier)
    let_pass(1.6)
    caller.patch.setattr("molecule_approve.integrations.hooks.asking.KEPT_OPEN", 0.5)  # a second and a half in all
    check_blocked("claude-code", call_briefly(caller, "claude-code", given))
    assert caller.requested() != earlier


def test_a_late_approval_counts_although_the_log_has_gone(caller: Caller) -> None:
    """The embedded server itself lets it be used once."""
    given = event("claude-code")
    call_briefly(caller, "claude-code", given)
    caller.desk.decide(caller.requested())
    caller.log.unlink()
    check_allowed("claude-code", call_briefly(caller, "claude-code", given))


def test_the_identical_call_waits_for_the_same_request(caller: Caller) -> None:
    """As long as it is open, nobody is asked twice."""
    given = event("claude-code")
    call_briefly(caller, "claude-code", given)
    reason = check_blocked("claude-code", call_briefly(caller, "claude-code", given))
    assert f"request {caller.requested()} stays open" in reason
    assert [record["outcome"] for record in caller.records()] == ["initiated", "requested", "resumed"]


@pytest.mark.parametrize(
    "change",
    [
        {"session_id": "another"},
        {"cwd": "/elsewhere"},
        {"tool_input": {"command": COMMAND, "dangerouslyDisableSandbox": True}},
    ],
)
def test_another_call_is_another_request(caller: Caller, change: dict[str, Any]) -> None:
    """A late approval is for the same session, folder and arguments only."""
    given = event("claude-code")
    call_briefly(caller, "claude-code", given)
    caller.desk.decide(caller.requested())
    check_blocked("claude-code", call_briefly(caller, "claude-code", {**given, **change}))


def test_a_request_that_was_withdrawn_is_made_anew(caller: Caller) -> None:
    """Nobody can decide it any more."""
    given = event("claude-code")
    call_briefly(caller, "claude-code", given)
    caller.desk.withdraw(caller.requested())
    with caller.answering(COMMAND):
        check_allowed("claude-code", call(caller, "claude-code", given))


def test_a_late_approval_that_was_used_elsewhere_is_none(caller: Caller) -> None:
    """Whoever used it: the call asks anew."""
    given = event("claude-code")
    call_briefly(caller, "claude-code", given)
    caller.desk.decide(caller.requested())
    caller.desk.redeem(caller.requested())
    with caller.answering(COMMAND):
        check_allowed("claude-code", call(caller, "claude-code", given))


def test_a_call_that_never_reached_the_platform_is_asked_about(caller: Caller) -> None:
    """Whether the platform could be searched for it or not."""
    given = event("claude-code")
    with caller.patch.context() as patch:
        patch.setenv("PLATFORM_URL", "http://127.0.0.1:9")
        patch.setenv("WORKSPACE_ID", caller.desk.workspace_id)
        for _ in range(2):
            check_blocked("claude-code", call_briefly(caller, "claude-code", given))
    with caller.answering(COMMAND):
        check_allowed("claude-code", call(caller, "claude-code", given))
