"""Pure: what a platform's list shows of one request. The list is newest first, and may show duplicates of it."""

from __future__ import annotations

from datetime import UTC, datetime

from molecule_approve import wire
from molecule_approve.lifecycle import answers, outcome_of
from molecule_approve.model import Approval, Outcome, SubmittedRequest

from .platform import Sighting

_LONG_AGO = datetime.min.replace(tzinfo=UTC)


def created(row: Approval) -> datetime:
    """When the platform created it; long ago where it does not say."""
    # As moments, not as text: the platform leaves trailing zeros out, and then text sorts wrongly.
    return wire.instant(row.created_at) or _LONG_AGO


def _oldest(rows: list[Approval]) -> Approval | None:
    # The list is newest first; its order decides where creation times are equal or missing.
    return min(reversed(rows), key=created, default=None)


def from_list(rows: list[Approval], submitted: SubmittedRequest) -> Sighting:
    """What a list shows of a request: a denial of any row, else an approval of any, else the oldest row."""
    ours = [row for row in rows if answers(row, submitted)]
    decided = [[row for row in ours if outcome_of(row) is outcome] for outcome in (Outcome.DENIED, Outcome.APPROVED)]
    chosen = next(filter(None, map(_oldest, (*decided, ours))), None)
    # By id: a list may show one row twice.
    others = [row for row in ours if chosen is not None and row.id != chosen.id]
    last = _oldest(rows)
    return Sighting(
        approval=chosen,
        duplicates=tuple(row for row in others if outcome_of(row) is Outcome.PENDING),
        crowded=len(rows) >= wire.LIST_LENGTH,
        oldest=None if last is None else last.created_at,
        strange=any(row.id == submitted.approval_id and not answers(row, submitted) for row in rows),
    )
