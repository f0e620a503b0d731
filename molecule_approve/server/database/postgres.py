"""PostgreSQL: one database for any number of servers."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import psycopg
import sqlalchemy as sa
from psycopg.pq import TransactionStatus
from psycopg.sql import Literal
from sqlalchemy.exc import DBAPIError, DisconnectionError, SQLAlchemyError

from . import upgrade
from .connecting import CHANNEL, connect, error_text
from .listener import Listener
from .prepared import driver_of
from .schema import POSTGRESQL_CLOCK
from .transaction import Transaction
from .values import LostConnectionError, RaceError, StoreError, UnknownCommitError

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection
    from sqlalchemy.pool import ConnectionPoolEntry

    from .address import PostgresAddress
    from .values import Change

_CONNECTIONS = 8
"""Of one server, beside the one that listens: for the threads that write, for those that read, and some to spare."""

OLDEST = 14
"""The oldest version of PostgreSQL that is tested."""

# One message to the database has several statements, as each message and its answer cost time.
_NOW = f"SELECT {POSTGRESQL_CLOCK}"
_BEGIN = f"BEGIN; {_NOW}"
_BEGIN_READING = f"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; {_NOW}"
"""One snapshot for all that a reader reads."""

# A commit that waits for a standby must not be cut short: it would be taken for safe although it is not.
_COMMIT = "SET LOCAL statement_timeout = 0; COMMIT"

_TOLD_TOGETHER = 64
"""Changes of one message, each a line of at most 95 bytes; PostgreSQL takes messages of fewer than 8,000."""

_RACES = frozenset({"40001", "40P01", "55P03", "23505", "0A000"})
"""Another transaction was in the way: it changed what was read, waited for us, held a lock, added the same, or changed a
table for which a statement was prepared: in a next transaction that is prepared anew."""

_LOST = frozenset({"57P01", "57P02", "57P03", "25P03", "25006"})
"""The database is being stopped or started, gave up the connection, or was made a standby."""


class PostgresStore:
    """A PostgreSQL database. ``patience`` is how long a statement waits for a lock, in seconds.

    ``owner`` is the id of this server, which appends what ends here to its audit log.

    Raises:
        StoreError: it cannot be reached, is too old, or is of a newer program.
    """

    shared = True
    writers = 2

    def __init__(
        self,
        address: PostgresAddress,
        patience: float,
        owner: str | None = None,
        before_upgrade: Callable[[], None] = lambda: None,
    ) -> None:
        self.name = address.shown
        self._address = address
        self.patience = patience
        self._owner = owner
        # Values of statements hold people's texts, so they are kept out of error messages.
        self._engine = sa.create_engine(
            "postgresql+psycopg://",
            creator=partial(connect, address, patience),
            hide_parameters=True,
            pool_size=_CONNECTIONS,
            max_overflow=0,
            pool_timeout=patience,
            pool_use_lifo=True,
            use_native_hstore=False,
        )
        self._lost = float("-inf")
        self._discard_lost()
        try:
            self._upgrade(before_upgrade)
        except BaseException:
            self.close()
            raise

    def _discard_lost(self) -> None:
        """Once a connection broke, none that is older is used again: most likely all of them are broken."""

        @sa.event.listens_for(self._engine, "connect")
        def _on_connect(_connection: object, record: ConnectionPoolEntry) -> None:
            record.info["made"] = time.monotonic()

        @sa.event.listens_for(self._engine, "checkout")
        def _on_checkout(_connection: object, record: ConnectionPoolEntry, _proxy: object) -> None:
            if record.info["made"] <= self._lost:
                raise DisconnectionError

    def _upgrade(self, before_upgrade: Callable[[], None]) -> None:
        with self.write() as transaction:
            _check_version(transaction.connection)
            # It may take longer than any other statement, or wait for another server that does it.
            transaction.connection.execute(sa.text("SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0"))
            upgrade.postgres(transaction.connection, before_upgrade)

    @contextmanager
    def read(self) -> Iterator[Transaction]:
        """A transaction that only reads; everything in it is of one moment.

        Raises:
            StoreError: the database cannot answer.
        """
        with self._begin(_BEGIN_READING) as transaction:
            yield transaction
            # After a rollback the driver would forget the statements that it has prepared.
            driver_of(transaction.connection).commit()

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        """A transaction that may write. Each statement sees what was committed before it (READ COMMITTED).

        Raises:
            LostConnectionError, RaceError: it was undone, and another try may succeed.
            UnknownCommitError: the connection broke while it was committed.
            StoreError: the database cannot answer.
        """
        with self._begin(_BEGIN) as transaction:
            yield transaction
            _commit(driver_of(transaction.connection), transaction.requests.changes)

    @contextmanager
    def _begin(self, words: str) -> Iterator[Transaction]:
        with _translated(), self._engine.connect() as connection:
            driver = driver_of(connection)
            try:
                began = driver.execute(words, prepare=False)
                began.nextset()
                now: float = began.fetchone()[0]
                yield Transaction(connection, lambda: now, self._owner)
            finally:
                self._end(connection, driver)

    def _end(self, connection: Connection, driver: psycopg.Connection[Any]) -> None:
        """Undo the transaction, unless it was committed."""
        with suppress(psycopg.Error):
            driver.rollback()
        if driver.closed:
            self._lost = time.monotonic()
            connection.invalidate()

    def listener(
        self,
        replica_id: str,
        heard: Callable[[str], None],
        joined: Callable[[], Awaitable[None]],
        clock: Callable[[], float],
    ) -> Listener:
        """What connects this server to the others."""
        return Listener(self._address, replica_id, heard, joined, clock)

    def check(self) -> None:
        """Nothing to check: each commit is confirmed by the database itself."""

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()


def _check_version(connection: Connection) -> None:
    found: psycopg.Connection[Any] = driver_of(connection)
    if found.info.server_version < OLDEST * 10_000:
        raise StoreError(f"PostgreSQL {found.info.server_version // 10_000} is too old", f"use {OLDEST} or later")
    encoding = found.info.parameter_status("server_encoding")
    if encoding != "UTF8":
        raise StoreError(f"the database's encoding is {encoding}", "create it with ENCODING 'UTF8' TEMPLATE template0")


def _commit(driver: psycopg.Connection[Any], changes: Sequence[Change]) -> None:
    if driver.pgconn.transaction_status == TransactionStatus.INERROR:
        # PostgreSQL would answer such a commit with a rollback, and no error.
        raise StoreError("a statement failed, so that nothing was stored")
    try:
        driver.execute(_announcement(changes) + _COMMIT, prepare=False)
    except psycopg.Error as exc:
        if (exc.sqlstate or "")[:2] in {"40", "23"}:
            raise
        raise UnknownCommitError(f"the connection broke while it was stored: {error_text(exc)}") from exc


def _announcement(changes: Sequence[Change]) -> str:
    """A statement that tells all servers of the changes; empty if there are none."""
    if not changes:
        return ""
    lines = [change.encode() for change in changes]
    texts = ["\n".join(lines[start : start + _TOLD_TOGETHER]) for start in range(0, len(lines), _TOLD_TOGETHER)]
    calls = [f"pg_notify('{CHANNEL}', {Literal(text).as_string()})" for text in texts]
    return f"SELECT {', '.join(calls)}; "


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except psycopg.Error as exc:
        raise _kind(exc)(error_text(exc)) from exc
    except DBAPIError as exc:
        raise (LostConnectionError if exc.connection_invalidated else _kind(exc.orig))(error_text(exc.orig)) from exc
    except SQLAlchemyError as exc:
        raise LostConnectionError("all connections to the database are in use") from exc


def _kind(exc: BaseException | None) -> type[StoreError]:
    state = exc.sqlstate if isinstance(exc, psycopg.Error) else None
    if state in _LOST or (not state and isinstance(exc, psycopg.OperationalError)):
        return LostConnectionError
    return RaceError if state in _RACES else StoreError
