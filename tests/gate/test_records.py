"""The records of one invocation: their words, their fields, and how long they may wait for the log."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from molecule_approve.audit.chain import Head
from molecule_approve.errors import ApprovalError, AuditError, Interrupted, NotPermittedError, UsedError
from molecule_approve.gate.records import AGAIN, ENDING, PATIENCE, Recorder
from molecule_approve.model import ApprovalProgress, Decision, Evidence, PersonDecision, Status
from tests.client.fakes import OURS, TASK, WORKSPACE, request, row, soon, submitted

if TYPE_CHECKING:
    from molecule_approve.audit.record import Record
    from molecule_approve.gate.records import Pause

NOW = "2026-11-22T12:00:00.000000Z"
YES = Decision(row("approved", "alice", comment="fine", decided_at=NOW))


def no_pause(_seconds: float) -> None:
    """Nothing is waited for here."""


def no_pause_after(_seconds: float) -> None:
    """Nor here, once the request was submitted."""


class Log:
    """A log in memory, that fails when it is told to."""

    place = "here"

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.patience: list[float] = []
        self.pauses: list[Pause | None] = []
        self.fails: BaseException | None = None

    def append(self, record: Record, *, patience: float, pause: Pause = no_pause) -> Head:
        self.patience.append(patience)
        self.pauses.append(pause)
        if self.fails is not None:
            raise self.fails
        self.records.append(record)
        return Head("log", len(self.records), "hash")

    def grant(self, record: Record, *, approval_id: str, patience: float, pause: Pause = no_pause) -> Head:
        assert approval_id == OURS
        return self.append(record, patience=patience, pause=pause)

    def has_asked(self, approval_id: str, asked_sha256: str | None = None) -> bool:
        raise AssertionError("nobody here demands receipts")

    def keep_receipt(self, data: bytes) -> str:
        raise AssertionError("nobody here demands receipts")


class Scene:
    """A recorder over that log."""

    def __init__(self, *, optional: bool = False) -> None:
        self.log = Log()
        self.warnings: list[ApprovalError] = []
        self.heads: list[Head] = []
        self.recorder = Recorder(
            self.log,
            request(),
            "the-invocation",
            optional=optional,
            now=lambda: NOW,
            warn=self.warnings.append,
            note=self.heads.append,
            pause=no_pause_after,
        )

    @property
    def last(self) -> Record:
        return self.log.records[-1]


def test_the_beginnings() -> None:
    """``initiated``, ``requested`` and ``resumed`` say what is asked, by whom, and under which ids."""
    scene = Scene()
    begun = [scene.recorder.begun]
    assert scene.recorder.record_initiated(soon(60), 60.0, no_pause) == Head("log", 1, "hash")
    assert [*begun, scene.recorder.begun] == [False, True]
    record = scene.last
    assert (record.timestamp, record.event_type, record.action, record.outcome) == (NOW, "approval", "approve", "initiated")
    assert (record.workspace_id, record.actor, record.resource, record.trace_id) == (WORKSPACE, WORKSPACE, "deploy", TASK)
    assert record.extras == {
        "invocation": "the-invocation",
        "reason_text": "because",
        "timeout_seconds": 60.0,
        "task_id": TASK,
    }
    scene.recorder.record_requested(submitted(), soon(60))
    assert (scene.last.outcome, scene.last.extras["approval_id"]) == ("requested", OURS)
    other = Scene()
    other.recorder.record_resumed(OURS, soon(60), 60.0, no_pause)
    assert (other.last.outcome, other.last.extras["approval_id"], other.recorder.begun) == ("resumed", OURS, True)
    assert not other.recorder.ended


def test_what_is_empty_is_left_out() -> None:
    """A reason that was not given, and an id that is not known, make no field."""
    scene = Scene()
    scene.recorder.record_timeout(None, 1.23456, "nobody_decided", soon(0), withdrawn=False)
    assert scene.last.extras == {
        "invocation": "the-invocation",
        "waited_seconds": 1.235,
        "reason": "nobody_decided",
        "withdrawn": False,
    }


def test_a_grant_and_a_denial_name_the_person() -> None:
    """The actor is who decided; evidence and way of the answer stand there."""
    scene = Scene()
    scene.recorder.record_granted(YES, 2.0, "live", soon(60))
    wanted = {
        "invocation": "the-invocation",
        "approval_id": OURS,
        "decided_by": "alice",
        "decided_by_verified": False,
        "decided_at": NOW,
        "comment": "fine",
        "waited_seconds": 2.0,
        "transport": "live",
        "evidence": "rest",
    }
    assert (scene.last.outcome, scene.last.actor, scene.last.extras) == ("granted", "alice", wanted)
    assert scene.recorder.ended
    scene = Scene()
    scene.recorder.record_denied(Decision(row("denied", "bob"), Evidence.EVENT), 2.0, "polling", soon(60))
    assert (scene.last.outcome, scene.last.actor, scene.last.extras["evidence"]) == ("denied", "bob", "event")


def test_a_decision_by_a_rule_lists_everybody() -> None:
    """The rule, and each person's decision with how it was proven; without a rule a proof alone is reason enough."""
    decisions = (
        PersonDecision("alice", NOW, Status.APPROVED, "fine", "passkey"),
        PersonDecision("bo", NOW, Status.APPROVED, None, "token"),
    )
    said = [
        {"by": "alice", "at": NOW, "decision": "approved", "proof": "passkey"},
        {"by": "bo", "at": NOW, "decision": "approved", "proof": "token"},
    ]
    for progress, rule in ((ApprovalProgress(2, 2, "two"), "two"), (ApprovalProgress(1, 1), None)):
        scene = Scene()
        found = row("approved", "bo", decisions=decisions, progress=progress)
        scene.recorder.record_granted(Decision(found), 2.0, "live", soon(60))
        assert (scene.last.extras.get("rule"), scene.last.extras["decisions"]) == (rule, said)
    scene = Scene()
    plain = row("approved", "bo", decisions=(PersonDecision("bo", NOW, Status.APPROVED),), progress=ApprovalProgress(1, 1))
    scene.recorder.record_granted(Decision(plain), 2.0, "live", soon(60))
    assert not {"rule", "decisions"} & set(scene.last.extras)


def test_a_denial_by_nobody_is_the_workspaces() -> None:
    """A denial without a name has the workspace as its actor."""
    scene = Scene()
    scene.recorder.record_denied(Decision(row("denied", None)), 2.0, "polling", soon(60))
    assert scene.last.actor == WORKSPACE
    scene.recorder.record_granted(Decision(row("approved", None)), 2.0, "polling", soon(60))
    assert scene.last.actor == WORKSPACE


def test_every_record_that_stands_is_noted_with_its_head() -> None:
    """Whoever keeps heads elsewhere is told each, a grant's as well, and none of a record that does not stand."""
    scene = Scene(optional=True)
    scene.recorder.record_initiated(soon(60), 60.0, no_pause)
    scene.recorder.record_requested(submitted(), soon(60))
    scene.recorder.record_granted(YES, 1.0, "live", soon(60))
    assert scene.heads == [Head("log", number, "hash") for number in (1, 2, 3)]
    scene.log.fails = AuditError("full")
    scene.recorder.record_undelivered(OURS, "gone")
    scene.recorder.record_denied(YES, 1.0, "live", soon(60))
    assert len(scene.heads) == 3


@pytest.mark.parametrize("stood", [None, row("approved", "alice")])
def test_a_withdrawal_names_the_decision_that_stood(stood: object) -> None:
    """After a signal the record says whether it was taken back, and what had been decided."""
    scene = Scene()
    found = row("approved", "alice") if stood is not None else None
    scene.recorder.record_withdrawn(OURS, "stopped", soon(0), withdrawn=False, decision=found)
    assert (scene.last.outcome, scene.last.actor, scene.last.extras["taken_back"]) == ("withdrawn", WORKSPACE, False)
    assert scene.last.extras.get("decision_that_stood") == ("approved" if stood is not None else None)


def test_failures_and_what_could_not_be_told() -> None:
    """A failure has a stable word and its sentence; an undelivered approval is no ending."""
    scene = Scene()
    scene.recorder.record_failure(OURS, "protocol", "what?")
    assert (scene.last.action, scene.last.outcome) == ("approve", "failure")
    assert (scene.last.extras["reason"], scene.last.extras["error"]) == ("protocol", "what?")
    scene = Scene()
    scene.recorder.record_undelivered(OURS, "the reader is gone")
    assert (scene.last.action, scene.last.outcome, scene.recorder.ended) == ("deliver", "failed", False)


def test_not_permitted() -> None:
    """A refusal by the roles is an rbac record."""
    scene = Scene()
    scene.recorder.record_not_permitted(NotPermittedError("no", roles=("a", "b")), soon(60), no_pause)
    assert (scene.last.event_type, scene.last.action, scene.last.outcome) == ("rbac", "rbac.deny", "denied")
    assert scene.last.extras["roles"] == ["a", "b"]
    assert not scene.recorder.begun


def test_how_long_the_log_may_be_waited_for() -> None:
    """As long as the attempt has time, up to a limit; at its end for a moment; hardly at all once the log failed."""
    scene = Scene(optional=True)
    scene.recorder.record_initiated(soon(600), 600.0, no_pause)
    scene.recorder.record_initiated(soon(0.5), 60.0, no_pause)
    scene.recorder.record_requested(submitted(), soon(600))
    scene.recorder.record_requested(submitted(), soon(-1))
    scene.recorder.record_not_permitted(NotPermittedError("no", roles=()), soon(-1), no_pause)
    scene.recorder.record_denied(YES, 1.0, "live", soon(10))
    scene.recorder.record_timeout(OURS, 1.0, "nobody_decided", soon(-1), withdrawn=True)
    scene.recorder.record_failure(OURS, "x", "y")
    scene.log.fails = AuditError("full")
    scene.recorder.record_granted(YES, 1.0, "live", soon(600))
    scene.recorder.record_failure(OURS, "x", "y")
    wanted = [PATIENCE, 0.5, PATIENCE, AGAIN, 0.0, 10.0, ENDING, ENDING, PATIENCE, AGAIN]
    assert scene.log.patience == pytest.approx(wanted, abs=0.05)
    assert scene.log.pauses[:3] == [no_pause, no_pause, no_pause_after]


def test_an_ending_that_is_interrupted_is_none() -> None:
    """A signal while a decision waits for the log leaves the ending to the record of the withdrawal."""
    scene = Scene()
    scene.recorder.record_initiated(soon(), 60.0, no_pause)
    scene.log.fails = Interrupted(2, "stopped")
    for record in (scene.recorder.record_granted, scene.recorder.record_denied):
        with pytest.raises(Interrupted):
            record(YES, 1.0, "live", soon())
        assert scene.recorder.open


def test_a_log_that_fails_stops_us() -> None:
    """What cannot be recorded is raised, an ending as well; a grant that failed leaves room for the failure's record."""
    scene = Scene()
    scene.log.fails = AuditError("full")
    with pytest.raises(AuditError):
        scene.recorder.record_initiated(soon(), 1.0, no_pause)
    with pytest.raises(AuditError):
        scene.recorder.record_requested(submitted(), soon())
    with pytest.raises(AuditError):
        scene.recorder.record_granted(YES, 1.0, "live", soon(60))
    assert (scene.recorder.begun, scene.recorder.ended, scene.recorder.recorded) == (False, False, False)
    with pytest.raises(AuditError):
        scene.recorder.record_denied(YES, 1.0, "live", soon(60))
    assert scene.recorder.ended


def test_an_optional_log_that_fails_is_told() -> None:
    """With an optional log every failure is a warning, and nothing counts as recorded."""
    scene = Scene(optional=True)
    scene.log.fails = AuditError("full")
    assert scene.recorder.record_initiated(soon(), 1.0, no_pause) is None
    scene.recorder.record_granted(YES, 1.0, "live", soon(60))
    assert (scene.recorder.begun, scene.recorder.ended, scene.recorder.recorded) == (True, True, False)
    assert len(scene.warnings) == 2
    scene.log.fails = None
    scene.recorder.record_undelivered(OURS, "gone")
    assert scene.recorder.recorded


@pytest.mark.parametrize("optional", [True, False])
def test_an_approval_that_was_granted_before_is_never_a_warning(optional: bool) -> None:
    """One yes, one 0: an optional log changes nothing about that."""
    scene = Scene(optional=optional)
    scene.log.fails = UsedError("used")
    with pytest.raises(UsedError):
        scene.recorder.record_granted(YES, 1.0, "live", soon(60))
    assert not scene.recorder.ended


def test_what_ends_badly_anyway_does_not_fail_twice() -> None:
    """The record of a failure, or of an approval that could not be told, is only a warning where it cannot be written."""
    scene = Scene()
    scene.log.fails = AuditError("full")
    scene.recorder.record_failure(OURS, "x", "y")
    scene.recorder.record_undelivered(OURS, "gone")
    assert (len(scene.warnings), scene.recorder.ended, scene.recorder.recorded) == (2, True, False)
