"""What one invocation writes into the audit log: which record when, with which fields, and how long it may take."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from molecule_approve.audit.record import Record, RecordAction, RecordOutcome, make_record
from molecule_approve.errors import AuditError

if TYPE_CHECKING:
    from molecule_approve.audit.journal import Head
    from molecule_approve.audit.report.story import Story
    from molecule_approve.clock import Deadline
    from molecule_approve.errors import ApprovalError, NotPermittedError
    from molecule_approve.model import Approval, ApprovalRequest, Decision, JsonValue, Question

BEFORE = 10.0
"""Seconds that the log's lock may be waited for before the question is asked."""

AFTER = 2.0
"""Seconds afterwards: a person has spoken, and somebody waits for the answer."""

AGAIN = 0.2
"""Seconds once the log has failed: the end must come within five seconds of the deadline."""

Pause = Callable[[float], None]


class Log(Protocol):
    """The audit log as the gate knows it; audit/journal.py is it."""

    @property
    def place(self) -> str:
        """A hash of where it is kept."""
        ...

    def append(self, record: Record, *, patience: float, pause: Pause = ...) -> Head:
        """Write one record durably."""
        ...

    def grant(self, record: Record, *, approval_id: str, patience: float, pause: Pause = ...) -> Head:
        """The same, unless this log holds a grant of the same approval already.

        Raises:
            UsedError: it does.

        """
        ...


class Trail:
    """The records of one invocation, in their order; one ending and no more.

    Attributes:
        recorded: whether the last record that was wanted stands in the log.
        begun: whether there is something to end.
        ended: whether an ending was wanted already.

    """

    def __init__(
        self,
        log: Log,
        request: ApprovalRequest,
        invocation: str,
        *,
        optional: bool,
        now: Callable[[], str],
        warn: Callable[[ApprovalError], None],
        note: Callable[[Head], None],
    ) -> None:
        self.recorded = False
        self.begun = False
        self.ended = False
        self._log = log
        self._request = request
        self._invocation = invocation
        self._optional = optional
        self._now = now
        self._warn = warn
        self._note = note
        self._failed = False

    @property
    def place(self) -> str:
        """A hash of where the log is kept."""
        return self._log.place

    def _patience(self, seconds: float) -> float:
        return min(AGAIN, seconds) if self._failed else seconds

    def _record(
        self,
        outcome: RecordOutcome,
        extras: dict[str, JsonValue],
        *,
        actor: str | None = None,
        action: RecordAction = RecordAction.APPROVE,
    ) -> Record:
        return make_record(
            action,
            outcome,
            timestamp=self._now(),
            workspace_id=self._request.workspace_id,
            resource=self._request.action,
            trace_id=self._request.trace_id,
            actor=actor,
            extras={"invocation": self._invocation, **{key: value for key, value in extras.items() if value != ""}},
        )

    def _append(self, record: Record, patience: float, pause: Pause = time.sleep) -> Head | None:
        try:
            head = self._log.append(record, patience=self._patience(patience), pause=pause)
        except AuditError as exc:
            self._not_recorded(exc)
            return None
        self._stands(head)
        return head

    def _stands(self, head: Head) -> None:
        self.recorded = True
        self._note(head)

    def _not_recorded(self, failure: AuditError) -> None:
        """A log that cannot be written stops us, or is a warning, for those who want that."""
        self.recorded = False
        self._failed = True
        if not self._optional:
            raise failure
        self._warn(failure)

    def _end(self, outcome: RecordOutcome, extras: dict[str, JsonValue], actor: str | None = None) -> None:
        self.ended = True
        self._append(self._record(outcome, extras, actor=actor), AFTER)

    # --- beginnings ----------------------------------------------------------------------------------------------------

    def initiated(self, deadline: Deadline, timeout: float, pause: Pause) -> Head | None:
        """Before the request leaves this machine."""
        extras: dict[str, JsonValue] = {
            "reason_text": self._request.reason,
            "timeout_seconds": timeout,
            "task_id": self._request.task_id,
            # What the approver sees of where it comes from: user, host, folder, CI job, ticket.
            "context": dict(self._request.context) or None,
        }
        head = self._append(self._record(RecordOutcome.INITIATED, extras), min(BEFORE, deadline.left()), pause)
        self.begun = True
        return head

    def resumed(self, approval_id: str, deadline: Deadline, timeout: float, pause: Pause) -> None:
        """``wait`` takes up an earlier request."""
        extras: dict[str, JsonValue] = {"approval_id": approval_id, "timeout_seconds": timeout}
        self._append(self._record(RecordOutcome.RESUMED, extras), min(BEFORE, deadline.left()), pause)
        self.begun = True

    def requested(self, question: Question, deadline: Deadline, *, wait: bool = True) -> None:
        """The platform has it; without ``wait`` nothing more comes of this invocation, and the record says so."""
        extras: dict[str, JsonValue] = {"approval_id": question.approval_id, "task_id": question.task_id}
        if not wait:
            extras["wait"] = False
        self._append(self._record(RecordOutcome.REQUESTED, extras), min(AFTER, max(AGAIN, deadline.left())))

    def not_permitted(self, refusal: NotPermittedError, deadline: Deadline, pause: Pause) -> None:
        """The roles do not let this workspace ask; nothing was asked."""
        extras: dict[str, JsonValue] = {"attempted_action": refusal.attempted_action, "roles": list(refusal.roles)}
        record = self._record(RecordOutcome.DENIED, extras, action=RecordAction.RBAC_DENY)
        self._append(record, min(BEFORE, deadline.left()), pause)

    # --- endings -------------------------------------------------------------------------------------------------------

    def granted(self, decision: Decision, waited: float, transport: str) -> None:
        """A person approved; raises UsedError where this log holds that approval already."""
        row = decision.approval
        record = self._record(RecordOutcome.GRANTED, _verdict_fields(decision, waited, transport), actor=row.decided_by)
        try:
            head = self._log.grant(record, approval_id=row.id, patience=self._patience(AFTER))
        except AuditError as exc:
            self._not_recorded(exc)
        else:
            self._stands(head)
        # Not before: a grant that failed is no ending, and a record of the failure still follows.
        self.ended = True

    def denied(self, decision: Decision, waited: float, transport: str) -> None:
        """A person said no."""
        fields = _verdict_fields(decision, waited, transport)
        self._end(RecordOutcome.DENIED, fields, actor=decision.approval.decided_by)

    def timeout(self, approval_id: str | None, waited: float, reason: str, *, withdrawn: bool) -> None:
        """Nobody decided in time; no person is named."""
        self._end(
            RecordOutcome.TIMEOUT,
            {"approval_id": approval_id, "waited_seconds": round(waited, 3), "reason": reason, "withdrawn": withdrawn},
        )

    def withdrawn(self, approval_id: str | None, why: str, *, taken_back: bool, stood: Approval | None) -> None:
        """Taken back, on a signal or by somebody else's command; names a decision that stood already."""
        decision: dict[str, JsonValue] = (
            {} if stood is None else {**_decided(stood), "decision_that_stood": stood.status.value}
        )
        self._end(RecordOutcome.WITHDRAWN, {"approval_id": approval_id, "reason": why, "taken_back": taken_back, **decision})

    def failure(self, approval_id: str | None, reason: str, error: str) -> None:
        """No verdict could be had. A log that cannot be written either is no further news to the caller."""
        self.ended = True
        record = self._record(RecordOutcome.FAILURE, {"approval_id": approval_id, "reason": reason, "error": error})
        try:
            self._append(record, AFTER)
        except AuditError as exc:
            self._warn(exc)

    def undelivered(self, approval_id: str | None, error: str) -> None:
        """The approval stands in the log, and could not be told."""
        extras: dict[str, JsonValue] = {"approval_id": approval_id, "error": error}
        try:
            self._append(self._record(RecordOutcome.FAILED, extras, action=RecordAction.DELIVER), AFTER)
        except AuditError as exc:
            self._warn(exc)


def observation(story: Story, row: Approval, outcome: str, *, by: str, now: str) -> Record:
    """How a request ended, as somebody saw it whom no attempt of it told: never a grant, and no ending of an attempt.

    Args:
        story: the request, as the log has it.
        row: the same, as the platform shows it.
        outcome: the ending, as its own record would call it.
        by: the command that saw it.
        now: the time of the record.

    """
    is_decision = outcome in {RecordOutcome.GRANTED, RecordOutcome.DENIED}
    told = _decided(row) if is_decision else {"approval_id": row.id, "decided_at": row.decided_at}
    return make_record(
        RecordAction.OBSERVE,
        RecordOutcome.OBSERVED,
        timestamp=now,
        workspace_id=story.first("workspace_id"),
        resource=story.asked,
        trace_id=story.first("trace_id"),
        actor=row.decided_by if is_decision else None,
        extras={"observed_outcome": outcome, "observed_by": by, **told},
    )


def _verdict_fields(decision: Decision, waited: float, transport: str) -> dict[str, JsonValue]:
    return {
        **_decided(decision.approval),
        "waited_seconds": round(waited, 3),
        "transport": transport,
        "evidence": decision.evidence.value,
    }


def _decided(row: Approval) -> dict[str, JsonValue]:
    return {
        "approval_id": row.id,
        "decided_by": row.decided_by,
        "decided_by_verified": row.decided_by_verified is True,
        "decided_at": row.decided_at,
        "comment": row.comment,
    }
