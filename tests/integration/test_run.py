"""`run` as real processes: signals between the approval and the start, several invocations, `--exec`, and who is gone."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.callers import PATIENCE, ended, takers, until
from tests.forks import PROGRAM

if TYPE_CHECKING:
    from tests.callers import Caller

TOOL = """#!/bin/sh
trap 'echo USR1 >>told' USR1
trap 'echo USR2 >>told; exit 6' USR2
echo "$$ $MOLECULE_APPROVED_BY" >>ran
if [ -n "$STAY" ]; then while :; do sleep 0.02; done; fi
"""


@dataclass
class House:
    """A folder with a program that says that it ran, and a file that takes a while to read."""

    caller: Caller
    folder: Path

    def start(self, *words: str, **options: Any) -> subprocess.Popen[str]:  # noqa: ANN401 - Popen's
        return self.caller.start("run", "--result-file", str(self.folder / "result"), *words, cwd=self.folder, **options)

    def approve(self) -> str:
        """Approve the last request; its id."""
        found = self.caller.requested()
        assert self.caller.desk.decide(found).status_code == 200
        return found

    def lines(self, name: str) -> list[str]:
        path = self.folder / name
        return path.read_text().splitlines() if path.exists() else []

    @property
    def ran(self) -> int:
        return len(self.lines("ran"))

    @property
    def result(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / "result").read_text())
        return found

    @property
    def outcomes(self) -> list[str]:
        return [record["outcome"] for record in self.caller.records()]

    def until_recorded(self, outcome: str) -> None:
        until(lambda: outcome in self.outcomes)

    def starts_are_granted(self) -> bool:
        """For each approval at most one start, after its grant, and with the digest that was approved."""
        records = self.caller.records()
        starts = [(place, record) for place, record in enumerate(records) if record["outcome"] == "started"]
        ids = [record["approval_id"] for _, record in starts]
        granted = [
            any(one["outcome"] == "granted" and one["approval_id"] == found["approval_id"] for one in records[:place])
            and found["resource"].endswith(f"digest: sha256:{found['digest']}")
            for place, found in starts
        ]
        return len(set(ids)) == len(ids) and all(granted)


@pytest.fixture
def house(caller: Caller, tmp_path: Path) -> House:
    """A quarter of a gigabyte of nothing takes long enough to meet the second look at what is bound."""
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "tool").write_text(TOOL)
    (folder / "tool").chmod(0o755)
    (folder / "big").touch()
    os.truncate(folder / "big", 1 << 28)
    return House(caller, folder)


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"])
def test_a_signal_between_the_record_and_the_start_stops_it(house: House, name: str) -> None:
    """While the bytes are read once more: nothing runs, 128 and the signal, and log and result file say what happened."""
    number = signal.Signals[name]
    process = house.start("--", "./tool", "big")
    house.approve()
    house.until_recorded("started")
    process.send_signal(number)
    told = ended(process)
    assert (told.code, told.out, house.ran) == (128 + number, "", 0)
    assert house.outcomes[2:] == ["granted", "started", "refused"]
    assert (house.caller.records()[-1]["action"], house.caller.records()[-1]["reason"]) == ("execute", "delivery")
    found = house.result
    assert (found["outcome"], found["approved"], found["executed"]) == ("interrupted", False, "started")
    assert (found["exit_code"], found["child_exit_code"]) == (128 + number, None)
    assert house.starts_are_granted()


def test_a_signal_meets_no_thread_that_would_take_it(house: House) -> None:
    """Our other threads block it: one that lasts would end us, and leave the command alone."""
    with house.caller.terminal("run", "--", "./tool", cwd=house.folder) as terminal:
        house.caller.requested()
        threads = Path(f"/proc/{terminal.process.pid}/task")
        until(lambda: len(list(threads.iterdir())) > 4)
        until(lambda: takers(terminal.process.pid) == [terminal.process.pid], "another takes it, or none does")
        house.approve()
        assert terminal.end() == 0


def test_a_signal_that_ends_nothing_reaches_the_command(house: House) -> None:
    """It came before there was a command, and is kept for it: by default it would end it."""
    process = house.start("--", "/bin/sh", "-c", "exec sleep 60", "sh", "big")
    house.approve()
    house.until_recorded("started")
    process.send_signal(signal.SIGUSR1)
    told = ended(process)
    assert told.code == 128 + signal.SIGUSR1
    assert (house.outcomes[-1], house.caller.records()[-1]["signal"]) == ("finished", signal.SIGUSR1)


def test_a_change_while_the_start_is_recorded_stops_it(house: House) -> None:
    """Between the check and the execution, as far as a test gets there: a file is cut while it is read."""
    process = house.start("--", "./tool", "big")
    house.approve()
    house.until_recorded("started")
    os.truncate(house.folder / "big", 1)
    told = ended(process)
    assert (told.code, house.ran, house.outcomes[2:]) == (125, 0, ["granted", "started", "refused"])
    assert (house.result["executed"], house.result["exit_code"]) == ("started", 125)


def test_signals_reach_the_command_that_runs(house: House) -> None:
    """Each once; the result file says meanwhile that it has started, and at the end how it ended."""
    house.caller.set(STAY="1")
    process = house.start("--", "./tool")
    house.approve()
    until(lambda: house.ran)
    assert (house.result["executed"], house.result["exit_code"]) == ("started", None)
    process.send_signal(signal.SIGUSR1)
    until(lambda: house.lines("told"))
    process.send_signal(signal.SIGUSR2)
    told = ended(process)
    assert (told.code, house.lines("told")) == (6, ["USR1", "USR2"])
    assert told.err.endswith("molecule-approve: the command exited with 6\n")
    assert (house.result["executed"], house.result["child_exit_code"]) == ("finished", 6)


def test_the_command_has_our_streams(house: House) -> None:
    """Its stdin, stdout and stderr are ours, in both directions."""
    process = house.start("--", "/bin/cat", stdin=subprocess.PIPE)
    house.approve()
    out, _ = process.communicate("through", timeout=20)
    assert (process.returncode, out) == (0, "through")


def test_exec_replaces_us_and_says_what_will_be_missing(house: House) -> None:
    """The command has our process; the log has its start, marked, and never its end."""
    process = house.start("--exec", "--", "./tool")
    house.approve()
    told = ended(process)
    assert (told.code, house.lines("ran")) == (0, [f"{process.pid} alice"])
    assert "--exec: the audit log will not say how the command ended" in told.err
    assert house.outcomes[2:] == ["granted", "started"]
    assert house.caller.records()[-1]["replaces_process"] is True
    assert (house.result["executed"], house.result["exit_code"]) == ("started", None)


def test_exec_of_what_cannot_start_is_refused(house: House) -> None:
    """125, and the log says so."""
    shutil.copy(shutil.which("true") or "", house.folder / "binary")
    with (house.folder / "binary").open("r+b"):
        process = house.start("--exec", "--", "./binary")
        house.approve()
        told = ended(process)
    assert (told.code, house.outcomes[2:]) == (125, ["granted", "started", "refused"])
    assert (house.result["executed"], house.result["exit_code"]) == ("started", 125)


@pytest.mark.parametrize("with_file", [False, True])
def test_nobody_who_reads_the_output_gets_nothing_run(house: House, with_file: bool) -> None:
    """The reader left between the approval and the start; a result file may be read later, and then the command runs."""
    start = house.start if with_file else partial(house.caller.start, "run", cwd=house.folder)
    process = start("--", "./tool", "big", stderr=subprocess.DEVNULL)
    house.approve()
    house.until_recorded("started")
    assert process.stdout is not None
    process.stdout.close()
    assert process.wait(PATIENCE) == (0 if with_file else 125)
    assert (house.ran, house.outcomes[-1]) == ((1, "finished") if with_file else (0, "refused"))


@pytest.mark.parametrize("way", ["key", "approval"])
def test_one_approval_of_several_invocations_runs_once(house: House, way: str) -> None:
    """With the same key, or the same id, one runs; the others end with 125."""
    if way == "key":
        words: tuple[str, ...] = ("--idempotency-key", "job", "--", "./tool")
    else:
        asked = house.caller.run("request", "--for", "--", "./tool", cwd=house.folder)
        words = ("--approval", asked.out.strip(), "--", "./tool")
    programs = [house.caller.start("run", *words, cwd=house.folder) for _ in range(3)]
    begun = "requested" if way == "key" else "resumed"
    until(lambda: house.outcomes.count(begun) == 3)
    house.approve()
    codes = sorted(ended(process).code for process in programs)
    assert (codes, house.ran, house.outcomes.count("started")) == ([0, 125, 125], 1, 1)
    assert house.starts_are_granted()


def test_a_job_in_the_background_is_not_interrupted(house: House) -> None:
    """SIGINT is ignored there, before the approval and after it."""
    house.caller.set(STAY="1")
    background = ("sh", "-c", "trap '' INT; exec \"$@\"", "sh")
    program = (*background, *PROGRAM, "run", "--", "./tool")
    with subprocess.Popen(program, cwd=house.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        house.caller.requested()
        process.send_signal(signal.SIGINT)
        house.approve()
        until(lambda: house.ran)
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGUSR2)
        assert ended(process).code == 6


@pytest.mark.started
def test_ctrl_c_at_the_terminal_ends_the_command(house: House) -> None:
    """It reaches the command from the terminal; our code is the command's."""
    lines = ("from signal import *", "pthread_sigmask(SIG_BLOCK, {2})", "print('rea' + 'dy', flush=True)", "sigwait({2})")
    (house.folder / "wait.py").write_text("\n".join((*lines, "raise SystemExit(9)")))
    python = shutil.which("python3") or ""
    with house.caller.terminal("run", "--", python, "-ISs", "wait.py", cwd=house.folder) as terminal:
        house.approve()
        terminal.until("ready")
        terminal.type("\x03")
        assert terminal.end() == 9
        assert "the command exited with 9" in terminal.seen
    assert house.outcomes[-2:] == ["started", "finished"]
