"""``hook HOST`` as a process of its own: signals, a full disk, closed streams, no environment, a folder that is gone."""

from __future__ import annotations

import array
import fcntl
import json
import os
import signal
import subprocess
import termios
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from molecule_approve.audit import locking
from molecule_approve.clock import boottime
from tests.callers import Caller, Told, ended, until
from tests.cli.hook.hosts import COMMAND, NAMES, check_allowed, check_blocked, event
from tests.forks import PROGRAM

if TYPE_CHECKING:
    from collections.abc import Sequence

FULL = Path("/dev/full")


def started(
    caller: Caller, host: str, *options: str, program: Sequence[str] = PROGRAM, **more: object
) -> subprocess.Popen[str]:
    """The hook, with the host's event on stdin."""
    path = caller.folder / "event.json"
    path.write_text(json.dumps(event(host)))
    with path.open() as stdin:
        return caller.start("hook", host, *options, program=tuple(program), stdin=stdin, **more)


def run(caller: Caller, host: str, *options: str, **more: object) -> Told:
    """The hook to its end."""
    with started(caller, host, *options, **more) as process:  # type: ignore[arg-type]  # Popen's options
        return ended(process)


@pytest.mark.parametrize("host", NAMES)
def test_sigterm_while_a_person_is_asked(caller: Caller, host: str) -> None:
    """The host's no, and the request is withdrawn: whoever stops the hook does not wait for the answer."""
    with started(caller, host) as process:
        approval = caller.requested()
        process.send_signal(signal.SIGTERM)
        told = ended(process)
    assert "stopped by SIGTERM" in check_blocked(host, told)
    assert caller.desk.one(approval)["decided_by"] == "withdrawn"


def test_a_log_that_another_process_holds_is_a_no_and_nothing_else_is_said(caller: Caller) -> None:
    """The host reads what a hook says: the reason stands in its answer, and no line before it."""
    caller.set(APPROVAL_TIMEOUT="3")
    with locking.locked(caller.log, patience=5.0, pause=time.sleep, clock=boottime):
        told = run(caller, "gemini")
    assert "cannot lock the audit log" in check_blocked("gemini", told)
    assert "waiting for the lock" not in told.err + told.out


@pytest.mark.measured
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_other_signals_while_a_person_is_asked(caller: Caller, number: signal.Signals) -> None:
    """The same."""
    with started(caller, "gemini") as process:
        caller.requested()
        process.send_signal(number)
        told = ended(process)
    assert f"SIG{number.name[3:]}" in check_blocked("gemini", told)


@pytest.mark.measured
def test_sigterm_before_there_is_an_event(caller: Caller) -> None:
    """The host's no, at once."""
    with caller.start("hook", "codex", stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.write("{")
        process.stdin.flush()
        until(partial(is_read, process.stdin.fileno()))
        told = stopped(process)
    assert "stopped by " in check_blocked("codex", told)


def test_the_host_is_answered_before_the_request_is_withdrawn(caller: Caller) -> None:
    """It may wait no two seconds until it kills the hook."""
    with started(caller, "claude-code") as process:
        caller.requested()
        process.send_signal(signal.SIGTERM)
        assert process.stdout is not None
        line = process.stdout.readline()
        process.kill()
        process.wait()
    assert '"permissionDecision": "deny"' in line


def is_read(pipe: int) -> bool:
    """Whether everything in this pipe was read."""
    left = array.array("i", [0])
    fcntl.ioctl(pipe, termios.FIONREAD, left)
    return left[0] == 0


def stopped(process: subprocess.Popen[str]) -> Told:
    """Send SIGTERM until the process ends: before a system call begins, Python only takes a note of the first one."""

    def has_ended() -> bool:
        process.send_signal(signal.SIGTERM)
        return process.poll() is not None

    until(has_ended)
    return ended(process)


def held(caller: Caller) -> Path:
    """The program will be held in its very first import by this pipe."""
    pipe = caller.folder / "pipe"
    os.mkfifo(pipe)
    (caller.folder / "typer.py").write_text(f"open({str(pipe)!r}).read(); raise ImportError('held')")
    caller.set(PYTHONPATH=str(caller.folder))
    return pipe


@pytest.mark.measured
@pytest.mark.parametrize("host", NAMES)
def test_a_signal_during_imports(caller: Caller, host: str) -> None:
    """The host's no, where any other command would leave with the signal's code."""
    pipe = held(caller)
    with started(caller, host) as process, pipe.open("w"):
        told = stopped(process)
    assert "stopped by signal 15" in check_blocked(host, told)


@pytest.mark.measured
@pytest.mark.parametrize("host", NAMES)
def test_a_broken_installation(caller: Caller, host: str) -> None:
    """Any exit code but 2 would let the call through."""
    (caller.folder / "typer.py").write_text("raise ImportError('no typer here')")
    caller.set(PYTHONPATH=str(caller.folder))
    check_blocked(host, run(caller, host))


@pytest.mark.measured
def test_an_installation_without_the_hosts(caller: Caller) -> None:
    """Nothing can be said in the host's form; the exit code and stderr block."""
    (caller.folder / "json.py").write_text("raise ImportError('broken')")
    caller.set(PYTHONPATH=str(caller.folder))
    told = run(caller, "codex")
    assert (told.code, told.out) == (2, "")
    assert "nothing was approved" in told.err


@pytest.mark.measured
@pytest.mark.parametrize("words", [("nobody",), ("--unknown", "claude-code")])
def test_a_signal_to_a_hook_of_no_known_host(caller: Caller, words: tuple[str, ...]) -> None:
    """In doubt it is a hook."""
    pipe = held(caller)
    with caller.start("hook", *words) as process, pipe.open("w"):
        told = stopped(process)
    assert (told.code, told.out, bool(told.err)) == (2, "", True)


def test_a_signal_to_a_command_that_no_host_starts(caller: Caller) -> None:
    """It leaves with the signal's code, as every other command."""
    pipe = held(caller)
    with caller.start("hook", "status") as process, pipe.open("w"):
        told = stopped(process)
    assert (told.code, told.out, told.err) == (143, "", "")


@pytest.mark.parametrize("host", [name for name in NAMES if name != "codex"])
def test_an_approval_that_cannot_be_written(caller: Caller, host: str) -> None:
    """On a full disk the yes is none: the exit code and stderr block, and the log says that it reached nobody."""
    with FULL.open("w") as full, caller.answering(COMMAND), started(caller, host, stdout=full) as process:
        told = ended(process)
    assert told.code == 2
    assert "cannot write to stdout: No space left on device" in told.err
    assert [record["action"] for record in caller.records()][-1] == "deliver"


@pytest.mark.parametrize("host", NAMES)
def test_a_denial_that_cannot_be_written(caller: Caller, host: str) -> None:
    """The exit code and stderr block."""
    with FULL.open("w") as full:
        told = run(caller, host, "--limit", "soon", stdout=full)
    assert (told.code, "soon" in told.err) == (2, True)


def closing(streams: str) -> tuple[str, ...]:
    """The program without these streams."""
    return ("/bin/sh", "-c", f'exec "$@" {streams}', "sh", *PROGRAM)


@pytest.mark.parametrize("streams", [">&-", ">&- 2>&-"])
def test_an_approval_without_a_stdout(caller: Caller, streams: str) -> None:
    """The exit code blocks; nothing is written into the file that got the stream's number."""
    with caller.answering(COMMAND):
        told = run(caller, "claude-code", program=closing(streams))
    assert (told.code, told.out) == (2, "")
    assert "permissionDecision" not in caller.log.read_text()


@pytest.mark.measured
def test_a_broken_installation_without_a_stdout(caller: Caller) -> None:
    """The exit code and stderr block."""
    (caller.folder / "typer.py").write_text("raise ImportError('no typer here')")
    caller.set(PYTHONPATH=str(caller.folder))
    told = run(caller, "codex", program=closing(">&-"))
    assert (told.code, told.out, "nothing was approved" in told.err) == (2, "", True)


def test_an_approval_without_a_stderr(caller: Caller) -> None:
    """Nothing is missing for a yes."""
    with caller.answering(COMMAND):
        check_allowed("claude-code", run(caller, "claude-code", program=closing("2>&-")))


@pytest.mark.parametrize("host", NAMES)
def test_a_hook_without_a_stdin(caller: Caller, host: str) -> None:
    """There is no event, so nobody can be asked."""
    assert "stdin is closed" in check_blocked(host, run(caller, host, program=closing("<&-")))


@pytest.mark.parametrize("host", NAMES)
def test_no_environment(caller: Caller, host: str) -> None:
    """Not even a home: nothing is configured, so nobody can be asked."""
    check_blocked(host, run(caller, host, "--limit", "4", env={}))


@pytest.mark.parametrize("host", NAMES)
def test_a_folder_that_is_gone(caller: Caller, host: str) -> None:
    """The hook works without it."""
    gone = caller.folder / "gone"
    gone.mkdir()
    program = ("/bin/sh", "-c", f'rm -r {gone}; exec "$@"', "sh", *PROGRAM)
    with caller.answering(COMMAND), started(caller, host, program=program, cwd=gone) as process:
        check_allowed(host, ended(process))


def test_a_host_that_does_not_close_stdin(caller: Caller) -> None:
    """The hook ends by itself, half a limit of a minute or less before it."""
    with caller.start("hook", "copilot", "--limit", "2", stdin=subprocess.PIPE) as process:
        code = process.wait(10)
        assert process.stdout is not None
        assert process.stderr is not None
        told = Told(code, process.stdout.read(), process.stderr.read())
    assert "did not close stdin in time" in check_blocked("copilot", told)


def test_a_hook_that_is_stuck(caller: Caller) -> None:
    """In an import that hangs, say: it ends all the same, before the host would ignore it."""
    pipe = caller.folder / "pipe"
    os.mkfifo(pipe)
    (caller.folder / "httpx.py").write_text(f"open({str(pipe)!r}).read()")
    caller.set(PYTHONPATH=str(caller.folder))
    with started(caller, "copilot", "--limit", "2") as process, pipe.open("w"):
        told = ended(process)
    assert "the hook was stuck" in check_blocked("copilot", told)


def test_a_host_that_is_gone(caller: Caller) -> None:
    """Nobody reads the answer: the request is withdrawn."""
    with started(caller, "claude-code") as process:
        approval = caller.requested()
        assert process.stdout is not None
        process.stdout.close()
        assert process.wait(10) == 2
    assert caller.desk.one(approval)["decided_by"] == "withdrawn"
