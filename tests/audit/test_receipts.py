"""Receipts that are kept beside the log."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from molecule_approve.audit import receipts
from molecule_approve.audit.journal import Journal
from molecule_approve.audit.record import RecordAction, RecordOutcome, make_record
from molecule_approve.errors import AuditError

DATA = b'{"type":"a receipt"}\n'
DIGEST = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A log that has begun."""
    path = tmp_path / "audit.jsonl"
    said = {"approval_id": "an-id", "asked_sha256": "ab"}
    _append(path, said)
    return path


def _append(path: Path, said: dict[str, str]) -> None:
    record = make_record(
        RecordAction.APPROVE,
        RecordOutcome.REQUESTED,
        timestamp="2026-11-28T22:00:00.000000Z",
        workspace_id="w",
        resource="deploy",
        trace_id="t",
        extras=said,
    )
    Journal(path).append(record, patience=1)


def test_a_receipt_is_found_by_its_hash(log: Path) -> None:
    """As often as it is kept; another one is not there."""
    assert Journal(log).keep_receipt(DATA) == DIGEST
    assert Journal(log).keep_receipt(DATA) == DIGEST
    assert receipts.find(log, DIGEST) == DATA
    assert receipts.find(log, "0" * 64) is None


def test_one_that_was_changed_is_none(log: Path) -> None:
    """Its name says what it was."""
    receipts.keep(log, DATA)
    receipts.receipt_path(log, DIGEST).write_bytes(DATA + b" ")
    assert receipts.find(log, DIGEST) is None


def test_what_cannot_be_kept_or_read_is_an_error(log: Path) -> None:
    """A link where the file should be; a file where the folder should be."""
    receipts.keep(log, DATA)
    path = receipts.receipt_path(log, DIGEST)
    path.rename(path.with_suffix(".away"))
    path.symlink_to(path.with_suffix(".away"))
    with pytest.raises(AuditError, match="cannot be read"):
        receipts.find(log, DIGEST)
    path.unlink()
    path.with_suffix(".away").unlink()
    path.parent.rmdir()
    path.parent.touch()
    with pytest.raises(AuditError, match="cannot be given a receipt"):
        receipts.keep(log, DATA)


def test_the_log_knows_what_was_asked_under_an_id(log: Path) -> None:
    """By the hash, in whichever record of the id it is."""
    journal = Journal(log)
    assert journal.has_asked("an-id")
    assert journal.has_asked("an-id", "ab")
    assert not journal.has_asked("an-id", "cd")
    assert not journal.has_asked("another")
    _append(log, {"approval_id": "an-id", "asked_sha256": "cd"})
    assert journal.has_asked("an-id", "ab")
    _append(log, {"approval_id": "without"})
    assert not journal.has_asked("without")
    with log.open("ab") as file:
        file.write(log.read_bytes().splitlines()[0].replace(b"an-id", b"forged").partition(b',"log_id"')[0] + b"}\n")
    assert not journal.has_asked("forged")
