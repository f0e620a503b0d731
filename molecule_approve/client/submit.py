"""Submits a request until the platform has it once: retries while that may help, and searches before each retry."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from molecule_approve.errors import ApprovalError, KeyUsedError, PlatformError, ProtocolError, UnavailableError
from molecule_approve.lifecycle import outcome_of
from molecule_approve.model import Approval, ApprovalRequest, Outcome, SubmittedRequest

from .retry import Random, SubmitPolicy, backoff, spread, submit_window

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from molecule_approve.clock import Deadline

    from .platform import Platform


class Stop(Protocol):
    """What can stop an attempt: a signal, a cancelled task, no reader left for the verdict."""

    def check(self) -> None:
        """Raise Interrupted if the attempt was stopped."""

    def open(self) -> AbstractContextManager[None]:
        """A region in which Interrupted may be raised at any point; outside it waits for the next check."""

    def sleep(self, seconds: float) -> None:
        """Sleep; raises Interrupted as soon as the attempt is stopped."""


class Submission:
    """The submission of one request.

    ``maybe_there``: whether the platform may have it, or a duplicate of it, although no answer has said so.
    """

    def __init__(
        self,
        platform: Platform,
        request: ApprovalRequest,
        deadline: Deadline,
        stop: Stop,
        *,
        random: Random,
        on_trouble: Callable[[ApprovalError], None],
    ) -> None:
        self._policy = policy = SubmitPolicy()
        self.maybe_there = False
        self._platform = platform
        self._request = request
        self._deadline = deadline
        self._end = deadline.capped(policy.total)
        self._attempt = policy.attempt
        self._started = deadline.clock()
        self._stop = stop
        self._pauses = backoff(policy.first, policy.most, random)
        self._random = random
        self._crowd = policy.crowd
        self._on_trouble = on_trouble

    def run(self) -> SubmittedRequest:
        """Submit the request, with as many tries as it takes.

        Before each retry that could duplicate the request, the platform's list is searched for our task id; with an
        idempotency key also before the first try, because the platform itself ignores the key.

        Raises:
            KeyUsedError: the key belongs to a different request, or to one that has ended.
            ApprovalError: the last failure, once no retry is left.
            Interrupted: the attempt was stopped.
        """
        while True:
            self._stop.check()
            before = self.maybe_there
            try:
                with self._stop.open():
                    submitted = self._search() or self._submit_once()
            except ProtocolError as exc:
                return self._find_after(exc)
            except ApprovalError as exc:
                self._pause(exc)
            else:
                # Not earlier: a stop at the end of the region loses the answer.
                self.maybe_there = before
                return submitted

    def _search(self) -> SubmittedRequest | None:
        if not self.maybe_there and self._request.idempotency_key is None:
            return None
        return self._find(self._end.capped(self._attempt))

    def _find(self, deadline: Deadline) -> SubmittedRequest | None:
        rows = self._platform.find(self._request, deadline)
        return _adopt(rows[0], self._request) if rows else None

    def _submit_once(self) -> SubmittedRequest:
        before, self.maybe_there = self.maybe_there, True  # also if a stop interrupts it
        try:
            return self._platform.submit(self._request, self._end.capped(self._attempt))
        except ApprovalError as exc:
            # Any other failure comes from our own settings, before anything is sent.
            self.maybe_there = before or (isinstance(exc, PlatformError) and exc.maybe_sent)
            raise

    def _find_after(self, failure: ProtocolError) -> SubmittedRequest:
        """After an invalid answer the platform may still have the request; then it is found by its task id."""
        try:
            with self._stop.open():
                found = self._find(self._end.capped(self._attempt))
        except KeyUsedError:
            raise
        except ApprovalError:
            raise failure from None
        if found is None:
            raise failure
        return found

    def _pause(self, failure: ApprovalError) -> None:
        """Wait for the next try, or raise the failure if there is none."""
        if isinstance(failure, UnavailableError) and failure.slow:
            self._end = self._deadline.capped(self._started + self._policy.slow - self._deadline.clock())
            self._attempt *= 2
        left = min(self._end.at, self._started + submit_window(failure, self._policy)) - self._end.clock()
        pause: float | None
        pause = wait = next(self._pauses)
        if isinstance(failure, UnavailableError) and (failure.retry_after is not None or failure.status == 429):
            pause = spread(max(wait, failure.retry_after or 0.0), left, self._crowd, self._policy, self._random)
            self._crowd *= 2
        if pause is None or pause > left:
            raise _with_hint(failure)
        self._on_trouble(failure)
        self._stop.sleep(pause)


def _adopt(row: Approval, request: ApprovalRequest) -> SubmittedRequest:
    """Adopt a request with our task id: our own, whose answer was lost, or the one of our key."""
    if request.idempotency_key is not None:
        if outcome_of(row) is not Outcome.PENDING:
            raise KeyUsedError.ended(row.id)
        if (row.action, row.reason) != (request.action, request.reason):
            raise KeyUsedError.conflict(row.id)
    return SubmittedRequest(
        approval_id=row.id,
        workspace_id=request.workspace_id,
        action=request.action,
        task_id=request.task_id,
        created_at=row.created_at,
    )


def _with_hint(failure: ApprovalError) -> ApprovalError:
    """The failure, with a hint for a submission."""
    if isinstance(failure, UnavailableError) and failure.status == 500:
        failure.hint = "the platform answers so for an unknown workspace; check WORKSPACE_ID"
    return failure
