"""Withdrawing a request, within two seconds: on a timeout, on a signal, and where no verdict could be had."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from molecule_approve.client.retry import backoff
from molecule_approve.client.wait import OVERSLEPT
from molecule_approve.clock import Deadline, fraction
from molecule_approve.errors import ApprovalError, CredentialError, ProtocolError, RejectedError, UnavailableError, ours
from molecule_approve.lifecycle import outcome_of
from molecule_approve.model import Approval, ApprovalRequest, Outcome, SubmittedRequest

if TYPE_CHECKING:
    from molecule_approve.client.platform import Platform

EFFORT = 2.0
"""Seconds that withdrawing a request may take."""

DUPLICATES = 0.75
"""Seconds that the search for a second row of the request may take once the first has ended."""

LOOKS = (0.0, 0.25, 0.75, 0.75)
"""Seconds before each search for a request whose POST got no answer: the platform may still work on it."""

_LAST = 0.25
"""Seconds that are kept for the last try; no pause takes them."""

_NOT_FROM_A_PLATFORM = (ProtocolError, RejectedError, CredentialError)
"""After these a withdrawal is repeated: no platform refuses one, so a proxy did, perhaps only once."""

_DECISIONS = frozenset({Outcome.APPROVED, Outcome.DENIED, Outcome.EXPIRED})
_T = TypeVar("_T")


def persist(
    call: Callable[[], _T], effort: Deadline, pause: Callable[[float], None], again: tuple[type[ApprovalError], ...]
) -> _T:
    """Return what the call returns; repeat it while its failure may pass, or is one of ``again``, and there is time.

    Raises:
        ApprovalError: the last failure.
    """
    pauses = backoff(0.1, 0.4, fraction)
    while True:
        try:
            return call()
        except ApprovalError as exc:
            room = effort.left() - _LAST
            if room <= 0 or not (_may_pass(exc) or isinstance(exc, again)):
                raise
            asked = exc.retry_after if isinstance(exc, UnavailableError) else None
            pause(min(max(next(pauses), asked or 0.0), room))


def _may_pass(failure: ApprovalError) -> bool:
    """Whether another try may succeed: also after a 401, which a platform without its database answers."""
    if isinstance(failure, CredentialError):
        return failure.status == 401
    return isinstance(failure, UnavailableError)


class Withdrawn(NamedTuple):
    """What came of withdrawing a request.

    Attributes:
        submitted: the request; found by its task id where the answer to its POST was lost; None where there is none.
        ended: whether it ended by being withdrawn.
        decision: the decision that had ended it before, if there was one.
        unknown: why its outcome could not be read, if it could not.
    """

    submitted: SubmittedRequest | None
    ended: bool = False
    decision: Approval | None = None
    unknown: ApprovalError | None = None


@dataclass(frozen=True, slots=True)
class Withdrawer:
    """Withdraws the request of one attempt.

    Attributes:
        deadline: the attempt's own. A decision that is read more than five seconds after it does not count, because the
            machine slept; it is read without being redeemed, so that nobody claims an outcome that was not seen.
        warn: is told what goes wrong; nothing is raised.
        looks: seconds before each search for a request that may be there.
        effort: seconds that all of it may take.
    """

    platform: Platform
    request: ApprovalRequest
    deadline: Deadline
    warn: Callable[[ApprovalError], None]
    looks: tuple[float, ...] = LOOKS
    effort: float = EFFORT

    def withdraw(self, submitted: SubmittedRequest | None, *, maybe_there: bool) -> Withdrawn:
        """Withdraw the request, if its id is known, and every further row of it.

        ``maybe_there``: the platform may still work on a POST that got no answer.
        """
        effort = Deadline.after(self.effort)
        withdrawn = Withdrawn(submitted)
        if submitted is not None:
            withdrawn = self._end(submitted, effort)
        if maybe_there:
            withdrawn = self._search(withdrawn, effort)
        elif submitted is not None:
            self._search(withdrawn, effort.capped(DUPLICATES), once=True)
        return withdrawn

    def withdraw_duplicates(self, submitted: SubmittedRequest) -> None:
        """Withdraw every other open row of a request that has ended: a proxy or a late POST may have doubled it."""
        self._search(Withdrawn(submitted), Deadline.after(min(DUPLICATES, self.effort)), once=True)

    def _end(self, submitted: SubmittedRequest, effort: Deadline) -> Withdrawn:
        try:
            return self._persist(submitted, effort)
        except Exception as exc:  # noqa: BLE001 - a fault of a library must not keep the outcome from being recorded
            failure = ours(exc)
            self.warn(failure)
            return Withdrawn(submitted, unknown=failure)

    def _persist(self, submitted: SubmittedRequest, effort: Deadline) -> Withdrawn:
        return persist(lambda: self._withdraw(submitted, effort), effort, time.sleep, _NOT_FROM_A_PLATFORM)

    def _withdraw(self, submitted: SubmittedRequest, effort: Deadline) -> Withdrawn:
        try:
            answer = self.platform.withdraw(submitted, effort.capped(self.effort * 2 / 3))
        except UnavailableError:  # its answer may be all that was lost
            seen = self._seen(submitted, effort)
            if seen is None:
                raise
            return seen
        if answer.withdrawn:
            return Withdrawn(submitted, ended=True)
        seen = self._seen(submitted, effort)
        if seen is None:  # a read that still shows it open is behind, and may catch up
            raise UnavailableError("the platform says that the request has ended, but does not show its outcome")
        return seen

    def _seen(self, submitted: SubmittedRequest, effort: Deadline) -> Withdrawn | None:
        """How it has ended, by a read; None where the read shows no end, or shows this very row open."""
        late = self.deadline.overdue() > OVERSLEPT
        shown = self.platform.fetch(replace(submitted, attempt_id=None) if late else submitted, effort)
        row = shown.approval
        if row is None or any(open_row.id == submitted.approval_id for open_row in shown.duplicates):
            return None
        outcome = outcome_of(row)
        if outcome is Outcome.WITHDRAWN:
            return Withdrawn(submitted, ended=True)
        return Withdrawn(submitted, decision=None if late else row) if outcome in _DECISIONS else None

    def _search(self, withdrawn: Withdrawn, effort: Deadline, *, once: bool = False) -> Withdrawn:
        """Search for rows with our task id other than the known one, and withdraw them.

        ``once``: no POST is on its way, so one look at the list is enough; else a further row may appear after each.
        """
        for pause in self.looks:
            time.sleep(min(pause, effort.left()))
            try:
                rows = self.platform.find(self.request, effort)
            except Exception as exc:  # noqa: BLE001 - see _end
                self.warn(ours(exc))
                continue  # a proxy may have answered; the next look is soon
            new = [row for row in sorted(rows, key=_is_ended) if self._is_new(row, withdrawn.submitted)]
            for before, row in enumerate(new):
                withdrawn = self._withdraw_or_warn(withdrawn, row, effort.capped(effort.left() / (len(new) - before)))
            if once:
                break
        return withdrawn

    def _is_new(self, row: Approval, known: SubmittedRequest | None) -> bool:
        if row.action != self.request.action:  # another request of our idempotency key
            return False
        return known is None or (row.id != known.approval_id and not _is_ended(row))

    def _withdraw_or_warn(self, withdrawn: Withdrawn, row: Approval, effort: Deadline) -> Withdrawn:
        """A row that cannot be withdrawn keeps none of the others, each of which has its share of the time."""
        try:
            return self._withdraw_row(withdrawn, row, effort)
        except Exception as exc:  # noqa: BLE001 - see _end
            self.warn(ours(exc))
            return withdrawn

    def _withdraw_row(self, withdrawn: Withdrawn, row: Approval, effort: Deadline) -> Withdrawn:
        submitted = SubmittedRequest(row.id, self.request.workspace_id, self.request.action, self.request.task_id)
        if withdrawn.submitted is None:
            return self._end(submitted, effort)
        if not _is_ended(row):
            self._persist(submitted, effort)
        return withdrawn


def _is_ended(row: Approval) -> bool:
    return outcome_of(row) is not Outcome.PENDING
