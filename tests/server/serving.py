"""A real `serve` process for a test, with a home of its own."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

from tests.callers import SAYING, start
from tests.forks import PROGRAM

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path


def environment(home: Path) -> dict[str, str]:
    """What the process may know: nothing of the user who runs the tests. Coverage's own variables pass."""
    kept = {name: value for name, value in os.environ.items() if name.startswith(("COV", "PATH"))}
    home.mkdir(exist_ok=True)
    (home / "run").mkdir(mode=0o700, exist_ok=True)
    return {
        **kept,
        "LANG": "C.UTF-8",
        "HOME": str(home),
        "USER": "tester",
        "XDG_STATE_HOME": str(home / "state"),
        "XDG_RUNTIME_DIR": str(home / "run"),
    }


@contextmanager
def serving(home: Path, *options: str, through: tuple[str, ...] = ()) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The process and its address, from the line on stdout to its end (killed, if the test did not end it).

    ``through`` is a command that starts it.
    """
    process = start(("serve", "--port", "0", *options), (*through, *PROGRAM), env=environment(home), **SAYING)
    try:
        yield process, _stream(process.stdout).readline().strip()
    finally:
        process.kill()
        process.communicate()


def _stream(stream: IO[str] | None) -> IO[str]:
    assert stream is not None
    return stream
