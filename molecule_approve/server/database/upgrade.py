"""Brings a database up to date at the start: a new one is made at once, an older one by Alembic's migrations."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa

from .schema import REVISION, approvals, metadata, revisions
from .values import StoreError

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

MIGRATIONS = Path(__file__).with_name("migrations")

_BEFORE_ALEMBIC = (1, 2, 3)
"""Values of SQLite's ``user_version`` in databases of programs that did not use Alembic."""

_NEWER = "start the newer program, or restore the backup that was made before its upgrade"

_USER_VERSION = 4
"""What such programs refuse."""

_UPGRADE_LOCK = 6_011_771_425_201_937_411
"""The key of PostgreSQL's advisory lock under which one server brings the database up to date."""


def sqlite(connection: Connection, path: Path, before_upgrade: Callable[[], None]) -> None:
    """Bring the file up to date, in the open transaction, which has the write lock; an older file is copied first.

    Raises:
        StoreError: it is of a newer program, or cannot be copied; or what ``before_upgrade`` raises.
    """
    version = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
    if version not in {0, *_BEFORE_ALEMBIC, _USER_VERSION}:
        raise StoreError(f"the database has version {version}, which this program does not know", _NEWER)
    if is_current(connection):
        return
    if sa.inspect(connection).has_table(approvals.name):
        before_upgrade()
        _copy(path, f"before-{REVISION}")
        migrate(connection)
    else:
        create(connection)
    connection.exec_driver_sql(f"PRAGMA user_version = {_USER_VERSION}")


def postgres(connection: Connection, before_upgrade: Callable[[], None]) -> None:
    """Bring the database up to date, in the open transaction. Servers that start at the same time wait for each other.

    Raises:
        StoreError: it is of a newer program; or what ``before_upgrade`` raises.
    """
    if is_current(connection):
        return
    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_UPGRADE_LOCK)))
    if is_current(connection):
        return
    if sa.inspect(connection).has_table(approvals.name):
        before_upgrade()
        migrate(connection)
    else:
        create(connection)


def is_current(connection: Connection) -> bool:
    """Whether the database needs nothing.

    Raises:
        StoreError: it is of a newer program.
    """
    if not sa.inspect(connection).has_table(revisions.name):
        return False
    found = connection.execute(sa.select(revisions.c.version_num)).scalar_one_or_none()
    if found is not None and found > REVISION:
        raise StoreError(
            f"the database is of a newer program: it has revision {found}, this program knows {REVISION}", _NEWER
        )
    return found == REVISION


def create(connection: Connection) -> None:
    """Make the tables of a new database."""
    metadata.create_all(connection)
    connection.execute(sa.insert(revisions).values(version_num=REVISION))


def migrate(connection: Connection) -> None:
    """Run the migrations that are missing, in the open transaction."""
    # Not at the top: it takes 0.1 s to load, and is needed once in a database's life.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _copy(path: Path, word: str) -> None:
    """Copy the database beside itself, durably, unless that was done before.

    Raises:
        StoreError: it cannot be copied.
    """
    target = path.with_name(f"{path.stem}.{word}{path.suffix}")
    unfinished = target.with_name(f"{target.name}.new")
    if target.exists():
        return
    try:
        unfinished.unlink(missing_ok=True)
        handle = os.open(unfinished, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(unfinished)) as copy:
                source.backup(copy)
            os.fsync(handle)
        finally:
            os.close(handle)
        unfinished.replace(target)
    except (OSError, sqlite3.Error) as exc:
        raise StoreError(f"cannot copy the database to {target} before its upgrade: {exc}") from exc
