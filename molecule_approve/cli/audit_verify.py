"""``audit verify``: the proof that nobody changed the log afterwards."""

from __future__ import annotations

from . import options, output
from .exits import Exit


def verify(config: options.Config = None, audit_log: options.AuditLog = None) -> int:
    """Prove that the audit log is whole: 0 if it is, 65 if a record was changed, removed, inserted, moved or cut off."""
    from molecule_approve.audit.journal import Journal  # noqa: PLC0415 - help needs neither

    from .audit_proof import proof  # noqa: PLC0415

    report = Journal(options.audit_log_path(config, audit_log)).verify()
    for line in proof(report):
        output.answer(line)
    return Exit.OK if report.whole else Exit.NOT_WHOLE
