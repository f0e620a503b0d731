"""Whom a provider's claims name, and whether server.yaml lists that person as an approver."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING

from molecule_approve.lifecycle import name_key

from .faults import AnswerError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from molecule_approve.model import JsonValue
    from molecule_approve.server.plan import OpenIdPlan

_EMAIL = "email"
_SUBJECT = 255
"""Characters of a subject at most, all of them ASCII: OpenID Connect Core 1.0, section 2."""


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who signs in by the provider.

    Attributes:
        name: becomes the approver's name.
        subject: the provider's own id of the person, which never changes hands, unlike a name.
        named: listed by name in server.yaml.
        groups: our groups that the person belongs to.
    """

    name: str
    subject: str
    named: bool
    groups: frozenset[str]

    @property
    def is_approver(self) -> bool:
        """Whether server.yaml lists the person, by name or by a group."""
        return self.named or bool(self.groups)


def wanted_claims(settings: OpenIdPlan) -> frozenset[str]:
    """The claims without which a person cannot be found in server.yaml."""
    # Providers leave an empty list of groups away: a person who is listed by name needs none.
    return frozenset({settings.name_claim, *([settings.groups_claim] if settings.groups_claim else [])})


def find_person(claims: Mapping[str, JsonValue], settings: OpenIdPlan) -> Person:
    """The person whom checked claims name.

    Raises:
        AnswerError: they name nobody, or an e-mail address that the provider has not verified.
    """
    name, subject = claims.get(settings.name_claim), claims.get("sub")
    if not isinstance(name, str) or not name.strip():
        raise AnswerError(f"the provider's answer has no {settings.name_claim} claim; check openid.name_claim and scopes")
    if not isinstance(subject, str) or not 0 < len(subject) <= _SUBJECT or not (subject.isascii() and subject.isprintable()):
        raise AnswerError(f"the provider's answer has no sub claim of 1 to {_SUBJECT} printable ASCII characters")
    if settings.name_claim == _EMAIL:
        if claims.get("email_verified") is not True:
            raise AnswerError("the provider has not verified this e-mail address")
        name = name.lower()  # one person, however the address is written
    name = unicodedata.normalize("NFC", name)
    listed = {name_key(one) for one in settings.approvers}
    return Person(name, subject, name_key(name) in listed, _our_groups(claims, settings))


def _our_groups(claims: Mapping[str, JsonValue], settings: OpenIdPlan) -> frozenset[str]:
    said = claims.get(settings.groups_claim) if settings.groups_claim else None
    theirs = {one for one in (said if isinstance(said, list) else [said]) if isinstance(one, str)}
    return frozenset(ours for ours, values in settings.groups.items() if theirs.intersection(values))
