"""Queries: the servers that share the database. For PostgreSQL only."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import sqlalchemy as sa

from molecule_approve.server.database.schema import replicas
from molecule_approve.server.database.values import ReplicaRow

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

_REGISTER_LOCK = 6_011_771_425_201_937_413
"""The key of the advisory lock under which a server looks at the others, and registers itself."""

_LOCK = sa.select(sa.func.pg_try_advisory_xact_lock(sa.bindparam("p_key", type_=sa.BigInteger)))


def lock_key(replica_id: str | None) -> int:
    """The key of a server's advisory lock: 64 bits, signed. None stands for rows that no server owns."""
    digest = hashlib.sha256(f"molecule-approve server {replica_id or ''}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


class ReplicaQueries:
    """The servers of the database. A server holds its lock on a connection of its own for as long as it runs."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def wait_for_others(self) -> None:
        """Let no other server register until this transaction ends: of two that start together, one sees the other."""
        self._connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_REGISTER_LOCK)))

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

    def take_time(self) -> None:
        """Let this transaction stand still for longer than usual."""
        self._connection.execute(sa.text("SET LOCAL idle_in_transaction_session_timeout = 0"))
