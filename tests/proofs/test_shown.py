"""A server that shows one thing and wants another to be signed."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import pytest

from molecule_approve.model import Approval, ApprovalProgress, Status
from molecule_approve.proofs.faults import ProofError
from molecule_approve.proofs.shown import shown_subject
from molecule_approve.proofs.statement import Subject, context_digest

SUBJECT = Subject(
    server="server-1",
    workspace="workspace-1",
    request="request-1",
    task="task-1",
    requester="ci",
    action=f"a command\ndigest: sha256:{'ab' * 32}",
    reason="because",
    context_sha256=context_digest({"host": "box"}),
    run_sha256="ab" * 32,
    rule="two",
    rule_sha256="cd" * 32,
    approvals=2,
)
ROW = Approval(
    id=SUBJECT.request,
    workspace_id=SUBJECT.workspace,
    action=SUBJECT.action,
    status=Status.PENDING,
    reason=SUBJECT.reason,
    task_id=SUBJECT.task,
    context={"host": "box"},
    requested_by="ci",
    progress=ApprovalProgress(need=2, have=0, rule="two"),
    subject=asdict(SUBJECT),
)


def test_the_statement_is_about_what_is_shown() -> None:
    """Each field that the row has is the row's."""
    assert shown_subject(ROW) == SUBJECT


@pytest.mark.parametrize("name", sorted(set(Subject.__slots__) - {"server", "rule_sha256"}))
def test_a_field_that_differs_from_what_is_shown_is_named(name: str) -> None:
    """Nothing is signed."""
    other: Any = 1 if name == "approvals" else "x"
    with pytest.raises(ProofError, match=f"the server wants another {name} to be signed than it shows"):
        shown_subject(replace(ROW, subject={**asdict(SUBJECT), name: other}))


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        (replace(ROW, subject=None), "does not say what a signature has to be about"),
        (replace(ROW, progress=None), "does not say what a signature has to be about"),
        (replace(ROW, subject={"server": "x"}), "cannot be read: it has other fields"),
        (replace(ROW, context={"number": float("inf")}), "cannot be read: JSON has no such number"),
    ],
)
def test_a_server_that_says_too_little_gets_no_signature(row: Approval, sentence: str) -> None:
    """An older server, another platform, or one that is broken."""
    with pytest.raises(ProofError, match=sentence):
        shown_subject(row)
