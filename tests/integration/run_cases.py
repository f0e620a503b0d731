"""A run with what happens to it: kills, swaps and decisions, drawn at random; test_run_storms.py says what must hold."""

from __future__ import annotations

import errno
import json
import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from subprocess import Popen
from typing import TYPE_CHECKING, Any

from tests.callers import has_ended, let_pass, until

if TYPE_CHECKING:
    import random

    from tests.integration.deployments import Deployment

Launch = Callable[..., Popen[Any]]
"""Has the program run, with these arguments and a Popen's options."""

PATIENCE = 60.0
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
SHELL = Path("/bin/sh").resolve()
CONSTANT = b"PS4=+ \0"
"""Stands in dash: what it prints is compiled in, so that a changed one tells on itself."""

OURS, THEIRS = "+", "-"
SCRIPT = '{before}read -r file < "$1"; echo "${{PS4% }} $file $MOLECULE_APPROVAL_ID" >> {ledger}; {after}exit {code}'


@cache
def program(mark: str) -> bytes:
    """A shell into which this mark is compiled."""
    return SHELL.read_bytes().replace(CONSTANT, b"PS4=%s \0" % mark.encode())


@dataclass(frozen=True)
class Plan:
    """What happens to one request.

    Attributes:
        kind: ``run``; ``key``, two attempts with one idempotency key; ``approval``, two at once after `request --for`.
        decision: ``approved``, ``denied``, ``withdrawn`` or ``none``.
        swap: what is exchanged, or nothing.
        before: whether it is exchanged before the decision.
        pauses: seconds before the swap, if that is after the decision, and before the kill.
        kill: the signal, its moment (``birth``, ``asked`` or ``decided``) and which attempt gets it; or None.
        code: the command's own exit code.
        before_line, after_line: what else the command does.

    """

    kind: str
    decision: str
    swap: str
    before: bool
    pauses: tuple[float, float]
    kill: tuple[signal.Signals, str, int] | None
    code: int
    before_line: str
    after_line: str

    @classmethod
    def drawn(cls, chance: random.Random) -> Plan:
        """At random."""
        kill = (chance.choice(SIGNALS), chance.choice(["birth", "asked", "decided", "decided"]), chance.randrange(2))
        return cls(
            kind=chance.choice(["run", "run", "key", "approval"]),
            decision=chance.choices(["approved", "denied", "withdrawn", "none"], [12, 1, 1, 1])[0],
            swap=chance.choices(["", "renamed", "rewritten", "retargeted", "argument", "folder"], [6, 1, 1, 1, 1, 1])[0],
            before=chance.random() < 0.3,
            pauses=(chance.uniform(0, 0.06), chance.uniform(0, 0.12)),
            kill=kill if chance.random() < 0.5 else None,
            code=chance.choice([0, 0, 3, 77, 124, 125]),
            before_line=chance.choice(["", "", "sleep 0.05; "]),
            after_line=chance.choice(["", "", "sleep 0.05; "]),
        )


@dataclass
class Case:
    """One request, the attempts at it, and what became of them.

    Attributes:
        plan: what happens.
        folder: of the case; the command runs in ``place`` below it.
        approval_id: the request's id; empty if nothing was asked.
        codes: the exit codes of the attempts.
        in_time: whether the swap was complete before the record of a start, so that nothing may run.

    """

    plan: Plan
    folder: Path
    ledger: Path
    log: Path
    approval_id: str = ""
    codes: list[int] = field(default_factory=list)
    in_time: bool = False

    @property
    def place(self) -> Path:
        """The folder in which the command runs."""
        return self.folder / "place"

    @property
    def words(self) -> list[str]:
        """The command."""
        plan = self.plan
        script = SCRIPT.format(before=plan.before_line, after=plan.after_line, ledger=self.ledger, code=plan.code)
        return ["./tool", "-c", script, "tool", "argument"]

    def results(self) -> list[dict[str, Any] | None]:
        """The result file of each attempt; None where there is none."""
        paths = [self.folder / f"result.{number}" for number in range(len(self.codes))]
        return [json.loads(path.read_bytes()) if path.exists() else None for path in paths]

    def prepare(self) -> None:
        """Put the command in its place."""
        _furnish(self.place, OURS)
        if self.plan.swap == "retargeted":
            (self.place / "tool").rename(self.place / "ours")
            (self.place / "tool").symlink_to("ours")

    def happen(self, launch: Launch, deployment: Deployment) -> None:
        """From the first start to the last end."""
        self.prepare()
        runs = self._ask(launch)
        self._kill(runs, "birth")
        self._await_id(runs)
        self._kill(runs, "asked")
        if self.approval_id:
            self._swap_and_decide(launch, deployment, runs)
        self._kill(runs, "decided")
        self.codes = [run.wait(PATIENCE) for run in runs]

    def _ask(self, launch: Launch) -> list[Popen[Any]]:
        plan = self.plan
        if plan.kind == "approval":
            ask = ("request", "--for", "--id-file", str(self.folder / "id.0"), "--", *self.words)
            assert self._launched(launch, ask, "stderr").wait(PATIENCE) == 8
            return []
        key = ("--idempotency-key", self.folder.as_posix()) if plan.kind == "key" else ()
        return [self._start(launch, number, *key) for number in range(1 + (plan.kind == "key"))]

    def _start(self, launch: Launch, number: int, *options: str) -> Popen[Any]:
        ids = () if self.plan.kind == "approval" else ("--id-file", str(self.folder / f"id.{number}"))
        timeout = "1s" if self.plan.decision == "none" else "20s"
        report = ("--result-file", str(self.folder / f"result.{number}"), "--timeout", timeout)
        arguments = ("run", *options, *ids, *report, "--", *self.words)
        return self._launched(launch, arguments, f"stderr.{number}")

    def _launched(self, launch: Launch, arguments: Sequence[str], errors: str) -> Popen[Any]:
        with (self.folder / errors).open("ab") as stderr:
            return launch(arguments, cwd=self.place, stderr=stderr)

    def _await_id(self, runs: list[Popen[Any]]) -> None:
        def known() -> bool:
            found = [path.read_text().strip() for path in self.folder.glob("id.?")]
            self.approval_id = next((text for text in found if text), "")
            return bool(self.approval_id)

        until(lambda: known() or all(has_ended(run.pid, 0) for run in runs))
        known()

    def _swap_and_decide(self, launch: Launch, deployment: Deployment, runs: list[Popen[Any]]) -> None:
        plan = self.plan
        if plan.kind == "approval":
            runs += [self._start(launch, number, "--approval", self.approval_id) for number in range(2)]
        if plan.before:
            self._swap()
        if plan.decision == "withdrawn":
            deployment.withdraw(self.approval_id)
        elif plan.decision != "none":
            deployment.decide(self.approval_id, plan.decision)
        if not plan.before:
            let_pass(plan.pauses[0])
            self._swap()

    def _kill(self, runs: list[Popen[Any]], moment: str) -> None:
        plan = self.plan
        if plan.kill is not None and plan.kill[1] == moment and runs:
            let_pass(plan.pauses[1])
            # Not by its method, which reaps what has ended: a command that outlives it could get its id.
            os.kill(runs[plan.kill[2] % len(runs)].pid, plan.kill[0])

    def _swap(self) -> None:
        swap = getattr(self, f"_{self.plan.swap}", None)
        if swap is None:
            return
        try:
            swap()
        except OSError as exc:
            if exc.errno != errno.ETXTBSY:  # it runs already
                raise
        else:
            started = f'"approval_id":"{self.approval_id}"'.encode()
            lines = self.log.read_bytes().splitlines()
            self.in_time = not any(started in line and b'"outcome":"started"' in line for line in lines)

    def _renamed(self) -> None:
        _put(self.place / "new", program(THEIRS))
        (self.place / "new").rename(self.place / "tool")

    def _rewritten(self) -> None:
        with (self.place / "tool").open("r+b") as file:
            file.seek(program(OURS).index(CONSTANT) + 4)
            file.write(THEIRS.encode())

    def _retargeted(self) -> None:
        _put(self.place / "theirs", program(THEIRS))
        (self.place / "new").symlink_to("theirs")
        (self.place / "new").rename(self.place / "tool")

    def _argument(self) -> None:
        with (self.place / "argument").open("r+b") as file:  # at no moment is it empty
            file.write(b"theirs\n")

    def _folder(self) -> None:
        _furnish(self.folder / "new", THEIRS)
        self.place.rename(self.folder / "old")
        (self.folder / "new").rename(self.place)


def _furnish(place: Path, mark: str) -> None:
    place.mkdir()
    _put(place / "tool", program(mark))
    (place / "argument").write_text("ours\n" if mark == OURS else "theirs\n")


def _put(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    path.chmod(0o755)
