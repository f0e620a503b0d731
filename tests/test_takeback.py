"""Taking a question back: what ends by it, what stood before, and what cannot be told."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from molecule_approve.client.platform import Sighting, Withdrawal
from molecule_approve.clock import Deadline
from molecule_approve.errors import ApprovalError, RejectedError, UnavailableError
from molecule_approve.takeback import EFFORT, LOOKS, TakeBack, TakenBack
from tests.client.fakes import OTHER, Clock, Contract, question, request, row

if TYPE_CHECKING:
    from molecule_approve.model import Approval

AWAY = UnavailableError("away")
DONE = Withdrawal(taken_back=True, settled=False)
SETTLED = Withdrawal(taken_back=False, settled=True)


class Scene:
    """A platform in memory, and a deadline that passed so many seconds ago."""

    def __init__(self, overdue: float = 0.0) -> None:
        self.clock = Clock()
        self.platform = Contract(self.clock)
        self.warnings: list[ApprovalError] = []
        deadline = Deadline(self.clock.now - overdue, self.clock)
        self.take_back = TakeBack(self.platform, request(), deadline, self.warnings.append, looks=(0.0, 0.001, 0.001))

    @property
    def calls(self) -> list[str]:
        return [name for name, _ in self.platform.calls]


def test_an_open_question_is_taken_back() -> None:
    """One call ends it, and nothing more is read."""
    scene = Scene()
    assert scene.take_back(question(), maybe_there=True) == TakenBack(question(), ended=True)
    assert scene.calls == ["withdraw"]


def test_where_nothing_was_asked_nothing_is_done() -> None:
    """Without a question that may be there the platform is left alone."""
    scene = Scene()
    assert scene.take_back(None, maybe_there=False) == TakenBack(None)
    assert scene.calls == []


def test_a_question_that_may_be_there_is_looked_for() -> None:
    """A question whose answer was lost is found by its task id; where it is not there, that is all."""
    scene = Scene()
    assert scene.take_back(None, maybe_there=True) == TakenBack(None)
    scene.platform.finds = [row(id=OTHER)]
    taken = scene.take_back(None, maybe_there=True)
    assert taken.question is not None
    assert (taken.question.approval_id, taken.ended, scene.platform.taken_back) == (OTHER, True, [OTHER])


def test_a_platform_that_is_still_at_work_is_looked_at_again() -> None:
    """A question that appears only at the third look, its POST having been broken off, is taken back all the same."""
    scene = Scene()
    scene.platform.finds = [None, None, row(id=OTHER)]
    assert scene.take_back(None, maybe_there=True).ended
    assert scene.calls == ["find", "find", "find", "withdraw"]


def test_the_looks_leave_time_to_take_it_back() -> None:
    """Half of the effort at most goes into looking, and the first look is at once."""
    assert LOOKS[0] == 0
    assert sum(LOOKS) <= EFFORT / 2


@pytest.mark.parametrize(
    ("stood", "ended", "decides"),
    [
        (row("approved", "alice"), False, True),
        (row("denied", "bob"), False, True),
        (row("denied", "auto-expired"), False, True),
        (row("denied", "withdrawn"), True, False),
        (row("unknown"), False, False),
        (row(), False, False),
        (None, False, False),
    ],
)
def test_what_had_ended_before(stood: Approval | None, ended: bool, decides: bool) -> None:
    """What comes too late is read: a decision stands, a withdrawal is one, and everything else is nothing."""
    scene = Scene()
    scene.platform.withdrawals = [SETTLED]
    scene.platform.shows = [Sighting(stood)]
    taken = scene.take_back(question(), maybe_there=False)
    assert taken == TakenBack(question(), ended=ended, stood=stood if decides else None)


@pytest.mark.parametrize(("overdue", "read"), [(4.9, True), (5.1, False)])
def test_long_after_the_deadline_nothing_stands(overdue: float, read: bool) -> None:
    """What was decided while the machine slept far beyond the deadline is not even read."""
    scene = Scene(overdue)
    scene.platform.withdrawals = [SETTLED]
    scene.platform.shows = [Sighting(row("approved", "alice"))]
    assert (scene.take_back(question(), maybe_there=False).stood is not None) is read
    assert ("fetch" in scene.calls) is read


def test_a_call_that_broke_is_made_once_more() -> None:
    """A broken connection is no reason to leave the question behind."""
    scene = Scene()
    scene.platform.withdrawals = [AWAY, DONE]
    assert scene.take_back(question(), maybe_there=False).ended
    assert scene.warnings == []


@pytest.mark.parametrize(("failure", "tries"), [(AWAY, 2), (RejectedError("no", status=400), 1)])
def test_what_cannot_be_taken_back_is_told(failure: ApprovalError, tries: int) -> None:
    """A platform that is away is tried twice, one that refuses once; it is told, and nothing is raised."""
    scene = Scene()
    scene.platform.withdrawals = [failure]
    assert scene.take_back(question(), maybe_there=False) == TakenBack(question())
    assert (scene.warnings, scene.calls) == ([failure], ["withdraw"] * tries)
