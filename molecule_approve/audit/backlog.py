"""Where the last lines of a log begin. The live file is read from its end; archives are opened only when it is used up.

That costs the same for a log of any size. A long list of archives is not paid for either: the one that was changed last is
opened alone, and the chain proves that it is the one before; only where it does not, all of them are looked at.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from molecule_approve.errors import AuditError

from . import archives, files, lines, texts
from .archives import identity_of
from .chain import Head, Link, link_of

if TYPE_CHECKING:
    from .archives import Identity, Piece
    from .texts import Text

OLD_ENOUGH = 1_000
"""Chained records in a row, going back, that are too old before nothing older is looked for. Wall clocks jump: a few
records that carry too early a time may stand behind many that do not, but a thousand are no jump that anybody overlooks."""

NEAR = 1_000
"""Lines at a file's end among which its newest chained one is looked for; a log of another tool alone has none at all."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Which lines are shown.

    Attributes:
        count: how many of the newest; None for all.
        wanted: whether a line, its newline left out, is among them.
        too_old: whether a chained line is older than all that can be wanted; None where age does not matter.

    """

    count: int | None
    wanted: Callable[[bytes], bool]
    too_old: Callable[[bytes], bool] | None = None


class Start(NamedTuple):
    """Where reading forwards begins.

    Attributes:
        older: the archives with wanted lines, the oldest first.
        first_offset: where it begins in the first of them.
        live_offset: where it begins in the live file.
        unreadable: why an archive could not be read.

    """

    older: list[Piece]
    first_offset: int
    live_offset: int
    unreadable: list[str]


def start(log: Path, live: int | None, choice: Choice) -> Start:
    """Where the lines of the choice begin, given a handle of the live file, or None where there is no such file.

    Raises:
        AuditError, OSError: a file cannot be read.

    """
    search = _Search(choice)
    live_offset = 0 if live is None else search.back(live, None)
    older: list[Piece] = []
    unreadable: list[str] = []
    first_offset = 0
    if not search.is_done():
        with closing(newest_archives(log, live)) as found:
            for item in found:
                if isinstance(item, str):
                    unreadable.append(item)
                    continue
                first_offset = search.back(item.text, item.newer)
                older.append(item.piece)
                if search.is_done():
                    break
    return Start(older[::-1], first_offset, live_offset, unreadable)


def newest(log: Path, live: int | None, end: int) -> Head | None:
    """The newest record of the log before that offset of the live file, if it is among the last :data:`NEAR` lines.

    Raises:
        AuditError, OSError: a file cannot be read.

    """
    with closing(_newest_first(log, live, end)) as found:
        links = (link_of(line) for line in islice(found, NEAR))
        return next((link.head for link in links if link is not None), None)


def _newest_first(log: Path, live: int | None, end: int) -> Generator[bytes, None, None]:
    if live is not None:
        yield from _backwards(live, end)
    with closing(newest_archives(log, live)) as found:
        for item in found:
            if not isinstance(item, str):
                yield from _backwards(item.text, texts.size(item.text))


@contextmanager
def reading(log: Path, piece: Piece) -> Iterator[Text]:
    """An archive's text, wherever it is by now.

    Raises:
        AuditError: it was removed meanwhile, or cannot be read.

    """
    status = files.status(piece.path)
    if status is not None and identity_of(status) == piece.identity:
        with archives.text_of(piece.path) as text:
            yield text
        return
    with archives.Snapshot(log) as snapshot, snapshot.reading(piece) as text:
        yield text


class _Search:
    """Goes back from line to line until it has enough."""

    def __init__(self, choice: Choice) -> None:
        self._choice = choice
        self._found = 0
        self._too_old = 0

    def is_done(self) -> bool:
        """Whether nothing older is wanted."""
        count = self._choice.count
        return (count is not None and self._found >= count) or self._too_old >= OLD_ENOUGH

    def back(self, text: Text, newer: Link | None) -> int:
        """Where the wanted lines of one file begin.

        ``newer`` is the first record of the file after it: a record that stands in both, because the file was renamed while
        it was written, counts once.
        """
        at = lines.finished_end(text, texts.size(text))
        found = lines.backwards(text, at)
        # Asked before each line is read: a line before the last one that is wanted may be long, and far away.
        while not self.is_done() and (row := next(found, None)) is not None:
            offset, line = row
            if newer is not None and (link := link_of(line)) is not None:
                if link.log_id == newer.log_id and link.seq >= newer.seq:
                    continue
                newer = None
            if self._take(line):
                at = offset
        return at

    def _take(self, line: bytes) -> bool:
        too_old = self._choice.too_old
        if too_old is not None and link_of(line) is not None:
            self._too_old = self._too_old + 1 if too_old(line) else 0
        wanted = self._choice.wanted(line)
        self._found += wanted
        return wanted


class Archive(NamedTuple):
    """One archive, opened.

    Attributes:
        piece: which one.
        text: what stands in it; closed when the next one is asked for.
        newer: the first record of the file after it, as far as that is known.

    """

    piece: Piece
    text: Text
    newer: Link | None


def newest_archives(log: Path, live: int | None) -> Generator[Archive | str, None, None]:
    """The archives, the newest first, and why one cannot be read; what is newer than the live handle is left out.

    Raises:
        AuditError, OSError: the folder cannot be read, or an archive was removed meanwhile.

    """
    used = set() if live is None else {identity_of(os.fstat(live))}
    newer = None if live is None else archives.first_link(live)
    while (path := _changed_last(archives.names(log), used)) is not None:
        with _proved(log, path, newer) as archive:
            if archive is None:
                yield from _all_others(log, used, newer)
                return
            yield archive
        used.add(archive.piece.identity)
        newer = archive.piece.first


def _changed_last(names: list[Path], used: set[Identity]) -> Path | None:
    """The archive that was written last; compressing one keeps that time."""
    found = [(now.st_mtime_ns, path) for path in names if (now := files.status(path)) and identity_of(now) not in used]
    return max(found)[1] if found else None


@contextmanager
def _proved(log: Path, path: Path, newer: Link | None) -> Iterator[Archive | None]:
    """The archive, if the chain, or before the live file's first record the remembered head, says that it comes next."""
    if newer is not None:
        heads = {Head(newer.log_id, newer.seq - 1, newer.prev), newer.head}
    else:
        memory = files.recall(log)
        heads = set() if memory is None else {memory.head}
    before = files.status(path)
    with ExitStack() as stack:
        try:
            text = stack.enter_context(archives.text_of(path))
        except AuditError:
            yield None
            return
        links = (link_of(line) for line in islice(_backwards(text, texts.size(text)), NEAR))
        last = next((link.head for link in links if link is not None), None)
        after = files.status(path)
        if last not in heads or before is None or after is None or not os.path.samestat(before, after):
            yield None
            return
        piece = archives.Piece(path, archives.first_link(text), identity_of(after), live=False)
        yield Archive(piece, text, newer)


def _all_others(log: Path, used: set[Identity], newer: Link | None) -> Iterator[Archive | str]:
    """What is older than the files that were used, by the list of all of them."""
    with archives.Snapshot(log) as snapshot:
        yield from (piece.reason for piece in snapshot.unreadable)
        known = [
            place
            for place, piece in enumerate(snapshot.pieces)
            if piece.live or piece.identity in used or (newer is not None and piece.first == newer)
        ]
        for piece in reversed(snapshot.pieces[: min(known, default=None)]):
            with snapshot.reading(piece) as text:
                yield Archive(piece, text, newer)
            newer = piece.first or newer


def _backwards(text: Text, end: int) -> Iterator[bytes]:
    for _, line in lines.backwards(text, lines.finished_end(text, end)):
        yield line
