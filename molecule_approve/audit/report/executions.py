"""Pure: approved commands in a log: those without a recorded end, and starts that do not fit what was approved.

Neither is damage of the log: whoever may write records can write such a start into a whole chain.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from enum import StrEnum
from heapq import nsmallest
from typing import NamedTuple

from molecule_approve.audit.chain import Link, link_of
from molecule_approve.audit.record import EventType, RecordAction, RecordOutcome, decode, text_in

from .open_requests import NAMED, OpenCount, OpenRequest

_GRANT = (EventType.APPROVAL, RecordAction.APPROVE, RecordOutcome.GRANTED)
_EXECUTION = (EventType.APPROVAL, RecordAction.EXECUTE)
_ENDS = frozenset({RecordOutcome.FINISHED, RecordOutcome.REFUSED})
_APPROVED_DIGEST = re.compile(r"\ndigest: sha256:([0-9a-f]{64})\Z")
_HINTS = (b'"action":"execute"', b"\\ndigest: sha256:")
"""Bytes, one of which is in every line that counts here: nearly no other line is parsed."""


class StartFault(StrEnum):
    """What is wrong with a record of a start."""

    NOT_GRANTED = "not_granted"
    STARTED_TWICE = "started_twice"
    OTHER_DIGEST = "other_digest"


class OddStart(NamedTuple):
    """A start that does not fit what was approved: what is wrong, the number of its record, and its trace id."""

    fault: StartFault
    seq: int
    trace_id: str

    def __str__(self) -> str:
        """What is wrong, as a clause without the trace, which is text from elsewhere."""
        return f"record {self.seq} starts a command {_START_FAULTS[self.fault]}"


_START_FAULTS = {
    StartFault.NOT_GRANTED: "without a record of its approval before it",
    StartFault.STARTED_TWICE: "a second time with the same approval",
    StartFault.OTHER_DIGEST: "with another digest than the approved one",
}


class ExecutionCount(NamedTuple):
    """What a log says about its commands.

    Attributes:
        open: starts without a recorded end: the command runs, it replaced the program, or that was killed.
        odd: how many starts do not fit what was approved.
        first_odd: the first of them, at most :data:`NAMED`.
    """

    open: OpenCount
    odd: int
    first_odd: tuple[OddStart, ...]


NO_EXECUTIONS = ExecutionCount(OpenCount(0, ()), 0, ())
"""Of a log without commands."""


class ExecutionRecord(NamedTuple):
    """A grant of a command, or one of the records about its execution.

    Attributes:
        link: its place in the chain.
        outcome: one of the words `granted`, `started`, `finished` and `refused`.
        approval_id, trace_id: as in the record; empty where it has none.
        digest: what was approved, or what was started; empty where it does not say.
    """

    link: Link
    outcome: str
    approval_id: str
    trace_id: str
    digest: str


def executions_in(lines: Sequence[bytes], others: Collection[int]) -> tuple[ExecutionRecord, ...]:
    """The records about commands in these lines; those at the places in ``others`` are unchained, and skipped."""
    grant, execution = _HINTS
    wanted = [place for place, line in enumerate(lines) if (execution in line or grant in line) and place not in others]
    return tuple(found for place in wanted if (found := _record(lines[place])) is not None)


def approved_digest(action: str) -> str:
    """The digest at the end of an approved command's text; empty if the text has none."""
    found = _APPROVED_DIGEST.search(action)
    return "" if found is None else found[1]


class Executions:
    """The commands of a log, over all stretches in their order."""

    def __init__(self) -> None:
        self._granted: dict[str, str] = {}  # what may be started: approval id -> digest
        self._open: dict[str, OpenRequest] = {}
        self._started: set[str] = set()
        self._odd: list[OddStart] = []
        self._last: Link | None = None

    def add(self, records: Sequence[ExecutionRecord]) -> None:
        """The next stretch. A record that is in two files, where they meet, counts once."""
        for record in records:
            if record.link != self._last:
                self._take(record)
            self._last = record.link

    def _take(self, record: ExecutionRecord) -> None:
        name = record.approval_id
        if record.outcome == RecordOutcome.STARTED:
            fault = self._fault(record)
            if fault is not None:
                self._odd.append(OddStart(fault, record.link.seq, record.trace_id))
            self._granted.pop(name, None)
            self._started.add(name)
            self._open[name] = OpenRequest(record.trace_id, record.link.seq)
        elif record.outcome in _ENDS:
            self._open.pop(name, None)
        else:
            self._granted.setdefault(name, record.digest)

    def _fault(self, start: ExecutionRecord) -> StartFault | None:
        if start.approval_id in self._started:
            return StartFault.STARTED_TWICE
        approved = self._granted.get(start.approval_id)
        if approved is None:
            return StartFault.NOT_GRANTED
        return None if approved == start.digest else StartFault.OTHER_DIGEST

    def counted(self, *, complete: bool) -> ExecutionCount:
        """What there is; unless the records since the log's first are ``complete``, a start's grant may be a missing one."""
        first = nsmallest(NAMED, self._open.values(), key=lambda one: one.seq)
        odd = [one for one in self._odd if complete or one.fault is not StartFault.NOT_GRANTED]
        return ExecutionCount(OpenCount(len(self._open), tuple(first)), len(odd), tuple(odd[:NAMED]))


def _record(line: bytes) -> ExecutionRecord | None:
    fields, link = decode(line), link_of(line)
    if fields is None or link is None:
        return None
    kind = fields.get("event_type"), fields.get("action"), fields.get("outcome")
    approval_id, trace, outcome = (text_in(fields, name) for name in ("approval_id", "trace_id", "outcome"))
    if kind == _GRANT:
        return ExecutionRecord(link, outcome, approval_id, trace, approved_digest(text_in(fields, "resource")))
    if kind[:2] == _EXECUTION and outcome in {RecordOutcome.STARTED, *_ENDS}:
        return ExecutionRecord(link, outcome, approval_id, trace, text_in(fields, "digest"))
    return None
