"""Work in several processes: its results in order, and every end of a process noticed."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from molecule_approve.audit.verify import parallel
from molecule_approve.errors import AuditError

Child = Callable[..., Any]


def _children() -> set[str]:
    """The processes of this one, those included that have ended and were not waited for."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # another's, and gone meanwhile
            if int(path.read_text().rpartition(")")[2].split()[1]) == os.getpid():
                found.add(path.parent.name)
    return found


def test_a_process_that_dies_is_an_error() -> None:
    """Killed, or failed: never a proof. What nobody wants any more is left alone, and no process stays behind."""

    def work(number: int) -> int:
        if number == 5:
            os.kill(os.getpid(), 9)
        return number * number

    before = _children()
    found: list[int] = []
    with pytest.raises(AuditError, match="ended early"):
        found.extend(parallel.in_order(40, work, 2))
    with pytest.raises(AuditError, match="ended early"):
        list(parallel.in_order(4, lambda number: 1 // number, 1))
    results = parallel.in_order(1000, lambda number: b"x" * 100_000 + bytes([number % 256]), 2)
    assert next(results)[-1] == 0
    results.close()  # type: ignore[attr-defined]  # it is a generator
    assert list(parallel.in_order(100, lambda number: number, 3)) == list(range(100))
    assert _children() == before


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


def test_without_processes_the_work_is_done_here(child: Child) -> None:
    """A user who has as many as he may have; root may have any number, and becomes nobody for this."""
    started = child(
        """
        import os, resource
        from molecule_approve.audit.verify import parallel
        if os.geteuid() == 0:
            os.setresuid(65534, 65534, 65534)
        resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
        before = os.listdir("/proc/self/fd")
        found = list(parallel.in_order(9, lambda number: (number, os.getpid()), 3))
        print(found == [(number, os.getpid()) for number in range(9)], os.listdir("/proc/self/fd") == before)
        """,
        measured=False,
    )
    assert started.line() == "True True"


@pytest.mark.measured
def test_with_few_open_files_fewer_processes_do_the_work(child: Child) -> None:
    """Whatever the limit: all results, in order, and nothing stays open."""
    started = child(
        """
        import os, resource
        from molecule_approve.audit.verify import parallel
        least = max(map(int, os.listdir("/proc/self/fd")))
        usual = resource.getrlimit(resource.RLIMIT_NOFILE)
        for more in range(9):
            resource.setrlimit(resource.RLIMIT_NOFILE, (least + more, usual[1]))
            found = list(parallel.in_order(9, lambda number: (number, os.getpid()), 2))
            resource.setrlimit(resource.RLIMIT_NOFILE, usual)
            done = [number for number, _ in found] == list(range(9)) and max(map(int, os.listdir("/proc/self/fd"))) == least
            print(done, len({process for _, process in found} - {os.getpid()}))
        """
    )
    found = [started.line().split() for _ in range(9)]
    assert {done for done, _ in found} == {"True"}
    assert [processes for _, processes in found[:5:4]] == ["0", "1"]


def test_a_process_may_have_many_files_open(child: Child) -> None:
    """More than select(2) can tell apart."""
    started = child(
        """
        import os, resource
        from molecule_approve.audit.verify import parallel
        resource.setrlimit(resource.RLIMIT_NOFILE, (1_100, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
        kept = [os.open("/", os.O_RDONLY) for _ in range(1_050)]
        print(list(parallel.in_order(3, lambda number: number, 2)))
        """
    )
    assert started.line() == "[0, 1, 2]"


def test_a_log_is_proved_where_no_process_is_to_be_had(tmp_path: Path, child: Child) -> None:
    """As whole as with many."""
    log = tmp_path / "audit.jsonl"
    log.write_bytes(b'{"log_id":"ours","seq":1,"prev":"%s"}\n' % (b"0" * 64) + (b"x" * 60_000 + b"\n") * 200)
    tmp_path.chmod(0o755)
    log.chmod(0o644)
    started = child(
        """
        import os, pathlib, resource, sys
        from molecule_approve.audit.verify import parallel, run as verify_run
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(map(int, os.listdir("/proc/self/fd"))) + 3, 1_000))
        found = verify_run.verify_log(pathlib.Path(sys.argv[1]))
        print(found.whole, found.report.covered, found.report.uncovered)
        """,
        log,
        measured=False,
    )
    assert started.line() == "True 1 200"
