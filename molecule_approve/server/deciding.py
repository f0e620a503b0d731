"""One person's decision: whether it may be made, whether it counts, and whether the request ends by it.

All of it happens in one transaction, with the request's row locked: of many approvers at once each sees what the others did.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from molecule_approve.lifecycle import name_key
from molecule_approve.model import Status
from molecule_approve.proofs.presence import Presence

from .counting import Electorate, requirement_of
from .database.values import DecisionRow, Resolution
from .outcomes import OPEN_STATUSES, as_it_is, end
from .refusals import (
    already_decided,
    comment_required,
    ended,
    not_eligible,
    nothing_to_retract,
    own_request,
    presence_required,
    unknown_approval,
    unknown_to_decide,
)

if TYPE_CHECKING:
    from molecule_approve.model import Approval
    from molecule_approve.policy.requirement import Requirement

    from .access import Approver
    from .bodies import DecisionBody
    from .counting import IsMember, Standing
    from .database.transaction import Transaction
    from .database.values import StoredApproval
    from .outcomes import RequestPath
    from .refusals import RefusedError
    from .self_approval import SelfApproval


@dataclass(frozen=True, slots=True)
class Counted:
    """A request that goes on waiting after a decision: how many approvals it has, and needs."""

    approval_id: str
    workspace_id: str
    have: int
    need: int


@dataclass(frozen=True, slots=True)
class CheckedProof:
    """What a decision's proof shows; without one ``kind`` is that of the credential."""

    kind: str
    presence: Presence = Presence.NONE
    statement: str | None = None
    proof: str | None = None
    statement_hash: str | None = None


CheckProof = Callable[["Transaction", "Approver", "StoredApproval", "DecisionBody"], CheckedProof]
"""What the proof of a decision shows; it raises RefusedError for one that is wrong."""


@dataclass(frozen=True, slots=True)
class Deciding:
    """Decides and retracts.

    Attributes:
        is_member: whether somebody is in a group, by the policy that is in force now.
        check_proof: looks at the proof that comes with a decision.
    """

    self_approval: SelfApproval
    is_member: IsMember
    check_proof: CheckProof

    def decide(
        self, transaction: Transaction, approver: Approver, path: RequestPath, body: DecisionBody, now: str
    ) -> Approval | Counted | RefusedError:
        """Make the decision. The request as it ended, or how far it is now; a refusal if it had ended before.

        Raises:
            RefusedError: the decision may not be made; nothing was changed.
        """
        requested_by, has_rule = transaction.requests.open_terms(path.workspace_id, path.approval_id, transaction.now)
        if has_rule or body.proof is not None:
            return self._decide_by_rule(transaction, approver, path, body, now)
        if self.self_approval.forbids(transaction, approver, requested_by):
            raise own_request(approver.name, path.approval_id)
        return end(transaction, path, _resolution(approver, body, now), unknown_to_decide())

    def _decide_by_rule(
        self, transaction: Transaction, approver: Approver, path: RequestPath, body: DecisionBody, now: str
    ) -> Approval | Counted | RefusedError:
        stored = transaction.requests.locked(path.workspace_id, path.approval_id)
        resolution = _resolution(approver, body, now)
        if stored is None:
            raise unknown_to_decide()
        approval = as_it_is(transaction, stored.approval)
        if approval.status not in OPEN_STATUSES:
            return end(transaction, path, resolution, unknown_to_decide())
        if transaction.again and transaction.decisions.was_made(approval.id, approver.name, now):
            return self._counted(approval, self._standing(transaction, approval))
        if not self._has_approved(transaction, approver, approval, body):
            self._add(transaction, approver, stored, body, now)
        return self._count(transaction, path, approval, resolution)

    def _has_approved(self, transaction: Transaction, approver: Approver, approval: Approval, body: DecisionBody) -> bool:
        """Whether this is an approval that the request has already, and that is enough now that others count again.

        One that counts no longer, because its key was removed, can be made anew.

        Raises:
            RefusedError: it has it already, and that is not enough.
        """
        made = transaction.decisions.of_request(approval.id)
        mine = next((one for one in made if name_key(one.name) == name_key(approver.name)), None)
        if mine is None or mine.approver_id != approver.id or body.status is Status.DENIED:
            return False
        counting = self._standing(transaction, approval).counting
        if mine.name not in counting:
            return False
        if len(counting) < requirement_of(approval).approvals:
            raise already_decided(approver.name, approval.id)
        return True

    def _add(
        self, transaction: Transaction, approver: Approver, stored: StoredApproval, body: DecisionBody, now: str
    ) -> None:
        """Store the decision, instead of what stands under the same name: an approval, or one of a revoked credential.

        Raises:
            RefusedError: it may not be made; nothing was changed.
        """
        approval, requirement = stored.approval, requirement_of(stored.approval)
        self._check_person(transaction, approver, approval, requirement)
        shown = self._check_proof(transaction, approver, stored, requirement, body)
        transaction.decisions.retract(approval.id, approver.name, now)
        transaction.decisions.add(approval.id, _row(approver, body, now, shown))
        if approval.requirement is None:
            transaction.requests.set_requirement(approval.id, json.dumps(requirement.as_json()))

    def _check_person(
        self, transaction: Transaction, approver: Approver, approval: Approval, requirement: Requirement
    ) -> None:
        """Return if this approver may decide the request.

        Raises:
            RefusedError: it is the approver's own, or the rule names others.
        """
        electorate = self._electorate(transaction)
        if electorate.refuses(approval, requirement, approver.name):
            raise own_request(approver.name, approval.id)
        person = electorate.approver(approval, requirement, approver.name)
        if person is None or person.id != approver.id:
            raise not_eligible(approver.name, requirement.rule or "")

    def _check_proof(
        self,
        transaction: Transaction,
        approver: Approver,
        stored: StoredApproval,
        requirement: Requirement,
        body: DecisionBody,
    ) -> CheckedProof:
        """What the decision's proof shows.

        Raises:
            RefusedError: it is wrong, or shows less than the rule wants; or the rule wants a comment.
        """
        rule = requirement.rule or ""
        if requirement.comment and not body.comment:
            raise comment_required(rule)
        shown = self.check_proof(transaction, approver, stored, body)
        if body.status is Status.APPROVED and shown.presence.rank < requirement.presence.rank:
            raise presence_required(rule, requirement.presence, shown.presence)
        return shown

    def _count(
        self, transaction: Transaction, path: RequestPath, approval: Approval, resolution: Resolution
    ) -> Approval | Counted | RefusedError:
        """End the request if this decision was the last one that it needed."""
        now = self._standing(transaction, approval)
        if resolution.status is not Status.DENIED and len(now.counting) < requirement_of(approval).approvals:
            transaction.requests.note_progress(path.workspace_id, path.approval_id)
            return self._counted(approval, now)
        # What does not count at the end counts never again, whoever comes back later.
        for one in now.decisions:
            if one.decision is Status.APPROVED and one.name not in now.counting:
                transaction.decisions.retract(approval.id, one.name, resolution.decided_at)
        return end(transaction, path, resolution, unknown_to_decide())

    def _electorate(self, transaction: Transaction) -> Electorate:
        return Electorate.now(transaction, self.is_member, self.self_approval)

    def _standing(self, transaction: Transaction, approval: Approval) -> Standing:
        return self._electorate(transaction).standing(approval, transaction.decisions.of_request(approval.id))

    @staticmethod
    def _counted(approval: Approval, now: Standing) -> Counted:
        return Counted(approval.id, approval.workspace_id, len(now.counting), requirement_of(approval).approvals)

    def retract(self, transaction: Transaction, approver: Approver, path: RequestPath, now: str) -> Counted | RefusedError:
        """Retract the approver's decision, while the request is open.

        Raises:
            RefusedError: there is no such request, or no such decision.
        """
        stored = transaction.requests.locked(path.workspace_id, path.approval_id)
        if stored is None:
            raise unknown_approval()
        approval = as_it_is(transaction, stored.approval)
        if approval.status not in OPEN_STATUSES:
            return ended(approval)
        if not (transaction.again and transaction.decisions.was_retracted(approval.id, approver.name, now)):
            if not transaction.decisions.retract(approval.id, approver.name, now):
                raise nothing_to_retract(approver.name, approval.id)
            transaction.requests.note_progress(path.workspace_id, approval.id)
        return self._counted(approval, self._standing(transaction, approval))


def _resolution(approver: Approver, body: DecisionBody, now: str) -> Resolution:
    return Resolution(body.status, approver.name, now, True, body.claimed_by, body.comment)


def _row(approver: Approver, body: DecisionBody, now: str, shown: CheckedProof) -> DecisionRow:
    return DecisionRow(
        name=approver.name,
        approver_id=approver.id,
        decision=body.status,
        decided_at=now,
        proof_kind=shown.kind,
        claimed_by=body.claimed_by,
        comment=body.comment,
        statement=shown.statement,
        proof=shown.proof,
        statement_hash=shown.statement_hash,
    )
