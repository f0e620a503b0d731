"""Sixty-four approvers at once, in each deployment: one result, and each counts once; also while servers are killed."""

from __future__ import annotations

import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tests.integration.deployments import Deployment, deployed
from tests.proxies import needs_nginx

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.server.postgres import Cluster

PEOPLE = tuple(f"person-{number}" for number in range(64))
NEED = 5
POLICY = f"""
version: 1
groups: {{crowd: [{", ".join(PEOPLE)}]}}
rules:
  - {{name: several, match: {{action: "drop*"}}, approvers: ["group:crowd"], approvals: {NEED}}}
"""


@pytest.fixture(params=["sqlite", "postgresql", pytest.param("replicas", marks=needs_nginx)])
def crowd(request: pytest.FixtureRequest) -> Iterator[Deployment]:
    """Servers whose policy wants several of sixty-four approvers."""
    if request.param == "sqlite":
        with deployed(None, None, replicas=False, policy=POLICY, approvers=PEOPLE) as found:
            yield found
        return
    cluster: Cluster = request.getfixturevalue("postgres_cluster")
    behind = request.param == "replicas"
    with (
        cluster.served() as url,
        deployed(cluster, url, replicas=behind, policy=POLICY, approvers=PEOPLE) as found,
    ):
        yield found


def ask(crowd: Deployment, action: str) -> str:
    """Ask, and give the request's id."""
    answer = crowd.call("POST", crowd.path, "requester", {201}, json={"action": action})
    return str(answer.json()["approval_id"])


def decide(crowd: Deployment, asked: str, name: str, decision: str = "approved") -> str:
    """Decide as somebody: the status that is answered, or the refusal's code."""
    answer = crowd.call("POST", f"{crowd.path}/{asked}/decide", name, {200, 409}, json={"decision": decision})
    said = answer.json()
    return str(said["status"] if answer.status_code == 200 else said["code"])


def check(crowd: Deployment, asked: str) -> list[str]:
    """Look at an approved request: so many different people, and no more; their names."""
    found = crowd.one(asked)
    people = [one["by"] for one in found["decisions"]]
    assert (found["status"], found["approvals"]["have"], len(set(people)), len(people)) == ("approved", NEED, NEED, NEED)
    assert {one["decision"] for one in found["decisions"]} == {"approved"}
    assert found["decided_by"] in people
    return people


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_sixty_four_approvers_race(crowd: Deployment) -> None:
    """So many as are needed count, each once, one of them ends it, and all others are told that it has ended."""
    asked = ask(crowd, "drop it")
    with ThreadPoolExecutor(len(PEOPLE)) as pool:
        told = dict(zip(PEOPLE, pool.map(lambda name: decide(crowd, asked, name), PEOPLE), strict=True))
    assert Counter(told.values()) == {"pending": NEED - 1, "approved": 1, "ended": len(PEOPLE) - NEED}
    assert set(check(crowd, asked)) == {name for name, said in told.items() if said != "ended"}
    crowd.settle()
    assert list(crowd.wrong()) == []
    crowd.verify()


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_they_race_while_servers_are_killed(crowd: Deployment) -> None:
    """Nobody counts twice for an answer that was lost, and a no is the end of a request."""
    chance = random.Random(15)
    wanted = [ask(crowd, f"drop {number}") for number in range(60)]
    calls = [(asked, name, "approved") for asked in wanted for name in chance.sample(PEOPLE[1:], 12)]
    calls += [(asked, PEOPLE[0], "denied") for asked in wanted[::3]]
    chance.shuffle(calls)
    with crowd.raging(chance, 1.0) as faults, ThreadPoolExecutor(16) as pool:
        told = list(pool.map(lambda one: decide(crowd, *one), calls))
    assert faults.total() > 2
    for asked in wanted:
        said = {word for (one, _, _), word in zip(calls, told, strict=True) if one == asked}
        found = crowd.one(asked)
        if "denied" in said or found["status"] == "denied":
            assert (found["decided_by"], "approved" in said) == (PEOPLE[0], False)
        else:
            check(crowd, asked)
    crowd.settle()
    assert list(crowd.wrong()) == []
    crowd.verify()
