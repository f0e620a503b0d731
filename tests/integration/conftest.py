"""Fixtures of the integration tests: a world for each test, and the checker that looks at every program afterwards."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from tests.integration.deployments import Deployment, deployed
from tests.integration.fake_platform import FakePlatform
from tests.integration.invariants import violations
from tests.integration.program import World, new_world
from tests.proxies import needs_nginx

if TYPE_CHECKING:
    from tests.server.postgres import Cluster

pytest.register_assert_rewrite(
    *(f"tests.integration.{name}" for name in ("fault", "faults_answer", "faults_host", "faults_setup", "faults_signals"))
)

NewWorld = Callable[[FakePlatform | None], World]


@pytest.fixture(autouse=True, scope="session")
def default_signals() -> None:
    """A suite that runs under nohup or in the background must not hand ignored signals on to the programs."""
    for number in (signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def unmeasured(untraced: None) -> None:
    """The modules' own tests reach every branch."""


@pytest.fixture(autouse=True)
def worlds() -> Iterator[NewWorld]:
    """Makes worlds; after the test the invariants are checked on every program that ran in one."""
    made: list[World] = []

    def make(platform: FakePlatform | None = None) -> World:
        made.append(new_world(platform))
        return made[-1]

    yield make
    wrong = [(facts.argv, found) for world in made for facts in world.end() for found in violations(facts)]
    assert wrong == []


@pytest.fixture
def world(worlds: NewWorld) -> World:
    """A world with a faithful platform that runs."""
    return worlds(None)


@pytest.fixture(params=["sqlite", "postgresql", pytest.param("replicas", marks=needs_nginx)])
def deployment(request: pytest.FixtureRequest) -> Iterator[Deployment]:
    """Servers that run: one with SQLite, one with PostgreSQL, or three of one PostgreSQL behind nginx."""
    if request.param == "sqlite":
        with deployed(None, None, replicas=False) as found:
            yield found
        return
    cluster: Cluster = request.getfixturevalue("postgres_cluster")
    with cluster.served() as url, deployed(cluster, url, replicas=request.param == "replicas") as found:
        yield found


@pytest.fixture
def local(world: World) -> World:
    """A world whose user runs the embedded server, and has named alice an approver."""
    world.run_server()
    return world
