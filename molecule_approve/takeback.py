"""Taking a question back, within two seconds: on a timeout, on a signal, and where no verdict could be had."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from .client.wait import OVERSLEPT
from .clock import Deadline
from .errors import ApprovalError, UnavailableError
from .lifecycle import Ruling, rule
from .model import Approval, ApprovalRequest, Question

if TYPE_CHECKING:
    from .client.platform import Platform

EFFORT = 2.0
"""Seconds that taking a request back may take."""

LOOKS = (0.0, 0.25, 0.75)
"""Seconds before each look for a question whose POST was broken off: the platform may still be at work on it.

One second in all, the other one of EFFORT is kept for taking back what was found; three reads, as the contract allows.
"""

_DECISIONS = frozenset({Ruling.APPROVED, Ruling.DENIED, Ruling.EXPIRED})


class TakenBack(NamedTuple):
    """What came of it.

    Attributes:
        question: which one: found again by its task id where its answer had been lost; None where there is none.
        ended: whether it ended by being taken back.
        stood: the decision that had ended it before, if one had.

    """

    question: Question | None
    ended: bool = False
    stood: Approval | None = None


@dataclass(frozen=True, slots=True)
class TakeBack:
    """How one invocation takes its question back.

    Attributes:
        platform: who holds it.
        request: what was asked, to find it by.
        deadline: the invocation's own: what was said more than five seconds after it does not stand, for the machine slept.
        warn: is told what goes wrong; nothing is raised.
        looks: seconds before each look for a question that may be there.

    """

    platform: Platform
    request: ApprovalRequest
    deadline: Deadline
    warn: Callable[[ApprovalError], None]
    looks: tuple[float, ...] = LOOKS

    def __call__(self, question: Question | None, *, maybe_there: bool) -> TakenBack:
        """Take it back.

        Args:
            question: the question, if its id is known.
            maybe_there: whether the platform may hold one although its id is not known.

        """
        effort = Deadline.after(EFFORT)
        try:
            if question is None and maybe_there:
                question = self._unseen(effort)
            if question is None:
                return TakenBack(None)
            try:
                return self._withdraw(question, effort)
            except UnavailableError:  # a kept connection that broke, a call that was broken off: once more
                return self._withdraw(question, effort)
        except ApprovalError as exc:
            self.warn(exc)
            return TakenBack(question)

    def _withdraw(self, question: Question, effort: Deadline) -> TakenBack:
        if self.platform.withdraw(question, effort).taken_back:
            return TakenBack(question, ended=True)
        if self.deadline.overdue() > OVERSLEPT:
            return TakenBack(question)
        row = self.platform.fetch(question, effort).approval
        if row is None:
            return TakenBack(question)
        ruling = rule(row)
        return TakenBack(question, ended=ruling is Ruling.WITHDRAWN, stood=row if ruling in _DECISIONS else None)

    def _unseen(self, effort: Deadline) -> Question | None:
        for pause in self.looks:
            time.sleep(min(pause, effort.left()))
            row = self.platform.find(self.request, effort)
            if row is not None:
                return Question(row.id, self.request.workspace_id, self.request.action, self.request.task_id)
        return None
