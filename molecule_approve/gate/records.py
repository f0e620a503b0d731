"""Which record an attempt writes into the audit log when, with which fields, and how long that may take."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Protocol

from molecule_approve.audit.record import Record, RecordAction, RecordOutcome, make_record
from molecule_approve.errors import AuditError, Interrupted

if TYPE_CHECKING:
    from molecule_approve.audit.chain import Head
    from molecule_approve.audit.report.story import Story
    from molecule_approve.clock import Deadline
    from molecule_approve.errors import ApprovalError, NotPermittedError
    from molecule_approve.executions import Execution
    from molecule_approve.model import Approval, ApprovalRequest, Decision, JsonValue, SubmittedRequest

    from .command import BoundCommand

PATIENCE = 120.0
"""Seconds to wait for the log's lock, of those that the attempt has left; a signal ends the wait.

Five hundred commands that start together hold it 1,500 times, and whoever holds it shares two processors with all that
start: some tens of milliseconds each. So whoever is served in turn waits for thirty seconds or more, and is told so after
two. After four times as long the holder hangs.
"""

ENDING = 2.0
"""Seconds to wait for it where little time is left, or none: the attempt ends within five seconds of its deadline, of which
withdrawing its request takes two; and soon after a signal, or a failure."""

AGAIN = 0.2
"""Seconds to wait for it once the log has failed: there may be three more records to try."""

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

    def grant(self, record: Record, *, approval_id: str, patience: float, pause: Pause = ...) -> Head:
        """Write the record, unless this log already holds a grant of the same approval.

        Raises:
            UsedError: it does.
        """
        ...

    def has_asked(self, approval_id: str, asked_sha256: str | None = None) -> bool:
        """Whether just this was asked under this id; without a hash, whether the log knows what was."""
        ...

    def keep_receipt(self, data: bytes) -> str:
        """Keep a receipt durably; its SHA-256."""
        ...


class Recorder:
    """Writes the records of one attempt, in their order; one that ends the attempt, and no more.

    ``pause`` sleeps while another process holds the log's lock after the request was submitted; it raises Interrupted.

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
        pause: Pause,
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
        self._pause = pause
        self._failed = False

    @property
    def place(self) -> str:
        """A hash of the log's path."""
        return self._log.place

    def has_asked(self, approval_id: str, asked_sha256: str | None = None) -> bool:
        """Whether the log says that just this was asked under this id; without a hash, whether it knows what was.

        Raises:
            AuditError: the log cannot be read.
        """
        return self._log.has_asked(approval_id, asked_sha256)

    def keep_receipt(self, data: bytes) -> str:
        """Keep a receipt beside the log; its SHA-256.

        Raises:
            AuditError: it cannot be written.
        """
        return self._log.keep_receipt(data)

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
            self._append(record, ENDING)
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

    def _end(
        self, outcome: RecordOutcome, extras: dict[str, JsonValue], deadline: Deadline, *, actor: str | None = None
    ) -> None:
        self.ended = True
        try:
            self._append(self._record(outcome, extras, actor=actor), _until(deadline), self._pause)
        except Interrupted:
            self.ended = False  # it was not tried, and the record of the interruption follows
            raise

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
        head = self._append(self._record(RecordOutcome.INITIATED, extras), min(PATIENCE, deadline.left()), pause)
        self.begun = True
        return head

    def record_resumed(self, approval_id: str, deadline: Deadline, timeout: float, pause: Pause) -> None:
        """``wait`` resumes an earlier request."""
        extras: dict[str, JsonValue] = {"approval_id": approval_id, "timeout_seconds": timeout}
        self._append(self._record(RecordOutcome.RESUMED, extras), min(PATIENCE, deadline.left()), pause)
        self.begun = True

    def record_requested(
        self, submitted: SubmittedRequest, deadline: Deadline, *, wait: bool = True, asked_sha256: str | None = None
    ) -> None:
        """The platform has the request; without ``wait`` the attempt ends here, and the record says so.

        ``asked_sha256``: the hash of what a receipt of it has to be about; None if none is demanded.
        """
        extras: dict[str, JsonValue] = {"approval_id": submitted.approval_id, "task_id": submitted.task_id}
        extras["asked_sha256"] = asked_sha256
        if not wait:
            extras["wait"] = False
        patience = min(PATIENCE, max(AGAIN, deadline.left()))
        self._append(self._record(RecordOutcome.REQUESTED, extras), patience, self._pause)

    def record_not_permitted(self, refusal: NotPermittedError, deadline: Deadline, pause: Pause) -> None:
        """The workspace's roles do not permit a request; none was sent."""
        extras: dict[str, JsonValue] = {"attempted_action": refusal.attempted_action, "roles": list(refusal.roles)}
        record = self._record(RecordOutcome.DENIED, extras, action=RecordAction.RBAC_DENY)
        self._append(record, min(PATIENCE, deadline.left()), pause)

    # --- ends ----------------------------------------------------------------------------------------------------------

    def record_granted(
        self, decision: Decision, waited: float, transport: str, deadline: Deadline, receipt_sha256: str | None = None
    ) -> None:
        """A person approved; the receipt that proves it is kept beside the log, if one was demanded.

        Raises:
            UsedError: this log already holds a grant of this approval.
            Interrupted: the attempt was stopped before the record could be written.
        """
        row = decision.approval
        fields = {**_verdict_fields(decision, waited, transport), "receipt_sha256": receipt_sha256}
        record = self._record(RecordOutcome.GRANTED, fields, actor=row.decided_by)
        try:
            patience = self._patience(_until(deadline))
            head = self._log.grant(record, approval_id=row.id, patience=patience, pause=self._pause)
        except AuditError as exc:
            self._not_written(exc)
        else:
            self._written(head)
        # Only now: after a refused grant the record of the failure still follows.
        self.ended = True

    def record_denied(self, decision: Decision, waited: float, transport: str, deadline: Deadline) -> None:
        """A person denied."""
        fields = _verdict_fields(decision, waited, transport)
        self._end(RecordOutcome.DENIED, fields, deadline, actor=decision.approval.decided_by)

    def record_timeout(
        self, approval_id: str | None, waited: float, reason: str, deadline: Deadline, *, withdrawn: bool
    ) -> None:
        """Nobody decided in time."""
        self._end(
            RecordOutcome.TIMEOUT,
            {"approval_id": approval_id, "waited_seconds": round(waited, 3), "reason": reason, "withdrawn": withdrawn},
            deadline,
        )

    def record_withdrawn(
        self, approval_id: str | None, why: str, deadline: Deadline, *, withdrawn: bool, decision: Approval | None
    ) -> None:
        """The request was withdrawn, on a signal or by somebody else; with the decision that had ended it before, if any."""
        found: dict[str, JsonValue] = (
            {} if decision is None else {**_decided(decision), "decision_that_stood": decision.status.value}
        )
        extras: dict[str, JsonValue] = {"approval_id": approval_id, "reason": why, "taken_back": withdrawn, **found}
        self._end(RecordOutcome.WITHDRAWN, extras, deadline)

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

    def record_started(self, approval_id: str | None, command: BoundCommand, pause: Pause, *, replaces: bool) -> None:
        """The approved command is about to be checked once more and started.

        If it ``replaces`` this process, no record of its end follows. Whatever ``pause`` raises leaves it unrecorded.
        """
        extras: dict[str, JsonValue] = {"approval_id": approval_id, "command": command.line, "digest": command.digest}
        if replaces:
            extras["replaces_process"] = True
        self._append(self._record(RecordOutcome.STARTED, extras, action=RecordAction.EXECUTE), PATIENCE, pause)

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


def _until(deadline: Deadline) -> float:
    return min(PATIENCE, max(ENDING, deadline.left()))


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
        **_counted(row),
    }


def _counted(row: Approval) -> dict[str, JsonValue]:
    """The rule that asked for the decisions, and each of them; nothing for one decision without a rule and a proof."""
    rule = None if row.progress is None else row.progress.rule
    if rule is None and not any(one.proof for one in row.decisions):
        return {}
    said: list[JsonValue] = [
        {"by": one.by, "at": one.at, "decision": one.decision.value, "proof": one.proof} for one in row.decisions
    ]
    return {"rule": rule, "decisions": said}
