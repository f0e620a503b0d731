"""Keeps the pending requests up to date, in a thread: reads on each event of the stream, and on a timer. Nothing draws here.

Events are hints and REST is the truth, as in the wait: the state is always what was read.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, NamedTuple

from molecule_approve.client.reconnect import ReconnectingStream, StreamState
from molecule_approve.client.retry import WaitPolicy
from molecule_approve.clock import Deadline, boottime, fraction
from molecule_approve.errors import ApprovalError, UnavailableError, ours

from .options import READ

if TYPE_CHECKING:
    from molecule_approve.client.inbox import PendingList
    from molecule_approve.client.platform import Platform

    from .pending_list import PendingRequests

APART = 1.0
"""Seconds between two reads, however many events come."""

SLOW = 15.0
"""Seconds between reads while the stream is open: events get lost, and those of other workspaces do not come."""

CLOSING = 1.0
"""Seconds to wait for the thread's end; it ends with the process anyway."""


class State(NamedTuple):
    """The latest state.

    Attributes:
        queue: the requests as last read, or None before the first read.
        live: whether the stream is open.
        trouble: why the last read failed; empty if it did not.
    """

    queue: PendingList | None = None
    live: bool = False
    trouble: str = ""


class Feed:
    """The pending requests, kept up to date; ``listen`` says whether to open the platform's event stream.

    ``interval`` are the seconds between reads without a stream; at least one.
    """

    def __init__(self, pending: PendingRequests, platform: Platform, *, listen: bool, interval: float) -> None:
        self._pending = pending
        self._platform = platform
        self._interval = max(APART, interval)
        self._state = State()
        self._failure: ApprovalError | None = None
        self._stream = ReconnectingStream(platform, self._link, enabled=listen, policy=WaitPolicy(), random=fraction)
        self._last_read = self._not_before = 0.0
        self._news = threading.Event()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="feed", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def wait(self, seconds: float) -> State:
        """The state once it has changed, or after that many seconds.

        Raises:
            ApprovalError: the first read failed.
        """
        self._news.wait(seconds)
        self._news.clear()
        if self._failure is not None:
            raise self._failure
        return self._state

    def close(self) -> None:
        """Stop reading."""
        self._over.set()
        self._platform.interrupt()
        self._thread.join(CLOSING)

    # --- in the thread -------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._read()
            while not self._over.is_set():
                self._step()
        except Exception as exc:  # noqa: BLE001 - whoever waits tells it
            self._failure = ours(exc)
            self._news.set()

    def _step(self) -> None:
        if not self._stream.connect_if_due(Deadline.after(READ)):
            self._stream.listen(SLOW if self._state.live else self._interval, self._over.wait)
        self._over.wait(max(0.0, max(self._last_read + APART, self._not_before) - boottime()))
        if self._over.is_set():
            return
        try:
            self._read()
        except ApprovalError as exc:
            asked = exc.retry_after if isinstance(exc, UnavailableError) else None
            self._not_before = boottime() + (asked or 0.0)
            self._tell(self._state._replace(trouble=exc.message))

    def _read(self) -> None:
        self._last_read = boottime()
        self._tell(self._state._replace(queue=self._pending.read(Deadline.after(READ)), trouble=""))

    def _tell(self, state: State) -> None:
        if state != self._state:
            self._state = state
            self._news.set()

    def _link(self, state: StreamState, _why: str) -> None:
        self._tell(self._state._replace(live=state is StreamState.LIVE))
