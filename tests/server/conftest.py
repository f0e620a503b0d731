"""Fixtures of the server's tests: a desk at a server, and servers with other limits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pytest

from molecule_approve.paths import Places
from molecule_approve.server.limits import Limits
from molecule_approve.server.run import Running, ServePlan
from tests.server.desk import Desk, desk_of

if TYPE_CHECKING:
    from tests.server.postgres import NewDatabase

OpenDesk = Callable[..., Desk]


@pytest.fixture
def desk(live_server: Running) -> Iterator[Desk]:
    """A desk at a server with the usual limits."""
    with desk_of(live_server) as found:
        yield found


@pytest.fixture(scope="module")
def shared_desk(new_database: NewDatabase) -> Iterator[Desk]:
    """One desk for all tests of a module: for those whom others' requests do not disturb."""
    with TemporaryDirectory(prefix="ma-") as folder, new_database() as database:
        places = Places(Path(folder) / "state", Path(folder) / "run")
        with Running(ServePlan(places, database=database)) as server, desk_of(server) as found:
            yield found


@pytest.fixture
def open_desk(server_places: Places, new_database: NewDatabase) -> Iterator[OpenDesk]:
    """Opens a desk at a server with the limits that are named, and other fields of the plan where wanted."""
    with new_database() as database, ExitStack() as stack:

        def opened(**limits: object) -> Desk:
            plan = ServePlan(server_places, database=database)
            for name in ("anonymous", "warn", "host", "self_approval", "policy"):
                if name in limits:
                    plan = replace(plan, **{name: limits.pop(name)})  # type: ignore[arg-type]  # the tests name them rightly
            plan = replace(plan, limits=replace(Limits(), **limits))  # type: ignore[arg-type]  # so do these
            return stack.enter_context(desk_of(stack.enter_context(Running(plan))))

        yield opened
