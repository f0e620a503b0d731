"""The event stream of a wait: connected, connected again after it broke, or given up. It knows no event's meaning."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING

from molecule_approve.clock import Clock, Deadline, boottime
from molecule_approve.errors import ApprovalError, UnavailableError

from .retry import Random, WaitPolicy, backoff

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from molecule_approve.wire import Event

    from .platform import Platform, Subscription

_NEVER = float("inf")


class StreamState(Enum):
    """How the decision will be noticed."""

    CONNECTING = "connecting"
    LIVE = "live"
    POLLING = "polling"
    RECONNECTING = "reconnecting"


class ReconnectingStream:
    """The event stream. After each connect and each break the caller reads: what happened in between was not heard.

    ``tell`` is told each new state, and why; unless ``enabled``, the state is POLLING for good. ``policy`` has the pauses
    between connects, and how long one may take. ``guard`` surrounds each call that blocks. ``request`` gives the id of the
    only request whose events are of interest; None for all.

    Attributes:
        state: how the decision will be noticed, at this moment.
    """

    def __init__(
        self,
        platform: Platform,
        tell: Callable[[StreamState, str], None],
        *,
        enabled: bool,
        policy: WaitPolicy,
        random: Random,
        clock: Clock = boottime,
        guard: Callable[[], AbstractContextManager[None]] = contextlib.nullcontext,
        request: Callable[[], str | None] = lambda: None,
    ) -> None:
        self.state = StreamState.CONNECTING if enabled else StreamState.POLLING
        self._due = clock() if enabled else _NEVER
        self._platform = platform
        self._tell = tell
        self._policy = policy
        self._random = random
        self._clock = clock
        self._guard = guard
        self._request = request
        self._stream: Subscription | None = None
        self._opened = 0.0
        self._pauses = backoff(policy.first, policy.most, random)

    def connect_if_due(self, deadline: Deadline) -> bool:
        """Try to connect if that is due; True if it was tried."""
        if self._stream is not None or self._clock() < self._due:
            return False
        try:
            with self._guard():
                self._stream = self._platform.watch(deadline.capped(self._policy.open), self._request())
        except UnavailableError as exc:
            self._reconnect_later(exc)
        except Exception as exc:  # noqa: BLE001 - no fault of a stream, or of a library for it, ends a wait
            # It refuses a token that REST takes, or does not exist: reading is enough.
            self._due = _NEVER
            self._change(StreamState.POLLING, _why(exc))
        else:
            self._opened = self._clock()
            self._change(StreamState.LIVE, "")
        return True

    def listen(self, seconds: float, sleep: Callable[[float], object]) -> Event | None:
        """The next event; None after that many seconds, when the stream breaks, or when it is time to connect."""
        if self._stream is None:
            sleep(max(0.0, min(seconds, self._due - self._clock())))
            return None
        try:
            with self._guard():
                return self._stream.next(seconds)
        except Exception as exc:  # noqa: BLE001 - see connect_if_due
            self.close()
            if self._clock() - self._opened > self._policy.settled:
                self._pauses = backoff(self._policy.first, self._policy.most, self._random)
            self._reconnect_later(exc)
            return None

    def close(self) -> None:
        """Close the stream; never raises."""
        stream, self._stream = self._stream, None
        if stream is not None:
            with contextlib.suppress(Exception):
                stream.close()

    def _reconnect_later(self, failure: Exception) -> None:
        asked = failure.retry_after if isinstance(failure, UnavailableError) else None
        self._due = self._clock() + max(1.0, next(self._pauses), asked or 0.0)
        self._change(StreamState.RECONNECTING, _why(failure))

    def _change(self, state: StreamState, why: str) -> None:
        self.state = state
        self._tell(state, why)


def _why(failure: Exception) -> str:
    return failure.message if isinstance(failure, ApprovalError) else f"the event stream failed: {failure!r}"
