"""Following a log: its last lines, then what is added, each line once and in order. How they look is not known here.

A log continues in other files: it is rotated (by us or by another program), compressed, truncated, deleted or replaced. The
records' numbers and hashes say what was shown, so every record is shown once, or a notice says which ones are missing.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from molecule_approve.audit import files
from molecule_approve.audit.chain import Head, Link, link_of
from molecule_approve.errors import AuditError

from . import archives, backlog, history, lines
from .archives import identity_of
from .backlog import Selection
from .growing_file import GrowingFile

if TYPE_CHECKING:
    from .archives import Identity, LogFile
    from .texts import Text
    from .watch import Pause, Watch

__all__ = ["FollowItem", "Line", "Notice", "Selection", "follow", "last_lines"]

_CHAINED = (b'"log_id"', b'"seq"', b'"prev"')

ATTEMPTS = 2
"""How often a record that is missing is looked for: while its file is being compressed, a list of files can lack it."""

KEPT = 8
"""Records that are known again by their hash where a file repeats them: one, or a few that were written together."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line as it is in the file, with its newline."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Notice:
    """A message for the reader: something could not be shown, or the file was replaced."""

    text: str


FollowItem = Line | Notice

_T = TypeVar("_T", bound="Text")


def last_lines(path: Path, choice: Selection) -> Generator[FollowItem, None, None]:
    """The newest lines of the choice, the oldest first, from all files of the log. An unfinished last line is not shown.

    Raises:
        AuditError: the log is missing, or cannot be read.
    """
    follower = _Follower(path, choice)
    try:
        if not follower.has_file and not follower.has_archives():
            os.close(files.open_for_reading(path))  # says that it is not there
        yield from follower.begin()
    except OSError as exc:
        raise files.explained(exc, "read", path) from exc
    finally:
        follower.close()


def follow(path: Path, choice: Selection, pause: Pause, watch: Watch | None = None) -> Generator[FollowItem, None, None]:
    """The same, and then every wanted line that is added, for ever: through a rotation, a truncation, or the log's absence.

    ``pause`` waits so many seconds, or until a descriptor can be read; what it raises ends this. ``watch`` replaces the
    usual one for this log; it is closed at the end.

    Raises:
        AuditError: the log cannot be read.
    """
    follower = _Follower(path, choice)
    try:
        if not follower.has_file and not follower.has_archives():
            yield Notice(f"there is no audit log {path} yet")
        yield from follower.begin()
        follower.take_bearings()
        with closing(watch or _watch(path)) as watching:
            while True:
                yield from follower.look()
                watching.wait(pause)
    except OSError as exc:
        raise files.explained(exc, "read", path) from exc
    finally:
        follower.close()


def _watch(path: Path) -> Watch:
    from . import watch  # noqa: PLC0415 - loads ctypes, which only a follower needs

    return watch.Watch(path, watch.library_for(path))


class _Follower:
    """What has the log's name, what had it before, and what of the chain was seen."""

    def __init__(self, path: Path, choice: Selection) -> None:
        self._path = path
        self._choice = choice
        self._last: Head | None = None  # the newest record that was read
        self._recent: deque[Head] = deque(maxlen=KEPT)
        self._is_new = True  # whether no record of the file that is read was met yet
        self._searching = False  # whether archives are read, and so no others are to be looked for
        self._read: deque[Identity] = deque(maxlen=2)  # the files that had the name
        self._changed = 0  # when what was read last had been changed, in nanoseconds
        self._rows: GrowingFile[int] | None = None
        self._former: GrowingFile[int] | None = None  # the file that had the name before, still open
        self._known: GrowingFile[int] | None = None  # how far a file was read that lost its name, or its content
        handle = self._opened()
        if handle is not None:
            self._read_from(handle)

    @property
    def _handle(self) -> int | None:
        return None if self._rows is None else self._rows.text

    @property
    def has_file(self) -> bool:
        """Whether a file with the log's name was found."""
        return self._rows is not None

    def has_archives(self) -> bool:
        """Whether there is anything else to read."""
        return bool(archives.names(self._path))

    def close(self) -> None:
        """Let go of all files."""
        for rows in (self._rows, self._former):
            if rows is not None:
                os.close(rows.text)
        self._rows = self._former = None

    # --- the beginning -------------------------------------------------------------------------------------------------

    def begin(self) -> Iterator[FollowItem]:
        """The last lines."""
        start = backlog.start(self._path, self._handle, self._choice)
        self._searching = True
        for reason in start.unreadable:
            yield Notice(reason)
        offset = start.first_offset
        for file in start.older:
            with backlog.reading(self._path, file) as text:
                yield from self._shown(GrowingFile(text, offset))
            offset, self._is_new = 0, True
        if self._rows is not None:
            self._rows = GrowingFile(self._rows.text, start.live_offset)
            yield from self._shown(self._rows)
        self._searching = False

    def take_bearings(self) -> None:
        """Know the newest record also where none was read, so that a gap after it is noticed."""
        if self._last is None:
            self._last = history.newest_head(self._path, self._handle, 0 if self._rows is None else self._rows.at)

    # --- what is new ---------------------------------------------------------------------------------------------------

    def look(self) -> Iterator[FollowItem]:
        """What is new: in this file, in the one that took its name, and in those that had it between two looks."""
        while not self._is_quiet():
            yield from self._more()
            following = None if self._is_named() else self._opened()
            if following is None:
                return
            yield from self._cross(following)

    def _is_quiet(self) -> bool:
        """Whether one look at the name shows that nothing happened: this is nearly all that a quiet log costs."""
        if self._rows is None or self._former_grew():
            return False
        try:
            found = self._path.lstat()
        except FileNotFoundError:
            return False
        return found.st_size == self._rows.at and identity_of(found) == self._read[-1]

    def _is_named(self) -> bool:
        return self._rows is not None and files.is_named(self._rows.text, self._path)

    def _opened(self) -> int | None:
        """The file that has the name now; None as long as none has it."""
        return archives.opened_or_none(self._path)

    def _read_from(self, handle: int) -> None:
        found = os.fstat(handle)
        self._read.append(identity_of(found))
        self._rows, self._is_new = GrowingFile(handle, 0), True

    def _more(self) -> Iterator[FollowItem]:
        """What was added to the files that are open."""
        if self._former is not None:
            # A program that keeps the log open writes to the old file for as long as it lives.
            yield from self._late(self._former)
        if self._rows is None:
            return
        if self._rows.is_rewritten():
            yield from self._restart(self._rows)
        yield from self._shown(self._rows)

    def _cross(self, following: int) -> Iterator[FollowItem]:
        """From the file that lost the name to the one that has it now."""
        former = self._rows
        if former is not None:
            # A writer may have added to it until a moment ago; from now on all of ours write to the new one.
            yield from self._shown(former)
            if former.has_half_a_line:
                yield Notice(f"the file that was {self._path} ends with an unfinished line, which is not shown")
        if self._former is not None:
            os.close(self._former.text)
        self._former = self._known = former
        self._read_from(following)
        yield from self._into(following)

    def _restart(self, rows: GrowingFile[int]) -> Iterator[FollowItem]:
        size = os.fstat(rows.text).st_size
        yield Notice(f"the audit log {self._path} was truncated from {rows.at} to {size} bytes, or rewritten")
        self._known, self._is_new = rows, True
        yield from self._into(rows.text)

    def _into(self, handle: int) -> Iterator[FollowItem]:
        """All of a file that has, or had again, the log's name, but for what was shown; before it, what it goes on from."""
        if self._is_something_between():
            yield from self._between()
        self._rows = GrowingFile(handle, self._after_last(handle))
        yield from self._shown(self._rows)

    def _former_grew(self) -> bool:
        return self._former is not None and os.fstat(self._former.text).st_size > self._former.at

    def _late(self, former: GrowingFile[int]) -> Iterator[FollowItem]:
        """Lines that came to the old file after all. Our own writer writes them to the new one as well."""
        for row in former.rest():
            if isinstance(row, bytes) and link_of(row) is None and self._choice.wanted(row):
                yield Line(row + b"\n")

    # --- the lines of one file -----------------------------------------------------------------------------------------

    def _shown(self, rows: GrowingFile[_T]) -> Iterator[FollowItem]:
        """The selected lines up to the end of the file as it is now, and notices about them."""
        for item in self._new(rows):
            if not isinstance(item, bytes):
                yield item
            elif self._choice.wanted(item):
                yield Line(item + b"\n")

    def _new(self, rows: GrowingFile[_T]) -> Iterator[bytes | FollowItem]:
        """The lines that were not read before, without their newlines, and notices about them."""
        if self._rows is not None and rows is self._rows:
            self._changed = os.fstat(self._rows.text).st_mtime_ns
        newest: deque[bytes] = deque(maxlen=KEPT)
        for row in rows.rest():
            if isinstance(row, int):
                yield Notice(f"a line of {row} bytes is not shown: it is too long for a record")
                continue
            if not self._is_new:
                if all(word in row for word in _CHAINED):
                    newest.append(row)  # parsing each of a long history would cost more than all the rest
            elif (link := link_of(row)) is not None:
                if link.head in self._recent:
                    continue  # written to the old file and, because that was just renamed, to this one again
                yield from self._first(link)
            yield row
        for link in map(link_of, newest):
            if link is not None:
                self._know(link)

    def _first(self, link: Link) -> Iterator[FollowItem]:
        """A file's first record that is new; it may leave a gap, which other files may fill."""
        for _ in range(ATTEMPTS):
            if self._leaves_gap(link) and not self._searching:
                yield from self._between()
        if self._last is not None:
            yield from _notices(self._last, link)
        self._is_new = False
        self._know(link)

    def _know(self, link: Link) -> None:
        self._last = link.head
        self._recent.append(link.head)

    def _leaves_gap(self, link: Link) -> bool:
        last = self._last
        return last is not None and (link.log_id != last.log_id or link.seq > last.seq + 1)

    def _after_last(self, text: Text) -> int:
        """The offset in a file after the newest record that was read; 0 if the file has no record up to it."""
        last, first = self._last, archives.first_link(text)
        if last is None or first is None or first.log_id != last.log_id or first.seq > last.seq:
            return 0
        found = lines.backwards(text)
        links = ((offset + len(line) + 1, link_of(line)) for offset, line in found)
        return next((end for end, link in links if link and link.log_id == last.log_id and link.seq <= last.seq), 0)

    # --- the files in between ------------------------------------------------------------------------------------------

    def _is_something_between(self) -> bool:
        """Whether an archive was written to since we read last: the log was rotated more than once between two looks."""
        return self._last is not None and any(map(self._is_newer, archives.names(self._path)))

    def _is_newer(self, path: Path) -> bool:
        found = files.status(path)
        return found is not None and found.st_mtime_ns >= self._changed and identity_of(found) not in self._read

    def _between(self) -> Iterator[FollowItem]:
        """All records in archives that come after the newest that was read."""
        self._searching = True
        with archives.Snapshot(self._path) as snapshot:
            for file in self._later(snapshot.files):
                try:
                    with snapshot.reading(file) as text:
                        self._is_new = True
                        yield from self._shown(GrowingFile(text, self._onwards(text)))
                except AuditError as exc:
                    yield Notice(exc.message)
        self._searching, self._is_new = False, True

    def _onwards(self, text: Text) -> int:
        """The offset in an archive of what was not read; it may be the file that was read, or a copy of it."""
        known = self._known
        return known.at if known is not None and known.stands_in(text) else self._after_last(text)

    def _later(self, log_files: tuple[LogFile, ...]) -> tuple[LogFile, ...]:
        """The archives before the file that is open now, from the last one on that begins before the newest record."""
        last = self._last
        open_now = (place for place, file in enumerate(log_files) if file.live or file.identity == self._read[-1])
        closed = log_files[: next(open_now, None)]
        mine = [
            (place, file.first.seq)
            for place, file in enumerate(closed)
            if last is not None and file.first is not None and file.first.log_id == last.log_id
        ]
        before = [place for place, seq in mine if last is not None and seq <= last.seq]
        return closed[before[-1] :] if before else closed[mine[0][0] :] if mine else ()


def _notices(before: Head, link: Link) -> Iterator[Notice]:
    """Notices for the place where one file continues after another."""
    if link.log_id != before.log_id:
        yield Notice(f"another log starts here, at its record {link.seq}: {link.log_id}")
    elif link.seq > before.seq + 1:
        yield Notice(f"records {before.seq + 1} to {link.seq - 1} are missing")
    elif link.seq <= before.seq:
        yield Notice(
            f"record {link.seq} follows record {before.seq}: the log was changed; run `molecule-approve audit verify`"
        )
    elif link.prev != before.hash:
        yield Notice(f"record {before.seq} was changed; run `molecule-approve audit verify`")
