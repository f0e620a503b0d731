"""Where the last lines of a log begin: the newest ones of a choice, counted through all its files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from molecule_approve.audit import files
from molecule_approve.audit.chain import Link, link_of

from . import archives, history, lines, texts
from .archives import Unreadable, identity_of

if TYPE_CHECKING:
    from .archives import LogFile
    from .texts import Text

OLD_ENOUGH = 1_000
"""Chained records in a row, going back, that are too old before nothing older is looked for. Wall clocks jump: a
few records may have a time that is too early, but not a thousand."""


@dataclass(frozen=True, slots=True)
class Selection:
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

    older: list[LogFile]
    first_offset: int
    live_offset: int
    unreadable: list[str]


def start(log: Path, live: int | None, choice: Selection) -> Start:
    """Where the selected lines begin; ``live`` is a descriptor of the live file, None where there is no such file.

    Raises:
        AuditError, OSError: a file cannot be read.
    """
    search = _BackwardSearch(choice)
    live_offset = 0 if live is None else search.back(live, None)
    older: list[LogFile] = []
    unreadable: list[str] = []
    first_offset = 0
    if not search.is_done():
        with closing(history.newest_archives(log, live)) as found:
            for item in found:
                if isinstance(item, Unreadable):
                    unreadable.append(item.reason)
                    continue
                first_offset = search.back(item.text, item.newer)
                older.append(item.file)
                if search.is_done():
                    break
    return Start(older[::-1], first_offset, live_offset, unreadable)


@contextmanager
def reading(log: Path, file: LogFile) -> Iterator[Text]:
    """An archive's text, wherever it is by now.

    Raises:
        AuditError: it was removed meanwhile, or cannot be read.
    """
    status = files.status(file.path)
    if status is not None and identity_of(status) == file.identity:
        with archives.text_of(file.path) as text:
            yield text
        return
    with archives.Snapshot(log) as snapshot, snapshot.reading(file) as text:
        yield text


class _BackwardSearch:
    """Goes back from line to line until it has enough."""

    def __init__(self, choice: Selection) -> None:
        self._choice = choice
        self._found = 0
        self._too_old = 0

    def is_done(self) -> bool:
        """Whether the search can stop."""
        count = self._choice.count
        return (count is not None and self._found >= count) or self._too_old >= OLD_ENOUGH

    def back(self, text: Text, newer: Link | None) -> int:
        """Where the wanted lines of one file begin.

        ``newer`` is the first record of the file after it: a record that is in both, because the file was renamed while
        it was written, counts once.
        """
        at = lines.finished_end(text, texts.size(text))
        found = lines.backwards(text)
        # Checked before each line is read: the next older line may be long, and far away.
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
