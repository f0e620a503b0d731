"""Whose approvals count: each way to count twice, or without a right, against both databases; and random walks over all."""

from __future__ import annotations

import random
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from molecule_approve.clock import utc_now
from molecule_approve.model import Status
from molecule_approve.server.access import Approver
from molecule_approve.server.bodies import DecisionBody
from molecule_approve.server.credentials import opened
from molecule_approve.server.database.sqlite import SqliteStore
from molecule_approve.server.outbox import record_of
from molecule_approve.server.refusals import RefusedError
from molecule_approve.settings.policy_yaml import parse_policy
from tests.server.electing import Poll, Walk

if TYPE_CHECKING:
    from collections.abc import Iterator

    from molecule_approve.paths import Places
    from molecule_approve.policy.approval_rules import Policy
    from molecule_approve.server.database.interface import Store
    from tests.server.postgres import NewDatabase

BOTH_DATABASES = True


@pytest.fixture
def store(server_places: Places, new_database: NewDatabase) -> Iterator[Store]:
    """An empty database, open."""
    with ExitStack() as stack:
        database = stack.enter_context(new_database())
        yield stack.enter_context(opened(server_places, database=database, replica_id="one"))


def test_who_is_revoked_and_added_again_has_decided_nothing(store: Store) -> None:
    """The old approval counts no longer; whoever has the name now decides anew."""
    poll = Poll(store, "two", "bot")
    assert poll.decide("bo", approves=True) == "counted"
    poll.revoke("bo")
    poll.add("Bo")
    assert poll.standing().counting == []
    assert poll.decide("cy", approves=True) == "counted"
    assert poll.decide("bo", approves=True) == "approved"
    assert poll.standing().counting == ["cy", "Bo"]


def test_who_may_not_decide_there_any_more_does_not_count(store: Store) -> None:
    """An approver was limited to another workspace after the approval."""
    poll = Poll(store, "two", "bot")
    poll.decide("bo", approves=True)
    poll.limit("bo", elsewhere=True)
    assert poll.decide("cy", approves=True) == "counted"
    assert poll.standing().counting == ["cy"]


def test_who_comes_back_counts_again_and_can_finish_it(store: Store) -> None:
    """Both have approved, one while the other was out of the group; nobody else has to be asked."""
    poll = Poll(store, "two", "bot")
    poll.decide("bo", approves=True)
    poll.replace_policy(["alice", "cy"])
    assert poll.decide("cy", approves=True) == "counted"
    assert poll.decide("cy", approves=True) == "already_decided"
    poll.replace_policy(["alice", "bo", "cy"])
    assert poll.decide("cy", approves=True) == "approved"


def test_whose_own_approval_does_not_count_finishes_nothing(store: Store) -> None:
    """Enough others count again, and what ends the request is still an approval that counts."""
    poll = Poll(store, "two", "bot")
    for name, left in (("cy", ["alice", "bo"]), ("alice", ["bo"]), ("bo", ["alice", "bo"])):
        assert poll.decide(name, approves=True) == "counted"
        poll.replace_policy(left)
    assert poll.standing().counting == ["alice", "bo"]
    assert poll.decide("cy", approves=True) == "not_eligible"
    assert poll.decide("alice", approves=True) == "approved"


def test_who_is_in_two_groups_of_the_rule_may_leave_one(store: Store) -> None:
    """Only who has left all of them counts no longer."""
    poll = Poll(store, "two", "bot")
    poll.policies.policy = both("bo, cy", "bo, di")
    poll.ask("both", "bot")
    assert poll.decide("bo", approves=True) == "counted"
    poll.policies.policy = both("cy", "bo, di")
    assert poll.standing().counting == ["bo"]
    poll.policies.policy = both("cy, el", "di")
    assert poll.standing().counting == []


def both(dba: str, ops: str) -> Policy:
    """A policy whose rule names two groups, with these members."""
    groups = f"{{dba: [{dba}], ops: [{ops}]}}"
    rule = '{name: both, match: {action: both}, approvers: ["group:dba", "group:ops"], approvals: 2}'
    return parse_policy(f"version: 1\ngroups: {groups}\nrules: [{rule}]\n".encode(), Path("policy.yaml"))


@pytest.mark.parametrize("is_there", [True, False])
def test_who_leaves_a_group_of_the_provider_counts_no_longer(store: Store, is_there: bool) -> None:
    """What the provider says now counts, also where the policy is gone by now."""
    poll = Poll(store, "two", "bot")
    rule = b'rules: [{name: abroad, match: {action: abroad}, approvers: ["group:abroad"], approvals: 2}]\n'
    poll.policies.policy = parse_policy(b"version: 1\n" + rule, Path("policy.yaml"), frozenset({"abroad"}))
    for name in ("bo", "cy", "di"):
        poll.provide(name, "abroad", "elsewhere")
    poll.ask("abroad", "bot")
    assert poll.decide("bo", approves=True) == "counted"
    poll.policies.policy = poll.policies.policy if is_there else None
    poll.provide("bo", "elsewhere")
    assert poll.standing().counting == []
    assert [one.name for one in poll.standing().waiting_for or []] == ["cy", "di"]
    assert poll.decide("cy", approves=True) == "counted"
    poll.provide("bo", "abroad")
    assert poll.decide("di", approves=True) == "approved"
    assert poll.standing().counting == ["bo", "cy", "di"]


def test_nobody_is_waited_for_who_could_not_approve(store: Store) -> None:
    """One has left, one is revoked, one may decide elsewhere only, and one has approved."""
    poll = Poll(store, "two", "bot")
    poll.decide("alice", approves=True)
    assert [one.name for one in poll.standing().waiting_for or []] == ["bo", "cy", "el"]
    poll.replace_policy(["alice", "cy"])
    poll.limit("el", elsewhere=True)
    assert [one.name for one in poll.standing().waiting_for or []] == ["cy"]
    poll.revoke("cy")
    assert poll.standing().waiting_for == []


def test_a_credential_that_is_not_the_persons_decides_nothing(store: Store) -> None:
    """Whatever name it says: that of somebody who may."""
    poll = Poll(store, "two", "bot")
    body = DecisionBody(Status.APPROVED, None, None)
    with store.write() as transaction, pytest.raises(RefusedError) as refused:
        poll.deciding.decide(transaction, Approver("another", "bo"), poll.path, body, utc_now())
    assert refused.value.body["code"] == "not_eligible"


def test_what_did_not_count_at_the_end_never_counts(store: Store) -> None:
    """It is not listed among the decisions of the ended request, whoever comes back."""
    poll = Poll(store, "two", "bot")
    poll.decide("bo", approves=True)
    poll.replace_policy(["alice", "cy"])
    poll.decide("cy", approves=True)
    assert poll.decide("alice", approves=True) == "approved"
    poll.replace_policy(["alice", "bo", "cy"])
    assert [one.name for one in poll.standing().decisions] == ["cy", "alice"]
    assert poll.standing().waiting_for == []


def test_who_has_approved_can_deny_at_once(store: Store) -> None:
    """A retraction first would leave time for the last approval."""
    poll = Poll(store, "two", "bot")
    poll.decide("bo", approves=True)
    assert poll.decide("bo", approves=False) == "denied"
    assert [(one.name, one.decision.value) for one in poll.standing().decisions] == [("bo", "denied")]


def test_ones_own_approval_counts_only_while_one_is_alone(store: Store) -> None:
    """The requester was the only approver, and approved; then another one is added."""
    poll = Poll(store, "anyone", "ALICE")
    for name in ("bo", "cy", "di", "el"):
        poll.revoke(name)
    assert poll.decide("alice", approves=True) == "counted"
    assert poll.standing().counting == ["alice"]
    poll.add("bo")
    assert poll.standing().counting == []
    assert poll.decide("bo", approves=True) == "counted"
    assert poll.decide("alice", approves=False) == "own_request"


@pytest.mark.parametrize("mode", ["lost", "unsent"])
def test_a_commit_without_an_answer_is_made_once(store: Store, mode: str) -> None:
    """The first approval, a retraction, the last approval: each is answered as if nothing had happened."""
    poll = Poll(store, "two", "bot")
    assert poll.decide("bo", approves=True, mode=mode) == "counted"
    assert poll.retract("bo", mode) == "counted"
    assert poll.decide("cy", approves=True) == "counted"
    assert poll.decide("bo", approves=True, mode=mode) == "approved"
    assert poll.decide("cy", approves=False, mode=mode) == "ended"


def test_the_log_gets_everybodys_decision(store: Store) -> None:
    """Also where it is written after a restart; of a request without a rule the record's own fields say it."""
    poll = Poll(store, "two", "bot")
    poll.decide("bo", approves=True)
    poll.decide("cy", approves=True)
    plain = Poll(store, "plain", "bot")
    plain.decide("bo", approves=True)
    with store.read() as transaction:
        first, second = (record_of(entry).extras for entry in transaction.outbox.unrecorded())
    decisions: Any = first["decisions"]
    assert [(one["by"], one["decision"], one["proof"]) for one in decisions] == [
        ("bo", "approved", "token"),
        ("cy", "approved", "token"),
    ]
    assert (first["rule"], set(second) & {"rule", "decisions"}) == ("two", set())


def test_a_killed_server_has_decided_nothing(store: Store) -> None:
    """What was not committed does not count."""
    poll = Poll(store, "one", "bot")
    poll.decide("bo", approves=True, mode="crash")
    assert (poll.row().status.value, poll.standing().counting, poll.redeem()) == ("pending", [], False)


def test_what_is_too_late_counts_for_nothing(store: Store) -> None:
    """The time of a request is over, which nobody has noticed yet: no approval, no retraction, no redemption."""
    poll = Poll(store, "two", "bot")
    poll.decide("bo", approves=True)
    poll.expire()
    assert poll.decide("cy", approves=True) == "ended"
    assert poll.retract("bo") == "ended"
    assert (poll.row().decided_by, poll.redeem()) == ("auto-expired", False)


@pytest.mark.usefixtures("untraced")
@pytest.mark.parametrize("seed", range(12))
def test_no_order_of_events_approves_what_too_few_have_approved(store: Store, seed: int) -> None:
    """Whatever happens to a request and its approvers, in whatever order, and whichever server is killed meanwhile."""
    walk = Walk(store, random.Random(seed))
    for _ in range(30):
        walk.step()


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_thousands_of_orders_approve_nothing_that_too_few_have_approved(store: Store) -> None:
    """The same, for minutes: a thousand orders on SQLite, and fewer on PostgreSQL, which is asked over a socket."""
    for seed in range(1_000, 2_000 if isinstance(store, SqliteStore) else 1_250):
        walk = Walk(store, random.Random(seed))
        for _ in range(40):
            walk.step()
