"""The files that one log consists of: the live one and its archives, ours and logrotate's, in the order of their records.

Which names are archives, and how they are opened, is decided here; how a full log becomes one is `rotation.py`'s business,
and what a line means is the chain's.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple, Self

from molecule_approve.audit import files
from molecule_approve.audit.chain import Link, link_of
from molecule_approve.errors import AuditError

from . import lines, texts
from .texts import PACKED, Text, is_compressed

_NUMBERS = r"[._-]\d+(?:[._T-]\d+)*"  # with the dates that logrotate's `dateformat` makes of digits
_MORE = rf"(?:[.-]\d+|{PACKED})*"  # a pattern over the whole folder rotates archives again, and compresses them

BEGINNING = 16 * 1024 * 1024
"""Bytes in which a file's first record is looked for; other tools may have written before us, but there must be an end."""

ATTEMPTS = 10
"""How often the folder is looked at again because somebody renamed files in that very moment."""

Identity = tuple[int, int]
"""Device and inode: the file, whatever it is called."""


class LogFile(NamedTuple):
    """One file of a log.

    Attributes:
        path: its name when it was found.
        first: its first chained line; None where it has none, or not in its first :data:`BEGINNING` bytes.
        identity: device and inode.
        live: whether it is the one that is written to.
    """

    path: Path
    first: Link | None
    identity: Identity
    live: bool


class Unreadable(NamedTuple):
    """A file that has an archive's name and cannot be read, and why."""

    path: Path
    reason: str


class Snapshot:
    """The files of a log as they are at one moment; a rotation afterwards changes nothing for who holds it.

    Attributes:
        files: the files, the oldest records first; the live one, where there is one, is the last of its log.
        unreadable: archives that cannot be read.

    Raises:
        AuditError: the live file, or the folder, cannot be read.
    """

    def __init__(self, log: Path) -> None:
        self._log = log
        self._live: int | None = None
        try:
            # The live file first: what is rotated from now on is behind this handle, whatever it is called then.
            self._live = opened_or_none(log)
            self.files, self.unreadable = self._found()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the live file."""
        if self._live is not None:
            os.close(self._live)
            self._live = None

    @contextmanager
    def reading(self, file: LogFile) -> Iterator[Text]:
        """The file's text, to be read at any place.

        Raises:
            AuditError: it was removed meanwhile, or cannot be read, or not be unpacked.
        """
        if file.live and self._live is not None:
            yield self._live
            return
        path, handle = self._opened(file)
        with _closing(handle):
            yield texts.text_in(path, handle)

    @contextmanager
    def streaming(self, file: LogFile) -> Iterator[BinaryIO]:
        """The same, to be read once, from its beginning. Whether a compressed file is damaged is known only at its end.

        Raises:
            AuditError: as above.
        """
        if file.live and self._live is not None:
            yield texts.file(self._live)
            return
        path, handle = self._opened(file)
        with _closing(handle), texts.unpacking(path, handle) as stream:
            yield stream

    def forwards(self) -> Iterator[tuple[LogFile, bytes]]:
        """All lines with the newlines that they have, the oldest first.

        Raises:
            AuditError, OSError: a file cannot be read.
        """
        for file in self.files:
            with self.streaming(file) as stream:
                for line in lines.forwards(stream):
                    yield file, line

    def _opened(self, file: LogFile) -> tuple[Path, int]:
        """The file, wherever it is now, and its handle: logrotate gives new names, and compresses."""
        now = file
        while True:
            handle = opened_or_none(now.path)
            if handle is not None and identity_of(os.fstat(handle)) == now.identity:
                return now.path, handle
            if handle is not None:
                os.close(handle)
            now = self._now(file)

    def _now(self, file: LogFile) -> LogFile:
        for other in self._found()[0]:
            if other.identity == file.identity or (file.first is not None and other.first == file.first):
                return other
        raise AuditError(f"the audit log's archive {file.path} was removed while it was being read", hint="try again")

    def _found(self) -> tuple[tuple[LogFile, ...], tuple[Unreadable, ...]]:
        for _ in range(ATTEMPTS):
            listed = _listed(self._log)
            found = [_log_file(path) for path in sorted(listed)]
            # Where logrotate renames meanwhile, a file can be met under no name at all.
            if all(isinstance(one, Unreadable) or (one and one.identity == listed[one.path]) for one in found):
                break
        log_files = [one for one in found if isinstance(one, LogFile)]
        if self._live is not None:
            live = LogFile(self._log, first_link(self._live), identity_of(os.fstat(self._live)), live=True)
            if not files.is_named(self._live, self._log):
                # It was rotated in this moment, and perhaps others after it: those are newer than what is called live here.
                log_files = [file for file in log_files if not _is_newer(file, live)]
            log_files.insert(0, live)
        one_each = {file.identity: file for file in reversed(log_files)}
        unreadable = tuple(one for one in found if isinstance(one, Unreadable))
        return tuple(_in_order(_each_once([*reversed(one_each.values())]))), unreadable


def names(log: Path) -> list[Path]:
    """All that is called like an archive of this log: ours (``audit.jsonl.000000000001-000000012345``) and logrotate's
    (``audit.jsonl.1``, ``audit.jsonl-20260427.gz``, and both before the suffix).

    Raises:
        AuditError: the folder cannot be read.

    """  # noqa: D205 - the first sentence needs two lines
    return sorted(_listed(log))


def _listed(log: Path) -> dict[Path, Identity]:
    """The archives' names, and what they mean at this moment."""
    whole, stem, suffix = re.escape(log.name), re.escape(log.stem), re.escape(log.suffix)
    pattern = re.compile(rf"(?:{whole}{_NUMBERS}|{stem}{_NUMBERS}{suffix}){_MORE}\Z", re.ASCII)
    found = {}
    try:
        there = set(os.listdir(log.parent))  # noqa: PTH208 - names, not paths
        for name in there:
            # What has a private folder beside it is a log of its own, whatever it is called.
            if pattern.match(name) and name != log.name and not _is_log(name, there):
                with suppress(FileNotFoundError):
                    found[log.with_name(name)] = identity_of(log.with_name(name).lstat())
    except FileNotFoundError:
        return {}
    except OSError as exc:
        raise files.explained(exc, "read", log.parent) from exc
    return found


def _is_log(name: str, there: set[str]) -> bool:
    beside = {files.lock_path(Path(name)).parent.name, files.former_path(Path(name), "lock").name}
    return not there.isdisjoint(beside)


def archive_name(log: Path, first: int, last: int) -> Path:
    """The name of an archive of ours: it carries the numbers of its first and its last record."""
    return log.with_name(f"{log.name}.{first:012d}-{last:012d}")


def opened_or_none(path: Path) -> int | None:
    """A handle of the file to read from; None where there is none of that name.

    Raises:
        AuditError: it cannot be read.
    """
    try:
        return files.open_for_reading(path)
    except AuditError as exc:
        if isinstance(exc.__cause__, FileNotFoundError):
            return None
        raise


def identity_of(found: os.stat_result) -> Identity:
    """Which file it is, whatever it is called."""
    return found.st_dev, found.st_ino


def _log_file(path: Path) -> LogFile | Unreadable | None:
    """The archive of that name; None where it has just got another one."""
    try:
        handle = opened_or_none(path)
        if handle is None:
            return None
        with _closing(handle), texts.unpacking(path, handle) as stream:
            return LogFile(path, _first_in(stream), identity_of(os.fstat(handle)), live=False)
    except AuditError as exc:
        return Unreadable(path, exc.message)


@contextmanager
def text_of(path: Path) -> Iterator[Text]:
    """The text of a file by itself, to be read at any place.

    Raises:
        AuditError: it cannot be read, or not be unpacked.
    """
    handle = files.open_for_reading(path)
    with _closing(handle):
        yield texts.text_in(path, handle)


@contextmanager
def stream_of(path: Path) -> Iterator[BinaryIO]:
    """The same, to be read once, from its beginning. Whether a compressed file is damaged is known only at its end.

    Raises:
        AuditError: as above.
    """
    handle = files.open_for_reading(path)
    with _closing(handle), texts.unpacking(path, handle) as stream:
        yield stream


@contextmanager
def _closing(handle: int) -> Iterator[None]:
    try:
        yield
    finally:
        os.close(handle)


def first_link(text: Text) -> Link | None:
    """The first chained line of a file, if it is in its first :data:`BEGINNING` bytes."""
    return _first_in(texts.file(text))


def _first_in(stream: BinaryIO) -> Link | None:
    left = BEGINNING
    while left > 0:
        line = stream.readline(min(left, lines.LONGEST))
        if not line:
            break
        left -= len(line)
        link = link_of(line.rstrip(b"\n"))
        if link is not None:
            return link
    return None


def _is_newer(file: LogFile, live: LogFile) -> bool:
    first, last = live.first, file.first
    return first is not None and last is not None and last.log_id == first.log_id and last.seq > first.seq


def _each_once(log_files: list[LogFile]) -> list[LogFile]:
    """Without copies: of those that begin with the same record the live one, else the one that is not compressed."""
    best: dict[Link | Identity, LogFile] = {}
    for file in sorted(log_files, key=lambda file: (not file.live, is_compressed(file.path))):
        best.setdefault(file.first or file.identity, file)
    return list(best.values())


def _in_order(log_files: list[LogFile]) -> list[LogFile]:
    """By record; a file without any, and another log, by the time of its last change."""
    changed = {file: _changed(file) for file in log_files}
    log_files = sorted(log_files, key=lambda file: (file.live, changed[file]))
    newest = {file.first.log_id: place for place, file in enumerate(log_files) if file.first is not None}
    places, place = {}, (0, 0)
    for file in log_files:
        if file.first is not None:
            place = (newest[file.first.log_id], file.first.seq)
        places[file] = place
    return sorted(log_files, key=lambda file: (file.live, places[file]))


def _changed(file: LogFile) -> int:
    try:
        return file.path.lstat().st_mtime_ns
    except FileNotFoundError:
        return 0
