"""``hook HOST`` as a host calls it: every outcome is its yes or its no, and whatever breaks is its no."""

from __future__ import annotations

import json
import os
import signal
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from molecule_approve.cli.deliver import check_reader
from tests.callers import until
from tests.cli.hook.hosts import (
    COMMAND,
    NAMES,
    RECORDED,
    call,
    call_briefly,
    check_allowed,
    check_blocked,
    check_left,
    event,
    mutations,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.callers import Caller
    from tests.integration.fake_platform import FakePlatform

# --- outcomes ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", NAMES)
def test_an_approval_is_the_hosts_yes(caller: Caller, host: str) -> None:
    """The host's own form and 0, with nothing on stderr; the log holds it."""
    with caller.answering(COMMAND):
        told = call(caller, host, event(host))
    check_allowed(host, told)
    assert told.err == ""
    assert [record["outcome"] for record in caller.records()] == ["initiated", "requested", "granted"]


def test_an_approval_may_leave_the_call_to_the_hosts_own_rules(caller: Caller) -> None:
    """``--answer none``: approved and recorded, and no yes is said for the host."""
    with caller.answering(COMMAND):
        told = call(caller, "claude-code", event("claude-code"), "--answer", "none")
    check_left("claude-code", told)
    assert caller.records()[-1]["outcome"] == "granted"


@pytest.mark.parametrize("host", NAMES)
def test_a_denial_is_the_hosts_no(caller: Caller, host: str) -> None:
    """What the approver wrote is the reason."""
    decide = partial(caller.desk.decide, decision="denied", comment="not on a Friday")
    with caller.answering(COMMAND, decide):
        told = call(caller, host, event(host))
    assert "denied by alice: not on a Friday" in check_blocked(host, told)


def test_somebody_else_withdraws_it(caller: Caller) -> None:
    """Nobody said no, and nobody said yes."""
    with caller.answering(COMMAND, caller.desk.withdraw):
        told = call(caller, "gemini", event("gemini"))
    assert "withdrawn by the requester" in check_blocked("gemini", told)


def test_the_approver_sees_who_calls_what(caller: Caller) -> None:
    """The command is the action; agent, session, folder, the call's id and the agent's own words stand beside it."""
    words = {"command": COMMAND, "description": "Destroy the staging stack", "timeout": 120000}
    given = event("claude-code", tool_input=words)
    with caller.answering(COMMAND):
        call(caller, "claude-code", given)
    found = caller.desk.one(caller.requested())
    assert (found["action"], found["reason"]) == (COMMAND, "claude-code wants to use Bash")
    context = {key: value for key, value in found["context"].items() if key not in {"user", "host", "audit_head"}}
    assert context == {
        "agent": "claude-code",
        "session": given["session_id"],
        "folder": "/home/dev/shop",
        "tool": "Bash",
        "tool_use_id": given["tool_use_id"],
        "description": "Destroy the staging stack",
        "arguments": '{"timeout": 120000}',
    }


def test_our_own_token_is_not_shown(caller: Caller, platform: FakePlatform) -> None:
    """Neither in the action nor in its context, and so in no log."""
    given = event("claude-code", tool_input={"command": f"echo {platform.token}", "note": platform.token})
    assert call_briefly(caller, "claude-code", given).code == 2
    assert platform.token not in caller.log.read_text()
    assert platform.token not in str(platform.rows)


def test_without_a_timeout_the_limit_counts(caller: Caller) -> None:
    """The hook waits to its own end; a shorter timeout ends it earlier."""
    caller.patch.delenv("APPROVAL_TIMEOUT")
    with caller.answering(COMMAND):
        call(caller, "copilot", event("copilot"))
    caller.set(APPROVAL_TIMEOUT="7")
    with caller.answering(COMMAND):
        call(caller, "copilot", event("copilot"))
    waits = [record["timeout_seconds"] for record in caller.records() if record["outcome"] == "initiated"]
    assert 7 < waits[0] <= 15
    assert waits[1] <= 7


# --- rules ---------------------------------------------------------------------------------------------------------------

RULES = """\
approve:
  hooks:
  - {tool: Bash, command: "git status*", then: pass}
  - {tool: run_shell_command, command: "git status*", then: pass}
  - {tool: Shell, command: "git status*", then: pass}
  - {tool: bash, command: "git status*", then: pass}
  - {tool: "*", command: "sudo *", then: deny}
  - {tool: "*", then: ask}
"""


def with_command(host: str, command: str) -> dict[str, Any]:
    """The host's event with another command."""
    return json.loads(json.dumps(event(host)).replace(COMMAND, command))  # type: ignore[no-any-return]  # as written


@pytest.mark.parametrize("host", NAMES)
def test_a_rule_may_leave_a_call_to_the_host(caller: Caller, host: str) -> None:
    """Nobody is asked, and no yes is said for the host."""
    caller.configure(RULES)
    check_left(host, call(caller, host, with_command(host, "git status --short")))
    assert caller.records() == []


@pytest.mark.parametrize("host", NAMES)
def test_a_rule_may_refuse_a_call(caller: Caller, host: str) -> None:
    """Nobody is asked."""
    caller.configure(RULES)
    assert "approve.hooks" in check_blocked(host, call(caller, host, with_command(host, "sudo true")))
    assert caller.records() == []


def test_a_rule_lets_nothing_through_behind_what_it_names(caller: Caller) -> None:
    """A person is asked about it."""
    caller.configure(RULES)
    command = "git status; rm -rf /"
    with caller.answering(command, "denied"):
        check_blocked("claude-code", call(caller, "claude-code", with_command("claude-code", command)))


@pytest.mark.parametrize("text", ["approve: {hooks: [{tool: Bash, then: yes}]}\n", "approve: {hook: []}\n", "approve: ["])
def test_rules_that_make_no_sense_block(caller: Caller, text: str) -> None:
    """Whatever they were meant to say."""
    caller.configure(text)
    assert "config.yaml" in check_blocked("cursor", call(caller, "cursor", event("cursor")))


# --- faults --------------------------------------------------------------------------------------------------------------


def unreachable(caller: Caller) -> None:
    caller.set(PLATFORM_URL="http://127.0.0.1:9", WORKSPACE_ID="w")


def unnamed(caller: Caller) -> None:
    caller.patch.delenv("PLATFORM_URL")


def not_permitted(caller: Caller) -> None:
    caller.configure("rbac:\n  roles: [read-only]\n")


def without_a_log(caller: Caller) -> None:
    caller.set(AUDIT_LOG_PATH="/proc/no/audit.jsonl")


def without_rotation(caller: Caller) -> None:
    caller.set(AUDIT_LOG_ROTATE_AT="never ever")


FAULTS: dict[str, tuple[Callable[[Caller], None], str]] = {
    "unreachable": (unreachable, "failed: "),
    "unnamed": (unnamed, "no workspace is set"),
    "not permitted": (not_permitted, "not permitted: "),
    "no log": (without_a_log, "failed: "),
    "bad setting": (without_rotation, "AUDIT_LOG_ROTATE_AT"),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("host", NAMES)
def test_a_fault_is_the_hosts_no(caller: Caller, host: str, fault: str) -> None:
    """With what is wrong."""
    breaks, reason = FAULTS[fault]
    breaks(caller)
    assert reason in check_blocked(host, call_briefly(caller, host, event(host)))


BROKEN: dict[str, bytes] = {
    "nothing": b"",
    "blanks": b" \n",
    "half an object": b'{"session_id": "s", "hook_event_na',
    "not JSON": b"hello",
    "a list": b"[]",
    "a text": b'"yes"',
    "no fields": b"{}",
    "a duplicate key": b'{"tool_name": "Bash", "tool_name": "Bash"}',
    "not UTF-8": b'{"a": "\xff"}',
    "deep": b"[" * 200_000,
    "NaN": b'{"a": NaN}',
    "another event": b'{"hook_event_name": "SessionStart", "session_id": "s", "transcript_path": ""}',
}


@pytest.mark.parametrize("what", BROKEN)
@pytest.mark.parametrize("host", NAMES)
def test_what_is_no_event_is_the_hosts_no(caller: Caller, host: str, what: str) -> None:
    """Nobody is asked."""
    reason = check_blocked(host, call(caller, host, BROKEN[what]))
    assert "event" in reason
    assert caller.records() == []


@pytest.mark.parametrize("host", NAMES)
def test_whatever_stands_on_stdin_is_no_yes(caller: Caller, host: str) -> None:
    """Broken events and events that can still be read: where nobody can approve, every one of them blocks."""
    caller.configure("rbac:\n  roles: [read-only]\n")
    for data in mutations(host, [next(path for path in RECORDED if path.match(f"{host}/*/shell.json"))], each=5):
        check_blocked(host, call(caller, host, data))
    assert {record["action"] for record in caller.records()} == {"rbac.deny"}


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--limit", "soon"), "'soon' is not a duration"),
        (("--limit", "1"), "out of range"),
        (("--limit", "2d"), "out of range"),
        (("--unknown",), "No such option"),
        (("--platform-url",), "requires an argument"),
        (("a word",), "unexpected extra argument"),
    ],
)
@pytest.mark.parametrize("host", NAMES)
def test_wrong_arguments_are_the_hosts_no(caller: Caller, host: str, options: tuple[str, ...], reason: str) -> None:
    """A host that was set up wrong makes no call either."""
    assert reason in check_blocked(host, call(caller, host, event(host), *options))


def test_an_unknown_answer_after_a_yes_blocks(caller: Caller) -> None:
    """Before anybody is asked."""
    told = call(caller, "claude-code", event("claude-code"), "--answer", "ask")
    assert "neither allow nor none" in check_blocked("claude-code", told)


@pytest.mark.parametrize("words", [("nobody",), (), ("--help",), ("claude-code", "--help")])
def test_a_host_that_there_is_not_is_blocked_too(caller: Caller, words: tuple[str, ...]) -> None:
    """By the exit code, and with something on stderr."""
    told = caller.main("hook", *words)
    assert told.code == (0 if words == ("--help",) else 2)
    assert told.err.strip() or told.code == 0


def test_a_command_that_is_too_long_is_the_hosts_no(caller: Caller) -> None:
    """It is never cut, and the reason says how long it may be."""
    told = call(caller, "claude-code", with_command("claude-code", "x" * 4_097))
    assert "4097 characters; the limit is 4096" in check_blocked("claude-code", told)


def test_a_long_reason_is_cut(caller: Caller) -> None:
    """The answer fits into a pipe as a whole."""
    decide = partial(caller.desk.decide, decision="denied", comment="x" * 4_000)
    with caller.answering(COMMAND, decide):
        told = call(caller, "codex", event("codex"))
    check_blocked("codex", told)
    assert len(told.out) < 4_096


def test_copilot_that_reads_claude_codes_settings_is_answered_in_its_own_form(caller: Caller) -> None:
    """And in the time that it leaves, for it may not know of the limit."""
    caller.patch.delenv("APPROVAL_TIMEOUT")
    given = event("claude-code", "from-copilot")
    with caller.answering(COMMAND):
        check_allowed("copilot", call(caller, "claude-code", given, "--limit", "3600"))
    with caller.answering(COMMAND, "denied"):
        check_blocked("copilot", call(caller, "claude-code", given, "--limit", "3600"))
    waits = [record["timeout_seconds"] for record in caller.records() if record["outcome"] == "initiated"]
    assert [wait for wait in waits if not 10 < wait <= 15] == []


def test_a_fault_of_ours_is_the_hosts_no(caller: Caller) -> None:
    """Also one that goes by every ``except Exception``."""
    for error in (RuntimeError("broken"), SystemExit(0), KeyboardInterrupt(), MemoryError()):

        def fail(*_: object, error: BaseException = error) -> None:
            raise error

        with caller.patch.context() as patch:
            patch.setattr("molecule_approve.wiring.gate", fail)
            told = call(caller, "claude-code", event("claude-code"))
        assert type(error).__name__ in check_blocked("claude-code", told)


def test_a_library_that_prints_does_not_spoil_the_answer(caller: Caller) -> None:
    """It goes to stderr."""

    def talk(*_: object, **__: object) -> None:
        print("hello")  # noqa: T201 - the library does
        raise RuntimeError("broken")

    caller.patch.setattr("molecule_approve.wiring.gate", talk)
    told = call(caller, "gemini", event("gemini"))
    check_blocked("gemini", told)
    assert "hello" in told.err


# --- stopped -------------------------------------------------------------------------------------------------------------


def test_a_signal_after_the_approval_takes_it_back(caller: Caller) -> None:
    """The host was told nothing yet; the log says that the approval reached nobody."""

    def approve(found: str) -> None:
        caller.patch.setattr("molecule_approve.cli.hook.answer.check_reader", stopping)
        caller.desk.decide(found)

    def stopping(stop: Any) -> None:  # noqa: ANN401 - the hook's own
        os.kill(os.getpid(), signal.SIGTERM)
        until(lambda: stop.stopped is not None)
        check_reader(stop)

    with caller.answering(COMMAND, approve):
        told = call(caller, "copilot", event("copilot"))
    assert "the approval came too late" in check_blocked("copilot", told)
    assert [record["action"] for record in caller.records()][-1] == "deliver"
