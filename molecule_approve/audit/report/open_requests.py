"""Pure: open requests, which have no outcome in the log: they are pending, or the program was killed. Not an error.

Those that were submitted without waiting are counted apart: no outcome was to follow. Only the bytes of chained lines are
searched, and nothing is parsed: our lines have these fields in this order.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from heapq import nsmallest
from typing import NamedTuple

from molecule_approve.audit.chain import link_of
from molecule_approve.audit.record import ENDINGS, RecordOutcome

NAMED = 100
"""Open requests of each kind that are named one by one; all are counted."""

_BEGINNINGS = frozenset({RecordOutcome.INITIATED, RecordOutcome.REQUESTED, RecordOutcome.RESUMED})
_BEGIN = frozenset(word.encode() for word in _BEGINNINGS)
_END = frozenset(word.encode() for word in ENDINGS)
_SEEN = RecordOutcome.OBSERVED.encode()  # it ends no attempt, but shows that the request has an outcome

# Inside a JSON string each quote has a backslash before it, so these can only be fields; and our extras come after them.
_ACTION = b'"action":"approve","resource":"'
_NO_WAIT = b',"wait":false,"log_id":"'  # the last of the extras; within another field a brace would follow
_OUTCOME = re.compile(rb'","outcome":"([a-z]+)","trace_id":"([^"\\]+)"')


class Begun(NamedTuple):
    """The number of the record that began a request last, and whether somebody waited from then on."""

    seq: int
    awaited: bool


class OpenChanges(NamedTuple):
    """The requests that a stretch of lines begins and ends.

    Attributes:
        opened: requests that were begun and not ended after that, by the bytes of their trace ids.
        ended: trace ids of requests that ended, or were observed to have ended.
    """

    opened: dict[bytes, Begun]
    ended: frozenset[bytes]


class OpenRequest(NamedTuple):
    """An open request: its trace id, and the number of the record that began it last."""

    trace_id: str
    seq: int


class OpenCount(NamedTuple):
    """How many there are, and those that were begun first, at most :data:`NAMED`."""

    total: int
    first: tuple[OpenRequest, ...]


def changes_in(lines: Sequence[bytes], others: Collection[int]) -> OpenChanges:
    """The requests that these lines begin and end; the lines at the places in ``others`` are unchained, and skipped."""
    begun: dict[bytes, int] = {}
    ended: set[bytes] = set()
    search = _OUTCOME.search
    for place, line in enumerate(lines):
        found = search(line)
        if found is None or place in others:
            continue
        outcome, trace = found.groups()
        if outcome in _BEGIN:
            begun[trace] = place
        elif outcome == _SEEN or (outcome in _END and _ACTION in line):  # `rbac.deny` was denied as well, and ends nothing
            ended.add(trace)
            begun.pop(trace, None)
    return OpenChanges({trace: _begun(lines[place]) for trace, place in begun.items()}, frozenset(ended))


class OpenRequests:
    """The open requests of a log, over all stretches in their order."""

    def __init__(self) -> None:
        self._open: dict[bytes, Begun] = {}

    def add(self, ends: OpenChanges) -> None:
        """The next stretch."""
        for trace in self._open.keys() & ends.ended:
            del self._open[trace]
        self._open.update(ends.opened)

    def counted(self, *, awaited: bool) -> OpenCount:
        """Those that are awaited, or those that are not."""
        found = [(begun.seq, trace) for trace, begun in self._open.items() if begun.awaited is awaited]
        oldest = (OpenRequest(trace.decode("utf-8", "replace"), seq) for seq, trace in nsmallest(NAMED, found))
        return OpenCount(len(found), tuple(oldest))


def _begun(line: bytes) -> Begun:
    link = link_of(line)
    return Begun(link.seq if link else 0, awaited=_NO_WAIT not in line)  # a chained line has a number
