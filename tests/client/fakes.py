"""Peers and doubles for the client's tests: no module of ours is patched, each is handed what it talks to."""

from __future__ import annotations

import contextlib
import signal
import socket
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Self

from molecule_approve.client.platform import Sighting, Withdrawal
from molecule_approve.clock import Deadline
from molecule_approve.errors import ApprovalError, Interrupted
from molecule_approve.gate.attempt import Observer
from molecule_approve.model import Approval, ApprovalRequest, Endpoint, Secret, Status, SubmittedRequest
from molecule_approve.wire import Event
from tests.integration.listener import Listener
from tests.integration.raw_http import Channel, PeerGoneError

if TYPE_CHECKING:
    from molecule_approve.audit.chain import Head
    from molecule_approve.client.reconnect import StreamState
    from molecule_approve.model import ApprovalProgress, JsonValue

WORKSPACE = "11111111-1111-4111-8111-111111111111"
OURS = "22222222-2222-4222-8222-222222222222"
OTHER = "33333333-3333-4333-8333-333333333333"
TASK = "44444444-4444-4444-8444-444444444444"
ACTION = "deploy"
T0 = "2026-04-27T10:00:00Z"


def soon(seconds: float = 5.0) -> Deadline:
    """A deadline on the real clock."""
    return Deadline.after(seconds)


def row(status: str = "pending", by: str | None = None, *, id: str = OURS, **fields: object) -> Approval:  # noqa: A002 - the model's own word
    """A row of the workspace's list that answers our question."""
    made = Approval(id=id, workspace_id=WORKSPACE, action=ACTION, status=Status(status), task_id=TASK, created_at=T0)
    return replace(made, decided_by=by, **fields)  # type: ignore[arg-type]  # the tests name the fields rightly


def submitted(**fields: object) -> SubmittedRequest:
    """Our question, its id from our own 201."""
    made = SubmittedRequest(OURS, WORKSPACE, ACTION, TASK, own=True)
    return replace(made, **fields)  # type: ignore[arg-type]  # the tests name the fields rightly


def request(**fields: object) -> ApprovalRequest:
    """What is asked."""
    made = ApprovalRequest(WORKSPACE, ACTION, "because", TASK, TASK)
    return replace(made, **fields)  # type: ignore[arg-type]  # the tests name the fields rightly


def endpoint(url: str, **fields: object) -> Endpoint:
    """Where to ask, with a token."""
    made = Endpoint(url, WORKSPACE, Secret("the-token"))
    return replace(made, **fields)  # type: ignore[arg-type]  # the tests name the fields rightly


# --- peers on real sockets ---------------------------------------------------------------------------------------------


class Peer:
    """Listens on a free port and has a script that talks on each connection; ``script(channel, number)``, from 1."""

    def __init__(self, script: Callable[[Channel, int], object], listener: socket.socket | None = None) -> None:
        self.connections = 0
        self._script = script
        self._channels: list[Channel] = []
        self._listener = Listener(listener or socket.create_server(("127.0.0.1", 0)), self._accepted)
        self.port = self._listener.port

    @property
    def url(self) -> str:
        """Its base address."""
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._listener.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        for channel in self._channels:
            channel.finish()
        self._listener.join(5)

    def _accepted(self, sock: socket.socket) -> None:
        self.connections += 1
        channel = Channel(sock)
        self._channels.append(channel)
        self._listener.spawn(self._talk, channel, self.connections)

    def _talk(self, channel: Channel, number: int) -> None:
        with contextlib.suppress(PeerGoneError, OSError):
            self._script(channel, number)
        channel.finish()


# --- time that the test moves ------------------------------------------------------------------------------------------


class Clock:
    """A clock that moves only when something sleeps or waits."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Stop:
    """Stops us at a moment of the test's clock, or never."""

    def __init__(self, clock: Clock, at: float = float("inf")) -> None:
        self.slept: list[float] = []
        self._clock = clock
        self._at = at

    def check(self) -> None:
        if self._clock.now >= self._at:
            self._at = float("inf")
            raise Interrupted(signal.SIGTERM, "stopped by SIGTERM")

    @contextlib.contextmanager
    def open(self) -> Iterator[None]:
        self.check()
        yield

    def sleep(self, seconds: float) -> None:
        assert seconds >= 0
        self.slept.append(seconds)
        self._clock.now += min(seconds, max(0.0, self._at - self._clock.now))
        self.check()


@dataclass
class Watcher(Observer):
    """Remembers what an observer is told."""

    links: list[tuple[StreamState, str]] = field(default_factory=list)
    troubles: list[ApprovalError] = field(default_factory=list)
    questions: list[SubmittedRequest] = field(default_factory=list)
    withdrawals: list[str] = field(default_factory=list)
    heads: list[Head] = field(default_factory=list)
    progressed: list[ApprovalProgress] = field(default_factory=list)
    ticks: int = 0
    on_asked: Callable[[SubmittedRequest], object] | None = None
    on_withdrawing: Callable[[], object] | None = None

    def link(self, link: StreamState, why: str) -> None:
        self.links.append((link, why))

    def trouble(self, failure: ApprovalError) -> None:
        self.troubles.append(failure)

    def tick(self) -> None:
        self.ticks += 1
        assert self.ticks < 5000, "the wait spins"

    def progress(self, progress: ApprovalProgress) -> None:
        self.progressed.append(progress)

    def asked(self, submitted: SubmittedRequest) -> None:
        self.questions.append(submitted)
        if self.on_asked is not None:
            self.on_asked(submitted)

    def recorded(self, head: Head) -> None:
        self.heads.append(head)

    def withdrawing(self, why: str) -> None:
        self.withdrawals.append(why)
        if self.on_withdrawing is not None:
            self.on_withdrawing()


# --- the contract, in memory -------------------------------------------------------------------------------------------

Said = tuple[float, Event | Exception | None]


class Stream:
    """A subscription that says things at moments of the test's clock."""

    def __init__(self, clock: Clock, script: list[Said]) -> None:
        self.closed = False
        self._clock = clock
        self._script = deque(script)

    def next(self, timeout: float) -> Event | None:
        assert timeout >= 0
        assert not self.closed
        if not self._script or self._script[0][0] > self._clock.now + timeout:
            self._clock.now += timeout
            return None
        at, said = self._script.popleft()
        self._clock.now = max(at, self._clock.now)
        if isinstance(said, Exception):
            raise said
        return said

    def close(self) -> None:
        self.closed = True


Scripted = list[object]
"""Answers in their order, the last one again and again; an error is raised."""


def _next(script: Scripted) -> object:
    said = script.pop(0) if len(script) > 1 else script[0]
    if callable(said):
        said = said()
    if isinstance(said, BaseException):
        raise said
    return said


class Contract:
    """A platform that answers as the test says, and remembers when it was called.

    Attributes:
        calls: name and moment of every call.
        taken_back: ids of withdrawn questions.
        sent: requests that were submitted.
        read: questions that were read.
        given: seconds that each submission and each search had.

    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self.given: list[float] = []
        self.calls: list[tuple[str, float]] = []
        self.taken_back: list[str] = []
        self.sent: list[ApprovalRequest] = []
        self.read: list[SubmittedRequest] = []
        self.submits: Scripted = [submitted()]
        self.finds: Scripted = [None]  # a row, several, or none
        self.shows: Scripted = [Sighting(row())]
        self.streams: Scripted = [ApprovalError("there is no stream")]
        self.withdrawals: Scripted = [Withdrawal(withdrawn=True, ended_before=False)]
        self.verifies: Scripted = [False]
        self.gives: Scripted = [True]
        self.receipts: Scripted = [{}]
        self.opened: list[Stream] = []
        self.named: list[str | None] = []
        self.kind = Stream
        self.clock = clock

    def _called(self, name: str) -> None:
        self.calls.append((name, self.clock()))

    def times(self, name: str) -> list[float]:
        """When a call came."""
        return [at for called, at in self.calls if called == name]

    def submit(self, request: ApprovalRequest, deadline: Deadline) -> SubmittedRequest:
        self._called("submit")
        self.given.append(deadline.left())
        self.sent.append(request)
        found = _next(self.submits)
        assert isinstance(found, SubmittedRequest)
        return found

    def find(self, request: ApprovalRequest, deadline: Deadline) -> list[Approval]:
        self._called("find")
        self.given.append(deadline.left())
        found = _next(self.finds)
        if isinstance(found, Approval):
            return [found]
        assert found is None or isinstance(found, list)
        return found or []

    def fetch(self, submitted: SubmittedRequest, deadline: Deadline) -> Sighting:
        self._called("fetch")
        self.read.append(submitted)
        found = _next(self.shows)
        assert isinstance(found, Sighting)
        return found

    def verifies_approvers(self, deadline: Deadline) -> bool:
        self._called("verifies")
        return _next(self.verifies) is True

    def gives_receipts(self, deadline: Deadline) -> bool:
        self._called("gives")
        return _next(self.gives) is True

    def receipt(self, approval_id: str, deadline: Deadline) -> dict[str, JsonValue]:
        self._called("receipt")
        found = _next(self.receipts)
        assert isinstance(found, dict)
        return found

    def watch(self, deadline: Deadline, approval_id: str | None = None) -> Stream:
        self._called("watch")
        self.named.append(approval_id)
        script = _next(self.streams)
        assert isinstance(script, list)
        assert isinstance(self.clock, Clock)
        self.opened.append(self.kind(self.clock, script))
        return self.opened[-1]

    def withdraw(self, submitted: SubmittedRequest, deadline: Deadline) -> Withdrawal:
        self._called("withdraw")
        self.taken_back.append(submitted.approval_id)
        found = _next(self.withdrawals)
        assert isinstance(found, Withdrawal)
        return found

    def list_requests(self, deadline: Deadline) -> list[Approval]:
        raise AssertionError("nobody here lists")

    def decide(self, submitted: SubmittedRequest, decision: Status, comment: str | None, deadline: Deadline) -> None:
        raise AssertionError("nobody here decides")

    def interrupt(self) -> None:
        self._called("interrupt")

    def close(self) -> None:
        self._called("close")
