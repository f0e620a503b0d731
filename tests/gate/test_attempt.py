"""What an invocation knows of itself, and how its verdicts look."""

from __future__ import annotations

from dataclasses import replace

import pytest

from molecule_approve.client.wait import StreamState
from molecule_approve.clock import Deadline
from molecule_approve.errors import ProtocolError
from molecule_approve.gate.attempt import Attempt, Terms, shown
from molecule_approve.model import Decision, Evidence, Failure, Outcome
from tests.client.fakes import OTHER, OURS, T0, TASK, Clock, question, request, row

FAILURE = ProtocolError("what?", hint="look there")


def invocation(clock: Clock, **asked: object) -> Attempt:
    """One that began just now."""
    return Attempt("i", request(**asked), Terms(60.0), Deadline.after(60.0, clock), clock(), requested_at="then")


def test_before_anything_is_known() -> None:
    """Without a question a verdict names the action, the trace and the time, and nothing else."""
    clock = Clock()
    me = invocation(clock)
    clock.now += 1.5
    found = me.verdict(Outcome.FAILED, recorded=True, error=FAILURE)
    assert (found.action, found.trace_id, found.approval_id, found.requested_at) == ("deploy", TASK, None, "then")
    assert (found.waited_seconds, found.recorded, found.approved, found.evidence) == (1.5, True, False, None)
    assert (found.error, me.link) == (Failure("protocol", "what?", "look there"), StreamState.CONNECTING)


def test_once_the_question_is_known() -> None:
    """The platform's own time counts where it was seen, ours where not."""
    me = invocation(Clock())
    me.question = question()
    assert (me.approval_id, me.verdict(Outcome.PENDING, recorded=False).requested_at) == (OURS, "then")
    me.question = question(created_at=T0)
    found = me.verdict(Outcome.INTERRUPTED, recorded=False, error=Failure("interrupted", "stopped"), signum=15)
    assert (found.requested_at, found.error, found.signum) == (T0, Failure("interrupted", "stopped"), 15)


def test_a_decision() -> None:
    """A decided verdict carries the row's fields and what it rests on, under the row's own id."""
    me = invocation(Clock())
    me.question = question()
    decided = row("approved", "alice", id=OTHER, comment="fine", decided_at="a", expires_at="b", decided_by_verified=True)
    found = me.decided(Outcome.APPROVED, Decision(decided, Evidence.EVENT), recorded=True)
    assert (found.approved, found.approval_id, found.decided_by, found.decided_by_verified) == (True, OTHER, "alice", True)
    assert (found.comment, found.decided_at, found.expires_at, found.evidence) == ("fine", "a", "b", Evidence.EVENT)


def test_an_error_as_it_is_shown() -> None:
    """Its stable word, its sentence and its hint."""
    assert shown(FAILURE) == Failure("protocol", "what?", "look there")


def at(second: float) -> str:
    """A moment so many seconds after T0."""
    return f"2026-04-27T10:{int(second // 60):02}:{second % 60:06.3f}Z"


@pytest.mark.parametrize(
    ("asked", "ended", "own_timeout"),
    [
        (60.0, at(60.0), True),
        (60.0, at(60.5), True),
        (60.0, at(59.0), True),
        (60.0, at(58.9), False),
        (600.0, at(60.0), True),
        (600.0, at(30.0), False),
        (60.0, None, True),
        (60.0, "soon", True),
        (59.9, at(60.0), False),
        (5.0, at(5.0), False),
        (None, at(60.0), False),
    ],
)
def test_whose_clock_ended_it(asked: float | None, ended: str | None, own_timeout: bool) -> None:
    """An expiry is our own timeout if the question stood as long as we were to wait, by the platform's own times.

    Not if it was asked to stand for less, and not if the platform ended it sooner; who was first does not matter.
    """
    me = invocation(Clock(), expires_in=asked)
    me.question = question()
    assert me.outlived(row("denied", "auto-expired", decided_at=ended)) is own_timeout


def test_an_earlier_runs_question_expires_by_itself() -> None:
    """A question that our key found was asked by an earlier run, whose time it had; a lost answer's is our own."""
    me = invocation(Clock(), expires_in=60.0)
    expired = row("denied", "auto-expired", decided_at=at(60.0))
    assert not me.outlived(expired)
    me.question = question(own=False)
    assert me.outlived(expired)
    me.request = replace(me.request, idempotency_key="job-1")
    assert not me.outlived(expired)
    me.question = question()
    assert me.outlived(expired)
