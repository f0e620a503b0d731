"""One attempt: its terms, who it talks to, what it has learnt so far, and how a verdict about it looks."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from molecule_approve.client.retry import WaitPolicy
from molecule_approve.client.wait import WaitObserver
from molecule_approve.clock import utc_now
from molecule_approve.errors import ApprovalError
from molecule_approve.lifecycle import self_approved
from molecule_approve.model import Approval, Decision, Failure, Outcome, SubmittedRequest, Verdict
from molecule_approve.wire import instant

if TYPE_CHECKING:
    from molecule_approve.audit.chain import Head
    from molecule_approve.client.platform import Platform
    from molecule_approve.client.submit import Stop, Submission
    from molecule_approve.client.wait import Wait
    from molecule_approve.clock import Deadline
    from molecule_approve.model import ApprovalRequest
    from molecule_approve.proofs.keys_file import KeyRing

    from .records import Recorder
    from .withdrawal import Withdrawn

ROUNDING = 1.0
"""Seconds by which a platform's own times may be rounded."""


class Observer(WaitObserver):
    """Follows an attempt, as the spinner does, and can change nothing; this one ignores all of it."""

    def asked(self, submitted: SubmittedRequest) -> None:
        """The platform has the request."""

    def waiting_for_log(self, sentence: str) -> None:
        """Another process has held the audit log's lock for two seconds; the sentence says so, and for how long at most."""

    def withdrawing(self, why: str) -> None:
        """The request is being withdrawn; that takes two seconds at most."""

    def recorded(self, head: Head) -> None:
        """A record was written to the audit log, whose head is now this one."""


@dataclass(frozen=True, slots=True)
class Terms:
    """How an attempt requests and waits.

    Attributes:
        timeout: seconds until this attempt gives up, all of it.
        wait: False to return as soon as the platform has the request (``--no-wait``).
        stream: whether the event stream is tried before polling.
        withdraw: whether the request is withdrawn when the attempt gives up, fails or is stopped.
        stays_open: whether it stays open all the same when the timeout has passed, for a later attempt with its key.
        verified: whether only a name from the approver's own credential counts.
        policy: the pace of the wait.
    """

    timeout: float
    wait: bool = True
    stream: bool = True
    withdraw: bool = True
    stays_open: bool = False
    verified: bool = False
    policy: WaitPolicy = WaitPolicy()  # noqa: RUF009 - a frozen value


@dataclass(slots=True)
class Attempt:
    """All that one attempt is made of and has learnt so far.

    Attributes:
        id: the UUID under which it redeems an approval.
        deadline: when it gives up; ``terms.timeout`` seconds after it began.
        keys: the keys that have to have signed an approval; None if none is demanded.
        requested_at: when it began, on the wall clock.
        found: the request at the platform, as it was submitted, taken up or found again; None until then.
        submission: submits the request; None before that.
        wait: waits for the decision; None before that.
        withdrawn: what came of withdrawing the request; None where that was not tried.
        failure: what ended the attempt; the verdict reports it, so nobody else does.
    """

    id: str
    request: ApprovalRequest
    terms: Terms
    deadline: Deadline
    platform: Platform
    stop: Stop
    observer: Observer
    recorder: Recorder
    keys: KeyRing | None = None
    requested_at: str = field(default_factory=utc_now)
    found: SubmittedRequest | None = None
    submission: Submission | None = None
    wait: Wait | None = None
    withdrawn: Withdrawn | None = None
    failure: ApprovalError | None = None

    @property
    def submitted(self) -> SubmittedRequest | None:
        """The request at the platform, once it is known; the wait may have gone over to an older row of it."""
        return self.found if self.wait is None else self.wait.submitted

    @property
    def approval_id(self) -> str | None:
        """The platform's id of the request, once it is known."""
        return self.submitted.approval_id if self.submitted else None

    @property
    def maybe_there(self) -> bool:
        """Whether the platform may hold the request, or a second row of it, although no answer has said so."""
        return self.submission is not None and self.submission.maybe_there

    def waited(self) -> float:
        """Seconds since it began."""
        return self.terms.timeout + self.deadline.overdue()

    def warn(self, failure: ApprovalError) -> None:
        """Tell the observer what went wrong on the side."""
        if self.failure is None or failure.message != self.failure.message:
            self.observer.trouble(failure)

    def outlived(self, row: Approval) -> bool:
        """Whether the request expired no sooner than this attempt would have given up: then it is our own timeout.

        Decided by what was requested and by the platform's own times, because the two clocks always race.
        """
        expires_in, submitted = self.request.expires_in, self.submitted
        if expires_in is None or expires_in < self.terms.timeout or submitted is None:
            return False
        if self.request.idempotency_key is not None and not submitted.own:
            return False  # an earlier attempt submitted it, with an expiry of its own
        begun, ended = instant(row.created_at), instant(row.decided_at)
        if begun is None or ended is None:
            return True
        return (ended - begun).total_seconds() + ROUNDING >= self.terms.timeout

    def verdict(
        self, outcome: Outcome, error: ApprovalError | Failure | None = None, *, signum: int | None = None
    ) -> Verdict:
        """A verdict without a decision, or with some of those that the request needs."""
        submitted, seen = self.submitted, None if self.wait is None else self.wait.seen
        return Verdict(
            outcome=outcome,
            action=self.request.action,
            approval_id=self.approval_id,
            requested_at=(submitted.created_at if submitted else None) or self.requested_at,
            waited_seconds=self.waited(),
            trace_id=self.request.trace_id,
            recorded=self.recorder.recorded,
            error=Failure.of(error) if isinstance(error, ApprovalError) else error,
            signum=signum,
            decisions=() if seen is None else seen.decisions,
            progress=None if seen is None else seen.progress,
        )

    def decided(self, outcome: Outcome, decision: Decision) -> Verdict:
        """A verdict by a person's decision."""
        row = decision.approval
        return replace(
            self.verdict(outcome),
            approval_id=row.id,
            requested_by=row.requested_by,
            decided_by=row.decided_by,
            decided_by_verified=row.decided_by_verified is True,
            self_approved=self_approved(row),
            comment=row.comment,
            decided_at=row.decided_at,
            expires_at=row.expires_at,
            evidence=decision.evidence,
            decisions=row.decisions,
            progress=row.progress,
        )
