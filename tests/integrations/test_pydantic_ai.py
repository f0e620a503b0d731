"""The real Pydantic AI, with its own function model: a call that requires approval runs after a person's, only."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from pydantic_ai import Agent, DeferredToolRequests
from pydantic_ai.exceptions import CallDeferred
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart, ToolReturnPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

from molecule_approve.errors import UsageError
from molecule_approve.integrations.pydantic_ai import approval_by_person

if TYPE_CHECKING:
    from tests.callers import Caller


class Cleaner:
    """An agent that may drop tables, and what it ran."""

    def __init__(self) -> None:
        self.ran: list[str] = []
        self.output: object = None

    def run(self, *calls: ToolCallPart, **options: Any) -> list[str]:  # noqa: ANN401 - also what makes no sense
        """Let the model make these calls in one step; what it was told of them."""

        def model(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
            return ModelResponse(parts=list(calls) if len(messages) == 1 else [TextPart("done")])

        agent = Agent(
            FunctionModel(model),
            name="Cleaner",
            output_type=[str, DeferredToolRequests],
            capabilities=[approval_by_person(**options)],
        )

        @agent.tool_plain(requires_approval=True)
        def drop(table: str) -> str:
            self.ran.append(table)
            return f"dropped {table}"

        @agent.tool_plain
        def later() -> str:
            raise CallDeferred

        result = asyncio.run(agent.run("clean up"))
        self.output = result.output
        parts = [part for message in result.all_messages() for part in message.parts]
        return [str(part.content) for part in parts if isinstance(part, ToolReturnPart)]


def drops(table: str, number: int = 0) -> ToolCallPart:
    """The model drops a table."""
    return ToolCallPart("drop", {"table": table}, f"call-{number}")


def test_an_approved_call_runs(caller: Caller) -> None:
    """The approver sees the whole call, and who makes it."""
    cleaner = Cleaner()
    with caller.answering('drop {"table": "users"}'):
        assert cleaner.run(drops("users"), reason="spring") == ["dropped users"]
    assert (cleaner.ran, cleaner.output) == (["users"], "done")
    row = caller.desk.one(caller.requested())
    assert (row["reason"], row["context"]["agent"], row["context"]["tool_call_id"]) == ("spring", "Cleaner", "call-0")


def test_a_denied_call_tells_the_model_why(caller: Caller) -> None:
    """And does not run; the agent goes on."""
    cleaner = Cleaner()
    with caller.answering('drop {"table": "users"}', lambda found: caller.desk.decide(found, "denied", comment="no")):
        assert cleaner.run(drops("users")) == ["drop was not run: denied by alice: no"]
    assert (cleaner.ran, cleaner.output) == ([], "done")


@pytest.mark.parametrize(
    ("options", "table", "says"),
    [
        ({"timeout": 1}, "users", "timed out"),
        ({"platform_url": "http://127.0.0.1:9", "workspace_id": "w", "timeout": 1}, "users", "gate failed"),
        ({"transport": "pigeon"}, "users", "gate failed"),
        ({"context": 5}, "users", "internal error"),
        ({}, "x" * 5_000, "4096"),
    ],
    ids=["late", "away", "misspelt value", "context that is none", "too long"],
)
def test_whatever_breaks_runs_nothing(caller: Caller, options: dict[str, Any], table: str, says: str) -> None:
    """The call is denied, and the agent does not fail."""
    cleaner = Cleaner()
    [told] = cleaner.run(drops(table), **options)
    assert says in told
    assert (cleaner.ran, cleaner.output) == ([], "done")


def test_the_calls_of_one_step_wait_together(caller: Caller) -> None:
    """Each is decided for itself."""
    cleaner = Cleaner()
    with caller.answering('drop {"table": "a"}'), caller.answering('drop {"table": "b"}', "denied"):
        told = cleaner.run(drops("a"), drops("b", 1))
    assert sorted(told) == ["drop was not run: denied by alice", "dropped a"]
    assert cleaner.ran == ["a"]


@pytest.mark.parametrize("tables", [("a", "b"), ("b", "a")])
def test_of_two_calls_under_one_id_a_denial_counts(caller: Caller, tables: tuple[str, str]) -> None:
    """The framework could not tell them apart: whichever comes first, neither runs on the other's approval."""
    handler = approval_by_person().handler
    requests = DeferredToolRequests(approvals=[drops(table) for table in tables])

    class Context:
        agent = None

    context: Any = Context()
    with caller.answering('drop {"table": "a"}'), caller.answering('drop {"table": "b"}', "denied"):
        made: Any = handler(context, requests)
        results = asyncio.run(made)
    assert results.approvals["call-0"].kind == "tool-denied"
    assert caller.records()[-1]["outcome"] in {"granted", "denied"}


def test_calls_that_wait_for_something_else_are_left_alone(caller: Caller) -> None:
    """The run ends with them, as it does without us."""
    cleaner = Cleaner()
    assert cleaner.run(ToolCallPart("later", {}, "call-0")) == []
    assert isinstance(cleaner.output, DeferredToolRequests)
    assert [call.tool_name for call in cleaner.output.calls] == ["later"]


def test_an_unknown_option_is_refused() -> None:
    """Where the capability is made."""
    options: Any = {"time_out": 5}
    with pytest.raises(UsageError, match="unknown option time_out="):
        approval_by_person(**options)
