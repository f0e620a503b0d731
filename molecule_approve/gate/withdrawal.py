"""Taking a question back, within two seconds: on a timeout, on a signal, and where no verdict could be had."""

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
from molecule_approve.model import Approval, ApprovalRequest, Outcome, Question

if TYPE_CHECKING:
    from molecule_approve.client.platform import Platform

EFFORT = 2.0
"""Seconds that taking a request back may take."""

TWINS = 0.75
"""Seconds that looking for a second row of our question may take where the first one has ended."""

LOOKS = (0.0, 0.25, 0.75, 0.75)
"""Seconds before each look for a question whose POST was broken off: the platform may still be at work on it."""

_LAST = 0.25
"""Seconds that are kept for the last try: a pause never takes them."""

_BROKEN_WAYS = (ProtocolError, RejectedError, CredentialError)
"""What a withdrawal is said again after: no platform refuses one, so something in between does, and may do so once."""

_DECISIONS = frozenset({Outcome.APPROVED, Outcome.DENIED, Outcome.EXPIRED})
_T = TypeVar("_T")


def persist(
    call: Callable[[], _T], effort: Deadline, pause: Callable[[float], None], again: tuple[type[ApprovalError], ...]
) -> _T:
    """What the call answers; while it fails in a way that may pass it is made again, for as long as there is time.

    Args:
        call: what to do.
        effort: for how long.
        pause: sleeps.
        again: what else it is made again after.

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
    """Whether another try may fare better: also after the 401 of a platform without its database."""
    if isinstance(failure, CredentialError):
        return failure.status == 401
    return isinstance(failure, UnavailableError)


class TakenBack(NamedTuple):
    """What came of it.

    Attributes:
        question: which one: found again by its task id where its answer had been lost; None where there is none.
        ended: whether it ended by being taken back.
        stood: the decision that had ended it before, if one had.
        unknown: why it could not be learnt how the question stands, if it could not.

    """

    question: Question | None
    ended: bool = False
    stood: Approval | None = None
    unknown: ApprovalError | None = None


@dataclass(frozen=True, slots=True)
class TakeBack:
    """How one invocation takes its question back.

    Attributes:
        platform: who holds it.
        request: what was asked, to find it by.
        deadline: the invocation's own: what was said more than five seconds after it does not stand, for the machine slept;
            it is read all the same, so that nobody claims what was not seen, and nothing is used up by that.
        warn: is told what goes wrong; nothing is raised.
        looks: seconds before each look for a question that may be there.
        effort: seconds that all of it may take.

    """

    platform: Platform
    request: ApprovalRequest
    deadline: Deadline
    warn: Callable[[ApprovalError], None]
    looks: tuple[float, ...] = LOOKS
    effort: float = EFFORT

    def __call__(self, question: Question | None, *, maybe_there: bool) -> TakenBack:
        """Take it back, and every further row of it.

        Args:
            question: the question, if its id is known.
            maybe_there: whether the platform may still be at work on a POST that was not answered.

        """
        effort = Deadline.after(self.effort)
        taken = TakenBack(question)
        if question is not None:
            taken = self._end(question, effort)
        if maybe_there:
            taken = self._look(taken, effort)
        elif question is not None:
            self._look(taken, effort.capped(TWINS), once=True)
        return taken

    def twins(self, question: Question) -> None:
        """Take back every other open row of a question that has ended: a proxy or a late POST may have doubled it."""
        self._look(TakenBack(question), Deadline.after(min(TWINS, self.effort)), once=True)

    def _end(self, question: Question, effort: Deadline) -> TakenBack:
        try:
            return self._withdraw_or_raise(question, effort)
        except Exception as exc:  # noqa: BLE001 - a fault of a library must not keep the end from being recorded
            failure = ours(exc)
            self.warn(failure)
            return TakenBack(question, unknown=failure)

    def _withdraw_or_raise(self, question: Question, effort: Deadline) -> TakenBack:
        return persist(lambda: self._withdraw(question, effort), effort, time.sleep, _BROKEN_WAYS)

    def _withdraw(self, question: Question, effort: Deadline) -> TakenBack:
        try:
            said = self.platform.withdraw(question, effort.capped(self.effort * 2 / 3))
        except UnavailableError:  # its answer may be all that was lost
            seen = self._seen(question, effort)
            if seen is None:
                raise
            return seen
        if said.taken_back:
            return TakenBack(question, ended=True)
        seen = self._seen(question, effort)
        if seen is None:  # what still shows it open is behind, and may catch up
            raise UnavailableError("the platform says that the request has ended, and does not show how")
        return seen

    def _seen(self, question: Question, effort: Deadline) -> TakenBack | None:
        """How it has ended, as a read shows it; None where that shows no end, or that this very row is open."""
        late = self.deadline.overdue() > OVERSLEPT
        shown = self.platform.fetch(replace(question, invocation=None) if late else question, effort)
        row = shown.approval
        if row is None or any(extra.id == question.approval_id for extra in shown.extras):
            return None
        outcome = outcome_of(row)
        if outcome is Outcome.WITHDRAWN:
            return TakenBack(question, ended=True)
        return TakenBack(question, stood=None if late else row) if outcome in _DECISIONS else None

    def _look(self, taken: TakenBack, effort: Deadline, *, once: bool = False) -> TakenBack:
        """Look for rows with our task id that are not the known one, and take them back.

        Args:
            taken: what is known.
            effort: for how long.
            once: nothing more is on its way, so that one look at the list will do; else another row may follow each.

        """
        for pause in self.looks:
            time.sleep(min(pause, effort.left()))
            try:
                rows = self.platform.find(self.request, effort)
            except Exception as exc:  # noqa: BLE001 - see _end
                self.warn(ours(exc))
                continue  # perhaps something in between has answered; the next look is soon enough for a read
            news = [row for row in sorted(rows, key=_is_ended) if self._is_news(row, taken.question)]
            for before, row in enumerate(news):
                taken = self._take_or_warn(taken, row, effort.capped(effort.left() / (len(news) - before)))
            if once:
                break
        return taken

    def _is_news(self, row: Approval, known: Question | None) -> bool:
        if row.action != self.request.action:  # our key's, and not our question
            return False
        return known is None or (row.id != known.approval_id and not _is_ended(row))

    def _take_or_warn(self, taken: TakenBack, row: Approval, effort: Deadline) -> TakenBack:
        """One row that cannot be taken back spares none of the others, each of which has its share of the time."""
        try:
            return self._take(taken, row, effort)
        except Exception as exc:  # noqa: BLE001 - see _end
            self.warn(ours(exc))
            return taken

    def _take(self, taken: TakenBack, row: Approval, effort: Deadline) -> TakenBack:
        question = Question(row.id, self.request.workspace_id, self.request.action, self.request.task_id)
        if taken.question is None:
            return self._end(question, effort)
        if not _is_ended(row):
            self._withdraw_or_raise(question, effort)
        return taken


def _is_ended(row: Approval) -> bool:
    return outcome_of(row) is not Outcome.PENDING
