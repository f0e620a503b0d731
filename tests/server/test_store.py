"""The database file: private, durable, of this version, and its failures told in our own words."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from molecule_approve.server.rows import StoreError
from molecule_approve.server.store import Store


def test_the_file_and_what_lies_beside_it_are_private(tmp_path: Path) -> None:
    """0600, with the write-ahead log, whatever the umask."""
    store = Store(tmp_path / "server.db", 1)
    with store.write() as transaction:
        transaction.add_approver("alice", "hash", "now")
        modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    store.close()
    assert modes == {"server.db": 0o600, "server.db-wal": 0o600, "server.db-shm": 0o600}


def test_a_commit_is_synchronous_and_readers_do_not_wait(tmp_path: Path) -> None:
    """WAL and FULL, on every connection."""
    store = Store(tmp_path / "server.db", 1)
    with store.read() as transaction:
        found = [
            transaction.connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("journal_mode", "synchronous")
        ]
    store.close()
    assert found == ["wal", 2]


def test_a_database_of_another_version_is_refused(tmp_path: Path) -> None:
    """Instead of guessing what its tables mean."""
    with closing(sqlite3.connect(tmp_path / "server.db")) as database:
        database.execute("PRAGMA user_version = 7")
    with pytest.raises(StoreError, match="version 7"):
        Store(tmp_path / "server.db", 1)


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    """With the database library's own sentence, and not its exception."""
    (tmp_path / "server.db").write_bytes(b"no database at all" * 100)
    with pytest.raises(StoreError, match="not a database"):
        Store(tmp_path / "server.db", 1)


def test_a_link_in_the_files_place_is_refused(tmp_path: Path) -> None:
    """What is private must not lie behind a link."""
    (tmp_path / "server.db").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreError, match=r"server\.db"):
        Store(tmp_path / "server.db", 1)


def test_a_lock_that_is_held_too_long_is_told(tmp_path: Path) -> None:
    """After the patience, as our own error, without the statement's values."""
    store = Store(tmp_path / "server.db", 0.01)
    with closing(sqlite3.connect(tmp_path / "server.db", isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="locked"), store.write():
            pass
    store.close()


def test_what_fails_in_the_middle_leaves_nothing(tmp_path: Path) -> None:
    """A transaction happens as a whole or not at all."""
    store = Store(tmp_path / "server.db", 1)
    with pytest.raises(StoreError, match="UNIQUE"):
        _add_two_with_one_token(store)
    with store.read() as transaction:
        assert transaction.approvers() == []
    store.close()


def _add_two_with_one_token(store: Store) -> None:
    with store.write() as transaction:
        for name in ("alice", "bob"):
            transaction.add_approver(name, "the same hash", "now")
