"""What `policy diff` takes for another decision, and what nobody would notice."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from molecule_approve.policy.explanation import Explanation, PolicyOutcome
from molecule_approve.policy.requirement import Eligible
from molecule_approve.proofs.presence import Presence

KNOWN = Explanation(
    "deploy", 3, ('action "deploy"',), PolicyOutcome.ASK, approvals=1, approvers=(Eligible("ana"), Eligible("bo"))
)

NOTICED: dict[str, Any] = {
    "outcome": PolicyOutcome.REFUSE,
    "message": "not here",
    "approvals": 2,
    "approvers": (Eligible("ana"),),
    "anybody": True,
    "provided": ("dba",),
    "presence": Presence.REQUIRED,
    "reason": True,
    "comment": True,
    "expires_in": 60.0,
}
UNNOTICED: dict[str, Any] = {
    "rule": "other",
    "line": 9,
    "because": (),
    "rule_sha256": "ab" * 32,
    "approvers": (Eligible("bo", ("dba",)), Eligible("ana")),
}


@pytest.mark.parametrize("field", NOTICED)
def test_what_people_would_notice_is_another_decision(field: str) -> None:
    """Who has to say yes, how, and how long there is time."""
    assert KNOWN.differs(replace(KNOWN, **{field: NOTICED[field]}))


@pytest.mark.parametrize("field", UNNOTICED)
def test_what_nobody_would_notice_is_not(field: str) -> None:
    """The rule's name, place and text, and by which group somebody may approve."""
    assert not KNOWN.differs(replace(KNOWN, **{field: UNNOTICED[field]}))
