"""Asking, until the platform holds the question once: tries again while that may help, and looks before it asks again."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from molecule_approve.errors import ApprovalError, CredentialError, KeyUsedError, ProtocolError, UnavailableError
from molecule_approve.lifecycle import Ruling, rule
from molecule_approve.model import Approval, ApprovalRequest, Question

from .retry import Random, SubmitPolicy, backoff, submit_window

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


def submit(
    platform: Platform,
    request: ApprovalRequest,
    deadline: Deadline,
    stop: Stop,
    *,
    random: Random,
    on_trouble: Callable[[ApprovalError], None],
    policy: SubmitPolicy = SubmitPolicy(),  # noqa: B008 - a frozen value
) -> Question:
    """Ask once, however often it takes to know that the question has arrived.

    Before every further try that could double the question, the platform's list is searched for our task id; with an
    idempotency key also before the first, for on the platform the key is nothing but that.

    Raises:
        KeyUsedError: the key belongs to another question, or to one that has ended.
        ApprovalError: the last failure, once its time is over; ``maybe_sent`` of it is False where nothing was ever sent.

    """
    end = deadline.capped(policy.total)
    started = end.clock()
    look = request.idempotency_key is not None
    pauses = backoff(policy.first, policy.most, random)
    while True:
        stop.check()
        try:
            with stop.open():
                found = platform.find(request, end.capped(policy.attempt)) if look else None
                return _adopt(found, request) if found else platform.submit(request, end.capped(policy.attempt))
        except KeyUsedError:
            raise
        except ProtocolError as exc:
            return _found_after(platform, request, end, stop, exc)
        except ApprovalError as exc:
            failure = exc
        look = look or not (isinstance(failure, UnavailableError) and not failure.maybe_sent)
        asked = failure.retry_after if isinstance(failure, UnavailableError) else None
        wait = max(next(pauses), asked or 0.0)
        if end.clock() + wait > min(end.at, started + submit_window(failure, policy)):
            raise _explained(failure, maybe_sent=look)
        on_trouble(failure)
        stop.sleep(wait)


def _found_after(
    platform: Platform, request: ApprovalRequest, end: Deadline, stop: Stop, failure: ProtocolError
) -> Question:
    """After an answer that makes no sense: the request may be there all the same, and is found by its task id."""
    try:
        with stop.open():
            found = platform.find(request, end)
    except ApprovalError:
        raise failure from None
    if found is None:
        raise failure
    return _adopt(found, request)


def _adopt(row: Approval, request: ApprovalRequest) -> Question:
    """Take up a request that carries our task id: our own whose answer was lost, or our key's."""
    if request.idempotency_key is not None:
        if rule(row) is not Ruling.OPEN:
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


def _explained(failure: ApprovalError, *, maybe_sent: bool) -> ApprovalError:
    """The failure with the hint that its place suggests, and whether any of our tries may have arrived."""
    if isinstance(failure, UnavailableError):
        failure.maybe_sent = maybe_sent
    if isinstance(failure, UnavailableError) and failure.status == 500:
        failure.hint = "the platform says this for a workspace that it does not know: check WORKSPACE_ID"
    elif isinstance(failure, CredentialError) and not failure.hint:
        failure.hint = "check MOLECULE_TOKEN and WORKSPACE_ID"
    return failure
