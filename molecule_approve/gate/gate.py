"""The gate: may I ask? -> record -> ask -> wait -> record -> verdict. A reader of this file knows the product.

It starts at "no". One path leads to an approval: our own request, approved by a person, recorded, redeemed once. The ways
out without a decision are in no_decision.py.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from molecule_approve.client.submit import Stop, Submission
from molecule_approve.client.wait import Wait
from molecule_approve.clock import Clock, Deadline, boottime, fraction, utc_now
from molecule_approve.errors import ApprovalError, Interrupted, NotPermittedError, PlatformError, ours
from molecule_approve.lifecycle import outcome_of
from molecule_approve.model import (
    Approval,
    ApprovalRequest,
    Decision,
    Failure,
    JsonValue,
    Outcome,
    SubmittedRequest,
    Verdict,
)

from . import execution, no_decision
from .attempt import Attempt, Observer, Terms
from .records import Log, Recorder

if TYPE_CHECKING:
    from molecule_approve.client.platform import Platform
    from molecule_approve.executions import Execution
    from molecule_approve.proofs.keys_file import KeyRing

    from .binding import Binding
    from .execution import Launcher

__all__ = ["Gate", "Observer", "Terms"]


class Gate:
    """The use case, over a platform to ask, a log to write, and whoever may stop us or look on.

    With ``keys`` an approval counts only with a receipt that proves it by them.
    """

    def __init__(
        self,
        platform: Platform,
        log: Log,
        stop: Stop,
        observer: Observer,
        *,
        attempt_id: str,
        audit_optional: bool = False,
        keys: KeyRing | None = None,
        clock: Clock = boottime,
    ) -> None:
        self._platform = platform
        self._log = log
        self._stop = stop
        self._observer = observer
        self._attempt_id = attempt_id
        self._audit_optional = audit_optional
        self._keys = keys
        self._clock = clock

    def request(self, request: ApprovalRequest, terms: Terms, permit: Callable[[], None]) -> Verdict:
        """Request an approval and wait for the decision. Never raises an ApprovalError: a failure is a verdict, and a no.

        ``permit`` raises NotPermittedError where the workspace's roles do not let it ask.
        """
        return _to_the_end(self._attempt(request, terms), partial(_request, permit))

    def resume(self, request: ApprovalRequest, submitted: SubmittedRequest, terms: Terms) -> Verdict:
        """Wait for an earlier request, and redeem its approval."""
        return _to_the_end(self._attempt(request, terms), partial(_resume, submitted))

    def undelivered(self, request: ApprovalRequest, verdict: Verdict, failure: ApprovalError) -> Verdict:
        """The approval could not be delivered to the caller, so it is none; the log says so."""
        recorder = self._recorder(request)
        recorder.record_undelivered(verdict.approval_id, failure.message)
        return replace(verdict, outcome=Outcome.FAILED, error=Failure.of(failure), recorded=recorder.recorded)

    def execute(self, request: ApprovalRequest, verdict: Verdict, binding: Binding, launcher: Launcher) -> Execution:
        """Run the command that this verdict approves; what it returns says whether it ran."""
        return execution.execute(binding, verdict, self._recorder(request), launcher)

    def _recorder(self, request: ApprovalRequest) -> Recorder:
        return Recorder(
            self._log,
            request,
            self._attempt_id,
            optional=self._audit_optional,
            now=utc_now,
            warn=self._observer.trouble,
            note=self._observer.recorded,
            pause=self._pause,
        )

    def _pause(self, seconds: float) -> None:
        """Sleep; a stop ends it. Whether anybody reads the verdict is asked when it is delivered."""
        with self._stop.open():
            time.sleep(seconds)

    def _attempt(self, request: ApprovalRequest, terms: Terms) -> Attempt:
        deadline, recorder = Deadline.after(terms.timeout, self._clock), self._recorder(request)
        parts = self._platform, self._stop, self._observer, recorder, self._keys
        return Attempt(self._attempt_id, request, terms, deadline, *parts)


def _to_the_end(attempt: Attempt, path: Callable[[Attempt], Verdict]) -> Verdict:
    """Whatever happens on the path becomes a verdict, and only the path's own end can be an approval."""
    try:
        return path(attempt)
    except Interrupted as exc:
        return no_decision.interrupted(attempt, exc)
    except Exception as exc:  # noqa: BLE001 - a fault of ours, or of a library, must not leave the request open
        return no_decision.failed(attempt, ours(exc))


def _request(permit: Callable[[], None], attempt: Attempt) -> Verdict:
    try:
        permit()
    except NotPermittedError as exc:
        return no_decision.not_permitted(attempt, exc)
    _record_intent(attempt)
    _require_verification(attempt)
    asked_sha256 = None if attempt.keys is None else _require_receipts(attempt)
    submitted = attempt.found = _submit(attempt)
    wait = attempt.terms.wait
    attempt.recorder.record_requested(submitted, attempt.deadline, wait=wait, asked_sha256=asked_sha256)
    attempt.observer.asked(submitted)
    if not wait:
        no_decision.withdraw_duplicates(attempt, submitted)  # a later wait may be elsewhere, without our log
        return attempt.verdict(Outcome.PENDING)
    return _wait(attempt, submitted)


def _resume(submitted: SubmittedRequest, attempt: Attempt) -> Verdict:
    approval_id, timeout = submitted.approval_id, attempt.terms.timeout
    attempt.recorder.record_resumed(approval_id, attempt.deadline, timeout, attempt.stop.sleep)
    submitted = attempt.found = replace(submitted, attempt_id=attempt.id)
    _require_verification(attempt)
    if attempt.keys is not None:
        _require_receipts(attempt)
    attempt.observer.asked(submitted)
    return _wait(attempt, submitted)


def _record_intent(attempt: Attempt) -> None:
    recorder, request = attempt.recorder, attempt.request
    head = recorder.record_initiated(attempt.deadline, attempt.terms.timeout, attempt.stop.sleep)
    if head is not None:
        # The platform keeps the context, out of reach of whoever can write the log.
        anchor: JsonValue = {**head._asdict(), "file": recorder.place}
        attempt.request = replace(request, context={**request.context, "audit_head": anchor})


def _require_verification(attempt: Attempt) -> None:
    if not attempt.terms.verified:
        return
    with attempt.stop.open():
        verifies = attempt.platform.verifies_approvers(attempt.deadline.capped(attempt.terms.policy.read))
    if not verifies:
        raise PlatformError(
            "this platform does not verify who approves: any caller can put any name on a decision",
            hint="use the embedded server, or omit --require-verified-approver",
        )


def _require_receipts(attempt: Attempt) -> str:
    """The hash of what is asked, which a receipt has to be about; only with keys is the code of receipts loaded."""
    from . import receipts  # noqa: PLC0415

    return receipts.require(attempt)


def _submit(attempt: Attempt) -> SubmittedRequest:
    attempt.submission = Submission(
        attempt.platform,
        attempt.request,
        attempt.deadline,
        attempt.stop,
        random=fraction,
        on_trouble=attempt.observer.trouble,
    )
    return replace(attempt.submission.run(), attempt_id=attempt.id)


def _wait(attempt: Attempt, submitted: SubmittedRequest) -> Verdict:
    attempt.wait = Wait(
        attempt.platform,
        submitted,
        attempt.deadline,
        attempt.stop,
        attempt.observer,
        stream=attempt.terms.stream,
        random=fraction,
        policy=attempt.terms.policy,
        withdraw_duplicates=partial(no_decision.withdraw_duplicates, attempt),
        meanwhile=None if attempt.keys is None else partial(_check_keys, attempt.keys),
    )
    decision = attempt.wait.run()
    if decision is not None:
        attempt.stop.check()
    else:
        decision = no_decision.decision_at_deadline(attempt, attempt.wait.submitted)
    transport = attempt.wait.link.value
    verdict = no_decision.timed_out(attempt) if decision is None else _conclude(attempt, decision, transport)
    no_decision.withdraw_duplicates(attempt, attempt.wait.submitted)
    return verdict


def _conclude(attempt: Attempt, decision: Decision, transport: str) -> Verdict:
    """Record how the request ended, then return it."""
    row, recorder = decision.approval, attempt.recorder
    match outcome_of(row):
        case Outcome.APPROVED:
            receipt_sha256 = _require_proof(attempt, row)
            recorder.record_granted(decision, attempt.waited(), transport, attempt.deadline, receipt_sha256)
            return attempt.decided(Outcome.APPROVED, decision)
        case Outcome.DENIED:
            recorder.record_denied(decision, attempt.waited(), transport, attempt.deadline)
            return attempt.decided(Outcome.DENIED, decision)
        case Outcome.EXPIRED if attempt.outlived(row):
            return no_decision.timed_out(attempt, expired=True)
        case Outcome.EXPIRED:
            recorder.record_timeout(row.id, attempt.waited(), "expired", attempt.deadline, withdrawn=False)
            return attempt.verdict(Outcome.EXPIRED)
        case _:
            recorder.record_withdrawn(row.id, "by somebody else", attempt.deadline, withdrawn=False, decision=None)
            return attempt.verdict(Outcome.WITHDRAWN)


def _check_keys(keys: KeyRing) -> None:
    from . import receipts  # noqa: PLC0415 - as in _require_receipts

    receipts.check_keys(keys)


def _require_proof(attempt: Attempt, row: Approval) -> str | None:
    """An approval counts for the very text that was requested, by a verified name or with a receipt where that is demanded.

    Returns the hash of the receipt.
    """
    if row.action != attempt.request.action:
        raise PlatformError("the platform returned an approval for a different action", hint="request this action again")
    if attempt.terms.verified and row.decided_by_verified is not True:
        raise PlatformError(
            "the platform did not verify the approver's name",
            hint="use the embedded server, or omit --require-verified-approver",
        )
    if attempt.keys is None:
        return None
    from . import receipts  # noqa: PLC0415 - as in _require_receipts

    return receipts.prove(attempt, row, attempt.keys)
