"""The database of a running server, read from beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from molecule_approve.errors import ServerError
from molecule_approve.server.reading import names_in

if TYPE_CHECKING:
    from pathlib import Path

    from molecule_approve.server.run import Running


def test_the_approvers_are_read_while_the_server_runs(live_server: Running) -> None:
    """As they are now, in order, and no file of the server's changes by it."""
    database = live_server.places.database
    assert names_in(database, "approvers") == []
    live_server.add_approver("bob")
    live_server.add_approver("alice")
    before = {path: path.stat().st_mtime_ns for path in database.parent.iterdir()}
    assert names_in(database, "approvers") == ["alice", "bob"]
    assert {path: path.stat().st_mtime_ns for path in database.parent.iterdir()} == before


def test_a_database_that_is_none_is_an_error(tmp_path: Path) -> None:
    """Neither one that is missing, which is not made, nor another file."""
    path = tmp_path / "server.db"
    with pytest.raises(ServerError, match="cannot read the server's database"):
        names_in(path, "approvers")
    assert not path.exists()
    path.write_bytes(b"no database at all, whatever its name says" * 100)
    with pytest.raises(ServerError, match="not a database"):
        names_in(path, "approvers")
