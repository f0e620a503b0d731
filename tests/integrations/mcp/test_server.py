"""The MCP server, asked by the SDK's own client in the same process; the platform is the embedded server."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import pytest

from molecule_approve.integrations.mcp.requests import Bounds
from tests.callers import until
from tests.integration import behaviours as does

from .agent import Agent, Report, agent_of, cancelled, server_of

if TYPE_CHECKING:
    from mcp.client.client import ConnectMode

    from tests.callers import Caller
    from tests.integration.fake_platform import FakePlatform


def with_agent(body: Callable[[Agent], Awaitable[None]], bounds: Bounds = Bounds(), mode: ConnectMode = "legacy") -> None:  # noqa: B008 - a frozen value
    """Run a body with an agent of its own."""

    async def main() -> None:
        async with agent_of(server_of(bounds), mode) as agent:
            await body(agent)

    asyncio.run(main())


async def recorded(caller: Caller, outcome: str) -> None:
    """Return once the audit log says so."""
    await asyncio.to_thread(until, lambda: outcome in outcomes(caller))


async def seen(agent: Agent, approval_id: object, status: str) -> Report:
    """The report of get_approval, once it says this."""
    report: Report = {"status": None}
    while report["status"] != status:
        report = await agent.call("get_approval", id=approval_id)
    return report


def outcomes(caller: Caller) -> list[str]:
    """What the audit log says, in its order."""
    return [record["outcome"] for record in caller.records()]


# --- what is offered -------------------------------------------------------------------------------------------------------


def test_there_are_four_tools_and_none_of_them_decides(caller: Caller) -> None:
    """Their names and arguments, each of them; none names a platform, a workspace, a token or a decision."""

    async def body(agent: Agent) -> None:
        tools = (await agent.client.list_tools()).tools
        assert {tool.name: set(tool.input_schema["properties"]) for tool in tools} == {
            "request_approval": {"action", "reason", "context", "timeout", "wait_seconds"},
            "wait_for_approval": {"id", "wait_seconds"},
            "get_approval": {"id"},
            "withdraw_approval": {"id"},
        }
        assert all(tool.input_schema["additionalProperties"] is False for tool in tools)
        assert {tool.input_schema["properties"].get("wait_seconds", {"maximum": 50})["maximum"] for tool in tools} == {50}

    with_agent(body)


def test_the_server_offers_nothing_but_tools(caller: Caller) -> None:
    """No resources and no prompts."""

    async def body(agent: Agent) -> None:
        capabilities = agent.client.server_capabilities
        assert capabilities is not None
        assert (capabilities.resources, capabilities.prompts) == (None, None)
        assert capabilities.tools is not None

    with_agent(body)


def test_a_call_waits_50_seconds_at_most_and_reports_progress_every_10() -> None:
    """And sixteen requests may be open at once."""
    assert Bounds() == (50, 10, 16, 256)


# --- outcomes --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["legacy", "auto"])
def test_a_yes_is_given_once(caller: Caller, mode: ConnectMode) -> None:
    """With the text that was approved; a second wait fails, and says that it was given before."""

    async def body(agent: Agent) -> None:
        with caller.answering("drop it", lambda found: caller.desk.decide(found, comment="go")):
            report = await agent.request("drop it", wait=15, context={"ticket": "OPS-12", "tables": 3})
        assert (report["allowed"], report["status"], report["approved_action"]) == (True, "approved", "drop it")
        assert (report["decided_by"], report["message"]) == ("alice", "approved by alice: go")
        row = caller.desk.one(report["id"])
        assert (row["reason"], row["context"]["ticket"], row["context"]["tables"]) == ("spring", "OPS-12", "3")
        looked = await agent.call("get_approval", id=report["id"])
        assert (looked["allowed"], looked["approved_action"], looked["status"]) == (False, None, "approved")
        again = await agent.wait(report["id"])
        assert (again["allowed"], again["approved_action"], again["status"]) == (False, None, "failed")
        assert all("you were given this approval before" in one["message"] for one in (looked, again))
        dropped = await agent.call("withdraw_approval", id=report["id"])
        assert (dropped["allowed"], dropped["status"]) == (False, "approved")

    with_agent(body, mode=mode)
    assert outcomes(caller) == ["initiated", "requested", "granted"]


def test_a_no_says_who_and_why(caller: Caller) -> None:
    """And it is recorded."""

    async def body(agent: Agent) -> None:
        with caller.answering("drop it", lambda found: caller.desk.decide(found, "denied", comment="not today")):
            report = await agent.request("drop it", wait=15)
        assert (report["allowed"], report["status"], report["approved_action"]) == (False, "denied", None)
        assert (report["decided_by"], report["comment"], report["action"]) == ("alice", "not today", "drop it")

    with_agent(body)
    assert outcomes(caller) == ["initiated", "requested", "denied"]


def test_nobody_decides(caller: Caller) -> None:
    """The request is withdrawn at its timeout."""

    async def body(agent: Agent) -> None:
        report = await agent.request("drop it", wait=15, timeout="1s")
        assert (report["allowed"], report["status"]) == (False, "timeout")
        assert re.fullmatch(r"timed out: nobody decided within [1-9] s", str(report["message"]))

    with_agent(body)
    assert outcomes(caller) == ["initiated", "requested", "timeout"]


def test_a_request_that_returned_at_once_is_waited_for_by_its_id(caller: Caller) -> None:
    """Until then it is pending; get_approval shows the approval, and only the wait uses it."""

    async def body(agent: Agent) -> None:
        asked = await agent.request("drop it")
        assert (asked["allowed"], asked["status"], asked["approved_action"]) == (False, "pending", None)
        assert asked["expires_at"] is not None
        caller.desk.decide(asked["id"])
        looked = await seen(agent, asked["id"], "approved")
        assert (looked["allowed"], looked["approved_action"]) == (False, None)
        assert looked["message"] == "approved by alice; call wait_for_approval to use it"
        found = await agent.wait(asked["id"])
        assert (found["allowed"], found["approved_action"]) == (True, "drop it")

    with_agent(body)


def test_two_waits_at_once_share_one_approval(caller: Caller) -> None:
    """One of them is allowed, whichever is first."""

    async def body(agent: Agent) -> None:
        asked = await agent.request("drop it")
        waits = asyncio.gather(agent.wait(asked["id"]), agent.wait(asked["id"]))
        caller.desk.decide(asked["id"])
        assert sorted(report["allowed"] for report in await waits) == [False, True]

    with_agent(body)


def test_many_requests_wait_at_once(caller: Caller) -> None:
    """Each gets its own decision."""

    async def body(agent: Agent) -> None:
        asked = await asyncio.gather(*(agent.request(f"drop {number}") for number in range(4)))
        waits = asyncio.gather(*(agent.wait(report["id"]) for report in asked))
        for number, report in enumerate(asked):
            caller.desk.decide(report["id"], "denied" if number == 2 else "approved")
        found = [(report["allowed"], report["approved_action"]) for report in await waits]
        assert found == [(True, "drop 0"), (True, "drop 1"), (False, None), (True, "drop 3")]

    with_agent(body)


# --- waiting ---------------------------------------------------------------------------------------------------------------


def test_a_call_returns_at_its_limit_however_long_it_may_wait(caller: Caller) -> None:
    """Pending, with the id; meanwhile progress was reported, and it rose."""
    progress: list[float] = []

    async def body(agent: Agent) -> None:
        report = await agent.call("request_approval", progress, action="drop it", reason="", wait_seconds=10**400)
        assert (report["status"], report["allowed"]) == ("pending", False)

    with_agent(body, Bounds(wait=0.6, progress=0.1))
    assert len(progress) >= 2
    assert progress == sorted(set(progress))


def test_a_platform_that_does_not_take_the_request_has_until_the_limit(caller: Caller, platform: FakePlatform) -> None:
    """Without an id nobody could wait for it again, so it is withdrawn."""
    platform.on("submit", does.hold)

    async def body(agent: Agent) -> None:
        report = await agent.request("drop it")
        assert (report["id"], report["status"], report["allowed"]) == (None, "withdrawn", False)
        assert report["message"] == "withdrawn: the platform did not take the request within 0.5 s"

    with_agent(body, Bounds(wait=0.5))


# --- withdrawing -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["legacy", "auto"])
def test_a_cancelled_request_is_withdrawn(caller: Caller, mode: ConnectMode) -> None:
    """Nobody can approve any more, and the record says why."""

    async def body(agent: Agent) -> None:
        await cancelled(caller, lambda: agent.request("drop it", wait=15))
        await recorded(caller, "withdrawn")
        found = await agent.wait(caller.requested())
        assert (found["allowed"], found["status"]) == (False, "withdrawn")
        assert found["message"] == "withdrawn: the call was cancelled"

    with_agent(body, mode=mode)
    assert caller.desk.one(caller.requested())["decided_by"] == "withdrawn"
    assert (caller.records()[-1]["outcome"], caller.records()[-1]["reason"]) == ("withdrawn", "the call was cancelled")


def test_a_cancelled_wait_withdraws_the_request(caller: Caller) -> None:
    """Also one that another call has made."""

    async def body(agent: Agent) -> None:
        asked = await agent.request("drop it")
        await cancelled(caller, lambda: agent.wait(asked["id"]))
        assert (await agent.wait(asked["id"]))["status"] == "withdrawn"

    with_agent(body)
    assert outcomes(caller) == ["initiated", "requested", "withdrawn"]


def test_the_agent_withdraws(caller: Caller) -> None:
    """Once it is withdrawn, it stays so."""

    async def body(agent: Agent) -> None:
        asked = await agent.request("drop it")
        for _ in range(2):
            report = await agent.call("withdraw_approval", id=asked["id"])
            assert (report["status"], report["message"]) == ("withdrawn", "withdrawn: the agent withdrew it")
        assert caller.desk.one(asked["id"])["decided_by"] == "withdrawn"

    with_agent(body)


def test_a_withdrawal_of_an_unused_approval_ends_it(caller: Caller) -> None:
    """It was redeemed, and reached nobody: no wait gives it any more, and the log says so."""

    async def body(agent: Agent) -> None:
        asked = await agent.request("drop it")
        caller.desk.decide(asked["id"])
        await seen(agent, asked["id"], "approved")
        for report in (await agent.call("withdraw_approval", id=asked["id"]), await agent.wait(asked["id"])):
            assert (report["allowed"], report["status"]) == (False, "withdrawn")
            assert report["message"] == "withdrawn: the agent withdrew it; the approval was not used"

    with_agent(body)
    assert outcomes(caller) == ["initiated", "requested", "granted", "failed"]
    assert caller.records()[-1]["action"] == "deliver"


def test_a_withdrawal_that_fails_says_so(caller: Caller, platform: FakePlatform) -> None:
    """The request may still be open, so it is not called withdrawn."""
    told: list[str] = []

    async def main() -> None:
        async with agent_of(server_of(told=told)) as agent:
            asked = await agent.request("drop it")
            platform.stop()
            report = await agent.call("withdraw_approval", id=asked["id"])
        assert (report["allowed"], report["status"]) == (False, "interrupted")
        assert report["message"].startswith("stopped: the agent withdrew it; it may still be open: ")

    asyncio.run(main())
    assert any(sentence.startswith("warning: ") for sentence in told)


def test_half_a_character_does_not_come_back(caller: Caller) -> None:
    """What cannot be written as UTF-8 would end the server, with every other request."""

    async def body(agent: Agent) -> None:
        report = await agent.request("drop \ud800")
        assert (report["allowed"], report["status"], report["action"]) == (False, "failed", "drop \ufffd")

    with_agent(body)


# --- clients ---------------------------------------------------------------------------------------------------------------


def test_what_a_client_leaves_open_is_withdrawn(caller: Caller) -> None:
    """And an approval that it has not fetched is recorded as one that reached nobody."""

    async def body(agent: Agent) -> None:
        first = await agent.request("drop it")
        caller.desk.decide(first["id"])
        await recorded(caller, "granted")
        await agent.request("drop more")

    with_agent(body)
    assert caller.desk.one(caller.requested())["decided_by"] == "withdrawn"
    ends = {record["resource"]: record for record in caller.records()}
    assert (ends["drop it"]["action"], ends["drop it"]["outcome"]) == ("deliver", "failed")
    assert (ends["drop more"]["outcome"], ends["drop more"]["reason"]) == ("withdrawn", "the MCP client went away")


def test_a_client_has_no_part_in_what_another_requested(caller: Caller) -> None:
    """Nor in any other request of this user: it is not told, waited for, used or withdrawn, approved or not."""
    foreign = caller.desk.ask("drop everything")
    caller.desk.decide(foreign)

    async def main() -> None:
        server = server_of()
        async with agent_of(server) as one, agent_of(server) as other:
            asked = await one.request("drop it")
            for approval_id in (asked["id"], foreign, "", "x" * 200):
                for tool in ("wait_for_approval", "get_approval", "withdraw_approval"):
                    report = await other.call(tool, id=approval_id)
                    assert (report["allowed"], report["status"], report["id"]) == (False, "failed", None)
                    assert report["message"].startswith(f"gate failed: this client made no request {approval_id[:80]!r}; ")
            caller.desk.decide(asked["id"])
            assert (await one.wait(asked["id"]))["allowed"] is True

    asyncio.run(main())
    assert caller.desk.redeem(foreign).status_code == 200


def test_identity_and_platform_are_those_of_the_start(caller: Caller) -> None:
    """What the environment says later changes nothing."""

    async def body(agent: Agent) -> None:
        caller.set(PLATFORM_URL="http://127.0.0.1:9", WORKSPACE_ID="other", MOLECULE_TOKEN="other")
        asked = await agent.request("drop it")
        assert caller.desk.one(asked["id"])["workspace_id"] == caller.desk.workspace_id

    with_agent(body)


def test_the_approver_sees_which_program_requests(caller: Caller) -> None:
    """By the name that the client gave when it connected; the agent cannot give another one."""

    async def body(agent: Agent) -> None:
        asked = await agent.request("drop it")
        assert caller.desk.one(asked["id"])["context"]["agent"].startswith("mcp ")
        report = await agent.request("drop it", context={"agent": "a person"})
        assert (report["allowed"], report["status"]) == (False, "failed")
        assert "context key 'agent'" in report["message"]

    with_agent(body)


def test_an_agent_floods_nobody(caller: Caller) -> None:
    """Of so many open requests at once another one is refused, and what is over is forgotten after a while."""

    async def body(agent: Agent) -> None:
        asked = [await agent.request(f"drop {number}") for number in range(2)]
        report = await agent.request("one more")
        assert (report["status"], report["id"]) == ("failed", None)
        assert report["message"].startswith("gate failed: 2 requests of this client are open")
        for one in asked:
            await agent.call("withdraw_approval", id=one["id"])
        await agent.request("one more")
        assert "made no request" in (await agent.call("get_approval", id=asked[0]["id"]))["message"]
        assert (await agent.call("get_approval", id=asked[1]["id"]))["status"] == "withdrawn"

    with_agent(body, Bounds(open=2, kept=2))


# --- arguments -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"action": ""}, "the action is empty"),
        ({"action": 7}, "action= must be a str, not int"),
        ({"action": "x" * 5000}, "the action has 5000 characters"),
        ({"reason": None}, "reason= must be a str"),
        ({"context": "a=b"}, "context= must be a mapping, not str"),
        ({"context": {"user": "root"}}, "context key 'user'"),
        ({"context": {"a": "x" * 70_000}}, "or a hash into context="),
        ({"timeout": "soon"}, "'soon' is not a duration"),
        ({"timeout": 0.5}, "out of range"),
        ({"timeout": 10**400}, "timeout= is too large a number of seconds"),
        ({"wait_seconds": "long"}, "wait_seconds= must be a number, not str"),
        ({"wait_seconds": True}, "wait_seconds= must be a number, not bool"),
        ({"platform_url": "http://127.0.0.1:9"}, "request_approval: unknown argument 'platform_url'"),
    ],
)
def test_an_odd_argument_is_a_no(caller: Caller, given: dict[str, Any], says: str) -> None:
    """A report with a sentence that names it; nothing is requested."""

    async def body(agent: Agent) -> None:
        report = await agent.call("request_approval", **{"action": "x", "reason": "", **given})
        assert (report["allowed"], report["status"], report["id"]) == (False, "failed", None)
        assert says in report["message"]

    with_agent(body)
    assert caller.records() == []


def test_a_missing_argument_is_a_no(caller: Caller) -> None:
    """Named, with those that there are."""

    async def body(agent: Agent) -> None:
        report = await agent.call("wait_for_approval")
        assert report["message"] == "gate failed: wait_for_approval: id= is missing; it takes id, wait_seconds"

    with_agent(body)


def test_a_wrong_argument_of_a_wait_withdraws_nothing(caller: Caller) -> None:
    """The agent can call again."""

    async def body(agent: Agent) -> None:
        asked = await agent.request("drop it")
        report = await agent.call("wait_for_approval", id=asked["id"], wait_seconds="long")
        assert "wait_seconds= must be a number" in report["message"]
        assert (await agent.call("get_approval", id=asked["id"]))["status"] == "pending"

    with_agent(body)


def test_there_is_no_other_tool(caller: Caller) -> None:
    """An error of the protocol."""
    from mcp.shared.exceptions import MCPError

    async def body(agent: Agent) -> None:
        with pytest.raises(MCPError, match="there is no tool 'approve'"):
            await agent.client.session.call_tool("approve", {})

    with_agent(body)


def test_roles_hold_here_too(caller: Caller) -> None:
    """A workspace that may not request is told so."""
    caller.configure("rbac:\n  roles: [read-only]\n")

    async def body(agent: Agent) -> None:
        assert (await agent.request("drop it"))["status"] == "not_permitted"

    with_agent(body)
