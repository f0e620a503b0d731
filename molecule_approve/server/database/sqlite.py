"""SQLite: one file of one server."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from . import upgrade
from .prepared import driver_of
from .transaction import Transaction
from .values import GoneError, StoreError

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine
    from sqlalchemy.engine.interfaces import DBAPIConnection


def _always() -> None:
    """Allow it."""


class SqliteStore:
    """One SQLite file: in WAL mode, so that readers never wait, and synchronous, so that a commit survives a crash.

    ``patience`` is how long a statement waits for the lock, in seconds. ``before_upgrade`` may refuse that an older file
    is brought up to date.

    Raises:
        StoreError: the file cannot be opened, or is of a newer program.
    """

    shared = False
    writers = 1

    def __init__(
        self,
        path: Path,
        patience: float,
        clock: Callable[[], float] = time.time,
        before_upgrade: Callable[[], None] = _always,
    ) -> None:
        self._files = {path: _make_file(path)}
        self._clock = clock
        self.name = str(path)
        self.patience = patience
        # As a URI, so that a connection never creates the file. Values of statements hold people's texts, so they are
        # kept out of error messages.
        self._engine = sa.create_engine(
            sa.URL.create("sqlite", database=path.absolute().as_uri(), query={"mode": "rw", "uri": "true"}),
            hide_parameters=True,
            pool_reset_on_return=None,
            connect_args={"timeout": patience},
        )
        sa.event.listen(self._engine, "do_connect", lambda *_: self.check())
        _configure(self._engine)
        try:
            with self.write() as transaction:
                upgrade.sqlite(transaction.connection, path, before_upgrade)
        except BaseException:
            self.close()
            raise
        # While a connection is open, and here one always is, the newest commits are only in this file.
        log = path.with_name(f"{path.name}-wal")
        with suppress(OSError):  # some file systems cannot have one
            self._files[log] = _identity(log.lstat())

    @contextmanager
    def read(self) -> Iterator[Transaction]:
        """A transaction that only reads.

        Raises:
            StoreError: the database cannot answer.
        """
        with self._begin("BEGIN") as transaction:
            yield transaction

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        """A transaction that has the write lock from its start, so that what it reads does not change until it commits.

        Raises:
            StoreError: the database cannot answer.
        """
        with self._begin("BEGIN IMMEDIATE") as transaction:
            yield transaction

    @contextmanager
    def _begin(self, words: str) -> Iterator[Transaction]:
        try:
            with self._engine.connect() as connection:
                driver = driver_of(connection)
                driver.execute(words)
                try:
                    yield Transaction(connection, self._clock)
                    self.check()
                    driver.commit()
                finally:
                    driver.rollback()  # it does nothing after a commit
        except (SQLAlchemyError, sqlite3.Error) as exc:
            raise StoreError(str(getattr(exc, "orig", None) or exc)) from exc

    def listener(self, *_: object) -> NoReturn:
        """There is none.

        Raises:
            StoreError: always; one server alone has the file.
        """
        raise StoreError("a SQLite file has no other servers to listen to")

    def check(self) -> None:
        """Check that the open files are still at their paths: what is written into a removed file is lost.

        Raises:
            GoneError: a file was removed or replaced.
            StoreError: the system does not say whether it was.
        """
        for path, known in self._files.items():
            try:
                found = _identity(path.lstat())
            except (FileNotFoundError, NotADirectoryError) as exc:
                raise GoneError(f"{path} was removed: {exc.strerror}") from exc
            except OSError as exc:
                raise StoreError(f"{path} cannot be checked: {exc.strerror}") from exc
            if found != known:
                raise GoneError(f"{path} was replaced by another file")

    def close(self) -> None:
        """Close the file."""
        self._engine.dispose()


def _make_file(path: Path) -> tuple[int, int]:
    """Create the file if it is missing; its identity."""
    # SQLite would create it with the umask's mode. Its WAL and index files get the mode of this file.
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as exc:
        raise StoreError(f"{path}: {exc.strerror}") from exc
    found = _identity(os.fstat(handle))
    os.close(handle)
    return found


def _identity(found: os.stat_result) -> tuple[int, int]:
    return found.st_dev, found.st_ino


def _configure(engine: Engine) -> None:
    @sa.event.listens_for(engine, "connect")
    def _on_connect(connection: DBAPIConnection, _record: object) -> None:
        # Otherwise Python's sqlite3 begins transactions by itself, and never IMMEDIATE ones.
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode = WAL")
        cursor.execute("PRAGMA synchronous = FULL")
        cursor.close()
