"""Expiry: which requests are due, and ending them, within a transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from molecule_approve.clock import utc_now
from molecule_approve.model import EXPIRED_BY, Approval, Status

from .database.values import Resolution, epoch_text

if TYPE_CHECKING:
    from .database.transaction import Transaction

OPEN_STATUSES = frozenset({Status.PENDING, Status.ESCALATED})
"""The statuses of a request that has not ended."""


def is_due(transaction: Transaction, approval: Approval) -> bool:
    """Whether the request is still open although its time is over."""
    return approval.status in OPEN_STATUSES and (approval.expires_at or "") <= epoch_text(transaction.now)


def as_it_is(transaction: Transaction, approval: Approval) -> Approval:
    """The request, expired if that is due."""
    return (_expire(transaction, approval.workspace_id, approval.id) if is_due(transaction, approval) else None) or approval


def _expire(transaction: Transaction, workspace_id: str, approval_id: str) -> Approval | None:
    resolution = Resolution(Status.DENIED, EXPIRED_BY, utc_now())
    return transaction.requests.expire(workspace_id, approval_id, resolution, transaction.now)


def expire_due(transaction: Transaction) -> None:
    """Expire every request that is due."""
    for workspace_id, approval_id in transaction.requests.due(transaction.now):
        _expire(transaction, workspace_id, approval_id)


def next_expiry(transaction: Transaction) -> tuple[str | None, float | None]:
    """When the next open request expires: as text, and in how many seconds."""
    found = transaction.requests.next_expiry()
    return (None, None) if found is None else (epoch_text(found), found - transaction.now)
