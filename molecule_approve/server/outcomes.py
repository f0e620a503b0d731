"""Ends requests within a transaction: by a decision or a withdrawal, or because their time is over."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from molecule_approve.clock import utc_now
from molecule_approve.model import EXPIRED_BY, Approval, Status

from .database.values import Resolution, epoch_text
from .refusals import RefusedError, ended

if TYPE_CHECKING:
    from .database.transaction import Transaction

OPEN_STATUSES = frozenset({Status.PENDING, Status.ESCALATED})
"""The statuses of a request that has not ended."""


@dataclass(frozen=True, slots=True)
class RequestPath:
    """The ids of a request and its workspace."""

    workspace_id: str
    approval_id: str


def end(
    transaction: Transaction, path: RequestPath, resolution: Resolution, missing: RefusedError
) -> Approval | RefusedError:
    """End the request in this way; the refusal if it has ended already, or ``missing`` if there is none."""
    approval = transaction.requests.end(path.workspace_id, path.approval_id, resolution, transaction.now)
    if approval is not None:
        return approval
    found = transaction.requests.one(path.workspace_id, path.approval_id)
    if found is None:
        return missing
    if transaction.again and _is_by(found.approval, resolution):
        return found.approval
    return ended(as_it_is(transaction, found.approval))


def _is_by(approval: Approval, resolution: Resolution) -> bool:
    """Whether the request ended in this very way, by a commit whose answer was lost."""
    found = (approval.status, approval.decided_by, approval.decided_at, approval.decided_by_verified, approval.comment)
    by = resolution
    return found == (by.status, by.decided_by, by.decided_at, by.verified, by.comment)


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
    """Expire every request whose time is over."""
    for workspace_id, approval_id in transaction.requests.due(transaction.now):
        _expire(transaction, workspace_id, approval_id)
