"""Queries: the servers that share the database, and what those that ended left in the outbox. For PostgreSQL only."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import sqlalchemy as sa

from molecule_approve.server.database.schema import UNRECORDED, approvals, outbox, replicas
from molecule_approve.server.database.values import OutboxEntry, ReplicaRow

from .requests import approval_of

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

_OWNER: sa.BindParameter[str] = sa.bindparam("p_owner", type_=sa.String)
_LEFT = (
    sa.select(outbox.c.number.label("entry"), outbox.c.recorded_at, approvals)
    .join(approvals, approvals.c.id == outbox.c.approval_id)
    .where(sa.text(UNRECORDED), outbox.c.owner.is_not_distinct_from(_OWNER))
    .order_by(outbox.c.number)
)
_LOCK = sa.select(sa.func.pg_try_advisory_xact_lock(sa.bindparam("p_key", type_=sa.BigInteger)))


def lock_key(replica_id: str | None) -> int:
    """The key of a server's advisory lock: 64 bits, signed. None stands for rows that no server owns."""
    digest = hashlib.sha256(f"molecule-approve server {replica_id or ''}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


class ReplicaQueries:
    """The servers of the database. A server holds its lock on a connection of its own for as long as it runs."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def register(self, replica: ReplicaRow, started_at: str) -> None:
        """Write down where the server is."""
        values = {"host": replica.host, "log": replica.log, "public_url": replica.public_url, "started_at": started_at}
        known = sa.update(replicas).where(replicas.c.id == replica.id).values(values)
        if self._connection.execute(known).rowcount == 0:
            self._connection.execute(sa.insert(replicas).values(id=replica.id, **values))

    def all(self) -> list[ReplicaRow]:
        """All servers that were ever started, and not forgotten since."""
        rows = self._connection.execute(sa.select(replicas).order_by(replicas.c.started_at))
        return [ReplicaRow(row.id, row.host, row.log, row.public_url) for row in rows]

    def forget(self, replica_id: str) -> None:
        """Delete a server that has ended and left nothing."""
        self._connection.execute(sa.delete(replicas).where(replicas.c.id == replica_id))

    def lock(self, replica_id: str | None) -> bool:
        """Take the server's lock until the end of this transaction; False if the server holds it: it runs."""
        return bool(self._connection.execute(_LOCK, {"p_key": lock_key(replica_id)}).scalar_one())

    def owners(self) -> set[str | None]:
        """Those whose ended requests are not in an audit log yet."""
        return set(self._connection.execute(sa.select(outbox.c.owner).where(sa.text(UNRECORDED)).distinct()).scalars())

    def left_by(self, replica_id: str | None) -> list[OutboxEntry]:
        """What the server has not appended to its audit log, or not marked, oldest first."""
        rows = self._connection.execute(_LEFT, {"p_owner": replica_id})
        return [OutboxEntry(row.entry, row.recorded_at, approval_of(row), row.claimed_by) for row in rows]

    def take_over(self, numbers: Sequence[int], new_owner: str) -> None:
        """Give these rows of the outbox another owner."""
        self._connection.execute(sa.update(outbox).where(outbox.c.number.in_(numbers)).values(owner=new_owner))
