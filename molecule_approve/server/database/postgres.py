"""PostgreSQL: one database for any number of servers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import psycopg
import sqlalchemy as sa
from psycopg.pq import TransactionStatus
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from . import upgrade
from .schema import POSTGRESQL_CLOCK
from .transaction import Transaction
from .values import LostConnectionError, RaceError, StoreError, UnknownCommitError

if TYPE_CHECKING:
    from psycopg.abc import PQGen
    from sqlalchemy.engine import Connection

    from .address import PostgresAddress
    from .values import Change

_T = TypeVar("_T")

CHANNEL = "molecule_approve"
"""The channel on which the servers tell each other of events."""

_CONNECTIONS = 8
"""Of one server, beside the one that listens: for the threads that write, for those that read, and some to spare."""

OLDEST = 14
"""The oldest version of PostgreSQL that is tested."""

_KEEPALIVE = {
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "10000",
}
"""How the database notices that a server's machine vanished: what it had locked is free then."""

_ABANDONED = 5
"""Seconds that a transaction may stand still until the database ends it: it may hold what others wait for."""

_SLOWEST = 10
"""Seconds that one statement may take."""

# A commit answers only once it is on the disk, whatever the database's own settings say; more than that is allowed.
SETTINGS = """
SELECT set_config(name, value, false)
    FROM unnest(CAST(%(names)s AS text[]), CAST(%(values)s AS text[])) AS given (name, value)
UNION ALL SELECT set_config('synchronous_commit',
    CASE current_setting('synchronous_commit') WHEN 'remote_apply' THEN 'remote_apply' ELSE 'on' END, false)
"""
# A commit that waits for a standby must not be cut short: it would be taken for safe although it is not.
_ANNOUNCE = sa.text(
    f"SELECT pg_notify('{CHANNEL}', event), set_config('statement_timeout', '0', true) "  # noqa: S608 - our own words
    "FROM unnest(CAST(:events AS text[])) AS told (event)"
)

_SILENCE = _SLOWEST + 5.0
"""Seconds after which a connection on which nothing comes is given up: the database's machine may stand still."""

_RACES = frozenset({"40001", "40P01", "55P03", "23505"})
"""Another transaction was in the way: it changed what was read, waited for us, held a lock, added the same."""

_LOST = frozenset({"57P01", "57P02", "57P03", "25P03", "25006"})
"""The database is being stopped or started, gave up the connection, or was made a standby."""


class _BoundedConnection(psycopg.Connection[Any]):
    """A connection that waits for each answer for a bounded time."""

    def wait(self, gen: PQGen[_T], interval: float = 0.1, timeout: float | None = None) -> _T:
        """Wait for the answer.

        Raises:
            psycopg.Error: it did not come in time.
        """
        try:
            return super().wait(gen, interval, timeout or _SILENCE)
        except psycopg.OperationalError:
            if self.pgconn.transaction_status == TransactionStatus.ACTIVE:
                self.pgconn.finish()
            raise


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
        self.address = address
        self.patience = patience
        self._owner = owner
        # Values of statements hold people's texts, so they are kept out of error messages.
        self._engine = sa.create_engine(
            "postgresql+psycopg://",
            creator=self.connect,
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

    def connect(self) -> psycopg.Connection[Any]:
        """A new connection, with all settings that this program relies on.

        Raises:
            psycopg.Error: the database cannot be reached.
        """
        connection = _BoundedConnection.connect(self.address.conninfo, autocommit=True)
        try:
            connection.execute(SETTINGS, settings_of(self.patience))
        except BaseException:
            connection.close()
            raise
        connection.autocommit = False
        return connection

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

    def check(self) -> None:
        """Nothing to check: each commit is confirmed by the database itself."""

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()


def settings_of(patience: float) -> dict[str, list[str]]:
    """The names and values of the settings of each connection."""
    settings = {
        **_KEEPALIVE,
        "lock_timeout": f"{round(patience * 1_000)}",
        "statement_timeout": f"{_SLOWEST * 1_000}",
        "idle_in_transaction_session_timeout": f"{_ABANDONED * 1_000}",
        "default_transaction_isolation": "read committed",
        "default_transaction_read_only": "off",
    }
    return {"names": [*settings], "values": [*settings.values()]}


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


def told(error: BaseException | None) -> str:
    """What the database, or its library, says of an error, in one line without values."""
    said = error.diag.message_primary if isinstance(error, psycopg.Error) else None
    return (said or str(error)).strip().partition("\n")[0]
