"""Decisions under a policy: who may decide, who counts, and what ends a request."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from molecule_approve.errors import UsageError
from molecule_approve.server.run import Running
from molecule_approve.settings.policy_yaml import parse_policy
from tests.server.team import Team

if TYPE_CHECKING:
    from tests.server.conftest import OpenDesk
    from tests.server.desk import Desk

POLICY = b"""
version: 1
groups: {dba: [alice, bo, cy]}
rules:
  - {name: no-prod, match: {action: "*prod*"}, outcome: deny, message: use the pipeline}
  - {name: two, match: {action: "drop*"}, approvers: ["group:dba"], approvals: 2}
  - {name: explained, match: {action: "tidy*"}, comment: required, reason: required}
  - {name: signed, match: {action: "sign*"}, presence: signature}
  - {name: own, match: {action: "own*"}, self_approval: true}
  - {name: many, match: {action: "many*"}, approvals: 9}
  - {name: brief, match: {action: "brief*"}, expires_in: 10m}
"""

Decide = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def ruled(open_desk: OpenDesk) -> Desk:
    """A desk at a server with the policy; its approvers are alice, bo, cy and di."""
    desk = open_desk(policy=parse_policy(POLICY, Path("policy.yaml")))
    for name in ("bo", "cy", "di"):
        desk.server.add_approver(name)
    return desk


@pytest.fixture
def decide(ruled: Desk) -> Decide:
    """Decides as somebody, and gives the status and body of the answer."""

    def decided(name: str, approval_id: str, decision: str = "approved", **more: object) -> tuple[int, dict[str, Any]]:
        with ruled.client(ruled.session(name)) as client:
            answer = client.post(f"{ruled.path}/{approval_id}/decide", json={"decision": decision, **more})
            return answer.status_code, answer.json()

    return decided


def test_two_people_have_to_approve(ruled: Desk, decide: Decide) -> None:
    """The first approval counts, the same person's second one does not, and another person's ends it."""
    asked = ruled.ask("drop the table")
    waiting = {"approval_id": asked, "status": "pending", "approvals": {"have": 1, "need": 2}}
    assert decide("alice", asked) == (200, waiting)
    status, said = decide("alice", asked)
    assert (status, said["code"]) == (409, "already_decided")
    assert ruled.one(asked)["status"] == "pending"
    assert decide("bo", asked) == (200, {"approval_id": asked, "status": "approved"})
    assert (ruled.one(asked)["status"], ruled.one(asked)["decided_by"]) == ("approved", "bo")


def test_one_no_ends_it(ruled: Desk, decide: Decide) -> None:
    """After an approval, another person's denial is final."""
    asked = ruled.ask("drop the table")
    decide("alice", asked)
    assert decide("bo", asked, "denied") == (200, {"approval_id": asked, "status": "denied"})
    assert decide("cy", asked)[1]["code"] == "ended"


def test_who_is_not_named_may_not_decide(ruled: Desk, decide: Decide) -> None:
    """Neither approve nor deny."""
    asked = ruled.ask("drop the table")
    for decision in ("approved", "denied"):
        status, said = decide("di", asked, decision)
        assert (status, said["code"]) == (403, "not_eligible")


def retract(ruled: Desk, name: str, approval_id: str) -> tuple[int, dict[str, Any]]:
    """Retract a decision: the status and body of the answer."""
    with ruled.client(ruled.session(name)) as client:
        answer = client.post(f"{ruled.path}/{approval_id}/retract")
        return answer.status_code, answer.json()


def test_an_approval_can_be_retracted_until_the_last_one_falls(ruled: Desk, decide: Decide) -> None:
    """It counts no longer, and may be given again; nothing is retracted twice, or after the end."""
    asked = ruled.ask("drop the table")
    decide("alice", asked)
    assert retract(ruled, "alice", asked)[1]["approvals"] == {"have": 0, "need": 2}
    assert retract(ruled, "alice", asked)[1]["code"] == "nothing_to_retract"
    assert decide("bo", asked)[1]["approvals"] == {"have": 1, "need": 2}
    assert decide("alice", asked)[1]["status"] == "approved"
    assert retract(ruled, "alice", asked)[1]["code"] == "ended"
    assert retract(ruled, "alice", "unknown")[0] == 404


def test_a_rule_that_denies_ends_the_request_at_once(ruled: Desk, decide: Decide) -> None:
    """It is denied by the rule, with its message, and nobody can approve it."""
    asked = ruled.ask("change prod")
    found = ruled.one(asked)
    assert (found["status"], found["decided_by"], found["comment"]) == ("denied", "policy:no-prod", "use the pipeline")
    assert found["decisions"] == []
    assert decide("alice", asked)[1]["code"] == "ended"


def test_a_rule_can_want_a_reason_and_a_comment(ruled: Desk, decide: Decide) -> None:
    """A request without a reason, or with a blank one, is refused, and so is a decision without a comment."""
    for reason in ("", " \t"):
        refused = ruled.asker.post(ruled.path, json={"action": "tidy up", "reason": reason})
        assert (refused.status_code, refused.json()["code"]) == (422, "reason_required")
    asked = ruled.ask("tidy up", reason="it is full")
    assert decide("di", asked)[1]["code"] == "comment_required"
    assert decide("di", asked, comment="fine")[1]["status"] == "approved"
    assert [(one["comment"], one["proof"]) for one in ruled.one(asked)["decisions"]] == [("fine", "session")]


@pytest.mark.parametrize(("wanted", "given"), [(60, 60), (3_600, 600)])
def test_a_rule_shortens_the_time_and_never_prolongs_it(ruled: Desk, wanted: int, given: int) -> None:
    """A minute stays a minute, and an hour becomes the rule's ten minutes."""
    found = ruled.one(ruled.ask("brief", expires_in=wanted))
    made, ends = (datetime.fromisoformat(found[name]) for name in ("created_at", "expires_at"))
    assert abs((ends - made).total_seconds() - given) < 5


def test_a_rule_that_nobody_could_meet_refuses_the_request(ruled: Desk) -> None:
    """Nine approvals, and four approvers."""
    refused = ruled.asker.post(ruled.path, json={"action": "many"})
    assert (refused.status_code, refused.json()["code"]) == (422, "policy")
    assert "asks for 9 approvals, and only 4 people could give one" in refused.json()["error"]


def test_a_rule_that_wants_a_signature_takes_no_bare_token(ruled: Desk, decide: Decide) -> None:
    """A token alone can deny, and not approve."""
    asked = ruled.ask("sign this")
    status, said = decide("alice", asked)
    assert (status, said["code"]) == (403, "presence_required")
    assert decide("alice", asked, "denied")[1]["status"] == "denied"


def test_a_decision_of_an_unknown_request_is_refused(ruled: Desk, decide: Decide) -> None:
    """Also with a proof, whatever it says."""
    assert decide("alice", "unknown", statement="{}", proof={})[0] == 404


def _desk_view(ruled: Desk, name: str, path: str) -> dict[str, Any]:
    """What the page of this approver gets."""
    with ruled.client(ruled.session(name)) as client:
        found: dict[str, Any] = client.get(path).json()
        return found


def test_the_page_knows_what_a_request_is_to_its_approver(ruled: Desk, decide: Decide) -> None:
    """Whether the rule names them, what they have decided, and whether it is their own; the list says how far it is."""
    asked, mine = ruled.ask("drop the table"), ruled.ask_as("bo", action="drop it")
    decide("alice", asked)
    for name, expected in (("alice", ("approved", True)), ("bo", (None, True)), ("di", (None, False))):
        found = _desk_view(ruled, name, f"/desk/requests/{asked}")
        assert ((found["mine"], found["eligible"]), found["own"]) == (expected, False), name
    rows = _desk_view(ruled, "bo", "/desk/list")["pending"]
    assert [row["approvals"] for row in rows] == [{"have": 1, "need": 2}, {"have": 0, "need": 2}]
    assert [row["own"] for row in rows] == [False, True]
    assert _desk_view(ruled, "bo", f"/desk/requests/{mine}")["own"] is True


def test_a_rule_can_let_people_decide_their_own(ruled: Desk, decide: Decide) -> None:
    """Also where the server leaves that to others: the page offers it, and it counts."""
    asked = ruled.ask_as("bo", action="own it")
    assert _desk_view(ruled, "bo", f"/desk/requests/{asked}")["own"] is False
    assert decide("bo", asked)[1]["status"] == "approved"


def test_nobody_counts_for_what_they_asked(ruled: Desk, decide: Decide) -> None:
    """In any spelling of the name; others' approvals are enough."""
    asked = ruled.ask_as("Alice", action="drop the table")
    assert decide("alice", asked)[1]["code"] == "own_request"
    decide("bo", asked)
    assert decide("cy", asked)[1]["status"] == "approved"


def test_a_signed_decision_of_an_ended_request_is_told_how_it_ended(ruled: Desk, decide: Decide) -> None:
    """Whatever the statement says; and a statement without its proof is refused."""
    asked = ruled.ask("drop the table")
    decide("alice", asked, "denied")
    assert decide("bo", asked, statement="{}", proof={})[1]["code"] == "ended"
    assert decide("bo", asked, statement="{}")[0] == 422


def test_what_counts_is_announced_at_every_server(postgres_url: str) -> None:
    """An approval that is not the last one, and its retraction, reach the streams of another server of the database."""
    policy = parse_policy(POLICY, Path("policy.yaml"))
    with Team(postgres_url) as team, ExitStack() as stack:
        first, second = (stack.enter_context(Running(replace(team.plan(), policy=policy))) for _ in range(2))
        desk = team.desk(first)
        desk.server.add_approver("bo")
        with team.at(second).listening() as stream:
            asked = desk.ask("drop the table")
            desk.decide(asked)
            assert desk.decider.post(f"{desk.path}/{asked}/retract").status_code == 200
            assert stream.events(3) == ["APPROVAL_REQUESTED", "APPROVAL_PROGRESS", "APPROVAL_PROGRESS"]


def test_how_far_a_request_is_without_a_rule(desk: Desk) -> None:
    """Nothing while it waits, and one approval once it has it."""
    asked = desk.ask("deploy")
    assert desk.one(asked)["approvals"]["have"] == 0
    desk.decide(asked)
    assert desk.one(asked)["approvals"]["have"] == 1


def test_only_approvals_that_count_are_counted(ruled: Desk, decide: Decide) -> None:
    """Who was revoked is listed with the decision, and is no more than that."""
    asked = ruled.ask("drop the table")
    decide("bo", asked)
    with ruled.server.opened() as store, store.write() as transaction:
        transaction.credentials.revoke_approver("bo", "2026-11-28T22:00:00.000000Z")
    found = ruled.one(asked)
    assert ([one["by"] for one in found["decisions"]], found["approvals"]["have"]) == (["bo"], 0)


@pytest.mark.parametrize("name", ["Policy:no-prod", "Group:dba", "user:ana"])
def test_no_approver_has_a_name_that_a_rule_uses(ruled: Desk, name: str) -> None:
    """It would look like a denial by the policy, or like a group whose members may approve."""
    with pytest.raises(UsageError, match=f"begins with {name.partition(':')[0].casefold()}:"):
        ruled.server.add_approver(name)
