"""The gate: may I ask? -> record -> ask -> wait -> record -> verdict. A reader of this file knows the product.

It starts at "no". One path leads to an approval: our own question, answered by a person, recorded, once. The ways out
that need no decision stand in ending.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from molecule_approve.client.submit import Stop, Submission
from molecule_approve.client.wait import Wait
from molecule_approve.clock import Clock, Deadline, boottime, fraction, utc_now
from molecule_approve.errors import ApprovalError, Interrupted, NotPermittedError, PlatformError, ours
from molecule_approve.lifecycle import outcome_of
from molecule_approve.model import Approval, ApprovalRequest, Decision, JsonValue, Outcome, Question, Verdict

from .attempt import Attempt, Terms, shown
from .no_decision import NoDecision, Observer
from .records import Log, Trail

if TYPE_CHECKING:
    from molecule_approve.client.platform import Platform

__all__ = ["Gate", "Observer", "Terms"]


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
        trail = self._trail(request)
        trail.undelivered(verdict.approval_id, failure.message)
        return replace(verdict, outcome=Outcome.FAILED, error=shown(failure), recorded=trail.recorded)

    def _trail(self, request: ApprovalRequest) -> Trail:
        return Trail(
            self._log,
            request,
            self._invocation,
            optional=self._audit_optional,
            now=utc_now,
            warn=self._observer.trouble,
            note=self._observer.recorded,
        )

    def _run(self, request: ApprovalRequest, terms: Terms) -> _Run:
        deadline = Deadline.after(terms.timeout, self._clock)
        invocation = Attempt(self._invocation, request, terms, deadline, self._clock())
        return _Run(invocation, self._platform, self._stop, self._observer, self._trail(request))


class _Run:
    """One invocation, from the question to the verdict."""

    def __init__(self, invocation: Attempt, platform: Platform, stop: Stop, observer: Observer, trail: Trail) -> None:
        self._me = invocation
        self._platform = platform
        self._stop = stop
        self._observer = observer
        self._trail = trail
        self._ending = NoDecision(invocation, platform, stop, observer, trail)

    def ask(self, permit: Callable[[], None]) -> Verdict:
        return self._to_the_end(partial(self._ask, permit))

    def resume(self, question: Question) -> Verdict:
        return self._to_the_end(partial(self._resume, question))

    def _to_the_end(self, path: Callable[[], Verdict]) -> Verdict:
        """Whatever happens on the way is a verdict, and only the way's own end can be a yes."""
        try:
            return path()
        except Interrupted as exc:
            return self._ending.interrupted(exc)
        except Exception as exc:  # noqa: BLE001 - a fault of ours, or of a library, must not leave the question standing
            return self._ending.failed(ours(exc))

    def _ask(self, permit: Callable[[], None]) -> Verdict:
        try:
            permit()
        except NotPermittedError as exc:
            return self._ending.not_permitted(exc)
        self._record_intent()
        self._demand_verification()
        question = self._submit()
        self._trail.requested(question, self._me.deadline, wait=self._me.terms.wait)
        self._observer.asked(question)
        if not self._me.terms.wait:
            return self._me.verdict(Outcome.PENDING, recorded=self._trail.recorded)
        return self._wait(question)

    def _resume(self, question: Question) -> Verdict:
        me = self._me
        self._trail.resumed(question.approval_id, me.deadline, me.terms.timeout, self._stop.sleep)
        me.question = replace(question, invocation=me.id)
        self._demand_verification()
        self._observer.asked(me.question)
        return self._wait(me.question)

    def _record_intent(self) -> None:
        me = self._me
        head = self._trail.initiated(me.deadline, me.terms.timeout, self._stop.sleep)
        if head is not None:
            # Where the writer of the log cannot reach it: the platform keeps the context.
            note: JsonValue = {**head._asdict(), "file": self._trail.place}
            me.request = replace(me.request, context={**me.request.context, "audit_head": note})

    def _demand_verification(self) -> None:
        if not self._me.terms.verified:
            return
        with self._stop.open():
            verifies = self._platform.verifies_approvers(self._me.deadline.capped(self._me.terms.policy.read))
        if not verifies:
            raise PlatformError(
                "this platform cannot prove who approves: the name on a decision is text that anybody may send",
                hint="use the embedded server, or go without --require-verified-approver",
            )

    def _submit(self) -> Question:
        submission = Submission(
            self._platform,
            self._me.request,
            self._me.deadline,
            self._stop,
            random=fraction,
            on_trouble=self._observer.trouble,
        )
        try:
            question = replace(submission.run(), invocation=self._me.id)
        finally:
            self._me.maybe_there = submission.maybe_there
        self._me.question = question
        return question

    def _wait(self, question: Question) -> Verdict:
        wait = Wait(
            self._platform,
            question,
            self._me.deadline,
            self._stop,
            self._observer,
            stream=self._me.terms.stream,
            random=fraction,
            policy=self._me.terms.policy,
            take_doubles_back=self._ending.no_twin,
        )
        try:
            decision = wait.run()
        finally:
            self._me.question, self._me.link, self._me.listed = wait.question, wait.link, wait.listed
        if decision is None:
            decision = self._ending.at_the_deadline(wait.question)
        else:
            self._stop.check()
        verdict = self._ending.timed_out() if decision is None else self._conclude(decision)
        self._ending.no_twin(wait.question)
        return verdict

    def _conclude(self, decision: Decision) -> Verdict:
        """A decision stands: record it, then say it."""
        row, waited, link = decision.approval, self._me.waited(), self._me.link.value
        match outcome_of(row):
            case Outcome.APPROVED:
                self._demand_proof(row)
                self._trail.granted(decision, waited, link)
                return self._me.decided(Outcome.APPROVED, decision, recorded=self._trail.recorded)
            case Outcome.DENIED:
                self._trail.denied(decision, waited, link)
                return self._me.decided(Outcome.DENIED, decision, recorded=self._trail.recorded)
            case Outcome.EXPIRED if self._me.outlived(row):
                return self._ending.timed_out(ended=True)
            case Outcome.EXPIRED:
                self._trail.timeout(row.id, waited, "expired", withdrawn=False)
                return self._me.verdict(Outcome.EXPIRED, recorded=self._trail.recorded)
            case _:
                self._trail.withdrawn(row.id, "by somebody else", taken_back=False, stood=None)
                return self._me.verdict(Outcome.WITHDRAWN, recorded=self._trail.recorded)

    def _demand_proof(self, row: Approval) -> None:
        """An approval opens the gate for the very text that is asked here, and for no name but the one that was demanded."""
        if row.action != self._me.request.action:
            raise PlatformError("what was approved is not what is asked here", hint="ask again, for this action")
        if self._me.terms.verified and row.decided_by_verified is not True:
            raise PlatformError("the approver's name is not verified", hint="only the embedded server can verify it")
