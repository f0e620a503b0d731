"""Pure: whether a failure is worth a retry, and after how long. Policy is a value; nothing here waits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from molecule_approve.errors import ApprovalError, CredentialError, UnavailableError

Random = Callable[[], float]
"""Returns a new random number in [0, 1) at each call."""


def backoff(first: float, most: float, random: Random) -> Iterator[float]:
    """Seconds to pause before each retry: a bound that doubles up to a maximum, and a random half of it less.

    The jitter spreads the clients of a platform that comes back.
    """
    bound = first
    while True:
        yield bound * (0.5 + random() / 2)
        bound = min(most, bound * 2)


def spread(wait: float, left: float, bound: float, policy: SubmitPolicy, random: Random) -> float | None:
    """Seconds to pause after a 429 or a Retry-After; None to give up.

    Clients that are told the same moment must not all come back in it: the pause is what was asked and up to ``bound``
    more, but leaves time for the try. If more is asked than is left, up to a minute (rate limits count by the minute, and
    other clients may give up), one last try is made; beyond that none.

    ``wait`` is the Retry-After, or the pause without one; ``left`` are the seconds until the last moment for a try to begin.
    """
    room = left - policy.room
    if wait <= left:
        return wait + random() * min(bound, max(0.0, room - wait))
    if wait > policy.patience or room <= 0:
        return None
    return room * (2 + random()) / 3


class SubmitPolicy(NamedTuple):
    """How to retry a submission. All in seconds.

    Attributes:
        total: no try begins after this.
        slow: nor after this, while the platform takes connections and answers late: hundreds of commands that start at
            once on its own machine may keep it from the processor for a minute or two, and each is answered in the end.
        attempt: the longest that one try may take; twice as long after each that a slow platform did not answer, which has
            to work on every one of them.
        credential: how long a 401 is retried: the platform answers it to a valid token while its database is away.
        refused: how long a 500 is retried, which is also the answer for an unknown workspace.
        first, most: the shortest and longest pause between tries.
        crowd: the most that is first added to a pause to spread many clients; it doubles each time.
        room: the time that such a pause leaves for the try.
        patience: the longest Retry-After that is worth a try although less time is left.
    """

    total: float = 30.0
    slow: float = 180.0
    attempt: float = 10.0
    credential: float = 5.0
    refused: float = 10.0
    first: float = 0.25
    most: float = 4.0
    crowd: float = 2.0
    room: float = 1.0
    patience: float = 60.0


class WaitPolicy(NamedTuple):
    """How to wait. All in seconds.

    Attributes:
        poll_interval: between reads without a stream.
        slow_read: between reads while the stream is open: events can get lost.
        burst: how many reads may follow one another at once; otherwise one a second.
        read: the longest that one read may take.
        open: the longest that one handshake of the stream may take.
        settled: after a stream that lasted so long, the next pause is short again.
        first, most: the shortest and longest pause between reconnects; at least one second.
        credential: how long a 401 is retried before the token was ever accepted.
        tick: the longest sleep, so that a suspended machine, a closed reader and a signal are noticed.
    """

    poll_interval: float = 5.0
    slow_read: float = 30.0
    burst: int = 3
    read: float = 10.0
    open: float = 5.0
    settled: float = 10.0
    first: float = 1.0
    most: float = 30.0
    credential: float = 5.0
    tick: float = 2.0


def submit_window(failure: ApprovalError, policy: SubmitPolicy) -> float:
    """For how many seconds after the first try this failure is worth a retry; 0 if it is final."""
    match failure:
        case UnavailableError(slow=True):
            return policy.slow
        case UnavailableError(status=500):
            return policy.refused
        case UnavailableError():
            return policy.total
        case CredentialError(status=401, token_sent=True):
            return policy.credential
        case _:
            return 0.0


def wait_window(failure: ApprovalError, policy: WaitPolicy, *, accepted: bool) -> float | None:
    """For how many seconds a failing read is worth a retry; None for as long as the deadline allows, 0 for not at all.

    If the platform ``accepted`` this token before, a 401 is temporary.
    """
    match failure:
        case UnavailableError():
            return None
        case CredentialError(status=401, token_sent=True):
            return None if accepted else policy.credential
        case _:
            return 0.0
