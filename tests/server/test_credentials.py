"""Who may ask and who may decide: made once, kept as hashes, taken away at once."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from molecule_approve.errors import ConfigError, ServerError, UsageError
from molecule_approve.model import Secret
from molecule_approve.paths import Places
from molecule_approve.server import credentials, enrolment
from molecule_approve.server.run import Running, ServePlan


def test_an_approvers_token_is_kept_as_a_hash(server_places: Places) -> None:
    """Neither it nor the requester's token stands anywhere in the state folder but in the requester's own file."""
    with credentials.opened(server_places) as store:
        token = credentials.add_approver(store, "alice")
        requester = credentials.own_workspace(server_places, store)
        assert [name for name, _ in credentials.approvers(store)] == ["alice"]
    held = {path.name: path.read_bytes() for path in server_places.state.iterdir()}
    assert not any(token.encode() in data for data in held.values())
    assert [name for name, data in held.items() if requester.token.encode() in data] == ["requester.json"]
    assert server_places.requester.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("name", ["", "x" * 65, " alice", "ali\u200bce", "a\nb", "Auto-Expired", "withdrawn"])
def test_a_name_that_would_deceive_is_refused(server_places: Places, name: str) -> None:
    """Reserved, empty, endless, or with characters that cannot be seen."""
    with credentials.opened(server_places) as store, pytest.raises(UsageError):
        credentials.add_approver(store, name)


def test_a_name_is_taken_until_it_is_revoked(server_places: Places) -> None:
    """Then it gets another token; nobody of that name cannot be revoked."""
    with credentials.opened(server_places) as store:
        first = credentials.add_approver(store, "alice")
        with pytest.raises(UsageError, match="already"):
            credentials.add_approver(store, "alice")
        credentials.revoke(store, "alice")
        assert credentials.add_approver(store, "alice") != first
        with pytest.raises(UsageError, match="no approver named bob"):
            credentials.revoke(store, "bob")


@pytest.mark.parametrize("name", ["\udcff", "a\0"])
def test_what_no_name_can_be_is_nobodys(server_places: Places, name: str) -> None:
    """A command's argument may be bytes that are not UTF-8: no database takes them, and nobody is called so."""
    with credentials.opened(server_places) as store:
        credentials.add_approver(store, "alice")
        for look in (credentials.revoke, credentials.new_code, enrolment.enrolled):
            with pytest.raises(UsageError, match="no approver named"):
                look(store, name)


def test_the_workspace_outlives_its_file_with_another_token(server_places: Places) -> None:
    """Whoever removes requester.json, because it was seen, gets the same workspace and a new token; the old one is void."""
    with credentials.opened(server_places) as store:
        first = credentials.own_workspace(server_places, store)
        assert credentials.own_workspace(server_places, store) == first
        server_places.requester.unlink()
        second = credentials.own_workspace(server_places, store)
    assert (second.workspace_id, second.token != first.token) == (first.workspace_id, True)
    with closing(sqlite3.connect(server_places.database)) as database:
        assert database.execute("SELECT count(*) FROM workspaces").fetchone() == (1,)


def test_the_workspace_outlives_the_database(server_places: Places) -> None:
    """The file says which one it was."""
    with credentials.opened(server_places) as store:
        first = credentials.own_workspace(server_places, store)
    server_places.database.unlink()
    with credentials.opened(server_places) as store:
        assert credentials.own_workspace(server_places, store) == first
        with store.read() as transaction:
            assert transaction.credentials.has_workspace(first.workspace_id)


def test_a_file_open_to_others_is_refused(server_places: Places) -> None:
    """What stands in it must count as known."""
    with credentials.opened(server_places) as store:
        credentials.own_workspace(server_places, store)
        server_places.requester.chmod(0o644)
        with pytest.raises(ConfigError, match="open to other users"):
            credentials.own_workspace(server_places, store)


def test_a_file_that_cannot_be_written_is_told(server_places: Places, tmp_path: Path) -> None:
    """As our own error, with what to look at."""
    nowhere = Places(tmp_path / "nowhere", tmp_path / "run")
    with credentials.opened(server_places) as store, pytest.raises(ServerError, match="cannot write"):
        credentials.own_workspace(nowhere, store)


def test_a_link_in_the_files_place_is_refused(server_places: Places) -> None:
    """A token is read from a file of one's own only."""
    with credentials.opened(server_places) as store:
        server_places.requester.symlink_to(server_places.state / "nowhere" / "file")
        with pytest.raises(ConfigError, match="cannot be read"):
            credentials.own_workspace(server_places, store)


def test_a_database_that_cannot_be_used_is_told_with_a_hint(server_places: Places) -> None:
    """The message names the file, the hint what to check."""
    server_places.state.mkdir(mode=0o700)
    server_places.database.write_text(json.dumps("no database") * 200)
    with pytest.raises(ServerError, match="cannot use the server's database") as caught, credentials.opened(server_places):
        pass
    assert "server.db" in caught.value.message
    assert "mode and owner" in caught.value.hint


def test_a_database_of_a_newer_program_is_told_with_what_to_do_about_it(server_places: Places) -> None:
    """Its mode and owner are right: the newer program, or the backup, is what helps."""
    with credentials.opened(server_places):
        pass
    with closing(sqlite3.connect(server_places.database)) as database, database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(ServerError, match="it has revision 9999") as caught, credentials.opened(server_places):
        pass
    assert caught.value.hint == "start the newer program, or restore the backup that was made before its upgrade"


def test_a_sign_in_code_is_for_an_approver_and_kept_as_a_hash(server_places: Places) -> None:
    """Each is another; for a name that nobody has, the hint says how to give it."""
    with credentials.opened(server_places) as store:
        with pytest.raises(UsageError, match="no approver named alice") as caught:
            credentials.new_code(store, "alice")
        assert "approvers add alice" in caught.value.hint
        credentials.add_approver(store, "alice")
        codes = {credentials.new_code(store, "alice") for _ in range(3)}
    assert [len(code) for code in codes] == [43, 43, 43]
    held = b"".join(path.read_bytes() for path in server_places.state.iterdir())
    assert not any(code.encode() in held for code in codes)


def test_the_code_stands_in_the_links_fragment() -> None:
    """What stands there, no browser sends anywhere."""
    assert credentials.sign_in_link("http://127.0.0.1:8788", "CODE") == "http://127.0.0.1:8788/#sign-in=CODE"


def test_a_database_of_postgresql_needs_its_libraries(server_places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hint says how to get them."""
    monkeypatch.setitem(sys.modules, "molecule_approve.server.database.postgres", None)
    address = Secret("postgresql://molecule@localhost/approvals")
    with (
        pytest.raises(ServerError, match="PostgreSQL are not installed") as caught,
        credentials.opened(server_places, database=address),
    ):
        pass
    assert "molecule-approve[postgres]" in caught.value.hint


def test_a_database_of_another_kind_than_the_running_servers_is_refused(server_places: Places) -> None:
    """What an administrator changed there would have no effect."""
    with Running(ServePlan(server_places)), pytest.raises(ConfigError, match="name a PostgreSQL database") as caught:
        credentials.check_same_database(server_places, Secret("postgresql:///approvals"))
    assert str(server_places.database) in caught.value.message


def test_an_older_database_that_is_in_use_is_not_changed(server_places: Places) -> None:
    """The server that uses it would not understand it any more: it must be stopped first."""
    _make_older(server_places)
    with _serving(server_places) as pid:
        refused = pytest.raises(ServerError, match=f"serves it as process {pid}$")
        with refused as caught, credentials.opened(server_places):
            pass
    assert caught.value.hint == "stop that server first"
    with closing(sqlite3.connect(server_places.database)) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (2,)


def test_an_older_database_that_nobody_uses_is_brought_up_to_date(server_places: Places) -> None:
    """By any command of the administrator's: its approvers are still there."""
    _make_older(server_places)
    with credentials.opened(server_places) as store:
        assert [name for name, _ in credentials.approvers(store)] == ["alice"]


def _make_older(places: Places) -> None:
    """A database of an earlier program."""
    places.state.mkdir(mode=0o700)
    with closing(sqlite3.connect(places.database)) as database, database:
        database.executescript((Path(__file__).parents[1] / "recordings" / "server_2.sql").read_text())


_SERVING = """
import fcntl, json, os, sys
os.umask(0o077)
lock = open(sys.argv[1], "w")
fcntl.flock(lock, fcntl.LOCK_EX)
json.dump({"pid": os.getpid(), "url": "http://127.0.0.1:1", "socket": ""}, lock)
lock.flush()
print(flush=True)
sys.stdin.read()
"""


@contextmanager
def _serving(places: Places) -> Iterator[int]:
    """Another process that has the lock of a server; its id."""
    command = [sys.executable, "-c", _SERVING, str(places.serving)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            process.stdout.readline()
            yield process.pid
        finally:
            process.kill()
