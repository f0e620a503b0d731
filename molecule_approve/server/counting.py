"""Whose approvals of a request count now, and who could still approve it. Nothing here changes anything."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from molecule_approve.lifecycle import is_own, name_key
from molecule_approve.model import Status
from molecule_approve.policy.approval_rules import PossibleApprover
from molecule_approve.policy.requirement import Eligible, Requirement
from molecule_approve.proofs.enrolled import key_named
from molecule_approve.proofs.presence import Presence
from molecule_approve.strict_json import StrictJsonError, loads

from .outcomes import OPEN_STATUSES

if TYPE_CHECKING:
    from molecule_approve.model import Approval

    from .database.transaction import Transaction
    from .database.values import DecisionRow, PersonNow
    from .self_approval import SelfApproval

IsMember = Callable[[PossibleApprover, str], bool]
"""Whether a person is in a group now."""


def requirement_of(approval: Approval) -> Requirement:
    """What the request needs, as its rule said when it was made; one approval by anybody, without a rule."""
    return Requirement() if approval.requirement is None else Requirement.of_json(json.loads(approval.requirement))


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a request is.

    Attributes:
        decisions: those that are not retracted.
        counting: the people whose approvals count: of an open request now, of an ended one when it ended.
        waiting_for: the people who could still approve, each with the groups by which; None if that is any approver.
    """

    decisions: list[DecisionRow]
    counting: list[str]
    waiting_for: list[Eligible] | None


@dataclass(frozen=True, slots=True)
class Electorate:
    """Who may approve requests at this moment.

    Attributes:
        people: the approvers who are not revoked, by ``name_key``.
        keys: the keys in use, each as the approver's id and what a proof names it by.
        refuses_own: whether nobody may decide their own request, where its rule says nothing about that.
    """

    people: dict[str, PersonNow]
    keys: frozenset[tuple[str, str]]
    is_member: IsMember
    refuses_own: bool

    @classmethod
    def now(cls, transaction: Transaction, is_member: IsMember, self_approval: SelfApproval) -> Electorate:
        """As the database and the policy say it in this transaction."""
        people, keys = transaction.decisions.people_now(), transaction.keys.named_in_use()
        return cls(people, keys, is_member, self_approval.is_refused(transaction))

    def refuses(self, approval: Approval, requirement: Requirement, name: str) -> bool:
        """Whether the person may not decide the request because it is their own."""
        allowed = requirement.self_approval
        return is_own(approval.requested_by, name) and (self.refuses_own if allowed is None else not allowed)

    def approver(self, approval: Approval, requirement: Requirement, name: str) -> PersonNow | None:
        """The person of this name, if their approval of the request counts now.

        They have to be named by its rule, not revoked, still in one of the groups by which they are named, and allowed
        to decide in the request's workspace.
        """
        person, found = self.people.get(name_key(name)), requirement.eligible_person(name)
        if person is None or found is None or self.refuses(approval, requirement, name):
            return None
        if person.workspaces is not None and approval.workspace_id not in person.workspaces:
            return None
        known = PossibleApprover(person.name, person.groups)
        belongs = not found.groups or any(self.is_member(known, group) for group in found.groups)
        return person if belongs else None

    def standing(self, approval: Approval, decisions: Sequence[DecisionRow]) -> Standing:
        """How far the request is by these decisions, of which those that no longer counted at its end are gone."""
        requirement = requirement_of(approval)
        approving = [one for one in decisions if one.decision is Status.APPROVED]
        if approval.status not in OPEN_STATUSES:
            return Standing(list(decisions), [one.name for one in approving], [])
        counting = [one.name for one in approving if self._counts(approval, requirement, one)]
        if requirement.eligible is None:
            return Standing(list(decisions), counting, None)
        counted = {name_key(name) for name in counting}
        others = [one for one in requirement.eligible if name_key(one.name) not in counted]
        waiting = [one for one in others if self.approver(approval, requirement, one.name) is not None]
        return Standing(list(decisions), counting, waiting)

    def _counts(self, approval: Approval, requirement: Requirement, decision: DecisionRow) -> bool:
        person = self.approver(approval, requirement, decision.name)
        # Somebody who was revoked and added again is another person, who has decided nothing yet.
        if person is None or person.id != decision.approver_id:
            return False
        return requirement.presence is Presence.NONE or self._is_by_key_in_use(decision)

    def _is_by_key_in_use(self, decision: DecisionRow) -> bool:
        """Whether the key that signed is still enrolled; the signature itself was checked when the decision was made."""
        try:
            proof = loads(decision.proof or "")
        except StrictJsonError:
            return False
        named = key_named(proof) if isinstance(proof, dict) else None
        return named is not None and (decision.approver_id, named) in self.keys
