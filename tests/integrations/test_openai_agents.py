"""The real OpenAI Agents SDK, with a model of our own: a call that waits for an approval runs after a person's, only."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Any

import pytest
from agents import (
    Agent,
    HostedMCPTool,
    Model,
    ModelResponse,
    RunConfig,
    Runner,
    ShellTool,
    Tool,
    ToolApprovalItem,
    Usage,
    function_tool,
    tool_namespace,
)
from agents.items import ToolCallOutputItem
from openai.types.responses import (
    ResponseFunctionShellToolCall,
    ResponseFunctionToolCall,
    ResponseOutputMessage,
    ResponseOutputText,
)
from openai.types.responses.response_output_item import McpApprovalRequest

from molecule_approve.errors import UsageError
from molecule_approve.integrations.openai_agents import resolve_interruptions

if TYPE_CHECKING:
    from tests.callers import Caller

OFFLINE = RunConfig(tracing_disabled=True)


def call(number: int, arguments: str, name: str = "drop") -> ResponseFunctionToolCall:
    """The model calls a tool."""
    return ResponseFunctionToolCall(name=name, arguments=arguments, call_id=f"call-{number}", type="function_call")


def shell(command: str) -> ResponseFunctionShellToolCall:
    """The model calls the shell."""
    made = {"id": "s", "call_id": "call-0", "type": "shell_call", "status": "completed", "action": {"commands": [command]}}
    return ResponseFunctionShellToolCall.model_validate(made)


def done() -> ResponseOutputMessage:
    """The model says its last word."""
    text = ResponseOutputText(annotations=[], text="done", type="output_text")
    return ResponseOutputMessage(id="m", content=[text], role="assistant", status="completed", type="message")


class Scripted(Model):
    """Makes these calls in its first answer, the later ones each in one of its own, and then is done."""

    def __init__(self, calls: Sequence[Any], later: Sequence[Any]) -> None:
        self._answers = [list(calls), *([one] for one in later), [done()]]

    async def get_response(self, *arguments: Any, **more: Any) -> ModelResponse:  # noqa: ANN401 - the SDK's
        """The next answer."""
        return ModelResponse(output=self._answers.pop(0), usage=Usage(), response_id=None)

    def stream_response(self, *arguments: Any, **more: Any) -> AsyncIterator[Any]:  # noqa: ANN401 - the SDK's
        """Nobody streams here."""
        raise NotImplementedError


class Cleaner:
    """An agent that may drop tables, and what it ran."""

    def __init__(self) -> None:
        self.ran: list[str] = []

    def run(self, *calls: Any, later: Sequence[Any] = (), **options: Any) -> list[str]:  # noqa: ANN401 - of several types
        """Let the model make these calls, resolve what the run waits for, and give what the model was told of them."""

        @function_tool(needs_approval=True)
        def drop(table: str) -> str:
            self.ran.append(table)
            return f"dropped {table}"

        def drop_old(table: str) -> str:
            self.ran.append(f"old {table}")
            return "dropped"

        def execute(request: Any) -> str:  # noqa: ANN401 - the SDK's
            self.ran.extend(request.data.action.commands)
            return "executed"

        hosted = HostedMCPTool({"type": "mcp", "server_label": "warehouse", "server_url": "https://db.example"})
        tools: list[Tool] = [drop, ShellTool(executor=execute, needs_approval=True), hosted]
        tools += tool_namespace(
            name="archive", description="Old tables.", tools=[function_tool(drop_old, needs_approval=True)]
        )
        agent = Agent(name="Cleaner", model=Scripted(calls, later), tools=tools)

        async def main() -> list[str]:
            result = await Runner.run(agent, "clean up", run_config=OFFLINE)
            assert self.ran == []
            while result.interruptions:
                state = await resolve_interruptions(result, **options)
                result = await Runner.run(agent, state, run_config=OFFLINE)
            assert result.final_output == "done"
            return [str(item.output) for item in result.new_items if isinstance(item, ToolCallOutputItem)]

        return asyncio.run(main())


def test_an_approved_call_runs(caller: Caller) -> None:
    """The approver sees the whole call, and who makes it."""
    cleaner = Cleaner()
    with caller.answering('drop {"table": "users"}'):
        assert cleaner.run(call(0, '{"table": "users"}'), reason="spring") == ["dropped users"]
    assert cleaner.ran == ["users"]
    row = caller.desk.one(caller.requested())
    assert (row["reason"], row["context"]["agent"], row["context"]["tool_call_id"]) == ("spring", "Cleaner", "call-0")


def test_a_denied_call_tells_the_model_why(caller: Caller) -> None:
    """And does not run; the run goes on."""
    cleaner = Cleaner()
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
def test_whatever_breaks_runs_nothing(caller: Caller, options: dict[str, Any], arguments: str, says: str) -> None:
    """The call is rejected, and the run does not fail."""
    cleaner = Cleaner()
    [told] = cleaner.run(call(0, arguments), **options)
    assert says in told
    assert cleaner.ran == []


def test_the_calls_of_one_step_wait_together(caller: Caller) -> None:
    """Each is decided for itself."""
    cleaner = Cleaner()
    with caller.answering('drop {"table": "a"}'), caller.answering('drop {"table": "b"}', "denied"):
        told = cleaner.run(call(0, '{"table": "a"}'), call(1, '{"table": "b"}'))
    assert sorted(told) == ["drop was not run: denied by alice", "dropped a"]
    assert cleaner.ran == ["a"]


def test_an_approval_is_for_one_call(caller: Caller) -> None:
    """The same call again is requested again."""
    cleaner = Cleaner()
    with caller.answering('drop {"table": "a"}'):
        cleaner.run(call(0, '{"table": "a"}'))
    cleaner.ran.clear()
    with caller.answering('drop {"table": "a"}', "denied"):
        cleaner.run(call(0, '{"table": "a"}'))
    assert cleaner.ran == []


def test_a_yes_does_not_hold_for_the_tool(caller: Caller) -> None:
    """A later call of the same run is requested for itself, with the same arguments and with others."""
    cleaner = Cleaner()
    same, other = call(1, '{"table": "a"}'), call(2, '{"table": "b"}')

    def once(found: str) -> None:
        caller.desk.decide(found)
        again.enter_context(caller.answering('drop {"table": "a"}', "denied"))

    first, last = caller.answering('drop {"table": "a"}', once), caller.answering('drop {"table": "b"}', "denied")
    with contextlib.ExitStack() as again, last, first:
        cleaner.run(call(0, '{"table": "a"}'), later=[same, other])
    assert cleaner.ran == ["a"]


def test_a_tool_of_a_namespace_is_named_with_it(caller: Caller) -> None:
    """Another one can have the same name."""
    cleaner = Cleaner()
    made = call(0, '{"table": "a"}', "drop_old").model_copy(update={"namespace": "archive"})
    with caller.answering('archive.drop_old {"table": "a"}'):
        cleaner.run(made)
    assert cleaner.ran == ["old a"]


def test_a_call_of_a_hosted_server_is_shown_with_the_server(caller: Caller) -> None:
    """It runs elsewhere: the run goes on with the answer."""
    cleaner = Cleaner()
    made = McpApprovalRequest(id="m", name="purge", server_label="warehouse", arguments="{}", type="mcp_approval_request")
    with caller.answering("purge {}", "denied"):
        cleaner.run(made)
    assert caller.desk.one(caller.requested())["context"]["server"] == "warehouse"


def test_of_a_shell_the_whole_call_is_shown(caller: Caller) -> None:
    """It has no arguments of its own."""
    cleaner = Cleaner()
    action = f"shell {json.dumps(shell('rm -rf /srv').model_dump(mode='json'))}"
    with caller.answering(action):
        assert cleaner.run(shell("rm -rf /srv")) == ["executed"]
    assert cleaner.ran == ["rm -rf /srv"]


def test_a_call_that_is_a_dict_is_shown_whole(caller: Caller) -> None:
    """The SDK has both forms."""
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
    result: Any = None
    options: Any = {"time_out": 5}
    with pytest.raises(UsageError, match="unknown option time_out="):
        asyncio.run(resolve_interruptions(result, **options))
