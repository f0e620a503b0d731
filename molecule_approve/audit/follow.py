"""Following a log: its last lines, then what is added, each line once and in order. How they look is not known here."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from molecule_approve.errors import AuditError

from . import files, lines
from .chain import Link, link_of

POLL = 0.1
"""Seconds between two looks at a quiet log: at most this late, and a few milliseconds of CPU a minute."""


@dataclass(frozen=True, slots=True)
class Line:
    """One whole line as it stands in the file, its newline included."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Notice:
    """What a person must know who wants to see every line: something could not be shown, or the file was exchanged."""

    text: str


Shown = Line | Notice
Wanted = Callable[[bytes], bool]


def history(path: Path, count: int | None, wanted: Wanted) -> Iterator[Shown]:
    """The newest ``count`` wanted lines (None: all), the oldest first. A last line that is not finished is not shown.

    Raises:
        AuditError: the log is missing, or cannot be read.

    """
    reader = _Reader(path, files.open_for_reading(path))
    try:
        yield from _last(reader, count, wanted)
    except OSError as exc:
        raise files.explained(exc, "read", path) from exc
    finally:
        reader.close()


def follow(path: Path, count: int | None, wanted: Wanted, pause: Callable[[float], None]) -> Iterator[Shown]:
    """The same, and then every wanted line that is added, for ever: through a rename, a truncation, or the log's absence.

    ``pause`` waits that many seconds, or until something may have happened; what it raises ends this.

    Raises:
        AuditError: the log cannot be read.

    """
    if not os.path.lexists(path):
        yield Notice(f"there is no audit log {path} yet")
        while not os.path.lexists(path):
            pause(POLL)
    reader = _Reader(path, files.open_for_reading(path))
    try:
        yield from _last(reader, count, wanted)
        while True:
            yield from _chosen(reader.look(), wanted)
            pause(POLL)
    except OSError as exc:
        raise files.explained(exc, "read", path) from exc
    finally:
        reader.close()


def _chosen(shown: Iterator[Shown], wanted: Wanted) -> Iterator[Shown]:
    return (item for item in shown if isinstance(item, Notice) or wanted(item.data))


def _last(reader: _Reader, count: int | None, wanted: Wanted) -> Iterator[Shown]:
    if count is not None:
        reader.skip_to_last(count, wanted)
    yield from _chosen(reader.rest(), wanted)


class _Reader:
    """One file of that name after the other, read line by line."""

    def __init__(self, path: Path, handle: int) -> None:
        self._path = path
        self._handle = handle
        self._opened = os.fstat(handle)
        self._at = 0  # what stands before it was read
        self._begun = b""  # the beginning of a line that is not finished
        self._length = 0  # its length; more than is kept of it when it is too long to be one of ours
        self._last: Link | None = None  # the last chained line that was read
        self._fresh = False  # whether no chained line of this file, which followed another, was read yet

    def close(self) -> None:
        os.close(self._handle)

    def skip_to_last(self, count: int, wanted: Wanted) -> None:
        """Go to the beginning of the newest lines that are wanted: so many, or as many as there are."""
        end = lines.finished_end(self._handle, os.fstat(self._handle).st_size)
        self._at = end
        found = 0
        for offset, line in lines.backwards(self._handle, end):
            if found >= count:
                break
            if wanted(line):
                found += 1
                self._at = offset

    def rest(self) -> Iterator[Shown]:
        """All whole lines up to the end of the file as it is now."""
        while block := os.pread(self._handle, lines.BLOCK, self._at):
            self._at += len(block)
            *whole, rest = block.split(b"\n")
            for piece in whole:
                self._add(piece)
                yield from self._finished()
            self._add(rest)

    def look(self) -> Iterator[Shown]:
        """What is new: in this file, and in the one that took its name."""
        if self._is_quiet():
            return
        if os.fstat(self._handle).st_size < self._at:
            yield Notice(f"the audit log {self._path} was cut from {self._at} bytes; it is shown from its beginning")
            self._begin(self._handle)
        yield from self.rest()
        following = None if files.is_named(self._handle, self._path) else self._successor()
        if following is None:
            return
        # A writer may have added to the old file until a moment ago; from now on all of them write to the new one.
        yield from self.rest()
        if self._length:
            yield Notice(f"the file that was {self._path} ends with half a line, which is not shown")
        os.close(self._handle)
        self._begin(following)
        yield from self.rest()

    def _is_quiet(self) -> bool:
        """Whether one look at the name shows that nothing happened: this is nearly all that a quiet log costs."""
        try:
            found = os.lstat(self._path)
        except FileNotFoundError:
            return False
        return found.st_size == self._at and os.path.samestat(found, self._opened)

    def _successor(self) -> int | None:
        """The file that has the name now; None as long as none has it."""
        try:
            return files.open_for_reading(self._path)
        except AuditError as exc:
            if isinstance(exc.__cause__, FileNotFoundError):
                return None
            raise

    def _begin(self, handle: int) -> None:
        self._handle, self._opened = handle, os.fstat(handle)
        self._at, self._begun, self._length, self._fresh = 0, b"", 0, True

    def _add(self, piece: bytes) -> None:
        self._length += len(piece)
        self._begun = self._begun + piece if self._length <= lines.LONGEST else b""

    def _finished(self) -> Iterator[Shown]:
        line, length = self._begun, self._length
        self._begun, self._length = b"", 0
        if length > lines.LONGEST:
            yield Notice(f"a line of {length} bytes is not shown; no record is that long")
            return
        link = link_of(line)
        if link is not None:
            before, fresh, self._last, self._fresh = self._last, self._fresh, link, False
            if fresh and before is not None:
                if link == before:
                    return  # written to the old file and, because that was just renamed, to the new one again
                yield from _gap(before, link)
        yield Line(line + b"\n")


def _gap(before: Link, link: Link) -> Iterator[Notice]:
    if link.log_id != before.log_id:
        yield Notice(f"another log begins here: {link.log_id}")
    elif link.seq > before.seq + 1:
        yield Notice(f"the records {before.seq + 1} to {link.seq - 1} were not seen")
