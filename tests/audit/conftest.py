"""What the tests of the audit log share: records, journals on the disk, and an independent check of the chain."""

from __future__ import annotations

import hashlib
import json
import os
import select
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from molecule_approve.audit.journal import Journal
from molecule_approve.audit.record import Record
from tests.audit.records import record

if TYPE_CHECKING:
    from types import FrameType


MakeRecord = Callable[..., Record]
Chained = Callable[[Path], list[dict[str, Any]]]


@pytest.fixture
def make() -> MakeRecord:
    """A record, with some of its fields as wanted."""
    return record


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Where a log is going to be, in a folder that does not exist yet."""
    return tmp_path / "state" / "audit.jsonl"


@pytest.fixture
def journal(log: Path) -> Journal:
    """A journal that was never written to."""
    return Journal(log)


@pytest.fixture
def chained() -> Chained:
    """The chained lines of a file, after a check that shares nothing with the program's own."""

    def check(path: Path) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        before = "0" * 64
        for line in path.read_bytes().split(b"\n")[:-1]:
            try:
                fields = json.loads(line)
            except ValueError:
                continue
            if not line.startswith(b"{") or not isinstance(fields, dict) or not isinstance(fields.get("prev"), str):
                continue
            assert fields["prev"] == before
            assert fields["seq"] == len(found) + 1
            before = hashlib.sha256(line).hexdigest()
            found.append(fields)
        assert len({fields["log_id"] for fields in found}) <= 1
        return found

    return check


class Child:
    """A Python process that runs a few lines; it says on stdout what we wait for."""

    def __init__(self, code: str, *args: object, measured: bool) -> None:
        # A process that is killed while it writes its coverage leaves a broken file of it.
        environ = {name: value for name, value in os.environ.items() if measured or not name.startswith("COVERAGE_")}
        self.process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(code), *map(str, args)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            env=environ,
        )

    def line(self, seconds: float = 30.0) -> str:
        """Its next line; empty when it has ended."""
        assert self.process.stdout is not None
        assert select.select([self.process.stdout], [], [], seconds)[0], "the child said nothing"
        return self.process.stdout.readline().decode().strip()

    def go(self) -> None:
        """Let it go on: it reads a line from stdin."""
        assert self.process.stdin is not None
        self.process.stdin.write(b"\n")
        self.process.stdin.flush()

    def finish(self, seconds: float = 60.0) -> tuple[int, str, str]:
        """Its exit code, and what else it said on stdout and stderr."""
        out, err = self.process.communicate(timeout=seconds)
        return self.process.returncode, out.decode(), err.decode()

    def kill(self) -> str:
        """Kill it, and read what it still had said."""
        self.process.kill()
        return self.process.communicate(timeout=60)[0].decode()

    def end(self) -> None:
        """Let it end by itself, now that nobody speaks to it any more; or kill it."""
        if self.process.poll() is None:
            try:
                self.process.communicate(timeout=10)
            except subprocess.TimeoutExpired:
                self.kill()


MakeChild = Callable[..., Child]


@pytest.fixture
def child() -> Iterator[MakeChild]:
    """Starts children, and leaves none behind."""
    started: list[Child] = []

    def start(code: str, *args: object, measured: bool = True) -> Child:
        started.append(Child(code, *args, measured=measured))
        return started[-1]

    yield start
    for one in started:
        one.end()
        for stream in (one.process.stdin, one.process.stdout, one.process.stderr):
            if stream is not None:
                stream.close()


@contextmanager
def _before(call: object, action: Callable[[], None]) -> Iterator[None]:
    """Something that happens, each time, just before a function of the system is called from this thread."""

    def watch(frame: FrameType, event: str, called: object) -> None:
        if event == "c_call" and called is call:
            sys.setprofile(None)
            action()
            sys.setprofile(watch)

    sys.setprofile(watch)
    try:
        yield
    finally:
        sys.setprofile(None)


Before = Callable[[object, Callable[[], None]], AbstractContextManager[None]]


@pytest.fixture
def before() -> Before:
    """Lets another program act between two steps of ours, at exactly that moment."""
    return _before
