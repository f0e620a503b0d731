"""A gate in a thread: what stops it."""

from __future__ import annotations

import pytest

from molecule_approve.calls import ThreadStop
from molecule_approve.errors import Interrupted


def test_a_stop_before_there_is_a_platform_is_seen_by_the_first_check() -> None:
    """Once: what takes the question back is not stopped again."""
    stop = ThreadStop()
    stop.pull()
    with pytest.raises(Interrupted):
        stop.check()
    stop.check()


def test_a_stop_says_why_it_was_pulled_first() -> None:
    """A second reason comes too late to be one."""
    stop = ThreadStop()
    stop.pull("the client went away")
    stop.pull()
    with pytest.raises(Interrupted, match="the client went away"):
        stop.check()
