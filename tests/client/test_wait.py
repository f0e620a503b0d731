"""The wait, on a clock that moves only when somebody sleeps or listens."""

from __future__ import annotations

from itertools import pairwise

import pytest

from molecule_approve.client.platform import Sighting, Withdrawal
from molecule_approve.client.reconnect import StreamState
from molecule_approve.client.retry import WaitPolicy
from molecule_approve.client.wait import Wait
from molecule_approve.clock import Deadline
from molecule_approve.errors import (
    ApprovalError,
    CredentialError,
    DisconnectedError,
    Interrupted,
    ProtocolError,
    RejectedError,
    UnavailableError,
    UnknownApprovalError,
    UsedError,
)
from molecule_approve.model import Approval, ApprovalProgress, Decision, Evidence, Status, SubmittedRequest
from molecule_approve.wire import Event
from tests.client.fakes import OTHER, OURS, T0, WORKSPACE, Clock, Contract, Said, Stop, Stream, Watcher, row, submitted

POLICY = WaitPolicy()
START = 1000.0
LATER = "2026-04-27T10:00:00.5Z"
ENDED = DisconnectedError("ended")


def event(name: str = "APPROVAL_APPROVED", by: str | None = "alice", **fields: object) -> Event:
    """An event of our request in the platform's own dialect."""
    status = {
        "APPROVAL_APPROVED": Status.APPROVED,
        "APPROVAL_REQUESTED": Status.PENDING,
        "APPROVAL_PROGRESS": Status.PENDING,
    }.get(name, Status.DENIED)
    made: dict[str, object] = {
        "name": name,
        "approval_id": OURS,
        "workspace_id": WORKSPACE,
        "status": status,
        "decided_by": by,
        "timestamp": T0,
        "native": True,
        **fields,
    }
    return Event(**made)  # type: ignore[arg-type]  # the tests name the fields rightly


PROGRESS = event("APPROVAL_PROGRESS", status=Status.PENDING)


class Scene:
    """A wait with a contract that answers as the test says; moments count from its start."""

    def __init__(
        self,
        *,
        timeout: float = 100.0,
        stream: list[Said] | Exception | None = None,
        asked: SubmittedRequest | None = None,
        stop_at: float = float("inf"),
        policy: WaitPolicy = POLICY,
    ) -> None:
        self.clock = Clock()
        self.platform = Contract(self.clock)
        self.watcher = Watcher()
        self.looks: list[SubmittedRequest] = []
        self.deadline = Deadline(START + timeout, self.clock)
        if stream is not None:
            self.stream(stream)
        self.wait = Wait(
            self.platform,
            asked or submitted(),
            self.deadline,
            Stop(self.clock, START + stop_at),
            self.watcher,
            stream=stream is not None,
            random=lambda: 0.5,
            policy=policy,
            withdraw_duplicates=self.looks.append,
        )

    def stream(self, *streams: list[Said] | Exception) -> None:
        """What the streams say, one connection after the other."""
        self.platform.streams = [
            said if isinstance(said, Exception) else [(START + at, what) for at, what in said] for said in streams
        ]

    def decided_at(self, moment: float, decided: Approval | None = None) -> None:
        """From that moment on a read shows the decision."""
        shown = decided or row("approved", "alice")
        self.platform.shows = [lambda: Sighting(shown if self.clock.now >= START + moment else row())]

    def run(self) -> Decision | None:
        return self.wait.run()

    @property
    def reads(self) -> list[float]:
        return [at - START for at in self.platform.times("fetch")]

    @property
    def connects(self) -> list[float]:
        return [at - START for at in self.platform.times("watch")]

    @property
    def passed(self) -> float:
        return self.clock.now - START

    @property
    def links(self) -> list[StreamState]:
        return [link for link, _ in self.watcher.links]


# --- polling -----------------------------------------------------------------------------------------------------------


def test_polling_reads_at_once_and_then_at_its_interval() -> None:
    """Without a stream there is a read at the start and one each interval, and the decision is found by the next one."""
    scene = Scene()
    scene.decided_at(12.0)
    assert scene.run() == Decision(row("approved", "alice"))
    assert scene.reads == [0, 5, 10, 15]
    assert (scene.links, scene.connects) == ([StreamState.POLLING], [])


def test_nobody_decides_and_the_deadline_ends_it() -> None:
    """At the deadline there is no decision, and the last sleep does not outlast it."""
    scene = Scene(timeout=11.0)
    assert scene.run() is None
    assert (scene.passed, scene.reads) == (11.0, [0, 5, 10])


def test_a_deadline_that_has_passed_reads_nothing() -> None:
    """A wait that begins too late asks nothing."""
    scene = Scene(timeout=0.0)
    assert (scene.run(), scene.reads) == (None, [])


def test_no_sleep_is_longer_than_a_tick() -> None:
    """The observer is told at least every two seconds that the wait goes on."""
    scene = Scene(timeout=20.0)
    scene.run()
    assert scene.watcher.ticks >= 10


@pytest.mark.parametrize("status", ["denied", "approved"])
def test_what_was_decided_before_is_found_by_the_first_read(status: str) -> None:
    """A decision that stands already ends the wait at once."""
    scene = Scene()
    scene.decided_at(0.0, row(status, "alice"))
    assert scene.run() == Decision(row(status, "alice"))
    assert scene.passed == 0


@pytest.mark.parametrize("by", ["auto-expired", "withdrawn"])
def test_an_end_without_a_person_ends_the_wait(by: str) -> None:
    """An expiry and a withdrawal by somebody else are decisions about the request, told as they are."""
    scene = Scene()
    scene.decided_at(0.0, row("denied", by))
    assert scene.run() == Decision(row("denied", by))


@pytest.mark.parametrize("shown", [row("unknown", "alice"), row("approved", None), row("approved", " "), row("escalated")])
def test_what_is_no_decision_is_waited_on(shown: Approval) -> None:
    """An unknown status, an approval by nobody and an escalation are no verdict."""
    scene = Scene(timeout=6.0)
    scene.platform.shows = [Sighting(shown)]
    assert scene.run() is None
    assert len(scene.watcher.troubles) == (0 if shown.status is Status.ESCALATED else 2)


# --- the stream --------------------------------------------------------------------------------------------------------


def test_the_stream_is_opened_before_the_first_read() -> None:
    """Subscribe, then read: what is decided in between is heard."""
    scene = Scene(stream=[])
    scene.decided_at(0.0)
    scene.run()
    assert [name for name, _ in scene.platform.calls] == ["watch", "fetch"]
    assert scene.platform.named == [submitted().approval_id]
    assert scene.links == [StreamState.CONNECTING, StreamState.LIVE]


def test_an_event_of_ours_makes_us_read() -> None:
    """An event is a hint: the read after it brings the decision."""
    scene = Scene(stream=[(7.0, event())])
    scene.decided_at(7.0)
    assert scene.run() == Decision(row("approved", "alice"), Evidence.REST)
    assert scene.reads == [0, 7]
    assert scene.platform.opened[0].closed


@pytest.mark.parametrize(
    "foreign",
    [
        event(approval_id=OTHER),
        event(workspace_id=OTHER),
        event("APPROVAL_REQUESTED"),
    ],
)
def test_other_events_do_not_make_us_read(foreign: Event) -> None:
    """Events of other requests or workspaces, and our own creation, cost the platform nothing."""
    scene = Scene(stream=[(7.0, foreign)], timeout=20.0)
    assert scene.run() is None
    assert scene.reads == [0]


def test_an_approval_that_is_not_the_last_makes_us_read_and_is_shown() -> None:
    """An event of our own request says that somebody decided; the read says how far it is. Others' events cost nothing."""
    said: list[Said] = [(5.0, PROGRESS._replace(approval_id=OTHER)), (7.0, PROGRESS)]
    scene = Scene(stream=said, timeout=20.0)
    scene.decided_at(7.0, row(progress=ApprovalProgress(2, 1)))
    assert scene.run() is None
    assert scene.reads == [0, 7]
    assert scene.watcher.progressed == [ApprovalProgress(2, 1)]


def test_a_storm_of_progress_costs_one_read_a_second() -> None:
    """However often people approve and retract."""
    scene = Scene(stream=[(1.0 + number / 100, PROGRESS) for number in range(600)], timeout=8.0)
    assert scene.run() is None
    assert 6 < len(scene.reads) <= 3 + 8


def test_an_event_without_a_workspace_is_a_hint_as_well() -> None:
    """The earlier flat dialect names no workspace; its event makes us read all the same."""
    scene = Scene(stream=[(7.0, event(workspace_id=None, native=False))])
    scene.decided_at(7.0)
    scene.run()
    assert scene.reads == [0, 7]


def test_an_event_that_the_read_does_not_confirm_decides_nothing() -> None:
    """What an event claims is not believed while our row is shown pending."""
    scene = Scene(stream=[(1.0, event()), (2.0, event("APPROVAL_DENIED", "bob"))], timeout=20.0)
    assert scene.run() is None
    assert scene.reads == [0, 1, 2]


def test_dropped_events_are_made_good_by_the_slow_read() -> None:
    """While the stream is open and silent, a read every 30 s finds what it did not say."""
    scene = Scene(stream=[])
    scene.decided_at(31.0)
    assert scene.run() is not None
    assert scene.reads == [0, 30, 60]


def test_a_storm_of_events_costs_one_read_a_second() -> None:
    """However many events come, there are three reads in a burst and then one a second."""
    scene = Scene(stream=[(1.0 + number / 100, event()) for number in range(1000)], timeout=12.0)
    assert scene.run() is None
    reads = scene.reads
    assert len(reads) > 10
    for first, sooner in enumerate(reads):
        for last, later in enumerate(reads[first:], first):
            assert last - first + 1 <= 3 + (later - sooner) + 1e-6


def test_a_stream_that_ends_is_opened_again_with_a_read() -> None:
    """After the stream ended there is a read, a pause of a second, a new stream and a read."""
    scene = Scene(stream=[])
    scene.stream([(7.0, ENDED)], [(20.0, event())])
    scene.decided_at(20.0)
    assert scene.run() is not None
    assert scene.connects == [0, 8]
    assert scene.reads == [0, 7, 8, 20]
    assert scene.links == [StreamState.CONNECTING, StreamState.LIVE, StreamState.RECONNECTING, StreamState.LIVE]


def test_a_stream_that_closes_at_once_makes_no_storm() -> None:
    """A server that accepts and closes is met at most once a second, with growing pauses, and read at most as often."""
    scene = Scene(stream=[(0.0, ENDED)], timeout=120.0)
    assert scene.run() is None
    gaps = [later - sooner for sooner, later in pairwise(scene.connects)]
    assert min(gaps) >= 1.0
    assert max(gaps) <= 30.0
    assert gaps[-1] > 10.0
    assert len(scene.reads) <= 3 + 120


def test_a_good_stream_makes_the_next_pause_short_again() -> None:
    """A stream that lasted is opened again after a second, however bad it was before."""
    scene = Scene(stream=[], timeout=60.0)
    away = UnavailableError("away")
    scene.stream(away, away, away, away, [(40.0, ENDED)], [])
    scene.run()
    assert scene.connects[-1] == 41.0


def test_while_the_stream_is_away_reads_come_at_the_polling_interval() -> None:
    """While reconnecting the wait goes on by reading, every interval or at each failed attempt."""
    scene = Scene(stream=UnavailableError("away"), timeout=60.0)
    scene.run()
    assert max(later - sooner for sooner, later in pairwise(scene.reads)) <= 5.0
    assert all(moment in scene.reads for moment in scene.connects)
    assert StreamState.RECONNECTING in scene.links


def test_the_streams_retry_after_is_honoured() -> None:
    """A 429 on the handshake that asks for 20 s gets them."""
    scene = Scene(stream=[], timeout=30.0)
    scene.stream(UnavailableError("busy", status=429, retry_after=20.0), [])
    scene.run()
    assert scene.connects == [0, 20]


@pytest.mark.parametrize("failure", [CredentialError("not you", status=401), RejectedError("no stream", status=404)])
def test_a_stream_that_refuses_means_polling(failure: ApprovalError) -> None:
    """Where the stream does not take the token, or is not there, the wait polls and says why."""
    scene = Scene(stream=failure, timeout=20.0)
    scene.run()
    assert scene.connects == [0]
    assert scene.watcher.links[-1] == (StreamState.POLLING, failure.message)
    assert scene.reads == [0, 5, 10, 15]
    assert scene.wait.link is StreamState.POLLING


@pytest.mark.parametrize(
    "failure", [AssertionError("unexpected"), RuntimeError("can't start new thread"), ImportError("gone")]
)
def test_a_stream_that_breaks_its_library_means_polling(failure: Exception) -> None:
    """Whatever opening the stream throws, the wait polls, says so, and finds the decision."""
    scene = Scene(stream=[])
    scene.platform.streams = [failure]
    scene.decided_at(7.0)
    assert scene.run() == Decision(row("approved", "alice"))
    assert scene.links == [StreamState.CONNECTING, StreamState.POLLING]
    assert repr(failure) in scene.watcher.links[-1][1]


@pytest.mark.parametrize(
    "failure",
    [
        AssertionError("unexpected"),
        CredentialError("no", status=401),
        RejectedError("no", status=404),
        ProtocolError("what?"),
    ],
)
def test_nothing_that_an_open_stream_does_ends_the_wait(failure: Exception) -> None:
    """Whatever an open stream throws, it is opened again after a pause, with a read before and after."""
    scene = Scene(stream=[])
    scene.stream([(7.0, failure)], [(20.0, event())])
    scene.decided_at(20.0)
    assert scene.run() is not None
    assert scene.connects == [0, 8]
    assert scene.reads == [0, 7, 8, 20]
    assert StreamState.RECONNECTING in scene.links


def test_a_stream_that_cannot_be_closed_does_not_spoil_the_decision() -> None:
    """A fault while the stream is let go of is no news either."""

    class Sticky(Stream):
        def close(self) -> None:
            raise AssertionError("unexpected")

    scene = Scene(stream=[(7.0, event())])
    scene.platform.kind = Sticky
    scene.decided_at(7.0)
    assert scene.run() == Decision(row("approved", "alice"), Evidence.REST)


def test_whether_the_last_read_was_a_list_is_known() -> None:
    """A list shows every row of the question; a read of one row does not say whether there are more."""
    scene = Scene()
    scene.decided_at(0.0)
    scene.run()
    assert not scene.wait.listed
    scene = Scene()
    scene.platform.shows = [Sighting(row("approved", "alice"), oldest=T0)]
    scene.run()
    assert scene.wait.listed


# --- reads that fail ---------------------------------------------------------------------------------------------------


def test_an_outage_lasts_as_long_as_the_deadline_allows() -> None:
    """Failing reads are tried again, at most once a second and at least every interval, and the decision is found after."""
    scene = Scene(timeout=300.0)
    away: list[object] = [UnavailableError("away") for _ in range(20)]
    scene.platform.shows = [*away, Sighting(row("approved", "alice"))]
    assert scene.run() is not None
    gaps = [later - sooner for sooner, later in pairwise(scene.reads)]
    assert min(gaps) >= 1.0
    assert max(gaps) <= 5.0
    assert len(scene.watcher.troubles) == 20


def test_retry_after_is_waited_even_if_an_event_comes() -> None:
    """An event is no leave to read before the platform's Retry-After is over."""
    scene = Scene(stream=[(3.0, event())], timeout=60.0)
    scene.platform.shows = [UnavailableError("busy", retry_after=20.0), Sighting(row("approved", "alice"))]
    assert scene.run() is not None
    assert scene.reads == [0, 20]


def test_retry_after_beyond_the_deadline_is_a_timeout() -> None:
    """A platform that asks for more time than there is left gets it, and the deadline ends the wait."""
    scene = Scene(timeout=30.0)
    scene.platform.shows = [UnavailableError("busy", retry_after=86_400.0)]
    assert (scene.run(), scene.reads, scene.passed) == (None, [0], 30.0)


@pytest.mark.parametrize("asked", [submitted(), submitted(own=False, created_at=T0)])
def test_a_401_after_the_token_was_taken_is_a_fault(asked: SubmittedRequest) -> None:
    """The platform says 401 to a good token while its database is away: the wait goes on."""
    scene = Scene(timeout=60.0, asked=asked)
    refusals: list[object] = [CredentialError("no", status=401) for _ in range(8)]
    scene.platform.shows = [*refusals, Sighting(row("approved", "alice"))]
    assert scene.run() is not None


def test_a_401_from_the_start_ends_the_wait_after_a_while() -> None:
    """A token that was never taken is tried for five seconds."""
    scene = Scene(asked=submitted(own=False))
    scene.platform.shows = [CredentialError("no", status=401)]
    with pytest.raises(CredentialError):
        scene.run()
    assert 5.0 <= scene.passed <= 10.0


def test_a_read_proves_the_token() -> None:
    """Once a read was answered, a 401 that lasts is a fault."""
    scene = Scene(asked=submitted(own=False), timeout=60.0)
    scene.platform.shows = [Sighting(row()), CredentialError("no", status=401)]
    assert scene.run() is None


@pytest.mark.parametrize(
    "failure",
    [ProtocolError("what?"), RejectedError("gone", status=404), CredentialError("no", status=403), UsedError("used")],
)
def test_what_no_wait_can_mend_ends_it(failure: ApprovalError) -> None:
    """Nonsense, a refusal and an approval that was used end the wait with their error, and the stream is let go."""
    scene = Scene(stream=[])
    scene.platform.shows = [failure]
    with pytest.raises(type(failure)):
        scene.run()
    assert scene.passed == 0
    assert scene.platform.opened[0].closed


# --- rows --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("strange", [True, False])
def test_a_request_that_never_showed_itself_is_unknown(strange: bool) -> None:
    """An id that we did not get from the platform must be shown, with the text that we know, at the first read."""
    scene = Scene(asked=submitted(own=False))
    scene.platform.shows = [Sighting(None, strange=strange)]
    with pytest.raises(UnknownApprovalError) as caught:
        scene.run()
    assert ("different action" in caught.value.message) is strange


@pytest.mark.parametrize("asked", [submitted(), submitted(own=False, created_at=T0)])
def test_our_request_missing_from_the_list_is_not_denied(asked: SubmittedRequest) -> None:
    """Our own request that is not shown, or shown with other text, is waited for."""
    scene = Scene(asked=asked, timeout=6.0)
    scene.platform.shows = [Sighting(None), Sighting(None, strange=True)]
    assert scene.run() is None
    assert [type(failure) for failure in scene.watcher.troubles] == [ProtocolError]


def test_a_request_that_was_seen_once_may_vanish() -> None:
    """After a first sight a request of another invocation is waited for like our own."""
    scene = Scene(asked=submitted(own=False), timeout=11.0)
    scene.platform.shows = [Sighting(row()), Sighting(None)]
    assert scene.run() is None
    assert scene.wait.submitted.created_at == T0


def test_the_same_question_asked_twice_is_taken_back() -> None:
    """Further live rows with our task id are withdrawn, each as soon as it is seen."""
    scene = Scene(timeout=4.0)
    scene.platform.shows = [Sighting(row(), duplicates=(row(id=OTHER),))]
    scene.run()
    assert scene.platform.taken_back == [OTHER]


def test_a_failing_withdrawal_of_a_double_is_told_and_the_wait_goes_on() -> None:
    """Where a double cannot be taken back, that is trouble and no end."""
    scene = Scene()
    failure = UnavailableError("away")
    scene.platform.withdrawals = [failure]
    scene.platform.shows = [Sighting(row(), duplicates=(row(id=OTHER),)), Sighting(row("approved", "alice"))]
    assert scene.run() is not None
    assert scene.watcher.troubles == [failure]


@pytest.mark.parametrize(
    ("withdrawal", "listed"),
    [
        (Withdrawal(withdrawn=True, ended_before=False), True),
        (Withdrawal(withdrawn=False, ended_before=True), False),
        (UnavailableError("away"), False),
    ],
)
def test_a_double_that_may_stand_is_looked_for_at_the_end(withdrawal: object, listed: bool) -> None:
    """Only where each double was taken back for certain has the last list shown all that there is to do."""
    scene = Scene()
    scene.platform.withdrawals = [withdrawal]
    scene.platform.shows = [Sighting(row("approved", "alice"), duplicates=(row(id=OTHER),), oldest=T0)]
    scene.run()
    assert scene.wait.listed is listed


def test_a_double_that_may_stand_is_not_left_to_the_slow_read() -> None:
    """While a double may stand open, reads come at the polling interval although the stream is open."""
    scene = Scene(stream=[], timeout=40.0)
    scene.platform.withdrawals = [UnavailableError("away"), Withdrawal(withdrawn=True, ended_before=False)]
    scene.platform.shows = [*[Sighting(row(), duplicates=(row(id=OTHER),), oldest=T0)] * 2, Sighting(row(), oldest=T0)]
    assert scene.run() is None
    assert (scene.reads, scene.platform.taken_back) == ([0, 5, 35], [OTHER, OTHER])


@pytest.mark.parametrize(("oldest", "looks"), [(None, [submitted(created_at=T0)]), (T0, [])])
def test_doubles_that_no_read_lists_are_looked_for_once(oldest: str | None, looks: list[SubmittedRequest]) -> None:
    """The embedded server is read by the id: the first read that shows the question open is followed by a look."""
    scene = Scene(timeout=11.0)
    scene.platform.shows = [Sighting(None), Sighting(row(), oldest=oldest)]
    scene.run()
    assert (scene.looks, scene.reads) == (looks, [0, 5, 10])


def test_an_older_request_with_our_task_id_becomes_the_question() -> None:
    """Of several rows of ours the one that is shown as ours is waited for from then on, by events as well."""
    scene = Scene(stream=[(3.0, event(approval_id=OTHER))], timeout=20.0)
    scene.platform.shows = [Sighting(row(id=OTHER)), Sighting(row("denied", "bob", id=OTHER))]
    assert scene.run() == Decision(row("denied", "bob", id=OTHER))
    assert scene.reads == [0, 3]
    assert (scene.wait.submitted.approval_id, scene.wait.submitted.own) == (OTHER, False)


# --- time and signals --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("overslept", "decided"), [(4.0, True), (6.0, False)])
def test_what_was_said_long_after_the_deadline_does_not_count(overslept: float, decided: bool) -> None:
    """A read that comes back more than five seconds after the deadline, because the machine slept, is no verdict."""
    scene = Scene(timeout=10.0)

    def sleep_and_show() -> Sighting:
        scene.clock.now = START + 10.0 + overslept
        return Sighting(row("approved", "alice"))

    scene.platform.shows = [sleep_and_show]
    assert (scene.run() is not None) is decided


@pytest.mark.parametrize("stream", [None, []])
def test_a_stop_ends_the_wait(stream: list[Said] | None) -> None:
    """A signal ends the wait at its next check, and the stream is let go."""
    scene = Scene(stream=stream, stop_at=9.0)
    with pytest.raises(Interrupted):
        scene.run()
    assert 9.0 <= scene.passed <= 11.0
    assert all(opened.closed for opened in scene.platform.opened)


# --- the one exception: pushed out of the list -------------------------------------------------------------------------

CROWDED = Sighting(None, crowded=True, oldest=LATER)
CREATED = event("APPROVAL_REQUESTED", None)
SETTLED = Withdrawal(withdrawn=False, ended_before=True)


def crowded_scene(*said: Event, shown: Sighting = CROWDED, asked: SubmittedRequest | None = None) -> Scene:
    """Our creation was heard; then our row was pushed out, and the stream says what the test names."""
    stream: list[Said] = [(1.0 + index, event_) for index, event_ in enumerate(said)]
    scene = Scene(stream=stream, timeout=40.0, asked=asked)
    scene.platform.shows = [shown]
    scene.platform.withdrawals = [SETTLED]
    return scene


@pytest.mark.parametrize(("name", "by"), [("APPROVAL_APPROVED", "alice"), ("APPROVAL_DENIED", "bob")])
def test_a_row_that_was_pushed_out_is_decided_by_event(name: str, by: str) -> None:
    """Our own id, a full list of newer rows, one native event and a 404 to our withdrawal: the event decides."""
    scene = crowded_scene(CREATED, event(name, by, timestamp=LATER))
    found = scene.run()
    assert found is not None
    assert found.evidence is Evidence.EVENT
    status = "approved" if name == "APPROVAL_APPROVED" else "denied"
    assert (found.approval.status, found.approval.decided_by, found.approval.decided_at) == (status, by, LATER)
    assert (found.approval.id, found.approval.created_at) == (OURS, T0)
    assert scene.platform.taken_back == [OURS]


@pytest.mark.parametrize(
    "said",
    [
        (),
        (event(native=False, name="APPROVAL_DECIDED"),),
        (event(workspace_id=None),),
        (event("APPROVAL_EXPIRED", None),),
        (event("APPROVAL_ESCALATED", None),),
        (event(status=Status.UNKNOWN),),
        (event(), event("APPROVAL_DENIED", "bob")),
        (event(), event(by="mallory"), event(by="eve")),
        (event(), event(status=Status.UNKNOWN)),
    ],
)
def test_no_other_event_decides(said: tuple[Event, ...]) -> None:
    """Flat, unnamed, foreign, unclear or contradicting events are no evidence, and nothing is taken back for them."""
    scene = crowded_scene(CREATED, *said)
    scene.platform.shows = [lambda: CROWDED if scene.clock.now > START + 10 else Sighting(row())]
    assert scene.run() is None
    assert scene.platform.taken_back == []


@pytest.mark.parametrize(
    "shown",
    [
        Sighting(None, crowded=False, oldest=LATER),
        Sighting(None, crowded=True, oldest=T0),
        Sighting(None, crowded=True, oldest="2026-04-27T09:00:00Z"),
        Sighting(None, crowded=True, oldest=None),
        Sighting(None, crowded=True, oldest="yesterday"),
    ],
)
def test_only_a_full_list_of_newer_rows_has_pushed_it_out(shown: Sighting) -> None:
    """Where the list is not full, or a row in it is not newer, an event decides nothing."""
    scene = crowded_scene(CREATED, event(), shown=shown)
    assert scene.run() is None
    assert scene.platform.taken_back == []


def test_without_our_creation_an_event_decides_nothing() -> None:
    """Where it is not known when our request was made, nobody knows whether the rows are newer."""
    scene = crowded_scene(event())
    assert scene.run() is None
    assert scene.platform.taken_back == []


def test_an_id_that_is_not_from_our_own_201_is_not_decided_by_event() -> None:
    """An adopted request is decided by what is shown, never by an event."""
    scene = crowded_scene(event(), asked=submitted(own=False, created_at=T0))
    assert scene.run() is None
    assert scene.platform.taken_back == []


def test_an_event_that_is_disproved_ends_the_wait() -> None:
    """Where our withdrawal ends the request, the announced decision never was, and that is told."""
    scene = crowded_scene(CREATED, event())
    scene.platform.withdrawals = [Withdrawal(withdrawn=True, ended_before=False)]
    with pytest.raises(ProtocolError, match="does not have"):
        scene.run()


def test_a_lost_answer_to_the_withdrawal_proves_nothing() -> None:
    """Where the first withdrawal may have ended it itself, "it is not open" is no proof, and it is not tried again."""
    scene = crowded_scene(CREATED, event(), event())
    scene.platform.withdrawals = [UnavailableError("broken off"), SETTLED]
    assert scene.run() is None
    assert scene.platform.taken_back == [OURS]


def test_a_platform_that_settles_nothing_proves_nothing() -> None:
    """An answer that neither took the request back nor says that it had ended is no evidence."""
    scene = crowded_scene(CREATED, event())
    scene.platform.withdrawals = [Withdrawal(withdrawn=False, ended_before=False)]
    assert scene.run() is None


def test_an_approval_by_nobody_is_none_by_event_either() -> None:
    """An event that announces an approval without a name is no approval."""
    scene = crowded_scene(CREATED, event(by=None))
    assert scene.run() is None
