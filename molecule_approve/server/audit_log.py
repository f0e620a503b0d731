"""The server's own audit log: an ending as a record, and records onto the disk. When is decided in ``journaling``."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from molecule_approve.audit.journal import Journal
from molecule_approve.audit.read import history
from molecule_approve.audit.record import Record, RecordAction, RecordOutcome, decode, make_record
from molecule_approve.model import EXPIRED_BY, WITHDRAWN_BY, Approval, Status

if TYPE_CHECKING:
    from .values import OutboxEntry


def record_of(entry: OutboxEntry) -> Record:
    """The ending as the audit log tells it: the actor is the person who decided, else the workspace.

    The context is what the approver saw, as it was sent. Our clients send none of the secrets that they know; of those
    that we know, there are only hashes here.
    """
    approval = entry.approval
    return make_record(
        RecordAction.APPROVE,
        _outcome(approval),
        timestamp=entry.recorded_at,
        workspace_id=approval.workspace_id,
        resource=approval.action,
        # Clients of the platform may send no task id; the record needs one name for the request all the same.
        trace_id=approval.task_id or approval.id,
        actor=approval.decided_by if approval.decided_by_verified else None,
        extras={
            "approval_id": approval.id,
            "decided_by": approval.decided_by,
            "decided_by_verified": approval.decided_by_verified,
            "reason_text": approval.reason,
            "context": dict(approval.context or {}) or None,
            "comment": approval.comment,
            "claimed_by": entry.claimed_by,
        },
    )


def _outcome(approval: Approval) -> RecordOutcome:
    if approval.decided_by_verified:
        return RecordOutcome.GRANTED if approval.status is Status.APPROVED else RecordOutcome.DENIED
    return {EXPIRED_BY: RecordOutcome.TIMEOUT, WITHDRAWN_BY: RecordOutcome.WITHDRAWN}[approval.decided_by or ""]


class ServerAuditLog:
    """The audit log beside the database.

    Args:
        path: the file.
        patience: seconds that an append waits for the log's lock.

    """

    def __init__(self, path: Path, patience: float) -> None:
        self._path = path
        # One object for good: after a failed fsync it refuses everything, and the rows wait for the next start.
        self._journal = Journal(path)
        self._patience = patience

    def append(self, entry: OutboxEntry) -> None:
        """Write the entry, durably.

        Raises:
            AuditError: the log cannot be written, or is held by somebody else for too long.

        """
        self._journal.append(record_of(entry), patience=self._patience)

    def held(self) -> set[str]:
        """The ids of the approvals that the log holds. For the start after a crash: it reads all of it, archives too.

        Raises:
            AuditError: the log cannot be read.

        """
        with closing(history.backwards(self._path)) as newest:
            found = (decode(line) for line in newest if b'"approval_id"' in line)
            return {str(fields["approval_id"]) for fields in found if fields is not None and "approval_id" in fields}
