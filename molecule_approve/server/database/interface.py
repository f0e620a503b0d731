"""What every kind of database offers: transactions that read, and transactions that write."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from .transaction import Transaction


class Store(Protocol):
    """A database that is open. All of it blocks, so the server uses it in threads.

    Raises:
        StoreError: from each of them, the database cannot answer.
    """

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
