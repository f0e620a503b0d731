"""Runs of the program as forks of one process that has its modules loaded: a start takes milliseconds, and a kill is real.

``Forks`` gives the orders; the process behind it is ``python -m tests.integration.run_forks``, which reaps a run only when
its end is asked for, so that an id stays that run's own until then.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn, Self

from molecule_approve import wiring
from molecule_approve.__main__ import run
from molecule_approve.audit import rotation
from molecule_approve.audit.read import archives
from molecule_approve.cli import deliver, progress, requests, result_files, stop
from molecule_approve.cli import run as command
from molecule_approve.cli.main import main as command_line
from molecule_approve.client import http, rest, stream
from molecule_approve.gate import binding, compose
from tests.callers import has_ended

PATIENCE = 60.0

LOADED = (
    wiring, rotation, archives, deliver, progress, requests, result_files, stop, command, http, rest, stream,
    binding, compose,
)  # fmt: skip
"""What a run loads on demand: a start of its own for each would only cost time."""


class Forks:
    """A process that forks runs of the program; a context manager.

    Args:
        environ: the environment of all runs.
        alive: a descriptor that every run and every command inherits as stdout: its reader sees the end when all are gone.

    """

    def __init__(self, environ: Mapping[str, str], alive: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.integration.run_forks", str(alive)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=dict(environ),
            pass_fds=[alive],
            cwd=Path(__file__).parents[2],
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def start(self, arguments: Sequence[str], folder: Path, stderr: Path) -> int:
        """Start the program in a folder; its process id."""
        return self._order(arguments=list(arguments), folder=str(folder), stderr=str(stderr))

    def end(self, pid: int) -> int:
        """Wait for the end of a run, and reap it; its exit code, or minus the signal that ended it."""
        assert has_ended(pid, PATIENCE), f"the run {pid} does not end"
        return self._order(end=pid)

    def _order(self, **words: object) -> int:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(words).encode() + b"\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())


def _run(order: dict[str, Any], alive: int) -> NoReturn:
    nothing = os.open(os.devnull, os.O_RDONLY)
    errors = os.open(order["stderr"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for source, target in ((nothing, 0), (alive, 1), (errors, 2)):
        os.dup2(source, target)
    os.closerange(3, 64)
    sys.argv[1:] = order["arguments"]
    run()


def main(alive: int) -> None:
    """Follow the orders on stdin until it ends."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # a run that is interrupted at its birth just dies
    answers, orders = os.dup(1), os.fdopen(os.dup(0), "rb")
    os.dup2(alive, 1)
    command_line(["run", "--show", "--", "true"])  # what is left to load
    for line in orders:
        order = json.loads(line)
        if "end" in order:
            found = os.waitstatus_to_exitcode(os.waitpid(order["end"], 0)[1])
        else:
            os.chdir(order["folder"])  # before the answer: whoever gets it may rename the folder
            found = os.fork()
            if found == 0:
                _run(order, alive)
        os.write(answers, b"%d\n" % found)


if __name__ == "__main__":
    main(int(sys.argv[1]))
