"""PostgreSQL: one database for any number of servers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import psycopg
import sqlalchemy as sa
from psycopg.pq import TransactionStatus
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from . import upgrade
from .connecting import CHANNEL, connect, told
from .listener import Listener
from .schema import POSTGRESQL_CLOCK
from .transaction import Transaction
from .values import LostConnectionError, RaceError, StoreError, UnknownCommitError

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from .address import PostgresAddress
    from .values import Change

_CONNECTIONS = 8
"""Of one server, beside the one that listens: for the threads that write, for those that read, and some to spare."""

OLDEST = 14
"""The oldest version of PostgreSQL that is tested."""

# A commit that waits for a standby must not be cut short: it would be taken for safe although it is not.
_ANNOUNCE = sa.text(
    f"SELECT pg_notify('{CHANNEL}', event), set_config('statement_timeout', '0', true) "  # noqa: S608 - our own words
    "FROM unnest(CAST(:events AS text[])) AS told (event)"
)

_RACES = frozenset({"40001", "40P01", "55P03", "23505"})
"""Another transaction was in the way: it changed what was read, waited for us, held a lock, added the same."""

_LOST = frozenset({"57P01", "57P02", "57P03", "25P03", "25006"})
"""The database is being stopped or started, gave up the connection, or was made a standby."""


class PostgresStore:
    """A PostgreSQL database. ``patience`` is how long a statement waits for a lock, in seconds.

    ``owner`` is the id of this server, which appends what ends here to its audit log.

    Raises:
        StoreError: it cannot be reached, is too old, or is of a newer program.
    """

    shared = True
    writers = 4

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
        # One snapshot for all that a reader reads; both cost nothing.
        self._reading = self._engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        try:
            self._upgrade(before_upgrade)
        except BaseException:
            self.close()
            raise

    def _upgrade(self, before_upgrade: Callable[[], None]) -> None:
        with _translated(), self._engine.connect() as connection, connection.begin():
            _check_version(connection)
            # It may take longer than any other statement, or wait for another server that does it.
            connection.execute(sa.text("SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0"))
            upgrade.postgres(connection, before_upgrade)

    @contextmanager
    def read(self) -> Iterator[Transaction]:
        """A transaction that only reads; everything in it is of one moment.

        Raises:
            StoreError: the database cannot answer.
        """
        with _translated(), self._reading.connect() as connection:
            yield Transaction(connection, partial(_now, connection), self._owner)

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        """A transaction that may write. Each statement sees what was committed before it (READ COMMITTED).

        Raises:
            LostConnectionError, RaceError: it was undone, and another try may succeed.
            UnknownCommitError: the connection broke while it was committed.
            StoreError: the database cannot answer.
        """
        with _translated(), self._engine.connect() as connection:
            transaction = Transaction(connection, partial(_now, connection), self._owner)
            yield transaction
            _announce(connection, transaction.requests.changes)
            _commit(connection)

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
    found: psycopg.Connection[Any] = connection.connection.driver_connection  # type: ignore[assignment]  # psycopg's
    if found.info.server_version < OLDEST * 10_000:
        raise StoreError(f"PostgreSQL {found.info.server_version // 10_000} is too old; use {OLDEST} or later")
    encoding = found.info.parameter_status("server_encoding")
    if encoding != "UTF8":
        raise StoreError(f"the database's encoding is {encoding}; create it with ENCODING 'UTF8' TEMPLATE template0")


def _now(connection: Connection) -> float:
    return float(connection.exec_driver_sql(f"SELECT {POSTGRESQL_CLOCK}").scalar_one())


def _announce(connection: Connection, changes: Sequence[Change]) -> None:
    if changes:
        connection.execute(_ANNOUNCE, {"events": [change.encode() for change in changes]})


def _commit(connection: Connection) -> None:
    found: psycopg.Connection[Any] = connection.connection.driver_connection  # type: ignore[assignment]  # psycopg's
    if found.info.transaction_status == TransactionStatus.INERROR:
        # PostgreSQL would answer such a commit with a rollback, and no error.
        raise StoreError("a statement failed, so that nothing was stored")
    try:
        connection.commit()
    except DBAPIError as exc:
        if _state(exc)[:2] in {"40", "23"}:
            raise
        raise UnknownCommitError(f"the connection broke while it was stored: {told(exc.orig)}") from exc


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except DBAPIError as exc:
        raise _kind(exc)(told(exc.orig)) from exc
    except SQLAlchemyError as exc:
        raise LostConnectionError("all connections to the database are in use") from exc


def _kind(exc: DBAPIError) -> type[StoreError]:
    state = _state(exc)
    if exc.connection_invalidated or state in _LOST or (not state and isinstance(exc.orig, psycopg.OperationalError)):
        return LostConnectionError
    return RaceError if state in _RACES else StoreError


def _state(exc: DBAPIError) -> str:
    return getattr(exc.orig, "sqlstate", None) or ""
