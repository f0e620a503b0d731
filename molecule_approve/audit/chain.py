"""Pure: what ties the records of a log together, and the proof that nothing in it was changed. No file is touched here.

The chain in four sentences. A chained line begins with the brace of a JSON object that has the fields ``log_id`` (the
log's UUID), ``seq`` (1, 2, 3, … without gaps) and ``prev``. ``prev`` is the SHA-256, in lower-case hex, of the bytes of the
chained line before it, without its newline; 64 zeros for the first. Lines without these fields come from other tools:
nothing vouches for them, and they break nothing. The **head** (``log_id``, ``seq`` and hash of the last chained line)
fixes all that came before it.

What the chain can show: any edit, deletion, insertion or reordering of chained lines that does not rewrite everything
after it. What it cannot show by itself: that the end was cut off or rewritten, or the file replaced. A head that was
remembered elsewhere shows that too.

This file needs no other file of this package.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

START = "0" * 64
"""``prev`` of a log's first record."""

LONGEST = 65_535
"""Bytes that a chained line has at most, its newline left out. A longer line is another tool's."""

GAPS_KEPT = 100
"""Gaps that a report names one by one; it counts all of them."""

_HASH = re.compile(r"[0-9a-f]{64}\Z")


class Head(NamedTuple):
    """The last record of a log, and with it all before.

    Attributes:
        log_id: the log's UUID.
        seq: the record's number.
        hash: SHA-256, in lower-case hex, of the record's line without its newline.

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
    log_id, seq, prev = found.get("log_id"), found.get("seq"), found.get("prev")
    if not isinstance(log_id, str) or type(seq) is not int or seq < 1 or not isinstance(prev, str) or not _HASH.match(prev):
        return None
    return Link(log_id, seq, prev, hashlib.sha256(line).hexdigest())


class Fault(StrEnum):
    """What is wrong at a place where the chain does not hold."""

    CHANGED = "changed"
    MISSING = "missing"
    OUT_OF_ORDER = "out of order"
    OTHER_LOG = "another log"
    CUT = "cut off"


class Break(NamedTuple):
    """A place where the chain does not hold.

    Attributes:
        line: number, from 1, of the first line that can be wrong; one past the last line where the end is missing.
        fault: what kind of damage it is.
        expected: what should be there.
        found: what is there.

    """

    line: int
    fault: Fault
    expected: str
    found: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.fault.value}: expected {self.expected}, found {self.found}"


class Report(NamedTuple):
    """What verifying came to.

    Attributes:
        lines: all lines, chained or not.
        covered: lines that the chain covers.
        uncovered: lines that nothing vouches for: other tools', and torn ones.
        unfinished: whether the last line has no newline yet; it counts as not covered.
        first: number of the first record, or None where there is none.
        head: the last record, or None where there is none.
        breaks: how many places do not hold.
        first_break: the first of them in the file.
        gaps: ranges of numbers, both ends included, whose records are not there; at most :data:`GAPS_KEPT`.

    """

    lines: int
    covered: int
    uncovered: int
    unfinished: bool
    first: int | None
    head: Head | None
    breaks: int
    first_break: Break | None
    gaps: tuple[tuple[int, int], ...]

    @property
    def whole(self) -> bool:
        """Whether every chained line is exactly what was written, as far as the chain and the remembered head can show."""
        return self.breaks == 0


def verify(lines: Iterable[bytes], remembered: Head | None = None) -> Report:
    """Check a log, given line by line with the newlines that are there, against its chain and a remembered head.

    The remembered head must be older than the lines, or as old: a log that is ahead of it is normal, one behind it was cut.
    """
    walk = _Walk(remembered)
    for line in lines:
        walk.take(line)
    return walk.finish()


@dataclass(slots=True)
class _Walk:
    """One pass over a log. After a break it goes on from the line that it found, so that later damage is found too."""

    remembered: Head | None
    lines: int = 0
    covered: int = 0
    unfinished: bool = False
    first: int | None = None
    last: Link | None = None
    last_line: int = 0
    breaks: list[Break] = field(default_factory=list)
    count: int = 0
    gaps: list[tuple[int, int]] = field(default_factory=list)
    met_remembered: bool = False

    def take(self, line: bytes) -> None:
        self.lines += 1
        self.unfinished = not line.endswith(b"\n")
        link = None if self.unfinished else link_of(line[:-1])
        if link is None:
            return
        self.covered += 1
        self._compare(link)
        self._compare_with_remembered(link)
        if self.first is None:
            self.first = link.seq
        self.last, self.last_line = link, self.lines

    def _compare(self, link: Link) -> None:
        """The rule of the chain: same log, next number, and ``prev`` is the hash of the chained line before."""
        if self.last is not None and link.log_id != self.last.log_id:
            self._broken(self.lines, Fault.OTHER_LOG, f"a record of log {self.last.log_id}", f"one of log {link.log_id}")
            return
        seq, prev = (1, START) if self.last is None else (self.last.seq + 1, self.last.hash)
        if link.seq > seq:
            self._missing(seq, link.seq - 1)
            self._broken(self.lines, Fault.MISSING, f"record {seq}", f"record {link.seq}")
        elif link.seq < seq:
            self._broken(self.lines, Fault.OUT_OF_ORDER, f"record {seq}", f"record {link.seq}")
        elif link.prev != prev and self.last is None:
            self._broken(self.lines, Fault.CHANGED, "64 zeros before the first record", link.prev)
        elif link.prev != prev:
            # This line says what the line before it was. One of the two was changed; we name the earlier one.
            expected = f"SHA-256 {link.prev}, as line {self.lines} says"
            self._broken(self.last_line, Fault.CHANGED, expected, f"SHA-256 {prev}")

    def _compare_with_remembered(self, link: Link) -> None:
        known = self.remembered
        if known is None or (link.log_id, link.seq) != (known.log_id, known.seq):
            return
        self.met_remembered = True
        if link.hash != known.hash:
            self._broken(self.lines, Fault.CHANGED, f"the remembered SHA-256 {known.hash}", f"SHA-256 {link.hash}")

    def _missing(self, first: int, last: int) -> None:
        if len(self.gaps) < GAPS_KEPT:
            self.gaps.append((first, last))

    def _broken(self, line: int, fault: Fault, expected: str, found: str) -> None:
        self.count += 1
        place = Break(line, fault, expected, found)
        # Only the first is told; a log of nothing but breaks must not fill the memory.
        if not self.breaks or line < self.breaks[0].line:
            self.breaks = [place]

    def _look_for_the_end(self) -> None:
        """A remembered record that was not met: cut off, unless the log begins after it or the gap was named already."""
        known = self.remembered
        if known is None or self.met_remembered:
            return
        if self.last is not None and self.last.log_id != known.log_id:
            self._broken(
                self.last_line, Fault.OTHER_LOG, f"record {known.seq} of log {known.log_id}", f"log {self.last.log_id}"
            )
        elif self.last is None or self.last.seq < known.seq:
            last = 0 if self.last is None else self.last.seq
            self._missing(last + 1, known.seq)
            self._broken(self.lines + 1, Fault.CUT, f"the records up to {known.seq}", f"none after {last}")

    def finish(self) -> Report:
        self._look_for_the_end()
        return Report(
            lines=self.lines,
            covered=self.covered,
            uncovered=self.lines - self.covered,
            unfinished=self.unfinished,
            first=self.first,
            head=None if self.last is None else self.last.head,
            breaks=self.count,
            first_break=self.breaks[0] if self.breaks else None,
            gaps=tuple(self.gaps),
        )
