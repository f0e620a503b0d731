"""The fault table's rows in which this machine breaks: time, the disk, the output. Signals stand in faults_signals.py."""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import signal
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from molecule_approve.audit.files import lock_path
from tests.callers import until
from tests.forks import PROGRAM
from tests.integration import behaviours as does
from tests.integration.fault import Act, Arrange, Fault, approve, both, breaks, deny, names, nothing, within
from tests.integration.program import on_full_disk

if TYPE_CHECKING:
    from tests.integration.facts import Facts
    from tests.integration.program import Program, World

POLL = ("poll",)

# --- time ----------------------------------------------------------------------------------------------------------------

# A machine whose wall clock jumps an hour at each look: Python's own start-up hook, in the child alone.
_JUMPING = """
import datetime, time
_real, _looks = time.time, [0]
def _jump():
    _looks[0] += 1
    return 3600.0 * (-1) ** _looks[0] * _looks[0]
class Jumping(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return super().now(tz) + datetime.timedelta(seconds=_jump())
datetime.datetime = Jumping
time.time = lambda: _real() + _jump()
"""


def _jumping(world: World) -> None:
    folder = world.scratch("hook")
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(_JUMPING)
    world.env["PYTHONPATH"] = str(folder)


def _other_clock(days: int) -> Arrange:
    def arrange(world: World) -> None:
        world.platform.clock_off = timedelta(days=days)
        world.platform.on("*", does.clock_moved(days))
        world.platform.on("socket", lambda exchange: exchange.default())

    return arrange


def _frozen(seconds: float, *, decided: bool = True, cut: bool = False) -> Act:
    """Stop the program while it waits; alice approves meanwhile, and no event comes through; perhaps the network goes."""

    def act(world: World, path: str, program: Program) -> None:
        world.await_waiting(path)
        program.signal(signal.SIGSTOP)
        if decided:
            world.platform.decide(world.platform.rows[0])
        if cut:
            world.platform.stop(abruptly=True)
        program.freeze(seconds)

    return act


TIME = (
    Fault("the wall clock jumps", "the wall clock jumps", 0, "granted", arrange=_jumping, act=approve),
    Fault("the wall clock jumps, nobody decides", "the wall clock jumps", 124, "timeout", arrange=_jumping, timeout=3),
    *(
        Fault(
            f"the platform's clock is off by {days} days",
            "the wall clock jumps",
            0,
            "granted",
            arrange=_other_clock(days),
            act=approve,
        )
        for days in (-4000, 4000)
    ),
    Fault("stopped and continued", "the process is stopped and continued", 0, "granted", act=_frozen(1.0)),
    Fault("stopped past the deadline", "the process is stopped and continued", 0, "granted", act=_frozen(3.5), timeout=2),
    # No machine can be put to sleep here; to the program it is the same: its clock goes on and it does not.
    Fault("slept far past the deadline", "the machine sleeps", 124, "timeout", act=_frozen(8.0), timeout=2),
    Fault(
        "slept far past the deadline, and there is no network",
        "the machine sleeps",
        125,
        "failure",
        act=_frozen(8.0, cut=True),
        timeout=2,
        check=names("outcome is unknown", "molecule-approve status"),
        cut_off=True,
    ),
    Fault(
        "slept far past the deadline, and a gateway answers",
        "the machine sleeps",
        125,
        "failure",
        arrange=breaks("decide", does.status(404, "no route")),
        act=_frozen(8.0, decided=False),
        timeout=2,
        check=names("outcome is unknown"),
        cut_off=True,
    ),
)

# --- the disk ------------------------------------------------------------------------------------------------------------


def _folder(world: World) -> None:
    world.log.mkdir()


def _link(world: World) -> None:
    target = world.scratch("target")
    target.touch(0o600)
    world.log.symlink_to(target)


def _pipe(world: World) -> None:
    os.mkfifo(world.log, 0o600)


def _under(parent: str) -> Arrange:
    def arrange(world: World) -> None:
        world.log = world.folder / "a-file" / "audit.jsonl" if parent == "file" else type(world.log)(parent) / "audit.jsonl"
        (world.folder / "a-file").touch()
        world.env["AUDIT_LOG_PATH"] = str(world.log)

    return arrange


def _writable_by_others(world: World) -> None:
    world.log.touch()
    world.log.chmod(0o666)


def _locked(world: World) -> None:
    """Hold the log's lock, which a first run leaves there."""
    world.run("request", "--no-wait", "--json", "--", "the first")
    handle = os.open(lock_path(world.log), os.O_RDWR | os.O_CLOEXEC)
    fcntl.flock(handle, fcntl.LOCK_EX)
    world.closing.append(lambda: os.close(handle))


def _full(size: int) -> Callable[[World, str, Fault], Program]:
    def start(world: World, path: str, fault: Fault) -> Program:
        return world.request(path, timeout=fault.timeout, command=on_full_disk(size))

    return start


def _full_afterwards(world: World, path: str, fault: Fault) -> Program:
    """The disk has room for the beginning and none for a grant: measured on a first run's log."""
    world.run("request", "--no-wait", "--json", "--", "the first")
    return world.request(path, timeout=fault.timeout, command=on_full_disk(len(world.log_text()) * 2 + 200))


def _approve_second(world: World, path: str, _: Program) -> None:
    world.platform.await_rows(2)
    world.platform.decide(world.platform.rows[1])


def _not_asked(world: World, facts: Facts) -> None:
    assert [row for row in world.platform.rows if row.action != "the first"] == []


def _refused(name: str, example: str, arrange: Arrange = nothing, **more: Any) -> Fault:  # noqa: ANN401 - fields of Fault
    settings = {"timeout": 60, "check": both(_not_asked, within(30)), "paths": POLL, **more}
    return Fault(name, example, 125, None, arrange=arrange, **settings)


DISK = (
    _refused("full before anything is asked", "full", start=_full(0)),
    Fault("full when the grant is written", "full", 125, None, act=_approve_second, start=_full_afterwards, cut_off=True),
    _refused("a file system that takes nothing", "read-only", _under("/proc")),
    _refused("a file where the folder should be", "read-only", _under("file")),
    _refused("writable by others", "read-only", _writable_by_others),
    _refused("a folder", "a folder where the log should be", _folder),
    _refused("a link", "a link where the log should be", _link),
    _refused("a pipe", "a pipe where the log should be", _pipe),
    _refused("a lock held for ever", "a lock held for ever", _locked, timeout=1, check=both(_not_asked, within(9))),
)

# --- the output ----------------------------------------------------------------------------------------------------------


def _closed(world: World, path: str, fault: Fault) -> Program:
    """Start the program as a shell does where stdout is closed."""
    command = ("/bin/sh", "-c", 'exec "$@" >&-', "sh", *PROGRAM)
    return world.request(path, timeout=fault.timeout, command=command)


def _onto_full(world: World, path: str, fault: Fault) -> Program:
    """Start the program where stdout is a full device."""
    with Path("/dev/full").open("wb") as full:
        return world.request(path, *fault.options, timeout=fault.timeout, stdout=full)


def _undelivered(world: World, facts: Facts) -> None:
    said = [(r["action"], r["outcome"]) for r in facts.own]
    assert said[-2:] == [("approve", "granted"), ("deliver", "failed")]


def _reader_gone(which: str) -> Callable[[World, str, Fault], Program]:
    """Start the program with a pipe whose reader goes away at once."""

    def start(world: World, path: str, fault: Fault) -> Program:
        reader, writer = os.pipe()
        streams: dict[str, Any] = {which: writer}
        program = world.request(path, timeout=fault.timeout, **streams)
        os.close(writer)
        world.platform.await_rows()
        os.close(reader)
        return program

    return start


def _result_path(world: World, path: str, fault: Fault) -> Program:
    with Path("/dev/full").open("wb") as full:
        return world.request(path, "--result-file", str(world.result), timeout=fault.timeout, stdout=full)


def _result_told(world: World, facts: Facts) -> None:
    told = json.loads(world.result.read_text())
    assert (told["outcome"], told["exit_code"]) == ("approved", 0)


def _bad_result_path(world: World, path: str, fault: Fault) -> Program:
    return world.request(path, "--result-file", "/proc/none/result.json", timeout=fault.timeout)


def _passing_result_path(world: World, path: str, fault: Fault) -> Program:
    (world.folder / "results").mkdir()
    return world.request(path, "--result-file", str(world.folder / "results" / "one.json"), timeout=fault.timeout)


def _remove_and_approve(world: World, path: str, program: Program) -> None:
    world.await_waiting(path)
    (world.folder / "results").rmdir()
    approve(world, path, program)


_PARENT = """
import subprocess, sys
child = subprocess.Popen(sys.argv[1:])
print(child.pid, file=open("child.pid.new", "w"), flush=True)
import os; os.rename("child.pid.new", "child.pid")
open("parent.fifo").read()
"""


def _orphan(world: World, path: str, fault: Fault) -> Program:
    """Start the program from a parent that dies once the question stands; we adopt the orphan and reap it."""
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER, prctl(2)
    os.mkfifo(world.folder / "parent.fifo")
    parent = world.request(path, timeout=fault.timeout, command=(sys.executable, "-c", _PARENT, *PROGRAM))
    until((world.folder / "child.pid").exists)
    world.await_waiting(path)
    (world.folder / "parent.fifo").write_bytes(b"")
    parent.become(int((world.folder / "child.pid").read_text()))
    return parent


OUTPUT = (
    Fault("stdout closed, approved", "output closed", 125, "granted", start=_closed, act=approve, check=_undelivered),
    Fault("stdout closed, denied", "output closed", 77, "denied", start=_closed, act=deny),
    Fault("stdout full, approved", "output full", 125, "granted", start=_onto_full, act=approve, check=_undelivered),
    Fault("stdout full, denied", "output full", 77, "denied", start=_onto_full, act=deny),
    Fault("stdout full, timed out", "output full", 124, "timeout", start=_onto_full, timeout=3),
    Fault("stdout full, result file", "output full", 0, "granted", start=_result_path, act=approve, check=_result_told),
    Fault(
        "the result file cannot be written, ever",
        "output full",
        2,
        None,
        paths=POLL,
        start=_bad_result_path,
        check=_not_asked,
    ),
    Fault(
        "the result file cannot be written at the end",
        "output full",
        125,
        "granted",
        start=_passing_result_path,
        act=_remove_and_approve,
        check=_undelivered,
    ),
    Fault(
        "the reader of stdout is gone",
        "a pipe that went away",
        129,
        "withdrawn",
        start=_reader_gone("stdout"),
        timeout=60,
        check=within(30),
    ),
    Fault(
        "the reader of stderr is gone",
        "a pipe that went away",
        129,
        "withdrawn",
        start=_reader_gone("stderr"),
        timeout=60,
        check=within(30),
    ),
    Fault("the parent died", "a parent that died", 129, "withdrawn", start=_orphan, timeout=60, check=within(30)),
)

ROWS = (*TIME, *DISK, *OUTPUT)
