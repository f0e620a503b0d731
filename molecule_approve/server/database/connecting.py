"""Connections to PostgreSQL: the settings that this program relies on, on each of them, and how their errors are told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import psycopg
from psycopg.pq import TransactionStatus

if TYPE_CHECKING:
    from psycopg.abc import PQGen
    from psycopg.pq.abc import PGconn

    from .address import PostgresAddress

_T = TypeVar("_T")

CHANNEL = "molecule_approve"
"""The channel on which the servers tell each other of events."""

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
_SILENCE = _SLOWEST + 5.0
"""Seconds after which a connection on which nothing comes is given up: the database's machine may stand still."""


class _BoundedConnection(psycopg.Connection[Any]):
    """A connection that waits for each answer for a bounded time."""

    def __init__(self, pgconn: PGconn) -> None:
        super().__init__(pgconn)
        self._cursors: dict[str, psycopg.Cursor[Any]] = {}

    def cursor_for(self, statement: str) -> psycopg.Cursor[Any]:
        """The cursor of a statement that comes often: a new one would find out again how to read each of its columns."""
        found = self._cursors.get(statement)
        if found is None:
            found = self._cursors[statement] = self.cursor()
        return found

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


def connect(address: PostgresAddress, patience: float) -> psycopg.Connection[Any]:
    """A new connection; ``patience`` is how long a statement waits for a lock, in seconds.

    Raises:
        psycopg.Error: the database cannot be reached.
    """
    # Transactions are begun in words, together with what comes first in them.
    connection = _BoundedConnection.connect(address.conninfo, autocommit=True)
    try:
        connection.execute(SETTINGS, settings_of(patience))
    except BaseException:
        connection.close()
        raise
    return connection


def settings_of(patience: float) -> dict[str, list[str]]:
    """The names and values of the settings of each connection."""
    settings = {
        **_KEEPALIVE,
        "lock_timeout": f"{round(patience * 1_000)}",
        "statement_timeout": f"{_SLOWEST * 1_000}",
        "idle_in_transaction_session_timeout": f"{_ABANDONED * 1_000}",
        "default_transaction_isolation": "read committed",
        "default_transaction_read_only": "off",
        # Entries of rows that have ended are passed over for good by a plain scan, and again and again by a bitmap.
        "enable_bitmapscan": "off",
    }
    return {"names": [*settings], "values": [*settings.values()]}


def error_text(error: BaseException | None) -> str:
    """What the database, or its library, says of an error, in one line without values."""
    said = error.diag.message_primary if isinstance(error, psycopg.Error) else None
    return (said or str(error)).strip().partition("\n")[0]
