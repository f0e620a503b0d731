"""Records are appended durably, one after the other, whatever other processes, the disk and other tools do."""

from __future__ import annotations

import hashlib
import json
import os
import re
import select
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from molecule_approve.audit import files
from molecule_approve.audit.chain import Fault, Head
from molecule_approve.audit.journal import Journal
from molecule_approve.audit.record import Record, RecordOutcome
from molecule_approve.errors import AuditError, Interrupted, UsedError
from molecule_approve.model import Secret

MakeRecord = Callable[..., Record]
Chained = Callable[[Path], list[dict[str, Any]]]
Before = Callable[[object, Callable[[], None]], AbstractContextManager[None]]
MakeChild = Callable[..., Any]

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\Z")

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


def test_records_follow_each_other_in_one_chain(journal: Journal, log: Path, make: MakeRecord, chained: Chained) -> None:
    """The first record begins a log with its own random id; each head is what an independent check computes."""
    assert journal.head() is None
    heads = [journal.append(make(number=number), patience=0) for number in range(5)]
    found = chained(log)
    assert [fields["number"] for fields in found] == list(range(5))
    assert UUID.match(heads[0].log_id)
    last = log.read_bytes().split(b"\n")[-2]
    assert heads[-1] == Head(found[0]["log_id"], 5, hashlib.sha256(last).hexdigest())
    assert journal.head() == Journal(log).head() == files.recall(log) == heads[-1]
    assert journal.verify().whole


def test_two_logs_have_two_ids(tmp_path: Path, make: MakeRecord) -> None:
    """A log's id is random."""
    heads = [Journal(tmp_path / name).append(make(), patience=0) for name in ("one", "two")]
    assert heads[0].log_id != heads[1].log_id


def test_secrets_never_reach_the_disk(log: Path, make: MakeRecord) -> None:
    """What the journal was told to be secret stands in no file of the log."""
    Journal(log, secrets=[Secret("s3cret")]).append(make(resource="curl s3cret", error="at s3cret"), patience=0)
    assert all(b"s3cret" not in path.read_bytes() for path in log.parent.iterdir())


def test_lines_of_other_tools_stay_and_the_chain_goes_round_them(
    journal: Journal, log: Path, make: MakeRecord, chained: Chained
) -> None:
    """A log that another tool began, and goes on writing without our lock, holds both, and verifies."""
    log.parent.mkdir(mode=0o700)
    log.write_bytes(b'{"event_type":"memory"}\nplain text\n')
    journal.append(make(), patience=0)
    with log.open("ab") as other:
        other.write(b'{"event_type":"memory","prev":null}\n' * 3_000)
    journal.append(make(), patience=0)
    assert len(chained(log)) == 2
    report = journal.verify()
    assert report.whole
    assert (report.covered, report.uncovered) == (2, 3_002)


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
    assert journal.verify().whole


def test_killed_writers_lose_nothing_that_was_acknowledged(
    log: Path, chained: Chained, child: MakeChild, journal: Journal
) -> None:
    """Writers killed at arbitrary moments of their work leave a log that verifies and holds all that they were told."""
    told: list[tuple[int, str, str]] = []
    for turn in range(6):
        writers = [child(WRITER, log, f"k{turn}{number}", 100_000, measured=False) for number in range(2)]
        spoken = ["".join(f"{writer.line()}\n" for _ in range(3 + 5 * turn)) for writer in writers]
        for writer, said in zip(writers, spoken, strict=True):
            told += acknowledged(said + writer.kill())
    lines = {fields["seq"]: fields["trace_id"] for fields in chained(log)}
    assert len(told) > 50
    assert all(lines[seq] == trace for seq, trace, _ in told)
    assert journal.verify().whole


def test_another_tool_that_writes_without_the_lock_takes_nothing_from_us(
    log: Path, child: MakeChild, journal: Journal, chained: Chained
) -> None:
    """Beside a writer that splits its lines over two calls, every acknowledged record stands on a line of its own."""
    log.parent.mkdir(mode=0o700)
    foreign = child(
        """
        import os, select, sys
        handle = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        print("ready", flush=True)
        while not select.select([sys.stdin], [], [], 0)[0]:
            os.write(handle, b'{"event_type":"memory",')
            os.write(handle, b'"half":2}\\n')
            select.select([sys.stdin], [], [], 0.0005)
        """,
        log,
    )
    assert foreign.line() == "ready"
    told = [
        record
        for writer in [child(WRITER, log, f"w{number}", 60) for number in range(2)]
        for record in acknowledged(writer.finish()[1])
    ]
    foreign.go()
    assert foreign.finish()[0] == 0
    found = {fields["seq"]: fields["trace_id"] for fields in chained(log)}
    assert len(told) == 120
    assert all(found[seq] == trace for seq, trace, _ in told)
    assert journal.verify().whole


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


def test_a_torn_last_line_is_closed_and_named(log: Path, make: MakeRecord, chained: Chained) -> None:
    """Half a line that a power cut left is kept, closed, and named by a record with its place, length and hash."""
    journal = Journal(log, now=lambda: "2026-04-27T11:11:11.000000Z")
    journal.append(make(), patience=0)
    size = log.stat().st_size
    torn = b'{"timestamp":"2026-04'
    with log.open("ab") as file:
        file.write(torn)
    head = journal.append(make(number=2), patience=0)
    _, recover, last = chained(log)
    assert torn + b"\n" in log.read_bytes()
    assert [recover[name] for name in ("event_type", "action", "outcome", "reason")] == [
        "audit",
        "recover",
        "success",
        "torn_line",
    ]
    assert (recover["offset"], recover["length"], recover["timestamp"]) == (size, len(torn), "2026-04-27T11:11:11.000000Z")
    assert recover["digest"] == hashlib.sha256(torn).hexdigest()
    assert (last["number"], last["seq"]) == (2, head.seq) == (2, 3)
    assert journal.verify().whole


def test_a_line_that_lacks_only_its_newline_is_still_a_record(
    journal: Journal, log: Path, make: MakeRecord, chained: Chained
) -> None:
    """Such a line gets its newline and its place in the chain; no record is lost, and none accused."""
    journal.append(make(number=1), patience=0)
    journal.append(make(number=2), patience=0)
    os.truncate(log, log.stat().st_size - 1)
    journal.append(make(number=3), patience=0)
    assert [fields.get("reason", fields.get("number")) for fields in chained(log)] == [1, 2, "torn_line", 3]
    assert journal.verify().whole


def test_a_record_that_was_whole_and_is_torn_now_is_damage(journal: Journal, log: Path, make: MakeRecord) -> None:
    """The remembered head knows that the line had been whole: the record says so, and verify names the gap for good."""
    journal.append(make(), patience=0)
    lost = journal.append(make(), patience=0)
    os.truncate(log, log.stat().st_size - 30)
    assert journal.verify().first_break is not None
    journal.append(make(), patience=0)
    report = journal.verify()
    recover = json.loads(log.read_bytes().split(b"\n")[2])
    assert (recover["reason"], recover["seq"], recover["remembered_seq"], recover["remembered_hash"]) == (
        "damaged",
        3,
        2,
        lost.hash,
    )
    assert recover["found_seq"] == 1
    assert recover["length"] > 100
    assert report.gaps == ((2, 2),)
    assert report.first_break is not None
    assert report.first_break.fault is Fault.MISSING


def test_an_end_that_was_rewritten_is_damage(journal: Journal, log: Path, make: MakeRecord) -> None:
    """A last line with other bytes is not what the next record follows: the chain goes on from what was written."""
    journal.append(make(), patience=0)
    journal.append(make(RecordOutcome.DENIED), patience=0)
    log.write_bytes(log.read_bytes().replace(b"denied", b"denies"))
    journal.append(make(), patience=0)
    report = journal.verify()
    assert report.first_break is not None
    assert (report.first_break.line, report.first_break.fault) == (2, Fault.CHANGED)
    assert b'"reason":"damaged"' in log.read_bytes()


def test_another_log_in_its_place_is_damage(journal: Journal, log: Path, make: MakeRecord, tmp_path: Path) -> None:
    """A file that was exchanged does not become the log: the remembered log goes on, and verify names the place."""
    mine = journal.append(make(), patience=0)
    Journal(tmp_path / "other").append(make(), patience=0)
    log.write_bytes((tmp_path / "other").read_bytes())
    head = journal.append(make(), patience=0)
    assert (head.log_id, head.seq) == (mine.log_id, 3)
    report = journal.verify()
    assert report.first_break is not None
    assert (report.first_break.line, report.first_break.fault) == (2, Fault.OTHER_LOG)


def test_a_log_that_vanished_goes_on(journal: Journal, log: Path, make: MakeRecord) -> None:
    """The same log, the next number; verify names what is not there, before and after."""
    first = journal.append(make(), patience=0)
    before = journal.append(make(), patience=0)
    log.unlink()
    assert journal.head() == before
    assert journal.verify().gaps == ((1, 2),)
    after = journal.append(make(), patience=0)
    assert (after.log_id, after.seq) == (first.log_id, 3)
    report = journal.verify()
    assert (report.first, report.gaps) == (3, ((1, 2),))


def test_a_log_ahead_of_its_memory_goes_on_from_its_end(
    journal: Journal, log: Path, make: MakeRecord, chained: Chained
) -> None:
    """A crash before the head was remembered costs nothing; nor does a memory that was lost altogether."""
    journal.append(make(), patience=0)
    old = files.head_path(log).read_bytes()
    for _ in range(3):
        journal.append(make(), patience=0)
    files.head_path(log).write_bytes(old)
    journal.append(make(), patience=0)
    files.head_path(log).unlink()
    journal.append(make(), patience=0)
    assert len(chained(log)) == 6
    assert journal.verify().whole


def test_a_rotated_log_ahead_of_an_old_memory_goes_on_from_its_end(journal: Journal, log: Path, make: MakeRecord) -> None:
    """A memory older than the whole file contradicts nothing."""
    journal.append(make(), patience=0)
    old = files.head_path(log).read_bytes()
    log.rename(log.with_name("audit.jsonl.1"))
    journal.append(make(), patience=0)
    files.head_path(log).write_bytes(old)
    assert journal.append(make(), patience=0).seq == 3
    assert b"recover" not in log.read_bytes()


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


def test_half_a_line_of_another_writer_is_never_glued_to_ours(
    journal: Journal, log: Path, make: MakeRecord, before: Before, chained: Chained
) -> None:
    """A writer without our lock that adds half a line between our look and our write makes us write again."""
    journal.append(make(), patience=0)
    halves = [b'{"event_type":"memory",', b"  "]

    def add_half_a_line() -> None:
        if halves:
            with log.open("ab", buffering=0) as other:
                other.write(halves.pop())

    with before(os.write, add_half_a_line):
        head = journal.append(make(number=2), patience=0)
    found = chained(log)
    assert (found[-1]["number"], found[-1]["seq"], len(found)) == (2, head.seq, 2)
    assert journal.verify().whole
    journal.append(make(), patience=0)
    assert len(chained(log)) == 3


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
        pytest.raises(AuditError, match="again and again") as caught,
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
    assert "cannot be written: File too large | the file is as large as it may be" in writer.line()
    assert len(chained(log)) == 1
    assert not log.read_bytes().endswith(b"\n")
    journal.append(make(), patience=0)
    assert [fields.get("reason") for fields in chained(log)] == [None, "torn_line", None]
    assert journal.verify().whole


def test_a_failed_fsync_is_an_error_and_is_never_tried_again(journal: Journal, log: Path, make: MakeRecord) -> None:
    """After a failed fsync nobody knows what is on the disk: this journal writes no more."""
    reader, writer = os.pipe()
    with pytest.raises(OSError, match="Invalid argument"):
        journal._sync(writer)  # a pipe cannot be synced
    os.close(reader)
    os.close(writer)
    with pytest.raises(AuditError, match="fsync failed"):
        journal.append(make(), patience=0)
    assert not log.exists()


def test_a_refusal_of_the_system_becomes_a_sentence(
    journal: Journal, log: Path, make: MakeRecord, before: Before, tmp_path: Path
) -> None:
    """Whatever fails below an append is an error of the log, with its path."""
    journal.append(make(), patience=0)

    def take_the_folder_away() -> None:
        log.rename(log.with_name("gone"))
        log.parent.rename(tmp_path / "elsewhere")
        (tmp_path / "state").touch()

    with before(os.fsync, take_the_folder_away), pytest.raises(AuditError, match="Not a directory"):
        journal.append(make(), patience=0)


@pytest.mark.parametrize("kind", ["folder", "link", "fifo", "open to all"])
def test_what_is_no_log_is_refused_before_anything_is_written(
    journal: Journal, log: Path, make: MakeRecord, kind: str
) -> None:
    """A folder, a link, a pipe, or a file that everybody can write, where the log should be: refused at once."""
    log.parent.mkdir(mode=0o700)
    match kind:
        case "folder":
            log.mkdir()
        case "link":
            log.symlink_to(log.with_name("elsewhere"))
        case "fifo":
            os.mkfifo(log)
        case _:
            log.touch()
            log.chmod(0o666)
    with pytest.raises(AuditError):
        journal.append(make(), patience=0)
    assert not log.with_name("elsewhere").exists()


def test_a_lock_that_another_process_holds_is_not_waited_for_beyond_patience(
    journal: Journal, log: Path, make: MakeRecord, child: MakeChild
) -> None:
    """While another process holds the lock, an append ends after its patience, or by what the pause raises."""
    holder = child(
        """
        import sys
        from pathlib import Path
        from molecule_approve.audit import files
        from molecule_approve.clock import boottime
        with files.held(Path(sys.argv[1]), patience=0, pause=print, clock=boottime):
            print("held", flush=True)
            sys.stdin.readline()
        """,
        log,
    )
    assert holder.line() == "held"
    with pytest.raises(AuditError, match=r"was not free within 0\.05 s"):
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


def test_one_yes_is_used_once(journal: Journal, log: Path, make: MakeRecord) -> None:
    """The second grant of an approval is refused, and says when and under which trace it was used."""
    journal.append(make(), patience=0)
    journal.append(make(RecordOutcome.REQUESTED, approval_id="a-1"), patience=0)
    granted = make(RecordOutcome.GRANTED, approval_id="a-1")
    journal.grant(granted, approval_id="a-1", patience=0)
    size = log.stat().st_size
    with pytest.raises(UsedError, match=r"a-1 was used already, at 2026-04-27T10:00:00\.000000Z .* trace trace-1"):
        journal.grant(granted, approval_id="a-1", patience=0)
    assert log.stat().st_size == size
    journal.grant(make(RecordOutcome.GRANTED, approval_id="a-2"), approval_id="a-2", patience=0)


def test_the_first_grant_may_begin_a_log(journal: Journal, make: MakeRecord) -> None:
    """Where there is no log yet, nothing was used."""
    assert journal.grant(make(RecordOutcome.GRANTED, approval_id="a"), approval_id="a", patience=0).seq == 1


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


def test_an_approval_whose_id_is_masked_is_still_used_once(log: Path, make: MakeRecord) -> None:
    """A platform that answers with our own token as the id does not get around the rule."""
    journal = Journal(log, secrets=[Secret("a-1")])
    granted = make(RecordOutcome.GRANTED, approval_id="a-1")
    journal.grant(granted, approval_id="a-1", patience=0)
    with pytest.raises(UsedError):
        journal.grant(granted, approval_id="a-1", patience=0)


def test_finding_and_ids_without_a_log_are_empty(journal: Journal) -> None:
    """On a fresh machine nothing is known, and nothing is created by asking."""
    assert journal.find("a-1") is None
    assert journal.recent_ids(5) == []
    assert not journal.path.parent.exists()


def test_what_was_asked_is_found_by_id(journal: Journal, make: MakeRecord) -> None:
    """The journal opens the log and asks search.py."""
    journal.append(make(RecordOutcome.REQUESTED, approval_id="a-1", resource="rm -rf /x"), patience=0)
    found = journal.find("a-1")
    assert found is not None
    assert found.action == "rm -rf /x"
    assert journal.find("a-2") is None
    assert journal.recent_ids(5) == ["a-1"]


def test_a_log_that_cannot_be_read_is_an_error(log: Path, journal: Journal) -> None:
    """Reading says what is wrong; verifying a log that never was, too."""
    with pytest.raises(AuditError, match="No such file"):
        journal.verify()
    log.mkdir(parents=True)
    for read in (journal.head, journal.verify, lambda: journal.find("a"), lambda: journal.recent_ids(1)):
        with pytest.raises(AuditError, match="not a regular file"):
            read()


def test_a_log_below_something_that_is_no_folder_is_an_error(tmp_path: Path) -> None:
    """Where it cannot be known whether there is a log, that is said; it does not count as "nothing was used"."""
    (tmp_path / "file").touch()
    journal = Journal(tmp_path / "file" / "audit.jsonl")
    for read in (journal.head, lambda: journal.find("a"), lambda: journal.recent_ids(1)):
        with pytest.raises(AuditError, match="Not a directory"):
            read()


def test_errors_while_reading_become_sentences(journal: Journal, make: MakeRecord, before: Before) -> None:
    """An I/O error in the middle of reading is an error of the log."""
    journal.append(make(), patience=0)
    opened: list[int] = []

    def exchange_for_a_folder() -> None:
        # What the log's handle reads now is a folder: the system answers EISDIR.
        for link in Path("/proc/self/fd").iterdir():
            if not opened and os.path.realpath(link) == os.path.realpath(journal.path):
                folder = os.open(journal.path.parent, os.O_RDONLY)
                os.dup2(folder, int(link.name))
                os.close(folder)
                opened.append(int(link.name))

    with before(os.pread, exchange_for_a_folder), pytest.raises(AuditError, match="cannot be read: Is a directory"):
        journal.find("a")
    opened.clear()
    with before(open, exchange_for_a_folder), pytest.raises(AuditError, match="cannot be read: Is a directory"):
        journal.verify()


def test_the_first_record_names_a_network_file_system(log: Path, make: MakeRecord, tmp_path: Path) -> None:
    """Where neither lock nor append can be trusted, the first record of the file says so, and only that one."""
    device = tmp_path.stat().st_dev
    table = tmp_path / "mountinfo"
    table.write_text(f"1 1 {os.major(device)}:{os.minor(device)} / / rw - nfs4 server:/x rw\n")
    journal = Journal(log, mounts=table)
    journal.append(make(), patience=0)
    journal.append(make(), patience=0)
    first, second = (json.loads(line) for line in log.read_bytes().splitlines())
    assert first["network_filesystem"] == "nfs4"
    assert "network_filesystem" not in second


def test_completion_can_import_the_journal_cheaply(child: MakeChild) -> None:
    """Nothing heavy is loaded with the journal: TAB has a budget."""
    started = child(
        """
        import sys
        there = set(sys.modules)
        import molecule_approve.audit.journal
        print(sorted((set(sys.modules) - there) & set(sys.argv[1].split(","))))
        """,
        "uuid,asyncio,socket,subprocess,typer,rich,httpx,yaml,logging,tempfile,random,urllib.request",
    )
    assert started.line() == "[]"
