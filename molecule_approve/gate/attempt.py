"""What one invocation knows of itself: its terms, its request, its question, and how a verdict about it looks."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from molecule_approve.client.retry import WaitPolicy
from molecule_approve.client.wait import StreamState
from molecule_approve.clock import Deadline, utc_now
from molecule_approve.errors import ApprovalError
from molecule_approve.model import Approval, ApprovalRequest, Decision, Failure, Outcome, Question, Verdict
from molecule_approve.wire import instant

ROUNDING = 1.0
"""Seconds by which a platform's own times may be rounded."""


@dataclass(frozen=True, slots=True)
class Terms:
    """How an invocation asks and waits.

    Attributes:
        timeout: seconds from now until this invocation gives up, all of it.
        wait: False to leave as soon as the platform has the question (``--no-wait``).
        stream: whether the event stream is tried before polling.
        withdraw: whether the question is taken back when we give up or are stopped.
        verified: whether only a name from the approver's own credential counts.
        policy: the pace of the wait.

    """

    timeout: float
    wait: bool = True
    stream: bool = True
    withdraw: bool = True
    verified: bool = False
    policy: WaitPolicy = WaitPolicy()  # noqa: RUF009 - a frozen value


@dataclass(slots=True)
class Attempt:
    """One invocation of the gate, on its way.

    Attributes:
        id: the UUID under which it uses an approval up.
        request: what it asks.
        terms: how.
        deadline: when it gives up.
        started: when it began, on the deadline's clock.
        requested_at: the same on the wall clock, for people.
        question: what the platform holds, once that is known.
        maybe_there: whether the platform may hold it although that is not known.
        link: how the answer came, or was to come.
        listed: whether the last read showed every row of the question, so that none needs to be looked for.

    """

    id: str
    request: ApprovalRequest
    terms: Terms
    deadline: Deadline
    started: float
    requested_at: str = field(default_factory=utc_now)
    question: Question | None = None
    maybe_there: bool = False
    link: StreamState = StreamState.CONNECTING
    listed: bool = False

    @property
    def approval_id(self) -> str | None:
        """The platform's id of the question, once it is known."""
        return self.question.approval_id if self.question else None

    def waited(self) -> float:
        """Seconds since it began."""
        return self.deadline.clock() - self.started

    def outlived(self, row: Approval) -> bool:
        """Whether the platform's clock ended the question no sooner than ours would have: that is our own timeout.

        By what was asked and by the platform's own times, not by who came first: the two clocks always run a race.
        """
        asked, question = self.request.expires_in, self.question
        if asked is None or asked < self.terms.timeout or question is None:
            return False
        if self.request.idempotency_key is not None and not question.own:
            return False  # an earlier run asked it, for as long as that one pleased
        begun, ended = instant(row.created_at), instant(row.decided_at)
        if begun is None or ended is None:
            return True
        return (ended - begun).total_seconds() + ROUNDING >= self.terms.timeout

    def verdict(
        self, outcome: Outcome, *, recorded: bool, error: ApprovalError | Failure | None = None, signum: int | None = None
    ) -> Verdict:
        """A verdict that rests on no decision."""
        question = self.question
        return Verdict(
            outcome=outcome,
            action=self.request.action,
            approval_id=self.approval_id,
            requested_at=(question.created_at if question else None) or self.requested_at,
            waited_seconds=self.waited(),
            trace_id=self.request.trace_id,
            recorded=recorded,
            error=shown(error) if isinstance(error, ApprovalError) else error,
            signum=signum,
        )

    def decided(self, outcome: Outcome, decision: Decision, *, recorded: bool) -> Verdict:
        """A verdict by a person's decision."""
        row = decision.approval
        return replace(
            self.verdict(outcome, recorded=recorded),
            approval_id=row.id,
            decided_by=row.decided_by,
            decided_by_verified=row.decided_by_verified is True,
            comment=row.comment,
            decided_at=row.decided_at,
            expires_at=row.expires_at,
            evidence=decision.evidence,
        )


def shown(failure: ApprovalError) -> Failure:
    """An error as the output shows it."""
    return Failure(failure.kind, failure.message, failure.hint)
