"""The real Pydantic AI, with its own function model: a call that requires approval runs after a person's, only."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from molecule_approve.errors import UsageError
from tests.watching import load_unwatched

if TYPE_CHECKING:
    from tests.callers import Caller

    from .pydantic_cleaner import Cleaner


@pytest.fixture(scope="module", autouse=True)
def _framework() -> None:
    load_unwatched("pydantic_ai")


@pytest.fixture
def cleaner() -> Cleaner:
    """An agent that may drop tables."""
    from .pydantic_cleaner import Cleaner

    return Cleaner()


def drops(table: str) -> tuple[str, dict[str, Any]]:
    """The model drops a table."""
    return "drop", {"table": table}


def test_an_approved_call_runs(caller: Caller, cleaner: Cleaner) -> None:
    """The approver sees the whole call, and who makes it."""
    with caller.answering('drop {"table": "users"}'):
        assert cleaner.run(drops("users"), reason="spring") == ["dropped users"]
    assert (cleaner.ran, cleaner.output) == (["users"], "done")
    row = caller.desk.one(caller.requested())
    assert (row["reason"], row["context"]["agent"], row["context"]["tool_call_id"]) == ("spring", "Cleaner", "call-0")


def test_a_denied_call_tells_the_model_why(caller: Caller, cleaner: Cleaner) -> None:
    """And does not run; the agent goes on."""
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
def test_whatever_breaks_runs_nothing(
    caller: Caller, cleaner: Cleaner, options: dict[str, Any], table: str, says: str
) -> None:
    """The call is denied, and the agent does not fail."""
    [told] = cleaner.run(drops(table), **options)
    assert says in told
    assert (cleaner.ran, cleaner.output) == ([], "done")


def test_the_calls_of_one_step_wait_together(caller: Caller, cleaner: Cleaner) -> None:
    """Each is decided for itself."""
    with caller.answering('drop {"table": "a"}'), caller.answering('drop {"table": "b"}', "denied"):
        told = cleaner.run(drops("a"), drops("b"))
    assert sorted(told) == ["drop was not run: denied by alice", "dropped a"]
    assert cleaner.ran == ["a"]


@pytest.mark.parametrize("tables", [("a", "b"), ("b", "a")])
def test_of_two_calls_under_one_id_a_denial_counts(caller: Caller, tables: tuple[str, str]) -> None:
    """The framework could not tell them apart: whichever comes first, neither runs on the other's approval."""
    from pydantic_ai import DeferredToolRequests
    from pydantic_ai.messages import ToolCallPart

    from molecule_approve.integrations.pydantic_ai import approval_by_person

    handler = approval_by_person().handler
    requests = DeferredToolRequests(approvals=[ToolCallPart("drop", {"table": table}, "call-0") for table in tables])

    class Context:
        agent = None

    context: Any = Context()
    with caller.answering('drop {"table": "a"}'), caller.answering('drop {"table": "b"}', "denied"):
        made: Any = handler(context, requests)
        results = asyncio.run(made)
    assert results.approvals["call-0"].kind == "tool-denied"
    assert caller.records()[-1]["outcome"] in {"granted", "denied"}


def test_calls_that_wait_for_something_else_are_left_alone(caller: Caller, cleaner: Cleaner) -> None:
    """The run ends with them, as it does without us."""
    from pydantic_ai import DeferredToolRequests

    assert cleaner.run(("later", {})) == []
    assert isinstance(cleaner.output, DeferredToolRequests)
    assert [call.tool_name for call in cleaner.output.calls] == ["later"]


def test_an_unknown_option_is_refused() -> None:
    """Where the capability is made."""
    from molecule_approve.integrations.pydantic_ai import approval_by_person

    options: Any = {"time_out": 5}
    with pytest.raises(UsageError, match="unknown option time_out="):
        approval_by_person(**options)
