"""Many ask, decide and redeem at once while servers and database are killed: what must hold holds in each deployment."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.callers import start, until
from tests.integration.deployments import APPROVERS, PATIENCE

if TYPE_CHECKING:
    from tests.integration.deployments import Deployment

AT_ONCE = 6

CROWD = 10
"""Every so many-eth request is decided and redeemed by many."""

_CODES = {"approved": 0, "denied": 77}


@dataclass
class Told:
    """What callers were told of one request.

    Attributes:
        decided: the names and decisions that were answered with 200.
        redeemed: the invocations that were.
        code: the program's exit code, if one asked and waited.
    """

    id: str
    decided: set[tuple[str, str]] = field(default_factory=set)
    redeemed: set[str] = field(default_factory=set)
    code: int | None = None

    def contradictions(self, row: Any) -> Iterator[str]:  # noqa: ANN401 - a row
        """What is not as the request is now."""
        if len(self.decided) > 1:
            yield f"{self.id}: both were told that they decided: {self.decided}"
        if self.decided and self.decided != {(row.decided_by, row.status)}:
            yield f"{self.id}: {self.decided} was told, and it is {row.status} by {row.decided_by}"
        if len(self.redeemed) > 1:
            yield f"{self.id}: redeemed twice"
        if self.redeemed and self.redeemed != {row.used_by}:
            yield f"{self.id}: redeemed by {self.redeemed}, and the database says {row.used_by}"
        if self.redeemed and row.status != "approved":
            yield f"{self.id}: redeemed, and it is {row.status}"
        if self.code is not None and self.code != _CODES.get(row.status) and row.decided_by in APPROVERS:
            yield f"{self.id}: the program's code is {self.code}, and it is {row.status} by {row.decided_by}"


@dataclass
class Storm:
    """What callers do, and what they were told."""

    deployment: Deployment
    folder: Path
    random: random.Random
    told: list[Told] = field(default_factory=list)

    def ask_and_decide(self, number: int) -> None:
        """Ask, have two approvers decide against each other, and redeem twice; some requests meet a crowd of both."""
        key, body = {"Idempotency-Key": f"key {number}"}, {"action": f"step {number}"}
        asked = self.deployment.call("POST", self.deployment.path, "requester", {200, 201}, json=body, headers=key)
        told = Told(asked.json()["approval_id"])
        self.told.append(told)
        times = 6 if number % CROWD == 0 else 1
        words = [("alice", "approved"), ("bob", self.random.choice(["approved", "denied"]))] * times
        self._at_once([lambda word=word: self._decide(told, *word) for word in words])  # type: ignore[misc]
        self._at_once([lambda: self._redeem(told)] * 2 * times)

    def _decide(self, told: Told, name: str, decision: str) -> None:
        if self.deployment.decide(told.id, decision, name):
            told.decided.add((name, decision))

    def _redeem(self, told: Told) -> None:
        invocation = str(uuid.uuid4())
        path = f"{self.deployment.path}/{told.id}/redeem"
        answer = self.deployment.call("POST", path, "requester", {200, 409}, json={"invocation": invocation})
        if answer.status_code == 200 and answer.json()["status"] == "approved":
            told.redeemed.add(invocation)

    @staticmethod
    def _at_once(jobs: list[Callable[[], None]]) -> None:
        with ThreadPoolExecutor(len(jobs)) as pool:
            for running in [pool.submit(job) for job in jobs]:
                running.result()

    def run_program(self, number: int) -> None:
        """The real program asks and waits; somebody decides meanwhile."""
        home = self.folder / f"program {number}"
        home.mkdir()
        options = ("--transport", ("websocket", "poll")[number % 2], "--poll-interval", "1", "--timeout", "60", "--json")
        with (home / "err").open("wb") as err:
            words = ("request", *options, "--", f"program {number}")
            process = start(words, env=self.deployment.environ(home), stdout=subprocess.PIPE, stderr=err)
            log = home / "audit.jsonl"
            until(
                lambda: (log.exists() and b'"requested"' in log.read_bytes()) or process.poll() is not None, seconds=PATIENCE
            )
            asked = [json.loads(line) for line in log.read_bytes().splitlines() if b'"requested"' in line]
            if asked:
                told = Told(asked[0]["approval_id"])
                self.told.append(told)
                self._decide(told, "alice", self.random.choice(["approved", "denied"]))
                told.code = process.wait(2 * PATIENCE)
            process.communicate(timeout=2 * PATIENCE)

    def wrong(self) -> Iterator[str]:
        """Everything that must not be."""
        yield from self.deployment.wrong()
        rows = self.deployment.rows()
        yield from (f"{row.id} is left behind" for row in rows.values() if row.status == "pending")
        yield from (f"{one} was never asked by us" for one in rows.keys() - {told.id for told in self.told})
        for told in self.told:
            yield from told.contradictions(rows[told.id])


def outlive(deployment: Deployment, folder: Path, cycles: int, programs: int, pause: float) -> None:
    """A storm, and what must hold after it."""
    seed = int(os.environ.get("STORM_SEED", "7"))
    sys.stdout.write(f"STORM_SEED={seed}\n")
    storm = Storm(deployment, folder, random.Random(seed))
    with deployment.raging(random.Random(seed), pause) as faults, ThreadPoolExecutor(AT_ONCE) as pool:
        jobs = [pool.submit(storm.run_program, number) for number in range(programs)]
        jobs += [pool.submit(storm.ask_and_decide, number) for number in range(cycles)]
        for job in jobs:
            job.result()
    sys.stdout.write(f"{len(storm.told)} requests, faults: {dict(faults)}\n")
    deployment.settle()
    assert list(storm.wrong()) == []
    assert len(storm.told) == cycles + programs
    assert faults
    deployment.verify()


def _started(deployment: Deployment, home: Path, *words: str) -> subprocess.Popen[str]:
    """The program, with a log of its own in this folder."""
    home.mkdir()
    with (home / "err").open("wb") as err:
        return start(words, env=deployment.environ(home), stdout=subprocess.PIPE, stderr=err, text=True)


def _recorded(home: Path, outcome: str) -> dict[str, Any]:
    """The record with this outcome in the log of a program, which writes it in time."""
    log, found = home / "audit.jsonl", list[dict[str, Any]]()

    def is_there() -> bool:
        lines = log.read_bytes().splitlines() if log.exists() else []
        found[:] = [json.loads(line) for line in lines if f'"{outcome}"'.encode() in line]
        return bool(found)

    until(is_there, seconds=PATIENCE)
    return found[0]


@pytest.mark.slow
@pytest.mark.parametrize("transport", ["websocket", "poll"])
def test_of_many_deciders_one_wins_and_everybody_agrees(deployment: Deployment, tmp_path: Path, transport: str) -> None:
    """Sixty-four decisions at once, on any of the servers: one counts, and exit code, database and logs say what it was."""
    home = tmp_path / "asks"
    with _started(deployment, home, "request", "--transport", transport, "--timeout", "60", "--", "race") as program:
        approval_id = str(_recorded(home, "requested")["approval_id"])
        words = ["approved", "denied"] * 32
        with ThreadPoolExecutor(len(words)) as pool:
            counted = list(pool.map(lambda word: deployment.decide(approval_id, word), words))
        assert counted.count(True) == 1
        won = words[counted.index(True)]
        assert program.wait(PATIENCE) == _CODES[won]
    assert _recorded(home, {"approved": "granted", "denied": "denied"}[won])["approval_id"] == approval_id
    assert deployment.one(approval_id)["status"] == won
    deployment.settle()
    assert list(deployment.wrong()) == []
    deployment.verify()


@pytest.mark.slow
def test_of_many_waiters_one_gets_the_yes(deployment: Deployment, tmp_path: Path) -> None:
    """Several processes wait for one approval, each with a log of its own and at any of the servers: one 0."""
    asked = deployment.call("POST", deployment.path, "requester", {201}, json={"action": "race"})
    approval_id = str(asked.json()["approval_id"])
    options = ("--poll-interval", "1", "--timeout", "60", "--action", "race")
    with ExitStack() as stack:
        waiters = []
        for number in range(6):
            home = tmp_path / str(number)
            transport = ("websocket", "poll")[number % 2]
            words = ("wait", "--transport", transport, *options, approval_id)
            waiters.append(stack.enter_context(_started(deployment, home, *words)))
            _recorded(home, "resumed")
        assert deployment.decide(approval_id, "approved")
        assert sorted(waiter.wait(PATIENCE) for waiter in waiters) == [0, 125, 125, 125, 125, 125]
    deployment.settle()
    assert list(deployment.wrong()) == []


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_storm_of_decisions(deployment: Deployment, tmp_path: Path) -> None:
    """No decision is lost, doubled or changed; no approval is redeemed twice; each is in one log, once; none stays open."""
    outlive(deployment, tmp_path, cycles=20, programs=2, pause=1.0)


@pytest.mark.soak
@pytest.mark.timeout(1_800)
def test_a_long_storm_of_decisions(deployment: Deployment, tmp_path: Path) -> None:
    """The same, for minutes."""
    outlive(deployment, tmp_path, cycles=600, programs=60, pause=2.0)
