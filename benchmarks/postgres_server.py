"""A PostgreSQL server for a benchmark, of the system's newest package, with a folder and socket of its own."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import subprocess
from pathlib import Path
from typing import Self


def _binaries() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return found[-1].parent if found else None


def why_no_postgres() -> str:
    """Why it cannot be started here; empty if it can."""
    if _binaries() is None:
        return "no PostgreSQL here"
    if importlib.util.find_spec("psycopg") is None:
        return "no psycopg here"
    if importlib.util.find_spec("molecule_approve.server.database.postgres") is None:
        return "not supported yet"
    return ""


def analyse(url: str) -> None:
    """Have the database look at its tables, as it does by itself within its first minute: until then it guesses."""
    import psycopg  # noqa: PLC0415 - not where there is none

    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("ANALYZE")


class PostgresServer:
    """A running server, inside ``with``. ``url`` is the database's."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.url = f"postgresql://postgres@/postgres?host={folder}"

    def _run(self, program: str, *arguments: str) -> None:
        binaries = _binaries()
        assert binaries is not None
        command = [str(binaries / program), *arguments]
        if os.geteuid() == 0:  # it refuses to run as root
            command = ["setpriv", "--reuid", "postgres", "--regid", "postgres", "--clear-groups", *command]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd="/")

    def __enter__(self) -> Self:
        self._folder.mkdir()
        if os.geteuid() == 0:
            user = pwd.getpwnam("postgres")
            for folder in (self._folder, self._folder.parent):
                os.chown(folder, user.pw_uid, user.pw_gid)
        data = self._folder / "data"
        self._run("initdb", "-D", str(data), "-A", "trust", "-U", "postgres")
        self._run(
            "pg_ctl", "-D", str(data), "-w", "-l", str(self._folder / "log"), "-o", f"-k {self._folder} -h ''", "start"
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._run("pg_ctl", "-D", str(self._folder / "data"), "-w", "-m", "fast", "stop")
        shutil.rmtree(self._folder, ignore_errors=True)
