"""A real PostgreSQL for the tests: a cluster in a folder and on a port of its own, which ends with the tests' process."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import uuid
from collections.abc import Callable
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from molecule_approve.model import Secret
from tests.callers import free_port, until

if TYPE_CHECKING:
    from collections.abc import Iterator

NewDatabase = Callable[[], AbstractContextManager[Secret | None]]
"""Makes an empty database inside ``with``, and gives what a server is told of it: nothing, if it is SQLite's."""

_USER = "postgres"
_PATIENCE = 30

_WATCH = 'read -r _ || kill -INT "$1"'

_QUICK = {
    # A killed process loses nothing that it gave to the system; only a power cut would, and no test cuts the power.
    "fsync": "off",
    "full_page_writes": "off",
    "shared_buffers": "32MB",
    "max_connections": "100",
    "autovacuum": "off",
    "log_min_messages": "fatal",
}

_EMPTIED = """
SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid();
SET session_replication_role = replica;
DO $$
DECLARE name text;
BEGIN
  FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'alembic_version' LOOP
    EXECUTE format('DELETE FROM %I', name);
  END LOOP;
  PERFORM setval(format('%I', sequencename)::regclass, 1, false) FROM pg_sequences WHERE schemaname = 'public';
END $$
"""
"""Ends what still uses the database, and leaves its tables without rows: the references between them do not matter then."""


@cache
def programs() -> Path | None:
    """The folder of PostgreSQL's programs (14 or later), on PATH or where Debian keeps them; None if there are none."""
    found = shutil.which("postgres")
    if found is not None:
        return Path(found).resolve().parent
    folders = [path for path in Path("/usr/lib/postgresql").glob("*/bin") if (path / "postgres").exists()]
    usable = [path for path in folders if int(path.parent.name) >= 14]
    return max(usable, key=lambda path: int(path.parent.name), default=None)


def missing() -> str:
    """Why no cluster can be started here; an empty text if one can be."""
    if find_spec("psycopg") is None:
        return "psycopg is not installed"
    if programs() is None:
        return "PostgreSQL is not installed"
    if os.geteuid() == 0 and not _has_user():
        return f"root cannot start PostgreSQL without the user {_USER}"
    return ""


def _has_user() -> bool:
    return any(one.pw_name == _USER for one in pwd.getpwall())


needs_postgres = pytest.mark.skipif(bool(missing()), reason=missing())


def _as_its_user() -> tuple[str, ...]:
    """The beginning of a command that PostgreSQL's own user runs: it refuses to run as root."""
    if os.geteuid() != 0:
        return ()
    found = pwd.getpwnam(_USER)
    return ("setpriv", f"--reuid={found.pw_uid}", f"--regid={found.pw_gid}", "--clear-groups")


@dataclass
class Cluster:
    """A running PostgreSQL.

    Attributes:
        folder: its data and its Unix socket.
        port: on 127.0.0.1, and in the name of the socket.

    """

    folder: Path
    port: int
    _resting: list[str] = field(default_factory=list)

    def url(self, database: str = "postgres") -> str:
        """The address of one of its databases, over TCP."""
        return f"postgresql://{_USER}@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Start it, and wait until it takes calls."""
        binary = programs()
        assert binary is not None
        settings = {
            **_QUICK,
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": str(self.folder),
        }
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        argv = (*_as_its_user(), str(binary / "postgres"), "-D", str(self.folder / "data"))
        with (self.folder / "postgres.log").open("ab") as log:
            self._process = subprocess.Popen([*argv, *options], stdout=log, stderr=log, cwd=self.folder)
        # It ends with us, however we end: our end of this pipe is closed then.
        self._watch = subprocess.Popen(["sh", "-c", _WATCH, "sh", str(self._process.pid)], stdin=subprocess.PIPE)
        until(self._answers, seconds=_PATIENCE)

    def _answers(self) -> bool:
        import psycopg  # noqa: PLC0415 - an extra, which not every environment has

        assert self._process.poll() is None, (self.folder / "postgres.log").read_text()
        try:
            psycopg.connect(self.url(), connect_timeout=5).close()
        except psycopg.OperationalError:
            return False
        return True

    def stop(self, number: signal.Signals = signal.SIGINT) -> None:
        """Stop it: fast (SIGINT), or at once, as a crash does (SIGQUIT)."""
        self._watch.communicate(b"done\n")
        self._process.send_signal(number)
        self._process.wait(_PATIENCE)

    @contextmanager
    def away(self, number: signal.Signals = signal.SIGINT) -> Iterator[None]:
        """Stopped inside this block."""
        self.stop(number)
        try:
            yield
        finally:
            self.start()

    def freeze(self) -> None:
        """Let it stand still, as a machine does that nobody can reach any more: postmaster and all its processes."""
        self._all(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self._all(signal.SIGCONT)

    def _all(self, number: signal.Signals) -> None:
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        for process in (self._process.pid, *map(int, children)):
            os.kill(process, number)

    def run(self, statement: str, database: str = "postgres") -> list[tuple[object, ...]]:
        """Run one statement as its administrator, outside a transaction; its rows."""
        import psycopg  # noqa: PLC0415 - an extra, which not every environment has

        with psycopg.connect(self.url(database), autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    @contextmanager
    def database(self) -> Iterator[str]:
        """The address of a new database; dropped at the end, whoever still uses it."""
        name = self._new_database()
        try:
            yield self.url(name)
        finally:
            self.run(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def _new_database(self) -> str:
        name = f"test_{uuid.uuid4().hex}"
        self.run(f"CREATE DATABASE {name} TEMPLATE template0")
        return name

    @contextmanager
    def served(self) -> Iterator[str]:
        """The address of a database for servers: new, or with their tables from before, which are empty.

        A new one for each test takes three times as long, for PostgreSQL and for the server.
        """
        name = self._resting.pop() if self._resting else self._new_database()
        yield self.url(name)
        self.run(_EMPTIED, name)
        self._resting.append(name)

    @contextmanager
    def secret(self) -> Iterator[Secret]:
        """The same for a server that is given it."""
        with self.served() as url:
            yield Secret(url)


@contextmanager
def cluster() -> Iterator[Cluster]:
    """A new cluster; stopped and removed at the end."""
    binary = programs()
    assert binary is not None
    folder = Path(tempfile.mkdtemp(prefix="ma-pg."))
    try:
        if os.geteuid() == 0:
            shutil.chown(folder, _USER, _USER)
        made = [str(binary / "initdb"), "-D", str(folder / "data"), "-U", _USER, "--auth=trust", "--no-sync"]
        argv = [*_as_its_user(), *made, "-E", "UTF8", "--locale=C"]
        subprocess.run(argv, check=True, stdout=subprocess.DEVNULL, cwd=folder, timeout=_PATIENCE)
        found = Cluster(folder, free_port())
        found.start()
        try:
            yield found
        finally:
            found.stop(signal.SIGQUIT)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
