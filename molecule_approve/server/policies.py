"""The policy that is in force, and what it says about a new request and about people."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

from molecule_approve.model import Status
from molecule_approve.policy.approval_rules import AskedRequest, PossibleApprover, Refusal
from molecule_approve.policy.command_words import RuleError

from .database.values import Resolution
from .refusals import policy_refuses, reason_required

if TYPE_CHECKING:
    from molecule_approve.policy.approval_rules import Policy

    from .database.transaction import Transaction
    from .database.values import Draft
    from .self_approval import SelfApproval

DENIED_BY = "policy:"
"""In front of a rule's name: the ``decided_by`` of a request that the rule refused."""


class Policies:
    """Holds the policy; None while there is none. It can be replaced while the server runs."""

    def __init__(self, self_approval: SelfApproval, policy: Policy | None = None) -> None:
        self._self_approval = self_approval
        self.policy = policy

    def is_member(self, person: PossibleApprover, group: str) -> bool:
        """Whether the person is in the group now, by the policy or by the provider."""
        return group in person.groups if self.policy is None else self.policy.is_member(person, group)

    def apply(self, transaction: Transaction, draft: Draft) -> tuple[Draft, Resolution | None]:
        """The request with what its rule asks for; and how it ends at once, if a rule denies it.

        Raises:
            RefusedError: 422, a rule cannot be evaluated or met, or wants a reason.
        """
        if self.policy is None:
            return draft, None
        asked = AskedRequest(
            action=draft.action,
            reason=draft.reason,
            workspace=transaction.credentials.workspace_name(draft.workspace_id),
            workspace_id=draft.workspace_id,
            requester=draft.requested_by,
            context=draft.context or {},
        )
        people = people_of(transaction, draft.workspace_id)
        own = not self._self_approval.is_refused(transaction)
        try:
            judged = self.policy.judge(asked, people, self_approval=own)
        except RuleError as exc:
            raise policy_refuses(str(exc)) from None
        if isinstance(judged, Refusal):
            return draft, Resolution(
                Status.DENIED, f"{DENIED_BY}{judged.rule.name}", draft.created_at, verified=True, comment=judged.message
            )
        rule = judged.rule
        if rule.reason and not draft.reason.strip():
            raise reason_required(rule.name)
        return replace(
            draft,
            requirement=json.dumps(judged.requirement.as_json()),
            expires=draft.expires if rule.expires_in is None else min(draft.expires, transaction.now + rule.expires_in),
        ), None


def people_of(transaction: Transaction, workspace_id: str) -> list[PossibleApprover]:
    """The approvers who may decide in this workspace now."""
    return [
        PossibleApprover(one.name, one.groups)
        for one in transaction.decisions.people_now().values()
        if one.workspaces is None or workspace_id in one.workspaces
    ]
