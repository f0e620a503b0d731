"""How an invocation ends without a decision: out of time, stopped, or failed. None of these ways leads to a yes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from molecule_approve.client.wait import OVERSLEPT, WaitObserver
from molecule_approve.clock import Deadline
from molecule_approve.errors import (
    ApprovalError,
    AuditError,
    CredentialError,
    Interrupted,
    KeyUsedError,
    NotPermittedError,
    PlatformError,
    ProtocolError,
    UnavailableError,
    UnknownApprovalError,
    UsedError,
)
from molecule_approve.lifecycle import outcome_of
from molecule_approve.model import Decision, Failure, Outcome, Question, Verdict

from .withdrawal import EFFORT, LOOKS, TakeBack, TakenBack, persist

if TYPE_CHECKING:
    from molecule_approve.audit.chain import Head
    from molecule_approve.client.platform import Platform
    from molecule_approve.client.submit import Stop
    from molecule_approve.model import Approval

    from .attempt import Attempt
    from .records import Trail


class Observer(WaitObserver, Protocol):
    """Who is told how it goes; the spinner is one. It can change nothing."""

    def asked(self, question: Question) -> None:
        """The platform has the question."""
        ...

    def withdrawing(self, why: str) -> None:
        """The question is being taken back; that takes two seconds at most."""
        ...

    def recorded(self, head: Head) -> None:
        """A record stands in the audit log, which ends with it."""
        ...


class NoDecision:
    """The ways out of one invocation."""

    def __init__(self, invocation: Attempt, platform: Platform, stop: Stop, observer: Observer, trail: Trail) -> None:
        self._me = invocation
        self._platform = platform
        self._stop = stop
        self._observer = observer
        self._trail = trail
        self._taken: TakenBack | None = None
        self._told = ""

    # --- out of time ---------------------------------------------------------------------------------------------------

    def at_the_deadline(self, question: Question) -> Decision | None:
        """Give up; but a decision that stands at the deadline is the verdict all the same.

        Raises:
            UnavailableError: the platform did not tell how the question stands: nobody may say that nobody decided.
            UsedError: the approval was used up by another invocation.

        """
        if self._me.terms.withdraw:
            self._observer.withdrawing("nobody decided in time")
            taken = self._take_back()
            row = taken.stood
            if taken.unknown is not None:
                raise _outcome_unknown(question, taken.unknown)
        else:
            row = self._last_look(question)
        return None if row is None or outcome_of(row) is Outcome.PENDING else Decision(row)

    def _last_look(self, question: Question) -> Approval | None:
        effort = Deadline.after(EFFORT)
        # What was said while we slept is no verdict: it is only looked at, and not used up.
        late = self._me.deadline.overdue() > OVERSLEPT
        wanted = replace(question, invocation=None) if late else question

        def look() -> Approval | None:
            with self._stop.open():
                return self._platform.fetch(wanted, effort).approval

        try:
            row = persist(look, effort, self._stop.sleep, (ProtocolError,))
        except ApprovalError as exc:
            self._observer.trouble(exc)
            raise _outcome_unknown(question, exc) from exc
        if row is None or outcome_of(row) is Outcome.FAILED:
            raise _outcome_unknown(question, UnavailableError("the platform does not show it"))
        return None if late else row

    def timed_out(self, *, ended: bool = False) -> Verdict:
        """Nobody has decided; a question that was left open is only pending.

        Args:
            ended: the platform's clock ended it together with ours.

        """
        if self._taken is None and not ended:
            return self._verdict(Outcome.PENDING)
        withdrawn = self._taken is not None and self._taken.ended
        self._trail.timeout(self._me.approval_id, self._me.waited(), "nobody_decided", withdrawn=withdrawn)
        return self._verdict(Outcome.TIMEOUT)

    def no_twin(self, question: Question | None) -> None:
        """Take every further row of the same question back, where the wait does not see them all: early, and at the end."""
        if self._taken is None and not self._me.listed and question is not None and question.task_id is not None:
            self._back().twins(question)

    # --- stopped -------------------------------------------------------------------------------------------------------

    def interrupted(self, stop: Interrupted) -> Verdict:
        """A signal, a cancelled task, or nobody left to tell."""
        if self._trail.begun and not self._trail.ended:
            self._end_interrupted(stop)
        return self._verdict(Outcome.INTERRUPTED, Failure("interrupted", stop.why), stop.signum)

    def _end_interrupted(self, stop: Interrupted) -> None:
        if not self._me.terms.withdraw:
            self._trail.failure(self._me.approval_id, "interrupted", stop.why)
            return
        self._observer.withdrawing(stop.why)
        taken = self._take_back()
        try:
            self._trail.withdrawn(self._me.approval_id, stop.why, taken_back=taken.ended, stood=taken.stood)
        except AuditError as exc:
            self._observer.trouble(exc)

    # --- failed --------------------------------------------------------------------------------------------------------

    def failed(self, failure: ApprovalError) -> Verdict:
        """No verdict can be had; the question does not stay behind."""
        unasked = self._me.question is None and isinstance(failure, PlatformError)
        self._told = failure.message
        if self._taken is None:
            self._leave(failure)
        if self._trail.begun and not self._trail.ended:
            self._trail.failure(self._me.approval_id, "submit_failed" if unasked else failure.kind, failure.message)
        return self._verdict(Outcome.FAILED, failure)

    def _leave(self, failure: ApprovalError) -> None:
        """Take back what is ours; these failures say that the question under this id is not, or that it has ended."""
        match failure:
            case UnknownApprovalError():
                pass
            case UsedError():
                self.no_twin(self._me.question)
            case KeyUsedError():
                if self._me.maybe_there:
                    self._back().twins(Question(failure.approval_id or "", self._me.request.workspace_id))
            case _ if self._me.terms.withdraw:
                # Something in between may have answered while the platform is still at work on the POST; after these the
                # list was read just now.
                self._take_back(LOOKS[1:] if isinstance(failure, ProtocolError | CredentialError) else LOOKS)

    def not_permitted(self, refusal: NotPermittedError) -> Verdict:
        """The roles do not let us ask; nothing was asked."""
        self._trail.not_permitted(refusal, self._me.deadline, self._stop.sleep)
        return self._verdict(Outcome.NOT_PERMITTED, refusal)

    def _back(self, looks: tuple[float, ...] = LOOKS) -> TakeBack:
        return TakeBack(self._platform, self._me.request, self._me.deadline, self._warn, looks)

    def _warn(self, trouble: ApprovalError) -> None:
        if trouble.message != self._told:  # what ended it is said by the verdict
            self._observer.trouble(trouble)

    def _take_back(self, looks: tuple[float, ...] = LOOKS) -> TakenBack:
        self._taken = self._back(looks)(self._me.question, maybe_there=self._me.maybe_there)
        self._me.question = self._taken.question
        return self._taken

    def _verdict(self, outcome: Outcome, error: ApprovalError | Failure | None = None, signum: int | None = None) -> Verdict:
        return self._me.verdict(outcome, recorded=self._trail.recorded, error=error, signum=signum)


def _outcome_unknown(question: Question, failure: ApprovalError) -> ApprovalError:
    """What could not be read is no "nobody decided"; an approval that another invocation has used up is told as that."""
    if isinstance(failure, UsedError):
        return failure
    name = question.approval_id
    return UnavailableError(
        f"the time is over, and how approval {name} stands could not be read, so its outcome is unknown: {failure.message}",
        hint=f"look with `molecule-approve status {name}`, or take its answer with `molecule-approve wait {name}`",
    )
