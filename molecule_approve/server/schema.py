"""The tables of the embedded server's database; the queries live in ``store``."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Float, Index, Integer, MetaData, String, Table, UniqueConstraint, text

VERSION = 3
"""Stands in SQLite's ``user_version``. 1 had no sign-in codes, 2 fewer indexes; any other one is refused, not guessed at."""

metadata = MetaData()

workspaces = Table(
    "workspaces",
    metadata,
    Column("id", String, primary_key=True),
    Column("name", String, nullable=False),
    # SHA-256 of the requester's token, in hex; the token itself is nowhere in the database.
    Column("token_hash", String, nullable=False, unique=True),
    Column("created_at", String, nullable=False),
)

approvers = Table(
    "approvers",
    metadata,
    Column("name", String, primary_key=True),
    Column("token_hash", String, nullable=False, unique=True),
    Column("created_at", String, nullable=False),
)

codes = Table(
    "sign_in_codes",
    metadata,
    # SHA-256 of the code, in hex, and of the token of the approver whom it signs in.
    Column("code_hash", String, primary_key=True),
    Column("token_hash", String, nullable=False),
    # Seconds since the epoch: who makes a code and who takes it are two processes.
    Column("made", Float, nullable=False),
)

approvals = Table(
    "approvals",
    metadata,
    # The order of arrival; two requests of one microsecond still have one.
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("id", String, nullable=False, unique=True),
    Column("workspace_id", String, nullable=False),
    Column("task_id", String, nullable=False),
    # The task id again where an idempotency key fixed it, else NULL: the constraint below makes a key unique.
    Column("key_id", String),
    Column("action", String, nullable=False),
    Column("reason", String, nullable=False),
    Column("context", String),
    Column("status", String, nullable=False),
    Column("created_at", String, nullable=False),
    # Seconds since the epoch, so that SQLite can compare it.
    Column("expires", Float, nullable=False),
    Column("decided_by", String),
    Column("decided_at", String),
    # Whether the name stands for a person's own credential: not for expiry and withdrawal.
    Column("verified", Boolean, nullable=False),
    # The name that the decision's body claimed; shown nowhere, believed by nobody.
    Column("claimed_by", String),
    Column("comment", String),
    Column("used_by", String),
    Column("used_at", String),
    UniqueConstraint("workspace_id", "key_id"),
    sqlite_autoincrement=True,
)

# Rows are kept for ever: every query of a call finds its few by one of these, whatever else there is.
Index("approvals_of_workspace", approvals.c.workspace_id, approvals.c.number)
Index("approvals_of_task", approvals.c.workspace_id, approvals.c.task_id, approvals.c.number)
OPEN = "status IN ('pending', 'escalated')"
"""Who has not ended. A text and no expression: SQLite uses a partial index only where the query says the same words."""

Index("approvals_open", approvals.c.workspace_id, sqlite_where=text(OPEN))
Index("approvals_due", approvals.c.expires, sqlite_where=text(OPEN))
PENDING = "status = 'pending'"
"""Who waits for a person."""

Index("approvals_pending", approvals.c.number, sqlite_where=text(PENDING))

journal = Table(
    "journal",
    metadata,
    # One row for each request that ended, written by the same transaction; appended to the audit log afterwards.
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("approval_id", String, nullable=False, unique=True),
    Column("recorded_at", String, nullable=False),
    Column("journaled", Boolean, nullable=False),
    sqlite_autoincrement=True,
)

WAITING = "journaled = 0"
"""The rows that the audit log does not hold yet, as far as we know."""

Index("journal_waiting", journal.c.number, sqlite_where=text(WAITING))
