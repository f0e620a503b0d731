"""lifecycle.py: what a row means for the request that it belongs to."""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import Any

import pytest

from molecule_approve.lifecycle import RESERVED_NAMES, answers, is_own, outcome_of, self_approved
from molecule_approve.model import Approval, Outcome, Status, SubmittedRequest

KEYS = str(uuid.uuid5(uuid.NAMESPACE_URL, "job-1"))
YES = {"status": Status.APPROVED, "decided_by": "alice"}
NO = {"status": Status.DENIED, "decided_by": "bob"}


def row(status: Status = Status.PENDING, decided_by: str | None = None) -> Approval:
    """A row of a list."""
    return Approval(id="i", workspace_id="w", action="a", task_id="t", status=status, decided_by=decided_by)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("alice", "alice", True),
        ("alice", "ALICE", True),
        ("stra\u00dfe", "STRASSE", True),
        ("jos\u00e9", "Jose\u0301", True),
        ("alice", "alice ", False),
        ("alice", "\u0430lice", False),
        ("alice", "\uff41lice", False),  # full-width: another letter
        (None, None, False),
        (None, "alice", False),
        ("alice", None, False),
    ],
)
def test_a_person_is_known_by_their_name_however_it_is_written(one: str | None, other: str | None, same: bool) -> None:
    """Letter case and NFC make no other person; nobody is the same as nobody."""
    assert is_own(one, other) is same


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({}, True),
        ({"requested_by": "bob"}, False),
        ({"status": Status.DENIED}, False),
        ({"requested_by": None}, None),
        ({"decided_by_verified": False}, None),
        ({"decided_by_verified": None}, None),
    ],
)
def test_who_approved_their_own_request_is_known_by_two_credentials(change: dict[str, Any], told: bool | None) -> None:
    """Where one of them is not known, nothing is said."""
    own = replace(row(Status.APPROVED, "alice"), requested_by="Alice", decided_by_verified=True)
    assert self_approved(replace(own, **change)) is told


@pytest.mark.parametrize(
    ("status", "decided_by", "outcome"),
    [
        (Status.PENDING, None, Outcome.PENDING),
        (Status.PENDING, "alice", Outcome.PENDING),
        (Status.ESCALATED, None, Outcome.PENDING),
        (Status.APPROVED, "alice", Outcome.APPROVED),
        (Status.APPROVED, "human", Outcome.APPROVED),
        (Status.APPROVED, None, Outcome.FAILED),
        (Status.APPROVED, "", Outcome.FAILED),
        (Status.APPROVED, " \t", Outcome.FAILED),
        (Status.APPROVED, "\u200b\u00a0\u2060", Outcome.FAILED),
        (Status.APPROVED, "auto-expired", Outcome.FAILED),
        (Status.APPROVED, "withdrawn", Outcome.FAILED),
        (Status.DENIED, "bob", Outcome.DENIED),
        (Status.DENIED, None, Outcome.DENIED),
        (Status.DENIED, "auto-expired", Outcome.EXPIRED),
        (Status.DENIED, "withdrawn", Outcome.WITHDRAWN),
        (Status.UNKNOWN, "alice", Outcome.FAILED),
    ],
)
def test_a_row_means_what_its_status_and_name_say(status: Status, decided_by: str | None, outcome: Outcome) -> None:
    """Only a person's name makes an approval."""
    assert outcome_of(row(status, decided_by)) is outcome


@pytest.mark.parametrize(
    ("submitted", "fields", "answered"),
    [
        (SubmittedRequest("i", "w", "a", "t"), {}, True),
        (SubmittedRequest("i", "w", "a", "t"), {"workspace_id": "other"}, False),
        (SubmittedRequest("i", "w", "a", "t"), {"action": "b"}, False),
        (SubmittedRequest("i", "w", "a", "t"), {"task_id": "other"}, False),
        (SubmittedRequest("i", "w", "a", "t"), {"id": "twin"}, True),
        (SubmittedRequest("i", "w", "a", "t"), {"id": "twin", **YES}, True),
        (SubmittedRequest("i", "w", "a", "t"), {"id": "twin", **NO}, True),
        (SubmittedRequest("i", "w", "a", "t"), {"id": "twin", "status": Status.DENIED, "decided_by": "withdrawn"}, False),
        (SubmittedRequest("i", "w", "a", "t"), {"id": "twin", "status": Status.DENIED, "decided_by": "auto-expired"}, False),
        (SubmittedRequest("i", "w", "a", "t"), {"id": "twin", "status": Status.UNKNOWN}, False),
        (SubmittedRequest("i", "w", "a", "t"), {"status": Status.DENIED, "decided_by": "withdrawn"}, True),
        (SubmittedRequest("i", "w", "a", KEYS), {"task_id": KEYS, **YES}, True),
        (SubmittedRequest("i", "w", "a", KEYS), {"id": "earlier", "task_id": KEYS, **YES}, False),
        (SubmittedRequest("i", "w", "a", KEYS), {"id": "twin", "task_id": KEYS, **NO}, True),
        (SubmittedRequest("i", "w", "a", KEYS), {"id": "twin", "task_id": KEYS}, True),
        (SubmittedRequest("i", "w", "a"), {"id": "twin"}, False),
        (SubmittedRequest("i", "w", "a"), {"task_id": "any"}, True),
        (SubmittedRequest("i", "w"), {"action": "any"}, True),
    ],
)
def test_a_row_answers_only_the_question_that_was_asked(
    submitted: SubmittedRequest, fields: dict[str, Any], *, answered: bool
) -> None:
    """Workspace, action and task id, as far as they are known; another id only by our own task id."""
    assert answers(replace(row(), **fields), submitted) is answered


def test_no_approver_may_carry_a_name_that_means_nobody() -> None:
    """Both of them are reserved."""
    assert {"auto-expired", "withdrawn"} == RESERVED_NAMES
