"""``audit rotate`` and ``audit init``: what the owner of a log does with it."""

from __future__ import annotations

import os
import uuid
from typing import Annotated

from molecule_approve.cli import options, output
from molecule_approve.cli.exits import Exit
from molecule_approve.cli.help import option
from molecule_approve.errors import AuditError, DeliveryError, UsageError
from molecule_approve.safe_text import visible

PATIENCE = 10.0
"""Seconds that the log's lock is waited for."""


def rotate(config: options.Config = None, audit_log: options.AuditLog = None) -> int:
    """Turn the audit log into an archive and continue in a new file. Prints the archive's path."""
    from molecule_approve.audit.journal import Journal

    path = options.audit_log_path(config, audit_log)
    archive = Journal(path, on_wait=_say).rotate(patience=PATIENCE)
    if archive is None:
        raise AuditError(f"the audit log {path} has no records to archive")
    output.done(visible(str(archive)))
    return Exit.OK


def _say(sentence: str) -> None:
    output.say(f"{visible(sentence)}")


def init(
    seal: Annotated[
        bool,
        option("--seal", None, "Seal every record from now on. Prints the first key, once: keep it elsewhere."),
    ] = False,
    new_key: Annotated[
        bool, option("--new-key", None, "Create a new key, even if the log is sealed already or its key is lost.")
    ] = False,
    config: options.Config = None,
    audit_log: options.AuditLog = None,
) -> int:
    """Begin the audit log with a first record, or seal it from now on."""
    from molecule_approve import wiring
    from molecule_approve.audit.journal import Journal
    from molecule_approve.audit.record import RecordAction, RecordOutcome, make_record
    from molecule_approve.clock import utc_now

    if new_key and not seal:
        raise UsageError("--new-key requires --seal", hint="add --seal")
    path = options.audit_log_path(config, audit_log)
    journal = Journal(
        path, limit=None, on_wait=_say
    )  # what the size is to be is not asked for here, and "never" may be meant
    origin = wiring.origin()
    record = make_record(
        RecordAction.INIT,
        RecordOutcome.SUCCESS,
        timestamp=utc_now(),
        workspace_id=os.environ.get("WORKSPACE_ID", ""),
        resource=path.name,
        actor=origin.user,
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
        hint = "the key is stored nowhere else: create another one with `molecule-approve audit init --seal --new-key`"
        raise DeliveryError(exc.message, hint=hint) from exc
    output.say(
        f"{visible(str(path))} is sealed from record {key.seq} on. Keep the key where nobody who can"
        " write the log can read it: it is not stored here, and `audit verify --seal-key-file` needs it."
    )
    return Exit.OK
