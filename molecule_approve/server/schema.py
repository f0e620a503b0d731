"""The tables of the embedded server's database; the queries live in ``store``."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Float, Index, Integer, MetaData, String, Table, UniqueConstraint, text

VERSION = 3
"""SQLite's ``user_version``. Version 1 had no sign-in codes, 2 had fewer indexes; other versions are refused."""

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
    # Seconds since the epoch: the code is made in one process and used in another.
    Column("made", Float, nullable=False),
)

approvals = Table(
    "approvals",
    metadata,
    # The order of arrival, also of two requests within one microsecond.
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("id", String, nullable=False, unique=True),
    Column("workspace_id", String, nullable=False),
    Column("task_id", String, nullable=False),
    # The task id of an idempotency key, else NULL: the constraint below makes keys unique.
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
    # Whether decided_by comes from an approver's credential; false for expiry and withdrawal.
    Column("verified", Boolean, nullable=False),
    # The name in the decision's body; recorded in the audit log, never trusted.
    Column("claimed_by", String),
    Column("comment", String),
    Column("used_by", String),
    Column("used_at", String),
    UniqueConstraint("workspace_id", "key_id"),
    sqlite_autoincrement=True,
)

# Rows are kept for ever, so every query of a call uses one of these indexes.
Index("approvals_of_workspace", approvals.c.workspace_id, approvals.c.number)
Index("approvals_of_task", approvals.c.workspace_id, approvals.c.task_id, approvals.c.number)
OPEN = "status IN ('pending', 'escalated')"
"""Open requests. As text, because SQLite uses a partial index only for a query with the same text."""

Index("approvals_open", approvals.c.workspace_id, sqlite_where=text(OPEN))
Index("approvals_due", approvals.c.expires, sqlite_where=text(OPEN))
PENDING = "status = 'pending'"
"""Requests that wait for an approver."""

Index("approvals_pending", approvals.c.number, sqlite_where=text(PENDING))

outbox = Table(
    "journal",
    metadata,
    # One row for each ended request, written by the same transaction, and appended to the audit log afterwards.
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("approval_id", String, nullable=False, unique=True),
    Column("recorded_at", String, nullable=False),
    Column("journaled", Boolean, nullable=False),
    sqlite_autoincrement=True,
)

UNRECORDED = "journaled = 0"
"""The rows that are not marked as recorded in the audit log."""

Index("journal_waiting", outbox.c.number, sqlite_where=text(UNRECORDED))
