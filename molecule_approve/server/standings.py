"""What answers say of each request beside its own fields: every decision, how far it is, and what a signature has to say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from molecule_approve.model import Status

from .counting import Electorate, IsMember, requirement_of
from .policies import DENIED_BY
from .proof_checks import subject_of

if TYPE_CHECKING:
    from molecule_approve.model import Approval, JsonValue
    from molecule_approve.policy.requirement import Eligible

    from .counting import Standing
    from .database.transaction import Transaction
    from .self_approval import SelfApproval

Fields = dict[str, "JsonValue"]


@dataclass(frozen=True, slots=True)
class Standings:
    """Makes these fields for requests at the server of this id."""

    server: str
    is_member: IsMember
    self_approval: SelfApproval

    def of(self, transaction: Transaction, approvals: Sequence[Approval]) -> dict[str, Fields]:
        """The fields of each request, by its id. Without a rule or a proof no further rows are read."""
        standings = self._standings(transaction, [one for one in approvals if one.requirement is not None])
        found: dict[str, Fields] = {}
        for approval in approvals:
            requirement = requirement_of(approval)
            if approval.requirement is None:
                said, have = _own_decision(approval), int(approval.status is Status.APPROVED)
                progress: Fields = {"need": 1, "have": have}
            else:
                now = standings[approval.id]
                said, progress = _decisions(now), {"need": requirement.approvals, "have": len(now.counting)}
                progress |= {"approved_by": list(now.counting), "waiting_for": _groups(now.waiting_for or [])}
            progress |= {"rule": requirement.rule, "presence": requirement.presence.value, "comment": requirement.comment}
            subject = subject_of(approval, self.server).fields
            found[approval.id] = {"decisions": said, "approvals": progress, "subject": subject}
        return found

    def counts(self, transaction: Transaction, approvals: Sequence[Approval]) -> dict[str, Fields]:
        """How many approvals each pending request has, and needs, by its id; rows are read for those that need several."""
        needs = {one.id: requirement_of(one).approvals for one in approvals}
        several = self._standings(transaction, [one for one in approvals if needs[one.id] > 1])
        return {
            key: {"have": len(several[key].counting) if key in several else 0, "need": need} for key, need in needs.items()
        }

    def _standings(self, transaction: Transaction, approvals: Sequence[Approval]) -> dict[str, Standing]:
        if not approvals:
            return {}
        decisions = transaction.decisions.of_several([one.id for one in approvals])
        electorate = Electorate.now(transaction, self.is_member, self.self_approval)
        return {one.id: electorate.standing(one, decisions.get(one.id, [])) for one in approvals}


def _own_decision(approval: Approval) -> JsonValue:
    """The one decision of a request without a rule, from its own columns."""
    if not approval.decided_by_verified or (approval.decided_by or "").startswith(DENIED_BY):
        return []
    by, comment = approval.decided_by, approval.comment
    return [{"by": by, "at": approval.decided_at, "decision": approval.status.value, "comment": comment, "proof": None}]


def _decisions(now: Standing) -> JsonValue:
    return [
        {
            "by": one.name,
            "at": one.decided_at,
            "decision": one.decision.value,
            "comment": one.comment,
            "proof": one.proof_kind,
        }
        for one in now.decisions
    ]


def _groups(waiting: list[Eligible]) -> JsonValue:
    """The people by the first group that makes them eligible, in the order of the rule."""
    groups: dict[str | None, list[str]] = {}
    for person in waiting:
        groups.setdefault(person.groups[0] if person.groups else None, []).append(person.name)
    return [{"group": group, "people": list(people)} for group, people in groups.items()]
