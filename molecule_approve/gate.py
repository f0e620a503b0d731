"""The gate: may I ask? -> record -> ask -> wait -> record -> verdict. A reader of this file knows the product.

It starts at "no". One path leads to an approval: our own question, answered by a person, recorded, once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Protocol

from .client.retry import WaitPolicy
from .client.submit import Stop, Submission
from .client.wait import OVERSLEPT, Link, Wait, WaitObserver
from .clock import Clock, Deadline, boottime, fraction, utc_now
from .errors import (
    ApprovalError,
    AuditError,
    Interrupted,
    KeyUsedError,
    NotPermittedError,
    PlatformError,
    UnavailableError,
    UnknownApprovalError,
    UsedError,
)
from .lifecycle import Ruling, rule
from .model import Approval, ApprovalRequest, Decision, Failure, JsonValue, Outcome, Question, Verdict
from .takeback import EFFORT, TakeBack, TakenBack
from .trail import Log, Trail

if TYPE_CHECKING:
    from .client.platform import Platform


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


class Observer(WaitObserver, Protocol):
    """Who is told how it goes; the spinner is one. It can change nothing."""

    def asked(self, question: Question) -> None:
        """The platform has the question."""
        ...

    def withdrawing(self, why: str) -> None:
        """The question is being taken back; that takes two seconds at most."""
        ...


class Gate:
    """The use case, over a platform to ask, a log to write, and whoever may stop us or look on."""

    def __init__(
        self,
        platform: Platform,
        log: Log,
        stop: Stop,
        observer: Observer,
        *,
        invocation: str,
        audit_optional: bool = False,
        clock: Clock = boottime,
    ) -> None:
        self._platform = platform
        self._log = log
        self._stop = stop
        self._observer = observer
        self._invocation = invocation
        self._audit_optional = audit_optional
        self._clock = clock

    def request(self, request: ApprovalRequest, terms: Terms, permit: Callable[[], None]) -> Verdict:
        """Ask, wait, and say what came of it. Never raises an ApprovalError: every failure is a verdict, and none is a yes.

        Args:
            request: what to ask.
            terms: how.
            permit: raises NotPermittedError where the workspace's roles do not let it ask.

        """
        return self._run(request, terms).ask(permit)

    def resume(self, request: ApprovalRequest, question: Question, terms: Terms) -> Verdict:
        """Take up the wait for an earlier request, and use its approval up."""
        return self._run(request, terms).resume(question)

    def undelivered(self, request: ApprovalRequest, verdict: Verdict, failure: ApprovalError) -> Verdict:
        """The approval could not be told, so it is none; the log says so."""
        run = self._run(request, Terms(0.0))
        run.trail.undelivered(verdict.approval_id, failure.message)
        return replace(verdict, outcome=Outcome.FAILED, error=_shown(failure), recorded=run.trail.recorded)

    def _run(self, request: ApprovalRequest, terms: Terms) -> _Run:
        trail = Trail(
            self._log,
            request,
            self._invocation,
            optional=self._audit_optional,
            now=utc_now,
            warn=self._observer.trouble,
        )
        return _Run(self._platform, self._stop, self._observer, request, terms, trail, self._invocation, self._clock)


class _Run:
    """One invocation, from the question to the verdict."""

    def __init__(
        self,
        platform: Platform,
        stop: Stop,
        observer: Observer,
        request: ApprovalRequest,
        terms: Terms,
        trail: Trail,
        invocation: str,
        clock: Clock,
    ) -> None:
        self.trail = trail
        self._platform = platform
        self._stop = stop
        self._observer = observer
        self._request = request
        self._terms = terms
        self._invocation = invocation
        self._deadline = Deadline.after(terms.timeout, clock)
        self._started = clock()
        self._requested_at = utc_now()
        self._question: Question | None = None
        self._submission: Submission | None = None
        self._link = Link.CONNECTING
        self._given_up = False

    # --- the main path -------------------------------------------------------------------------------------------------

    def ask(self, permit: Callable[[], None]) -> Verdict:
        return self._to_the_end(partial(self._ask, permit))

    def resume(self, question: Question) -> Verdict:
        return self._to_the_end(partial(self._resume, question))

    def _to_the_end(self, path: Callable[[], Verdict]) -> Verdict:
        """Whatever happens on the way is a verdict, and only the way's own end can be a yes."""
        try:
            return path()
        except Interrupted as exc:
            return self._interrupted(exc)
        except ApprovalError as exc:
            return self._failed(exc)

    def _ask(self, permit: Callable[[], None]) -> Verdict:
        try:
            permit()
        except NotPermittedError as exc:
            return self._not_permitted(exc)
        self._record_intent()
        self._demand_verification()
        question = self._submit()
        self.trail.requested(question, self._deadline)
        self._observer.asked(question)
        return self._wait(question) if self._terms.wait else self._verdict(Outcome.PENDING)

    def _resume(self, question: Question) -> Verdict:
        self.trail.resumed(question.approval_id, self._deadline, self._terms.timeout, self._stop.sleep)
        self._question = replace(question, invocation=self._invocation)
        self._demand_verification()
        self._observer.asked(self._question)
        return self._wait(self._question)

    def _record_intent(self) -> None:
        head = self.trail.initiated(self._deadline, self._terms.timeout, self._stop.sleep)
        if head is not None:
            # Where the writer of the log cannot reach it: the platform keeps the context.
            note: JsonValue = {"log_id": head.log_id, "seq": head.seq, "hash": head.hash}
            self._request = replace(self._request, context={**self._request.context, "audit_head": note})

    def _demand_verification(self) -> None:
        if not self._terms.verified:
            return
        with self._stop.open():
            verifies = self._platform.verifies_approvers(self._deadline.capped(self._terms.policy.read))
        if not verifies:
            raise PlatformError(
                "this platform cannot prove who approves: the name on a decision is text that anybody may send",
                hint="use the embedded server, or go without --require-verified-approver",
            )

    def _submit(self) -> Question:
        self._submission = Submission(
            self._platform,
            self._request,
            self._deadline,
            self._stop,
            random=fraction,
            on_trouble=self._observer.trouble,
        )
        self._question = replace(self._submission.run(), invocation=self._invocation)
        return self._question

    def _wait(self, question: Question) -> Verdict:
        wait = Wait(
            self._platform,
            question,
            self._deadline,
            self._stop,
            self._observer,
            stream=self._terms.stream,
            random=fraction,
            policy=self._terms.policy,
        )
        try:
            decision = wait.run()
        finally:
            self._question, self._link = wait.question, wait.link
        if decision is None:
            return self._timed_out(wait.question)
        self._stop.check()
        return self._conclude(decision)

    def _conclude(self, decision: Decision) -> Verdict:
        """A decision stands: record it, then say it."""
        row, waited = decision.approval, self._waited()
        match rule(row):
            case Ruling.APPROVED:
                self._demand_proof(row)
                self.trail.granted(decision, waited, self._link.value)
                return self._verdict(Outcome.APPROVED, decision)
            case Ruling.DENIED:
                self.trail.denied(decision, waited, self._link.value)
                return self._verdict(Outcome.DENIED, decision)
            case Ruling.EXPIRED:
                self.trail.timeout(row.id, waited, "expired", withdrawn=False)
                return self._verdict(Outcome.EXPIRED)
            case _:
                self.trail.withdrawn(row.id, "by somebody else", taken_back=False, stood=None)
                return self._verdict(Outcome.WITHDRAWN)

    def _demand_proof(self, row: Approval) -> None:
        """An approval opens the gate for the very text that is asked here, and for no name but the one that was demanded."""
        if row.action != self._request.action:
            raise PlatformError("what was approved is not what is asked here", hint="ask again, for this action")
        if self._terms.verified and not row.decided_by_verified:
            raise PlatformError("the approver's name is not verified", hint="only the embedded server can verify it")

    # --- the other ways out --------------------------------------------------------------------------------------------

    def _timed_out(self, question: Question) -> Verdict:
        if not self._terms.withdraw:
            return self._last_look(question)
        self._observer.withdrawing("nobody decided in time")
        taken = self._take_back()
        if taken.stood is not None:
            return self._conclude(Decision(taken.stood))
        self.trail.timeout(self._approval_id(), self._waited(), "nobody_decided", withdrawn=taken.ended)
        return self._verdict(Outcome.TIMEOUT)

    def _last_look(self, question: Question) -> Verdict:
        """The question stays; a decision that stands at the deadline is the verdict all the same."""
        row = None
        if self._deadline.overdue() <= OVERSLEPT:
            try:
                with self._stop.open():
                    row = self._platform.fetch(question, Deadline.after(EFFORT)).approval
            except UnavailableError as exc:
                self._observer.trouble(exc)
        if row is None or rule(row) in {Ruling.OPEN, Ruling.UNCLEAR}:
            return self._verdict(Outcome.PENDING)
        return self._conclude(Decision(row))

    def _interrupted(self, stop: Interrupted) -> Verdict:
        if self.trail.begun and not self.trail.ended:
            self._end_interrupted(stop)
        return self._verdict(Outcome.INTERRUPTED, error=Failure("interrupted", stop.why), signum=stop.signum)

    def _end_interrupted(self, stop: Interrupted) -> None:
        if not self._terms.withdraw:
            self.trail.failure(self._approval_id(), "interrupted", stop.why)
            return
        self._observer.withdrawing(stop.why)
        taken = self._take_back()
        try:
            self.trail.withdrawn(self._approval_id(), stop.why, taken_back=taken.ended, stood=taken.stood)
        except AuditError as exc:
            self._observer.trouble(exc)

    def _failed(self, failure: ApprovalError) -> Verdict:
        unasked = self._question is None and isinstance(failure, PlatformError)
        # These say that the question under this id is not ours to take back.
        foreign = isinstance(failure, KeyUsedError | UsedError | UnknownApprovalError)
        if self._terms.withdraw and not foreign and not self._given_up:
            self._take_back()
        if self.trail.begun and not self.trail.ended:
            self.trail.failure(self._approval_id(), "submit_failed" if unasked else failure.kind, failure.message)
        return self._verdict(Outcome.FAILED, error=_shown(failure))

    def _not_permitted(self, refusal: NotPermittedError) -> Verdict:
        self.trail.not_permitted(refusal, self._deadline, self._stop.sleep)
        return self._verdict(Outcome.NOT_PERMITTED, error=_shown(refusal))

    def _take_back(self) -> TakenBack:
        self._given_up = True
        taking = TakeBack(self._platform, self._request, self._deadline, self._observer.trouble)
        maybe_there = self._submission is not None and self._submission.maybe_there
        taken = taking(self._question, maybe_there=maybe_there)
        self._question = taken.question
        return taken

    # --- telling -------------------------------------------------------------------------------------------------------

    def _waited(self) -> float:
        return self._deadline.clock() - self._started

    def _approval_id(self) -> str | None:
        return self._question.approval_id if self._question else None

    def _verdict(
        self, outcome: Outcome, decision: Decision | None = None, *, error: Failure | None = None, signum: int | None = None
    ) -> Verdict:
        question = self._question
        verdict = Verdict(
            outcome=outcome,
            action=self._request.action,
            approval_id=self._approval_id(),
            requested_at=(question.created_at if question else None) or self._requested_at,
            waited_seconds=self._waited(),
            trace_id=self._request.trace_id,
            recorded=self.trail.recorded,
            error=error,
            signum=signum,
        )
        return verdict if decision is None else _decided(verdict, decision)


def _decided(verdict: Verdict, decision: Decision) -> Verdict:
    row = decision.approval
    return replace(
        verdict,
        approval_id=row.id,
        decided_by=row.decided_by,
        decided_by_verified=row.decided_by_verified,
        comment=row.comment,
        decided_at=row.decided_at,
        expires_at=row.expires_at,
        evidence=decision.evidence,
    )


def _shown(failure: ApprovalError) -> Failure:
    return Failure(failure.kind, failure.message, failure.hint)
