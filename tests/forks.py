"""Programs that are not started: each is the fork of one process that has loaded the program and has run nothing of it.

Loading is most of what a short run costs. A fork is a process like any other, with its own folder, environment, streams,
terminal, signals and exit code; what only a start does is not in it. So a test that is about the start says so (the marker
``started``), and `make soak` runs every test once more with nothing but real starts.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import gc
import importlib
import json
import os
import pkgutil
import signal
import socket
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

PROGRAM = (sys.executable, "-m", "molecule_approve")

_ROOT = Path(__file__).parent.parent
_LONGEST = 1 << 18
"""Bytes of an order, arguments and environment; the kernel takes none that is longer."""

_OF_A_START = ("PYTHON", "LD_")
"""How variables begin that Python, or what loads it, reads at the start."""

_LOCALE = ("LC_ALL", "LC_CTYPE", "LANG")
"""What names the locale; the first one that is set counts."""

_KNOWN = {"stdin", "stdout", "stderr", "cwd", "env", "text", "bufsize", "start_new_session"}
"""What a fork can be told, of all that a Popen can."""

_FRAMEWORKS = ("claude_agent_sdk", "langchain", "mcp.server", "mcp.stdio", "openai_agents", "pydantic_ai")
_OF_FRAMEWORKS = tuple(f"molecule_approve.integrations.{name}" for name in _FRAMEWORKS)
"""What imports a library of agents."""

_SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER, prctl(2)
_INHERITED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)


class Allowed:
    """Whether programs may be forked in this test; otherwise each is started, as a shell starts it."""

    now = True


def can_fork(program: Sequence[str], options: Mapping[str, Any]) -> bool:
    """Whether a fork is as good as this start would be."""
    environment = os.environ if options.get("env") is None else options["env"]
    return (
        Allowed.now
        and tuple(program) == PROGRAM
        and options.keys() <= _KNOWN
        and next((environment[name] for name in _LOCALE if environment.get(name)), "") == "C.UTF-8"
        and not any(name.startswith(_OF_A_START) for name in environment)
        and not any(signal.getsignal(number) is signal.SIG_IGN for number in _INHERITED)
    )


class Fork(subprocess.Popen[Any]):
    """A program that was forked, and is our child.

    Args:
        argv: the arguments.
        terminal: whether its stderr is a terminal that it is to control.
        options: as Popen's.

    """

    def __init__(self, argv: Sequence[str], *, terminal: bool = False, **options: Any) -> None:  # noqa: ANN401 - Popen's
        self._terminal = terminal
        super().__init__(argv, **options)

    def _execute_child(self, args: list[str], *rest: Any) -> None:  # noqa: ANN401 - the inherited one's
        """Order a fork, where a Popen forks and executes: all that it does besides is as good for us."""
        _, _, _, _, cwd, env, _, _, _, *streams, _, _, _, _, _, session, _ = rest
        order = {
            "argv": args,
            "env": dict(os.environ if env is None else env),
            "parent": os.getpid(),
            "session": session,
            "terminal": self._terminal,
        }
        its_in, _, _, its_out, _, its_err = streams
        places = [usual if place == -1 else place for usual, place in enumerate((its_in, its_out, its_err))]
        self.pid = _loaded().fork(order, places, cwd or ".")
        self._child_created = True
        self._close_pipe_fds(*streams)  # type: ignore[attr-defined]  # inherited


class Loaded:
    """The process that has loaded the program, and forks."""

    def __init__(self) -> None:
        # Whoever forks for us ends at once, and its child becomes ours.
        ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)
        self._line, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._one_at_a_time = threading.Lock()
        with its:
            command = [sys.executable, "-c", "from tests.forks import serve; serve()"]
            environment = {"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8"}
            self._process = subprocess.Popen(command, stdin=its.fileno(), cwd=_ROOT, env=environment)

    def fork(self, order: Mapping[str, object], streams: Sequence[int], folder: str | Path) -> int:
        """Run the program in a folder, with these descriptors as stdin, stdout and stderr; its process id."""
        place = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            with self._one_at_a_time:
                socket.send_fds(self._line, [json.dumps(order).encode()], [*streams, place])
                return int(self._line.recv(_LONGEST))
        finally:
            os.close(place)


_starting = threading.Lock()
_found: list[Loaded] = []


def _loaded() -> Loaded:
    """The one of this process; it ends with us."""
    with _starting:
        if not _found:
            _found.append(Loaded())
        return _found[0]


def serve() -> None:
    """Load the program, and fork at each order that comes on stdin, to the end of the orders."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # what is interrupted at its birth just dies
    _load()
    line = socket.socket(fileno=os.dup(0))
    while True:
        order, descriptors, _, _ = socket.recv_fds(line, _LONGEST, 4)
        if not order:
            return
        told, tells = os.pipe()
        middle = os.fork()
        if middle == 0:
            _fork_and_end(json.loads(order), tells, descriptors)
        os.waitpid(middle, 0)  # before the answer: until then the program is nobody's child who could wait for it
        line.send(os.read(told, 20))
        for descriptor in (told, tells, *descriptors):
            os.close(descriptor)


def load() -> None:
    """Load every module of the program, but what agents' frameworks load with, for seconds; its tests load that.

    Migrations run inside Alembic alone.
    """
    package = importlib.import_module("molecule_approve")
    for module in pkgutil.walk_packages(package.__path__, "molecule_approve."):
        if not module.name.startswith(("molecule_approve.server.database.migrations.", *_OF_FRAMEWORKS)):
            importlib.import_module(module.name)


def _load() -> None:
    load()
    importlib.import_module("encodings.idna")  # loaded at the first look at an address, in every program
    with contextlib.suppress(ImportError):  # where coverage is not measured, it need not be there
        importlib.import_module("coverage")
    gc.collect()
    gc.freeze()


def _fork_and_end(order: dict[str, Any], tells: int, descriptors: Sequence[int]) -> NoReturn:
    pid = os.fork()
    if pid == 0:
        _become(descriptors, **order)
    os.write(tells, str(pid).encode())
    os._exit(0)


def _become(
    descriptors: Sequence[int], argv: list[str], env: dict[str, str], parent: int, *, session: bool, terminal: bool
) -> NoReturn:
    from molecule_approve import __main__ as program  # noqa: PLC0415 - loaded in the process that forks, where this is called

    *streams, folder = descriptors
    os.fchdir(folder)
    if session:
        os.setsid()
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    os.closerange(3, 64)
    if terminal:
        fcntl.ioctl(2, termios.TIOCSCTTY, 0)
    _take_over(env)
    sys.argv = [program.__file__, *argv]
    # The program watches its parent: it begins once it has the lasting one.
    while os.getppid() != parent:
        time.sleep(0.0005)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    program.run()


def _take_over(env: dict[str, str]) -> None:
    """Have the environment and the streams that Python makes at a start, and be measured where a start would be."""
    os.environ.clear()
    os.environ.update(env)
    sys.stdin = open(0, errors="surrogateescape", closefd=False)  # noqa: SIM115 - they stay
    sys.stdout = open(1, "w", errors="surrogateescape", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, errors="backslashreplace", closefd=False)  # noqa: SIM115
    if "COVERAGE_PROCESS_CONFIG" in env:
        importlib.import_module("coverage").process_startup()
