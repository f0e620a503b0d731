"""A follower goes through all that can happen to a log's files: every record once, in order, or it says what is missing."""

from __future__ import annotations

import gzip
import itertools
import json
import os
import select
import threading
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import pytest

from molecule_approve.audit.files import head_path
from molecule_approve.audit.journal import Journal
from molecule_approve.audit.read.follow import Line, follow
from molecule_approve.audit.read.watch import Watch
from molecule_approve.audit.record import Record
from molecule_approve.errors import Interrupted
from tests.audit.read.following import Log, Steps, add, collect, compress, last, said, seen

MakeRecord = Callable[..., Record]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit.jsonl"


@pytest.fixture
def records(tmp_path: Path, make: MakeRecord) -> Log:
    return Log(tmp_path / "audit.jsonl", make)


def test_several_rotations_between_two_looks_lose_nothing(records: Log) -> None:
    """What went from the live file into an archive unseen is read there; also into an empty live file, and compressed."""

    def twice() -> None:
        records.append(2)
        records.foreign(b"a")
        records.rotate()
        records.append(2)
        compress(records.rotate())
        records.append(2)

    def and_empty() -> None:
        records.append(1)
        records.rotate()
        records.append(1)
        records.rotate()

    records.append(2)
    records.foreign(b"b")
    expected = [1, 2, "b", 3, 4, "a", 5, 6, 7, 8, 9, 10, 11]
    assert said(seen(records.path, twice, and_empty, records.append)) == expected


def test_rotations_are_noticed_whatever_the_wall_clock_says(records: Log) -> None:
    """A clock that was put back gives the archive in between an old time; the gap itself makes us look for them."""

    def put_back() -> None:
        records.append(2)
        records.rotate()
        records.append(2)
        os.utime(records.rotate(), (1, 1))

    records.append(1)
    assert said(seen(records.path, put_back, records.append)) == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("count", [0, 10])
def test_a_file_that_is_copied_and_truncated_loses_nothing_that_the_copy_has(records: Log, count: int) -> None:
    """What was added just before stands in the copy; the notice says what happened."""

    def rotate() -> None:
        records.append(2)
        records.foreign(b"b")
        records.copy_and_truncate()
        records.append(1)

    records.append(2)
    records.foreign(b"a")
    size = records.path.stat().st_size
    shown = said(seen(records.path, rotate, count=count))
    assert shown[0 if count == 0 else 3] == (
        f"the audit log {records.path} was truncated from {size} to {records.path.stat().st_size} bytes, or rewritten"
    )
    before = [1, 2, "a"] if count else []
    assert [item for item in shown if not str(item).startswith("the audit")] == [*before, 3, 4, "b", "copytruncated", 5]


def test_a_file_that_was_cut_and_has_grown_again_is_noticed(records: Log) -> None:
    """Its size alone would not tell; records that were shown are not shown again."""

    def rewrite() -> None:
        whole = records.path.read_bytes()
        os.truncate(records.path, 0)
        records.path.write_bytes(b'{"tool":"header"}\n' + whole)
        records.append(1)

    records.append(3)
    shown = said(seen(records.path, rewrite))
    assert shown[:3] + shown[4:] == [1, 2, 3, 4]
    assert "or rewritten" in str(shown[3])


def test_a_log_that_is_deleted_goes_on(records: Log) -> None:
    """Nothing is missing where all was seen; what nobody saw is named."""

    def deleted_twice() -> None:
        for _ in range(2):
            records.append(1)
            records.path.unlink()

    records.append(1)
    shown = said(seen(records.path, records.path.unlink, lambda: None, records.append, deleted_twice, records.append))
    # The file that was open when it was deleted is read to its end; the next one came and went between two looks.
    assert shown == [1, "deleted", 2, 3, "records 5 to 6 are missing", "deleted", 5]


def test_a_log_that_was_changed_is_said(records: Log) -> None:
    """A file whose records follow none that was shown, or other ones, says so where it begins."""

    def older() -> None:
        lines = records.path.read_bytes().splitlines(keepends=True)
        records.path.with_name("new").write_bytes(b"".join(lines[:1]) + lines[1].replace(b"deploy", b"destroy"))
        records.path.with_name("new").replace(records.path)
        head_path(records.path).unlink()
        records.append(1)

    records.append(2)
    shown = said(seen(records.path, older))
    assert shown == [1, 2, "record 2 was changed; run `molecule-approve audit verify`", 3]


def test_a_log_that_goes_back_is_said(records: Log) -> None:
    """A shorter copy that is written on has other records of the same numbers: they are shown, and that is said."""

    def back() -> None:
        lines = records.path.read_bytes().splitlines(keepends=True)
        records.path.with_name("new").write_bytes(lines[0])
        records.path.with_name("new").replace(records.path)
        head_path(records.path).unlink()

    records.append(3)
    shown = said(seen(records.path, back, records.append))
    assert shown == [1, 2, 3, "record 2 follows record 3: the log was changed; run `molecule-approve audit verify`", 4]


def test_a_program_that_keeps_the_old_file_open_is_heard(records: Log) -> None:
    """Its lines go to the archive for as long as it lives; they are shown, once."""
    records.append(1)
    kept = records.path.open("ab", buffering=0)

    def write() -> None:
        kept.write(b'{"tool":"late"}\n')

    with kept:
        assert said(seen(records.path, records.rotate, records.append, write, records.append, records.rotate)) == [
            1, 2, "late", 3,
        ]  # fmt: skip


def test_a_follower_that_showed_nothing_yet_knows_where_it_stands(records: Log) -> None:
    """Also where the live file is empty: what is missing after that is noticed."""

    def unseen() -> None:
        records.append(1)
        records.rotate()
        records.append(2)
        archive = records.rotate()
        records.append(1)
        archive.unlink()

    records.append(2)
    records.rotate()
    records.path.with_name("audit.jsonl.1.gz").write_bytes(b"no gzip")
    shown = said(seen(records.path, unseen, count=0))
    assert [item for item in shown if item != "unreadable"] == [3, "records 4 to 5 are missing", 6]
    empty = Log(records.path.parent / "b" / "audit.jsonl", records._make)
    empty.append(1)
    empty.path.write_bytes(b"")
    assert said(seen(empty.path, empty.append, count=0)) == ["truncated", 2]


def test_half_an_archive_is_said(records: Log) -> None:
    """One whose end cannot be unpacked is named, and the follower goes on with what comes after it."""

    def broken() -> None:
        records.append(20)
        records.rotate()
        records.append(20)
        archive = records.rotate()
        records.append(1)
        packed = archive.with_name(f"{archive.name}.gz")
        packed.write_bytes(gzip.compress(archive.read_bytes(), 0)[:-50])
        archive.unlink()

    records.append(1)
    shown = said(seen(records.path, broken))
    assert shown[:21] == list(range(1, 22))
    assert [str(item)[:19] for item in shown[21:]][:1] == ["the audit log's arc"]
    assert shown[-1] == 42
    assert "records 22 to 41 are missing" in shown


def test_what_comes_late_is_shown_once(records: Log) -> None:
    """The old file's late lines obey the filters, and a record that our writer writes to both files is not among them."""
    records.append(1)
    kept = records.path.open("ab", buffering=0)

    def write() -> None:
        kept.write(b'{"tool":"late"}\n{"tool":"unwanted"}\n' + records.path.read_bytes())

    shown: list[bytes | str] = []
    choice = last(10, lambda line: b"unwanted" not in line)
    steps = Steps(records.rotate, records.append, write)
    with kept, pytest.raises(Interrupted):
        collect(shown, follow(records.path, choice, steps, Watch(records.path, None)))
    assert said(shown) == [1, 2, "late"]


def test_words_of_the_chain_make_no_record(records: Log) -> None:
    """Another tool's line that has them all is a line, and no place to go on from."""

    def rotate() -> None:
        records.foreign(b'"log_id" "seq" "prev"'.replace(b'"', b"") + b'","log_id":1,"seq":2,"prev":"3')
        records.rotate()
        records.append(1)

    records.append(2)
    assert [item for item in said(seen(records.path, rotate)) if isinstance(item, int)] == [1, 2, 3]


def test_an_archive_that_cannot_be_read_when_it_is_needed_is_said(records: Log) -> None:
    """What lies between two looks in a file that is broken is named, and the follower goes on."""

    def broken() -> None:
        records.append(1)
        archive = records.rotate()
        records.append(1)
        archive.write_bytes(b"")

    records.append(1)
    records.rotate()
    assert said(seen(records.path, broken))[-2:] == ["records 2 to 2 are missing", 3]


def test_a_follower_of_another_tools_log_shows_its_lines(path: Path) -> None:
    """Where nothing is chained there is nothing to be missed, however long the file is."""
    path.write_bytes(b"x\n" * 3_000)
    steps = (add(path, b"1\n"), lambda: path.rename(path.with_name("audit.jsonl.1")), add(path, b"2\n"))
    assert seen(path, *steps, count=0) == [b"1\n", b"2\n"]


@pytest.mark.usefixtures("untraced")
@pytest.mark.parametrize("told", [True, False])
def test_a_storm_of_records_and_rotations_is_shown_once_and_in_order(records: Log, told: bool) -> None:
    """Two writers, a full file every few records, and a follower that is sometimes late: every record, once, in order."""
    number = 120
    journal = Journal(records.path, limit=1_500)

    def write() -> None:
        for count in range(number // 2):
            journal.append(records._make(count=count), patience=20)

    writers = [threading.Thread(target=write) for _ in range(2)]
    shown: list[int] = []
    late = itertools.cycle((0, 0, 7))  # looks that are left out

    def pause(seconds: float, descriptor: int | None) -> None:
        if shown and shown[-1] == number:
            raise Interrupted(2, "enough")
        for _ in range(1 + next(late)):
            select.select([] if descriptor is None else [descriptor], [], [], min(seconds, 0.005))

    records.append(1)
    with closing(follow(records.path, last(1), pause, None if told else Watch(records.path, None))) as following:
        next(following)
        number += 1
        for writer in writers:
            writer.start()
        with suppress(Interrupted):
            for item in following:
                assert isinstance(item, Line), item
                shown.append(json.loads(item.data)["seq"])
    for writer in writers:
        writer.join()
    assert shown == list(range(2, number + 1))
    assert len(list(records.path.parent.glob("audit.jsonl.0*"))) > 20
