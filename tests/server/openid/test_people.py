"""Whom claims name, and who of them is an approver."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from molecule_approve.server.openid.faults import AnswerError
from molecule_approve.server.openid.people import find_person, wanted_claims
from molecule_approve.server.plan import OpenIdPlan

ALICE: dict[str, Any] = {"sub": "s-1", "email": "Alice@Example.org", "email_verified": True, "groups": ["ops", "all"]}


def settings(**changed: Any) -> OpenIdPlan:  # noqa: ANN401 - the fields of the settings
    return OpenIdPlan("https://id.example.org", "approvals", Path("/none"), **changed)


def test_a_person_is_named_by_the_verified_address() -> None:
    """One person, however the address is written, and listed however server.yaml writes it."""
    found = find_person(ALICE, settings(approvers=("ALICE@example.org",)))
    assert (found.name, found.subject, found.named) == ("alice@example.org", "s-1", True)
    assert found.is_approver
    assert not find_person(ALICE, settings()).is_approver
    assert not find_person(ALICE, settings(approvers=("bob@example.org", "alice"))).is_approver


@pytest.mark.parametrize("verified", [False, None, "true", 1, "missing"])
def test_an_address_that_is_not_verified_names_nobody(verified: object) -> None:
    """Else whoever claims an address at the provider would decide in its owner's name."""
    claims = {name: value for name, value in {**ALICE, "email_verified": verified}.items() if value != "missing"}
    with pytest.raises(AnswerError, match="not verified"):
        find_person(claims, settings(approvers=("alice@example.org",)))


@pytest.mark.parametrize(
    ("claim", "value"),
    [
        *(("email", value) for value in (None, "", " ", ["alice@example.org"])),
        *(("sub", value) for value in (None, "", 7, "a\0b", "\ud800", "\u00e9", "s" * 256)),
    ],
)
def test_claims_that_name_nobody_are_refused(claim: str, value: Any) -> None:  # noqa: ANN401 - JSON
    """The sentence says which claim it is; of a subject also what no database could keep."""
    with pytest.raises(AnswerError, match=f"no {claim} claim"):
        find_person({**ALICE, claim: value}, settings())


def test_the_longest_subject_is_one() -> None:
    """Of as many characters as the standard allows."""
    assert find_person({**ALICE, "sub": "s" * 255}, settings()).subject == "s" * 255


def test_another_claim_may_be_the_name() -> None:
    """It is taken as it is, in one Unicode form; only an e-mail address has to be verified."""
    claims = {"sub": "s-2", "preferred_username": "Zoe\u0308"}
    found = find_person(claims, settings(name_claim="preferred_username", approvers=("Zo\u00eb",)))
    assert (found.name, found.named) == ("Zo\u00eb", True)


@pytest.mark.parametrize(
    ("said", "ours"),
    [
        (["ops"], {"operators"}),
        (["ops", "sec"], {"operators", "security"}),
        ("sec", {"security"}),
        (["all"], set()),
        (["OPS", "ops2", " ops"], set()),
        ([{"name": "ops"}, ["ops"], 7, None], set()),
        ({"ops": True}, set()),
        (None, set()),
    ],
)
def test_groups_are_matched_to_the_letter(said: object, ours: set[str]) -> None:
    """One group is enough to be an approver; what is no text is no group."""
    groups = {"operators": ("ops", "sre"), "security": ("sec",)}
    claims: dict[str, Any] = {**ALICE, "groups": said}
    found = find_person(claims, settings(groups_claim="groups", groups=groups))
    assert found.groups == frozenset(ours)
    assert found.is_approver == bool(ours)
    assert find_person(claims, settings(groups=groups)).groups == frozenset()


def test_the_claims_that_are_needed() -> None:
    """The name's, and the groups' if server.yaml names it."""
    assert wanted_claims(settings()) == {"email"}
    assert wanted_claims(settings(groups_claim="groups")) == {"email", "groups"}
