"""How an attempt ends without a decision: out of time, stopped, or failed. None of these ways leads to an approval."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from molecule_approve.client.wait import OVERSLEPT
from molecule_approve.clock import Deadline
from molecule_approve.errors import (
    ApprovalError,
    AuditError,
    CredentialError,
    KeyUsedError,
    PlatformError,
    ProtocolError,
    ReceiptError,
    UnavailableError,
    UnknownApprovalError,
    UsedError,
)
from molecule_approve.lifecycle import outcome_of
from molecule_approve.model import Decision, Failure, Outcome, SubmittedRequest

from .withdrawal import EFFORT, LOOKS, Withdrawer, Withdrawn, persist

if TYPE_CHECKING:
    from molecule_approve.errors import Interrupted, NotPermittedError
    from molecule_approve.model import Approval, Verdict

    from .attempt import Attempt

# --- out of time -------------------------------------------------------------------------------------------------------


def decision_at_deadline(attempt: Attempt, submitted: SubmittedRequest) -> Decision | None:
    """Give up; but a decision that the platform holds at the deadline is the verdict all the same.

    Raises:
        UnavailableError: the outcome could not be read, so nobody may say that nobody decided.
        UsedError: another attempt redeemed the approval.
    """
    if attempt.terms.withdraw and not attempt.terms.stays_open:
        attempt.observer.withdrawing("nobody decided in time")
        withdrawn = _withdraw(attempt)
        row = withdrawn.decision
        if withdrawn.unknown is not None:
            raise _outcome_unknown(submitted, withdrawn.unknown)
    else:
        row = _last_look(attempt, submitted)
    return None if row is None or outcome_of(row) is Outcome.PENDING else Decision(row)


def _last_look(attempt: Attempt, submitted: SubmittedRequest) -> Approval | None:
    effort = Deadline.after(EFFORT)
    # A decision that was made while the machine slept is no verdict: it is read, and not redeemed.
    late = attempt.deadline.overdue() > OVERSLEPT
    wanted = replace(submitted, attempt_id=None) if late else submitted

    def look() -> Approval | None:
        with attempt.stop.open():
            return attempt.platform.fetch(wanted, effort).approval

    try:
        row = persist(look, effort, attempt.stop.sleep, (ProtocolError,))
    except ApprovalError as exc:
        attempt.warn(exc)
        raise _outcome_unknown(submitted, exc) from exc
    if row is None or outcome_of(row) is Outcome.FAILED:
        raise _outcome_unknown(submitted, UnavailableError("the platform does not show the request"))
    return None if late else row


def _outcome_unknown(submitted: SubmittedRequest, failure: ApprovalError) -> ApprovalError:
    """An outcome that could not be read is not "nobody decided"; an approval that another attempt redeemed is UsedError."""
    if isinstance(failure, UsedError):
        return failure
    name = submitted.approval_id
    return UnavailableError(
        f"the timeout of request {name} has passed, and its outcome is unknown: {failure.message}",
        hint=f"check it with `molecule-approve status {name}`, or resume with `molecule-approve wait {name}`",
    )


def timed_out(attempt: Attempt, *, expired: bool = False) -> Verdict:
    """Nobody has decided; a request that was left open is only pending.

    ``expired``: the platform expired the request when this attempt would have given up.
    """
    if attempt.withdrawn is None and not expired:
        return attempt.verdict(Outcome.PENDING)
    withdrawn = attempt.withdrawn is not None and attempt.withdrawn.ended
    recorder, waited = attempt.recorder, attempt.waited()
    recorder.record_timeout(attempt.approval_id, waited, "nobody_decided", attempt.deadline, withdrawn=withdrawn)
    return attempt.verdict(Outcome.TIMEOUT)


# --- stopped -----------------------------------------------------------------------------------------------------------


def interrupted(attempt: Attempt, stop: Interrupted) -> Verdict:
    """A signal, a cancelled task, or no reader left for the verdict."""
    if attempt.recorder.open:
        _end_interrupted(attempt, stop.why)
    return attempt.verdict(Outcome.INTERRUPTED, Failure("interrupted", stop.why), signum=stop.signum)


def _end_interrupted(attempt: Attempt, why: str) -> None:
    if not attempt.terms.withdraw:
        attempt.recorder.record_failure(attempt.approval_id, "interrupted", why)
        return
    attempt.observer.withdrawing(why)
    withdrawn = _withdraw(attempt)
    decision, now = withdrawn.decision, Deadline.after(0.0)
    try:
        attempt.recorder.record_withdrawn(attempt.approval_id, why, now, withdrawn=withdrawn.ended, decision=decision)
    except AuditError as exc:
        attempt.warn(exc)


# --- failed ------------------------------------------------------------------------------------------------------------


def failed(attempt: Attempt, failure: ApprovalError) -> Verdict:
    """No verdict can be had; the request does not stay open."""
    unasked = attempt.submitted is None and isinstance(failure, PlatformError)
    attempt.failure = failure
    if attempt.withdrawn is None:
        _withdraw_after(attempt, failure)
    if attempt.recorder.open:
        reason = "submit_failed" if unasked else failure.kind
        attempt.recorder.record_failure(attempt.approval_id, reason, failure.message)
    return attempt.verdict(Outcome.FAILED, failure)


def _withdraw_after(attempt: Attempt, failure: ApprovalError) -> None:
    """Withdraw what is ours; the first four failures say that the request of this id is not, or that it has ended."""
    match failure:
        case UnknownApprovalError():
            pass
        case UsedError() | ReceiptError():
            withdraw_duplicates(attempt, attempt.submitted)
        case KeyUsedError():
            if attempt.maybe_there:
                known = SubmittedRequest(failure.approval_id or "", attempt.request.workspace_id)
                _withdrawer(attempt).withdraw_duplicates(known)
        case _ if attempt.terms.withdraw:
            # A proxy may have answered while the platform still works on the POST; after the two below the list was read
            # just now, so the first look is left out.
            _withdraw(attempt, LOOKS[1:] if isinstance(failure, ProtocolError | CredentialError) else LOOKS)


def not_permitted(attempt: Attempt, refusal: NotPermittedError) -> Verdict:
    """The workspace's roles do not permit a request; none was sent."""
    attempt.recorder.record_not_permitted(refusal, attempt.deadline, attempt.stop.sleep)
    return attempt.verdict(Outcome.NOT_PERMITTED, refusal)


# --- withdrawing -------------------------------------------------------------------------------------------------------


def withdraw_duplicates(attempt: Attempt, submitted: SubmittedRequest | None) -> None:
    """Withdraw every further row of the same request where the wait does not see them all: early, and at the end."""
    listed = attempt.wait is not None and attempt.wait.listed
    if attempt.withdrawn is None and not listed and submitted is not None and submitted.task_id is not None:
        _withdrawer(attempt).withdraw_duplicates(submitted)


def _withdrawer(attempt: Attempt, looks: tuple[float, ...] = LOOKS) -> Withdrawer:
    return Withdrawer(attempt.platform, attempt.request, attempt.deadline, attempt.warn, looks)


def _withdraw(attempt: Attempt, looks: tuple[float, ...] = LOOKS) -> Withdrawn:
    taken = _withdrawer(attempt, looks).withdraw(attempt.submitted, maybe_there=attempt.maybe_there)
    attempt.withdrawn, attempt.found = taken, taken.submitted
    return taken
