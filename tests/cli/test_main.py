"""`main`: where every exception becomes a sentence and a number."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.callers import PATIENCE, Caller, ended, signals_kept
from tests.forks import PROGRAM
from tests.integration import behaviours as does

if TYPE_CHECKING:
    from tests.integration.fake_platform import FakePlatform


def test_version_and_help_are_0(caller: Caller) -> None:
    """Before a command, on stdout."""
    told = caller.main("--version")
    assert (told.code, told.out) == (0, "molecule-approve 0.1.0\n")
    told = caller.main("--help")
    assert told.code == 0
    assert "request" in told.out


@pytest.mark.parametrize(
    ("argv", "sentence", "hint"),
    [
        (("reqest", "x"), "No such command 'reqest'", "see `molecule-approve --help`"),
        (("--what",), "No such option: --what", "see `molecule-approve --help`"),
        (("withdraw", "a", "b"), "unexpected extra argument", "see `molecule-approve withdraw --help`"),
        (("serve", "--port", "\x1b[2K"), "\\x1b[2K", "see `molecule-approve serve --help`"),
    ],
)
def test_arguments_that_make_no_sense_are_2_with_a_hint(
    caller: Caller, argv: tuple[str, ...], sentence: str, hint: str
) -> None:
    """Two lines on stderr, nothing on stdout, nothing raw."""
    told = caller.main(*argv)
    assert (told.code, told.out) == (2, "")
    said, hinted = told.err.splitlines()
    assert sentence in said
    assert hint in hinted
    assert "\x1b" not in told.err


@pytest.mark.measured
@pytest.mark.parametrize("argv", [("--help",), ("request", "--help")])
def test_help_on_a_full_device_is_a_sentence(caller: Caller, argv: tuple[str, ...]) -> None:
    """125, and no fault of the program; never 0."""
    with Path("/dev/full").open("w") as full:
        process = caller.start(*argv, stdout=full)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 125
    assert err.startswith("molecule-approve: cannot write to stdout: No space left on device")
    assert "internal error" not in err


_THREADLESS = """
import threading
def refuse(thread):
    raise RuntimeError("can't start new thread")
threading.Thread.start = refuse
"""


@pytest.mark.measured
def test_where_no_thread_can_be_started_the_wait_goes_on(caller: Caller) -> None:
    """Without a stream, a spinner and the repeated signal: a person's yes is still 0."""
    (caller.folder / "sitecustomize.py").write_text(_THREADLESS)
    caller.set(PYTHONPATH=str(caller.folder))
    with caller.terminal("request", "--", "drop it") as terminal:
        caller.desk.decide(caller.requested())
        assert terminal.end() == 0
    assert "internal error" not in terminal.seen


@pytest.mark.measured
def test_a_fault_of_the_program_is_125_and_one_sentence(caller: Caller) -> None:
    """No traceback, and never 1."""
    (caller.folder / "httpx.py").write_text("raise RuntimeError('bro\x1bken')")
    caller.set(PYTHONPATH=str(caller.folder))
    told = caller.run("status")
    assert (told.code, told.out) == (125, "")
    assert told.err.startswith("molecule-approve: internal error: RuntimeError: bro\\x1bken\n")
    assert "hint: report this bug" in told.err
    assert "Traceback" not in told.err


@pytest.mark.measured
def test_ctrl_c_in_a_program_that_calls_main_is_130(caller: Caller, platform: FakePlatform) -> None:
    """Where nobody took the signals over, Python's own exception ends a command that waits for an answer."""
    platform.on("list", does.hold)
    script = "import sys; from molecule_approve.cli.main import main; sys.exit(main(['status']))"
    with caller.start("-c", script, program=(sys.executable,)) as process:
        platform.await_count("list", 1)
        process.send_signal(signal.SIGINT)
        assert ended(process).code == 130


def test_ctrl_c_in_this_program_is_130_as_well(caller: Caller, platform: FakePlatform) -> None:
    """The caller of `main` goes on."""
    platform.on("list", does.hold)

    def interrupt() -> None:
        platform.await_count("list", 1)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    with signals_kept():
        signal.signal(signal.SIGINT, signal.default_int_handler)
        thread = threading.Thread(target=interrupt)
        thread.start()
        assert caller.main("status").code == 130
        thread.join()


@pytest.mark.measured
def test_a_reader_that_had_enough_of_the_help_is_no_fault(caller: Caller) -> None:
    """125 without a word: nothing was shown."""
    reader, writer = os.pipe()
    os.close(reader)
    found = subprocess.run([*PROGRAM, "--help"], stdout=writer, stderr=subprocess.PIPE, timeout=PATIENCE, check=False)
    os.close(writer)
    assert (found.returncode, found.stderr) == (125, b"")
