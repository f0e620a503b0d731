"""Pure: the hash chain of a log's records, and checking that nothing in it was changed. No file is touched here.

The chain in four sentences. A chained line begins with the brace of a JSON object that has the fields ``log_id`` (the
log's UUID), ``seq`` (1, 2, 3, … without gaps) and ``prev``. ``prev`` is the SHA-256, in lower-case hex, of the bytes of the
chained line before it, without its newline; 64 zeros for the first. Lines without these fields are **unchained lines**
(written by other tools): they are not protected, and break nothing. The **head** (``log_id``, ``seq`` and hash of the last
chained line) fixes all that came before it.

What the chain can show: any edit, deletion, insertion or reordering of chained lines that does not rewrite everything
after it. What it cannot show by itself: that the end was cut off or rewritten, or the file replaced. A head that was
remembered elsewhere shows that too.

A log is checked in stretches of whole lines, each by itself (:func:`examine`, which may run in several processes), and
`verify/report.py` puts them together in order. In a stretch, a line that ends with exactly the fields that must come next is
not parsed: it costs one hash. That is as good as parsing it. Its fields cannot mean anything else, for the last of
doubled names counts in JSON, and ours are last. It may still not be JSON: then the next record does not name its hash,
and the line is parsed after all; the last line of a stretch always is.

This file needs no other file of this package but ``seal.py``.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple

from . import seal

START = "0" * 64
"""``prev`` of a log's first record."""

LONGEST = 65_535
"""Bytes that a chained line has at most, its newline left out. A longer line is another tool's."""

GAPS_KEPT = 100
"""Gaps that a report names one by one."""

OPENING = 4
"""Chained lines that are looked at when two files meet: as many as an append writes in one call, and one more."""

_BRACE = ord("{")
HASH = re.compile(r"[0-9a-f]{64}\Z")  # SHA-256, in lower-case hex


class Head(NamedTuple):
    """The last record of a log, and with it all before.

    ``hash`` is the SHA-256, in lower-case hex, of the record's line without its newline.
    """

    log_id: str
    seq: int
    hash: str


class Link(NamedTuple):
    """What a chained line says about its place (log_id, seq, prev), and the hash of its own bytes."""

    log_id: str
    seq: int
    prev: str
    hash: str

    @property
    def head(self) -> Head:
        """The log's head when this line is its last."""
        return Head(self.log_id, self.seq, self.hash)


def link_of(line: bytes) -> Link | None:
    """The link in a line without its newline; None where the line is not chained."""
    # The first test alone throws out nearly all lines of other tools, and costs nearly nothing. A line that does not begin
    # with its brace is what another tool left unfinished, with one of ours behind it: no record.
    if b'"prev"' not in line or not line.startswith(b"{") or len(line) > LONGEST:
        return None
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    place = place_in(found)
    return None if place is None else Link(*place, hashlib.sha256(line).hexdigest())


def place_in(fields: Mapping[str, object]) -> tuple[str, int, str] | None:
    """log_id, seq and prev of a record's fields; None where the record is not chained."""
    log_id, seq, prev = fields.get("log_id"), fields.get("seq"), fields.get("prev")
    if not isinstance(log_id, str) or type(seq) is not int or seq < 1 or not isinstance(prev, str) or not HASH.match(prev):
        return None
    return log_id, seq, prev


class Fault(StrEnum):
    """What is wrong where the chain is broken."""

    CHANGED = "changed"
    MISSING = "missing"
    OUT_OF_ORDER = "out of order"
    OTHER_LOG = "another log"
    CUT = "cut off"
    NOT_SEALED = "not sealed"
    FALSE_SEAL = "false seal"


class Break(NamedTuple):
    """A place where the chain is broken.

    Attributes:
        file: the file's name; empty where it is not known.
        line: number, from 1, of the first line that can be wrong; one past the last line where the end is missing.
        fault: what kind of damage it is.
        expected: what should be there.
        found: what is there.
    """

    file: str
    line: int
    fault: Fault
    expected: str
    found: str

    def __str__(self) -> str:
        place = f"{self.file}, line {self.line}" if self.file else f"line {self.line}"
        return f"{place}: {self.fault.value}: expected {self.expected}, found {self.found}"


class Gap(NamedTuple):
    """Records that are not there, both ends included, and the files before and after them.

    The two names are the same for a gap inside a file. The first is empty before the oldest file, the second where the
    end is missing.
    """

    first: int
    last: int
    after: str = ""
    before: str = ""

    @property
    def is_between_files(self) -> bool:
        """Whether a whole file can be missing: what is not there ends just where a file begins."""
        return self.before not in ("", self.after)


class ChainedLine(NamedTuple):
    """A chained line: its link, and its line number from 1."""

    link: Link
    line: int


class Stretch(NamedTuple):
    """What consecutive lines of one file show by themselves; lines are counted from 1.

    Attributes:
        lines: all lines, chained or not.
        covered: lines that are chained.
        unfinished: whether the last line has no newline yet; it counts as not chained.
        opening: the first chained lines, at most :data:`OPENING`.
        last: the last chained line, or None where there is none.
        breaks: how many breaks there are.
        gaps: ranges of numbers whose records are not there; at most :data:`GAPS_KEPT`.
        seen: of each number that was to be watched, the first record that carries it.
        sealed: how many records carry a seal.
        first_sealed: the first of them, or None.
        plain: how many records before it, or in all, carry none and are no break for that.
        first_plain: the first of those, or None.
    """

    lines: int
    covered: int
    unfinished: bool
    opening: tuple[ChainedLine, ...]
    last: ChainedLine | None
    breaks: int
    first_break: Break | None
    gaps: tuple[Gap, ...]
    seen: tuple[ChainedLine, ...]
    sealed: int
    first_sealed: ChainedLine | None
    plain: int
    first_plain: ChainedLine | None


class Examined(NamedTuple):
    """The result of examining lines, and the places (from 0) of the unchained ones."""

    stretch: Stretch
    others: set[int]


def examine(
    lines: Sequence[bytes], watched: Collection[int] = (), keys: seal.Keys | None = None, *, unfinished: bool = False
) -> Examined:
    """Check consecutive lines of one file, without their newlines; of ``unfinished`` ones the last has no newline yet.

    What comes before the first chained line is compared in `verify/report.py`. ``watched`` are numbers of records to report
    in ``seen``: their hashes are known from elsewhere. Seals are checked with ``keys``.
    """
    stops = frozenset(watched) if keys is None else frozenset((*watched, keys.first))
    walk = _Examination(lines[:-1] if unfinished else lines, stops, keys)
    place = 0
    while place < len(walk.lines):
        walk.take(place)
        place = walk.run(place + 1)
    if unfinished:
        walk.others.add(len(lines) - 1)
    return Examined(walk.stretch(len(lines), unfinished=unfinished), walk.others)


def misfit(before: Link, link: Link) -> tuple[Fault, str, str] | None:
    """The rule of the chain: same log, next number, and ``prev`` is the hash of the chained line before."""
    if link.log_id != before.log_id:
        return Fault.OTHER_LOG, f"a record of log {before.log_id}", f"one of log {link.log_id}"
    if link.seq != before.seq + 1:
        fault = Fault.MISSING if link.seq > before.seq else Fault.OUT_OF_ORDER
        return fault, f"record {before.seq + 1}", f"record {link.seq}"
    if link.prev != before.hash:
        return Fault.CHANGED, f"SHA-256 {link.prev}, as record {link.seq} says", f"SHA-256 {before.hash}"
    return None


class BreakTally:
    """Breaks: all are counted, and the first is kept, so a log of nothing but breaks fills no memory."""

    def __init__(self) -> None:
        self.breaks = 0
        self.first: Break | None = None
        self.gaps: list[Gap] = []
        self._at = (0, 0)

    def broken(self, found: Break, file: int = 0, count: int = 1) -> None:
        """Count so many places, of which this is the first; ``file`` is the file's place among all."""
        self.breaks += count
        if self.first is None or (file, found.line) < self._at:
            self.first, self._at = found, (file, found.line)

    def missing(self, gaps: Sequence[Gap]) -> None:
        """Keep these gaps."""
        self.gaps.extend(gaps[: GAPS_KEPT - len(self.gaps)])


class _Examination:
    """One pass over a stretch. After a break it continues from the line it found, so that later damage is found too."""

    def __init__(self, lines: Sequence[bytes], watched: frozenset[int], keys: seal.Keys | None) -> None:
        self.lines = lines
        self.others: set[int] = set()
        self._watched = watched
        self._keys = keys
        self._opening: list[ChainedLine] = []
        self._last: ChainedLine | None = None
        self._covered = 0
        self._tally = BreakTally()
        self._seen: dict[int, ChainedLine] = {}
        self._is_sealed = False  # whether the last record is
        self._sealed = 0
        self._first_sealed: ChainedLine | None = None
        self._plain = 0
        self._first_plain: ChainedLine | None = None

    def take(self, place: int) -> None:
        """Parse a line, and check its link and its seal."""
        link = link_of(self.lines[place])
        if link is None:
            self.others.add(place)
            return
        chained = ChainedLine(link, place + 1)
        self._compare(chained)
        if link.seq in self._watched:
            self._seen.setdefault(link.seq, chained)
        self._look_at_seal(self.lines[place], chained)
        if len(self._opening) < OPENING:
            self._opening.append(chained)
        self._last = chained
        self._covered += 1

    def run(self, place: int) -> int:
        """Skip lines that follow exactly, and unchained ones; the place of the first line that has to be parsed."""
        last = self._last
        if last is None or len(self._opening) < OPENING or not self._may_run(last.link.seq + 1):
            return place
        lines, watched, plain = self.lines, self._watched, not self._is_sealed
        fields, brace = f',"log_id":{json.dumps(last.link.log_id)},"seq":', "}" if plain else ""
        seq, digest, newest = last.link.seq + 1, last.link.hash, last.line - 1
        for at in range(place, len(lines)):
            line = lines[at]
            ending = f'{fields}{seq},"prev":"{digest}"{brace}'.encode()
            fits = line.endswith(ending) if plain else line.endswith(ending, 0, len(line) - seal.ROOM)
            if (
                fits
                and line[0] == _BRACE
                and len(line) <= LONGEST
                and seq not in watched
                and (plain or self._seals(line, seq))
            ):
                seq, digest, newest = seq + 1, hashlib.sha256(line).hexdigest(), at
            elif b'"prev"' in line:
                return self._settle(last, newest, at)
            else:
                self.others.add(at)
        return self._settle(last, newest, len(lines))

    def _settle(self, before: ChainedLine, newest: int, place: int) -> int:
        """Parse the newest skipped line; one that is not a record after all counts as unchained."""
        if newest == before.line - 1:
            return place
        while (link := link_of(self.lines[newest])) is None:
            self.others.add(newest)
            newest -= 1
        count = link.seq - before.link.seq
        self._covered += count
        self._sealed += count if self._is_sealed else 0
        self._plain += 0 if self._is_sealed else count
        self._last = ChainedLine(link, newest + 1)
        return place

    def _may_run(self, seq: int) -> bool:
        """Whether a plain record would be in order here: each that should be sealed and is not has to be counted."""
        wanted = self._keys is not None and seq >= self._keys.first
        return self._is_sealed or (self._first_sealed is None and not wanted)

    def _seals(self, line: bytes, seq: int) -> bool:
        """Whether a record of the same log carries a seal that is right, or cannot be checked."""
        return (
            self._last is not None and seal.is_sealed(line) and self._seal_fault(line, self._last.link.log_id, seq) is None
        )

    def _seal_fault(self, line: bytes, log_id: str, seq: int) -> tuple[Fault, str, str] | None:
        """What is wrong with the seal of a record; None where nothing is, or where no key is given for it."""
        if self._keys is None or seq < self._keys.first or log_id != self._keys.log_id:
            return None
        if not seal.is_sealed(line):
            return Fault.NOT_SEALED, f"record {seq} with a seal", "none"
        # The right seal is not reported: it would be a recipe for forging.
        return None if self._keys.hold(line, seq) else (Fault.FALSE_SEAL, f"the seal of record {seq}", "another one")

    def _compare(self, chained: ChainedLine) -> None:
        before = self._last
        found = None if before is None else misfit(before.link, chained.link)
        if before is None or found is None:
            return
        # Where a line says what the one before it was and that is not so, one was changed: the earlier one is named.
        line = before.line if found[0] is Fault.CHANGED else chained.line
        self._tally.broken(Break("", line, *found))
        if found[0] is Fault.MISSING:
            self._tally.missing([Gap(before.link.seq + 1, chained.link.seq - 1)])

    def _look_at_seal(self, line: bytes, chained: ChainedLine) -> None:
        self._is_sealed = seal.is_sealed(line)
        fault = self._seal_fault(line, chained.link.log_id, chained.link.seq)
        if self._is_sealed:
            self._sealed += 1
            self._first_sealed = self._first_sealed or chained
        elif fault is None and self._first_sealed is not None:
            fault = unsealed(chained)
        elif fault is None:
            self._plain += 1
            self._first_plain = self._first_plain or chained
        if fault is not None:
            self._tally.broken(Break("", chained.line, *fault))

    def stretch(self, lines: int, *, unfinished: bool) -> Stretch:
        return Stretch(
            lines=lines,
            covered=self._covered,
            unfinished=unfinished,
            opening=tuple(self._opening),
            last=self._last,
            breaks=self._tally.breaks,
            first_break=self._tally.first,
            gaps=tuple(self._tally.gaps),
            seen=tuple(self._seen.values()),
            sealed=self._sealed,
            first_sealed=self._first_sealed,
            plain=self._plain,
            first_plain=self._first_plain,
        )


def unsealed(chained: ChainedLine) -> tuple[Fault, str, str]:
    """What is wrong with a record that has no seal where one before it does."""
    return Fault.NOT_SEALED, f"record {chained.link.seq} with a seal, as the records before it", "none"
