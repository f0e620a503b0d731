"""The real LangChain: the tool says what the platform's own tool said, and the middleware runs nothing unapproved."""

from __future__ import annotations

import asyncio
import contextlib
import typing
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import pytest

from molecule_approve.errors import UsageError
from tests.integration import behaviours as does
from tests.pages import SNIPPETS
from tests.watching import load_unwatched

if TYPE_CHECKING:
    from langchain.agents.middleware import AgentMiddleware, ToolCallRequest

    from molecule_approve.integrations.langchain import ApprovalMiddleware
    from tests.callers import Caller
    from tests.integration.fake_platform import Exchange, FakePlatform
    from tests.integration.raw_http import Reply

    from .langchain_agent import Agent, InFront

ASKED = {"action": "drop it", "reason": "spring"}
Asynchronous = bool
BOTH = pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])


@pytest.fixture(scope="module", autouse=True)
def _framework() -> None:
    load_unwatched("langchain.agents")


def asked(asynchronous: Asynchronous) -> dict[str, Any]:
    """What the tool answers."""
    from molecule_approve.integrations.langchain import request_approval

    if asynchronous:
        return typing.cast("dict[str, Any]", asyncio.run(request_approval.ainvoke(ASKED)))
    return typing.cast("dict[str, Any]", request_approval.invoke(ASKED))


# --- the tool -------------------------------------------------------------------------------------------------------------

# What the earlier tool returned, read in its source: Molecule-AI/molecule-core, workspace/builtin_tools/approval.py, at
# commit 0506e0ca.
# `ID` is the request's. Where nobody decided, it repeated the platform's row as if a person had denied.
EARLIER: dict[str, dict[str, object]] = {
    "approved": {"approved": True, "approval_id": "ID", "decided_by": "alice"},
    "denied": {"approved": False, "approval_id": "ID", "decided_by": "alice", "message": "Denied by human"},
    "timeout": {"approved": False, "approval_id": "ID", "error": "Timed out after 1.0s waiting for human decision"},
    "expired": {"approved": False, "approval_id": "ID", "decided_by": "auto-expired", "message": "Denied by human"},
    "withdrawn": {"approved": False, "approval_id": "ID", "decided_by": "withdrawn", "message": "Denied by human"},
    "not permitted": {
        "approved": False,
        "error": "RBAC: this workspace does not have the 'approve' permission. Current roles: ['read-only']",
    },
    "refused": {"approved": False, "error": "Failed to create request: 422"},
    "unreachable": {"approved": False, "error": "Failed to request approval: All connection attempts failed"},
}
OTHER_WORDS: dict[str, str] = {
    "expired": "expired: nobody decided in time",
    "withdrawn": "withdrawn by the requester",
    "not permitted": "RBAC: the workspace's roles (read-only) do not grant 'approve'",
    "refused": "Failed to request approval: gate failed: ",
    "unreachable": "Failed to request approval: gate failed: ",
}
"""Where the text is another one: it begins like this. The keys are the same, and so is everything else."""


def _expire(exchange: Exchange) -> Reply | None:
    """The platform does so by itself, after ten minutes."""
    exchange.platform.change(exchange.platform.rows[0], "denied", "auto-expired")
    return exchange.default()


def situation(caller: Caller, platform: FakePlatform, outcome: str) -> AbstractContextManager[object]:
    """Make this outcome."""
    match outcome:
        case "approved" | "denied" | "withdrawn":
            caller.set(PLATFORM_URL="local")
            answer: Any = caller.desk.withdraw if outcome == "withdrawn" else outcome
            return caller.answering("drop it", answer)
        case "timeout":
            caller.set(APPROVAL_TIMEOUT="1")
        case "expired":
            platform.on("list", _expire)
        case "not permitted":
            caller.configure("rbac:\n  roles: [read-only]\n")
        case "refused":
            platform.on("submit", does.status(422))
        case "unreachable":
            platform.leave()
            caller.set(APPROVAL_TIMEOUT="1")
    return contextlib.nullcontext()


@BOTH
@pytest.mark.parametrize("outcome", EARLIER)
def test_it_answers_as_the_earlier_tool_did(
    caller: Caller, platform: FakePlatform, outcome: str, asynchronous: Asynchronous
) -> None:
    """The same keys in every outcome, and the same values; but no text says that a person denied where nobody did."""
    with situation(caller, platform, outcome):
        found = asked(asynchronous)
    earlier = {key: found.get(key) if value == "ID" else value for key, value in EARLIER[outcome].items()}
    if outcome in OTHER_WORDS:
        said = "message" if "message" in earlier else "error"
        assert found[said].startswith(OTHER_WORDS[outcome])
        earlier[said] = found[said]
    assert found == earlier
    assert all(isinstance(value, str | bool) for value in found.values())


def test_a_comment_reaches_the_model(caller: Caller) -> None:
    """The earlier tool's platform had none; hidden characters are made visible."""
    with caller.answering("drop it", lambda found: caller.desk.decide(found, "denied", comment="not today\x1b[2J")):
        assert asked(asynchronous=True)["message"] == r"Denied by human: not today\x1b[2J"


def test_a_failure_after_the_request_keeps_its_id(caller: Caller, platform: FakePlatform) -> None:
    """As the earlier tool did for what it had requested."""
    platform.on("list", does.each_row(action="another"))
    caller.set(APPROVAL_USE_WEBSOCKET="false", APPROVAL_POLL_INTERVAL="1", APPROVAL_TIMEOUT="5")
    found = asked(asynchronous=False)
    assert (found["approved"], set(found)) == (False, {"approved", "approval_id", "error"})


def test_the_model_is_offered_the_earlier_tool(caller: Caller) -> None:
    """Name and arguments, both required; and a description that says when."""
    from molecule_approve.integrations.langchain import request_approval

    assert request_approval.name == "request_approval"
    schema = request_approval.get_input_jsonschema()
    assert {name: entry["type"] for name, entry in schema["properties"].items()} == {"action": "string", "reason": "string"}
    assert schema["required"] == ["action", "reason"]
    assert "before" in request_approval.description


# --- the middleware -------------------------------------------------------------------------------------------------------


def gate(gated: Any = None, **options: Any) -> ApprovalMiddleware:  # noqa: ANN401 - also what makes no sense
    """Our middleware."""
    from molecule_approve.integrations.langchain import ApprovalMiddleware

    return ApprovalMiddleware(gated, **options)


def agent_behind(*middleware: AgentMiddleware[Any, Any, Any], asynchronous: bool) -> Agent:
    """An agent with two tools."""
    from .langchain_agent import Agent

    return Agent(*middleware, asynchronous=asynchronous)


@BOTH
def test_an_approved_call_runs_and_another_tool_is_not_asked_about(caller: Caller, asynchronous: Asynchronous) -> None:
    """The approver sees the whole call; the request has its id."""
    agent = agent_behind(gate(["drop"], reason="spring"), asynchronous=asynchronous)
    with caller.answering('drop {"table": "users"}'):
        messages = agent.run(("drop", {"table": "users"}), ("look", {"table": "users"}))
    assert [(message.content, message.status) for message in messages] == [
        ("dropped users", "success"),
        ("empty", "success"),
    ]
    assert sorted(agent.ran) == ["look users", "users"]
    row = caller.desk.one(caller.requested())
    assert (row["reason"], row["context"]["agent"], row["context"]["tool_call_id"]) == ("spring", "LangChain", "call-0")


@BOTH
def test_a_denied_call_gives_the_model_an_error_with_the_reason(caller: Caller, asynchronous: Asynchronous) -> None:
    """And does not run; the agent goes on."""
    agent = agent_behind(gate(), asynchronous=asynchronous)
    with caller.answering('drop {"table": "users"}', lambda found: caller.desk.decide(found, "denied", comment="too early")):
        [message] = agent.run(("drop", {"table": "users"}))
    assert (message.content, message.status) == ("drop was not run: denied by alice: too early", "error")
    assert (message.name, message.tool_call_id, agent.ran) == ("drop", "call-0", [])


@BOTH
@pytest.mark.parametrize(
    ("options", "arguments", "says"),
    [
        ({"timeout": 1}, {"table": "users"}, "timed out"),
        ({"platform_url": "http://127.0.0.1:9", "workspace_id": "w", "timeout": 1}, {"table": "users"}, "gate failed"),
        ({"transport": "pigeon"}, {"table": "users"}, "gate failed"),
        ({"context": 5}, {"table": "users"}, "internal error"),
        ({}, {"table": "x" * 5_000}, "4096"),
        ({}, {"table": float("nan")}, "cannot be shown"),
        ({}, {"table": {1, 2}}, "cannot be shown"),
    ],
    ids=["late", "away", "misspelt value", "context that is none", "too long", "not a number", "a set"],
)
def test_whatever_breaks_runs_nothing(
    caller: Caller, options: dict[str, Any], arguments: dict[str, Any], says: str, asynchronous: Asynchronous
) -> None:
    """The model is told, and the agent does not fail."""
    agent = agent_behind(gate(["drop"], **options), asynchronous=asynchronous)
    [message] = agent.run(("drop", arguments))
    assert (message.status, agent.ran) == ("error", [])
    assert says in str(message.content)


def test_each_call_is_a_request_of_its_own(caller: Caller) -> None:
    """Two calls of one step, one approved and one denied."""
    agent = agent_behind(gate(), asynchronous=True)
    with caller.answering('drop {"table": "a"}'), caller.answering('drop {"table": "b"}', "denied"):
        messages = agent.run(("drop", {"table": "a"}), ("drop", {"table": "b"}))
    assert [message.status for message in messages] == ["success", "error"]
    assert agent.ran == ["a"]


def in_front(change: Callable[[ToolCallRequest], ToolCallRequest]) -> InFront:
    """Middleware that changes the call first."""
    from .langchain_agent import InFront

    return InFront(change)


@BOTH
def test_the_tool_gets_the_arguments_that_the_approver_saw(caller: Caller, asynchronous: Asynchronous) -> None:
    """Not what somebody else who holds them made of them meanwhile."""
    front = in_front(lambda request: request)
    agent = agent_behind(front, gate(), asynchronous=asynchronous)

    def answer(approval_id: str) -> None:
        front.handed[0].tool_call["args"]["table"] = "users"
        caller.desk.decide(approval_id)

    with caller.answering('drop {"table": "scratch"}', answer):
        agent.run(("drop", {"table": "scratch"}))
    assert agent.ran == ["scratch"]


def renamed(request: ToolCallRequest) -> ToolCallRequest:
    """The same tool under another name."""
    return request.override(tool_call={**request.tool_call, "name": "look"})


@BOTH
@pytest.mark.parametrize("gated", ["drop", "look"])
def test_a_renamed_call_is_gated_by_either_name(caller: Caller, gated: str, asynchronous: Asynchronous) -> None:
    """The approver sees the tool that would run."""
    agent = agent_behind(in_front(renamed), gate([gated]), asynchronous=asynchronous)
    with caller.answering('drop {"table": "users"}', "denied"):
        agent.run(("drop", {"table": "users"}))
    assert agent.ran == []


def test_a_call_of_a_tool_that_there_is_not_is_requested_by_its_name(caller: Caller) -> None:
    """LangChain refuses it afterwards."""
    agent = agent_behind(gate(), asynchronous=False)
    with caller.answering("destroy {}"):
        [message] = agent.run(("destroy", {}))
    assert (message.status, agent.ran) == ("error", [])


def test_tools_are_no_names() -> None:
    """A function among the names would gate no tool, in silence; so would anything else that is no text."""
    from langchain_core.tools import tool

    def drop(table: str) -> str:
        return table

    for gated in ([drop], [tool(drop, description="Drop a table.")], ["drop", None], [b"drop"]):
        wrong: Any = gated
        with pytest.raises(UsageError, match="must be a list of names, not of") as found:
            gate(wrong)
        assert found.value.hint == "pass the tools' names"


def test_one_text_is_no_list_of_names() -> None:
    """Its letters would gate no tool."""
    with pytest.raises(UsageError, match="list of names") as found:
        gate("drop")
    assert found.value.hint == "pass ['drop']"


def test_an_unknown_option_is_refused() -> None:
    """Where the middleware is made."""
    options: Any = {"time_out": 5}
    with pytest.raises(UsageError, match="unknown option time_out="):
        gate(**options)


# --- docs/python-api.md ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("decision", ["approved", "denied"])
def test_the_example_of_the_page_gates_the_tool_and_offers_the_other(caller: Caller, decision: str) -> None:
    """The gated tool runs after an approval only; what the model requests of its own accord is another request."""
    from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
    from langchain_core.tools import tool

    from .langchain_agent import Model

    ran: list[str] = []

    @tool
    def drop(table: str) -> str:
        """Drop a table."""
        ran.append(table)
        return f"dropped {table}"

    calls = [{"name": "request_approval", "args": ASKED, "id": "0"}, {"name": "drop", "args": {"table": "users"}, "id": "1"}]
    said = [AIMessage("", tool_calls=[call]) for call in calls]
    names: dict[str, Any] = {"model": Model(messages=iter([*said, AIMessage("done")])), "drop": drop}
    exec(SNIPPETS["python-langchain"], names)
    with caller.answering("drop it", "denied"), caller.answering('drop {"table": "users"}', decision):
        found = names["agent"].invoke({"messages": [HumanMessage("clean up")]})
    told = [message.content for message in found["messages"] if isinstance(message, ToolMessage)]
    assert '"approved": false' in told[0]
    assert told[1] == ("dropped users" if decision == "approved" else "drop was not run: denied by alice")
    assert ran == (["users"] if decision == "approved" else [])
