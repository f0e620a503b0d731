"""What the tests of a follower share: what it shows while things happen, and a log to which they happen."""

from __future__ import annotations

import gzip
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from molecule_approve.audit.journal import Journal
from molecule_approve.audit.read.follow import Line, Notice, Selection, follow
from molecule_approve.audit.read.watch import LOOK, Watch
from molecule_approve.audit.record import Record
from molecule_approve.errors import Interrupted

MakeRecord = Callable[..., Record]


def everything(line: bytes) -> bool:
    return True


def last(count: int | None, wanted: Callable[[bytes], bool] = everything) -> Selection:
    return Selection(count, wanted)


def texts(shown: Iterator[Line | Notice]) -> list[bytes | str]:
    """Lines as bytes, notices as text."""
    return [item.data if isinstance(item, Line) else item.text for item in shown]


class Steps:
    """A follower's pauses: at each one, the next thing happens; after the last one, somebody interrupts."""

    def __init__(self, *steps: Callable[[], object]) -> None:
        self.steps = list(steps)

    def __call__(self, seconds: float, descriptor: int | None) -> None:
        assert 0 < seconds <= LOOK
        if not self.steps:
            raise Interrupted(2, "enough")
        self.steps.pop(0)()


def seen(path: Path, *steps: Callable[[], object], count: int | None = 10) -> list[bytes | str]:
    """All that a follower shows while these steps happen."""
    shown: list[bytes | str] = []
    with pytest.raises(Interrupted):
        collect(shown, follow(path, last(count), Steps(*steps), Watch(path, None)))
    return shown


def collect(into: list[bytes | str], shown: Iterator[Line | Notice]) -> None:
    """Keep what is shown, also when it ends with an exception."""
    for item in shown:
        into += [item.data if isinstance(item, Line) else item.text]


def add(path: Path, data: bytes) -> Callable[[], object]:
    def act() -> None:
        with path.open("ab") as file:
            file.write(data)

    return act


class Log:
    """A log with numbered records, and what other programs do to its files."""

    def __init__(self, path: Path, make: MakeRecord) -> None:
        self.path = path
        self._make = make
        self._journal = Journal(path)
        self.count = 0

    def append(self, count: int = 1) -> None:
        for _ in range(count):
            self.count += 1
            self._journal.append(self._make(number=self.count), patience=0)

    def foreign(self, word: bytes) -> None:
        with self.path.open("ab") as file:
            file.write(b'{"tool":"%s"}\n' % word)

    def rotate(self) -> Path:
        archive = self._journal.rotate(patience=0)
        assert archive is not None
        return archive

    def copy_and_truncate(self) -> None:
        shutil.copy2(self.path, self.path.with_name("audit.jsonl.1"))
        os.truncate(self.path, 0)


def compress(archive: Path) -> None:
    """As gzip does: the time of the last change is kept."""
    found = archive.stat()
    packed = archive.with_name(f"{archive.name}.gz")
    packed.write_bytes(gzip.compress(archive.read_bytes(), 1))
    os.utime(packed, ns=(found.st_atime_ns, found.st_mtime_ns))
    archive.unlink()


def said(shown: Iterable[bytes | str]) -> list[int | str]:
    """Records by their number, other lines by their tool, notices as they are."""
    found: list[int | str] = []
    for item in shown:
        if isinstance(item, str):
            found.append(item)
        else:
            fields = json.loads(item)
            found.append(fields.get("number", fields.get("reason", fields.get("tool"))))
    return found
