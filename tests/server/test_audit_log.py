"""The server's own audit log: what it holds is known through all its archives."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from molecule_approve.audit.journal import Journal
from molecule_approve.errors import AuditError
from molecule_approve.model import Approval, Status
from molecule_approve.server.audit_log import ServerAuditLog
from molecule_approve.server.values import OutboxEntry


def _entry(number: int) -> OutboxEntry:
    """An approval that alice gave."""
    approval = Approval(
        id=f"a-{number}",
        workspace_id="w",
        action="x",
        status=Status.APPROVED,
        decided_by="alice",
        decided_by_verified=True,
    )
    return OutboxEntry(number, "2026-04-27T10:00:00.000000Z", approval, None)


def test_what_stands_in_archives_is_held_as_well(tmp_path: Path) -> None:
    """A start after a crash writes nothing twice that was rotated, or compressed, before."""
    path = tmp_path / "server-audit.jsonl"
    ledger = ServerAuditLog(path, patience=1.0)
    assert ledger.held() == set()
    for number in range(3):
        ledger.append(_entry(number))
        archive = Journal(path).rotate(patience=0)
        assert archive is not None
        if number == 0:
            archive.with_name(f"{archive.name}.gz").write_bytes(gzip.compress(archive.read_bytes()))
            archive.unlink()
    with path.open("ab") as file:
        file.write(b'{"approval_id":"theirs"}\n"approval_id" is no record\n')
    ledger.append(_entry(3))
    assert ledger.held() == {"a-0", "a-1", "a-2", "a-3", "theirs"}


def test_a_log_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    """Nothing is guessed about what it holds."""
    (tmp_path / "log").mkdir()
    with pytest.raises(AuditError):
        ServerAuditLog(tmp_path / "log", patience=1.0).held()
