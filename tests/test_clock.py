"""clock.py: one clock for waiting, one for writing down."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime

import pytest

from molecule_approve.clock import Deadline, Steady, boottime, fraction, utc_now


class Hands:
    """A clock whose hands a test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_the_waiting_clock_is_the_one_that_counts_sleep() -> None:
    """CLOCK_BOOTTIME, read between two readings of it."""
    before = time.clock_gettime(time.CLOCK_BOOTTIME)
    found = boottime()
    assert before <= found <= time.clock_gettime(time.CLOCK_BOOTTIME)


def test_the_wall_clock_is_written_in_utc_with_microseconds() -> None:
    """RFC 3339, and it is now."""
    before = datetime.now(UTC)
    text = utc_now()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", text)
    assert before <= datetime.fromisoformat(text) <= datetime.now(UTC)


@pytest.mark.parametrize(
    ("now", "left", "overdue", "passed"),
    [(100.0, 5.0, -5.0, False), (104.5, 0.5, -0.5, False), (105.0, 0.0, 0.0, True), (109.0, 0.0, 4.0, True)],
)
def test_a_deadline_tells_how_far_it_is(now: float, left: float, overdue: float, *, passed: bool) -> None:
    """What is left is never negative; the moment itself counts as passed."""
    clock = Hands()
    deadline = Deadline.after(5.0, clock)
    clock.now = now
    assert (deadline.left(), deadline.overdue(), deadline.passed()) == (left, overdue, passed)


def test_a_deadline_can_be_capped_but_not_put_off() -> None:
    """The sooner of the two, on the same clock."""
    clock = Hands()
    deadline = Deadline.after(5.0, clock)
    assert deadline.capped(2.0) == Deadline(102.0, clock)
    assert deadline.capped(60.0) == deadline


def test_a_deadline_is_on_the_waiting_clock_by_itself() -> None:
    """Nobody has to name it."""
    deadline = Deadline.after(60.0)
    assert deadline.clock is boottime
    assert 59.0 < deadline.left() <= 60.0


def test_jitter_is_a_fraction_that_differs() -> None:
    """At least 0, less than 1, and not always the same."""
    found = [fraction() for _ in range(100)]
    assert all(0.0 <= value < 1.0 for value in found)
    assert len(set(found)) > 50


def test_a_clock_that_is_set_back_goes_on_as_if_it_had_not_been() -> None:
    """A jump forward counts at once, and is never taken back."""
    wall, clock = Hands(), Hands()
    steady = Steady(wall, clock)
    found = []
    for wall_now, clock_now in (
        (1_000.0, 100.0),
        (1_005.0, 105.0),
        (400.0, 106.0),
        (401.0, 107.0),
        (5_000.0, 108.0),
        (402.0, 110.0),
    ):
        wall.now, clock.now = wall_now, clock_now
        found.append(steady())
    assert found == [1_000.0, 1_005.0, 1_006.0, 1_007.0, 5_000.0, 5_002.0]
