"""Programs that are not started: each is the fork of one process that has loaded the program and has run nothing of it.

Loading is most of what a short run costs. A fork is a process like any other, with its own folder, environment, streams,
signals and exit code; what only a start does is not in it, so programs of every kind are also started as by a shell.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import json
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, NoReturn

from tests.callers import PATIENCE, has_ended, start

_ROOT = Path(__file__).parent.parent.parent
_LONGEST = 100_000
"""Bytes of an order: arguments, folder and environment."""

_OF_A_START = ("PYTHON", "LD_", "LC_")
"""How variables begin that Python, or what loads it, reads at the start."""

_USED = ("cli.main", "cli.app", "cli.request", "cli.wait", "cli.progress", "client.rest", "client.stream", "wiring")
_SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER, prctl(2)


class Fork:
    """A program that was forked: our child. It is used as a Popen is."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """The exit code, once it has ended."""
        if self.returncode is None:
            ended, status = os.waitpid(self.pid, os.WNOHANG)
            self.returncode = os.waitstatus_to_exitcode(status) if ended else None
        return self.returncode

    def wait(self, timeout: float = PATIENCE) -> int:
        """The exit code at its end, which comes in time."""
        assert self.returncode is not None or has_ended(self.pid, timeout)
        code = self.poll()
        assert code is not None
        return code

    def send_signal(self, number: int) -> None:
        """Send it a signal, if it has not ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill it."""
        self.send_signal(signal.SIGKILL)


class Loaded:
    """The process that has loaded the program, and forks."""

    def __init__(self) -> None:
        # Whoever forks for us ends at once, and its child becomes ours.
        ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)
        self._line, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._one_at_a_time = threading.Lock()
        with its:
            command = [sys.executable, "-c", "from tests.integration.forks import serve; serve()"]
            environment = {"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8"}
            self._process = start((), command, stdin=its, cwd=_ROOT, env=environment)

    def close(self) -> None:
        """End it."""
        self._line.close()
        self._process.wait()

    def can_run(self, environment: Mapping[str, str]) -> bool:
        """Whether a fork with this environment is as good as a start."""
        return environment.get("LANG") == "C.UTF-8" and not any(name.startswith(_OF_A_START) for name in environment)

    def fork(
        self, argv: Sequence[str], *, env: Mapping[str, str], cwd: Path, stdout: IO[bytes] | int, stderr: IO[bytes] | int
    ) -> Fork:
        """Run the program with these arguments, and nothing on stdin."""
        order = {"argv": argv, "env": dict(env), "cwd": str(cwd), "parent": os.getpid()}
        streams = [one if isinstance(one, int) else one.fileno() for one in (stdout, stderr)]
        with self._one_at_a_time:
            socket.send_fds(self._line, [json.dumps(order).encode()], streams)
            return Fork(int(self._line.recv(_LONGEST)))


def serve() -> None:
    """Load the program, and fork at each order that comes on stdin, to the end of the orders."""
    for name in _USED:
        importlib.import_module(f"molecule_approve.{name}")
    gc.collect()
    gc.freeze()
    line = socket.socket(fileno=os.dup(0))
    while True:
        order, streams, _, _ = socket.recv_fds(line, _LONGEST, 2)
        if not order:
            return
        middle = os.fork()
        if middle == 0:
            _fork_and_end(json.loads(order), line, streams)
        os.waitpid(middle, 0)
        for stream in streams:
            os.close(stream)


def _fork_and_end(order: dict[str, object], line: socket.socket, streams: Sequence[int]) -> NoReturn:
    pid = os.fork()
    if pid == 0:
        _become(streams, **order)  # type: ignore[arg-type]  # as `Loaded.fork` sends it
    line.send(str(pid).encode())
    os._exit(0)


def _become(streams: Sequence[int], argv: list[str], env: dict[str, str], cwd: str, parent: int) -> NoReturn:
    from molecule_approve.__main__ import run  # noqa: PLC0415 - loaded in the process that forks, where this is called

    # The program watches its parent: it begins once it has the lasting one.
    while os.getppid() != parent:
        time.sleep(0.0005)
    for number, stream in enumerate((os.open(os.devnull, os.O_RDONLY), *streams)):
        os.dup2(stream, number)
    os.closerange(3, 64)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    sys.stdin, sys.stdout = os.fdopen(0), os.fdopen(1, "w")
    sys.stderr = os.fdopen(2, "w", buffering=1, errors="backslashreplace")
    sys.argv = ["molecule-approve", *argv]
    run()
