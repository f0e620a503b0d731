"""A hook that does not come to its command blocks the call all the same."""

from __future__ import annotations

import threading

from molecule_approve.cli.hook.start import StartWatch


def test_a_start_that_hangs_blocks() -> None:
    """With its exit code, once the time is over."""
    left = threading.Event()
    said: list[object] = []

    def leave(code: int) -> None:
        said.append(code)
        left.set()

    def block(why: str) -> int:
        said.append(why)
        return 2

    StartWatch().begin(block, 0.05, leave)
    assert left.wait(20)
    assert said == ["the hook did not start in time", 2]


def test_a_command_that_has_begun_is_left_alone() -> None:
    """It has a watchdog of its own, which knows the host's limit."""
    said: list[object] = []
    watch = StartWatch()
    before = set(threading.enumerate())
    watch.begin(lambda _: 2, 60, said.append)
    (thread,) = set(threading.enumerate()) - before
    watch.end()
    thread.join(20)
    assert not thread.is_alive()
    assert said == []
