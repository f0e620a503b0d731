"""Pure: what a policy says about a request, and why; for people who write it, and for tables of cases."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from molecule_approve.lifecycle import name_key
from molecule_approve.proofs.presence import Presence

from .approval_rules import DEFAULTS, PossibleApprover, check_enough, group_names
from .command_words import CommandWords, RuleError

if TYPE_CHECKING:
    from molecule_approve.model import JsonValue

    from .approval_rules import ApprovalRule, AskedRequest, Policy
    from .requirement import Eligible


class PolicyOutcome(StrEnum):
    """What the policy does with a request."""

    ASK = "ask"
    DENY = "deny"
    REFUSE = "refuse"
    """A rule cannot be evaluated, or nobody could meet it."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """What the policy says about one request.

    Attributes:
        rule: the one that decides, or that cannot be evaluated.
        line: where it stands in the file; 0 for defaults that are not written.
        because: what it matches, each as a clause.
        message: of a denial or a refusal.
        approvers: who could approve; None if that is any approver, and not known here.
        anybody: whether the rule names nobody, so that any approver may approve.
        provided: the rule's groups whose members only the OpenID provider knows.
        expires_in: the most seconds that the request may wait; None for no limit.
    """

    rule: str
    line: int
    because: tuple[str, ...]
    outcome: PolicyOutcome
    message: str = ""
    approvals: int = 0
    approvers: tuple[Eligible, ...] | None = None
    anybody: bool = False
    provided: tuple[str, ...] = ()
    presence: Presence = Presence.NONE
    reason: bool = False
    comment: bool = False
    expires_in: float | None = None
    rule_sha256: str | None = None

    def as_json(self) -> dict[str, JsonValue]:
        """For programs."""
        people = None if self.approvers is None else [{"name": one.name, "groups": [*one.groups]} for one in self.approvers]
        lists = {"because": [*self.because], "approvers": people, "provided": [*self.provided]}
        return {**asdict(self), "outcome": self.outcome.value, "presence": self.presence.value, **lists}

    def names(self) -> list[str] | None:
        """Who could approve, in order."""
        return None if self.approvers is None else sorted(one.name for one in self.approvers)

    def differs(self, other: Explanation) -> bool:
        """Whether people would notice: the rule's name, its place and its text do not count."""
        return self._felt() != other._felt()

    def _felt(self) -> tuple[object, ...]:
        terms = (self.outcome, self.message, self.approvals, self.presence, self.reason, self.comment, self.expires_in)
        return (*terms, self.names(), self.anybody, self.provided)


def explain(
    policy: Policy, asked: AskedRequest, people: Sequence[PossibleApprover] | None, *, self_approval: bool | None
) -> Explanation:
    """What the policy says about the request.

    ``people`` are the approvers of its workspace; with None those whom the policy names, and then nobody is said to be
    missing whom only the server knows. Without ``self_approval`` one's own request is decided only by who is alone.
    """
    known = _named(policy) if people is None else people
    own = len(known) < 2 if self_approval is None else self_approval
    try:
        rule = policy.find(asked)
    except RuleError as exc:
        rule = next(rule for rule in policy.rules if rule.name == exc.rule)
        return Explanation(rule.name, rule.line, (), PolicyOutcome.REFUSE, str(exc))
    because = _because(policy, rule, asked)
    if rule.deny:
        return Explanation(rule.name, rule.line, because, PolicyOutcome.DENY, rule.message)
    provided = tuple(name for name in group_names(rule.approvers or ()) if name in policy.provider_groups)
    possible = policy.possible(rule, asked, known, self_approval=own)
    if people is not None or not (rule.approvers is None or provided):
        try:
            check_enough(rule, possible)
        except RuleError as exc:
            return Explanation(rule.name, rule.line, because, PolicyOutcome.REFUSE, str(exc))
    return Explanation(
        rule.name,
        rule.line,
        because,
        PolicyOutcome.ASK,
        approvals=rule.approvals,
        approvers=None if people is None and rule.approvers is None else possible,
        anybody=rule.approvers is None,
        provided=provided,
        presence=rule.presence,
        reason=rule.reason,
        comment=rule.comment,
        expires_in=rule.expires_in,
        rule_sha256=rule.digest(policy.groups),
    )


def _because(policy: Policy, rule: ApprovalRule, asked: AskedRequest) -> tuple[str, ...]:
    if rule.name == DEFAULTS:
        return ("no rule matches",)
    found = policy.conditions(rule, asked, CommandWords(asked.action))
    return tuple(f"{key} {json.dumps(pattern, ensure_ascii=False)}" for key, pattern, _ in found) or ("it matches all",)


def _named(policy: Policy) -> list[PossibleApprover]:
    return [PossibleApprover(name) for name in {name_key(one.name): one.name for one in policy.named}.values()]
