"""Copies everything from a SQLite database into an empty PostgreSQL database, in one transaction."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from .schema import (
    approvals,
    approver_groups,
    approver_keys,
    approver_workspaces,
    approvers,
    decisions,
    identity,
    outbox,
    requesters,
    sessions,
    workspaces,
)
from .values import StoreError

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from .interface import Store
    from .transaction import Transaction

# In an order in which each row's owner comes first. Codes live for minutes, and stay behind.
_TABLES = (
    *(identity, workspaces, requesters, approvers, approver_workspaces, approver_groups, approver_keys, sessions),
    *(approvals, decisions, outbox),
)

_NUMBERED = (approvals, decisions, outbox)

_AT_ONCE = 1_000


def copy(source: Store, target: Store, recorded: set[str]) -> dict[str, int]:
    """Copy all rows; how many there are of each table.

    ``recorded`` are the approvals in the source's audit log. What is missing there becomes the target's server's, to append.

    The server's own requesters are not copied: each server makes its own at its start, from its file.

    Raises:
        StoreError: the target is not empty, or a database cannot answer; then nothing was copied.
    """
    with source.read() as reading, target.write() as writing:
        _check_empty(writing.connection)
        for limit in ("idle_in_transaction_session_timeout", "statement_timeout"):
            writing.connection.execute(sa.text(f"SET LOCAL {limit} = 0"))
        counts = {table.name: _copy(table, reading.connection, writing.connection) for table in _TABLES}
        _settle(writing, recorded)
        for table in _NUMBERED:
            writing.connection.execute(_continued(table))
    return counts


def _check_empty(connection: Connection) -> None:
    for table in _TABLES:
        if connection.execute(sa.select(sa.literal(1)).select_from(table).limit(1)).first() is not None:
            raise StoreError(f"it has rows in {table.name}; import into a new database, before the first start with it")


def _copy(table: sa.Table, source: Connection, target: Connection) -> int:
    count = 0
    for rows in _pieces(table, source):
        target.execute(sa.insert(table), rows)
        count += len(rows)
    return count


def _pieces(table: sa.Table, source: Connection) -> Iterator[list[dict[str, Any]]]:
    query = sa.select(table)
    if table is requesters:
        query = query.where(sa.not_(requesters.c.built_in))
    if table in _NUMBERED:
        query = query.order_by(table.c.number)
    for rows in source.execution_options(yield_per=_AT_ONCE).execute(query).mappings().partitions(_AT_ONCE):
        yield [dict(row) for row in rows]


def _settle(transaction: Transaction, recorded: set[str]) -> None:
    waiting = transaction.outbox.unrecorded_of(None)
    # A server that was killed had no time to note what its log holds.
    transaction.outbox.mark_recorded([entry.number for entry in waiting if entry.approval.id in recorded])
    transaction.outbox.take_over([entry.number for entry in waiting if entry.approval.id not in recorded])


def _continued(table: sa.Table) -> sa.TextClause:
    """Let the next number follow the last one that was copied."""
    return sa.text(
        f"SELECT setval(pg_get_serial_sequence('{table.name}', 'number'), max(number)) FROM {table.name} HAVING count(*) > 0"  # noqa: S608 - our own names
    )
