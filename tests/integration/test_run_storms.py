"""Many runs at once that are killed, and whose commands are exchanged: only what was approved runs, and at most once."""

from __future__ import annotations

import itertools
import json
import os
import random
import select
import shutil
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from molecule_approve.cli.main import main
from tests.callers import start
from tests.integration.run_cases import CONSTANT, OURS, SHELL, THEIRS, Case, Plan

if TYPE_CHECKING:
    from tests.integration.deployments import Deployment

AT_ONCE = 4

needs_dash = pytest.mark.skipif(CONSTANT not in SHELL.read_bytes(), reason="/bin/sh is not dash")


# --- what must hold ------------------------------------------------------------------------------------------------------


@dataclass
class Trail:
    """All that is left of one case.

    Attributes:
        case: the case.
        records: those of its approval in the audit log, in order: action and outcome, and the fields.
        ran: what the command itself wrote.
        row: the request as the server has it.

    """

    case: Case
    records: list[dict[str, Any]]
    ran: list[str]
    row: dict[str, Any]

    def having(self, outcome: str) -> list[dict[str, Any]]:
        """The records with this outcome."""
        return [record for record in self.records if record["outcome"] == outcome]

    def wrong(self) -> Iterator[str]:
        """Everything that must not be."""
        yield from self._execution()
        yield from self._ends()
        yield from self._reports()
        yield from self._codes()

    def _execution(self) -> Iterator[str]:
        plan, case = self.case.plan, self.case
        if len(self.ran) > 1:
            yield f"it ran {len(self.ran)} times"
        if self.ran and (plan.decision != "approved" or self.row.get("status") != "approved"):
            yield f"it ran, and the request is {self.row.get('status')}"
        if self.ran and case.in_time:
            yield "it ran although the exchange was complete before the start was recorded"
        # In-place writes after the last check are not excluded: docs/run.md, what is not bound.
        late = {"rewritten": f"{THEIRS} ours", "argument": f"{OURS} theirs"}.get(plan.swap, "")
        yield from (f"{what!r} ran" for what in self.ran if what not in {f"{OURS} ours", late})

    def _ends(self) -> Iterator[str]:
        outcomes = [r["outcome"] for r in self.records if r["outcome"] in {"granted", "started", "finished", "refused"}]
        allowed = [
            [], ["granted"], ["granted", "started"], ["granted", "refused"],
            ["granted", "started", "finished"], ["granted", "started", "refused"],
        ]  # fmt: skip
        if outcomes not in allowed:
            yield f"the log says {outcomes}"
        if self.ran and "started" not in outcomes:
            yield "it ran without a record of its start"
        if self.ran and "refused" in outcomes:
            yield "it ran, and the log says refused"
        for record in self.having("finished"):
            number = record.get("signal")
            if number is None and (record["exit_code"], len(self.ran)) != (self.case.plan.code, 1):
                yield f"the log says that it exited with {record['exit_code']}; it ran {len(self.ran)} times"
            if number is not None and number not in self._sent():
                yield f"the log says that it was ended by {number}"
        for record in self.records:
            if record["action"] == "execute" and record["digest"] not in self.row["action"]:
                yield "the log has another digest than the request"

    def _sent(self) -> set[int]:
        return set() if self.case.plan.kill is None else {int(self.case.plan.kill[0])}

    def _reports(self) -> Iterator[str]:
        found = self.case.results()
        executed = [result["executed"] for result in found if result is not None]
        if len(executed) - executed.count("no") > 1:
            yield f"two result files say that it ran: {executed}"
        if self.having("started") and None not in found and executed.count("no") == len(executed):
            yield "its start was recorded, and every result file says that it did not run"
        if not self.having("started") and executed.count("no") != len(executed):
            yield f"no start was recorded, and the result files say {executed}"
        for result, code in zip(found, self.case.codes, strict=True):
            if result is not None and result["executed"] == "finished":
                if result["exit_code"] != code and code != -signal.SIGKILL:
                    yield f"the result file says {result['exit_code']}, and the code was {code}"
                if not self.having("finished"):
                    yield "the result file says finished, and the log does not"
            elif result is not None and code >= 0 and result["exit_code"] not in {None, code}:
                yield f"the result file says {result['exit_code']}, and the code was {code}"

    def _codes(self) -> Iterator[str]:
        plan = self.case.plan
        ended = {128 + number for number in self._sent()} | {-number for number in self._sent()}
        not_run = {124, 125, *ended}
        not_run |= {77} if plan.decision == "denied" else set()
        not_run |= {2, 8} if plan.kind == "approval" else set()  # another command by now; nobody decided
        done = [record["exit_code"] for record in self.having("finished")]
        others = list(self.case.codes)
        while done and done[0] in others:
            others.remove(done.pop())
        if done and not any(code == -signal.SIGKILL for code in self.case.codes):
            yield f"it exited with {done[0]}, and the codes are {self.case.codes}"
        yield from (f"the code is {code}" for code in others if code not in not_run)


# --- the storm -----------------------------------------------------------------------------------------------------------


@dataclass
class Storm:
    """So many requests, some at a time."""

    seed: int
    folder: Path
    deployment: Deployment

    def rage(self, size: int) -> list[Case]:
        """All of them, until their last process is gone."""
        cases = [self._case(number) for number in range(size)]
        reading, alive = os.pipe()
        launch = partial(start, env=self._environ(), stdout=alive)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(lambda case: case.happen(launch, self.deployment), cases))
        os.close(alive)
        _await_end(reading)
        return cases

    def check(self, cases: list[Case]) -> list[str]:
        """What is wrong, each with the case that shows it."""
        records = [json.loads(line) for line in (self.folder / "audit.jsonl").read_bytes().splitlines()]
        ran = [line.rsplit(" ", 1) for line in (self.folder / "ledger").read_text().splitlines()]
        known = {case.approval_id for case in cases}
        unused = {row.id for row in self.deployment.rows().values() if row.used_by is None}
        wrong = [f"{what!r} ran for {found!r}, which nobody asked" for what, found in ran if found not in known]
        wrong += [f"{what!r} ran for {found!r}, whose approval is not used up" for what, found in ran if found in unused]
        for number, case in enumerate(cases):
            if case.approval_id:
                mine = [record for record in records if record.get("approval_id") == case.approval_id]
                row = self.deployment.one(case.approval_id)
                trail = Trail(case, mine, [what for what, found in ran if found == case.approval_id], row)
                wrong += [f"run {number}: {found}: {case.plan}, {case.codes}" for found in trail.wrong()]
        return wrong

    def _case(self, number: int) -> Case:
        folder = self.folder / str(number)
        folder.mkdir()
        plan = Plan.drawn(random.Random(f"{self.seed}.{number}"))
        return Case(plan, folder, self.folder / "ledger", self.folder / "audit.jsonl")

    def _environ(self) -> dict[str, str]:
        return self.deployment.environ(self.folder)


def _await_end(reading: int) -> None:
    """Read until every process that holds the other end is gone: a command may outlive the one that started it."""
    while True:
        assert select.select([reading], [], [], 30)[0], "a command does not end"
        if not os.read(reading, 65_536):
            os.close(reading)
            return


def outlive(size: int, folder: Path, deployment: Deployment, pause: float) -> None:
    """A storm, and what must hold after it."""
    storm = Storm(int(os.environ.get("STORM_SEED", "11")), folder, deployment)
    sys.stdout.write(f"STORM_SEED={storm.seed}\n")
    with deployment.raging(random.Random(storm.seed), pause) as faults:
        cases = storm.rage(size)
    codes = Counter(itertools.chain.from_iterable(case.codes for case in cases))
    ran = (folder / "ledger").read_text().count("\n")
    sys.stdout.write(f"{ran} commands ran, exit codes {sorted(codes.items())}, faults: {dict(faults)}\n")
    deployment.settle()
    assert [*storm.check(cases), *deployment.wrong()] == []
    assert size // 10 < ran < size
    deployment.verify()
    assert main(["audit", "verify", "--audit-log", str(folder / "audit.jsonl")]) == 0
    shutil.rmtree(folder)


@pytest.mark.slow
@needs_dash
@pytest.mark.timeout(300)
def test_a_storm_of_runs(tmp_path: Path, deployment: Deployment) -> None:
    """Requests with kills, swaps and rivals: what ran was approved, it ran once, and every report and every log is true."""
    outlive(15 if deployment.shared else 40, tmp_path, deployment, pause=2.5)


@needs_dash
@pytest.mark.soak
@pytest.mark.timeout(1_800)
def test_a_thousand_runs(tmp_path: Path, deployment: Deployment) -> None:
    """The same, a thousand times."""
    outlive(1_000, tmp_path, deployment, pause=5.0)
