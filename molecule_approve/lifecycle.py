"""Pure: which status may follow which, what counts as a person's decision, and what as an expiry.

The client judges the platform's rows by it, the embedded server its own transitions.
"""

from __future__ import annotations

from enum import Enum, auto

from .model import EXPIRED_BY, WITHDRAWN_BY, Approval, Question, Status
from .safe_text import is_hidden

RESERVED_NAMES = frozenset({EXPIRED_BY, WITHDRAWN_BY})
"""Names that no approver may carry: on a row they mean that no person decided."""


class Ruling(Enum):
    """What a row means for the request that it belongs to."""

    OPEN = auto()
    """Nobody has decided; also an escalated one, which waits for somebody else."""
    APPROVED = auto()
    DENIED = auto()
    EXPIRED = auto()
    """Denied by the platform's own clock: nobody said no."""
    WITHDRAWN = auto()
    """Taken back by a requester: nobody said no."""
    UNCLEAR = auto()
    """A status that is not known, or an approval by nobody: never a verdict, and never a yes."""


def rule(approval: Approval) -> Ruling:
    """What this row means. An approval counts only if a person's name stands on it."""
    match approval.status:
        case Status.PENDING | Status.ESCALATED:
            return Ruling.OPEN
        case Status.APPROVED:
            return Ruling.APPROVED if _is_somebody(approval.decided_by or "") else Ruling.UNCLEAR
        case Status.DENIED:
            return {EXPIRED_BY: Ruling.EXPIRED, WITHDRAWN_BY: Ruling.WITHDRAWN}.get(approval.decided_by or "", Ruling.DENIED)
        case _:  # whatever else there is or will be is no verdict
            return Ruling.UNCLEAR


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
    return rule(approval) in ({Ruling.OPEN, Ruling.DENIED} if is_keys else {Ruling.OPEN, Ruling.DENIED, Ruling.APPROVED})


def may_become(current: Status, following: Status) -> bool:
    """Whether a request in one status may go to another: an ended one never changes."""
    if current is Status.PENDING:
        return following in {Status.APPROVED, Status.DENIED, Status.ESCALATED}
    return current is Status.ESCALATED and following in {Status.APPROVED, Status.DENIED}
