"""Writers of an audit log that a test may kill, and system calls of theirs that fail on demand (strace, on Linux)."""

from __future__ import annotations

import json
import os
import re
import select
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, Self

from molecule_approve.cli.main import main

PATIENCE = 30.0


class Crew:
    """A process that forks writers; a context manager that leaves none behind.

    Attributes:
        said: every whole line that a writer of a storm said, in the order in which they were said.

    """

    def __init__(self) -> None:
        # They are killed, and one that is killed while it writes its coverage would leave a broken file of it.
        environ = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.audit.writers"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            env=environ,
            cwd=Path(__file__).parents[2],
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._in, self._out = self._process.stdin, self._process.stdout
        self._rest = b""
        self.said: list[dict[str, Any]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self._in.close()
        self._out.close()

    def order(self, **words: object) -> None:
        """Say what to do."""
        self._in.write(json.dumps(words, default=str).encode() + b"\n")

    def go(self) -> None:
        """Let the writer that said its id begin."""
        self._in.write(b"\n")

    def answer(self) -> dict[str, Any]:
        """The next line.

        Raises:
            AssertionError: none came in time.

        """
        end = time.monotonic() + PATIENCE
        while b"\n" not in self._rest:
            assert self._more(end - time.monotonic()), "the writers said nothing"
        line, self._rest = self._rest.split(b"\n", 1)
        found: dict[str, Any] = json.loads(line)
        return found

    def listen(self, seconds: float) -> None:
        """Read for so long what the writers of a storm say."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0 and self._more(left):
            self._take()

    def started(self) -> int:
        """The id of the writer that was ordered last; what others say meanwhile is kept."""
        while True:
            found = self.answer()
            if "started" in found:
                return int(found["started"])
            self.said.append(found)

    def dismissed(self) -> None:
        """Let the forking process end, and read to the end: that comes when every writer is gone."""
        self._in.close()
        end = time.monotonic() + PATIENCE
        while select.select([self._out], [], [], end - time.monotonic())[0]:
            block = os.read(self._out.fileno(), 65_536)
            if not block:
                self._take()
                return
            self._rest += block
        raise AssertionError("a writer did not end")

    def _more(self, seconds: float) -> bool:
        if not select.select([self._out], [], [], max(0.0, seconds))[0]:
            return False
        block = os.read(self._out.fileno(), 65_536)
        assert block, "the writers are gone"
        self._rest += block
        return True

    def _take(self) -> None:
        *whole, self._rest = self._rest.split(b"\n")
        self.said += [json.loads(line) for line in whole]


class Call(NamedTuple):
    """One system call on the log's own files: its name, and the how many-eth of that name it is."""

    name: str
    number: int


class Ended(NamedTuple):
    """How one writer ended.

    Attributes:
        code: its exit code, negative for a signal.
        said: what it was told, or told us: ``seq``, ``hash`` and ``mark``; or ``archive``; or ``error``; None if it died.
        calls: the system calls on the log's own files, in order.
        struck: the line of the call that was made to fail; empty where none was.

    """

    code: int
    said: dict[str, Any] | None
    calls: list[Call]
    struck: str


def is_whole(log: Path) -> bool:
    """Whether `audit verify` says so, over the log and all its archives; what it says is in the test's output."""
    return main(["audit", "verify", "--audit-log", str(log)]) == 0


@cache
def why_no_strace() -> str:
    """A sentence where system calls cannot be made to fail here; empty where they can."""
    if shutil.which("strace") is None:
        return "strace is not installed"
    tried = subprocess.run(["strace", "-o", os.devnull, "true"], capture_output=True, check=False)
    return "" if tried.returncode == 0 else "this system does not let one process trace another"


def write_once(
    crew: Crew,
    log: Path,
    *,
    limit: int | None = None,
    what: str = "append",
    fault: str = "",
    traced: bool = True,
    room: int | None = None,
) -> Ended:
    """One record by one writer.

    Args:
        crew: forks it.
        log: the log.
        limit: bytes at which it is rotated.
        what: ``append``, ``requests`` or ``rotate``.
        fault: as strace's ``-e inject=`` wants it, such as ``fsync:error=EIO:when=2``.
        traced: whether strace looks at all.
        room: bytes that its files may have; a write beyond is short, and the next one fails.

    """
    crew.order(do="once", log=log, limit=limit, what=what, name="struck", patience=0, room=room)
    writer = crew.answer()["pid"]
    if not traced:
        crew.go()
        return Ended(*_outcome(crew), [], "")
    output = log.parent.parent / "strace"
    with _tracing(writer, output, _paths(log), fault):
        crew.go()
        code, said = _outcome(crew)
    lines = output.read_text(errors="replace").splitlines()
    return Ended(code, said, list(_calls(lines)), next((line for line in lines if "(INJECTED)" in line), ""))


def _outcome(crew: Crew) -> tuple[int, dict[str, Any] | None]:
    said = None
    while "end" not in (found := crew.answer()):
        assert "fault" not in found, found
        said = found
    return found["end"], said


def _paths(log: Path) -> list[Path]:
    """The log's own files, also those that are not there yet, and its folders."""
    archives = [log.with_name(f"{log.name}.{first:012d}-{last:012d}") for first in (1, 2) for last in range(1, 10)]
    beside = [log.with_name(log.name + suffix) for suffix in (".lock", ".head", ".seal", ".next")]
    private = log.with_name(f".{log.name}.private")
    own = [private, *(private / name for name in ("lock", "head", "seal", "next"))]
    return [
        log.parent.parent,
        log.parent,
        log,
        *own,
        *beside,
        *archives,
        *(path.with_name(f"{path.name}.2") for path in archives),
    ]


@contextmanager
def _tracing(writer: int, output: Path, paths: list[Path], fault: str) -> Iterator[None]:
    command = ["strace", "-p", str(writer), "-o", str(output), "-y", "--signal=none"]
    for path in paths:
        command += ["-P", str(path)]
    if fault:
        command += ["-e", f"inject={fault}"]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as tracer:
        assert tracer.stderr is not None
        try:
            line = tracer.stderr.readline()
            assert b"attached" in line, line
            yield
            tracer.wait(PATIENCE)
        finally:
            tracer.kill()  # it lasts as long as its writer, which waits for an order


def _calls(lines: list[str]) -> Iterator[Call]:
    counted: Counter[str] = Counter()
    for line in lines:
        found = re.match(r"(\w+)\(", line)
        if found is not None:
            counted[found[1]] += 1
            yield Call(found[1], counted[found[1]])
