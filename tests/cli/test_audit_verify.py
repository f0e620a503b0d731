"""``audit verify`` as a shell and a person see it."""

from __future__ import annotations

from pathlib import Path

import pytest

from molecule_approve.audit.journal import Journal
from molecule_approve.audit.record import Record
from molecule_approve.cli.main import main


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The configured log, in an environment where nothing else is configured."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("WORKSPACE_CONFIG_PATH", raising=False)
    monkeypatch.setenv("AUDIT_LOG_PATH", str(tmp_path / "log" / "audit.jsonl"))
    return tmp_path / "log" / "audit.jsonl"


@pytest.fixture
def journal(log: Path) -> Journal:
    """A log of twelve records and two lines of other tools."""
    journal = Journal(log)
    for number in range(12):
        journal.append(
            Record("2026-04-27T10:00:00.000000Z", "approval", "ws", "alice", "approve", f"deploy {number}", "granted", "t"),
            patience=0,
        )
    with log.open("ab") as file:
        file.write(b'{"event_type":"memory","outcome":"granted","resource":"x"}\n\xff\x1b[31m raw\n')
    return journal


def test_a_log_that_is_not_there_or_no_file_is_not_done(log: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """125, and the sentence names the path; also for the path of the option."""
    assert main(["audit", "verify"]) == 125
    assert str(log) in capfd.readouterr().err
    assert main(["audit", "verify", "--audit-log", str(log.parent.parent)]) == 125
    assert "hint: name another one" in capfd.readouterr().err


def test_verify_says_whole_or_not_by_its_exit_code(journal: Journal, log: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """0 for a whole log, 65 after any change, with the line."""
    assert main(["audit", "verify"]) == 0
    assert capfd.readouterr().out.startswith("whole: 12 records, 1 to 12, 2 other lines that nothing vouches for\nhead: ")
    log.write_bytes(log.read_bytes().replace(b"deploy 5", b"deploy 6"))
    assert main(["audit", "verify"]) == 65
    out = capfd.readouterr().out
    assert out.startswith("not whole, at 1 place: 12 records")
    assert "the first is audit.jsonl, line 6: changed: " in out


def test_verify_finds_a_cut_end(journal: Journal, log: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The remembered head beside the log knows what is missing, also when the whole log is gone."""
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join(lines[:10]))
    assert main(["audit", "verify"]) == 65
    assert "missing: records 11 to 12" in capfd.readouterr().out
    log.unlink()
    assert main(["audit", "verify"]) == 65
    assert "missing: records 1 to 12" in capfd.readouterr().out
