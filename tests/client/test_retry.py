"""What is worth another try, and after how long."""

from __future__ import annotations

import heapq
import itertools
from random import Random

import pytest

from molecule_approve.client.retry import SubmitPolicy, WaitPolicy, backoff, spread, submit_window, wait_window
from molecule_approve.errors import (
    ApprovalError,
    CredentialError,
    ProtocolError,
    RejectedError,
    UnavailableError,
)

SUBMIT, WAIT = SubmitPolicy(), WaitPolicy()


@pytest.mark.parametrize(("random", "expected"), [(0.0, [0.5, 1.0, 1.5, 1.5]), (0.5, [0.75, 1.5, 2.25, 2.25])])
def test_backoff_doubles_up_to_its_bound(random: float, expected: list[float]) -> None:
    """Each pause is between half and the whole of a bound that doubles up to the most."""
    assert list(itertools.islice(backoff(1.0, 3.0, lambda: random), 4)) == expected


@pytest.mark.parametrize(
    ("failure", "window"),
    [
        (UnavailableError("away"), 30.0),
        (UnavailableError("no answer in time", slow=True), 180.0),
        (UnavailableError("refused", status=500), 10.0),
        (UnavailableError("busy", status=429), 30.0),
        (CredentialError("no", status=401), 5.0),
        (CredentialError("no", status=401, token_sent=False), 0.0),
        (CredentialError("no", status=403), 0.0),
        (RejectedError("no", status=400), 0.0),
        (ProtocolError("what?"), 0.0),
    ],
)
def test_submit_window(failure: ApprovalError, window: float) -> None:
    """What may pass is tried again for a while, a 401 for a short one; the rest is final."""
    assert submit_window(failure, SUBMIT) == window


@pytest.mark.parametrize(
    ("failure", "accepted", "window"),
    [
        (UnavailableError("away"), False, None),
        (UnavailableError("away", status=500), True, None),
        (CredentialError("no", status=401), True, None),
        (CredentialError("no", status=401), False, 5.0),
        (CredentialError("no", status=401, token_sent=False), False, 0.0),
        (CredentialError("no", status=403), True, 0.0),
        (ProtocolError("what?"), True, 0.0),
    ],
)
def test_wait_window(failure: ApprovalError, accepted: bool, window: float | None) -> None:
    """A wait outlasts every outage, and a 401 once the token was taken; the rest ends it."""
    assert wait_window(failure, WAIT, accepted=accepted) == window


@pytest.mark.parametrize(
    ("asked", "left", "chance", "pause"),
    [
        (3.0, 30.0, 0.5, 4.0),
        (3.0, 30.0, 0.0, 3.0),
        (28.5, 30.0, 1.0, 29.0),
        (29.5, 30.0, 1.0, 29.5),
        (30.0, 30.0, 1.0, 30.0),
        (59.0, 30.0, 0.0, 58 / 3),
        (59.0, 30.0, 1.0, 29.0),
        (61.0, 30.0, 1.0, None),
        (3.0, 1.0, 0.5, None),
    ],
)
def test_a_pause_of_many(asked: float, left: float, chance: float, pause: float | None) -> None:
    """What is asked is waited, with up to the bound more; it leaves room to try, and gives up only where nothing is left."""
    assert spread(asked, left, 2.0, SUBMIT, lambda: chance) == (None if pause is None else pytest.approx(pause))


def test_three_hundred_starts_get_through() -> None:
    """300 commands that start within 25 s all ask within their 30 s, where the platform takes ten a second.

    Those that are refused are all told to come back in a second.
    """
    chance = Random(7).random
    tokens, last, served = 10.0, 0.0, 0
    queue = [(number / 12, number, number / 12, SUBMIT.crowd) for number in range(300)]
    while queue:
        now, number, started, bound = heapq.heappop(queue)
        tokens, last = min(10.0, tokens + (now - last) * 10), now
        if tokens >= 1:
            tokens, served = tokens - 1, served + 1
            continue
        pause = spread(1.0, started + SUBMIT.total - now, bound, SUBMIT, chance)
        assert pause is not None, f"number {number} gave up"
        heapq.heappush(queue, (now + pause, number, started, bound * 2))
    assert served == 300
