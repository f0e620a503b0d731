"""What an attempt knows of itself, and how its verdicts look."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from molecule_approve.audit.journal import Journal
from molecule_approve.clock import Deadline, utc_now
from molecule_approve.errors import ProtocolError
from molecule_approve.gate.attempt import Attempt, Terms
from molecule_approve.gate.records import Recorder
from molecule_approve.model import Decision, Evidence, Failure, Outcome
from tests.client.fakes import OTHER, OURS, T0, TASK, Clock, Contract, Watcher, request, row, submitted
from tests.gate.scene import HandStop

Begin = Callable[..., Attempt]
FAILURE = ProtocolError("what?", hint="look there")


@pytest.fixture
def begin(tmp_path: Path) -> Callable[..., Attempt]:
    """Makes an attempt that began just now, over a real log."""

    def attempt(clock: Clock, **asked: object) -> Attempt:
        platform, stop, watcher, wanted = Contract(clock), HandStop(), Watcher(), request(**asked)
        recorder = Recorder(
            Journal(tmp_path / "audit.jsonl"),
            wanted,
            "i",
            optional=False,
            now=utc_now,
            warn=watcher.trouble,
            note=watcher.recorded,
            pause=stop.sleep,
        )
        deadline = Deadline.after(60.0, clock)
        return Attempt("i", wanted, Terms(60.0), deadline, platform, stop, watcher, recorder, requested_at="then")

    return attempt


def test_before_anything_is_known(begin: Begin) -> None:
    """Without a question a verdict names the action, the trace and the time, and nothing else."""
    clock = Clock()
    me = begin(clock)
    clock.now += 1.5
    found = me.verdict(Outcome.FAILED, error=FAILURE)
    assert (found.action, found.trace_id, found.approval_id, found.requested_at) == ("deploy", TASK, None, "then")
    assert (found.waited_seconds, found.recorded, found.approved, found.evidence) == (1.5, False, False, None)
    assert (found.error, me.maybe_there) == (Failure("protocol", "what?", "look there"), False)


def test_once_the_question_is_known(begin: Begin) -> None:
    """The platform's own time counts where it was seen, ours where not."""
    me = begin(Clock())
    me.found = submitted()
    assert (me.approval_id, me.verdict(Outcome.PENDING).requested_at) == (OURS, "then")
    me.found = submitted(created_at=T0)
    found = me.verdict(Outcome.INTERRUPTED, error=Failure("interrupted", "stopped"), signum=15)
    assert (found.requested_at, found.error, found.signum) == (T0, Failure("interrupted", "stopped"), 15)


def test_a_decision(begin: Begin) -> None:
    """A decided verdict carries the row's fields and what it rests on, under the row's own id."""
    me = begin(Clock())
    me.found = submitted()
    decided = row("approved", "alice", id=OTHER, comment="fine", decided_at="a", expires_at="b", decided_by_verified=True)
    found = me.decided(Outcome.APPROVED, Decision(decided, Evidence.EVENT))
    assert (found.approved, found.approval_id, found.decided_by, found.decided_by_verified) == (True, OTHER, "alice", True)
    assert (found.comment, found.decided_at, found.expires_at, found.evidence) == ("fine", "a", "b", Evidence.EVENT)


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
def test_whose_clock_ended_it(begin: Begin, asked: float | None, ended: str | None, own_timeout: bool) -> None:
    """An expiry is our own timeout if the question stood as long as we were to wait, by the platform's own times.

    Not if it was asked to stand for less, and not if the platform ended it sooner; who was first does not matter.
    """
    me = begin(Clock(), expires_in=asked)
    me.found = submitted()
    assert me.outlived(row("denied", "auto-expired", decided_at=ended)) is own_timeout


def test_an_earlier_runs_question_expires_by_itself(begin: Begin) -> None:
    """A question that our key found was asked by an earlier run, whose time it had; a lost answer's is our own."""
    me = begin(Clock(), expires_in=60.0)
    expired = row("denied", "auto-expired", decided_at=at(60.0))
    assert not me.outlived(expired)
    me.found = submitted(own=False)
    assert me.outlived(expired)
    me.request = replace(me.request, idempotency_key="job-1")
    assert not me.outlived(expired)
    me.found = submitted()
    assert me.outlived(expired)
