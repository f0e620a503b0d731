"""Pure: what one request needs to be approved, by the rule that was in force when it was asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from molecule_approve.lifecycle import name_key
from molecule_approve.proofs.presence import Presence

if TYPE_CHECKING:
    from molecule_approve.model import JsonValue


class Eligible(NamedTuple):
    """A person who may approve a request, and how the rule names them: ``user``, or the names of groups."""

    name: str
    groups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Requirement:
    """What a request needs. It is copied into the request, so that later changes of the policy do not alter it.

    Attributes:
        rule, rule_sha256: the rule's name, and the SHA-256 of its text with the groups it uses; None without a policy.
        approvals: how many different people have to approve.
        eligible: who may; None for every approver.
        presence: what each approval has to prove.
        comment: whether each decision needs a comment.
        self_approval: whether the requester may approve; None for the server's own setting.
    """

    rule: str | None = None
    rule_sha256: str | None = None
    approvals: int = 1
    eligible: tuple[Eligible, ...] | None = None
    presence: Presence = Presence.NONE
    comment: bool = False
    self_approval: bool | None = None

    def eligible_person(self, name: str) -> Eligible | None:
        """The person of this name, in any spelling, if the rule names them or everybody."""
        if self.eligible is None:
            return Eligible(name)
        return next((one for one in self.eligible if name_key(one.name) == name_key(name)), None)

    def as_json(self) -> dict[str, JsonValue]:
        """As it is stored with the request."""
        return {
            "rule": self.rule,
            "rule_sha256": self.rule_sha256,
            "approvals": self.approvals,
            "eligible": None if self.eligible is None else [[one.name, *one.groups] for one in self.eligible],
            "presence": self.presence.value,
            "comment": self.comment,
            "self_approval": self.self_approval,
        }

    @classmethod
    def of_json(cls, stored: dict[str, JsonValue]) -> Requirement:
        """What :meth:`as_json` gave.

        Raises:
            KeyError, TypeError, ValueError: it is something else.
        """
        eligible = stored["eligible"]
        people = None if eligible is None else tuple(Eligible(one[0], tuple(one[1:])) for one in eligible)  # type: ignore[union-attr,index,arg-type]
        values = {**stored, "eligible": people, "presence": Presence(str(stored["presence"]))}
        return cls(**values)  # type: ignore[arg-type]  # the fields are those of as_json
