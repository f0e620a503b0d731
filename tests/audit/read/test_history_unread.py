"""Which files of a log could not be read, told in time for a search that stops early; and a folder that goes away."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from molecule_approve.audit import files
from molecule_approve.audit.read import history
from molecule_approve.audit.record import Record
from molecule_approve.errors import AuditError

if TYPE_CHECKING:
    from molecule_approve.audit.journal import Journal
    from molecule_approve.audit.read.archives import Unreadable

MakeRecord = Callable[..., Record]


def test_what_cannot_be_read_is_told_before_the_lines_of_older_files(journal: Journal, log: Path, make: MakeRecord) -> None:
    """A search that stops early knows which files were newer than where it stopped, and of no other."""
    unreadable = [log.with_name(f"audit.jsonl.{number}.gz") for number in (1, 3)]
    for number in (4, 2):
        journal.append(make(number=number), patience=0)
        log.rename(log.with_name(f"audit.jsonl.{number}"))
    for path in unreadable:
        path.write_bytes(b"no gzip")
    for number in (1, 2, 3, 4):
        (path,) = log.parent.glob(f"audit.jsonl.{number}*")
        os.utime(path, ns=(0, 1_000_000_000 * (10 - number)))
    unread: list[Unreadable] = []
    with closing(history.backwards(log, unread)) as newest:
        assert b'"number":2' in next(newest)
        assert [one.path for one in unread] == unreadable[:1]
        assert b'"number":4' in next(newest)
        assert [one.path for one in unread] == unreadable
        assert next(newest, None) is None
    assert [one.path for one in unread] == unreadable


def test_a_file_that_is_gone_counts_as_new(tmp_path: Path) -> None:
    """Where nothing is known, the doubt stays."""
    begun = time.time_ns()
    assert history.changed_at(tmp_path / "gone") >= begun


def test_a_folder_that_goes_away_in_the_middle_is_an_error(journal: Journal, log: Path, make: MakeRecord) -> None:
    """What was found so far is no answer then."""
    for number in (2, 1):
        journal.append(make(), patience=0)
        log.rename(log.with_name(f"audit.jsonl.{number}"))
    with closing(history.older(log, None)) as older:
        next(older)
        log.parent.rename(log.parent.with_name("elsewhere"))
        log.parent.touch()
        with pytest.raises(AuditError, match="cannot be read: Not a directory"):
            next(older)


def test_a_chain_goes_on_from_no_older_archive_than_the_newest(journal: Journal, log: Path, make: MakeRecord) -> None:
    """Without the remembered head, and with an unreadable newest archive, it is refused: numbers would stand twice."""
    for number in (2, 1):
        journal.append(make(), patience=0)
        log.rename(log.with_name(f"audit.jsonl.{number}"))
    files.head_path(log).unlink()
    newest, packed = log.with_name("audit.jsonl.1"), log.with_name("audit.jsonl.1.gz")
    data = newest.read_bytes()
    newest.unlink()
    packed.write_bytes(b"no gzip")
    with pytest.raises(AuditError, match=r"cannot read audit\.jsonl\.1\.gz, which holds its end"):
        journal.append(make(), patience=0)
    packed.unlink()
    newest.write_bytes(data)
    assert journal.append(make(), patience=0).seq == 3
