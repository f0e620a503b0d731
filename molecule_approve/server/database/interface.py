"""What every kind of database offers: transactions that read, and transactions that write."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from .transaction import Transaction


class Store(Protocol):
    """A database that is open. All of it blocks, so the server uses it in threads.

    Attributes:
        shared: whether other servers may use it at the same time, so that events go through it.
        writers: how many transactions may write at the same time.
        patience: for how long an operation that fails may be tried again, in seconds.

    Raises:
        StoreError: from each of them, the database cannot answer.
    """

    shared: bool
    writers: int
    patience: float

    def read(self) -> AbstractContextManager[Transaction]:
        """A transaction that only reads."""
        ...

    def write(self) -> AbstractContextManager[Transaction]:
        """A transaction that may write; it is committed durably at the end of the block, and undone by an exception."""
        ...

    def check(self) -> None:
        """Check that what is committed now is not lost: for a file, that it is still at its path."""
        ...

    def close(self) -> None:
        """Close every connection."""
        ...
