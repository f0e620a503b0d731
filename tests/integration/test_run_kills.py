"""A run that is killed between any two system calls, a disk that is full at each record, and rivals for an approval."""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import signal
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from molecule_approve.cli.main import main
from tests.audit.crew import why_no_strace
from tests.callers import PATIENCE, until
from tests.forks import PROGRAM

if TYPE_CHECKING:
    import subprocess

    from tests.callers import Caller
    from tests.integration.fake_platform import FakePlatform

CODE = 3
"""The command's own exit code."""

WATCHED = {"granted", "started", "finished", "refused"}
"""The outcomes that say whether it ran."""

needs_strace = pytest.mark.skipif(bool(why_no_strace()), reason=why_no_strace() or "never")


@pytest.fixture
def here(caller: Caller, monkeypatch: pytest.MonkeyPatch) -> Caller:
    """The caller, in a folder of their own with a file that the command names."""
    folder = caller.folder / "place"
    folder.mkdir()
    (folder / "argument").write_text("ours\n")
    monkeypatch.chdir(folder)
    return caller


def words(caller: Caller, *, script: str = "") -> list[str]:
    """A command that writes its approval's id to the ledger, after what the script does."""
    return ["sh", "-c", f'{script}echo "$MOLECULE_APPROVAL_ID" >> {caller.folder}/ledger; exit {CODE}', "sh", "argument"]


def ran(caller: Caller) -> list[str]:
    """The approvals for which the command ran, in order."""
    ledger = caller.folder / "ledger"
    return ledger.read_text().splitlines() if ledger.exists() else []


def outcomes(caller: Caller) -> list[str]:
    """The outcomes in the log."""
    return [record["outcome"] for record in caller.records()]


def asked(caller: Caller, command: list[str]) -> str:
    """The id of a new request for this command."""
    path = caller.folder / "id"
    assert caller.main("request", "--for", "--id-file", str(path), "--", *command).code == 8
    return path.read_text().strip()


def result_of(caller: Caller) -> dict[str, Any] | None:
    """What the result file says, if there is one."""
    path = caller.folder / "result.json"
    found: dict[str, Any] | None = json.loads(path.read_bytes()) if path.exists() else None
    return found


def reporting(caller: Caller) -> list[str]:
    """The option that asks for a result file."""
    return ["--result-file", str(caller.folder / "result.json")]


def until_gone(process: subprocess.Popen[str]) -> str:
    """All that was written to a process's stdout until its command, too, was gone."""
    return process.communicate(timeout=PATIENCE)[0]


# --- kill -9 at a system call --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Call:
    """One system call of a run: its name, the how many-eth of that name it is, and its line."""

    name: str
    number: int
    line: str

    @property
    def kill(self) -> str:
        """What kills the run at the entry of this call, as strace wants it."""
        return f"inject={self.name}:signal=KILL:when={self.number}"


SHOWN = "write,fsync,rename,openat,pread64,wait4,rt_sigtimedwait,clone,clone3,vfork,dup2,sendto,close"


@dataclass
class Struck:
    """One run of an approved command under strace.

    Attributes:
        caller: whose run it is.
        approval_id: the request's id.
        calls: the calls of the run, in order.

    """

    caller: Caller
    approval_id: str
    calls: list[Call]

    @classmethod
    def at(cls, caller: Caller, call: Call | None) -> Struck:
        """Ask, approve, and run until this call, or to the end."""
        command = words(caller)
        approval_id = asked(caller, command)
        caller.desk.decide(approval_id)
        trace = caller.folder / "strace"
        tracer = ["strace", "-o", str(trace), "-s", "2048", "--signal=none", "-e", f"trace={SHOWN}"]
        tracer += [] if call is None else ["-e", call.kill]
        arguments = ("run", *reporting(caller), "--approval", approval_id, "--", *command)
        until_gone(caller.start(*arguments, program=(*tracer, *PROGRAM)))
        counted: Counter[str] = Counter()
        calls = []
        for line in trace.read_text(errors="replace").splitlines():
            if (found := re.match(r"(\w+)\(", line)) is not None:
                counted[found[1]] += 1
                calls.append(Call(found[1], counted[found[1]], line))
        return cls(caller, approval_id, calls)

    def after_grant(self) -> list[Call]:
        """The calls from the one on that writes ``granted``."""
        start = next(place for place, call in enumerate(self.calls) if r"\"outcome\":\"granted\"" in call.line)
        return self.calls[start:]

    def check(self) -> None:
        """What must hold, whenever it was killed; and the approval runs nothing a second time."""
        before = ran(self.caller)
        records = [record for record in self.caller.records() if record.get("approval_id") == self.approval_id]
        said = [
            record["outcome"] for record in records if record["outcome"] in {"granted", "started", "finished", "refused"}
        ]
        assert said == ["granted", "started", "finished"][: len(said)]
        count = before.count(self.approval_id)
        assert count <= ("started" in said)
        assert count == 1 or "finished" not in said
        result = result_of(self.caller)
        assert result is None or result["executed"] in {"started", "finished"}
        assert result is None or "started" in said
        assert result is None or result["executed"] != "finished" or "finished" in said
        assert self.caller.main("run", "--approval", self.approval_id, "--", *words(self.caller)).code == 125
        assert ran(self.caller) == before


def moments(calls: list[Call]) -> list[Call]:
    """A call on each side of everything that can be seen from outside."""
    found: list[Call] = []
    for mark in ("granted", "started", "finished"):
        write = next(place for place, call in enumerate(calls) if rf"\"outcome\":\"{mark}\"" in call.line)
        found += [calls[write], next(call for call in calls[write:] if call.name == "fsync")]
    starts = [call for call in calls if call.name in {"clone", "clone3", "vfork"}]
    waits = [call for call in calls if call.name in {"wait4", "rt_sigtimedwait"}]
    renames = [call for call in calls if call.name == "rename" and "result.json" in call.line]
    return [*found, starts[-1], waits[0], *renames]


@pytest.mark.slow
@needs_strace
def test_a_run_that_is_killed_at_what_can_be_seen_never_runs_twice(here: Caller) -> None:
    """Killed before and after each record, the start and each result file: the log and the result file stay true."""
    calm = Struck.at(here, None)
    assert ran(here) == [calm.approval_id]
    calm.check()
    sample = moments(calm.after_grant())
    assert len(sample) == 10
    for call in sample:
        struck = Struck.at(here, call)
        assert struck.calls[-1].name == call.name, call
        struck.check()
    assert main(["audit", "verify", "--audit-log", str(here.log)]) == 0


@needs_strace
@pytest.mark.soak
@pytest.mark.timeout(900)
def test_a_run_that_is_killed_at_any_system_call_never_runs_twice(here: Caller) -> None:
    """The same for every call that strace shows from the grant on."""
    calls = Struck.at(here, None).after_grant()
    assert len(calls) > 50
    for call in calls:
        Struck.at(here, call).check()
    assert main(["audit", "verify", "--audit-log", str(here.log)]) == 0


def test_a_command_outlives_a_kill_of_its_parent(here: Caller) -> None:
    """It goes on in the process group of the run; the log and the result file say that it was started, and no more."""
    gate = here.folder / "gate"
    os.mkfifo(gate)
    command = words(here, script=f"read -r stat < /proc/$$/stat; echo $stat; read -r go < {gate}; ")
    approval_id = asked(here, command)
    here.desk.decide(approval_id)
    run = here.start("run", *reporting(here), "--approval", approval_id, "--", *command, start_new_session=True)
    handle = os.open(gate, os.O_WRONLY)  # the command has come to its pipe
    run.send_signal(signal.SIGKILL)
    assert run.wait(PATIENCE) == -signal.SIGKILL
    assert (outcomes(here)[-1], ran(here)) == ("started", [])
    os.write(handle, b"go\n")
    os.close(handle)
    group = until_gone(run).rpartition(")")[2].split()[2]
    assert (int(group), ran(here)) == (run.pid, [approval_id])
    result = result_of(here)
    assert result is not None
    assert (result["executed"], result["child_exit_code"], result["exit_code"]) == ("started", None, None)
    assert here.main("run", "--approval", approval_id, "--", *command).code == 125
    assert ran(here) == [approval_id]


# --- a full disk ---------------------------------------------------------------------------------------------------------


def fresh(caller: Caller) -> None:
    """Remove the log and all that belongs to it."""
    for path in [*caller.folder.glob("audit.jsonl*"), *caller.folder.glob(".audit.jsonl*")]:
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def run_and_approve(caller: Caller, *, room: int | None = None, change: bool = False) -> subprocess.Popen[str]:
    """A run whose files have so much room, and which is approved once it waits; on demand a bound file changes before."""

    def limit() -> None:
        if room is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))

    # Python ignores SIGXFSZ itself; the write then says EFBIG where a full disk says ENOSPC.
    process = caller.start("run", *reporting(caller), "--", *words(caller), preexec_fn=limit)
    until(lambda: "requested" in outcomes_so_far(caller) or process.poll() is not None)
    if process.poll() is None:
        if change:
            (caller.folder / "place" / "argument").write_text("theirs\n")
        caller.desk.decide(caller.requested())
    return process


def outcomes_so_far(caller: Caller) -> list[str]:
    """The outcomes of the whole lines in the log."""
    lines = caller.log.read_bytes().split(b"\n")[:-1] if caller.log.exists() else []
    return [json.loads(line)["outcome"] for line in lines]


def room_before(caller: Caller, outcome: str, *, change: bool = False) -> int:
    """The bytes that all records before this one need, and half of its own: from a run that nothing disturbs."""
    run_and_approve(caller, change=change).communicate(timeout=PATIENCE)
    lines = caller.log.read_bytes().splitlines(keepends=True)
    place = outcomes(caller).index(outcome)
    (caller.folder / "place" / "argument").write_text("ours\n")
    (caller.folder / "ledger").unlink(missing_ok=True)
    fresh(caller)
    return len(b"".join(lines[:place])) + len(lines[place]) // 2


@pytest.mark.parametrize("outcome", ["initiated", "requested", "granted", "started"])
def test_what_cannot_be_recorded_does_not_run(outcome: str, here: Caller) -> None:
    """The disk is full at a record before the start: 125, nothing runs, and the result file does not say otherwise."""
    run = run_and_approve(here, room=room_before(here, outcome))
    _, err = run.communicate(timeout=PATIENCE)
    assert (run.returncode, ran(here)) == (125, []), err
    assert "cannot be written" in err
    assert outcome not in outcomes_so_far(here)
    result = result_of(here)
    assert result is None or (result["executed"], result["exit_code"]) == ("no", 125)


def test_an_end_that_cannot_be_recorded_is_a_warning(here: Caller) -> None:
    """The disk is full at the end of the command: the exit code is its own, and the result file says that it finished."""
    run = run_and_approve(here, room=room_before(here, "finished"))
    _, err = run.communicate(timeout=PATIENCE)
    assert (run.returncode, len(ran(here))) == (CODE, 1), err
    assert "cannot be written" in err
    assert outcomes_so_far(here)[-1] == "started"
    result = result_of(here)
    assert result is not None
    assert (result["executed"], result["child_exit_code"], result["exit_code"]) == ("finished", CODE, CODE)


def test_a_refusal_that_cannot_be_recorded_is_a_warning(here: Caller) -> None:
    """The disk is full when a bound file has changed: 125, nothing runs, and both faults are said."""
    run = run_and_approve(here, room=room_before(here, "refused", change=True), change=True)
    _, err = run.communicate(timeout=PATIENCE)
    assert (run.returncode, ran(here)) == (125, []), err
    assert "cannot be written" in err
    assert "what was approved has changed" in err
    assert outcomes_so_far(here)[-1] == "granted"
    result = result_of(here)
    assert result is not None
    assert (result["executed"], result["exit_code"]) == ("no", 125)


# --- rivals --------------------------------------------------------------------------------------------------------------


def rivals(caller: Caller, *, arguments: list[list[str]], approve: str) -> list[int]:
    """The exit codes of two that wait for the same approval, which then comes."""
    processes = [caller.start(*each) for each in arguments]
    until(lambda: outcomes_so_far(caller).count("resumed") == len(arguments))
    caller.desk.decide(approve)
    for process in processes:
        process.communicate(timeout=PATIENCE)
    return [process.returncode for process in processes]


def test_of_wait_and_run_one_gets_the_approval(here: Caller) -> None:
    """`wait ID` beside `run --approval ID`: either a 0 and nothing runs, or it runs once and the other has no approval."""
    for _ in range(2):
        command, before = words(here), ran(here)
        found = asked(here, command)
        assert here.main("audit", "rotate").code == 0  # what is counted is of this round
        codes = rivals(here, arguments=[["wait", found], ["run", "--approval", found, "--", *command]], approve=found)
        new = ran(here)[len(before) :]
        assert (codes, new) in [([0, 125], []), ([125, CODE], [found])]


def test_of_two_runs_over_the_platform_one_runs(here: Caller, platform: FakePlatform) -> None:
    """A platform without redemption: the log alone keeps the second `run --approval` from running."""
    for _ in range(2):
        command, before = words(here), ran(here)
        found = asked(here, command)
        processes = [here.start("run", "--approval", found, "--", *command) for _ in range(2)]
        platform.decide(next(row for row in platform.rows if row.id == found))
        for process in processes:
            process.communicate(timeout=PATIENCE)
        assert sorted(process.returncode for process in processes) == [CODE, 125]
        assert ran(here) == [*before, found]
