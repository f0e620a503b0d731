"""Many commands that start at once, with one log of theirs: each ends right, and nothing is asked twice."""

from __future__ import annotations

import contextlib
import resource
import signal
import subprocess
import threading
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from molecule_approve.audit import files, locking
from molecule_approve.cli.main import main
from molecule_approve.clock import boottime
from molecule_approve.gate.records import ENDING
from tests.callers import PATIENCE, Caller, ended, let_pass, until
from tests.forks import PROGRAM
from tests.proxies import needs_nginx

if TYPE_CHECKING:
    from tests.integration.deployments import Deployment

TRAIL = ["initiated", "requested", "granted"]


class Rush:
    """Commands that start at once; alice approves whatever stands."""

    def __init__(self, caller: Caller, deployment: Deployment, size: int, program: tuple[str, ...]) -> None:
        caller.set(**{**deployment.environ(caller.folder), "AUDIT_LOG_PATH": str(caller.log), "APPROVAL_TIMEOUT": "900"})
        self._caller = caller
        self._deployment = deployment
        self._over = threading.Event()
        self._actions = {f"{caller.folder.name} {number}" for number in range(size)}
        self._said = caller.folder / "said"
        with self._said.open("w") as said:
            streams: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": said, "program": program}
            self._running = [caller.start("request", "--", action, **streams) for action in sorted(self._actions)]

    @contextlib.contextmanager
    def approved(self) -> Iterator[None]:
        """Approve from now on, in another thread."""
        thread = threading.Thread(target=self._approve)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join(PATIENCE)

    def _approve(self) -> None:
        while not self._over.wait(0.05):
            for row in self._deployment.call("GET", "/approvals/pending", "alice", {200}).json():
                self._deployment.decide(row["id"], "approved")

    def codes(self, seconds: float) -> set[int]:
        """How they ended, within that time."""
        end = boottime() + seconds
        return {process.wait(max(0.0, end - boottime())) for process in self._running}

    def trails(self) -> dict[str, list[str]]:
        """The outcomes in the log, by action."""
        found: dict[str, list[str]] = defaultdict(list)
        for record in self._caller.records():
            found[record["resource"]].append(record["outcome"])
        return dict(found)

    def check(self, seconds: float) -> None:
        """All are approved, with a whole trail each, and asked once."""
        assert self.codes(seconds) == {0}, self._said.read_text()
        assert self.trails() == dict.fromkeys(self._actions, TRAIL)
        assert sorted(row.action for row in self._deployment.rows().values()) == sorted(self._actions)
        assert main(["audit", "verify", "--audit-log", str(self._caller.log)]) == 0


def blocked(caller: Caller) -> int:
    """How many processes wait in the queue for the log's lock; proc_locks(5)."""
    inode = f":{files.lock_path(caller.log).stat().st_ino} "
    return sum(" -> " in line and inode in line for line in Path("/proc/locks").read_text().splitlines())


@contextlib.contextmanager
def lock_held(caller: Caller) -> Iterator[None]:
    """Somebody holds the log's lock."""
    with locking.locked(caller.log, patience=PATIENCE, pause=let_pass, clock=boottime):
        yield


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    "deployment",
    [
        "sqlite",
        pytest.param("postgresql", marks=pytest.mark.slow),
        pytest.param("replicas", marks=[pytest.mark.slow, needs_nginx]),
    ],
    indirect=True,
)
def test_commands_outlast_a_lock_that_is_held_for_long(caller: Caller, deployment: Deployment) -> None:
    """24 commands stand before a log that another process holds for longer than an ending may wait; all end right."""
    size = 24
    with lock_held(caller):
        rush = Rush(caller, deployment, size, PROGRAM)
        until(lambda: blocked(caller) == size)
    with rush.approved():
        until(lambda: len(rush.trails()) == size)
        with lock_held(caller):  # in the midst of submissions and decisions
            let_pass(ENDING + 0.5)
        rush.check(60)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_wait_for_the_log(caller: Caller, number: signal.Signals) -> None:
    """An approval that waits for the log is none after a signal: it ends within seconds, and never with 0."""
    caller.set(APPROVAL_TIMEOUT="900")
    with caller.start("request", "--", "stop it") as process:
        approval_id = caller.requested()
        with lock_held(caller):
            caller.desk.decide(approval_id)
            until(lambda: blocked(caller) == 1)
            before = boottime()
            process.send_signal(number)
            code = ended(process).code
            assert boottime() - before < 2 * ENDING + 5
    assert code == 128 + number
    assert "granted" not in [record["outcome"] for record in caller.records()]


@pytest.mark.soak
@pytest.mark.timeout(1_200)
def test_five_hundred_commands(caller: Caller, deployment: Deployment) -> None:
    """Five hundred real starts at once, which keep the machine busy for a minute or more; all end right."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limits[1], limits[1]))
    try:
        rush = Rush(caller, deployment, 500, ("/usr/bin/env", *PROGRAM))
        with rush.approved():
            rush.check(900)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
