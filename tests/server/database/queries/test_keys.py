"""The server's own identity, which all servers of a database share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from molecule_approve.server.database.sqlite import SqliteStore
from molecule_approve.server.database.values import ServerIdentity

if TYPE_CHECKING:
    from pathlib import Path


def test_of_two_servers_that_start_together_the_first_identity_stays(tmp_path: Path) -> None:
    """Both found none and made one; the second is told the first's."""
    store = SqliteStore(tmp_path / "server.db", 1)
    first, second = (ServerIdentity(name, f"key of {name}", "now") for name in ("first", "second"))
    for made in (first, second):
        with store.write() as transaction:
            assert transaction.keys.keep_identity(made) == first
    with store.read() as transaction:
        assert transaction.keys.server_identity() == first
    store.close()
