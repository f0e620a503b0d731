"""Reads a server's SQLite file, also while it runs in another process: cannot change anything, and needs no library."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

from molecule_approve.errors import ServerError

if TYPE_CHECKING:
    from pathlib import Path

_PATIENCE = 2.0
_NAMES = {
    "approvers": "SELECT name FROM approvers WHERE revoked_at IS NULL ORDER BY name",
    "requesters": "SELECT DISTINCT name FROM requesters WHERE revoked_at IS NULL ORDER BY name",
    "workspaces": "SELECT name FROM workspaces WHERE removed_at IS NULL ORDER BY name",
}


def names_in(database: Path, kind: str) -> list[str]:
    """The names of all approvers, requesters or workspaces (the ``kind``) that exist, in order, each once.

    Raises:
        ServerError: the database cannot be read.

    """
    # `store` opens it for writing: at its end it would tidy up what the running server still needs, if it could. Without
    # a WAL nobody has the file open; then SQLite would make one, even to read, if the file might change.
    rules = "mode=ro" if database.with_name(f"{database.name}-wal").exists() else "mode=ro&immutable=1"
    try:
        with closing(sqlite3.connect(f"{database.absolute().as_uri()}?{rules}", timeout=_PATIENCE, uri=True)) as connection:
            return [str(name) for (name,) in connection.execute(_NAMES[kind])]
    except sqlite3.Error as exc:
        raise ServerError(
            f"cannot read the server's database {database}: {exc}", hint="check the mode and owner of the file, and the disk"
        ) from exc
