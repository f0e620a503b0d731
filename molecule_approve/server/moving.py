"""Moves the state of a server from its SQLite file to PostgreSQL, while it does not run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from molecule_approve.errors import AuditError, ServerError
from molecule_approve.paths import owner_hint

from . import credentials
from .database.values import StoreError
from .outbox import recorded_ids
from .state_folder import StateFolder

if TYPE_CHECKING:
    from molecule_approve.model import Secret
    from molecule_approve.paths import Places


def move(places: Places, database: Secret) -> dict[str, int]:
    """Copy everything from the SQLite file of this state folder into the empty database; how many rows of each table.

    The file stays as it is.

    Raises:
        ServerError: the server runs, there is no such file, its audit log cannot be read, the database is not empty or does
            not answer. Then nothing was copied.
    """
    from .database.importing import copy  # noqa: PLC0415 - with SQLAlchemy, which a wrong call does not need

    if not places.database.exists():
        raise ServerError(f"there is no {places.database}", hint="start the server with --database: it begins with nothing")
    with (
        StateFolder(places, lambda _: None) as folder,
        credentials.opened(places) as source,
        credentials.opened(places, database=database, replica_id=folder.replica_id()) as target,
    ):
        try:
            recorded = recorded_ids(places.server_log)
        except AuditError as exc:
            raise ServerError(
                f"cannot read the server's audit log: {exc.message}", hint=owner_hint(places.server_log, "check the file")
            ) from exc
        try:
            return copy(source, target, recorded)
        except StoreError as exc:
            raise ServerError(f"cannot import into {target.name}: {exc}", hint="nothing was copied") from exc
