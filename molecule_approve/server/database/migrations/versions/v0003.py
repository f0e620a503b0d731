"""The tables before Alembic: what is missing of them in the databases of the first programs (``user_version`` 1 to 3)."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = None

_OPEN = sa.text("status IN ('pending', 'escalated')")


def upgrade() -> None:
    """Add the table and the indexes that the first two versions did not have."""
    op.create_table(
        "sign_in_codes",
        sa.Column("code_hash", sa.String, primary_key=True),
        sa.Column("token_hash", sa.String, nullable=False),
        sa.Column("made", sa.Float, nullable=False),
        if_not_exists=True,
    )
    for name, table, columns, where in (
        ("approvals_of_workspace", "approvals", ["workspace_id", "number"], None),
        ("approvals_of_task", "approvals", ["workspace_id", "task_id", "number"], None),
        ("approvals_open", "approvals", ["workspace_id"], _OPEN),
        ("approvals_due", "approvals", ["expires"], _OPEN),
        ("approvals_pending", "approvals", ["number"], sa.text("status = 'pending'")),
    ):
        op.create_index(name, table, columns, sqlite_where=where, if_not_exists=True)
