"""Reads the database of a server that runs in another process: it cannot change it, and needs no further library."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

from molecule_approve.errors import ServerError

if TYPE_CHECKING:
    from pathlib import Path

_PATIENCE = 2.0


def approver_names(database: Path) -> list[str]:
    """The names of all approvers, in order.

    Raises:
        ServerError: the database cannot be read.

    """
    try:
        # `store` opens it for writing: at its end it would tidy up what the running server still needs, if it could.
        with closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", timeout=_PATIENCE, uri=True)) as connection:
            return [
                str(name)
                for (name,) in connection.execute("SELECT name FROM approvers WHERE revoked_at IS NULL ORDER BY name")
            ]
    except sqlite3.Error as exc:
        raise ServerError(
            f"cannot read the server's database {database}: {exc}", hint="check the mode and owner of the file, and the disk"
        ) from exc
