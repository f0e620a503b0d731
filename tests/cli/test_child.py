"""The command's parent, over real processes: which signals reach the command and how often, stops, terminals, containers."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.callers import PATIENCE, Terminal, start, until

PARENT = """
import os, signal, sys
from molecule_approve.cli.child import Child

how, early, *command = sys.argv[1:]
child = Child()
for name in early.split():
    os.kill(os.getpid(), signal.Signals[name])
try:
    wait = getattr(child, how)(command[0], tuple(command), dict(os.environ))
    status = wait()
except OSError as exc:
    print(exc.strerror, flush=True)
    os._exit(99)
child.release()
os._exit(status if status >= 0 else 128 - status)
"""

COMMAND = """
import os, signal

noted = {1, 2, 3, 10, 12, 15, 18, 28}
# Not handlers and pause(): a signal that comes just before pause() would be noted after the next one only.
signal.pthread_sigmask(signal.SIG_BLOCK, noted)
os.write(1, b"<ready>\\n")
while True:
    number = signal.sigwait(noted)
    os.write(1, f"<{signal.Signals(number).name}>\\n".encode())
    if number == signal.SIGTERM:
        os._exit(7)
"""


def parent(*command: str, how: str = "start", early: str = "") -> tuple[str, ...]:
    """A process that runs this command as `run` does."""
    return (sys.executable, "-c", PARENT, how, early, *command)


def noting(*, how: str = "start", early: str = "") -> tuple[str, ...]:
    """The same, of a command that writes down each signal, and leaves with 7 at a SIGTERM."""
    return parent(sys.executable, "-ISc", COMMAND, how=how, early=early)


@contextlib.contextmanager
def launched(program: tuple[str, ...]) -> Iterator[subprocess.Popen[str]]:
    """In a session of its own, so that a signal to it reaches nobody else; it is killed, if the test did not end it."""
    with start((), program, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        try:
            yield process
        finally:
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGKILL)


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def rest(process: subprocess.Popen[str]) -> tuple[int, str]:
    out, _ = process.communicate(timeout=PATIENCE)
    return process.returncode, out


def state(pid: int) -> str:
    """The state of a process: S asleep, T stopped."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def sleeps(pid: int) -> int:
    """How often a process has waited for something (proc_pid_status(5))."""
    found = re.search(r"^voluntary_ctxt_switches:\s+(\d+)$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1])


def children_of(pid: int) -> list[int]:
    """The children of a process, those that have ended and were not waited for among them."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def child_of(pid: int) -> int:
    """The one child of a process, once it has one."""
    until(lambda: children_of(pid))
    return children_of(pid)[0]


# --- signals -----------------------------------------------------------------------------------------------------------


@pytest.mark.measured
def test_signals_that_are_sent_to_us_reach_the_command_once() -> None:
    """As if we were not there; its code is ours."""
    with launched(noting()) as process:
        assert line(process) == "<ready>"
        for name in ("SIGINT", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGWINCH"):
            process.send_signal(signal.Signals[name])
            assert line(process) == f"<{name}>"
        process.send_signal(signal.SIGTERM)
        assert rest(process) == (7, "<SIGTERM>\n")


@pytest.mark.measured
def test_a_signal_that_came_before_the_command_reaches_it_once() -> None:
    """What came after the last look and before the start is not lost, and not told twice."""
    with launched(parent("/bin/sleep", "60", early="SIGTERM")) as process:
        assert rest(process)[0] == 128 + signal.SIGTERM
    shown = "    print(signal.sigpending() - {signal.SIGCHLD}, flush=True)\n    status = wait()"
    pending = PARENT.replace("    status = wait()", shown)
    with launched((sys.executable, "-c", pending, "start", "SIGUSR1 SIGUSR2", "/bin/sleep", "60")) as process:
        assert (line(process), rest(process)[0]) == ("set()", 128 + signal.SIGUSR1)


@pytest.mark.measured
def test_what_is_ignored_stays_ignored() -> None:
    """SIGINT of a background job and SIGHUP under nohup; what Python ignores for itself is not handed on, nor is a mask."""
    grep = (shutil.which("grep") or "", "Sig", "/proc/self/status")
    with launched(("sh", "-c", "trap '' INT HUP; exec \"$@\"", "sh", *parent(*grep))) as process:
        found = dict(re.findall(r"Sig(\w+):\s*([0-9a-f]+)", rest(process)[1]))
    usual = (1 << 31) - 1  # above these are two of the C library's own, which it ignores in what it spawns
    assert int(found["Ign"], 16) & usual == 1 << (signal.SIGINT - 1) | 1 << (signal.SIGHUP - 1)
    assert int(found["Blk"], 16) == 0


@pytest.mark.measured
def test_a_child_that_nobody_waited_for_before_is_waited_for_now() -> None:
    """Who ignores SIGCHLD would never learn how it ended."""
    with launched(("sh", "-c", "trap '' CHLD; exec \"$@\"", "sh", *parent("/bin/sh", "-c", "exit 5"))) as process:
        assert rest(process) == (5, "")


@pytest.mark.measured
def test_a_command_that_cannot_be_started() -> None:
    """Is an error, whichever way it was to be started."""
    for how in ("start", "replace"):
        with launched(parent("/no/such", how=how)) as process:
            assert rest(process) == (99, "No such file or directory\n")


@pytest.mark.measured
def test_a_command_that_replaces_us_has_our_process() -> None:
    """With every signal as it is for a fresh program."""
    with launched(parent("/bin/sh", "-c", "echo $$; exec grep SigBlk /proc/self/status", how="replace")) as process:
        code, out = rest(process)
    assert (code, out.split()) == (0, [str(process.pid), "SigBlk:", "0000000000000000"])


@pytest.mark.measured
def test_a_signal_that_came_before_ends_us_as_it_would_the_command() -> None:
    """Where the command replaces us, nothing of it runs any more."""
    with launched(parent("/bin/echo", "ran", how="replace", early="SIGUSR1")) as process:
        assert rest(process) == (-signal.SIGUSR1, "")


@pytest.mark.measured
def test_what_would_have_ended_the_command_is_found_before_it_starts() -> None:
    """And nothing of it is left when the signals have their usual effect again."""
    script = """
import os, signal
from molecule_approve.cli.child import Child
child = Child()
os.kill(os.getpid(), signal.SIGUSR1)
found = [child.ending_signal()]
os.kill(os.getpid(), signal.SIGQUIT)
found += [child.ending_signal(), child.ending_signal()]
os.kill(os.getpid(), signal.SIGTERM)
child.release()
print(found == [None, signal.SIGQUIT, None], signal.pthread_sigmask(signal.SIG_BLOCK, ()), flush=True)
os._exit(0)
"""
    with launched((sys.executable, "-c", script)) as process:
        assert rest(process) == (0, "True set()\n")


# --- terminals ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def terminals() -> Iterator[list[Terminal]]:
    """Terminals that are closed at the end."""
    made: list[Terminal] = []
    yield made
    for terminal in made:
        terminal.leave()


def at_terminal(terminals: list[Terminal], program: tuple[str, ...], *arguments: str, **options: Any) -> Terminal:  # noqa: ANN401 - Popen's
    terminals.append(Terminal(arguments, (24, 100), options, program))
    return terminals[-1]


@pytest.mark.measured
def test_what_a_terminal_sends_reaches_the_command_once(terminals: list[Terminal]) -> None:
    r"""Ctrl-C, Ctrl-\ and a new size go to both of us, and are not passed on."""
    terminal = at_terminal(terminals, noting())
    terminal.until("<ready>")
    for key, name in (("\x03", "SIGINT"), ("\x1c", "SIGQUIT")):
        terminal.type(key)
        terminal.until(f"<{name}>")
    fcntl.ioctl(terminal._leader, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 90, 0, 0))
    terminal.until("<SIGWINCH>")
    for _ in range(2):  # whatever was passed on before has arrived then
        terminal.process.send_signal(signal.SIGUSR2)
        terminal.until("<SIGUSR2>")
    terminal.process.send_signal(signal.SIGTERM)
    assert terminal.end() == 7
    found = re.findall(r"<(\w+)>", terminal.seen)
    assert found == ["ready", "SIGINT", "SIGQUIT", "SIGWINCH", "SIGUSR2", "SIGUSR2", "SIGTERM"]


@pytest.mark.measured
def test_the_terminal_stays_as_the_command_left_it(terminals: list[Terminal]) -> None:
    """Its mode is the command's."""
    terminal = at_terminal(terminals, parent("/bin/stty", "-echo"))
    assert terminal.end() == 0
    assert not terminal.echoes


@pytest.mark.measured
def test_a_lost_terminal_hangs_the_command_up(terminals: list[Terminal], tmp_path: Path) -> None:
    """The kernel tells the session's leader alone, which is us."""
    script = "trap 'echo lost >lost; exit 4' HUP; echo ready; while :; do sleep 0.05; done"
    terminal = at_terminal(terminals, parent("/bin/sh", "-c", script), cwd=tmp_path)
    terminal.until("ready")
    terminal.hang_up()
    assert terminal.process.wait(PATIENCE) == 4
    assert (tmp_path / "lost").read_text() == "lost\n"


def at_shell(terminals: list[Terminal], folder: Path) -> Terminal:
    """A real bash that waits for a line, in a folder with the two programs."""
    (folder / "parent.py").write_text(PARENT)
    (folder / "command.py").write_text(COMMAND)
    environ = {**os.environ, "PS1": "prompt> ", "HISTFILE": "", "TERM": "dumb"}
    terminal = at_terminal(terminals, ("bash", "--norc", "--noprofile", "-i"), cwd=folder, env=environ)
    terminal.until("prompt> ")
    return terminal


@pytest.mark.measured
def test_ctrl_z_stops_and_fg_continues_both(terminals: list[Terminal], tmp_path: Path) -> None:
    """At a real bash: its jobs shows the job as stopped, and fg lets the command go on, which hears of that once."""
    terminal = at_shell(terminals, tmp_path)
    terminal.type(f"{sys.executable} parent.py start '' {sys.executable} command.py; echo left with $?\n")
    terminal.until("<ready>")
    ours = child_of(terminal.process.pid)
    command = child_of(ours)
    for _ in range(2):
        terminal.type("\x1a")
        assert "Stopped" in terminal.until("prompt> ")
        assert (state(ours), state(command)) == ("T", "T")
        terminal.type("jobs\n")
        assert "Stopped" in terminal.until("prompt> ")
        terminal.type("fg\n")
        terminal.until("<SIGCONT>")
    os.kill(ours, signal.SIGUSR1)
    terminal.until("<SIGUSR1>")
    os.kill(ours, signal.SIGTERM)
    assert "<SIGTERM>" in terminal.until("prompt> ")
    terminal.type("exit\n")
    terminal.end()
    assert re.findall(r"<(\w+)>", terminal.seen) == ["ready", "SIGCONT", "SIGCONT", "SIGUSR1", "SIGTERM"]


@pytest.mark.measured
def test_only_we_are_continued_and_the_command_goes_on(terminals: list[Terminal], tmp_path: Path) -> None:
    """A SIGCONT to us alone, as from a script, is not lost."""
    terminal = at_shell(terminals, tmp_path)
    terminal.type(f"{sys.executable} parent.py start '' {sys.executable} command.py\n")
    terminal.until("<ready>")
    ours = child_of(terminal.process.pid)
    os.kill(ours, signal.SIGTSTP)
    terminal.until("Stopped")
    os.kill(ours, signal.SIGCONT)
    terminal.until("<SIGCONT>")
    os.kill(ours, signal.SIGTERM)
    terminal.until("<SIGTERM>")
    terminal.type("exit\n")
    terminal.end()
    assert re.findall(r"<(\w+)>", terminal.seen) == ["ready", "SIGCONT", "SIGTERM"]


@pytest.mark.measured
def test_a_command_that_stops_itself_does_not_stop_us() -> None:
    """It asked nobody; whoever continues us continues it."""
    script = "import os, signal; os.kill(os.getpid(), signal.SIGSTOP); print('went on', flush=True); signal.pause()"
    with launched(parent(sys.executable, "-ISc", script)) as process:
        command = child_of(process.pid)
        until(lambda: state(command) == "T")
        # Its stop is told to us a moment after it shows: we have looked once we have slept twice since.
        asleep = sleeps(process.pid)
        until(lambda: sleeps(process.pid) >= asleep + 2)
        process.send_signal(signal.SIGCONT)
        assert line(process) == "went on"
        assert os.waitid(os.P_PID, process.pid, os.WCONTINUED | os.WNOHANG) is None  # we were never stopped
        process.send_signal(signal.SIGTERM)
        assert rest(process)[0] == 128 + signal.SIGTERM


# --- commands that leave others behind -----------------------------------------------------------------------------------


@pytest.mark.measured
def test_a_command_that_closes_its_output_and_leaves_a_process_behind_has_ended() -> None:
    """We do not wait for what it left."""
    script = "sleep 60 </dev/null >/dev/null 2>&1 & echo $!; exec >&- 2>&-; exit 3"
    with launched(parent("/bin/sh", "-c", script)) as process:
        left = int(line(process))
        assert rest(process) == (3, "")
    os.kill(left, signal.SIGKILL)


ORPHANS = """
import os, signal

reading, writing = os.pipe()
if os.fork() == 0:
    orphan = os.fork()
    if orphan == 0:
        signal.pause()
    os.write(writing, str(orphan).encode())
    os._exit(0)
os.wait()
orphan = int(os.read(reading, 20))
os.kill(orphan, signal.SIGKILL)
print("left an orphan to", os.getppid(), flush=True)
"""


@pytest.mark.measured
@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("unshare") is None, reason="only root makes a pid namespace")
def test_as_the_first_process_of_a_container_we_reap_and_pass_on() -> None:
    """Nobody else would reap what the command leaves behind, and the kernel gives a first process no default signals."""
    inside = ("unshare", "--pid", "--fork", "--mount-proc")
    with launched((*inside, *parent(sys.executable, "-ISc", ORPHANS + COMMAND))) as process:
        assert line(process) == "left an orphan to 1"
        assert line(process) == "<ready>"
        first = child_of(process.pid)
        until(lambda: len(children_of(first)) == 1, "the orphan is not reaped")
        os.kill(first, signal.SIGQUIT)
        assert line(process) == "<SIGQUIT>"
        os.kill(first, signal.SIGTERM)
        assert rest(process) == (7, "<SIGTERM>\n")
