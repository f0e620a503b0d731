"""A server for a team: requesters with names, approvers of workspaces, sessions, and who asked."""

from __future__ import annotations

import uuid

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

_NOT_REVOKED = sa.text("revoked_at IS NULL")
_ADDED = sa.text("revoked_at IS NULL AND NOT built_in")


def upgrade() -> None:
    """Give names to requesters, and ids to all credentials; sign-in codes, which live for a minute, are dropped."""
    _workspaces_and_requesters()
    _approvers()
    _sign_ins()
    op.add_column("approvals", sa.Column("requested_by", sa.String))
    op.add_column("approvals", sa.Column("requester_id", sa.String))
    op.add_column("journal", sa.Column("owner", sa.String))
    _replicas()
    op.drop_index("journal_waiting", if_exists=True)
    waiting = sa.text("NOT journaled")
    op.create_index("journal_waiting", "journal", ["number"], sqlite_where=waiting, postgresql_where=waiting)


def _workspaces_and_requesters() -> None:
    connection = op.get_bind()
    found = connection.execute(sa.text("SELECT id, name, token_hash, created_at FROM workspaces")).mappings().all()
    op.drop_table("workspaces")
    workspaces = op.create_table(
        "workspaces",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("created_at", sa.String, nullable=False),
        sa.Column("removed_at", sa.String),
    )
    requesters = op.create_table(
        "requesters",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("workspace_id", sa.String, sa.ForeignKey("workspaces.id"), nullable=False),
        sa.Column("token_hash", sa.String, nullable=False, unique=True),
        sa.Column("created_at", sa.String, nullable=False),
        sa.Column("revoked_at", sa.String),
        sa.Column("built_in", sa.Boolean, nullable=False),
    )
    op.create_index(
        "requesters_by_name",
        "requesters",
        ["workspace_id", "name"],
        unique=True,
        sqlite_where=_ADDED,
        postgresql_where=_ADDED,
    )
    for row in found:
        op.bulk_insert(workspaces, [{key: row[key] for key in ("id", "name", "created_at")}])
        # The workspace's one token becomes that of a requester; the next start gives it the user's name.
        values = {"name": row["name"], "workspace_id": row["id"], "token_hash": row["token_hash"]}
        op.bulk_insert(requesters, [{"id": str(uuid.uuid4()), **values, "created_at": row["created_at"], "built_in": True}])


def _approvers() -> None:
    connection = op.get_bind()
    found = connection.execute(sa.text("SELECT name, token_hash, created_at FROM approvers")).mappings().all()
    op.drop_table("approvers")
    approvers = op.create_table(
        "approvers",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("token_hash", sa.String, unique=True),
        sa.Column("created_at", sa.String, nullable=False),
        sa.Column("revoked_at", sa.String),
        sa.Column("source", sa.String, nullable=False),
        sa.Column("subject", sa.String),
        sa.Column("limited", sa.Boolean, nullable=False),
    )
    op.create_index(
        "approvers_by_name",
        "approvers",
        ["name"],
        unique=True,
        sqlite_where=_NOT_REVOKED,
        postgresql_where=_NOT_REVOKED,
    )
    op.bulk_insert(approvers, [{"id": str(uuid.uuid4()), **row, "source": "token", "limited": False} for row in found])
    op.create_table(
        "approver_workspaces",
        sa.Column("approver_id", sa.String, sa.ForeignKey("approvers.id"), primary_key=True),
        sa.Column("workspace_id", sa.String, sa.ForeignKey("workspaces.id"), primary_key=True),
    )


def _sign_ins() -> None:
    op.drop_table("sign_in_codes")
    op.create_table(
        "sign_in_codes",
        sa.Column("code_hash", sa.String, primary_key=True),
        sa.Column("approver_id", sa.String, sa.ForeignKey("approvers.id"), nullable=False),
        sa.Column("made", sa.Float, nullable=False),
    )
    op.create_table(
        "openid_sign_ins",
        sa.Column("state_hash", sa.String, primary_key=True),
        sa.Column("challenge", sa.String, nullable=False),
        sa.Column("nonce_hash", sa.String, nullable=False),
        sa.Column("began", sa.Float, nullable=False),
    )
    op.create_table(
        "sessions",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("token_hash", sa.String, nullable=False, unique=True),
        sa.Column("approver_id", sa.String, sa.ForeignKey("approvers.id"), nullable=False),
        sa.Column("began", sa.Float, nullable=False),
        sa.Column("used", sa.Float, nullable=False),
        sa.Column("client", sa.String, nullable=False),
    )
    op.create_index("sessions_of_approver", "sessions", ["approver_id"])
    op.create_index("sessions_by_use", "sessions", ["used"])


def _replicas() -> None:
    op.create_table(
        "replicas",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("host", sa.String, nullable=False),
        sa.Column("log", sa.String, nullable=False),
        sa.Column("public_url", sa.String),
        sa.Column("started_at", sa.String, nullable=False),
    )
    op.create_table(
        "rates",
        sa.Column("key", sa.String, primary_key=True),
        sa.Column("slot", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
        sa.Column("count", sa.Integer, nullable=False),
    )
