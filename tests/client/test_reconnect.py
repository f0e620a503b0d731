"""The stream that connects again, on a clock that moves only when somebody sleeps or listens."""

from __future__ import annotations

import pytest

from molecule_approve.client.reconnect import ReconnectingStream, StreamState
from molecule_approve.client.retry import WaitPolicy
from molecule_approve.clock import Deadline
from molecule_approve.errors import CredentialError, DisconnectedError, UnavailableError
from tests.client.fakes import Clock, Contract, Said

POLICY = WaitPolicy(settled=10.0)
BREAKS = DisconnectedError("ended")


class Scene:
    """A stream over a contract that answers as the test says."""

    def __init__(self, *streams: list[Said] | Exception, enabled: bool = True) -> None:
        self.clock = Clock()
        self.platform = Contract(self.clock)
        self.platform.streams = list(streams)
        self.told: list[tuple[StreamState, str]] = []
        self.stream = ReconnectingStream(
            self.platform,
            lambda state, why: self.told.append((state, why)),
            enabled=enabled,
            policy=POLICY,
            random=lambda: 0.5,
            clock=self.clock,
        )

    def connect(self) -> bool:
        return self.stream.connect_if_due(Deadline(self.clock.now + 100.0, self.clock))

    def wait_until_due(self) -> float:
        """Sleep until it is time to connect; how long that was."""
        before = self.clock.now
        assert self.stream.listen(1_000.0, self.sleep) is None
        return self.clock.now - before

    def sleep(self, seconds: float) -> None:
        self.clock.now += seconds


def test_a_stream_that_is_not_wanted_is_never_connected() -> None:
    """It polls from the start, and listening to it is sleeping."""
    scene = Scene([], enabled=False)
    assert (scene.stream.state, scene.connect(), scene.wait_until_due()) == (StreamState.POLLING, False, 1_000.0)
    assert (scene.platform.calls, scene.told) == ([], [])


def test_an_open_stream_is_not_connected_again() -> None:
    """One handshake, and its state is told once."""
    scene = Scene([])
    assert (scene.connect(), scene.connect(), scene.told) == (True, False, [(StreamState.LIVE, "")])


@pytest.mark.parametrize(("asked", "pause"), [(None, 1.0), (7.0, 7.0)])
def test_a_platform_that_is_away_is_tried_again(asked: float | None, pause: float) -> None:
    """After the pause of the policy, or as long as the platform asks."""
    scene = Scene(UnavailableError("away", retry_after=asked), [])
    assert (scene.connect(), scene.connect()) == (True, False)
    assert scene.told == [(StreamState.RECONNECTING, "away")]
    assert (scene.wait_until_due(), scene.connect()) == (pause, True)
    assert scene.stream.state is StreamState.LIVE


@pytest.mark.parametrize(
    ("failure", "why"),
    [
        (CredentialError("not you", status=401), "not you"),
        (RuntimeError("bug"), "the event stream failed: RuntimeError('bug')"),
    ],
)
def test_a_stream_that_refuses_us_is_given_up(failure: Exception, why: str) -> None:
    """Any failure but an outage is final: reading will do."""
    scene = Scene(failure)
    assert (scene.connect(), scene.told) == (True, [(StreamState.POLLING, why)])
    assert scene.wait_until_due() == 1_000.0


def test_a_good_streams_end_makes_the_pause_short_again() -> None:
    """Pauses grow from break to break, unless the stream between them lasted."""
    breaks: list[Said] = [(1000.0, BREAKS)]
    lasts: list[Said] = [(1030.0, BREAKS)]
    scene = Scene(breaks, breaks, breaks, breaks, lasts)
    pauses = []
    for _ in range(4):
        assert scene.connect()
        assert scene.stream.listen(100.0, scene.sleep) is None
        assert scene.stream.state is StreamState.RECONNECTING
        pauses.append(scene.wait_until_due())
    assert pauses == [1.0, 1.5, 3.0, 6.0]
    assert scene.connect()
    assert scene.stream.listen(100.0, scene.sleep) is None
    assert scene.wait_until_due() == 1.0
    assert [stream.closed for stream in scene.platform.opened] == [True] * 5
