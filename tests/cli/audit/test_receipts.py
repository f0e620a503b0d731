"""Receipts beside the log: ``audit export`` takes them along, and ``audit verify`` looks for them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from molecule_approve.audit.journal import Journal
from molecule_approve.audit.receipts import receipt_path
from molecule_approve.audit.record import RecordAction, RecordOutcome, make_record
from molecule_approve.cli.main import main

RECEIPT = b'{"type":"a receipt"}\n'
DIGEST = hashlib.sha256(RECEIPT).hexdigest()


@pytest.fixture
def granted(log: Path) -> Path:
    """A log of one request, whose approval a receipt proves."""
    journal = Journal(log)
    steps: list[tuple[RecordOutcome, dict[str, Any]]] = [
        (RecordOutcome.INITIATED, {}),
        (RecordOutcome.REQUESTED, {"approval_id": "an-id"}),
        (RecordOutcome.GRANTED, {"approval_id": "an-id", "receipt_sha256": journal_keeps(journal)}),
    ]
    for outcome, extras in steps:
        record = make_record(
            RecordAction.APPROVE,
            outcome,
            timestamp="2026-11-28T22:00:00.000000Z",
            workspace_id="w",
            resource="deploy",
            trace_id="trace-id",
            extras=extras,
        )
        journal.append(record, patience=1)
    return log


def journal_keeps(journal: Journal) -> str:
    """Keep the receipt in a log that has begun."""
    record = make_record(
        RecordAction.INIT,
        RecordOutcome.SUCCESS,
        timestamp="2026-11-28T21:59:00.000000Z",
        workspace_id="w",
        resource="audit.jsonl",
        trace_id="another",
        extras={},
    )
    journal.append(record, patience=1)
    return journal.keep_receipt(RECEIPT)


@pytest.fixture
def exported(granted: Path, tmp_path: Path) -> Path:
    """The export of that request."""
    path = tmp_path / "export.json"
    assert main(["audit", "export", "trace-id", "--output", str(path)]) == 0
    return path


def verified(path: Path | None, capfd: pytest.CaptureFixture[str]) -> tuple[int, dict[str, Any], str]:
    """The exit code, the JSON and the sentences of ``audit verify``."""
    words = ["audit", "verify", *([] if path is None else [str(path)])]
    capfd.readouterr()
    code = main([*words, "--json"])
    facts = json.loads(capfd.readouterr().out)
    assert main(words) == code
    return code, facts, capfd.readouterr().out


def test_an_export_takes_the_receipt_along(exported: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """As it was, byte for byte; verify says of which record it is."""
    assert json.loads(exported.read_bytes())["receipts"] == [{"sha256": DIGEST, "text": RECEIPT.decode()}]
    code, facts, said = verified(exported, capfd)
    assert (code, facts["receipts"]) == (0, {"included": [4], "missing": []})
    assert "with the receipts of record 4" in said


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [("a receipt", "another", "has another one"), (DIGEST, "0" * 64, "no record names the receipt")],
)
def test_an_export_with_another_receipt_is_not_whole(
    exported: Path, capfd: pytest.CaptureFixture[str], old: str, new: str, fault: str
) -> None:
    """One that was changed, and one that no record names."""
    found = json.loads(exported.read_bytes())
    found["receipts"] = json.loads(json.dumps(found["receipts"]).replace(old, new))
    exported.write_text(json.dumps(found))
    code, facts, said = verified(exported, capfd)
    assert (code, facts["whole"]) == (65, False)
    assert fault in said


def test_a_receipt_that_is_missing_in_an_export_is_told(exported: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The records are whole all the same."""
    found = json.loads(exported.read_bytes())
    del found["receipts"]
    exported.write_text(json.dumps(found))
    code, facts, said = verified(exported, capfd)
    assert (code, facts["receipts"]) == (0, {"included": [], "missing": [4]})
    assert "warning: the receipts of record 4 are not in the export" in said


def test_a_malformed_receipt_in_an_export_is_none(exported: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Its form is checked as that of all else."""
    found = json.loads(exported.read_bytes())
    found["receipts"] = [{"sha256": DIGEST}]
    exported.write_text(json.dumps(found))
    code, facts, said = verified(exported, capfd)
    assert (code, facts["fault_count"], "a receipt: a field is missing or unknown" in said) == (65, 1, True)


def test_the_log_s_receipts_are_looked_for(granted: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """One that is gone or was changed is told; that is not damage of the log, and an export is made without it."""
    code, facts, said = verified(None, capfd)
    assert (code, facts["receipts"], "receipts" in said) == (0, {"named": 1, "missing": []}, False)
    receipt_path(granted, DIGEST).write_bytes(b"{}")
    code, facts, said = verified(None, capfd)
    assert (code, facts["receipts"]) == (0, {"named": 1, "missing": [4]})
    assert "warning: receipts that are gone or were changed, of records 4" in said
    assert main(["audit", "export", "trace-id"]) == 0
    assert "receipts" not in json.loads(capfd.readouterr().out)


def test_a_record_that_names_many_is_cut(log: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Ten are named for a person; only chained grants count."""
    journal = Journal(log)
    for number in range(12):
        outcome = RecordOutcome.GRANTED if number else RecordOutcome.DENIED
        record = make_record(
            RecordAction.APPROVE,
            outcome,
            timestamp="2026-11-28T22:00:00.000000Z",
            workspace_id="w",
            resource="deploy",
            trace_id=f"trace-{number}",
            extras={"approval_id": f"id-{number}", "receipt_sha256": DIGEST},
        )
        journal.append(record, patience=1)
    with log.open("ab") as file:
        file.write(b'{"outcome":"granted","receipt_sha256":"' + DIGEST.encode() + b'"}\n')
    _, facts, said = verified(None, capfd)
    assert facts["receipts"] == {"named": 11, "missing": list(range(2, 13))}
    assert "of records 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, …" in said
