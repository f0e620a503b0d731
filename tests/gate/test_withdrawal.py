"""Taking a question back: what ends by it, what stood before, and what cannot be told."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from molecule_approve.client.platform import Sighting, Withdrawal
from molecule_approve.clock import Deadline
from molecule_approve.errors import ApprovalError, CredentialError, ProtocolError, RejectedError, UnavailableError, UsedError
from molecule_approve.gate.withdrawal import EFFORT, LOOKS, Withdrawer, Withdrawn, persist
from tests.client.fakes import OTHER, OURS, Clock, Contract, request, row, submitted

if TYPE_CHECKING:
    from molecule_approve.model import Approval

AWAY = UnavailableError("away")
DONE = Withdrawal(withdrawn=True, ended_before=False)
SETTLED = Withdrawal(withdrawn=False, ended_before=True)


class Scene:
    """A platform in memory, and a deadline that passed so many seconds ago."""

    def __init__(self, overdue: float = 0.0, effort: float = 0.3) -> None:
        self.clock = Clock()
        self.platform = Contract(self.clock)
        self.warnings: list[ApprovalError] = []
        deadline = Deadline(self.clock.now - overdue, self.clock)
        looks = (0.0, 0.001, 0.001)
        self.withdrawer = Withdrawer(self.platform, request(), deadline, self.warnings.append, looks, effort)

    @property
    def calls(self) -> list[str]:
        return [name for name, _ in self.platform.calls]


def test_an_open_question_is_taken_back() -> None:
    """One call ends it, and one look says that no further row of it is there."""
    scene = Scene()
    assert scene.withdrawer.withdraw(submitted(), maybe_there=False) == Withdrawn(submitted(), ended=True)
    assert scene.calls == ["withdraw", "find"]


def test_where_nothing_was_asked_nothing_is_done() -> None:
    """Without a question that may be there the platform is left alone."""
    scene = Scene()
    assert scene.withdrawer.withdraw(None, maybe_there=False) == Withdrawn(None)
    assert scene.calls == []


def test_a_question_that_may_be_there_is_looked_for() -> None:
    """A question whose answer was lost is found by its task id; where it is not there, that is all."""
    scene = Scene()
    assert scene.withdrawer.withdraw(None, maybe_there=True) == Withdrawn(None)
    scene.platform.finds = [row(id=OTHER)]
    taken = scene.withdrawer.withdraw(None, maybe_there=True)
    assert taken.submitted is not None
    assert (taken.submitted.approval_id, taken.ended, scene.platform.taken_back) == (OTHER, True, [OTHER])


def test_a_platform_that_is_still_at_work_is_looked_at_again() -> None:
    """A question that appears only at the third look, its POST having been broken off, is taken back all the same."""
    scene = Scene()
    scene.platform.finds = [None, None, row(id=OTHER)]
    assert scene.withdrawer.withdraw(None, maybe_there=True).ended
    assert scene.calls == ["find", "find", "find", "withdraw"]


def test_the_looks_leave_time_to_take_it_back() -> None:
    """The first look is at once, and the last one before the effort ends."""
    assert LOOKS[0] == 0
    assert sum(LOOKS) < EFFORT


# --- further rows of the question --------------------------------------------------------------------------------------


def test_a_row_that_a_proxy_doubled_is_taken_back_as_well() -> None:
    """Every open row that carries our task id is taken back, however the POST was answered."""
    scene = Scene()
    ended = row("denied", "bob", id="33333333-3333-4333-8333-333333333334")
    scene.platform.finds = [[row(), row(id=OTHER), ended]]
    assert scene.withdrawer.withdraw(submitted(), maybe_there=False) == Withdrawn(submitted(), ended=True)
    assert scene.platform.taken_back == [OURS, OTHER]


def test_a_row_that_turns_up_late_is_taken_back() -> None:
    """While a POST that was not answered may still be at work, it is looked for until it is seen."""
    scene = Scene()
    scene.platform.finds = [[row()], [row()], [row(), row(id=OTHER)]]
    scene.withdrawer.withdraw(submitted(), maybe_there=True)
    assert scene.platform.taken_back == [OURS, OTHER]
    assert scene.calls.count("find") == 3


def test_two_unseen_rows_are_both_taken_back() -> None:
    """Where no id is known, what is open is ours, not what the same key had asked before; and all of it is taken back."""
    scene = Scene()
    late = "33333333-3333-4333-8333-333333333334"
    scene.platform.finds = [[row("denied", "bob"), row(id=OTHER), row(id=late)], None]
    taken = scene.withdrawer.withdraw(None, maybe_there=True)
    assert taken.submitted is not None
    assert (taken.submitted.approval_id, scene.platform.taken_back) == (OTHER, [OTHER, late])


def test_a_row_that_follows_one_that_was_found_is_taken_back_as_well() -> None:
    """The first find is no reason to stop looking: a proxy that sends a POST again may still be at it."""
    scene = Scene()
    late = "33333333-3333-4333-8333-333333333334"
    scene.platform.finds = [row(id=OTHER), [row("denied", "withdrawn", id=OTHER), row(id=late)], None]
    assert scene.withdrawer.withdraw(None, maybe_there=True).ended
    assert scene.platform.taken_back == [OTHER, late]


def test_a_gateways_word_does_not_end_a_row() -> None:
    """What is said to have ended and is shown open still is taken back again, whether it is ours or one more row of it."""
    scene = Scene(effort=5.0)
    open_still = Sighting(row("approved", "alice"), duplicates=(row(id=OTHER),))
    scene.platform.finds = [[row("approved", "alice"), row(id=OTHER)]]
    scene.platform.withdrawals = [SETTLED, DONE]
    scene.platform.shows = [open_still]
    scene.withdrawer.withdraw_duplicates(submitted())
    assert (scene.calls, scene.platform.taken_back) == (["find", "withdraw", "fetch", "withdraw"], [OTHER, OTHER])
    scene.platform.withdrawals = [SETTLED, DONE]
    assert scene.withdrawer.withdraw(submitted(approval_id=OTHER), maybe_there=False).ended


def test_a_row_that_cannot_be_taken_back_spares_no_other() -> None:
    """What is refused for one further row is told, and the next one is taken back all the same."""
    scene = Scene()
    late = "33333333-3333-4333-8333-333333333334"
    scene.platform.finds = [[row(), row(id=OTHER), row(id=late)], None]
    scene.platform.withdrawals = [DONE, RejectedError("no", status=400), DONE]
    assert scene.withdrawer.withdraw(submitted(), maybe_there=True).ended
    assert scene.platform.taken_back == [OURS, OTHER, late]
    assert [failure.message for failure in scene.warnings] == ["no"]


def test_a_request_of_other_text_is_left_alone() -> None:
    """A row of our idempotency key that asks something else is not our question."""
    scene = Scene()
    scene.platform.finds = [[row(id=OTHER, action="something else")]]
    assert scene.withdrawer.withdraw(None, maybe_there=True) == Withdrawn(None)
    assert scene.platform.taken_back == []


def test_an_answered_question_leaves_no_twin() -> None:
    """Where the verdict is known, an open row of the same question is taken back and the answered one is left alone."""
    scene = Scene()
    scene.platform.finds = [[row("approved", "alice"), row(id=OTHER)]]
    scene.withdrawer.withdraw_duplicates(submitted())
    assert scene.calls == ["find", "withdraw"]
    assert scene.platform.taken_back == [OTHER]


def test_a_fault_of_the_program_keeps_nothing_from_its_end() -> None:
    """Whatever a library throws while the question is taken back is told, and nothing is raised."""
    scene = Scene()
    scene.platform.withdrawals = [RuntimeError("broken")]
    taken = scene.withdrawer.withdraw(submitted(), maybe_there=False)
    assert taken.unknown is not None
    assert "internal error" in taken.unknown.message
    scene.platform.finds = [RuntimeError("broken")]
    assert scene.withdrawer.withdraw(None, maybe_there=True) == Withdrawn(None)
    assert {failure.message for failure in scene.warnings} == {taken.unknown.message}


def test_a_twin_that_cannot_be_looked_for_is_told() -> None:
    """A platform that shows no list changes nothing of what is known of our own row; it is told."""
    scene = Scene()
    failure = RejectedError("no list here", status=404)
    scene.platform.finds = [failure]
    assert scene.withdrawer.withdraw(submitted(), maybe_there=False) == Withdrawn(submitted(), ended=True)
    assert scene.warnings == [failure] * 3


# --- what had ended before ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stood", "ended", "decides"),
    [
        (row("approved", "alice"), False, True),
        (row("denied", "bob"), False, True),
        (row("denied", "auto-expired"), False, True),
        (row("denied", "withdrawn"), True, False),
    ],
)
def test_what_had_ended_before(stood: Approval, ended: bool, decides: bool) -> None:
    """What comes too late is read: a decision stands, and a withdrawal is one."""
    scene = Scene()
    scene.platform.withdrawals = [SETTLED]
    scene.platform.shows = [Sighting(stood)]
    taken = scene.withdrawer.withdraw(submitted(), maybe_there=False)
    assert taken == Withdrawn(submitted(), ended=ended, decision=stood if decides else None)


@pytest.mark.parametrize("shown", [row("unknown"), row("approved", ""), row(), None])
def test_an_end_that_is_not_shown_is_unknown(shown: Approval | None) -> None:
    """Where the platform says that it has ended and shows no decision, nobody knows that nobody decided."""
    scene = Scene()
    scene.platform.withdrawals = [SETTLED]
    scene.platform.shows = [Sighting(shown)]
    taken = scene.withdrawer.withdraw(submitted(), maybe_there=False)
    assert (taken.ended, taken.decision, isinstance(taken.unknown, UnavailableError)) == (False, None, True)
    assert scene.warnings == [taken.unknown]


@pytest.mark.parametrize(
    ("shown", "taken"),
    [
        (row("denied", "withdrawn"), Withdrawn(submitted(), ended=True)),
        (row("approved", "alice"), Withdrawn(submitted(), decision=row("approved", "alice"))),
    ],
)
def test_where_its_answer_was_lost_a_read_tells(shown: Approval, taken: Withdrawn) -> None:
    """After a withdrawal without an answer it is read how the question stands, before it is said again."""
    scene = Scene()
    scene.platform.withdrawals = [AWAY]
    scene.platform.shows = [Sighting(shown)]
    assert scene.withdrawer.withdraw(submitted(), maybe_there=False) == taken
    assert scene.calls == ["withdraw", "fetch", "find"]


def test_long_after_the_deadline_a_lost_answer_is_read_as_well() -> None:
    """How it stands is read; where it is open still, the withdrawal is said again."""
    scene = Scene(overdue=6.0, effort=5.0)
    scene.platform.withdrawals = [AWAY, DONE]
    assert scene.withdrawer.withdraw(submitted(), maybe_there=False).ended
    assert scene.calls == ["withdraw", "fetch", "withdraw", "find"]


def test_a_list_that_is_behind_may_catch_up() -> None:
    """A read that still shows an ended request as open, of a replica, is made again."""
    scene = Scene(effort=5.0)
    scene.platform.withdrawals = [SETTLED]
    scene.platform.shows = [Sighting(row()), Sighting(row("approved", "alice"))]
    assert scene.withdrawer.withdraw(submitted(), maybe_there=False).decision == row("approved", "alice")


@pytest.mark.parametrize(("overdue", "counts"), [(4.9, True), (5.1, False)])
def test_long_after_the_deadline_nothing_stands(overdue: float, counts: bool) -> None:
    """What was decided while the machine slept far beyond the deadline is no verdict, and looking at it uses nothing up."""
    scene = Scene(overdue)
    scene.platform.withdrawals = [SETTLED]
    scene.platform.shows = [Sighting(row("approved", "alice"))]
    mine = submitted(attempt_id="i")
    taken = scene.withdrawer.withdraw(mine, maybe_there=False)
    assert (taken.decision is not None, taken.unknown) == (counts, None)
    assert scene.platform.read == [mine if counts else submitted()]


@pytest.mark.parametrize(
    "failure",
    [
        AWAY,
        ProtocolError("<html>"),
        CredentialError("no database", status=401),
        UnavailableError("busy", status=429),
        RejectedError("no route", status=404),
        CredentialError("no", status=403),
    ],
)
def test_what_may_pass_is_tried_again(failure: ApprovalError) -> None:
    """An outage, nonsense, a 401 without a database and a gateway's refusal are no reason to leave the question behind."""
    scene = Scene(effort=20.0)
    scene.platform.withdrawals = [failure, failure, failure, DONE]
    assert scene.withdrawer.withdraw(submitted(), maybe_there=False).ended
    assert (scene.warnings, scene.calls.count("withdraw")) == ([], 4)


def test_a_platform_that_stays_away_is_tried_for_the_whole_effort() -> None:
    """Tries go on, with short pauses, until the effort is over; then it is told, and how it stands is unknown."""
    scene = Scene(effort=1.0)
    scene.platform.withdrawals = [AWAY]
    began = time.monotonic()
    assert scene.withdrawer.withdraw(submitted(), maybe_there=True) == Withdrawn(submitted(), unknown=AWAY)
    assert time.monotonic() - began >= 0.7
    assert scene.warnings[0] is AWAY
    assert 3 <= scene.calls.count("withdraw") <= 14


def test_what_cannot_be_taken_back_is_told() -> None:
    """An approval that another invocation used is told at once, and nothing is raised."""
    scene = Scene(effort=5.0)
    failure = UsedError("used")
    scene.platform.withdrawals = [failure]
    assert scene.withdrawer.withdraw(submitted(), maybe_there=False) == Withdrawn(submitted(), unknown=failure)
    assert (scene.warnings, scene.calls) == ([failure], ["withdraw", "find"])


@pytest.mark.parametrize("failure", [ProtocolError("<html>"), RejectedError("no", status=404), RuntimeError("broken")])
def test_a_look_that_fails_is_no_last_one(failure: Exception) -> None:
    """A proxy's page for a list may come once: what the next look shows is taken back."""
    scene = Scene()
    scene.platform.finds = [failure, row(id=OTHER), None]
    assert scene.withdrawer.withdraw(None, maybe_there=True).ended
    assert scene.calls == ["find", "find", "withdraw", "find"]


@pytest.mark.parametrize(("asked", "pauses"), [(0.5, [0.5]), (60.0, [1.75]), (None, [0.05])])
def test_retry_after_is_honoured_within_the_effort(asked: float | None, pauses: list[float]) -> None:
    """What the platform asks for is waited, and one try is made at the end where that is too long."""
    slept: list[float] = []
    answers = iter([UnavailableError("busy", status=429, retry_after=asked), "done"])

    def call() -> object:
        said = next(answers)
        if isinstance(said, ApprovalError):
            raise said
        return said

    clock = Clock()
    assert persist(call, Deadline(clock.now + 2.0, clock), slept.append, ()) == "done"
    assert [round(pause, 3) for pause in slept] == pauses or (asked is None and 0.05 <= slept[0] <= 0.1)
