"""Fixtures that the tests of several folders share: a real embedded server on a free port."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from molecule_approve.places import Places
from molecule_approve.server.run import Plan, Running


@pytest.fixture
def server_places(tmp_path: Path) -> Places:
    """The folders of a user who has never run a server."""
    return Places(tmp_path / "state", tmp_path / "run")


@pytest.fixture
def live_server(server_places: Places) -> Iterator[Running]:
    """An embedded server in a thread: ``url``, ``places``, ``requester`` (workspace and token), ``add_approver(name)``."""
    with Running(Plan(server_places)) as server:
        yield server
