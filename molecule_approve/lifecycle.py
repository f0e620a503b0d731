"""Pure: what a row means for its request: what counts as a person's decision, and what as an expiry or a withdrawal."""

from __future__ import annotations

from .model import EXPIRED_BY, WITHDRAWN_BY, Approval, Outcome, Question, Status
from .safe_text import is_hidden

RESERVED_NAMES = frozenset({EXPIRED_BY, WITHDRAWN_BY})
"""Names that no approver may carry: on a row they mean that no person decided."""


def outcome_of(approval: Approval) -> Outcome:
    """How the request of this row stands, by the row alone: an approval counts only if a person's name is on it.

    FAILED for a row that shows no verdict: an unknown status, or an approval by nobody.
    """
    match approval.status:
        case Status.PENDING | Status.ESCALATED:
            return Outcome.PENDING
        case Status.APPROVED:
            return Outcome.APPROVED if _is_somebody(approval.decided_by or "") else Outcome.FAILED
        case Status.DENIED:
            by_nobody = {EXPIRED_BY: Outcome.EXPIRED, WITHDRAWN_BY: Outcome.WITHDRAWN}
            return by_nobody.get(approval.decided_by or "", Outcome.DENIED)
        case _:
            return Outcome.FAILED


def _is_somebody(name: str) -> bool:
    """Whether a name is one that a person can see, and none of the words for "nobody decided"."""
    return name not in RESERVED_NAMES and any(not is_hidden(character) and character != " " for character in name)


def answers(approval: Approval, question: Question) -> bool:
    """Whether this row is this very question: workspace, task id and action, as far as they are known, and the id.

    A row under another id answers only by our own task id: it is the same question, asked twice because an answer was
    lost on the way. It counts while it is open and once a person has decided; one that was taken back or ran out does
    not end ours. Under a key's task id, which outlives a run, an approval of another row is an earlier run's.
    """
    if approval.workspace_id != question.workspace_id:
        return False
    if question.action is not None and approval.action != question.action:
        return False
    if question.task_id is not None and approval.task_id != question.task_id:
        return False
    if approval.id == question.approval_id:
        return True
    if question.task_id is None:
        return False
    is_keys = question.task_id[14:15] == "5"  # the version of a UUID; see wire.key_task_id
    counting = {Outcome.PENDING, Outcome.DENIED} if is_keys else {Outcome.PENDING, Outcome.DENIED, Outcome.APPROVED}
    return outcome_of(approval) in counting
