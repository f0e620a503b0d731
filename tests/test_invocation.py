"""What an invocation knows of itself, and how its verdicts look."""

from __future__ import annotations

from molecule_approve.client.wait import Link
from molecule_approve.clock import Deadline
from molecule_approve.errors import ProtocolError
from molecule_approve.invocation import Invocation, Terms, shown
from molecule_approve.model import Decision, Evidence, Failure, Outcome
from tests.client.fakes import OTHER, OURS, T0, TASK, Clock, question, request, row

FAILURE = ProtocolError("what?", hint="look there")


def invocation(clock: Clock) -> Invocation:
    """One that began just now."""
    return Invocation("i", request(), Terms(60.0), Deadline.after(60.0, clock), clock(), requested_at="then")


def test_before_anything_is_known() -> None:
    """Without a question a verdict names the action, the trace and the time, and nothing else."""
    clock = Clock()
    me = invocation(clock)
    clock.now += 1.5
    found = me.verdict(Outcome.FAILED, recorded=True, error=FAILURE)
    assert (found.action, found.trace_id, found.approval_id, found.requested_at) == ("deploy", TASK, None, "then")
    assert (found.waited_seconds, found.recorded, found.approved, found.evidence) == (1.5, True, False, None)
    assert (found.error, me.link) == (Failure("protocol", "what?", "look there"), Link.CONNECTING)


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
