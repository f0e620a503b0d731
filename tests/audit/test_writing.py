"""One record onto the disk: it stands there whole and once, and what happened to the log before is named."""

from __future__ import annotations

import json
import os
import resource
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from molecule_approve.audit import files
from molecule_approve.audit.journal import Journal
from molecule_approve.audit.record import Record
from molecule_approve.errors import AuditError
from tests.audit import standing

MakeRecord = Callable[..., Record]
Before = Callable[[object, Callable[[], None]], AbstractContextManager[None]]


@contextmanager
def files_may_have(size: int) -> Iterator[Callable[[], None]]:
    """No file of this process may grow beyond so many bytes; gives what lifts that."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def lift() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield lift
    finally:
        lift()


def reasons(log: Path) -> list[Any]:
    """What each record of the live file says happened; None for an ordinary one."""
    return [record.fields.get("reason") for record in standing.records(log.read_bytes())]


@pytest.fixture
def three(journal: Journal, make: MakeRecord) -> Journal:
    """A log of three records, which are all as long."""
    for number in range(3):
        journal.append(make(number=number), patience=0)
    return journal


@pytest.fixture
def line(three: Journal, log: Path) -> int:
    """How long the next line is going to be, with its newline."""
    return len(log.read_bytes().split(b"\n")[2]) + 1


# --- a write that does not fit ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("missing", [1, 2, 100])
def test_a_write_that_did_not_fit_is_finished_where_it_can_be(
    three: Journal, log: Path, make: MakeRecord, before: Before, line: int, missing: int
) -> None:
    """The disk was full for a moment: the record stands whole and once; half a line stays, closed, where it was begun."""
    size = log.stat().st_size
    with files_may_have(size + line - missing) as lift, before(os.lseek, lift):
        assert three.append(make(number=3), patience=0).seq == 4
    assert len(standing.history(log)) == 4
    assert log.stat().st_size == size + line if missing == 1 else log.stat().st_size > size + line
    assert three.append(make(number=4), patience=0).seq == 5
    assert reasons(log) == [None] * 5


def test_a_line_that_lacks_its_newline_only_is_no_reason_to_write_it_twice(
    three: Journal, log: Path, make: MakeRecord, line: int
) -> None:
    """The disk stays full: an error, but the record stands; the next one closes its line and follows it."""
    with files_may_have(log.stat().st_size + line - 1), pytest.raises(AuditError, match="File too large"):
        three.append(make(number=3), patience=0)
    three.append(make(number=4), patience=0)
    assert [record.fields.get("number") for record in standing.history(log)] == [0, 1, 2, 3, None, 4]
    assert reasons(log) == [None, None, None, None, "torn_line", None]


def test_what_another_tool_puts_between_is_no_part_of_our_line(
    three: Journal, log: Path, make: MakeRecord, before: Before, line: int
) -> None:
    """Between a short write and its end: the glued line is no record, and ours is written again behind it."""
    with files_may_have(log.stat().st_size + line - 1) as lift:

        def add() -> None:
            lift()
            with log.open("ab") as file:
                file.write(b"theirs")

        with before(os.lseek, add):
            assert three.append(make(number=3), patience=0).seq == 4
    assert [record.fields["number"] for record in standing.history(log)] == [0, 1, 2, 3]
    assert b"}theirs" in log.read_bytes()


def test_a_recovery_and_its_record_are_two_writes(three: Journal, log: Path, make: MakeRecord, before: Before) -> None:
    """The file is renamed between them: each stands once, the chain goes on from one file into the other."""
    with log.open("ab") as file:
        file.write(b'{"half')
    writes: list[None] = []

    def rename_before_the_second() -> None:
        writes.append(None)
        if len(writes) == 3:  # the recovery, its head, the record
            log.rename(log.with_name("audit.jsonl.1"))

    with before(os.write, lambda: None), before(os.lseek, rename_before_the_second):
        three.append(make(number=3), patience=0)
    found = standing.history(log)
    assert [record.fields.get("reason", record.fields.get("number")) for record in found] == [0, 1, 2, "torn_line", 3]


# --- what happened before --------------------------------------------------------------------------------------------------


def cut(log: Path) -> None:
    os.truncate(log, len(log.read_bytes().split(b"\n")[0]) + 1)


def empty(log: Path) -> None:
    os.truncate(log, 0)


def copytruncate(log: Path) -> None:
    shutil.copyfile(log, log.with_name("audit.jsonl.1"))
    os.truncate(log, 0)


def delete(log: Path) -> None:
    log.unlink()


def delete_and_create(log: Path) -> None:
    log.rename(log.parent.parent / "elsewhere")
    log.touch(0o600)


def edit_the_last(log: Path) -> None:
    with log.open("r+b") as file:
        file.write(log.read_bytes().replace(b'"number":2', b'"number":7'))


def put_another(log: Path) -> None:
    other = Journal(log.parent.parent / "other.jsonl")
    other.append(Record("t", "approval", "w", "w", "approve", "x", "initiated", "t"), patience=0)
    other.path.rename(log)


def put_an_older_copy(log: Path) -> None:
    whole = log.read_bytes().split(b"\n")
    log.with_name("copy").write_bytes(b"\n".join(whole[:2]) + b"\n")
    log.with_name("copy").chmod(0o600)
    log.with_name("copy").rename(log)


@pytest.mark.parametrize(
    ("happened", "reason"),
    [
        (cut, "truncated"),
        (empty, "truncated"),
        (copytruncate, "copytruncated"),
        (delete, "deleted"),
        (delete_and_create, "deleted"),
        (edit_the_last, "changed"),
        (put_another, "replaced"),
        (put_an_older_copy, "replaced"),
    ],
)
def test_what_happened_to_the_log_is_named_by_the_next_record(
    three: Journal, log: Path, make: MakeRecord, happened: Callable[[Path], None], reason: str
) -> None:
    """One record says it, with what is remembered; the chain goes on from there, once and for all."""
    remembered = three.head()
    assert remembered is not None
    happened(log)
    assert three.append(make(number=3), patience=0) == three.head()
    recover, record = list(standing.records(log.read_bytes()))[-2:]
    said = recover.fields
    assert (said["event_type"], said["action"], said["outcome"], said["reason"]) == ("audit", "recover", "success", reason)
    assert (said["remembered_seq"], said["remembered_hash"]) == (3, remembered.hash)
    assert (recover.seq, said["prev"], said["log_id"], record.seq) == (4, remembered.hash, remembered.log_id, 5)
    three.append(make(number=4), patience=0)
    assert log.read_bytes().count(b'"recover"') == 1


@pytest.mark.parametrize("memory", ["as it was", "old", "gone"])
@pytest.mark.parametrize("name", ["audit.jsonl.1", "audit.jsonl-20260427", "audit.jsonl.000000000001-000000000003"])
@pytest.mark.parametrize("create", [True, False])
def test_a_log_that_was_rotated_goes_on_from_the_newest_archive(
    journal: Journal, log: Path, make: MakeRecord, memory: str, name: str, create: bool
) -> None:
    """Whatever is remembered, and whether or not there is a new live file: nothing is missing, nothing is said."""
    journal.append(make(), patience=0)
    old = files.head_path(log).read_bytes()
    for _ in range(2):
        journal.append(make(), patience=0)
    log.rename(log.with_name(name))
    if create:
        log.touch(0o600)
    if memory == "old":
        files.head_path(log).write_bytes(old)
    if memory == "gone":
        files.head_path(log).unlink()
    assert journal.append(make(), patience=0).seq == 4
    assert len(standing.history(log)) == 4
    assert reasons(log) == [None]


def test_what_is_further_goes_on_the_archive_or_the_memory(three: Journal, log: Path, make: MakeRecord) -> None:
    """An archive that was restored from an old backup is behind the memory: the memory goes on, and the gap is named."""
    whole = log.read_bytes().split(b"\n")
    log.unlink()
    log.with_name("audit.jsonl.1").write_bytes(b"\n".join(whole[:2]) + b"\n")
    three.append(make(), patience=0)
    recover = next(standing.records(log.read_bytes()))
    assert (recover.seq, recover.fields["found_seq"], recover.fields["reason"]) == (4, 2, "deleted")


def test_a_record_that_stands_twice_at_a_boundary_is_counted_once(
    three: Journal, log: Path, make: MakeRecord, before: Before
) -> None:
    """It was renamed between our open and our write; the chain goes on, also where the memory is gone."""
    moved: list[None] = []

    def rename_once() -> None:
        if not moved:
            log.rename(log.with_name("audit.jsonl.1"))
            moved.append(None)

    with before(os.write, rename_once):
        three.append(make(number=3), patience=0)
    twice = log.read_bytes()
    assert log.with_name("audit.jsonl.1").read_bytes().endswith(twice)
    files.head_path(log).unlink()
    assert three.append(make(number=4), patience=0).seq == 5
    assert json.loads(twice)["seq"] == 4
    assert [record.fields["number"] for record in standing.history(log)] == [0, 1, 2, 3, 4]


# --- power cuts ------------------------------------------------------------------------------------------------------------


def test_all_that_must_outlast_a_power_cut_is_synced(log: Path, make: MakeRecord, before: Before) -> None:
    """The record, the name of a new file, the key that forgets, and both names that a rotation makes: each by an fsync."""
    log.parent.mkdir(mode=0o700)
    journal = Journal(log)

    def syncs(action: Callable[[], object]) -> int:
        seen: list[None] = []
        with before(os.fsync, lambda: seen.append(None)):
            action()
        return len(seen)

    assert syncs(lambda: journal.append(make(), patience=0)) == 3  # with the private folder
    assert syncs(lambda: journal.append(make(), patience=0)) == 1
    assert syncs(lambda: journal.rotate(patience=0)) == 2
    journal.init(make("success"), new_key=False, patience=0)
    assert syncs(lambda: journal.append(make(), patience=0)) == 2
