"""Which record an attempt writes into the audit log when, with which fields, and how long that may take."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Protocol

from molecule_approve.audit.record import Record, RecordAction, RecordOutcome, make_record
from molecule_approve.errors import AuditError

if TYPE_CHECKING:
    from molecule_approve.audit.chain import Head
    from molecule_approve.audit.report.story import Story
    from molecule_approve.clock import Deadline
    from molecule_approve.errors import ApprovalError, NotPermittedError
    from molecule_approve.model import Approval, ApprovalRequest, Decision, Execution, JsonValue, SubmittedRequest

    from .command import BoundCommand

BEFORE = 10.0
"""Seconds to wait for the log's lock before the request is submitted."""

AFTER = 2.0
"""Seconds to wait for it afterwards: a person has decided, and a script waits."""

AGAIN = 0.2
"""Seconds to wait for it once the log has failed: the attempt must end within five seconds of its deadline."""

Pause = Callable[[float], None]


class Log(Protocol):
    """The audit log as the gate knows it; audit/journal.py is it."""

    @property
    def place(self) -> str:
        """A hash of the log's path."""
        ...

    def append(self, record: Record, *, patience: float, pause: Pause = ...) -> Head:
        """Write one record durably."""
        ...

    def grant(self, record: Record, *, approval_id: str, patience: float) -> Head:
        """Write the record, unless this log already holds a grant of the same approval.

        Raises:
            UsedError: it does.
        """
        ...


class Recorder:
    """Writes the records of one attempt, in their order; one that ends the attempt, and no more.

    Attributes:
        recorded: whether the last record was written.
        begun: whether the attempt's first record was written.
        ended: whether the record that ends the attempt was written, or tried.
    """

    def __init__(
        self,
        log: Log,
        request: ApprovalRequest,
        attempt_id: str,
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
        self._attempt_id = attempt_id
        self._optional = optional
        self._now = now
        self._warn = warn
        self._note = note
        self._failed = False

    @property
    def place(self) -> str:
        """A hash of the log's path."""
        return self._log.place

    @property
    def open(self) -> bool:
        """Whether the attempt has begun in the log, and has not ended there."""
        return self.begun and not self.ended

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
            extras={"invocation": self._attempt_id, **{key: value for key, value in extras.items() if value != ""}},
        )

    def _append(self, record: Record, patience: float, pause: Pause = time.sleep) -> Head | None:
        try:
            head = self._log.append(record, patience=self._patience(patience), pause=pause)
        except AuditError as exc:
            self._not_written(exc)
            return None
        self._written(head)
        return head

    def _append_or_warn(self, record: Record) -> None:
        """For what has happened already, and is told to the caller even if the log fails."""
        try:
            self._append(record, AFTER)
        except AuditError as exc:
            self._warn(exc)

    def _written(self, head: Head) -> None:
        self.recorded = True
        self._note(head)

    def _not_written(self, failure: AuditError) -> None:
        """A log that cannot be written ends the attempt; with ``audit_optional`` it is a warning."""
        self.recorded = False
        self._failed = True
        if not self._optional:
            raise failure
        self._warn(failure)

    def _end(self, outcome: RecordOutcome, extras: dict[str, JsonValue], actor: str | None = None) -> None:
        self.ended = True
        self._append(self._record(outcome, extras, actor=actor), AFTER)

    # --- beginnings ----------------------------------------------------------------------------------------------------

    def record_initiated(self, deadline: Deadline, timeout: float, pause: Pause) -> Head | None:
        """The attempt begins; before the request leaves this machine."""
        extras: dict[str, JsonValue] = {
            "reason_text": self._request.reason,
            "timeout_seconds": timeout,
            "task_id": self._request.task_id,
            # What the approver sees: user, host, folder, CI job, ticket.
            "context": dict(self._request.context) or None,
        }
        head = self._append(self._record(RecordOutcome.INITIATED, extras), min(BEFORE, deadline.left()), pause)
        self.begun = True
        return head

    def record_resumed(self, approval_id: str, deadline: Deadline, timeout: float, pause: Pause) -> None:
        """``wait`` resumes an earlier request."""
        extras: dict[str, JsonValue] = {"approval_id": approval_id, "timeout_seconds": timeout}
        self._append(self._record(RecordOutcome.RESUMED, extras), min(BEFORE, deadline.left()), pause)
        self.begun = True

    def record_requested(self, submitted: SubmittedRequest, deadline: Deadline, *, wait: bool = True) -> None:
        """The platform has the request; without ``wait`` the attempt ends here, and the record says so."""
        extras: dict[str, JsonValue] = {"approval_id": submitted.approval_id, "task_id": submitted.task_id}
        if not wait:
            extras["wait"] = False
        self._append(self._record(RecordOutcome.REQUESTED, extras), min(AFTER, max(AGAIN, deadline.left())))

    def record_not_permitted(self, refusal: NotPermittedError, deadline: Deadline, pause: Pause) -> None:
        """The workspace's roles do not permit a request; none was sent."""
        extras: dict[str, JsonValue] = {"attempted_action": refusal.attempted_action, "roles": list(refusal.roles)}
        record = self._record(RecordOutcome.DENIED, extras, action=RecordAction.RBAC_DENY)
        self._append(record, min(BEFORE, deadline.left()), pause)

    # --- ends ----------------------------------------------------------------------------------------------------------

    def record_granted(self, decision: Decision, waited: float, transport: str) -> None:
        """A person approved.

        Raises:
            UsedError: this log already holds a grant of this approval.
        """
        row = decision.approval
        record = self._record(RecordOutcome.GRANTED, _verdict_fields(decision, waited, transport), actor=row.decided_by)
        try:
            head = self._log.grant(record, approval_id=row.id, patience=self._patience(AFTER))
        except AuditError as exc:
            self._not_written(exc)
        else:
            self._written(head)
        # Only now: after a refused grant the record of the failure still follows.
        self.ended = True

    def record_denied(self, decision: Decision, waited: float, transport: str) -> None:
        """A person denied."""
        fields = _verdict_fields(decision, waited, transport)
        self._end(RecordOutcome.DENIED, fields, actor=decision.approval.decided_by)

    def record_timeout(self, approval_id: str | None, waited: float, reason: str, *, withdrawn: bool) -> None:
        """Nobody decided in time."""
        self._end(
            RecordOutcome.TIMEOUT,
            {"approval_id": approval_id, "waited_seconds": round(waited, 3), "reason": reason, "withdrawn": withdrawn},
        )

    def record_withdrawn(self, approval_id: str | None, why: str, *, withdrawn: bool, decision: Approval | None) -> None:
        """The request was withdrawn, on a signal or by somebody else; with the decision that had ended it before, if any."""
        found: dict[str, JsonValue] = (
            {} if decision is None else {**_decided(decision), "decision_that_stood": decision.status.value}
        )
        self._end(RecordOutcome.WITHDRAWN, {"approval_id": approval_id, "reason": why, "taken_back": withdrawn, **found})

    def record_failure(self, approval_id: str | None, reason: str, error: str) -> None:
        """No verdict could be had. A log that cannot be written is a warning: the caller learns of the first failure."""
        self.ended = True
        extras: dict[str, JsonValue] = {"approval_id": approval_id, "reason": reason, "error": error}
        self._append_or_warn(self._record(RecordOutcome.FAILURE, extras))

    def record_undelivered(self, approval_id: str | None, error: str) -> None:
        """The approval is in the log, and could not be delivered to the caller."""
        extras: dict[str, JsonValue] = {"approval_id": approval_id, "error": error}
        self._append_or_warn(self._record(RecordOutcome.FAILED, extras, action=RecordAction.DELIVER))

    # --- run -----------------------------------------------------------------------------------------------------------

    def record_started(self, approval_id: str | None, command: BoundCommand, *, replaces: bool) -> None:
        """The approved command is about to be checked once more and started.

        If it ``replaces`` this process, no record of its end follows.
        """
        extras: dict[str, JsonValue] = {"approval_id": approval_id, "command": command.line, "digest": command.digest}
        if replaces:
            extras["replaces_process"] = True
        self._append(self._record(RecordOutcome.STARTED, extras, action=RecordAction.EXECUTE), AFTER)

    def record_finished(self, approval_id: str | None, execution: Execution) -> None:
        """The command has ended. A log that cannot be written is a warning: what ran, ran."""
        extras = {"exit_code": execution.child_exit_code, "signal": execution.child_signal}
        self._record_execution(RecordOutcome.FINISHED, approval_id, execution.digest, extras)

    def record_refused(self, approval_id: str | None, digest: str | None, why: ApprovalError) -> None:
        """The approved command was not started."""
        self._record_execution(RecordOutcome.REFUSED, approval_id, digest, {"reason": why.kind, "error": why.message})

    def _record_execution(
        self, outcome: RecordOutcome, approval_id: str | None, digest: str | None, extras: Mapping[str, JsonValue]
    ) -> None:
        fields: dict[str, JsonValue] = {"approval_id": approval_id, "digest": digest, **extras}
        self._append_or_warn(self._record(outcome, fields, action=RecordAction.EXECUTE))


def observation(story: Story, row: Approval, outcome: str, *, by: str, now: str) -> Record:
    """How a request ended, as another command saw it: it grants nothing, and ends no attempt.

    The story is as the log has it, the row as the platform shows it; ``outcome`` is in the words of the audit log. ``by`` is
    the command that saw it.
    """
    is_decision = outcome in {RecordOutcome.GRANTED, RecordOutcome.DENIED}
    found = _decided(row) if is_decision else {"approval_id": row.id, "decided_at": row.decided_at}
    return make_record(
        RecordAction.OBSERVE,
        RecordOutcome.OBSERVED,
        timestamp=now,
        workspace_id=story.first("workspace_id"),
        resource=story.asked,
        trace_id=story.first("trace_id"),
        actor=row.decided_by if is_decision else None,
        extras={"observed_outcome": outcome, "observed_by": by, **found},
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
