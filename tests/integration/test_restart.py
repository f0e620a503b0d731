"""A server that is restarted while somebody waits: sockets are told to come back, and waiters lose nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest

from tests.callers import until
from tests.integration.program import PATHS
from tests.integration.raw_http import PLAIN
from tests.integration.served import Served

if TYPE_CHECKING:
    from tests.integration.program import World

both_paths = pytest.mark.parametrize("path", PATHS)


@pytest.fixture
def served(world: World) -> Served:
    """A world's server, which is reached by its address."""
    found = world.served = Served(world.env, world.folder)
    world.closing.append(found.stop)
    world.env |= {"PLATFORM_URL": found.url, "WORKSPACE_ID": found.workspace, "MOLECULE_TOKEN": found.token}
    return found


def _waits(served: Served, path: str) -> bool:
    """Whether the one who waits has an open event stream, or has read its request."""
    numbers = httpx.get(f"{served.url}/metrics", verify=PLAIN, trust_env=False).text
    return "molecule_sockets 1.0" in numbers if path == "websocket" else "molecule_requests_total 1.0" in numbers


@both_paths
@pytest.mark.parametrize("decided", ["before", "after"])
def test_who_waits_gets_the_decision_across_a_restart(world: World, served: Served, path: str, decided: str) -> None:
    """Whether it was taken just before the stop or after the start: 0, asked once, redeemed once."""
    program = world.request(path, timeout=30)
    until(lambda: _waits(served, path))
    [row] = served.rows()
    if decided == "before":
        assert served.decide(row["id"]) == 200
    served.stop()
    served.start(served.url.rpartition(":")[2])
    if decided == "after":
        assert served.decide(row["id"]) == 200
    facts = program.wait()
    assert (facts.code, facts.answer["decided_by"]) == (0, "alice")
    assert [found["id"] for found in served.rows()] == [row["id"]]


@both_paths
def test_a_request_that_is_made_while_the_server_is_away_is_made_once_it_is_back(
    world: World, served: Served, path: str
) -> None:
    """And only once."""
    port = served.url.rpartition(":")[2]
    served.stop()
    program = world.request(path, timeout=30)
    until(lambda: b'"initiated"' in world.log_text())
    served.start(port)
    until(served.rows)
    [row] = served.rows()
    assert served.decide(row["id"]) == 200
    assert program.wait().code == 0
