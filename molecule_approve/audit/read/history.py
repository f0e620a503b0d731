"""A log's lines and files from the newest to the oldest. Archives are opened only when they are reached.

That costs the same for a log of any size. A long list of archives is not paid for either: the one that was changed last is
opened alone, if the chain shows that it is the one before. Where it does not, and after a few, all of them are looked at.
"""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Generator, Iterator
from contextlib import ExitStack, closing, contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from molecule_approve.audit import files
from molecule_approve.audit.chain import Head, Link, link_of
from molecule_approve.errors import AuditError

from . import archives, lines
from .archives import LogFile, Unreadable, identity_of

if TYPE_CHECKING:
    from .archives import Identity
    from .texts import Text

NEAR = 1_000
"""Lines at a file's end among which its newest chained one is looked for; a log of another tool alone has none at all."""

ALONE = 8
"""Archives that are opened one by one; each costs a look at all names, so for more the whole list is made once."""


def backwards(
    log: Path, unread: list[Unreadable] | None = None, words: Collection[bytes] | None = None
) -> Generator[bytes, None, None]:
    """All finished lines without their newlines, the newest first; none where there is no log.

    ``unread`` gets the archives that cannot be read and were left out, each before the lines of an older one. With ``words``
    only lines that contain one of them are wanted, and their chained neighbours; see :func:`.lines.matching`.

    Raises:
        AuditError: a file cannot be read.
    """
    with live_file(log) as live:
        if live is not None:
            yield from _lines(live, words)
        yield from older(log, live, unread, words)


@contextmanager
def live_file(log: Path) -> Iterator[int | None]:
    """A handle of the live file to read from; None where there is none.

    Raises:
        AuditError: it cannot be read.
    """
    handle = archives.opened_or_none(log)
    try:
        yield handle
    except OSError as exc:
        raise files.explained(exc, "read", log) from exc
    finally:
        if handle is not None:
            os.close(handle)


def older(
    log: Path,
    live: int | None,
    unread: list[Unreadable] | None = None,
    words: Collection[bytes] | None = None,
) -> Generator[bytes, None, None]:
    """The lines of the archives alone, as :func:`backwards` gives them, without what is newer than the live handle."""
    unread = [] if unread is None else unread
    try:
        with closing(newest_archives(log, live)) as found:
            for item in found:
                if isinstance(item, Unreadable):
                    unread.append(item)
                else:
                    yield from _lines(item.text, words)
    except OSError as exc:
        raise files.explained(exc, "read", log) from exc


def newest_head(log: Path, live: int | None, before: int) -> Head | None:
    """The newest record of the log before that offset of the live file, if it is among the last :data:`NEAR` lines.

    Raises:
        AuditError: a file cannot be read.
    """
    newest = () if live is None else (line for _, line in lines.backwards(live, before))
    with closing(older(log, live)) as archived:
        return _head(chain(newest, archived))


class Archive(NamedTuple):
    """One archive, opened.

    Attributes:
        file: which one.
        text: its text, closed when the next archive is requested.
        newer: the first record of the file after it, as far as that is known.
    """

    file: LogFile
    text: Text
    newer: Link | None


def newest_archives(log: Path, live: int | None) -> Generator[Archive | Unreadable, None, None]:
    """The archives, the newest first, and those that cannot be read; what is newer than the live handle is left out.

    Raises:
        AuditError, OSError: the folder cannot be read, or an archive was removed meanwhile.
    """
    used = set() if live is None else {identity_of(os.fstat(live))}
    newer = None if live is None else archives.first_link(live)
    for _ in range(ALONE):
        path = _changed_last(archives.names(log), used)
        if path is None:
            return
        with _verified(log, path, newer) as archive:
            if archive is None:
                break
            yield archive
        used.add(archive.file.identity)
        newer = archive.file.first
    yield from _all_others(log, used, newer)


def _lines(text: Text, words: Collection[bytes] | None) -> Iterator[bytes]:
    return (line for _, line in lines.backwards(text)) if words is None else lines.matching(text, words)


def _head(newest: Iterator[bytes]) -> Head | None:
    links = (link_of(line) for line in islice(newest, NEAR))
    return next((link.head for link in links if link is not None), None)


def _changed_last(names: list[Path], used: set[Identity]) -> Path | None:
    """The archive that was written last; compressing one keeps that time."""
    found = [(now.st_mtime_ns, path) for path in names if (now := files.status(path)) and identity_of(now) not in used]
    return max(found)[1] if found else None


@contextmanager
def _verified(log: Path, path: Path, newer: Link | None) -> Iterator[Archive | None]:
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
        last = _head(_lines(text, None))
        after = files.status(path)
        if last not in heads or before is None or after is None or not os.path.samestat(before, after):
            yield None
            return
        yield Archive(LogFile(path, archives.first_link(text), identity_of(after), live=False), text, newer)


def _all_others(log: Path, used: set[Identity], newer: Link | None) -> Iterator[Archive | Unreadable]:
    """What is older than the files that were used, by the list of all of them."""
    with archives.Snapshot(log) as snapshot:
        left = {found: changed_at(found.path) for found in snapshot.unreadable}
        known = [
            place
            for place, file in enumerate(snapshot.files)
            if file.live or file.identity in used or (newer is not None and file.first == newer)
        ]
        for file in reversed(snapshot.files[: min(known, default=None)]):
            oldest = changed_at(file.path)
            for found in [found for found, changed in left.items() if changed >= oldest]:
                del left[found]
                yield found
            with snapshot.reading(file) as text:
                yield Archive(file, text, newer)
            newer = file.first or newer
        yield from left


def changed_at(path: Path) -> int:
    """When the file was last written, in nanoseconds; now, if it is gone. Renaming and compressing do not change it."""
    try:
        return path.lstat().st_mtime_ns
    except FileNotFoundError:
        return time.time_ns()
