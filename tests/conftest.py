"""Fixtures that the tests of several folders share: a real embedded server on a free port."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from molecule_approve.places import Places
from molecule_approve.server.run import Plan, Running


@pytest.fixture
def home() -> Iterator[Path]:
    """A home with a short name: a Unix socket's path has 107 bytes at most, and pytest's own folders use most of them."""
    with TemporaryDirectory(prefix="ma-") as folder:
        yield Path(folder)


@pytest.fixture
def server_places(home: Path) -> Places:
    """The folders of a user who has never run a server."""
    return Places(home / "state", home / "run")


@pytest.fixture
def live_server(server_places: Places) -> Iterator[Running]:
    """An embedded server in a thread: ``url``, ``places``, ``requester`` (workspace and token), ``add_approver(name)``."""
    with Running(Plan(server_places)) as server:
        yield server
