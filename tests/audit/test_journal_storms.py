"""Several write at once, and some of them are killed, hang, or are no tools of ours: what was acknowledged stays."""

from __future__ import annotations

import itertools
import os
import random
import select
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from molecule_approve.audit import files
from molecule_approve.audit.journal import Journal
from molecule_approve.audit.record import Record
from molecule_approve.cli.main import main
from molecule_approve.errors import AuditError, Interrupted
from tests.audit import standing
from tests.audit.crew import Crew, is_whole

MakeRecord = Callable[..., Record]
Chained = Callable[[Path], list[dict[str, Any]]]
Before = Callable[[object, Callable[[], None]], AbstractContextManager[None]]
MakeChild = Callable[..., Any]

WRITER = """
import sys
from pathlib import Path
from molecule_approve.audit.journal import Journal
from molecule_approve.audit.record import Record
journal = Journal(Path(sys.argv[1]))
name = sys.argv[2]
for number in range(int(sys.argv[3])):
    record = Record("t", "approval", "ws", name, "approve", "x" * (number % 700), "initiated", f"{name}-{number}", {})
    head = journal.append(record, patience=60)
    print(head.seq, f"{name}-{number}", head.hash, flush=True)
"""


def acknowledged(text: str) -> list[tuple[int, str, str]]:
    """What a writer was told to be safe: number, trace and hash. A half last line was not told."""
    return [(int(seq), trace, digest) for seq, trace, digest in (line.split() for line in text.split("\n")[:-1])]


def test_many_processes_lose_double_and_reorder_nothing(
    log: Path, chained: Chained, child: MakeChild, journal: Journal
) -> None:
    """Four writers at once: every acknowledged record stands exactly once, with the number and hash it was told."""
    writers = [child(WRITER, log, f"w{number}", 40) for number in range(4)]
    told = []
    for writer in writers:
        code, out, err = writer.finish()
        assert (code, err) == (0, "")
        told += acknowledged(out)
    found = chained(log)
    assert sorted((seq, trace) for seq, trace, _ in told) == [(fields["seq"], fields["trace_id"]) for fields in found]
    for number in range(4):
        mine = [fields["trace_id"] for fields in found if fields["actor"] == f"w{number}"]
        assert mine == [f"w{number}-{count}" for count in range(40)]
    assert is_whole(log)


class Storm:
    """Writers that are killed at random, and started again; a rotation by hand in between."""

    def __init__(self, log: Path, *, seed: int, what: str, writers: int) -> None:
        self._log = log
        self._random = random.Random(seed)
        self._what = what
        self._writers = writers
        self._names = itertools.count()
        self.kills = 0

    def rage(self, seconds: float) -> list[dict[str, Any]]:
        """For so long; what was acknowledged: a whole line that came through a writer's stdout."""
        with Crew() as crew:
            running = [self._started(crew) for _ in range(self._writers)]
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                crew.listen(self._random.uniform(0, 0.03))
                place = self._random.randrange(self._writers)
                os.kill(running[place], signal.SIGKILL)
                running[place] = self._started(crew)
                self.kills += 1
                if self.kills % 10 == 0:
                    assert main(["audit", "rotate", "--audit-log", str(self._log)]) in {0, 125}  # 125: nothing to rotate
            for writer in running:
                os.kill(writer, signal.SIGKILL)
            crew.dismissed()
            return crew.said

    def _started(self, crew: Crew) -> int:
        # Most live long enough to write some; some die before their first.
        pause = self._random.choice([0, 0, 0.002])
        crew.order(
            do="storm", log=self._log, limit=20_000, what=self._what, name=f"k{next(self._names)}", patience=30, pause=pause
        )
        return crew.started()


def outlive(log: Path, seconds: float, *, seed: int, what: str, key: str = "") -> None:
    """A storm, and what must stand after it."""
    storm = Storm(log, seed=seed, what=what, writers=4)
    told = storm.rage(seconds)
    sys.stdout.write(f"seed {seed}: {storm.kills} kills, {len(told)} records were acknowledged\n")
    assert all("seq" in one for one in told), [one for one in told if "seq" not in one]
    Journal(log).append(Record("t", "approval", "ws", "ws", "approve", "x", "initiated", "after"), patience=1)
    found = standing.history(log)
    standing.keeps(found, told)
    assert len(told) > 10 * seconds
    assert len(found) - len(told) <= 2 * storm.kills + 10, "more stands there than was written"
    assert {record.fields["reason"] for record in found if "reason" in record.fields} <= {"torn_line"}
    for name in {one["mark"].split("-")[0] for one in told}:
        mine = [record.fields["mark"] for record in found if record.fields["actor"] == name]
        assert mine == [f"{name}-{number}" for number in range(len(mine))]
    if key:
        standing.check_seals(found, key)
    assert is_whole(log)


def test_killed_writers_lose_nothing_that_was_acknowledged(log: Path) -> None:
    """Three seconds of requests and grants by four writers that are killed at random, with rotations by size and by hand."""
    outlive(log, 3, seed=int(os.environ.get("STORM_SEED", "4")), what="requests")


@pytest.mark.soak
@pytest.mark.timeout(300)
@pytest.mark.parametrize("sealed", [False, True])
def test_a_minute_of_killed_writers(log: Path, *, sealed: bool) -> None:
    """The same for sixty seconds; and once more on a sealed log, whose seals all hold."""
    key = ""
    if sealed:
        first = Record("t", "audit", "ws", "ws", "init", "audit.jsonl", "success", "first", {"sealing": "hmac-sha256"})
        key = Journal(log).init(first, new_key=False, patience=0).to_text()
    outlive(log, 60, seed=int(os.environ.get("STORM_SEED", "60")), what="requests", key=key)


def test_threads_share_a_journal(journal: Journal, log: Path, make: MakeRecord, chained: Chained) -> None:
    """Threads of one process are kept apart like processes."""

    def write() -> None:
        for _ in range(20):
            journal.append(make(), patience=30)

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(chained(log)) == 80


def test_a_memory_that_cannot_be_written_does_not_undo_a_durable_record(
    journal: Journal, log: Path, make: MakeRecord, before: Before
) -> None:
    """The record stands; the log is ahead of its memory, which is normal."""
    journal.append(make(), patience=0)
    remembered = files.recall(log)

    def take_the_memory_away() -> None:
        files.head_path(log).unlink(missing_ok=True)
        files.head_path(log).symlink_to("elsewhere")

    with before(os.fsync, take_the_memory_away):
        head = journal.append(make(), patience=0)
    assert head.seq == 2
    files.head_path(log).unlink()
    assert remembered is not None
    assert journal.head() == head


def test_a_rename_between_open_and_write_loses_nothing(
    journal: Journal, log: Path, make: MakeRecord, before: Before, chained: Chained
) -> None:
    """Like logrotate in that very moment: the record stands in the file that has the log's name, with the same bytes."""
    journal.append(make(), patience=0)
    moved: list[None] = []

    def rename_once() -> None:
        if not moved:
            log.rename(log.with_name("audit.jsonl.1"))
            moved.append(None)

    with before(os.write, rename_once):
        journal.append(make(number=2), patience=0)
    old, new = log.with_name("audit.jsonl.1").read_bytes(), log.read_bytes()
    assert old.endswith(b"\n" + new)
    assert new.count(b"\n") == 1
    assert len(chained(log.with_name("audit.jsonl.1"))) == 2
    assert journal.append(make(), patience=0).seq == 3


def test_a_log_that_is_renamed_again_and_again_is_an_error(
    journal: Journal, log: Path, make: MakeRecord, before: Before
) -> None:
    """Writing again has an end, and the sentence says what to look for."""
    journal.append(make(), patience=0)

    def rename() -> None:
        if log.exists():
            log.rename(log.with_name("moved"))

    with (
        before(os.write, rename),
        pytest.raises(AuditError, match="keeps renaming it") as caught,
    ):
        journal.append(make(), patience=0)
    assert "other program" in caught.value.hint


def test_a_file_that_may_not_grow_refuses_and_its_torn_tail_is_closed_later(
    journal: Journal, log: Path, make: MakeRecord, child: MakeChild, chained: Chained
) -> None:
    """A disk that takes half a record: no acknowledgement, nothing lost before it, and the next append closes the rest."""
    journal.append(make(), patience=0)
    writer = child(
        """
        import resource, sys
        from pathlib import Path
        from molecule_approve.audit.journal import Journal
        from molecule_approve.audit.record import Record
        from molecule_approve.errors import AuditError
        log = Path(sys.argv[1])
        size = log.stat().st_size + 100
        limit = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, limit[1]))
        try:
            Journal(log).append(Record("t", "approval", "ws", "ws", "approve", "x", "initiated", "i", {}), patience=0)
        except AuditError as error:
            print(error.message, "|", error.hint)
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        """,
        log,
    )
    assert "cannot be written: File too large | the file size limit is reached" in writer.line()
    assert len(chained(log)) == 1
    assert not log.read_bytes().endswith(b"\n")
    journal.append(make(), patience=0)
    assert [fields.get("reason") for fields in chained(log)] == [None, "torn_line", None]
    assert is_whole(log)


def test_a_lock_that_another_process_holds_is_not_waited_for_beyond_patience(
    journal: Journal, log: Path, make: MakeRecord, child: MakeChild
) -> None:
    """While another process holds the lock, an append ends after its patience, or by what the pause raises."""
    holder = child(
        """
        import sys
        from pathlib import Path
        from molecule_approve.audit import locking
        from molecule_approve.clock import boottime
        with locking.locked(Path(sys.argv[1]), patience=0, pause=print, clock=boottime):
            print("held", flush=True)
            sys.stdin.readline()
        """,
        log,
    )
    assert holder.line() == "held"
    with pytest.raises(AuditError, match=r"cannot lock .* within 0\.05 s"):
        journal.append(make(), patience=0.05)

    def interrupted(seconds: float) -> None:
        raise Interrupted(2, "stopped")

    with pytest.raises(Interrupted):
        journal.append(make(), patience=5, pause=interrupted)
    assert not log.exists()

    def let_go(seconds: float) -> None:
        holder.go()
        select.select([holder.process.stdout], [], [], 10)

    assert journal.append(make(), patience=60, pause=let_go).seq == 1


def test_of_many_grants_at_once_one_wins(log: Path, child: MakeChild, chained: Chained) -> None:
    """One hold of the lock covers the search and the append: eight processes, one approval, one 0."""
    takers = [
        child(
            """
            import sys
            from pathlib import Path
            from molecule_approve.audit.journal import Journal
            from molecule_approve.audit.record import Record
            from molecule_approve.errors import UsedError
            record = Record("t", "approval", "ws", "alice", "approve", "x", "granted", sys.argv[2], {"approval_id": "a-1"})
            print("ready", flush=True)
            sys.stdin.readline()
            try:
                Journal(Path(sys.argv[1])).grant(record, approval_id="a-1", patience=60)
                print("won")
            except UsedError:
                print("lost")
            """,
            log,
            f"t{number}",
        )
        for number in range(8)
    ]
    for taker in takers:
        assert taker.line() == "ready"
    for taker in takers:
        taker.go()
    assert sorted(taker.finish()[1] for taker in takers) == ["lost\n"] * 7 + ["won\n"]
    assert len(chained(log)) == 1
