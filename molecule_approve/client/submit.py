"""Asking, until the platform holds the question once: tries again while that may help, and looks before it asks again."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from molecule_approve.errors import ApprovalError, KeyUsedError, PlatformError, ProtocolError, UnavailableError
from molecule_approve.lifecycle import outcome_of
from molecule_approve.model import Approval, ApprovalRequest, Outcome, Question

from .retry import Random, SubmitPolicy, backoff, spread, submit_window

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from molecule_approve.clock import Deadline

    from .platform import Platform


class Stop(Protocol):
    """How the outside stops us: a signal, a cancelled task, nobody left to tell."""

    def check(self) -> None:
        """Raise Interrupted if we were stopped, or if nobody is left to tell."""
        ...

    def open(self) -> AbstractContextManager[None]:
        """A region in which Interrupted may be raised at any point; outside it waits for the next check."""
        ...

    def sleep(self, seconds: float) -> None:
        """Pause; raises Interrupted as soon as we are stopped."""
        ...


class Submission:
    """One question on its way.

    Attributes:
        maybe_there: whether the platform may hold the question, or a second row of it, although no answer has said so.

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
        policy: SubmitPolicy = SubmitPolicy(),  # noqa: B008 - a frozen value
    ) -> None:
        self.maybe_there = False
        self._platform = platform
        self._request = request
        self._end = deadline.capped(policy.total)
        self._started = deadline.clock()
        self._stop = stop
        self._pauses = backoff(policy.first, policy.most, random)
        self._random = random
        self._crowd = policy.crowd
        self._on_trouble = on_trouble
        self._policy = policy

    def run(self) -> Question:
        """Ask once, however often it takes to know that the question has arrived.

        Before every further try that could double the question, the platform's list is searched for our task id; with
        an idempotency key also before the first, for on the platform the key is nothing but that.

        Raises:
            KeyUsedError: the key belongs to another question, or to one that has ended.
            ApprovalError: the last failure, once its time is over.
            Interrupted: somebody stopped us.

        """
        while True:
            self._stop.check()
            before = self.maybe_there
            try:
                with self._stop.open():
                    question = self._look() or self._ask()
            except ProtocolError as exc:
                return self._found_after(exc)
            except ApprovalError as exc:
                self._pause(exc)
            else:
                # Not sooner: a stop at the end of the region loses the answer.
                self.maybe_there = before
                return question

    def _look(self) -> Question | None:
        if not self.maybe_there and self._request.idempotency_key is None:
            return None
        return self._found(self._end.capped(self._policy.attempt))

    def _found(self, deadline: Deadline) -> Question | None:
        rows = self._platform.find(self._request, deadline)
        return _adopted(rows[0], self._request) if rows else None

    def _ask(self) -> Question:
        before, self.maybe_there = self.maybe_there, True  # also when we are stopped in the middle of it
        try:
            return self._platform.submit(self._request, self._end.capped(self._policy.attempt))
        except ApprovalError as exc:
            # Any other failure is of our own settings, before anything is sent.
            self.maybe_there = before or (isinstance(exc, PlatformError) and exc.maybe_sent)
            raise

    def _found_after(self, failure: ProtocolError) -> Question:
        """After an answer that makes no sense: the request may be there all the same, and is found by its task id."""
        try:
            with self._stop.open():
                found = self._found(self._end.capped(self._policy.attempt))
        except KeyUsedError:
            raise
        except ApprovalError:
            raise failure from None
        if found is None:
            raise failure
        return found

    def _pause(self, failure: ApprovalError) -> None:
        """Wait until the next try, or raise the failure where there is none."""
        left = min(self._end.at, self._started + submit_window(failure, self._policy)) - self._end.clock()
        pause: float | None
        pause = wait = next(self._pauses)
        if isinstance(failure, UnavailableError) and (failure.retry_after is not None or failure.status == 429):
            pause = spread(max(wait, failure.retry_after or 0.0), left, self._crowd, self._policy, self._random)
            self._crowd *= 2
        if pause is None or pause > left:
            raise _explained(failure)
        self._on_trouble(failure)
        self._stop.sleep(pause)


def _adopted(row: Approval, request: ApprovalRequest) -> Question:
    """Take up a request that carries our task id: our own whose answer was lost, or our key's."""
    if request.idempotency_key is not None:
        if outcome_of(row) is not Outcome.PENDING:
            raise KeyUsedError.ended(row.id)
        if (row.action, row.reason) != (request.action, request.reason):
            raise KeyUsedError.conflict(row.id)
    return Question(
        approval_id=row.id,
        workspace_id=request.workspace_id,
        action=request.action,
        task_id=request.task_id,
        created_at=row.created_at,
    )


def _explained(failure: ApprovalError) -> ApprovalError:
    """The failure with the hint that its place suggests."""
    if isinstance(failure, UnavailableError) and failure.status == 500:
        failure.hint = "the platform says this for a workspace that it does not know: check WORKSPACE_ID"
    return failure
