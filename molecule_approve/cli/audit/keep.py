"""``audit rotate`` and ``audit init``: what the owner of a log does with it."""

from __future__ import annotations

import os
import uuid
from typing import Annotated

import typer

from molecule_approve.cli import options, output
from molecule_approve.cli.exits import Exit
from molecule_approve.errors import AuditError, DeliveryError, UsageError
from molecule_approve.safe_text import visible

PATIENCE = 10.0
"""Seconds that the log's lock is waited for."""


def rotate(config: options.Config = None, audit_log: options.AuditLog = None) -> int:
    """Make the audit log an archive, and go on in a new file; prints the archive's path."""
    from molecule_approve.audit.journal import Journal

    path = options.audit_log_path(config, audit_log)
    archive = Journal(path).rotate(patience=PATIENCE)
    if archive is None:
        raise AuditError(f"the audit log {path} holds no record that could be archived")
    output.done(visible(str(archive)))
    return Exit.OK


def init(
    seal: Annotated[
        bool,
        typer.Option("--seal", help="Seal every record from now on; prints the first key, once: keep it elsewhere."),
    ] = False,
    new_key: Annotated[
        bool, typer.Option("--new-key", help="Begin a new key, also where the log is sealed already or its key was lost.")
    ] = False,
    config: options.Config = None,
    audit_log: options.AuditLog = None,
) -> int:
    """Begin the audit log with a record that says so; on demand, begin to seal it."""
    from molecule_approve import wiring
    from molecule_approve.audit.journal import Journal
    from molecule_approve.audit.record import EventType, Record, RecordAction, RecordOutcome
    from molecule_approve.clock import utc_now

    if new_key and not seal:
        raise UsageError("--new-key goes with --seal", hint="add --seal")
    path = options.audit_log_path(config, audit_log)
    journal = Journal(path, limit=None)  # what the size is to be is not asked for here, and "never" may be meant
    origin = wiring.origin()
    record = Record(
        timestamp=utc_now(),
        event_type=EventType.AUDIT,
        workspace_id=os.environ.get("WORKSPACE_ID", ""),
        actor=origin.user,
        action=RecordAction.INIT,
        resource=path.name,
        outcome=RecordOutcome.SUCCESS,
        trace_id=str(uuid.uuid4()),
        extras={"host": origin.host, "sealing": "hmac-sha256"} if seal else {"host": origin.host},
    )
    if not seal:
        head = journal.append(record, patience=PATIENCE)
        output.done(f"{head.seq}:{head.hash}")
        return Exit.OK
    key = journal.init(record, new_key=new_key, patience=PATIENCE)
    try:
        output.answer(key.to_text())
    except DeliveryError as exc:
        hint = "the key is nowhere else: begin another one with `audit init --seal --new-key`"
        raise DeliveryError(exc.message, hint=hint) from exc
    output.talk(
        f"{output.PROGRAM}: {visible(str(path))} is sealed from record {key.seq} on; keep this key where nobody who can"
        " write the log can read it: it is not stored here, and `audit verify --seal-key-file` wants it"
    )
    return Exit.OK
