"""Pure: joins the stretches of a log's files, compares them with the heads known from elsewhere, and reports the result.

What is checked inside a stretch is `chain.py`'s business; which files there are is `run.py`'s.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

from molecule_approve.audit.chain import (
    START,
    Break,
    BreakTally,
    ChainedLine,
    Fault,
    Gap,
    Head,
    Link,
    Stretch,
    misfit,
    unsealed,
)


class Source(StrEnum):
    """Who remembers a head."""

    REMEMBERED = "remembered"
    GIVEN = "given"
    PLATFORM = "platform's"


class ExpectedHead(NamedTuple):
    """A record that must be in the log with just this hash; of the log with that id, where one is given."""

    seq: int
    hash: str
    log_id: str | None = None
    source: Source = Source.GIVEN


class HeadCheck(NamedTuple):
    """Whether an expected head was found; None if its record was removed on purpose, so that it cannot be compared."""

    head: ExpectedHead
    met: bool | None


class FileReport(NamedTuple):
    """One file.

    Attributes:
        first, last: numbers of its first and last record; None where it has none.
        records: how many records it holds, those included that end the file before it as well.
        other_lines: how many unchained lines it holds.
    """

    name: str
    first: int | None = None
    last: int | None = None
    records: int = 0
    other_lines: int = 0


class Report(NamedTuple):
    """What verifying found.

    Attributes:
        files: the files, the oldest records first.
        covered: records, each counted once.
        uncovered: unchained lines: other tools' and torn ones.
        doubled: records that end one file and begin the next one again: the file was renamed while we wrote.
        unfinished: whether the last file's last line has no newline yet; it counts as not covered.
        first: number of the first record, or None where there is none.
        head: the last record, or None where there is none.
        breaks: how many places do not hold.
        gaps: ranges of numbers whose records are not there; some hundred at most.
        sealed: how many records carry a seal.
        sealed_from: the first of them, or None.
    """

    files: tuple[FileReport, ...]
    covered: int
    uncovered: int
    doubled: int
    unfinished: bool
    first: int | None
    head: Head | None
    breaks: int
    first_break: Break | None
    gaps: tuple[Gap, ...]
    expected: tuple[HeadCheck, ...]
    sealed: int
    sealed_from: int | None

    @property
    def whole(self) -> bool:
        """Whether every record is exactly what was written, as far as the chain and the heads can show."""
        return self.breaks == 0


class Verification:
    """Takes the stretches in their order: :meth:`begin` for each file, then :meth:`add` for each of its stretches.

    ``expected`` are heads that are known from elsewhere. ``begins`` is the first record that is asked for; None where the
    file is one by itself and may begin anywhere.
    """

    def __init__(self, expected: Sequence[ExpectedHead] = (), *, begins: int | None = 1) -> None:
        self.watched = frozenset(known.seq + more for known in expected for more in (0, 1))
        """The records that :func:`chain.examine` has to report: each record, and the next one, which names its hash."""
        self._expected = tuple(expected)
        self._begins = begins
        self._tally = BreakTally()
        self._files: list[FileReport] = []
        self._base = 0  # lines of this file that are counted already
        self._first: Link | None = None
        self._last: Link | None = None
        self._place = (0, 0)  # of the last record: its file, and its line there
        self._doubled = 0
        self._unfinished = False
        self._seen: dict[int, tuple[Link, int, int]] = {}
        self._cut_to = 0  # the highest number that must be there, where the log ends before it
        self._sealed = 0
        self._sealed_from: int | None = None

    def begin(self, name: str) -> None:
        """The next file."""
        self._files.append(FileReport(name))
        self._base = 0
        self._unfinished = False

    def add(self, stretch: Stretch) -> None:
        """The next stretch of the file that was begun last."""
        number, file = len(self._files) - 1, self._files[-1]
        if stretch.opening:
            self._join(stretch, is_first=file.first is None)
        if stretch.first_break is not None:
            self._broken(number, self._base + stretch.first_break.line, stretch.first_break[2:], stretch.breaks)
        self._tally.missing([Gap(gap.first, gap.last, file.name, file.name) for gap in stretch.gaps])
        for chained in stretch.seen:
            self._seen.setdefault(chained.link.seq, (chained.link, number, self._base + chained.line))
        self._add_seals(stretch)
        if stretch.last is not None:
            self._last, self._place = stretch.last.link, (number, self._base + stretch.last.line)
        self._files[-1] = _extended(file, stretch)
        self._unfinished = stretch.unfinished
        self._base += stretch.lines

    def _join(self, stretch: Stretch, *, is_first: bool) -> None:
        """Compare the first record of a stretch with the last one before it."""
        chained = stretch.opening[0]
        if self._last is None:
            self._first = chained.link
            self._look_at_beginning(chained)
            return
        doubled = _doubled(self._last, stretch.opening) if is_first else 0
        self._doubled += doubled
        found = None if doubled else misfit(self._last, chained.link)
        if found is None:
            return
        number, line = len(self._files) - 1, self._base + chained.line
        if found[0] is Fault.CHANGED:
            number, line = self._place
        if found[0] is Fault.MISSING:
            gap = Gap(self._last.seq + 1, chained.link.seq - 1, self._files[self._place[0]].name, self._files[-1].name)
            if self._begins is not None and gap.is_between_files and gap.last < self._begins:
                return  # removed on purpose
            self._tally.missing([gap])
        self._broken(number, line, found)

    def _look_at_beginning(self, chained: ChainedLine) -> None:
        """The log's first record follows nothing; one that is not the first that is asked for shows what is missing."""
        number, line = len(self._files) - 1, self._base + chained.line
        seq = chained.link.seq
        if seq == 1 and chained.link.prev != START:
            self._broken(number, line, (Fault.CHANGED, "64 zeros before the first record", chained.link.prev))
        elif self._begins is not None and seq > self._begins:
            self._tally.missing([Gap(self._begins, seq - 1, "", self._files[-1].name)])
            self._broken(number, line, (Fault.MISSING, f"record {self._begins}", f"record {seq}"))

    def _add_seals(self, stretch: Stretch) -> None:
        if self._sealed_from is not None and stretch.first_plain is not None:
            chained = stretch.first_plain
            self._broken(len(self._files) - 1, self._base + chained.line, unsealed(chained), stretch.plain)
        self._sealed += stretch.sealed
        if self._sealed_from is None and stretch.first_sealed is not None:
            self._sealed_from = stretch.first_sealed.link.seq

    def _broken(self, file: int, line: int, found: Sequence[str], count: int = 1) -> None:
        fault, expected, said = found
        name = self._files[file].name if self._files else ""
        self._tally.broken(Break(name, line, Fault(fault), expected, said), file, count)

    # --- heads that are known from elsewhere ----------------------------------------------------------------------------

    def finish(self) -> Report:
        """The report. Nothing may be added afterwards."""
        expected = tuple(HeadCheck(known, self._is_met(known)) for known in self._expected)
        self._tell_what_was_cut_off()
        self._look_for_beginning()
        return Report(
            files=tuple(self._files),
            covered=sum(file.records for file in self._files) - self._doubled,
            uncovered=sum(file.other_lines for file in self._files),
            doubled=self._doubled,
            unfinished=self._unfinished,
            first=None if self._first is None else self._first.seq,
            head=None if self._last is None else self._last.head,
            breaks=self._tally.breaks,
            first_break=self._tally.first,
            gaps=tuple(self._tally.gaps),
            expected=expected,
            sealed=self._sealed,
            sealed_from=self._sealed_from,
        )

    def _is_met(self, known: ExpectedHead) -> bool | None:
        for seq in (known.seq, known.seq + 1):
            link, file, line = self._seen.get(seq, (None, 0, 0))
            if link is None or known.log_id not in (None, link.log_id):
                continue
            said = link.hash if seq == known.seq else link.prev
            if said != known.hash:
                says = "" if seq == known.seq else f", as record {seq} says"
                what = f"the {known.source.value} SHA-256 {known.hash} of record {known.seq}"
                self._broken(file, line, (Fault.CHANGED, what, f"SHA-256 {said}{says}"))
            return said == known.hash
        return self._is_not_there(known)

    def _is_not_there(self, known: ExpectedHead) -> bool | None:
        """No record has or names the head: the end was cut off, the log was replaced, or the gap is reported already."""
        first, last = self._first, self._last
        if last is None or first is None:
            if self._begins is not None and known.seq < self._begins and known.source is not Source.GIVEN:
                return None  # removed on purpose, all of it
            self._cut_to = max(self._cut_to, known.seq)
        elif known.log_id not in (None, last.log_id):
            file, line = self._place
            expected = f"record {known.seq} of log {known.log_id}"
            self._broken(file, line, (Fault.OTHER_LOG, expected, f"log {last.log_id}"))
        elif last.seq < known.seq:
            self._cut_to = max(self._cut_to, known.seq)
        elif self._begins is None or known.seq < min(self._begins, first.seq):
            if known.source is not Source.GIVEN:
                return None
            self._broken(0, 1, (Fault.MISSING, f"record {known.seq}", f"record {first.seq}"))
        return False

    def _tell_what_was_cut_off(self) -> None:
        last = 0 if self._last is None else self._last.seq
        if not self._cut_to:
            return
        name = self._files[-1].name if self._files else ""
        self._tally.missing([Gap(last + 1, self._cut_to, name)])
        found = (Fault.CUT, f"the records up to {self._cut_to}", f"none after {last}")
        self._broken(len(self._files) - 1, self._base + 1, found)

    def _look_for_beginning(self) -> None:
        """The first record that is asked for must be there, or be the one that comes next."""
        remembered = (known.seq for known in self._expected if known.source is Source.REMEMBERED)
        last = max(remembered, default=0) if self._last is None else self._last.seq
        if self._begins is not None and last < self._begins - 1:
            self._broken(
                len(self._files) - 1, self._base + 1, (Fault.MISSING, f"record {self._begins}", f"none after {last}")
            )


def _doubled(last: Link, opening: Sequence[ChainedLine]) -> int:
    """How many records a file begins with that the file before it ends with, byte for byte the same."""
    # The hashes tie each of them to the one before it, in either file: where the last one is the same, all are.
    return next((place for place, chained in enumerate(opening, 1) if chained.link == last), 0)


def _extended(file: FileReport, stretch: Stretch) -> FileReport:
    first = stretch.opening[0].link.seq if stretch.opening and file.first is None else file.first
    return FileReport(
        name=file.name,
        first=first,
        last=file.last if stretch.last is None else stretch.last.link.seq,
        records=file.records + stretch.covered,
        other_lines=file.other_lines + stretch.lines - stretch.covered,
    )
