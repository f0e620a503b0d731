"""The database file: private, durable, of this version, and its failures told in our own words."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from molecule_approve.server.database.schema import REVISION, metadata
from molecule_approve.server.database.sqlite import SqliteStore
from molecule_approve.server.database.upgrade import MIGRATIONS
from molecule_approve.server.database.values import GoneError, Most, SessionLimits, StoreError

LIMITS = SessionLimits(12 * 3_600.0, 3_600.0)


def test_the_file_and_what_lies_beside_it_are_private(tmp_path: Path) -> None:
    """0600, with the write-ahead log, whatever the umask."""
    store = SqliteStore(tmp_path / "server.db", 1)
    with store.write() as transaction:
        transaction.credentials.add_approver("alice", "hash", "now")
        modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    store.close()
    assert modes == {"server.db": 0o600, "server.db-wal": 0o600, "server.db-shm": 0o600}


@pytest.mark.parametrize("name", ["a?b", "100%25", "a%2Fb", "a%20b", "a#b", "file:x?mode=memory", "\u6f22 b"])
def test_the_file_is_where_its_path_says(tmp_path: Path, name: str) -> None:
    """Whatever a URL would make of the folder's name; nothing is made elsewhere."""
    folder = tmp_path / name
    folder.mkdir(mode=0o700)
    store = SqliteStore(folder / "server.db", 1)
    with store.write() as transaction:
        transaction.credentials.add_approver("alice", "hash", "now")
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
    store = SqliteStore(tmp_path / "server.db", 1)
    path.rename(tmp_path / "old.db")
    if how == "replaced":
        path.touch(0o600)
    for transact in (store.read, store.write):
        with pytest.raises(StoreError, match=f"{path} (was removed|was replaced)"), transact() as transaction:
            transaction.credentials.add_approver("alice", "hash", "now")
    (tmp_path / "old.db").replace(path)
    with store.read() as transaction:
        assert transaction.credentials.approvers() == []
    store.close()


def test_a_file_that_cannot_be_looked_at_is_not_called_removed(tmp_path: Path) -> None:
    """Nothing is read or written meanwhile, and the error is another one: it may be there."""
    folder = tmp_path / "state"
    folder.mkdir()
    store = SqliteStore(folder / "server.db", 1)
    folder.rename(tmp_path / "away")
    folder.symlink_to(folder)
    for transact in (store.read, store.write):
        with pytest.raises(StoreError, match=r"server.db cannot be checked: Too many levels") as caught, transact():
            pass
        assert not isinstance(caught.value, GoneError)
    folder.unlink()
    (tmp_path / "away").rename(folder)
    store.check()
    store.close()


@pytest.mark.parametrize("how", ["removed", "replaced"])
def test_a_second_connection_makes_no_file_anew(tmp_path: Path, how: str) -> None:
    """Nor does it touch the log of the one that is open: put back, the file serves again."""
    path = tmp_path / "server.db"
    store = SqliteStore(path, 1)
    with store.read() as transaction:
        assert transaction.credentials.approvers() == []
        path.rename(tmp_path / "old.db")
        if how == "replaced":
            path.touch(0o600)
        with pytest.raises(StoreError, match=f"{path} (was removed|was replaced)"), store.write():
            pass
        assert path.exists() == (how == "replaced")
        (tmp_path / "old.db").replace(path)
    with store.write() as transaction:
        transaction.credentials.add_approver("alice", "hash", "now")
    store.close()


def test_a_commit_is_synchronous_and_readers_do_not_wait(tmp_path: Path) -> None:
    """WAL and FULL, on every connection."""
    store = SqliteStore(tmp_path / "server.db", 1)
    with store.read() as transaction:
        found = [
            transaction.connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("journal_mode", "synchronous")
        ]
    store.close()
    assert found == ["wal", 2]


@pytest.mark.parametrize("version", [-1, 5])
def test_a_database_of_an_unknown_version_is_refused(tmp_path: Path, version: int) -> None:
    """Instead of guessing what its tables mean."""
    with closing(sqlite3.connect(tmp_path / "server.db")) as database:
        database.execute(f"PRAGMA user_version = {version}")
    with pytest.raises(StoreError, match=f"version {version}") as caught:
        SqliteStore(tmp_path / "server.db", 1)
    assert caught.value.hint.startswith("start the newer program")


def test_a_database_of_a_newer_program_is_refused(tmp_path: Path) -> None:
    """The sentence names both revisions, and what to do; the file stays as it is."""
    SqliteStore(tmp_path / "server.db", 1).close()
    with closing(sqlite3.connect(tmp_path / "server.db")) as database, database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    before = (tmp_path / "server.db").read_bytes()
    with pytest.raises(StoreError, match=f"revision 9999, this program knows {REVISION}") as caught:
        SqliteStore(tmp_path / "server.db", 1)
    assert caught.value.hint.startswith("start the newer program")
    assert (tmp_path / "server.db").read_bytes() == before


def _older(path: Path, version: int) -> None:
    """Make a database of a program before Alembic."""
    with closing(sqlite3.connect(path)) as database, database:
        database.executescript((Path(__file__).parents[2] / "recordings" / "server_2.sql").read_text())
        if version == 1:
            database.execute("DROP TABLE sign_in_codes")
        database.execute(f"PRAGMA user_version = {version}")


@pytest.mark.parametrize("version", [1, 2])
def test_an_older_database_is_brought_up_to_date(tmp_path: Path, version: int) -> None:
    """It gets every table and index that a new one has, and keeps what it held; done once, and a copy is kept."""
    _older(tmp_path / "server.db", version)
    for _ in range(2):
        store = SqliteStore(tmp_path / "server.db", 1)
        with store.write() as transaction:
            found = transaction.credentials.holder("hash of alice", LIMITS)
            assert found is not None
            assert (found.name, found.workspace_id) == ("alice", None)
            requests = transaction.requests
            assert [one.id for one in requests.of_task("w", "the task", Most(10, 1_000_000))] == ["a2", "a1"]
            assert (requests.count_open("w"), requests.count_pending(None)) == (1, 1)
        store.close()
    SqliteStore(tmp_path / "new.db", 1).close()
    assert _columns(tmp_path / "server.db") == _columns(tmp_path / "new.db")
    copy = tmp_path / f"server.before-{REVISION}.db"
    assert copy.stat().st_mode & 0o777 == 0o600
    with closing(sqlite3.connect(copy)) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (version,)
        assert database.execute("SELECT name FROM approvers").fetchall() == [("alice",)]


def test_an_upgrade_that_is_not_allowed_changes_nothing(tmp_path: Path) -> None:
    """No copy is made either."""
    _older(tmp_path / "server.db", 2)

    def refuse() -> None:
        raise StoreError("a server uses it")

    with pytest.raises(StoreError, match="a server uses it"):
        SqliteStore(tmp_path / "server.db", 1, before_upgrade=refuse)
    with closing(sqlite3.connect(tmp_path / "server.db")) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (2,)
    assert not [path for path in tmp_path.iterdir() if "before" in path.name]


def test_an_upgrade_that_cannot_be_copied_is_not_done(tmp_path: Path) -> None:
    """The sentence names the copy; a copy that an earlier try made is kept as it is."""
    _older(tmp_path / "server.db", 2)
    copy = tmp_path / f"server.before-{REVISION}.db"
    (tmp_path / f"{copy.name}.new").mkdir()
    with pytest.raises(StoreError, match=f"cannot copy the database to {copy}"):
        SqliteStore(tmp_path / "server.db", 1)
    assert str(tmp_path / "server.db") not in map(os.path.realpath, Path("/proc/self/fd").iterdir())  # it is closed
    copy.write_bytes(b"of an earlier try")
    SqliteStore(tmp_path / "server.db", 1).close()
    assert copy.read_bytes() == b"of an earlier try"


def test_the_tables_are_those_that_the_migrations_make(tmp_path: Path) -> None:
    """A new database, which is made without them, differs in nothing that Alembic can compare."""
    _older(tmp_path / "server.db", 1)
    SqliteStore(tmp_path / "server.db", 1).close()
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'server.db'}")
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    engine.dispose()
    assert ScriptDirectory(str(MIGRATIONS)).get_heads() == [REVISION]


def _columns(path: Path) -> list[object]:
    """The version, and each table and index with its columns; SQL texts differ in their layout."""
    with closing(sqlite3.connect(path)) as database:
        version = database.execute("PRAGMA user_version").fetchone()
        names = database.execute("SELECT type, name, tbl_name FROM sqlite_master ORDER BY 1, 2").fetchall()
        return [
            version,
            *(
                (*row, sorted(column[1:] for column in database.execute(f"PRAGMA table_info('{row[1]}')")))
                for row in names
                if not row[1].startswith("sqlite_")
            ),
        ]


@pytest.mark.parametrize(("later", "good"), [(0.0, True), (59.9, True), (60.0, False), (-0.1, False), (1e9, False)])
def test_a_code_is_good_for_its_time_and_once(tmp_path: Path, later: float, good: bool) -> None:
    """A clock that was set back does not prolong it; taken at the wrong time it is used up as well."""
    store = SqliteStore(tmp_path / "server.db", 1)
    with store.write() as transaction:
        alice = transaction.credentials.add_approver("alice", "hash", "now")
        transaction.sign_ins.put_code("code", alice, 1_000.0, 60.0)
        assert (transaction.sign_ins.take_code("code", 1_000.0 + later, 60.0) == (alice, "alice")) is good
        assert transaction.sign_ins.take_code("code", 1_000.0, 60.0) is None
    store.close()


def test_a_code_is_worth_nothing_after_a_revocation(tmp_path: Path) -> None:
    """Also when the name is added again."""
    store = SqliteStore(tmp_path / "server.db", 1)
    with store.write() as transaction:
        assert transaction.sign_ins.take_code("nobody's", 1.0, 60.0) is None
        transaction.sign_ins.put_code("code", transaction.credentials.add_approver("alice", "first", "now"), 1.0, 60.0)
        transaction.credentials.revoke_approver("alice", "now")
        transaction.credentials.add_approver("alice", "second", "now")
        assert transaction.sign_ins.take_code("code", 1.0, 60.0) is None
    store.close()


def test_codes_that_were_never_used_are_not_kept(tmp_path: Path) -> None:
    """Whoever makes one sweeps the old ones away, and those of a clock that was set back."""
    store = SqliteStore(tmp_path / "server.db", 1)
    with store.write() as transaction:
        alice = transaction.credentials.add_approver("alice", "hash", "now")
        for made in (100.0, 130.0, 170.0, 150.0):
            transaction.sign_ins.put_code(f"made {made}", alice, made, 60.0)
        kept = transaction.connection.exec_driver_sql("SELECT made FROM sign_in_codes ORDER BY made").scalars().all()
    store.close()
    assert kept == [130.0, 150.0]


def test_a_file_has_no_other_servers(tmp_path: Path) -> None:
    """So there is nobody to listen to."""
    with closing(SqliteStore(tmp_path / "server.db", 1)) as store, pytest.raises(StoreError, match="no other servers"):
        store.listener()


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    """With the database library's own sentence, and not its exception."""
    (tmp_path / "server.db").write_bytes(b"no database at all" * 100)
    with pytest.raises(StoreError, match="not a database"):
        SqliteStore(tmp_path / "server.db", 1)


def test_a_link_in_the_files_place_is_refused(tmp_path: Path) -> None:
    """What is private must not lie behind a link."""
    (tmp_path / "server.db").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreError, match=r"server\.db"):
        SqliteStore(tmp_path / "server.db", 1)


def test_a_lock_that_is_held_too_long_is_told(tmp_path: Path) -> None:
    """After the patience, as our own error, without the statement's values."""
    store = SqliteStore(tmp_path / "server.db", 0.01)
    with closing(sqlite3.connect(tmp_path / "server.db", isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="locked"), store.write():
            pass
    store.close()


def test_what_fails_in_the_middle_leaves_nothing(tmp_path: Path) -> None:
    """A transaction happens as a whole or not at all."""
    store = SqliteStore(tmp_path / "server.db", 1)
    with pytest.raises(StoreError, match="UNIQUE"):
        _add_two_with_one_token(store)
    with store.read() as transaction:
        assert transaction.credentials.approvers() == []
    store.close()


def _add_two_with_one_token(store: SqliteStore) -> None:
    with store.write() as transaction:
        for name in ("alice", "bob"):
            transaction.credentials.add_approver(name, "the same hash", "now")
