"""Queries: ended requests that are not in the audit log yet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import sqlalchemy as sa

from molecule_approve.server.database.prepared import PreparedQuery
from molecule_approve.server.database.schema import UNRECORDED, approvals, outbox
from molecule_approve.server.database.values import OutboxEntry

from .decisions import DecisionQueries
from .requests import approval_of

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

_UNRECORDED = PreparedQuery(
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
        """The server's ended requests that are not marked as recorded in its audit log, oldest first."""
        return self.unrecorded_of(self._owner)

    def unrecorded_of(self, owner: str | None) -> list[OutboxEntry]:
        """The same of another server."""
        rows = _UNRECORDED.rows(self._connection, p_owner=owner)
        ruled = [row.id for row in rows if row.requirement is not None]
        made = DecisionQueries(self._connection).of_several(ruled) if ruled else {}
        return [
            OutboxEntry(row.entry, row.recorded_at, approval_of(row), row.claimed_by, tuple(made.get(row.id, ())))
            for row in rows
        ]

    def owners(self) -> set[str | None]:
        """The servers that have such requests."""
        return set(self._connection.execute(sa.select(outbox.c.owner).where(sa.text(UNRECORDED)).distinct()).scalars())

    def mark_recorded(self, numbers: Sequence[int]) -> None:
        """Mark these rows as recorded in the audit log."""
        self._connection.execute(sa.update(outbox).where(outbox.c.number.in_(numbers)).values(journaled=True))

    def take_over(self, numbers: Sequence[int]) -> None:
        """Make these rows the server's own."""
        self._connection.execute(sa.update(outbox).where(outbox.c.number.in_(numbers)).values(owner=self._owner))
