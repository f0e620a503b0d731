"""Asking until the platform holds the question once."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from molecule_approve.client.submit import Submission
from molecule_approve.clock import Deadline
from molecule_approve.errors import (
    ApprovalError,
    ConfigError,
    CredentialError,
    Interrupted,
    KeyUsedError,
    ProtocolError,
    RejectedError,
    UnavailableError,
)
from tests.client.fakes import OURS, TASK, Clock, Contract, Stop, Watcher, request, row, submitted

if TYPE_CHECKING:
    from molecule_approve.model import SubmittedRequest

NEVER_SENT = UnavailableError("refused", maybe_sent=False)
LOST = UnavailableError("broken off")
SLOW = UnavailableError("no answer in time", slow=True)
BUSY = UnavailableError("busy", status=500)
STRANGER = CredentialError("no", status=401)
OWN_WORD = RejectedError("no", status=400)
OWN_WORD.maybe_sent = False


class Scene:
    """A submission on a clock that only moves when it sleeps."""

    def __init__(
        self,
        *,
        key: str | None = None,
        timeout: float = 300.0,
        stop_at: float = float("inf"),
        random: float = 0.5,
        stop: type[Stop] = Stop,
    ) -> None:
        self.clock = Clock()
        self.started = self.clock.now
        self.platform = Contract(self.clock)
        self.stop = stop(self.clock, self.started + stop_at)
        self.watcher = Watcher()
        self.submission = Submission(
            self.platform,
            request(idempotency_key=key),
            Deadline(self.clock.now + timeout, self.clock),
            self.stop,
            random=lambda: random,
            on_trouble=self.watcher.trouble,
        )

    def run(self) -> SubmittedRequest:
        return self.submission.run()

    def fails(self, kind: type[ApprovalError]) -> ApprovalError:
        with pytest.raises(kind) as caught:
            self.run()
        return caught.value

    @property
    def calls(self) -> list[str]:
        return [name for name, _ in self.platform.calls]

    @property
    def passed(self) -> float:
        return self.clock.now - self.started


def test_one_question_is_asked_once() -> None:
    """What the platform takes at once is asked once, and nothing is read."""
    scene = Scene()
    assert scene.run() == submitted()
    assert scene.calls == ["submit"]


def test_what_never_left_is_asked_again_without_looking() -> None:
    """A refused connection cannot have doubled anything, so the next try asks right away."""
    scene = Scene()
    scene.platform.submits = [NEVER_SENT, submitted()]
    scene.run()
    assert scene.calls == ["submit", "submit"]
    assert scene.watcher.troubles == [NEVER_SENT]
    assert scene.stop.slept == [0.25 * 0.75]


def test_a_lost_answer_is_found_and_not_asked_twice() -> None:
    """After a broken connection the list is searched by task id, and what is found there is our question."""
    scene = Scene()
    scene.platform.submits = [LOST]
    scene.platform.finds = [row()]
    found = scene.run()
    assert scene.calls == ["submit", "find"]
    assert (found.approval_id, found.own, found.created_at) == (OURS, False, row().created_at)
    assert (found.action, found.task_id) == (request().action, TASK)


def test_a_lost_answer_is_taken_even_if_it_was_decided_meanwhile() -> None:
    """Without a key, a request of our random task id is ours however it stands."""
    scene = Scene()
    scene.platform.submits = [LOST]
    scene.platform.finds = [row("approved", "alice")]
    assert scene.run().approval_id == OURS


def test_every_try_after_a_lost_one_looks_first() -> None:
    """Once an answer was lost, each further try searches before it asks, also after one that never left."""
    scene = Scene()
    scene.platform.submits = [LOST, NEVER_SENT, submitted()]
    scene.run()
    assert scene.calls == ["submit", "find", "submit", "find", "submit"]


def test_a_failing_look_is_no_leave_to_ask() -> None:
    """Where the list cannot be read, nothing is asked until it can."""
    scene = Scene()
    scene.platform.submits = [LOST, submitted()]
    scene.platform.finds = [UnavailableError("away", maybe_sent=False), UnavailableError("away"), None]
    scene.run()
    assert scene.calls == ["submit", "find", "find", "find", "submit"]


@pytest.mark.parametrize(
    ("failure", "window"), [(NEVER_SENT, 30.0), (LOST, 30.0), (SLOW, 180.0), (BUSY, 10.0), (STRANGER, 5.0)]
)
def test_tries_end_with_their_window(failure: ApprovalError, window: float) -> None:
    """An outage is tried again for 30 s, a slow platform for 180 s, a 500 for 10 s, a 401 for 5 s, and then it is raised."""
    scene = Scene()
    scene.platform.submits = [failure]
    assert scene.fails(ApprovalError) is failure
    assert window / 2 < scene.passed <= window
    assert len(scene.calls) > 3


def test_a_slow_platform_gets_longer_each_time() -> None:
    """What it did not answer it works on all the same: so the tries become fewer, each within the deadline."""
    scene = Scene(timeout=60.0)
    scene.platform.submits = [SLOW, submitted()]
    scene.platform.finds = [SLOW, SLOW, None]
    scene.run()
    assert scene.calls == ["submit", "find", "find", "find", "submit"]
    assert scene.platform.given[:3] == pytest.approx([10.0, 20.0, 40.0])
    assert scene.platform.given[3:] == pytest.approx([60.0 - (at - scene.started) for _, at in scene.platform.calls[3:]])


def test_a_500_names_the_workspace_as_the_likely_cause() -> None:
    """After its window, a 500 is told with the hint that the workspace may be unknown."""
    scene = Scene()
    scene.platform.submits = [UnavailableError("failed to create approval", status=500)]
    assert "WORKSPACE_ID" in scene.fails(UnavailableError).hint


def test_tries_end_with_the_deadline() -> None:
    """A deadline that comes sooner than the policy's time ends the tries."""
    scene = Scene(timeout=2.0)
    scene.platform.submits = [NEVER_SENT]
    scene.fails(UnavailableError)
    assert scene.passed <= 2.0


@pytest.mark.parametrize(
    ("after", "tries", "passed"), [(3.0, 2, 4.0), (29.0, 2, 29.0), (60.0, 2, 29 * 2.5 / 3), (61.0, 1, 0.0), (1e12, 1, 0.0)]
)
def test_retry_after_is_honoured_or_ends_it(after: float, tries: int, passed: float) -> None:
    """What the platform asks us to wait is waited, and a little more by chance.

    Where a rate limit's minute is longer than the time for asking, a last try is made near its end; what is longer ends it.
    """
    scene = Scene()
    scene.platform.submits = [UnavailableError("busy", status=429, retry_after=after, maybe_sent=False), submitted()]
    if tries == 1:
        scene.fails(UnavailableError)
    else:
        scene.run()
    assert len(scene.calls) == tries
    assert scene.passed == pytest.approx(passed)


@pytest.mark.parametrize("asked", [None, 0.0, 7.0, 45.0])
def test_a_crowd_that_is_told_one_moment_does_not_come_back_in_it(asked: float | None) -> None:
    """Whoever meets a 429 tries on until the time for asking is over, each at a moment of its own and none too late."""
    firsts = set()
    for chance in (0.0, 0.3, 0.6, 0.99):
        scene = Scene(random=chance)
        scene.platform.submits = [UnavailableError("busy", status=429, retry_after=asked, maybe_sent=False)]
        scene.fails(UnavailableError)
        tries = [at - scene.started for at in scene.platform.times("submit")]
        firsts.add(tries[1])
        assert len(tries) >= 3
        assert 24.0 < tries[-1] <= 30.0
    assert len(firsts) == 4


@pytest.mark.parametrize("failure", [RejectedError("no", status=400), CredentialError("no", status=403)])
def test_a_final_refusal_ends_at_once(failure: ApprovalError) -> None:
    """What the platform will say again is raised at the first try."""
    scene = Scene()
    scene.platform.submits = [failure]
    assert scene.fails(ApprovalError) is failure
    assert scene.calls == ["submit"]


def test_a_refusal_does_not_unmake_a_lost_answer() -> None:
    """Where an earlier try may have arrived, a later refusal does not say that nothing is there."""
    scene = Scene()
    scene.platform.submits = [LOST, STRANGER, RejectedError("no", status=400)]
    scene.fails(RejectedError)
    assert scene.submission.maybe_there


@pytest.mark.parametrize(
    ("failure", "there"),
    [
        (NEVER_SENT, False),
        (LOST, True),
        (STRANGER, True),
        (CredentialError("no", status=403), True),
        (RejectedError("a login page", status=302), True),
        (OWN_WORD, False),
        (ConfigError("SSL_CERT_FILE cannot be read"), False),
    ],
)
def test_whether_it_may_be_there_is_known(failure: ApprovalError, there: bool) -> None:
    """Afterwards it is known whether the platform may hold the question all the same: a proxy's refusal says nothing."""
    scene = Scene()
    scene.platform.submits = [failure]
    scene.fails(ApprovalError)
    assert scene.submission.maybe_there is there


def test_an_answer_without_sense_is_looked_for() -> None:
    """After a 201 without an id the question is found by its task id."""
    scene = Scene()
    scene.platform.submits = [ProtocolError("no id")]
    scene.platform.finds = [row()]
    assert scene.run().approval_id == OURS
    assert scene.calls == ["submit", "find"]


@pytest.mark.parametrize("found", [None, UnavailableError("away")])
def test_an_answer_without_sense_and_without_a_trace_is_the_failure(found: object) -> None:
    """Where the list does not show it or cannot be read, the senseless answer is what is reported."""
    scene = Scene()
    failure = ProtocolError("no id")
    scene.platform.submits = [failure]
    scene.platform.finds = [found]
    assert scene.fails(ProtocolError) is failure
    assert scene.submission.maybe_there


def test_a_key_looks_before_the_first_try() -> None:
    """With an idempotency key the platform's list is searched before anything is asked."""
    scene = Scene(key="job-1")
    scene.run()
    assert scene.calls == ["find", "submit"]


def test_a_key_takes_up_its_open_request() -> None:
    """An open request of the key with the same text is taken up, not asked again."""
    scene = Scene(key="job-1")
    scene.platform.finds = [row(reason="because")]
    assert scene.run().approval_id == OURS
    assert scene.calls == ["find"]


@pytest.mark.parametrize("status", ["approved", "denied"])
def test_a_key_never_gives_yesterdays_answer(status: str) -> None:
    """A key whose request has ended is refused, and the message names the request."""
    scene = Scene(key="job-1")
    scene.platform.finds = [row(status, "alice", reason="because")]
    failure = scene.fails(KeyUsedError)
    assert isinstance(failure, KeyUsedError)
    assert failure.approval_id == OURS
    assert OURS in failure.hint


@pytest.mark.parametrize("fields", [{"action": "drop"}, {"reason": "for fun"}])
def test_a_key_belongs_to_one_text(fields: dict[str, str]) -> None:
    """A key whose open request asks something else is refused."""
    scene = Scene(key="job-1")
    scene.platform.finds = [row(**{"reason": "because", **fields})]
    assert "a different action" in scene.fails(KeyUsedError).message


def test_a_key_that_the_server_refuses_ends_it() -> None:
    """What the embedded server says of a key is final, and nothing of ours is there."""
    scene = Scene(key="job-1")
    scene.platform.submits = [KeyUsedError.ended(OURS)]
    scene.fails(KeyUsedError)
    assert not scene.submission.maybe_there


def test_a_used_key_found_after_nonsense_is_told_as_such() -> None:
    """After a senseless answer, a key whose request has ended is the failure, not the nonsense."""
    scene = Scene(key="job-1")
    scene.platform.submits = [ProtocolError("no id")]
    scene.platform.finds = [None, row("denied", "bob", reason="because")]
    failure = scene.fails(KeyUsedError)
    assert isinstance(failure, KeyUsedError)
    assert failure.approval_id == OURS
    assert scene.calls.count("submit") == 1


@pytest.mark.parametrize("at", [0.0, 0.1, 5.0])
def test_a_stop_ends_the_pauses(at: float) -> None:
    """A signal before the first try or in a pause ends the asking at that moment."""
    scene = Scene(stop_at=at)
    scene.platform.submits = [LOST]
    with pytest.raises(Interrupted):
        scene.run()
    assert scene.passed == pytest.approx(at)
    assert scene.submission.maybe_there is (at > 0)


def test_a_refusal_that_may_be_a_proxys_makes_the_next_try_look() -> None:
    """A 401 may come from something in between that has passed the question on: the list is read before the next try."""
    scene = Scene()
    scene.platform.submits = [STRANGER, submitted()]
    scene.platform.finds = [row()]
    scene.run()
    assert scene.calls == ["submit", "find"]


def test_a_stop_together_with_the_answer_leaves_it_there() -> None:
    """A stop that is told where the region of the POST ends has lost its answer."""

    class AtTheEnd(Stop):
        @contextlib.contextmanager
        def open(self) -> Iterator[None]:
            yield
            raise Interrupted(15, "cancelled")

    scene = Scene(stop=AtTheEnd)
    with pytest.raises(Interrupted):
        scene.run()
    assert scene.submission.maybe_there


def test_a_stop_in_the_middle_of_the_post_leaves_it_there() -> None:
    """A signal while the answer is outstanding leaves the knowledge that the question may be there."""
    scene = Scene()
    scene.platform.submits = [Interrupted(15, "stopped")]
    with pytest.raises(Interrupted):
        scene.run()
    assert scene.submission.maybe_there
