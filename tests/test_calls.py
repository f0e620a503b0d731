"""A gate in a thread: what stops it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, cast

import pytest

from molecule_approve.calls import ThreadStop
from molecule_approve.errors import Interrupted
from tests.callers import PATIENCE

if TYPE_CHECKING:
    from molecule_approve.client.platform import Platform


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


def test_a_stop_is_seen_once_the_call_in_progress_is_interrupted() -> None:
    """Not before: what withdraws the request would be interrupted too."""
    stop, begun, seen = ThreadStop(), threading.Event(), threading.Event()
    order: list[str] = []

    class Interrupting:
        def interrupt(self) -> None:
            begun.set()
            seen.wait(0.2)
            order.append("interrupted")

    def work() -> None:
        begun.wait(PATIENCE)
        with pytest.raises(Interrupted):
            stop.check()
        order.append("stopped")
        seen.set()

    stop.watch(cast("Platform", Interrupting()))
    worker = threading.Thread(target=work)
    worker.start()
    stop.pull()
    worker.join(PATIENCE)
    assert order == ["interrupted", "stopped"]
