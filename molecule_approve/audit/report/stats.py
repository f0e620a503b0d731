"""Pure: statistics of a log: requests by outcome, approver and workspace, and how long decisions took.

A request is counted once, by its trace, in the period in which it began, with the outcome that it has by now; an outcome
that only an `observed` record has counts too. Only chained records are counted. Nothing is verified: `audit verify` does
that.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from math import ceil, isfinite
from typing import TYPE_CHECKING, NamedTuple

from molecule_approve.audit.chain import LONGEST, place_in
from molecule_approve.audit.record import ENDINGS, EventType, RecordAction, RecordOutcome, decode, moment, text_in

from .story import BEGINNINGS, DECISIONS, deciders

if TYPE_CHECKING:
    from molecule_approve.model import JsonValue

OPEN = "open"
"""A request without an outcome yet."""

NOT_AWAITED = "not_awaited"
"""A request that was submitted without waiting, and not awaited since."""

NOT_PERMITTED = "not_permitted"
"""A request that the roles did not permit."""

OUTCOMES = (
    RecordOutcome.GRANTED,
    RecordOutcome.DENIED,
    RecordOutcome.TIMEOUT,
    RecordOutcome.WITHDRAWN,
    RecordOutcome.FAILURE,
    NOT_PERMITTED,
    NOT_AWAITED,
    OPEN,
)
"""The outcomes of a request, in the order in which they are shown."""

BOUNDS = (10.0, 30.0, 60.0, 300.0, 900.0, 3_600.0, 86_400.0)
"""Seconds at which the histogram's steps end; the last step has no end."""


class ApproverStatistics(NamedTuple):
    """What one name, as the records have it, decided; ``verified`` if it came from the approver's own credential."""

    name: str
    verified: bool
    granted: int
    denied: int


class RequestSums(NamedTuple):
    """The requests of one requester, by the name of its credential, or of one workspace: how many, and their outcomes."""

    name: str
    requests: int
    outcomes: Mapping[str, int]


class Waits(NamedTuple):
    """How long decisions took, in seconds; percentiles are values that were met.

    Attributes:
        decisions: how many decisions' time is known.
        minimum, median, p90, p99, maximum: seconds.
        steps: how many lie below each of :data:`BOUNDS` and not below the one before; one more for the rest.
    """

    decisions: int
    minimum: float
    median: float
    p90: float
    p99: float
    maximum: float
    steps: tuple[int, ...]


class CommandStatistics(NamedTuple):
    """What became of the approved commands: those that exited with 0, and those that ended otherwise.

    ``open`` ones were started and have no recorded end; ``refused`` ones were not started, or could not be.
    """

    succeeded: int
    failed: int
    open: int
    refused: int

    @property
    def started(self) -> int:
        """How many ran, as far as the log knows."""
        return self.succeeded + self.failed + self.open


class Statistics(NamedTuple):
    """The statistics of a period.

    Attributes:
        requests: how many began in the period.
        outcomes: how many ended how; every one of :data:`OUTCOMES`.
        approvers: who decided, the busiest first.
        requesters: who asked, the busiest first, as far as the records have the names of credentials.
        self_approved: how many requests were approved by their requesters.
        workspaces: where it was asked, the busiest first.
        waits: how long decisions took; None where that is known of none.
        transports: how the decisions came.
        commands: what became of the approved commands.
        undelivered: approvals in the log that could not be delivered.
        records: chained lines, each once, of the period or not.
        unchained: unchained lines, which are not counted otherwise.
        undated: requests without a readable time, which are in no period.
        first, last: the time of the first and of the last request that was counted.
    """

    requests: int
    outcomes: Mapping[str, int]
    approvers: Sequence[ApproverStatistics]
    requesters: Sequence[RequestSums]
    self_approved: int
    workspaces: Sequence[RequestSums]
    waits: Waits | None
    transports: Mapping[str, int]
    commands: CommandStatistics
    undelivered: int
    records: int
    unchained: int
    undated: int
    first: datetime | None
    last: datetime | None


def statistics(lines: Iterable[bytes], since: datetime | None = None, until: datetime | None = None) -> Statistics:
    """Count a log, given line by line with the newlines that are there, the oldest first.

    The period reaches from ``since``, included, to ``until``, left out. The memory that is needed grows with the number of
    requests, by about half a kilobyte each.
    """
    walk = _RequestCount()
    for line in lines:
        walk.take(line)
    return _counted(walk, since, until)


@dataclass(slots=True)
class _Request:
    """What is known of one request so far."""

    workspace: str
    began: datetime | None
    beginnings: int = 0
    outcome: str = OPEN
    approvers: tuple[tuple[str, bool], ...] = ()
    transport: str = ""
    waited: float | None = None
    undelivered: bool = False
    command: str = ""
    requester: str = ""
    self_approved: bool = False
    seen: _Seen | None = None

    def settle(self) -> None:
        """Use the observed outcome, if none was recorded."""
        if self.seen is not None and self.outcome in (OPEN, NOT_AWAITED):
            self.outcome, self.approvers, self.waited = self.seen


_SUCCEEDED = "succeeded"
"""Besides the outcomes of `execute` records: the command exited with 0."""


class _Seen(NamedTuple):
    """What an `observed` record says: the outcome, who decided, and after how many seconds."""

    outcome: str
    approvers: tuple[tuple[str, bool], ...]
    waited: float | None


@dataclass(slots=True)
class _RequestCount:
    """One pass over a log."""

    records: int = 0
    unchained: int = 0
    requests: dict[str, _Request] = field(default_factory=dict)
    last: tuple[str, int] | None = None

    def take(self, line: bytes) -> None:
        fields = decode(line) if b'"prev"' in line else None
        place = None if fields is None else place_of(line, fields)
        if fields is None or place is None:
            self.unchained += 1
        elif place != self.last:  # the same once more: written on both sides of a rotation by somebody else
            self.last = place
            self.records += 1
            self._count(fields)

    def _count(self, fields: Mapping[str, JsonValue]) -> None:
        event, action, trace = fields.get("event_type"), fields.get("action"), fields.get("trace_id")
        if not isinstance(trace, str) or event not in (EventType.APPROVAL, EventType.RBAC):
            return
        if action in (RecordAction.APPROVE, RecordAction.RBAC_DENY):
            found = self.requests.get(trace)
            if found is None:
                found = self.requests[trace] = _Request(text_in(fields, "workspace_id"), moment(fields.get("timestamp")))
            found.requester = found.requester or text_in(fields, "requested_by")
            if action == RecordAction.RBAC_DENY:
                found.outcome = NOT_PERMITTED
            else:
                _happened(found, fields, text_in(fields, "outcome"))
        elif trace in self.requests:
            _add(self.requests[trace], action, fields)


def place_of(line: bytes, fields: Mapping[str, JsonValue]) -> tuple[str, int] | None:
    """Log and number of a chained line with its newline; None for one that is not. The rule is ``chain.link_of``'s.

    That would parse the line once more, and hash it, for every line of the log.
    """
    if not line.startswith(b"{") or not line.endswith(b"\n") or len(line) - 1 > LONGEST:
        return None
    place = place_in(fields)
    return None if place is None else place[:2]


def _happened(request: _Request, fields: Mapping[str, JsonValue], outcome: str) -> None:
    """Apply one record to its request; a decision is final."""
    if request.outcome in DECISIONS:
        return
    if outcome in BEGINNINGS:
        request.beginnings += 1
        request.outcome = OPEN
    elif outcome in ENDINGS:
        request.outcome = outcome
    elif outcome == RecordOutcome.REQUESTED and fields.get("wait") is False:
        request.outcome = NOT_AWAITED
    if outcome in DECISIONS:
        request.approvers = _deciders(fields, outcome)
        request.self_approved = fields.get("self_approved") is True
        request.transport = text_in(fields, "transport")
        request.waited = _waited(request, fields)


def _add(request: _Request, action: JsonValue, fields: Mapping[str, JsonValue]) -> None:
    """Apply one record that decides nothing to its request."""
    if action == RecordAction.DELIVER:
        request.undelivered = True
    elif action == RecordAction.EXECUTE:
        request.command = _execution(fields)
    elif action == RecordAction.OBSERVE and fields.get("observed_outcome") in ENDINGS:
        request.seen = _seen(request, fields)


def _execution(fields: Mapping[str, JsonValue]) -> str:
    outcome = text_in(fields, "outcome")
    return _SUCCEEDED if outcome == RecordOutcome.FINISHED and fields.get("exit_code") == 0 else outcome


def _seen(request: _Request, fields: Mapping[str, JsonValue]) -> _Seen:
    """The record's own time says nothing of the decision's: it was seen later."""
    outcome = text_in(fields, "observed_outcome")
    if outcome not in DECISIONS:
        return _Seen(outcome, (), None)
    return _Seen(outcome, _deciders(fields, outcome), _since_begun(request, moment(fields.get("decided_at"))))


def _deciders(fields: Mapping[str, JsonValue], outcome: str) -> tuple[tuple[str, bool], ...]:
    """Everybody whose decision it was, and whether their names are verified: of several, all whose approvals counted."""
    verified = fields.get("decided_by_verified") is True
    several = deciders(fields, "approved") if outcome == RecordOutcome.GRANTED else []
    names = [name for name, _ in several] or [text_in(fields, "decided_by") or text_in(fields, "actor")]
    return tuple((name, verified) for name in names)


def _waited(request: _Request, fields: Mapping[str, JsonValue]) -> float | None:
    """Seconds from the request to the decision.

    Who asked and waited measured them, by a clock that does not jump. Where somebody came back for the answer, only the
    times in the records tell; when they contradict each other, nothing is known.
    """
    measured = fields.get("waited_seconds")
    if request.beginnings == 1 and isinstance(measured, float) and isfinite(measured) and measured >= 0:
        return measured
    return _since_begun(request, moment(fields.get("decided_at")) or moment(fields.get("timestamp")))


def _since_begun(request: _Request, decided: datetime | None) -> float | None:
    if request.beginnings == 0 or request.began is None or decided is None:
        return None
    seconds = (decided - request.began).total_seconds()
    return seconds if seconds >= 0 else None


def _counted(walk: _RequestCount, since: datetime | None, until: datetime | None) -> Statistics:
    for one in walk.requests.values():
        one.settle()
    whole = since is None and until is None
    chosen = [one for one in walk.requests.values() if whole or _within(one.began, since, until)]
    outcomes = Counter(one.outcome for one in chosen)
    times = [one.began for one in chosen if one.began is not None]
    return Statistics(
        requests=len(chosen),
        outcomes={outcome: outcomes[outcome] for outcome in OUTCOMES},
        approvers=_approvers(chosen),
        requesters=[sums for sums in _by((one.requester, one.outcome) for one in chosen) if sums.name],
        self_approved=sum(one.self_approved for one in chosen),
        workspaces=_by((one.workspace, one.outcome) for one in chosen),
        waits=_waits(sorted(array("d", (one.waited for one in chosen if one.waited is not None)))),
        transports=dict(Counter(one.transport for one in chosen if one.transport).most_common()),
        commands=_commands(Counter(one.command for one in chosen)),
        undelivered=sum(one.undelivered for one in chosen),
        records=walk.records,
        unchained=walk.unchained,
        undated=sum(one.began is None for one in walk.requests.values()),
        first=min(times, default=None),
        last=max(times, default=None),
    )


def _within(began: datetime | None, since: datetime | None, until: datetime | None) -> bool:
    return began is not None and (since is None or began >= since) and (until is None or began < until)


def _commands(found: Counter[str]) -> CommandStatistics:
    return CommandStatistics(
        found[_SUCCEEDED], found[RecordOutcome.FINISHED], found[RecordOutcome.STARTED], found[RecordOutcome.REFUSED]
    )


def _approvers(requests: Iterable[_Request]) -> list[ApproverStatistics]:
    decided = Counter((who, one.outcome) for one in requests for who in one.approvers)
    found = [
        ApproverStatistics(*who, decided[who, RecordOutcome.GRANTED], decided[who, RecordOutcome.DENIED])
        for who in {who for who, _ in decided}
    ]
    return sorted(found, key=lambda one: (-one.granted - one.denied, one.name, one.verified))


def _by(pairs: Iterable[tuple[str, str]]) -> list[RequestSums]:
    """How many pairs each name is in, and with which outcomes; the one with most first."""
    counts: dict[str, Counter[str]] = {}
    for name, outcome in pairs:
        counts.setdefault(name, Counter())[outcome] += 1
    found = [RequestSums(name, count.total(), {word: count[word] for word in OUTCOMES}) for name, count in counts.items()]
    return sorted(found, key=lambda one: (-one.requests, one.name))


def _waits(seconds: Sequence[float]) -> Waits | None:
    """The sums of sorted times; a percentile is the least value that so many do not exceed (nearest rank)."""
    if not seconds:
        return None
    count = len(seconds)
    median, p90, p99 = (seconds[ceil(share * count / 100) - 1] for share in (50, 90, 99))
    steps = [0] * (len(BOUNDS) + 1)
    for value in seconds:
        steps[bisect_right(BOUNDS, value)] += 1
    return Waits(count, seconds[0], median, p90, p99, seconds[-1], tuple(steps))
