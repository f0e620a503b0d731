"""What cannot be checked is no proof, neither of a whole log nor of a changed one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from molecule_approve.audit.journal import Journal
from molecule_approve.audit.record import Record


@pytest.mark.parametrize("changed", [False, True])
def test_an_unreadable_archive_is_125_and_a_changed_record_65(tmp_path: Path, changed: bool) -> None:
    """The gap that the archive leaves is not counted as damage; a record that was changed is, whatever else is there."""
    log = tmp_path / "log" / "audit.jsonl"
    record = Record("2026-01-01T00:00:00Z", "approval", "ws", "ws", "approve", "drop it", "initiated", "t", {})
    for number in range(6):
        Journal(log).append(record, patience=1)
        if number == 2:
            log.rename(log.with_name("audit.jsonl.1"))
    old = log.with_name("audit.jsonl.1")
    old.unlink()
    log.with_name("audit.jsonl.1.gz").write_bytes(b"no gzip")
    if changed:
        lines = log.read_bytes().splitlines(keepends=True)
        log.write_bytes(lines[0] + lines[1].replace(b"drop it", b"drop at") + lines[2])
    command = [sys.executable, "-m", "molecule_approve", "audit", "verify", "--audit-log", str(log)]
    environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, "cannot be checked" in done.stdout) == (65 if changed else 125, True), done
