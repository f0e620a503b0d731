"""The gate: every way from a question to a verdict, with a real log, a contract in memory and the embedded server."""

from __future__ import annotations

import fcntl
import os
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from molecule_approve.audit.files import lock_path
from molecule_approve.audit.locking import LOOK
from molecule_approve.client.platform import Sighting, Withdrawal
from molecule_approve.client.rest import RestPlatform
from molecule_approve.errors import (
    DeliveryError,
    NotPermittedError,
    PlatformError,
    ProtocolError,
    RejectedError,
    UnavailableError,
    UsedError,
)
from molecule_approve.model import (
    Approval,
    ApprovalRequest,
    Endpoint,
    Evidence,
    Outcome,
    Secret,
    Status,
    SubmittedRequest,
    Verdict,
)
from tests.callers import until
from tests.client.fakes import OURS, TASK, WORKSPACE, request, row, soon, submitted

if TYPE_CHECKING:
    from molecule_approve.server.run import Running

from tests.gate.scene import Scene, shows

SETTLED = Withdrawal(withdrawn=False, ended_before=True)
AWAY = UnavailableError("away")


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    """A scene, of which every invocation has at most one ending afterwards."""
    made = Scene(tmp_path)
    yield made
    made.check()


# --- the main path -----------------------------------------------------------------------------------------------------


def test_an_approval(scene: Scene) -> None:
    """Recorded, asked, approved, recorded: the verdict is a yes, and names who said it."""
    scene.contract.shows = shows(row(), row("approved", "alice", decided_at="2026-04-27T10:00:05Z"))
    verdict = scene.request()
    assert (verdict.outcome, verdict.approved, verdict.decided_by, verdict.recorded) == (
        Outcome.APPROVED,
        True,
        "alice",
        True,
    )
    assert (verdict.approval_id, verdict.trace_id, verdict.evidence, verdict.error) == (OURS, TASK, Evidence.REST, None)
    assert scene.outcomes == ["initiated", "requested", "granted"]
    assert (scene.ending["actor"], scene.ending["approval_id"], scene.ending["transport"]) == ("alice", OURS, "polling")
    assert [asked.approval_id for asked in scene.watcher.questions] == [OURS]
    assert "withdraw" not in scene.calls


def test_the_head_of_the_log_goes_into_the_question(scene: Scene) -> None:
    """The place of the first record in the chain is kept where the log's writer cannot reach it."""
    scene.contract.shows = shows(row("approved", "alice"))
    scene.asked = request(context={"ticket": "OPS-1"})
    scene.request()
    (sent,) = scene.contract.sent
    first = scene.records[0]
    note = sent.context["audit_head"]
    assert isinstance(note, dict)
    assert (note["log_id"], note["seq"], sent.context["ticket"]) == (first["log_id"], first["seq"], "OPS-1")


@pytest.mark.parametrize(
    ("decided", "outcome", "ending", "actor"),
    [
        (row("denied", "bob"), Outcome.DENIED, "denied", "bob"),
        (row("denied", "auto-expired"), Outcome.EXPIRED, "timeout", WORKSPACE),
        (row("denied", "withdrawn"), Outcome.WITHDRAWN, "withdrawn", WORKSPACE),
    ],
)
def test_the_other_decisions(scene: Scene, decided: Approval, outcome: Outcome, ending: str, actor: str) -> None:
    """A denial names the person; an expiry and a withdrawal by somebody else name nobody."""
    scene.contract.shows = shows(decided)
    verdict = scene.request()
    assert (verdict.outcome, verdict.approved, verdict.recorded) == (outcome, False, True)
    assert (scene.ending["outcome"], scene.ending["actor"]) == (ending, actor)
    assert verdict.decided_by == ("bob" if outcome is Outcome.DENIED else None)


def test_not_waiting(scene: Scene) -> None:
    """``--no-wait`` leaves as soon as the platform has the question, without an ending, and looks for a second row of it."""
    verdict = scene.request(wait=False)
    assert (verdict.outcome, verdict.approval_id) == (Outcome.PENDING, OURS)
    assert (scene.outcomes, scene.calls) == (["initiated", "requested"], ["submit", "find"])


def test_not_permitted(scene: Scene) -> None:
    """Where the roles do not grant it, that is recorded and nothing is asked."""

    def refuse() -> None:
        raise NotPermittedError("the roles do not grant it", roles=("read-only",), hint="ask an admin")

    verdict = scene.gate().request(scene.asked, scene.terms, refuse)
    assert (verdict.outcome, verdict.recorded) == (Outcome.NOT_PERMITTED, True)
    assert verdict.error is not None
    assert (verdict.error.kind, verdict.error.hint) == ("not_permitted", "ask an admin")
    assert scene.calls == []
    (record,) = scene.records
    assert (record["event_type"], record["action"], record["outcome"]) == ("rbac", "rbac.deny", "denied")
    assert (record["roles"], record["attempted_action"]) == (["read-only"], "approve")


def test_not_permitted_and_not_recorded(scene: Scene) -> None:
    """A refusal that cannot be recorded is a failed gate, not a verdict of the roles."""
    scene.breaks_the_log()

    def refuse() -> None:
        raise NotPermittedError("no", roles=())

    verdict = scene.gate().request(scene.asked, scene.terms, refuse)
    assert (verdict.outcome, verdict.recorded) == (Outcome.FAILED, False)
    assert verdict.error is not None
    assert verdict.error.kind == "audit"


def test_what_was_approved_must_be_what_is_asked(scene: Scene) -> None:
    """An approval of other text opens nothing, even where the platform shows it under our id."""
    scene.contract.shows = shows(row("approved", "alice", action="drop"))
    verdict = scene.request()
    assert (verdict.outcome, scene.ending["outcome"]) == (Outcome.FAILED, "failure")


# --- the audit log -----------------------------------------------------------------------------------------------------


def test_a_log_that_cannot_be_written_stops_the_gate_before_it_asks(scene: Scene) -> None:
    """Nothing is asked where nothing can be recorded."""
    scene.breaks_the_log()
    verdict = scene.request()
    assert (verdict.outcome, verdict.recorded, scene.calls) == (Outcome.FAILED, False, [])
    assert verdict.error is not None
    assert verdict.error.kind == "audit"


def test_a_log_whose_lock_is_held_is_waited_for_until_the_deadline(scene: Scene) -> None:
    """A lock that somebody holds for ever costs no more than the time there is, and nothing is asked."""
    scene.request(wait=False)
    lock = lock_path(scene.path)
    began = time.monotonic()
    with lock.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        verdict = scene.request(timeout=0.3)
    assert (verdict.outcome, scene.calls) == (Outcome.FAILED, ["submit", "find"])
    assert time.monotonic() - began < 5


def test_a_stop_while_the_lock_is_waited_for(scene: Scene) -> None:
    """A signal ends the wait for the log's lock; nothing was asked, and nothing is recorded."""
    scene.request(wait=False)
    lock = lock_path(scene.path)
    with lock.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        threading.Timer(0.1, scene.stop.pull).start()
        verdict = scene.request()
    assert (verdict.outcome, verdict.signum, scene.calls) == (Outcome.INTERRUPTED, signal.SIGTERM, ["submit", "find"])
    assert scene.outcomes == ["initiated", "requested"]


def behind_a_lock(scene: Scene, held: list[int]) -> Callable[[], Sighting]:
    """A read that shows an approval, just after somebody has taken the log's lock."""

    def read() -> Sighting:
        held.append(os.open(lock_path(scene.path), os.O_RDWR))
        fcntl.flock(held[0], fcntl.LOCK_EX)
        return Sighting(row("approved", "alice"))

    return read


def test_an_approval_waits_for_the_log_as_long_as_it_has_time(scene: Scene) -> None:
    """Somebody holds the lock for a while: the approval is recorded once it is free."""
    held: list[int] = []
    read = behind_a_lock(scene, held)

    def read_and_let_go_later() -> Sighting:
        found = read()
        threading.Timer(3 * LOOK, os.close, held).start()
        return found

    scene.contract.shows = [read_and_let_go_later]
    assert scene.request(timeout=60.0).outcome is Outcome.APPROVED
    assert scene.outcomes == ["initiated", "requested", "granted"]


def test_a_stop_while_an_approval_waits_for_the_log(scene: Scene) -> None:
    """An approval that is not yet recorded is none: the request is withdrawn, and that is the one ending."""
    held: list[int] = []

    def stop() -> None:
        until(lambda: any(thread.name == "audit-lock" for thread in threading.enumerate()))
        scene.stop.pull()

    scene.contract.shows = [behind_a_lock(scene, held)]
    scene.watcher.on_withdrawing = lambda: os.close(held[0])
    stopping = threading.Thread(target=stop)
    stopping.start()
    verdict = scene.request(timeout=60.0)
    stopping.join()
    assert (verdict.outcome, verdict.signum) == (Outcome.INTERRUPTED, signal.SIGTERM)
    assert scene.outcomes == ["initiated", "requested", "withdrawn"]


def test_a_log_that_breaks_once_it_is_asked(scene: Scene) -> None:
    """Where what the platform answered cannot be recorded, the question is taken back."""

    def answer() -> SubmittedRequest:
        scene.breaks_the_log()
        return submitted()

    scene.contract.submits = [answer]
    verdict = scene.request()
    assert (verdict.outcome, verdict.recorded) == (Outcome.FAILED, False)
    assert scene.calls == ["submit", "withdraw", "find"]
    assert scene.outcomes == ["initiated"]


@pytest.mark.parametrize(("status", "by"), [("approved", "alice"), ("denied", "bob"), ("denied", "auto-expired")])
def test_a_decision_that_cannot_be_recorded_is_none(scene: Scene, status: str, by: str) -> None:
    """An approval that cannot be recorded is not reported as one, nor is any other decision."""
    scene.watcher.on_asked = scene.breaks_the_log
    scene.contract.shows = shows(row(status, by))
    scene.contract.withdrawals = [SETTLED]
    verdict = scene.request()
    assert (verdict.outcome, verdict.approved, verdict.recorded) == (Outcome.FAILED, False, False)
    assert verdict.error is not None
    assert verdict.error.kind == "audit"


def test_an_optional_log_is_a_warning(scene: Scene) -> None:
    """With ``approve.audit: optional`` the verdict stands, says that it is not recorded, and each failure is told."""
    scene.breaks_the_log()
    scene.contract.shows = shows(row("approved", "alice"))
    verdict = scene.request(optional=True)
    assert (verdict.outcome, verdict.recorded) == (Outcome.APPROVED, False)
    assert [failure.kind for failure in scene.watcher.troubles] == ["audit"] * 3
    assert "audit_head" not in scene.contract.sent[0].context


def test_an_approval_is_granted_once(scene: Scene) -> None:
    """As far as one log sees, an approval opens one gate; the second one fails and leaves it alone."""
    scene.contract.shows = shows(row("approved", "alice"))
    assert scene.request().approved
    verdict = scene.resume()
    assert (verdict.outcome, scene.outcomes[-1]) == (Outcome.FAILED, "failure")
    assert verdict.error is not None
    assert verdict.error.kind == "already_used"
    assert "withdraw" not in scene.calls


def test_an_approval_that_the_server_calls_used(scene: Scene) -> None:
    """An approval that another invocation has redeemed is a failed gate."""
    scene.contract.shows = [UsedError("used")]
    verdict = scene.request()
    assert (verdict.outcome, scene.ending["reason"]) == (Outcome.FAILED, "already_used")
    assert "withdraw" not in scene.calls


def test_an_approval_that_could_not_be_told(scene: Scene) -> None:
    """The log keeps the grant, says that it was not delivered, and the verdict is a failed gate."""
    scene.contract.shows = shows(row("approved", "alice"))
    gate = scene.gate()
    verdict = gate.request(scene.asked, scene.terms, lambda: None)
    told = gate.undelivered(scene.asked, verdict, DeliveryError("the reader is gone"))
    assert (told.outcome, told.approval_id, told.recorded) == (Outcome.FAILED, OURS, True)
    assert (scene.records[-1]["action"], scene.records[-1]["outcome"]) == ("deliver", "failed")
    assert scene.ending["outcome"] == "granted"


def test_an_undelivered_approval_that_cannot_be_recorded_either(scene: Scene) -> None:
    """Where that cannot be recorded either, it is told and still a failed gate."""
    scene.contract.shows = shows(row("approved", "alice"))
    gate = scene.gate()
    verdict = gate.request(scene.asked, scene.terms, lambda: None)
    scene.breaks_the_log()
    told = gate.undelivered(scene.asked, verdict, DeliveryError("the reader is gone"))
    assert (told.outcome, told.recorded) == (Outcome.FAILED, False)
    assert [failure.kind for failure in scene.watcher.troubles] == ["audit"]


# --- who approves ------------------------------------------------------------------------------------------------------


def test_a_verified_approver_is_demanded_before_asking(scene: Scene) -> None:
    """A platform that cannot prove who approves is not even asked."""
    verdict = scene.request(verified=True)
    assert (verdict.outcome, scene.calls) == (Outcome.FAILED, ["verifies"])
    assert scene.outcomes == ["initiated", "failure"]


@pytest.mark.parametrize(
    ("verified", "outcome"), [(True, Outcome.APPROVED), (False, Outcome.FAILED), (None, Outcome.FAILED)]
)
def test_only_a_verified_name_counts_where_it_is_demanded(scene: Scene, verified: bool | None, outcome: Outcome) -> None:
    """Whatever the platform claimed before, the row's own name must be verified."""
    scene.contract.verifies = [True]
    scene.contract.shows = shows(row("approved", "alice", decided_by_verified=verified))
    scene.contract.withdrawals = [SETTLED]
    assert scene.request(verified=True).outcome is outcome


# --- taking up an earlier request --------------------------------------------------------------------------------------


def test_taking_up_the_wait(scene: Scene) -> None:
    """An earlier request is resumed, its approval used up and recorded."""
    scene.contract.shows = shows(row(), row("approved", "alice"))
    verdict = scene.resume()
    assert (verdict.outcome, verdict.requested_at) == (Outcome.APPROVED, row().created_at)
    assert (scene.outcomes, "submit" in scene.calls) == (["resumed", "granted"], False)
    assert scene.watcher.questions[0].attempt_id is not None


@pytest.mark.parametrize("action", [None, "deploy"])
def test_an_approval_needs_the_text_that_was_asked(scene: Scene, action: str | None) -> None:
    """Where the question's own text is not known, what is approved must still be what is asked here."""
    scene.contract.shows = shows(row("approved", "alice", action="drop"))
    assert scene.resume(submitted(own=False, action=action)).outcome is Outcome.FAILED


def test_a_wait_whose_own_time_is_over(scene: Scene) -> None:
    """The question stays, there is no ending, and the answer is pending."""
    verdict = scene.resume(timeout=0.1)
    assert (verdict.outcome, scene.outcomes, scene.contract.taken_back) == (Outcome.PENDING, ["resumed"], [])


def test_a_wait_that_cannot_be_recorded(scene: Scene) -> None:
    """Nothing is read where the beginning cannot be recorded."""
    scene.breaks_the_log()
    assert (scene.resume().outcome, scene.calls) == (Outcome.FAILED, [])


# --- the embedded server -----------------------------------------------------------------------------------------------


class Served:
    """A scene at a real embedded server, with an approver called alice."""

    def __init__(self, scene: Scene, server: Running) -> None:
        self.scene = scene
        workspace, token = server.requester
        self.asker = RestPlatform(Endpoint(server.url, workspace, Secret(token)))
        self.approver = RestPlatform(Endpoint(server.url, workspace, Secret(server.add_approver("alice"))))
        task = str(uuid.uuid4())
        scene.asked = ApprovalRequest(workspace, "deploy", "because", task, task, expires_in=60.0)
        scene.terms = replace(scene.terms, stream=True)

    def decide(self, decision: Status, comment: str | None = None) -> Callable[[SubmittedRequest], object]:
        return lambda asked: self.approver.decide(asked, decision, comment, soon())

    def request(self, **terms: Any) -> Verdict:  # noqa: ANN401 - Terms
        return self.scene.request(self.asker, **terms)


@pytest.fixture
def served(scene: Scene, live_server: Running) -> Iterator[Served]:
    """A gate at a running embedded server."""
    made = Served(scene, live_server)
    with closing(made.asker), closing(made.approver):
        yield made


def test_an_approval_of_the_embedded_server(served: Served) -> None:
    """A verified name and a comment come back, over the stream, and the approval is used up."""
    served.scene.watcher.on_asked = served.decide(Status.APPROVED, "go on")
    verdict = served.request(verified=True)
    assert (verdict.outcome, verdict.decided_by, verdict.decided_by_verified) == (Outcome.APPROVED, "alice", True)
    assert (verdict.comment, served.scene.ending["transport"]) == ("go on", "live")
    again = submitted(approval_id=verdict.approval_id, workspace_id=served.scene.asked.workspace_id, task_id=None, own=False)
    served.scene.watcher.on_asked = None
    second = served.scene.resume(again, served.asker)
    assert second.error is not None
    assert second.error.kind == "already_used"


def test_a_decision_that_comes_later(served: Served) -> None:
    """A decision after the first read is heard and read."""
    decided: list[threading.Timer] = []

    def later(asked: SubmittedRequest) -> None:
        decided.append(threading.Timer(0.3, served.decide(Status.DENIED), [asked]))
        decided[0].start()

    served.scene.watcher.on_asked = later
    verdict = served.request()
    decided[0].join()
    assert (verdict.outcome, verdict.decided_by, served.scene.ending["actor"]) == (Outcome.DENIED, "alice", "alice")
    assert verdict.waited_seconds < 4


def test_an_expiry_of_the_embedded_server(served: Served) -> None:
    """The server's own expiry is an expiry, and names nobody."""
    served.scene.asked = replace(served.scene.asked, expires_in=1.0)
    verdict = served.request()
    assert (verdict.outcome, served.scene.ending["reason"]) == (Outcome.EXPIRED, "expired")


def test_a_timeout_at_the_embedded_server(served: Served) -> None:
    """At our deadline the request is withdrawn there, too."""
    verdict = served.request(timeout=1)
    found = served.asker.list_requests(soon())[0]
    assert (verdict.outcome, found.status, found.decided_by) == (Outcome.TIMEOUT, Status.DENIED, "withdrawn")


def test_a_stop_at_the_embedded_server(served: Served) -> None:
    """A signal withdraws there, too; somebody else's withdrawal is no decision."""
    served.scene.watcher.on_asked = served.scene.stop.pull
    verdict = served.request()
    found = served.asker.list_requests(soon())[0]
    assert (verdict.outcome, found.decided_by) == (Outcome.INTERRUPTED, "withdrawn")


def test_somebody_else_withdraws(served: Served) -> None:
    """A request that somebody else takes back ends as withdrawn."""
    served.scene.watcher.on_asked = lambda asked: served.asker.withdraw(asked, soon())
    assert served.request().outcome is Outcome.WITHDRAWN


def test_a_gate_never_raises_what_goes_wrong(scene: Scene) -> None:
    """Whatever the platform raises of our tree is a verdict and no yes."""
    for failure in (PlatformError("x"), RejectedError("x", status=400), ProtocolError("x"), UsedError("x")):
        scene.contract.shows = [failure]
        verdict = scene.request()
        assert (verdict.outcome, verdict.approved) == (Outcome.FAILED, False)


def test_a_fault_of_the_program_leaves_no_question_standing(scene: Scene) -> None:
    """What nobody foresaw, in mid-wait: the question is taken back, the ending recorded, and the verdict says so."""
    scene.contract.shows = [RuntimeError("a library broke")]
    verdict = scene.request()
    assert verdict.outcome is Outcome.FAILED
    assert verdict.error is not None
    assert "RuntimeError: a library broke" in verdict.error.message
    assert (len(scene.contract.taken_back), scene.ending["outcome"]) == (1, "failure")


def test_what_another_question_means_is_not_used_up(served: Served) -> None:
    """A wait with the wrong text leaves the approval to the right one."""
    served.scene.watcher.on_asked = served.decide(Status.APPROVED)
    asked = served.request(wait=False)
    served.scene.watcher.on_asked = None
    workspace = served.scene.asked.workspace_id
    wrong = submitted(approval_id=asked.approval_id, workspace_id=workspace, task_id=None, own=False, action="destroy")
    assert served.scene.resume(wrong, served.asker).outcome is Outcome.FAILED
    assert served.scene.resume(replace(wrong, action="deploy"), served.asker).outcome is Outcome.APPROVED
