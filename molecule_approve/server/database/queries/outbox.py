"""Queries: ended requests that are not in the audit log yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from molecule_approve.server.database.schema import UNRECORDED, approvals, outbox
from molecule_approve.server.database.values import OutboxEntry

from .requests import approval_of

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

_UNRECORDED = (
    sa.select(outbox.c.number.label("entry"), outbox.c.recorded_at, approvals)
    .join(approvals, approvals.c.id == outbox.c.approval_id)
    .where(sa.text(UNRECORDED), outbox.c.owner.is_not_distinct_from(sa.bindparam("p_owner", type_=sa.String)))
    .order_by(outbox.c.number)
)


class OutboxQueries:
    """The outbox; `RequestQueries` writes its rows, with the request that ends.

    ``owner`` is the server that appends them to its log.
    """

    def __init__(self, connection: Connection, owner: str | None) -> None:
        self._connection = connection
        self._owner = owner

    def unrecorded(self) -> list[OutboxEntry]:
        """The server's ended requests that are not marked as recorded in the audit log, oldest first."""
        rows = self._connection.execute(_UNRECORDED, {"p_owner": self._owner})
        return [OutboxEntry(row.entry, row.recorded_at, approval_of(row), row.claimed_by) for row in rows]

    def mark_recorded(self, numbers: list[int]) -> None:
        """Mark these rows as recorded in the audit log."""
        self._connection.execute(sa.update(outbox).where(outbox.c.number.in_(numbers)).values(journaled=True))
