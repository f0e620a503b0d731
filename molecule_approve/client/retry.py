"""Pure: is this failure worth another try, and after how long. Policy is a value; nobody here waits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from molecule_approve.errors import ApprovalError, CredentialError, UnavailableError

Random = Callable[[], float]
"""A number in [0, 1), drawn anew at each call."""


def backoff(first: float, most: float, random: Random) -> Iterator[float]:
    """Seconds to pause before each further try: doubling up to a bound, each between half and the whole of it.

    The jitter keeps many clients of a platform that comes back from asking in the same moment.
    """
    bound = first
    while True:
        yield bound * (0.5 + random() / 2)
        bound = min(most, bound * 2)


def spread(wait: float, left: float, bound: float, policy: SubmitPolicy, random: Random) -> float | None:
    """Seconds to pause where the platform has too many callers, or says how long to wait; None to give up.

    Many who are told the same moment must not come back in it: what is asked is waited, and up to ``bound`` more, but
    never so long that no time is left to try. Where more is asked than there is left, up to a minute (a rate limit
    counts by the minute, and others may leave), the tries are the last ones; beyond that none is made.

    Args:
        wait: Retry-After, or the pause that would be made without one.
        left: seconds until the last moment at which a try may begin.
        bound: the most to add.
        policy: the submission's policy.
        random: chance.

    """
    room = left - policy.room
    if wait <= left:
        return wait + random() * min(bound, max(0.0, room - wait))
    if wait > policy.patience or room <= 0:
        return None
    return room * (2 + random()) / 3


class SubmitPolicy(NamedTuple):
    """How hard to try to ask. All in seconds.

    Attributes:
        total: no try begins after this.
        attempt: the most that one try may take.
        credential: how long a 401 is tried again: the platform says it to a good token while its database is away.
        refused: how long a 500 is tried again, which also stands for an unknown workspace.
        first, most: the pauses between tries.
        crowd: the most that is first added to a pause so that many callers spread; it doubles with each.
        room: what such a pause leaves for the try.
        patience: the longest Retry-After that is worth a try although it is longer than the time left.

    """

    total: float = 30.0
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
        poll_interval: between reads where there is no stream.
        slow_read: between reads while the stream is open: events get lost, and nothing is replayed.
        burst: how many reads may follow one another at once; one a second otherwise.
        read: the most that one read may take.
        open: the most that one handshake of the stream may take.
        settled: a stream that lasted so long was a good one, and the next pause is short again.
        first, most: the pauses between reconnects; never less than one second.
        credential: how long a 401 is tried again before the token was ever accepted.
        tick: the longest sleep, so that a suspended machine, a gone reader and a signal are noticed.

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
    """For how many seconds after the first try this failure is worth another one; 0 where it is final."""
    match failure:
        case UnavailableError(status=500):
            return policy.refused
        case UnavailableError():
            return policy.total
        case CredentialError(status=401, token_sent=True):
            return policy.credential
        case _:
            return 0.0


def wait_window(failure: ApprovalError, policy: WaitPolicy, *, accepted: bool) -> float | None:
    """For how long a failing read is worth another one: None is as long as the deadline allows, 0 is not at all.

    Args:
        failure: what the read raised.
        policy: the wait's policy.
        accepted: whether the platform took this very token before; a 401 is then a fault like any other.

    """
    match failure:
        case UnavailableError():
            return None
        case CredentialError(status=401, token_sent=True):
            return None if accepted else policy.credential
        case _:
            return 0.0
