"""Rules and proofs: what a request needs, each person's decision, approvers' keys and groups, who this server is."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

_NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_NOT_RETRACTED = sa.text("retracted_at IS NULL")
_IN_USE = sa.text("removed_at IS NULL")


def upgrade() -> None:
    """Add what is new; older requests have no requirement, and one decision, which their own columns hold."""
    op.add_column("approvals", sa.Column("requirement", sa.String))
    _decisions()
    _keys()
    op.create_table(
        "approver_groups",
        sa.Column("approver_id", sa.String, sa.ForeignKey("approvers.id"), primary_key=True),
        sa.Column("name", sa.String, primary_key=True),
    )
    op.create_table(
        "identity",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("private_key", sa.String, nullable=False),
        sa.Column("created_at", sa.String, nullable=False),
    )


def _decisions() -> None:
    op.create_table(
        "decisions",
        sa.Column("number", _NUMBER, primary_key=True, autoincrement=True),
        sa.Column("approval_id", sa.String, nullable=False),
        sa.Column("person", sa.String, nullable=False),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("approver_id", sa.String, nullable=False),
        sa.Column("decision", sa.String, nullable=False),
        sa.Column("decided_at", sa.String, nullable=False),
        sa.Column("claimed_by", sa.String),
        sa.Column("comment", sa.String),
        sa.Column("proof_kind", sa.String, nullable=False),
        sa.Column("statement", sa.String),
        sa.Column("proof", sa.String),
        sa.Column("statement_hash", sa.String, unique=True),
        sa.Column("retracted_at", sa.String),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "decisions_of_request",
        "decisions",
        ["approval_id", "person"],
        unique=True,
        sqlite_where=_NOT_RETRACTED,
        postgresql_where=_NOT_RETRACTED,
    )


def _keys() -> None:
    op.create_table(
        "approver_keys",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("approver_id", sa.String, sa.ForeignKey("approvers.id"), nullable=False),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("label", sa.String, nullable=False),
        sa.Column("public_key", sa.String, nullable=False),
        sa.Column("credential_id", sa.String),
        sa.Column("rp_id", sa.String),
        sa.Column("sign_count", _NUMBER, nullable=False),
        sa.Column("aaguid", sa.String),
        sa.Column("added_at", sa.String, nullable=False),
        sa.Column("added_by", sa.String, nullable=False),
        sa.Column("removed_at", sa.String),
    )
    op.create_index("approver_keys_of_approver", "approver_keys", ["approver_id"])
    op.create_index(
        "approver_keys_once",
        "approver_keys",
        ["public_key"],
        unique=True,
        sqlite_where=_IN_USE,
        postgresql_where=_IN_USE,
    )
    op.create_table(
        "key_codes",
        sa.Column("code_hash", sa.String, primary_key=True),
        sa.Column("approver_id", sa.String, sa.ForeignKey("approvers.id"), nullable=False),
        sa.Column("made", sa.Float, nullable=False),
    )
