"""How far a request is, as the embedded server's answers say it."""

from __future__ import annotations

from typing import Any

import pytest

from molecule_approve.errors import ProtocolError
from molecule_approve.model import ApprovalProgress, PersonDecision, Status, WaitingGroup
from molecule_approve.progress_fields import read_progress

DECISION = {"by": "alice", "at": "2026-11-28T22:00:00Z", "decision": "approved", "comment": None, "proof": "token"}
APPROVALS = {"need": 2, "have": 1, "rule": "two", "presence": "none", "comment": False, "approved_by": ["alice"]}
ROW: dict[str, Any] = {
    "decisions": [DECISION],
    "approvals": {**APPROVALS, "waiting_for": [{"group": "dba", "people": ["bo", "cy"]}, {"group": None, "people": ["di"]}]},
    "subject": {"action": "deploy"},
}


def test_decisions_and_progress_are_read() -> None:
    """And said in words."""
    found = read_progress(ROW)
    assert found["decisions"] == (PersonDecision("alice", "2026-11-28T22:00:00Z", Status.APPROVED, None, "token"),)
    groups = (WaitingGroup("dba", ("bo", "cy")), WaitingGroup(None, ("di",)))
    assert found["progress"] == ApprovalProgress(2, 1, "two", approved_by=("alice",), waiting_for=groups)
    assert found["progress"].sentence == "1 of 2: alice; waiting for dba (bo, cy), di"
    assert found["subject"] == {"action": "deploy"}


def test_a_row_of_the_platform_says_none_of_it() -> None:
    """Nothing is made up."""
    assert read_progress({"id": "x"}) == {}


@pytest.mark.parametrize(
    "changed",
    [
        {"decisions": None},
        {"decisions": [{}]},
        {"approvals": []},
        {"approvals": {**APPROVALS, "need": "x"}},
        {"approvals": {**APPROVALS, "have": float("inf")}},
        {"subject": 1},
    ],
)
def test_another_form_is_a_protocol_error(changed: dict[str, Any]) -> None:
    """With a hint to the versions."""
    with pytest.raises(ProtocolError, match="malformed"):
        read_progress({**ROW, **changed})
