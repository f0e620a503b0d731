"""The real OpenAI Agents SDK, with a model of our own: a call that waits for an approval runs after a person's, only."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING, Any

import pytest

from molecule_approve.errors import UsageError
from tests.watching import load_unwatched

if TYPE_CHECKING:
    from agents import ToolApprovalItem

    from tests.callers import Caller

    from .openai_cleaner import Cleaner


@pytest.fixture(scope="module", autouse=True)
def _sdk() -> None:
    load_unwatched("agents")


@pytest.fixture
def cleaner() -> Cleaner:
    """An agent that may drop tables."""
    from .openai_cleaner import Cleaner

    return Cleaner()


def call(number: int, arguments: str, name: str = "drop", **more: str) -> dict[str, Any]:
    """The model calls a tool."""
    return {"type": "function_call", "name": name, "arguments": arguments, "call_id": f"call-{number}", **more}


def shell(command: str) -> dict[str, Any]:
    """The model calls the shell."""
    return {"id": "s", "call_id": "call-0", "type": "shell_call", "status": "completed", "action": {"commands": [command]}}


def test_an_approved_call_runs(caller: Caller, cleaner: Cleaner) -> None:
    """The approver sees the whole call, and who makes it."""
    with caller.answering('drop {"table": "users"}'):
        assert cleaner.run(call(0, '{"table": "users"}'), reason="spring") == ["dropped users"]
    assert cleaner.ran == ["users"]
    row = caller.desk.one(caller.requested())
    assert (row["reason"], row["context"]["agent"], row["context"]["tool_call_id"]) == ("spring", "Cleaner", "call-0")


def test_a_denied_call_tells_the_model_why(caller: Caller, cleaner: Cleaner) -> None:
    """And does not run; the run goes on."""
    with caller.answering('drop {"table": "users"}', lambda found: caller.desk.decide(found, "denied", comment="no")):
        assert cleaner.run(call(0, '{"table": "users"}')) == ["drop was not run: denied by alice: no"]
    assert cleaner.ran == []


@pytest.mark.parametrize(
    ("options", "arguments", "says"),
    [
        ({"timeout": 1}, '{"table": "users"}', "timed out"),
        ({"platform_url": "http://127.0.0.1:9", "workspace_id": "w", "timeout": 1}, '{"table": "users"}', "gate failed"),
        ({"transport": "pigeon"}, '{"table": "users"}', "gate failed"),
        ({"context": 5}, '{"table": "users"}', "internal error"),
        ({}, json.dumps({"table": "x" * 5_000}), "4096"),
    ],
    ids=["late", "away", "misspelt value", "context that is none", "too long"],
)
def test_whatever_breaks_runs_nothing(
    caller: Caller, cleaner: Cleaner, options: dict[str, Any], arguments: str, says: str
) -> None:
    """The call is rejected, and the run does not fail."""
    [told] = cleaner.run(call(0, arguments), **options)
    assert says in told
    assert cleaner.ran == []


def test_the_calls_of_one_step_wait_together(caller: Caller, cleaner: Cleaner) -> None:
    """Each is decided for itself."""
    with caller.answering('drop {"table": "a"}'), caller.answering('drop {"table": "b"}', "denied"):
        told = cleaner.run(call(0, '{"table": "a"}'), call(1, '{"table": "b"}'))
    assert sorted(told) == ["drop was not run: denied by alice", "dropped a"]
    assert cleaner.ran == ["a"]


def test_an_approval_is_for_one_call(caller: Caller, cleaner: Cleaner) -> None:
    """The same call again is requested again."""
    with caller.answering('drop {"table": "a"}'):
        cleaner.run(call(0, '{"table": "a"}'))
    cleaner.ran.clear()
    with caller.answering('drop {"table": "a"}', "denied"):
        cleaner.run(call(0, '{"table": "a"}'))
    assert cleaner.ran == []


def test_a_yes_does_not_hold_for_the_tool(caller: Caller, cleaner: Cleaner) -> None:
    """A later call of the same run is requested for itself, with the same arguments and with others."""
    same, other = call(1, '{"table": "a"}'), call(2, '{"table": "b"}')

    def once(found: str) -> None:
        caller.desk.decide(found)
        again.enter_context(caller.answering('drop {"table": "a"}', "denied"))

    first, last = caller.answering('drop {"table": "a"}', once), caller.answering('drop {"table": "b"}', "denied")
    with contextlib.ExitStack() as again, last, first:
        cleaner.run(call(0, '{"table": "a"}'), later=[same, other])
    assert cleaner.ran == ["a"]


def test_a_tool_of_a_namespace_is_named_with_it(caller: Caller, cleaner: Cleaner) -> None:
    """Another one can have the same name."""
    with caller.answering('archive.drop_old {"table": "a"}'):
        cleaner.run(call(0, '{"table": "a"}', "drop_old", namespace="archive"))
    assert cleaner.ran == ["old a"]


def test_a_call_of_a_hosted_server_is_shown_with_the_server(caller: Caller, cleaner: Cleaner) -> None:
    """It runs elsewhere: the run goes on with the answer."""
    made = {"type": "mcp_approval_request", "id": "m", "name": "purge", "server_label": "warehouse", "arguments": "{}"}
    with caller.answering("purge {}", "denied"):
        cleaner.run(made)
    assert caller.desk.one(caller.requested())["context"]["server"] == "warehouse"


def test_of_a_shell_the_whole_call_is_shown(caller: Caller, cleaner: Cleaner) -> None:
    """It has no arguments of its own."""
    from .openai_cleaner import parsed

    action = f"shell {json.dumps(parsed(shell('rm -rf /srv')).model_dump(mode='json'))}"
    with caller.answering(action):
        assert cleaner.run(shell("rm -rf /srv")) == ["executed"]
    assert cleaner.ran == ["rm -rf /srv"]


def test_a_call_that_is_a_dict_is_shown_whole(caller: Caller) -> None:
    """The SDK has both forms."""
    from agents import Agent, ToolApprovalItem

    from molecule_approve.integrations.openai_agents import resolve_interruptions

    made: dict[str, Any] = {"type": "shell_call", "call_id": "call-0", "action": {"commands": ["rm -rf /srv"]}}
    item = ToolApprovalItem(Agent(name="Cleaner"), made, tool_name="shell")
    approved: list[ToolApprovalItem] = []

    class State:
        approve = staticmethod(approved.append)

    class Result:
        interruptions = (item,)
        to_state = State

    result: Any = Result()
    with caller.answering(f"shell {json.dumps(made)}"):
        asyncio.run(resolve_interruptions(result))
    assert approved == [item]


def test_an_unknown_option_is_refused() -> None:
    """Before anything is requested."""
    from molecule_approve.integrations.openai_agents import resolve_interruptions

    result: Any = None
    options: Any = {"time_out": 5}
    with pytest.raises(UsageError, match="unknown option time_out="):
        asyncio.run(resolve_interruptions(result, **options))
