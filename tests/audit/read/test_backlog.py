"""The last lines of a log, counted through all its files."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from molecule_approve.audit.read import backlog
from molecule_approve.audit.read.follow import Line, Selection, last_lines
from molecule_approve.audit.record import Record
from tests.audit.read.following import Log, compress, last, said, seen, texts

MakeRecord = Callable[..., Record]


@pytest.fixture
def records(tmp_path: Path, make: MakeRecord) -> Log:
    return Log(tmp_path / "audit.jsonl", make)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 5, 6, 7, 99, None])
@pytest.mark.parametrize("packed", [False, True])
def test_the_last_lines_are_counted_through_all_archives(records: Log, count: int | None, packed: bool) -> None:
    """So many as are wanted, also from archives, compressed or not, and from an empty live file."""
    for part in range(3):
        records.append(2)
        archive = records.rotate()
        if packed and part != 1:
            compress(archive)
    shown = said(texts(last_lines(records.path, last(count))))
    assert shown == list(range(1, 7))[6 - min(6, 6 if count is None else count) :]


def test_archives_in_an_order_that_no_time_tells_are_read_in_the_records_order(records: Log) -> None:
    """A restored backup has files of any age, and a log of another tool among them."""
    archives = []
    for _ in range(4):
        records.append(2)
        archives.append(records.rotate())
    for age, archive in zip((4, 1, 3, 2), archives, strict=True):
        os.utime(archive, (age, age))
    records.append(1)
    records.path.with_name("audit.jsonl.7").write_bytes(b'{"tool":"a"}\n')
    os.utime(records.path.with_name("audit.jsonl.7"), (9, 9))
    assert [item for item in said(texts(last_lines(records.path, last(None)))) if item != "a"] == list(range(1, 10))
    assert said(texts(last_lines(records.path, last(4)))) == [6, 7, 8, 9]


def test_a_record_that_stands_in_two_files_counts_once(records: Log) -> None:
    """Ten records are ten different ones."""
    records.append(3)
    lines = records.path.read_bytes().splitlines(keepends=True)
    records.path.rename(records.path.with_name("audit.jsonl.1"))
    records.path.write_bytes(lines[2])
    records.append(1)
    assert said(texts(last_lines(records.path, last(3)))) == [2, 3, 4]


def test_archives_that_cannot_be_read_or_are_missing_are_said(records: Log) -> None:
    """What could not be shown is named, and the rest is shown."""
    for _ in range(4):
        records.append(2)
        archive = records.rotate()
    archive.unlink()
    records.append(1)
    archive.with_name("audit.jsonl.1.gz").write_bytes(b"no gzip")
    first, *others = said(texts(last_lines(records.path, last(5))))
    assert "audit.jsonl.1.gz cannot be unpacked" in str(first)
    assert others == [4, 5, 6, "records 7 to 8 are missing", "deleted", 9]
    assert said(texts(last_lines(records.path, last(None))))[1:] == [1, 2, 3, *others]


def test_a_log_without_its_live_file_is_shown_from_its_archives(records: Log) -> None:
    """A logrotate that creates no file leaves the last records where they were moved to."""
    records.append(3)
    records.path.rename(records.path.with_name("audit.jsonl.1"))
    assert said(texts(last_lines(records.path, last(2)))) == [2, 3]
    assert said(seen(records.path, records.append, count=1)) == [3, 4]


def test_an_archive_that_gets_another_name_while_it_waits_is_found(records: Log) -> None:
    """Between looking for the beginning and reading it, logrotate may rename, and compress."""
    for _ in range(2):
        records.append(2)
        archive = records.rotate()
        shown = last_lines(records.path, last(4))
    first = next(shown)
    assert isinstance(first, Line)
    compress(archive)
    assert said(texts(iter([first, *shown]))) == [1, 2, 3, 4]


def test_what_is_too_old_ends_the_search(records: Log) -> None:
    """After a thousand records that are too old nothing older is read; a few of them end nothing."""
    log_id = "7d444840-9dc0-11d1-b245-5ffdce74fad2"
    records.path.write_bytes(
        b"".join(
            b'{"old":%d,"log_id":"%s","seq":%d,"prev":"%s"}\n' % (number < 3_000, log_id.encode(), number, b"0" * 64)
            if number % 400
            else b'{"tool":"other"}\n'
            for number in range(1, 4_001)
        )
    )
    taken: list[bytes] = []

    def wanted(line: bytes) -> bool:
        taken.append(line)
        return b'"old":0' in line

    with records.path.open("rb") as live:
        choice = Selection(None, wanted, lambda line: b'"old":1' in line)
        assert backlog.start(records.path, live.fileno(), choice).older == []
    assert 1_990 < len(taken) < 2_010
