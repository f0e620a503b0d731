"""A server's own connection to PostgreSQL: on it the others' events arrive, and it holds the lock that says: alive."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import psycopg

from . import connecting
from .queries.replicas import lock_key
from .values import StoreError

if TYPE_CHECKING:
    from psycopg.pq.abc import PGconn

    from .address import PostgresAddress

_BEAT = 1.0
"""Seconds of silence after which the connection is tried, and the lock confirmed."""

_LEASE = 5.0
"""Seconds that a confirmation of the lock counts: less than the others wait before they take over (``Limits.takeover``)."""

_ANSWER = 5.0
"""Seconds that an answer may take."""

_PAUSES = (0.05, 2.0)
"""Seconds before a new connection is tried: at first, and at most."""

_GREETING = "here "
"""What a server says to itself begins so. To others it means nothing."""

_HOLDER = """
SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted AND database =
    (SELECT oid FROM pg_database WHERE datname = current_database())
    AND objsubid = 1 AND ((classid::bigint << 32) | objid::bigint) = %s
"""


class Listener:
    """Listens until it is cancelled; after each connection that broke, a new one is made.

    ``heard`` gets each event; ``joined`` is awaited after each connection, before the events on it: between two
    connections nothing was heard. Everything runs on the event loop; ``clock`` is monotonic, in seconds.
    """

    def __init__(
        self,
        address: PostgresAddress,
        replica_id: str,
        heard: Callable[[str], None],
        joined: Callable[[], Awaitable[None]],
        clock: Callable[[], float],
    ) -> None:
        self._address = address
        self._key = lock_key(replica_id)
        self._heard = heard
        self._joined = joined
        self._clock = clock
        self._confirmed: float | None = None
        self._last_pid = 0
        self.problem = "it was not tried yet"

    @property
    def holds(self) -> bool:
        """Whether this server surely has its lock: nobody took over what it has to do."""
        return self._confirmed is not None and self._clock() - self._confirmed < _LEASE

    async def run(self) -> None:
        """Listen. Runs until it is cancelled."""
        pause = _PAUSES[0]
        while True:
            try:
                async with await self._connect() as connection:
                    begin = await self._lock(connection)
                    await self._check_hearing(connection)
                    await self._joined()
                    # Only now: meanwhile others may have taken over what this server had to do.
                    self._confirmed, self.problem, pause = begin, "", _PAUSES[0]
                    await self._listen(connection)
            except (psycopg.Error, TimeoutError, StoreError) as exc:
                self.problem = connecting.error_text(exc) or "it does not answer"
            # Not all servers at the same moment, when the database comes back.
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - no secret
            pause = min(pause * 2, _PAUSES[1])

    async def _connect(self) -> psycopg.AsyncConnection[Any]:
        connection = await psycopg.AsyncConnection.connect(self._address.conninfo, autocommit=True)
        try:
            async with asyncio.timeout(_ANSWER):
                await connection.execute(connecting.SETTINGS, connecting.settings_of(_ANSWER))
                await connection.execute(f"LISTEN {connecting.CHANNEL}".encode())
        except BaseException:
            await connection.close()
            raise
        return connection

    async def _lock(self, connection: psycopg.AsyncConnection[Any]) -> float:
        begin = self._clock()
        async with asyncio.timeout(_ANSWER):
            # The connection's own number may be a pooler's.
            cursor = await connection.execute("SELECT pg_try_advisory_lock(%s), pg_backend_pid()", (self._key,))
            row = await cursor.fetchone()
        if row is None or not row[0]:
            async with asyncio.timeout(_ANSWER):
                await self._end_last(connection)
            raise StoreError("another server has this server's id")
        self._last_pid = row[1]
        return begin

    async def _check_hearing(self, connection: psycopg.AsyncConnection[Any]) -> None:
        """Wait for a word of our own: with a pooler that gives the connection to others, neither words nor the lock hold.

        Raises:
            StoreError: it does not come.
        """
        word = f"{_GREETING}{self._key}"
        async with asyncio.timeout(_ANSWER), await psycopg.AsyncConnection.connect(self._address.conninfo) as another:
            await another.execute("SELECT pg_notify(%s, %s)", (connecting.CHANNEL, word))
        # What others said meanwhile is read after it.
        async for notice in connection.notifies(timeout=_ANSWER):
            if notice.payload == word:
                return
        raise StoreError("its events do not arrive; a pooler such as PgBouncer must be in session mode")

    async def _end_last(self, connection: psycopg.AsyncConnection[Any]) -> None:
        # Our own last connection, of whose end the database has not heard.
        for (pid,) in await (await connection.execute(_HOLDER, (self._key,))).fetchall():
            if pid == self._last_pid:
                await connection.execute("SELECT pg_terminate_backend(%s)", (pid,))

    async def _listen(self, connection: psycopg.AsyncConnection[Any]) -> None:
        # What comes while the lock is confirmed.
        connection.add_notify_handler(lambda notice: self._heard(notice.payload))
        while True:
            await self._hear(connection.pgconn)
            begin = self._clock()
            async with asyncio.timeout(_ANSWER):
                await connection.execute("SELECT 1")
            self._confirmed = begin

    async def _hear(self, wire: PGconn) -> None:
        """Pass on what comes during one beat, at once: the library's own way costs three times the processor time.

        Raises:
            psycopg.Error: the connection broke.
        """
        loop, number = asyncio.get_running_loop(), wire.socket
        broken: asyncio.Future[None] = loop.create_future()

        def read() -> None:
            try:
                wire.consume_input()
            except psycopg.Error as exc:
                loop.remove_reader(number)
                broken.set_exception(exc)
            else:
                self._pass_on(wire)

        self._pass_on(wire)  # what came behind the last answer
        loop.add_reader(number, read)
        try:
            await asyncio.wait({broken}, timeout=_BEAT)
        finally:
            loop.remove_reader(number)
        if broken.done():
            broken.result()

    def _pass_on(self, wire: PGconn) -> None:
        while (notice := wire.notifies()) is not None:
            self._heard(notice.extra.decode(errors="replace"))
