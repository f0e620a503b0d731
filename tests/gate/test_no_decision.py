"""The ways out of an invocation that need no decision: out of time, stopped, failed; with a real log."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from molecule_approve.audit.journal import Journal
from molecule_approve.client.platform import Sighting, Withdrawal
from molecule_approve.client.retry import WaitPolicy
from molecule_approve.errors import (
    ApprovalError,
    Interrupted,
    KeyUsedError,
    ProtocolError,
    RejectedError,
    UnavailableError,
    UnknownApprovalError,
    UsedError,
)
from molecule_approve.gate.gate import Gate, Terms
from molecule_approve.model import Approval, Outcome, Verdict
from tests.client.fakes import OTHER, OURS, WORKSPACE, Clock, Stop, row, submitted
from tests.gate.scene import Scene

SETTLED = Withdrawal(withdrawn=False, ended_before=True)
AWAY = UnavailableError("away")
OWN_WORD = RejectedError("no", status=400)
OWN_WORD.maybe_sent = False


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    """A scene, of which every invocation has at most one ending afterwards."""
    made = Scene(tmp_path)
    yield made
    made.check()


# --- what fails --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("failure", "calls"),
    [
        (RejectedError("a login page", status=302), ["submit", *["find"] * 4]),
        (OWN_WORD, ["submit"]),
        (UnavailableError("busy", retry_after=999.0, maybe_sent=False), ["submit"]),
        (UnavailableError("busy", retry_after=999.0), ["submit", *["find"] * 4]),
        (ProtocolError("no id"), ["submit", *["find"] * 4]),
        (KeyUsedError.ended(OTHER), ["submit"]),
    ],
)
def test_what_could_not_be_asked(scene: Scene, failure: ApprovalError, calls: list[str]) -> None:
    """A failed POST is a failed gate; where it may have arrived all the same, it is looked for to be taken back.

    Four times, for the platform may still be at work; also after an answer that made no sense, which may be a proxy's.
    """
    scene.contract.submits = [failure]
    verdict = scene.request()
    assert (verdict.outcome, verdict.approval_id, scene.calls) == (Outcome.FAILED, None, calls)
    assert verdict.error is not None
    assert verdict.error.kind == failure.kind
    assert (scene.ending["outcome"], scene.ending["reason"]) == ("failure", "submit_failed")


def test_a_question_that_arrived_unseen_is_taken_back(scene: Scene) -> None:
    """A question whose answer never came is found by its task id and withdrawn, and the record names it."""
    scene.contract.submits = [UnavailableError("busy", retry_after=999.0)]
    scene.contract.finds = [row(id=OTHER)]
    verdict = scene.request()
    assert (verdict.outcome, verdict.approval_id, scene.contract.taken_back) == (Outcome.FAILED, OTHER, [OTHER])
    assert scene.ending["approval_id"] == OTHER


def test_a_used_approval_leaves_no_twin(scene: Scene) -> None:
    """Where another invocation was faster, an open row of the same question is taken back, and the answered one is not."""
    scene.contract.shows = [UsedError("used")]
    scene.contract.finds = [[row("approved", "alice"), row(id=OTHER)]]
    verdict = scene.request()
    assert (verdict.outcome, verdict.approval_id, scene.contract.taken_back) == (Outcome.FAILED, OURS, [OTHER])


def test_a_used_key_leaves_no_row_of_our_own(scene: Scene) -> None:
    """Where our POST may have arrived although its key was used, what is open is taken back; the key's request is not."""
    scene.asked = replace(scene.asked, idempotency_key="job-1")
    late = "33333333-3333-4333-8333-333333333334"
    scene.contract.submits = [UnavailableError("broken off")]
    rows = [row("approved", "alice", reason="because"), row(id=late, reason="because")]
    scene.contract.finds = [None, rows]
    verdict = scene.request()
    assert verdict.error is not None
    assert (verdict.error.kind, scene.contract.taken_back) == ("key_used", [late])


def test_what_ended_it_is_told_once(scene: Scene) -> None:
    """A look that is refused as the POST was is no further trouble."""
    scene.contract.submits = [RejectedError("404 page not found", status=404)]
    scene.contract.finds = [RejectedError("404 page not found", status=404)]
    assert scene.request().outcome is Outcome.FAILED
    assert scene.watcher.troubles == []


def test_a_wait_that_fails_takes_the_question_back(scene: Scene) -> None:
    """Nonsense in mid-wait is a failed gate, and the question does not stay behind."""
    scene.contract.shows = [ProtocolError("what?")]
    verdict = scene.request()
    assert (verdict.outcome, scene.ending["reason"]) == (Outcome.FAILED, "protocol")
    assert scene.contract.taken_back == [OURS]


def test_without_leave_to_withdraw_the_question_stays(scene: Scene) -> None:
    """``wait`` without ``--withdraw`` leaves the question alone when it fails."""
    scene.contract.shows = [ProtocolError("what?")]
    assert scene.resume().outcome is Outcome.FAILED
    assert "withdraw" not in scene.calls


# --- time --------------------------------------------------------------------------------------------------------------


def test_nobody_decides(scene: Scene) -> None:
    """At the deadline the question is taken back, and the record says so and names nobody."""
    verdict = scene.request(timeout=0.2)
    assert (verdict.outcome, verdict.recorded, verdict.decided_by) == (Outcome.TIMEOUT, True, None)
    assert scene.contract.taken_back == [OURS]
    assert scene.watcher.withdrawals == ["nobody decided in time"]
    assert (scene.ending["outcome"], scene.ending["reason"], scene.ending["withdrawn"]) == (
        "timeout",
        "nobody_decided",
        True,
    )
    assert scene.ending["actor"] == WORKSPACE
    assert 0.15 <= verdict.waited_seconds < 8


@pytest.mark.parametrize(
    ("stood", "outcome", "ending"),
    [
        (row("approved", "alice"), Outcome.APPROVED, "granted"),
        (row("denied", "bob"), Outcome.DENIED, "denied"),
        (row("denied", "auto-expired"), Outcome.EXPIRED, "timeout"),
        (row("denied", "withdrawn"), Outcome.TIMEOUT, "timeout"),
        (row("approved", ""), Outcome.FAILED, "failure"),
        (None, Outcome.FAILED, "failure"),
    ],
)
def test_at_the_deadline_a_decision_that_stands_is_the_verdict(
    scene: Scene, stood: Approval | None, outcome: Outcome, ending: str
) -> None:
    """Where the withdrawal comes too late, what stands counts, if it is a decision."""
    scene.contract.withdrawals = [SETTLED]
    scene.contract.shows = [lambda: Sighting(stood if "withdraw" in scene.calls else row())]
    verdict = scene.request(timeout=0.1)
    assert (verdict.outcome, scene.ending["outcome"]) == (outcome, ending)
    if outcome is Outcome.FAILED:
        _says_unknown(verdict)


@pytest.mark.parametrize("seen", ["by the wait", "at the deadline"])
@pytest.mark.parametrize(
    ("expires_in", "timeout", "outcome", "reason"),
    [
        (0.2, 0.2, Outcome.TIMEOUT, "nobody_decided"),
        (9.0, 0.2, Outcome.TIMEOUT, "nobody_decided"),
        (0.1, 0.2, Outcome.EXPIRED, "expired"),
        (None, 0.2, Outcome.EXPIRED, "expired"),
    ],
)
def test_whose_clock_was_faster_does_not_matter(
    scene: Scene, seen: str, expires_in: float | None, timeout: float, outcome: Outcome, reason: str
) -> None:
    """The platform's expiry is our own timeout where the question was to stand as long, whoever sees it first."""
    scene.asked = replace(scene.asked, expires_in=expires_in)
    expired = Sighting(row("denied", "auto-expired"))
    scene.contract.withdrawals = [SETTLED]
    at_once = seen == "by the wait"
    scene.contract.shows = [lambda: expired if at_once or "withdraw" in scene.calls else Sighting(row())]
    verdict = scene.request(timeout=timeout)
    assert (verdict.outcome, scene.ending["outcome"], scene.ending["reason"]) == (outcome, "timeout", reason)
    assert scene.ending["withdrawn"] is False


def _says_unknown(verdict: Verdict) -> None:
    """The outcome is unknown, and the words say so and what to do."""
    assert verdict.error is not None
    assert (verdict.outcome, verdict.error.kind) == (Outcome.FAILED, "unavailable")
    assert OURS in verdict.error.message
    assert "outcome is unknown" in verdict.error.message
    assert f"molecule-approve status {OURS}" in verdict.error.hint
    assert f"molecule-approve wait {OURS}" in verdict.error.hint


@pytest.mark.parametrize(
    "failure", [AWAY, ProtocolError("<html>"), UnavailableError("slow down", status=429, retry_after=60)]
)
def test_a_decision_that_could_not_be_read_is_not_nobodys(scene: Scene, failure: ApprovalError) -> None:
    """A platform that answers neither the withdrawal nor a read at the deadline leaves the outcome unknown: no timeout."""
    scene.contract.withdrawals = [failure]
    verdict = scene.request(timeout=0.1)
    _says_unknown(verdict)
    assert (scene.ending["outcome"], scene.ending["reason"]) == ("failure", "unavailable")
    assert scene.watcher.troubles == [failure]
    assert scene.calls.count("withdraw") > 1


def test_an_approval_used_by_another_is_told_at_the_deadline(scene: Scene) -> None:
    """Where the withdrawal comes too late and the approval was used up elsewhere, that is the failure."""
    scene.contract.withdrawals = [SETTLED]
    used = UsedError("this approval was already used up")

    def show() -> Sighting:
        if "withdraw" in scene.calls:
            raise used
        return Sighting(row())

    scene.contract.shows = [show]
    verdict = scene.request(timeout=0.1)
    assert verdict.error is not None
    assert (verdict.outcome, verdict.error.kind) == (Outcome.FAILED, "already_used")


@pytest.mark.parametrize(
    ("withdrawal", "shown", "outcome"),
    [
        (Withdrawal(withdrawn=True, ended_before=False), row(), Outcome.TIMEOUT),
        (SETTLED, row("approved", "alice"), Outcome.TIMEOUT),
        (SETTLED, row(), Outcome.FAILED),
        (RejectedError("no", status=400), row(), Outcome.FAILED),
        (AWAY, None, Outcome.FAILED),
    ],
)
def test_long_after_the_deadline_it_is_a_timeout_if_that_can_be_seen(
    scene: Scene, withdrawal: object, shown: Approval | None, outcome: Outcome
) -> None:
    """Where the machine slept far beyond the deadline, what was said is no matter; but what cannot be read is unknown."""
    clock = Clock()

    def sleep_and_show() -> Sighting:
        clock.now += 20.0
        return Sighting(row())

    scene.contract.shows = [sleep_and_show, Sighting(shown)]
    scene.contract.withdrawals = [withdrawal]
    gate = Gate(scene.contract, Journal(scene.path), Stop(clock), scene.watcher, attempt_id="i", clock=clock)
    verdict = gate.request(scene.asked, Terms(10.0, stream=False), lambda: None)
    assert verdict.outcome is outcome
    if outcome is Outcome.FAILED:
        _says_unknown(verdict)


def test_a_timeout_that_cannot_be_recorded(scene: Scene) -> None:
    """A timeout that cannot be recorded is a failed gate, and the question is not taken back twice."""
    scene.watcher.on_withdrawing = scene.breaks_the_log
    verdict = scene.request(timeout=0.1)
    assert (verdict.outcome, verdict.recorded) == (Outcome.FAILED, False)
    assert scene.contract.taken_back == [OURS]


# --- signals -----------------------------------------------------------------------------------------------------------


def test_a_stop_before_anything(scene: Scene) -> None:
    """A signal that came before the question left nothing to take back; what was begun is ended."""
    scene.stop.pull()
    verdict = scene.request()
    assert (verdict.outcome, verdict.signum, scene.calls) == (Outcome.INTERRUPTED, signal.SIGTERM, [])
    assert verdict.error is not None
    assert verdict.error.message == "stopped by SIGTERM"
    assert (scene.ending["outcome"], scene.ending["taken_back"]) == ("withdrawn", False)


def test_a_stop_in_the_middle_of_the_question(scene: Scene) -> None:
    """A signal while the POST is unanswered: the question is found by its task id and taken back."""
    scene.contract.submits = [Interrupted(signal.SIGINT, "interrupted by SIGINT")]
    scene.contract.finds = [row(), row("denied", "withdrawn")]
    verdict = scene.request()
    assert (verdict.outcome, verdict.signum, scene.calls) == (
        Outcome.INTERRUPTED,
        signal.SIGINT,
        ["submit", "find", "withdraw", "find", "find", "find"],
    )
    assert (scene.ending["outcome"], scene.ending["approval_id"]) == ("withdrawn", OURS)
    assert (scene.ending["reason"], scene.ending["taken_back"]) == ("interrupted by SIGINT", True)


def test_a_stop_while_waiting(scene: Scene) -> None:
    """A signal in the wait withdraws, records, and is the verdict."""
    scene.stop_once("requested")
    verdict = scene.request()
    assert (verdict.outcome, scene.contract.taken_back) == (Outcome.INTERRUPTED, [OURS])
    assert scene.ending["outcome"] == "withdrawn"


def test_a_stop_together_with_a_decision(scene: Scene) -> None:
    """After a signal the verdict stays the signal's, and the record names the decision that stood."""

    def show() -> Sighting:
        scene.stop.pull()
        return Sighting(row("approved", "alice"))

    scene.contract.shows = [show]
    scene.contract.withdrawals = [SETTLED]
    verdict = scene.request()
    assert (verdict.outcome, verdict.approved) == (Outcome.INTERRUPTED, False)
    assert (scene.ending["decision_that_stood"], scene.ending["decided_by"]) == ("approved", "alice")
    assert not scene.ending["taken_back"]


def test_a_stop_while_it_is_taken_back(scene: Scene) -> None:
    """A signal during the withdrawal at the deadline changes nothing any more."""
    scene.watcher.on_withdrawing = scene.stop.pull
    verdict = scene.request(timeout=0.1)
    assert (verdict.outcome, scene.ending["outcome"]) == (Outcome.TIMEOUT, "timeout")


def test_a_stop_that_cannot_be_recorded(scene: Scene) -> None:
    """A signal's verdict stands although the log broke, and that is told."""
    scene.watcher.on_withdrawing = scene.breaks_the_log
    scene.stop_once("requested")
    verdict = scene.request()
    assert (verdict.outcome, verdict.recorded) == (Outcome.INTERRUPTED, False)
    assert [failure.kind for failure in scene.watcher.troubles] == ["audit"]


def test_a_stop_without_leave_to_withdraw(scene: Scene) -> None:
    """``wait`` without ``--withdraw`` leaves the question, and the record says why it ended."""
    scene.stop_once("resumed")
    verdict = scene.resume()
    assert (verdict.outcome, scene.contract.taken_back) == (Outcome.INTERRUPTED, [])
    assert (scene.ending["outcome"], scene.ending["reason"]) == ("failure", "interrupted")


# --- a wait that leaves the question ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("last", "outcome"),
    [
        (Sighting(row("approved", "alice")), Outcome.APPROVED),
        (Sighting(row("denied", "bob")), Outcome.DENIED),
        (Sighting(row()), Outcome.PENDING),
        (Sighting(row("unknown")), Outcome.FAILED),
        (Sighting(None), Outcome.FAILED),
        (AWAY, Outcome.FAILED),
        (ProtocolError("<html>"), Outcome.FAILED),
        (UsedError("used"), Outcome.FAILED),
    ],
)
def test_a_wait_looks_once_more_at_its_end(scene: Scene, last: object, outcome: Outcome) -> None:
    """What was decided after the last read and before the end is the verdict; what cannot be read is not "pending"."""
    reads = iter([Sighting(row())])

    def show() -> object:
        said = next(reads, last)
        if isinstance(said, ApprovalError):
            raise said
        return said

    scene.contract.shows = [show]
    scene.terms = replace(scene.terms, policy=WaitPolicy(tick=0.05, poll_interval=60.0))
    assert scene.resume(timeout=0.5).outcome is outcome


@pytest.mark.usefixtures("untraced")
@pytest.mark.parametrize(
    ("overslept", "last", "outcome"),
    [
        (4.0, Sighting(row("approved", "alice")), Outcome.APPROVED),
        (6.0, Sighting(row("approved", "alice")), Outcome.PENDING),
        (6.0, Sighting(row()), Outcome.PENDING),
        (6.0, AWAY, Outcome.FAILED),
    ],
)
def test_long_after_its_end_a_wait_only_looks(scene: Scene, overslept: float, last: object, outcome: Outcome) -> None:
    """What was said while the machine slept far beyond the deadline is no verdict; what cannot be read is not "pending"."""
    clock = Clock()

    def sleep_and_show() -> Sighting:
        clock.now += 10.0 + overslept
        return Sighting(row())

    scene.contract.shows = [sleep_and_show, last]
    gate = Gate(scene.contract, Journal(scene.path), Stop(clock), scene.watcher, attempt_id="i", clock=clock)
    assert gate.resume(scene.asked, submitted(own=False), Terms(10.0, stream=False, withdraw=False)).outcome is outcome


def test_an_unknown_request_is_not_taken_back(scene: Scene) -> None:
    """``wait --withdraw`` on an id that is not ours withdraws nothing."""
    scene.contract.shows = [Sighting(None, strange=True)]
    verdict = scene.gate().resume(scene.asked, submitted(own=False), scene.terms)
    assert verdict.error is not None
    assert (verdict.error.kind, scene.contract.taken_back) == (UnknownApprovalError.kind, [])


def test_a_wait_that_withdraws(scene: Scene) -> None:
    """``wait --withdraw`` takes the question back at its deadline."""
    verdict = scene.gate().resume(scene.asked, submitted(own=False), replace(scene.terms, timeout=0.1))
    assert (verdict.outcome, scene.contract.taken_back) == (Outcome.TIMEOUT, [OURS])


def test_a_request_may_stay_open_at_the_timeout(scene: Scene) -> None:
    """For a later attempt with its key: it is pending, and nothing ends it, in the log neither."""
    verdict = scene.request(timeout=0.1, stays_open=True)
    assert (verdict.outcome, scene.contract.taken_back) == (Outcome.PENDING, [])
    assert scene.outcomes == ["initiated", "requested"]


def test_a_request_that_would_stay_open_is_withdrawn_on_a_signal(scene: Scene) -> None:
    """Whoever stops the attempt does not want it any more."""

    def stopped() -> Sighting:
        scene.stop.pull()
        return Sighting(row())

    scene.contract.shows = [stopped]
    assert scene.request(stays_open=True).outcome is Outcome.INTERRUPTED
    assert scene.contract.taken_back == [OURS]
