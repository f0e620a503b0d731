"""Work in several processes: its results in order, and every end of a process noticed."""

from __future__ import annotations

import os
import threading

import pytest

from molecule_approve.audit import parallel
from molecule_approve.errors import AuditError


def test_a_process_that_dies_is_an_error() -> None:
    """Killed, or failed: never a proof. What nobody wants any more is left alone, and no process stays behind."""

    def work(number: int) -> int:
        if number == 5:
            os.kill(os.getpid(), 9)
        return number * number

    found: list[int] = []
    with pytest.raises(AuditError, match="ended early"):
        found.extend(parallel.in_order(40, work, 2))
    with pytest.raises(AuditError, match="ended early"):
        list(parallel.in_order(4, lambda number: 1 // number, 1))
    results = parallel.in_order(1000, lambda number: b"x" * 100_000 + bytes([number % 256]), 2)
    assert next(results)[-1] == 0
    results.close()  # type: ignore[attr-defined]  # it is a generator
    assert list(parallel.in_order(100, lambda number: number, 3)) == list(range(100))
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_processes_are_as_many_as_cores_and_none_beside_threads() -> None:
    """A fork copies one thread only: where there are more, we stay alone."""
    over = threading.Event()
    thread = threading.Thread(target=over.wait)
    thread.start()
    try:
        assert parallel.workers() == 1
    finally:
        over.set()
        thread.join()
    assert parallel.workers(1) == 1
