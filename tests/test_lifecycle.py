"""lifecycle.py: what a row means for the request that it belongs to."""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import Any

import pytest

from molecule_approve.lifecycle import RESERVED_NAMES, answers, outcome_of
from molecule_approve.model import Approval, Outcome, Status, SubmittedRequest

KEYS = str(uuid.uuid5(uuid.NAMESPACE_URL, "job-1"))
YES = {"status": Status.APPROVED, "decided_by": "alice"}
NO = {"status": Status.DENIED, "decided_by": "bob"}


def row(status: Status = Status.PENDING, decided_by: str | None = None) -> Approval:
    """A row of a list."""
    return Approval(id="i", workspace_id="w", action="a", task_id="t", status=status, decided_by=decided_by)


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
