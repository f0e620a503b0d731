"""``python -m molecule_approve``: signals before there is anything to stop, and the way out."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Iterator

import pytest

from tests.callers import PATIENCE, Caller, ended
from tests.forks import PROGRAM

STOPS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


@contextlib.contextmanager
def _importing(caller: Caller, program: tuple[str, ...] = PROGRAM) -> Iterator[subprocess.Popen[str]]:
    """The program, held in its very first import by a pipe that is never written to; the import goes on at the end."""
    pipe = caller.folder / "pipe"
    os.mkfifo(pipe)
    (caller.folder / "typer.py").write_text(f"open({str(pipe)!r}).read(); raise ImportError('held')")
    caller.set(PYTHONPATH=str(caller.folder))
    with caller.start("--version", program=program) as process, pipe.open("w"):
        yield process


@pytest.mark.measured
@pytest.mark.parametrize("number", STOPS)
def test_a_signal_during_imports_is_its_code(caller: Caller, number: signal.Signals) -> None:
    """128 and the signal, at once, without a word."""
    with _importing(caller) as process:
        process.send_signal(number)
        told = ended(process)
    assert (told.code, told.out, told.err) == (128 + number, "", "")


@pytest.mark.measured
def test_an_ignored_signal_stays_ignored(caller: Caller) -> None:
    """The import goes on, and fails by itself."""
    with _importing(caller, ("/bin/sh", "-c", 'trap "" INT; exec "$@"', "sh", *PROGRAM)) as process:
        process.send_signal(signal.SIGINT)
    assert ended(process).code == 125


@pytest.mark.measured
def test_a_broken_installation_is_125_and_says_so(caller: Caller) -> None:
    """One sentence and a hint: a traceback's exit code would be 1."""
    (caller.folder / "typer.py").write_text("raise ImportError('no typer here')")
    caller.set(PYTHONPATH=str(caller.folder))
    told = caller.run("request", "--", "x")
    assert (told.code, told.out) == (125, "")
    assert told.err == (
        "molecule-approve: cannot run: ImportError: no typer here\n"
        "molecule-approve: hint: install molecule-approve again; nothing was approved\n"
    )
    told = caller.run("request", "--", "x", program=("/bin/sh", "-c", 'exec "$@" 2>&-', "sh", *PROGRAM))
    assert told.code == 125


@pytest.mark.measured
@pytest.mark.parametrize("encoding", ["undefined", "utf-16"])
def test_a_hook_writes_what_its_host_reads_whatever_the_environment_says(caller: Caller, encoding: str) -> None:
    """Its no is UTF-8 on both streams: after a silent exit code 2 some hosts make the call."""
    caller.set(PYTHONIOENCODING=encoding)
    shell = ("/bin/sh", "-c", 'exec "$@" </dev/null', "sh", *PROGRAM)
    told = caller.run("hook", "codex", program=shell)
    assert told.code == 2
    assert json.loads(told.out)["hookSpecificOutput"]["permissionDecision"] == "deny"
    assert "there is no event on stdin" in told.err


@pytest.mark.measured
def test_a_hook_without_stdout_blocks(caller: Caller) -> None:
    """By its exit code and stderr."""
    told = caller.run("hook", "codex", program=("/bin/sh", "-c", 'exec "$@" </dev/null >&-', "sh", *PROGRAM))
    assert (told.code, told.out) == (2, "")
    assert "there is no event on stdin" in told.err


def test_a_completion_says_nothing_about_anything(caller: Caller) -> None:
    """TAB is answered with 0 and ids at most, and only where there are no arguments."""
    caller.set(_MOLECULE_APPROVE_COMPLETE="wait")
    told = caller.run()
    assert (told.code, told.err) == (0, "")
    assert caller.run("request").code == 2


def test_all_that_was_said_arrives(caller: Caller) -> None:
    """The process ends without Python's own way out, into a pipe as into a file."""
    told = caller.run("--help")
    assert told.code == 0
    assert told.out.endswith("\n")
    out = caller.folder / "out"
    with out.open("w") as file:
        assert caller.run("--help", stdout=file).code == 0
    assert out.read_text() == told.out


@pytest.mark.measured
def test_the_installed_command_is_the_same(caller: Caller) -> None:
    """By its name, with its code."""
    command = os.path.join(os.path.dirname(PROGRAM[0]), "molecule-approve")  # noqa: PTH118, PTH120 - the venv is a link
    found = subprocess.run([command, "request", "--help"], capture_output=True, timeout=PATIENCE, check=False)
    assert (found.returncode, found.stdout.startswith(b"Usage: molecule-approve request")) == (2, True)
