"""What is worth another try, and after how long."""

from __future__ import annotations

import itertools

import pytest

from molecule_approve.client.retry import SubmitPolicy, WaitPolicy, backoff, submit_window, wait_window
from molecule_approve.errors import ApprovalError, CredentialError, ProtocolError, RejectedError, UnavailableError

SUBMIT, WAIT = SubmitPolicy(), WaitPolicy()


@pytest.mark.parametrize(("random", "expected"), [(0.0, [0.5, 1.0, 1.5, 1.5]), (0.5, [0.75, 1.5, 2.25, 2.25])])
def test_backoff_doubles_up_to_its_bound(random: float, expected: list[float]) -> None:
    """Each pause is between half and the whole of a bound that doubles up to the most."""
    assert list(itertools.islice(backoff(1.0, 3.0, lambda: random), 4)) == expected


@pytest.mark.parametrize(
    ("failure", "window"),
    [
        (UnavailableError("away"), 30.0),
        (UnavailableError("refused", status=500), 10.0),
        (UnavailableError("busy", status=429), 30.0),
        (CredentialError("no", status=401), 5.0),
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
        (CredentialError("no", status=403), True, 0.0),
        (ProtocolError("what?"), True, 0.0),
    ],
)
def test_wait_window(failure: ApprovalError, accepted: bool, window: float | None) -> None:
    """A wait outlasts every outage, and a 401 once the token was taken; the rest ends it."""
    assert wait_window(failure, WAIT, accepted=accepted) == window
