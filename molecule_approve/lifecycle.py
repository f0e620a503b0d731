"""Pure: what a row means for its request: what counts as a person's decision, and what as an expiry or a withdrawal."""

from __future__ import annotations

import unicodedata

from .model import EXPIRED_BY, WITHDRAWN_BY, Approval, Outcome, Status, SubmittedRequest
from .safe_text import is_hidden

RESERVED_NAMES = frozenset({EXPIRED_BY, WITHDRAWN_BY})
"""Names that no approver may have: on a row they mean that no person decided."""


_BY_NOBODY = {EXPIRED_BY: Outcome.EXPIRED, WITHDRAWN_BY: Outcome.WITHDRAWN}


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
            return _BY_NOBODY.get(approval.decided_by or "", Outcome.DENIED)
        case _:
            return Outcome.FAILED


def outcome_text(status: str, decided_by: str | None) -> str:
    """How a request ended, in a few words; the name is not made visible yet."""
    nobody = _BY_NOBODY.get(decided_by or "") if status == Status.DENIED.value else None
    return f"{status} by {decided_by or 'nobody'}" if nobody is None else nobody.value


def _is_somebody(name: str) -> bool:
    """Whether the name is visible and not reserved."""
    return name not in RESERVED_NAMES and any(not is_hidden(character) and character != " " for character in name)


def name_key(name: str) -> str:
    """What two spellings of one person's name have in common, in any letter case, composed or decomposed."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def is_own(requested_by: str | None, approver: str | None) -> bool:
    """Whether requester and approver are one person: their credentials have the same name."""
    return requested_by is not None and approver is not None and name_key(requested_by) == name_key(approver)


def self_approved(approval: Approval) -> bool | None:
    """Whether the requester approved the request, by the names of the credentials; None if these are not known."""
    if approval.requested_by is None or approval.decided_by_verified is not True:
        return None
    return approval.status is Status.APPROVED and is_own(approval.requested_by, approval.decided_by)


def answers(approval: Approval, submitted: SubmittedRequest) -> bool:
    """Whether this row is this request: workspace, task id and action, as far as they are known, and the id.

    A row with another id answers only by our own task id: it is a duplicate, submitted again because an answer was lost.
    It counts while it is open and once a person has decided; a duplicate that was withdrawn or expired does not end ours.
    A key's task id outlives an attempt, so an approval of another row with it belongs to an earlier attempt.
    """
    if approval.workspace_id != submitted.workspace_id:
        return False
    if submitted.action is not None and approval.action != submitted.action:
        return False
    if submitted.task_id is not None and approval.task_id != submitted.task_id:
        return False
    if approval.id == submitted.approval_id:
        return True
    if submitted.task_id is None:
        return False
    is_keys = submitted.task_id[14:15] == "5"  # the version of a UUID; see wire.key_task_id
    counting = {Outcome.PENDING, Outcome.DENIED} if is_keys else {Outcome.PENDING, Outcome.DENIED, Outcome.APPROVED}
    return outcome_of(approval) in counting
