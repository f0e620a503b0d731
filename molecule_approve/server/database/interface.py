"""What every kind of database offers: transactions that read, and transactions that write."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextlib import AbstractContextManager

    from .transaction import Transaction


class Listening(Protocol):
    """A server's connection to the others of its database, and the lock that says that it runs.

    ``heard`` gets what the others tell, and what this server told. ``joined`` is awaited after each connection: nothing
    was heard before it. ``clock`` is monotonic, in seconds.

    Attributes:
        problem: why there is no connection.
    """

    problem: str

    @property
    def holds(self) -> bool:
        """Whether this server surely has its lock."""
        ...

    async def run(self) -> None:
        """Connect, again after each failure. Runs until it is cancelled."""
        ...


class Store(Protocol):
    """A database that is open. All of it blocks, so the server uses it in threads.

    Attributes:
        name: its path or address, for people.
        shared: whether other servers may use it at the same time, so that events go through it.
        writers: how many transactions may write at the same time.
        patience: for how long an operation that fails may be tried again, in seconds.

    Raises:
        StoreError: from each of them, the database cannot answer.
    """

    name: str
    shared: bool
    writers: int
    patience: float

    def read(self) -> AbstractContextManager[Transaction]:
        """A transaction that only reads."""
        ...

    def write(self) -> AbstractContextManager[Transaction]:
        """A transaction that may write; it is committed durably at the end of the block, and undone by an exception."""
        ...

    def listener(
        self,
        replica_id: str,
        heard: Callable[[str], None],
        joined: Callable[[], Awaitable[None]],
        clock: Callable[[], float],
    ) -> Listening:
        """What connects this server to the others; see :class:`Listening`. For shared databases only."""
        ...

    def check(self) -> None:
        """Check that what is committed now is not lost: for a file, that it is still at its path."""
        ...

    def close(self) -> None:
        """Close every connection."""
        ...
