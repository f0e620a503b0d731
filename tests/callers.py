"""The one driver of the program: the command line in this very process, in a process of its own, and at a terminal."""

from __future__ import annotations

import codecs
import contextlib
import fcntl
import json
import os
import pty
import random
import select
import signal
import socket
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from molecule_approve.cli.main import main
from tests.forks import PROGRAM, Fork, can_fork

if TYPE_CHECKING:
    import pytest

    from tests.server.desk import Desk

PATIENCE = 60.0

SAYING: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
"""A Popen's options, where what the program says is read."""

KEYS = {
    "outcome", "approved", "approval_id", "action", "requested_by", "decided_by", "decided_by_verified", "self_approved",
    "comment", "decided_at", "decisions", "approvals", "requested_at", "expires_at", "waited_seconds", "trace_id",
    "evidence", "recorded", "error",
}  # fmt: skip
"""The keys of the object that ``--json`` prints: cli.md, Output."""

_CONTROLLING = "import fcntl, os, sys, termios; fcntl.ioctl(2, termios.TIOCSCTTY, 0); os.execvp(sys.argv[1], sys.argv[1:])"


def until(condition: Callable[[], object], otherwise: str = "it never came true", *, seconds: float = PATIENCE) -> None:
    """Wait for something that tells nobody when it comes true (a file's text, a process's state).

    Raises:
        AssertionError: it did not become true in time.

    """
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, otherwise
        select.select([], [], [], 0.005)


def free_port() -> int:
    """A port for a server that a test starts; the system gives it to no other socket that asks for any (ip(7))."""
    given = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    while True:
        with socket.socket() as found, contextlib.suppress(OSError):
            found.bind(("127.0.0.1", random.randrange(given - 16_384, given)))
            return int(found.getsockname()[1])


def let_pass(seconds: float) -> None:
    """Let time pass, where its passing is the very thing that a test is about."""
    select.select([], [], [], seconds)


def start(argv: Sequence[str], program: Sequence[str] = PROGRAM, **options: Any) -> subprocess.Popen[Any]:  # noqa: ANN401 - Popen's
    """Have the program in a process of its own, with nothing on stdin: a fork, where that is as good as a start."""
    options = {"stdin": subprocess.DEVNULL, **options}
    return Fork(argv, **options) if can_fork(program, options) else subprocess.Popen([*program, *argv], **options)


@dataclass(frozen=True)
class Told:
    """How a run ended: its exit code and what it said where."""

    code: int
    out: str
    err: str

    @property
    def object(self) -> dict[str, Any]:
        """The one JSON object on stdout; nothing else may stand there."""
        assert self.out.isascii()
        assert self.out.count("\n") == 1
        found: dict[str, Any] = json.loads(self.out)
        assert set(found) == KEYS
        return found

    @property
    def array(self) -> list[dict[str, Any]]:
        """The one JSON array on stdout."""
        assert self.out.isascii()
        assert self.out.count("\n") == 1
        found: list[dict[str, Any]] = json.loads(self.out)
        assert all(set(one) == KEYS for one in found)
        return found


@dataclass(frozen=True)
class Caller:
    """Somebody who calls the program, with folders and an environment of their own; the embedded server is the platform."""

    folder: Path
    desk: Desk
    patch: pytest.MonkeyPatch
    capture: pytest.CaptureFixture[str]

    @property
    def log(self) -> Path:
        """The audit log."""
        return self.folder / "audit.jsonl"

    def records(self) -> list[dict[str, Any]]:
        """What stands in it; a line that is just being written does not yet."""
        whole = self.log.read_bytes().rpartition(b"\n")[0] if self.log.exists() else b""
        return [json.loads(line) for line in whole.splitlines()]

    def set(self, **variables: str) -> None:
        """Change the environment, of this process and of those that it starts."""
        for name, value in variables.items():
            self.patch.setenv(name, value)

    def configure(self, text: str) -> None:
        """Write config.yaml."""
        path = self.folder / "config.yaml"
        path.write_text(text)
        path.chmod(0o600)
        self.set(WORKSPACE_CONFIG_PATH=str(path))

    def main(self, *argv: str) -> Told:
        """Run the command line in this process."""
        self.capture.readouterr()
        alone = threading.current_thread() is threading.main_thread()
        with signals_kept() if alone else contextlib.nullcontext():
            code = main(argv)
        return Told(code, *self.capture.readouterr())

    def start(self, *argv: str, program: tuple[str, ...] = PROGRAM, **options: Any) -> subprocess.Popen[str]:  # noqa: ANN401 - Popen's
        """Start the program in a process of its own."""
        return start(argv, program, **{**SAYING, **options})

    def run(self, *argv: str, program: tuple[str, ...] = PROGRAM, **options: Any) -> Told:  # noqa: ANN401 - Popen's
        """Run the program in a process of its own."""
        with self.start(*argv, program=program, **options) as process:
            return ended(process)

    @contextlib.contextmanager
    def terminal(
        self,
        *argv: str,
        size: tuple[int, int] = (24, 100),
        typed: str = "",
        **options: Any,  # noqa: ANN401 - Popen's
    ) -> Iterator[Terminal]:
        """Run the program at a terminal of its own, with a line typed before; it is killed, if the test did not end it."""
        terminal = Terminal(argv, size, options, typed=typed)
        try:
            yield terminal
        finally:
            terminal.leave()

    @contextlib.contextmanager
    def answering(self, action: str, answer: Callable[[str], object] | str = "approved") -> Iterator[None]:
        """Answer the question with this action as soon as it stands, from another thread: alice's word, or a function."""
        decide = (lambda found: self.desk.decide(found, answer)) if isinstance(answer, str) else answer
        with self.desk.listening() as socket:

            def work() -> None:
                while True:
                    event = socket.event()
                    if event["event"] == "APPROVAL_REQUESTED" and event["payload"]["action"] == action:
                        decide(event["payload"]["approval_id"])
                        return

            thread = threading.Thread(target=work)
            thread.start()
            yield
            thread.join(PATIENCE)
            assert not thread.is_alive()

    def requested(self) -> str:
        """The id of the request that our own log says was asked last, once it says so."""
        until(lambda: any(record["outcome"] == "requested" for record in self.records()))
        return str([record for record in self.records() if record["outcome"] == "requested"][-1]["approval_id"])


def ended(process: subprocess.Popen[str]) -> Told:
    """The end of a process and all that it said; it is killed when it does not come."""
    try:
        out, err = process.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    return Told(process.returncode, out or "", err or "")


def has_ended(pid: int, seconds: float) -> bool:
    """Wait for the end of a process, and reap nothing; False where it did not end in time."""
    handle = os.pidfd_open(pid)
    try:
        return bool(select.select([handle], [], [], seconds)[0])
    finally:
        os.close(handle)


def takers(pid: int | None = None, number: signal.Signals = signal.SIGQUIT) -> list[int]:
    """The threads of a process, or of this one, that would take such a signal to the process (proc_pid_status(5)).

    One that ends meanwhile is left out. A thread that starts another takes none for that moment.
    """
    found = []
    for thread in Path(f"/proc/{pid or os.getpid()}/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            fields = dict(line.split(":", 1) for line in (thread / "status").read_text().splitlines())
            if not int(fields["SigBlk"], 16) >> number - 1 & 1:
                found.append(int(thread.name))
    return found


class Terminal:
    """A process at a terminal of its own, which it controls.

    Attributes:
        seen: what was read of the terminal so far.
        raw: the same as bytes.

    """

    def __init__(
        self,
        argv: Sequence[str],
        size: tuple[int, int],
        options: Mapping[str, Any],
        program: Sequence[str] = PROGRAM,
        typed: str = "",
    ) -> None:
        self._leader, follower = pty.openpty()
        # Kept open, so that what the terminal was set to can be looked at after the process has ended.
        self._follower = follower
        self.seen = ""
        self.raw = b""
        # A character may come in two pieces, and what is typed need not be one.
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", *size, 0, 0))
        if typed:
            self.type(f"{typed}\r")
            # The system takes it on some time later; then it shows it.
            self.until(typed)
        options = {"stdin": follower, "stdout": follower, "stderr": follower, "start_new_session": True, **options}
        if can_fork(program, options):
            self.process: subprocess.Popen[Any] = Fork(argv, terminal=True, **options)
        else:
            # What only takes the terminal needs no site, and is not measured.
            self.process = start(argv, (sys.executable, "-ISc", _CONTROLLING, *program), **options)

    def until(self, text: str) -> str:
        """Read until this text stands behind what was read before; all that was read meanwhile."""
        start = len(self.seen)
        end = time.monotonic() + PATIENCE
        while text not in self.seen[start:]:
            self._read(end - time.monotonic())
        return self.seen[start:]

    def _read(self, seconds: float) -> None:
        ready, _, _ = select.select([self._leader], [], [], max(0.0, seconds))
        assert ready, f"nothing more came; so far: {self.seen!r}"
        data = os.read(self._leader, 65_536)
        self.raw += data
        self.seen += self._decoder.decode(data)

    def type(self, text: str) -> None:
        """Type."""
        os.write(self._leader, text.encode())

    @property
    def echoes(self) -> bool:
        """Whether the terminal shows what is typed."""
        return bool(termios.tcgetattr(self._follower)[3] & termios.ECHO)

    def read_to_end(self, seconds: float) -> bool:
        """Read to the end of the process; False where it did not end in time."""
        handle = os.pidfd_open(self.process.pid)
        until_then = time.monotonic() + seconds
        try:
            while True:
                left = max(0.0, until_then - time.monotonic())
                ready, _, _ = select.select([self._leader, handle], [], [], left)
                if self._leader not in ready:
                    return bool(ready)
                self._read(0)
        finally:
            os.close(handle)

    def end(self) -> int:
        """Read to the end of the process; its exit code."""
        assert self.read_to_end(PATIENCE), f"it does not end; so far: {self.seen!r}"
        return self.process.wait(PATIENCE)

    def hang_up(self) -> None:
        """The terminal goes away, as a window that is closed."""
        os.close(self._follower)
        os.close(self._leader)
        self._leader = self._follower = -1

    def leave(self) -> None:
        """End the process, if it has not ended, and let go of the terminal."""
        self.process.kill()
        self.process.wait()
        for descriptor in {self._leader, self._follower} - {-1}:
            os.close(descriptor)


@contextlib.contextmanager
def signals_kept() -> Iterator[None]:
    """Put the signal handlers back that a command has taken over."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    try:
        yield
    finally:
        note = signal.set_wakeup_fd(-1)
        if note != -1:
            os.close(note)  # and with it ends the thread that reads it
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
