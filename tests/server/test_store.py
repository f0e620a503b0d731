"""The database file: private, durable, of this version, and its failures told in our own words."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from molecule_approve.server.store import Store
from molecule_approve.server.values import Most, StoreError


def test_the_file_and_what_lies_beside_it_are_private(tmp_path: Path) -> None:
    """0600, with the write-ahead log, whatever the umask."""
    store = Store(tmp_path / "server.db", 1)
    with store.write() as transaction:
        transaction.add_approver("alice", "hash", "now")
        modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    store.close()
    assert modes == {"server.db": 0o600, "server.db-wal": 0o600, "server.db-shm": 0o600}


@pytest.mark.parametrize("name", ["a?b", "100%25", "a%2Fb", "a%20b", "a#b", "file:x?mode=memory", "\u6f22 b"])
def test_the_file_is_where_its_path_says(tmp_path: Path, name: str) -> None:
    """Whatever a URL would make of the folder's name; nothing is made elsewhere."""
    folder = tmp_path / name
    folder.mkdir(mode=0o700)
    store = Store(folder / "server.db", 1)
    with store.write() as transaction:
        transaction.add_approver("alice", "hash", "now")
    store.close()
    assert [path.name for path in folder.iterdir()] == ["server.db"]
    assert list(tmp_path.iterdir()) == [folder]
    with closing(sqlite3.connect(folder / "server.db")) as database:
        assert database.execute("SELECT name FROM approvers").fetchall() == [("alice",)]


@pytest.mark.parametrize("name", ["server.db", "server.db-wal"])
@pytest.mark.parametrize("how", ["removed", "replaced"])
def test_a_file_that_is_no_longer_there_takes_nothing(tmp_path: Path, name: str, how: str) -> None:
    """Neither reads nor writes succeed, and nothing is committed to what the path no longer names."""
    path = tmp_path / name
    store = Store(tmp_path / "server.db", 1)
    path.rename(tmp_path / "old.db")
    if how == "replaced":
        path.touch(0o600)
    for transact in (store.read, store.write):
        with pytest.raises(StoreError, match=f"{path} (was removed|was replaced)"), transact() as transaction:
            transaction.add_approver("alice", "hash", "now")
    (tmp_path / "old.db").replace(path)
    with store.read() as transaction:
        assert transaction.approvers() == []
    store.close()


@pytest.mark.parametrize("how", ["removed", "replaced"])
def test_a_second_connection_makes_no_file_anew(tmp_path: Path, how: str) -> None:
    """Nor does it touch the log of the one that is open: put back, the file serves again."""
    path = tmp_path / "server.db"
    store = Store(path, 1)
    with store.read() as transaction:
        assert transaction.approvers() == []
        path.rename(tmp_path / "old.db")
        if how == "replaced":
            path.touch(0o600)
        with pytest.raises(StoreError, match=f"{path} (was removed|was replaced)"), store.write():
            pass
        assert path.exists() == (how == "replaced")
        (tmp_path / "old.db").replace(path)
    with store.write() as transaction:
        transaction.add_approver("alice", "hash", "now")
    store.close()


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


@pytest.mark.parametrize("version", [1, 2])
def test_an_older_database_is_brought_up_to_date(tmp_path: Path, version: int) -> None:
    """It gets every table and index that a new one has, and keeps what it held; done once."""
    with closing(sqlite3.connect(tmp_path / "server.db")) as database, database:
        database.executescript((Path(__file__).parent.parent / "recordings" / "server_2.sql").read_text())
        if version == 1:
            database.execute("DROP TABLE sign_in_codes")
        database.execute(f"PRAGMA user_version = {version}")
    for _ in range(2):
        store = Store(tmp_path / "server.db", 1)
        with store.write() as transaction:
            assert transaction.put_code("code", "alice", 100.0, 60.0)
            found = transaction.take_code("code", 100.0, 60.0)
            assert found is not None
            assert (found.name, found.token_hash) == ("alice", "hash of alice")
            assert [one.id for one in transaction.of_task("w", "the task", Most(10, 1_000_000))] == ["a2", "a1"]
            assert (transaction.count_open("w"), transaction.count_pending()) == (1, 1)
        store.close()
    Store(tmp_path / "new.db", 1).close()
    assert _made(tmp_path / "server.db") == _made(tmp_path / "new.db")


def _made(path: Path) -> list[object]:
    with closing(sqlite3.connect(path)) as database:
        version = database.execute("PRAGMA user_version").fetchone()
        return [version, *database.execute("SELECT type, name, sql FROM sqlite_master ORDER BY 1, 2")]


@pytest.mark.parametrize(("later", "good"), [(0.0, True), (59.9, True), (60.0, False), (-0.1, False), (1e9, False)])
def test_a_code_is_good_for_its_time_and_once(tmp_path: Path, later: float, good: bool) -> None:
    """A clock that was set back does not prolong it; taken at the wrong time it is used up as well."""
    store = Store(tmp_path / "server.db", 1)
    with store.write() as transaction:
        transaction.add_approver("alice", "hash", "now")
        assert transaction.put_code("code", "alice", 1_000.0, 60.0)
        assert (transaction.take_code("code", 1_000.0 + later, 60.0) is not None) is good
        assert transaction.take_code("code", 1_000.0, 60.0) is None
    store.close()


def test_a_code_is_for_somebody_who_may_decide(tmp_path: Path) -> None:
    """For nobody there is none; after a revocation it is worth nothing, also when the name is given anew."""
    store = Store(tmp_path / "server.db", 1)
    with store.write() as transaction:
        assert transaction.put_code("nobody's", "alice", 1.0, 60.0) is False
        assert transaction.take_code("nobody's", 1.0, 60.0) is None
        transaction.add_approver("alice", "first", "now")
        transaction.put_code("code", "alice", 1.0, 60.0)
        transaction.revoke("alice")
        transaction.add_approver("alice", "second", "now")
        assert transaction.take_code("code", 1.0, 60.0) is None
    store.close()


def test_codes_that_were_never_used_are_not_kept(tmp_path: Path) -> None:
    """Whoever makes one sweeps the old ones away, and those of a clock that was set back."""
    store = Store(tmp_path / "server.db", 1)
    with store.write() as transaction:
        transaction.add_approver("alice", "hash", "now")
        for made in (100.0, 130.0, 170.0):
            transaction.put_code(f"made {made}", "alice", made, 60.0)
        transaction.put_code("made 150.0", "alice", 150.0, 60.0)
        kept = transaction.connection.exec_driver_sql("SELECT made FROM sign_in_codes ORDER BY made").scalars().all()
    store.close()
    assert kept == [130.0, 150.0]


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
