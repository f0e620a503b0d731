"""All lines of a log from the newest to the oldest, through its archives, which are opened only when they are reached."""

from __future__ import annotations

import gzip
import itertools
import os
from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from molecule_approve.audit.journal import Journal
from molecule_approve.audit.read import history
from molecule_approve.audit.record import Record, decode
from molecule_approve.errors import AuditError

if TYPE_CHECKING:
    from molecule_approve.audit.read.archives import Unreadable

MakeRecord = Callable[..., Record]
Before = Callable[[object, Callable[[], None]], AbstractContextManager[None]]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A live file and two archives, the older one compressed."""
    path = tmp_path / "audit.jsonl"
    texts = [b'{"log_id":"a","seq":%d,"prev":"%s"}' % (seq, b"0" * 64) for seq in range(6)]
    path.with_name("audit.jsonl.2.gz").write_bytes(gzip.compress(b"\n".join(texts[:2]) + b"\n"))
    path.with_name("audit.jsonl.1").write_bytes(b"\n".join(texts[2:4]) + b"\n")
    path.write_bytes(b"\n".join(texts[4:]) + b"\nunfinished")
    return path


def seqs(lines: list[bytes]) -> list[int]:
    return [int(line.split(b'"seq":')[1][0:1]) for line in lines]


def test_lines_come_newest_first_through_all_files(log: Path) -> None:
    """Whole lines only; on demand the live file's alone, or the archives' alone."""
    assert seqs(list(history.backwards(log))) == [5, 4, 3, 2, 1, 0]
    with history.live_file(log) as live:
        assert seqs(list(history.older(log, live))) == [3, 2, 1, 0]


def test_without_a_live_file_there_are_still_the_archives(log: Path) -> None:
    """A log that was just renamed; and where there is nothing, there is nothing."""
    log.unlink()
    assert seqs(list(history.backwards(log))) == [3, 2, 1, 0]
    assert list(history.backwards(log.with_name("none"))) == []


def test_archives_are_opened_only_when_they_are_reached(log: Path, before: Before) -> None:
    """Whoever finds it in the live file opens one file."""
    opened: list[None] = []
    with before(os.open, lambda: opened.append(None)), closing(history.backwards(log)) as newest:
        assert seqs(list(itertools.islice(newest, 2))) == [5, 4]
        assert len(opened) == 1
        next(newest)
    assert len(opened) > 1


def test_many_archives_are_read_in_order(tmp_path: Path, make: MakeRecord) -> None:
    """The first few are opened one by one, the rest by one list; none twice, none left out."""
    journal = Journal(tmp_path / "many" / "audit.jsonl")
    for number in range(2 * history.ALONE):
        journal.append(make(number=number), patience=0)
        journal.rotate(patience=0)
    journal.append(make(number=-1), patience=0)
    numbers = [(decode(line) or {})["number"] for line in history.backwards(journal.path)]
    assert numbers == [-1, *reversed(range(2 * history.ALONE))]


def test_what_was_left_out_is_told(log: Path) -> None:
    """An archive that cannot be read is passed over; a search that ends in the live file need not know."""
    log.with_name("audit.jsonl.3.zst").touch()
    unread: list[Unreadable] = []
    with closing(history.backwards(log, unread)) as newest:
        assert len(list(itertools.islice(newest, 2))) == 2
    assert unread == []
    assert len(list(history.backwards(log, unread))) == 6
    assert [one.path for one in unread] == [log.with_name("audit.jsonl.3.zst")]


@pytest.mark.parametrize("name", ["audit.jsonl", "audit.jsonl.1"])
def test_errors_while_reading_become_sentences(log: Path, before: Before, name: str) -> None:
    """An I/O error in the middle, in the live file or in an archive, is an error of the log."""
    met: list[Path] = []

    def exchange_for_a_folder() -> None:
        # Not at the first reading, which looks for an archive's first record. The handle reads a folder then: EISDIR.
        for link in Path("/proc/self/fd").iterdir():
            if os.path.realpath(link) != str(log.with_name(name)):
                continue
            met.append(link)
            if len(met) > 1:
                folder = os.open(log.parent, os.O_RDONLY)
                os.dup2(folder, int(link.name))
                os.close(folder)

    with before(os.pread, exchange_for_a_folder), pytest.raises(AuditError, match="cannot be read: Is a directory"):
        list(history.backwards(log))


def test_what_is_no_log_is_an_error(tmp_path: Path) -> None:
    """A folder in the log's place, and a folder above it that is none."""
    (tmp_path / "audit.jsonl").mkdir()
    (tmp_path / "file").touch()
    for path in (tmp_path / "audit.jsonl", tmp_path / "file" / "audit.jsonl"):
        with pytest.raises(AuditError):
            list(history.backwards(path))
    with pytest.raises(AuditError):
        list(history.older(tmp_path / "file" / "audit.jsonl", None))
