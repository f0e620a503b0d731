"""Pure: one request's records, found among a log's lines, and what they say together.

How it is shown is `cli/audit/story_view.py`'s business. Nothing is verified: `audit verify` does that.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from molecule_approve.audit.chain import Head, Link, link_of
from molecule_approve.audit.record import (
    CHAIN_FIELDS,
    ENDINGS,
    FIELDS,
    EventType,
    RecordAction,
    RecordOutcome,
    decode,
    moment,
    needle,
    text_in,
)

if TYPE_CHECKING:
    from molecule_approve.model import JsonValue

Newest = Callable[[Collection[bytes]], Iterable[bytes]]
"""Gives a log's lines without their newlines, the newest first: at least those that hold one of the words, and the chained
lines next to them. The words may become more while it goes on."""

IDS = ("trace_id", "approval_id", "task_id")
"""The fields by which a request is known."""


class IdMatch(NamedTuple):
    """A request that an id, or its beginning, may mean: the field that fits, one of :data:`IDS`, and that field's value."""

    trace_id: str
    name: str
    id: str


@dataclass(slots=True)
class StoryRecord:
    """One line that names the request.

    Attributes:
        line: its bytes, without the newline.
        link: its place in the chain; None for an unchained line.
        before, after: the chained lines beside it; None where there is none, or it is not there any more.
    """

    line: bytes
    link: Link | None
    fields: Mapping[str, JsonValue]
    before: Link | None = None
    after: Link | None = None

    def text(self, name: str) -> str:
        """A field as text; empty where it is missing, or neither text nor a number."""
        value = self.fields.get(name)
        return str(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else ""

    @property
    def kind(self) -> tuple[str, str, str]:
        """Event type, action and outcome."""
        return self.text("event_type"), self.text("action"), self.text("outcome")

    @property
    def observed(self) -> str:
        """The outcome that an `observed` record says; empty for every other record."""
        found = self.text("observed_outcome")
        return found if self.kind == _OBSERVATION and found in ENDINGS else ""


class RequestRecords(NamedTuple):
    """A request's records, the oldest first, and the log's head at that moment."""

    entries: list[StoryRecord]
    head: Head | None


def deciders(fields: Mapping[str, JsonValue], decision: str) -> list[tuple[str, str]]:
    """Who decided so, as the record lists it, each with how that was proven (empty if it does not say); in their order."""
    found = fields.get("decisions")
    rows = [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []
    decided = [(text_in(one, "by"), text_in(one, "proof")) for one in rows if one.get("decision") == decision]
    return [(name, proof) for name, proof in decided if name]


def matching_requests(newest: Newest, text: str) -> list[IdMatch]:
    """The requests that an id means, or that the beginning of one may mean; each once, the newest first.

    A whole id means itself, whatever else begins with it, and a trace id means just that trace. An unchained
    line counts only if no chained one matches. After a whole id no more is read than needed.
    """
    search = _TraceSearch(text)
    for line in newest(search.words):
        if not search.take(line):
            break
    return search.found()


class _TraceSearch:
    """Looks for an id; the test of the bytes is the cheap one, and nearly every line fails it."""

    def __init__(self, text: str) -> None:
        # Ids are written in small letters; people also paste them in others.
        self._wanted = (text, text.lower())
        self.words = {b'"' + needle(one) for one in self._wanted}
        self._fits: dict[tuple[bool, bool, str], IdMatch] = {}
        self._whole: set[str] = set()

    def take(self, line: bytes) -> bool:
        """Look at one line; whether an older one can add anything."""
        if not any(word in line for word in self.words):
            return True
        fields = decode(line)
        trace = None if fields is None else fields.get("trace_id")
        if fields is None or not isinstance(trace, str):
            return True
        chained = link_of(line) is not None
        for name in IDS:
            self._compare(fields, trace, name, chained=chained)
        # Only under an idempotency key, whose task id is no trace, can an older request have the same approval.
        alone = fields.get("outcome") == RecordOutcome.INITIATED and fields.get("task_id") == trace
        return not (chained and trace in self._whole and (alone or trace in self._wanted))

    def _compare(self, fields: Mapping[str, JsonValue], trace: str, name: str, *, chained: bool) -> None:
        value = fields.get(name)
        if not isinstance(value, str) or not value.startswith(self._wanted):
            return
        whole = value in self._wanted
        self._fits.setdefault((chained, whole, trace), IdMatch(trace, name, value))
        if whole and chained:
            self._whole.add(trace)
            self.words.add(b'"' + needle(trace))

    def found(self) -> list[IdMatch]:
        """Those of the best kind: chained before others, then whole before beginnings, then the trace itself."""
        for chained in (True, False):
            for whole in (True, False):
                fits = [fit for (*kind, _), fit in self._fits.items() if kind == [chained, whole]]
                if fits:
                    return [fit for fit in fits if whole and fit.trace_id in self._wanted] or fits
        return []


def gather(newest: Newest, trace_id: str) -> RequestRecords:
    """All records of one request. A record that is in two files, where they meet, is given once.

    No more is read than to the record before the request's beginning: before `initiated` only a record that was written
    with it, of the log's recovery, can belong to it.
    """
    walk = _RecordSearch(trace_id)
    for line in newest({needle(trace_id)}):
        if not walk.take(line):
            break
    return RequestRecords(walk.entries[::-1], walk.head)


def still_open(newest: Newest, approval_id: str) -> list[Story]:
    """The requests under this id that are open by what the log says; one key may have made several."""
    found = [Story(gather(newest, fit.trace_id).entries) for fit in matching_requests(newest, approval_id)]
    return [story for story in found if story.is_open]


class _RecordSearch:
    """One pass from the end of a log towards a request's beginning."""

    def __init__(self, trace_id: str) -> None:
        self.entries: list[StoryRecord] = []
        self.head: Head | None = None
        self._trace_id = trace_id
        self._needle = needle(trace_id)
        self._newer: Link | None = None  # the chained line that was met last
        self._lacking: StoryRecord | None = None  # the record whose chained line before was not met yet
        self._begun = False

    def take(self, line: bytes) -> bool:
        """Look at one line; whether an older one can belong."""
        fields = decode(line) if self._needle in line else None
        mine = fields is not None and fields.get("trace_id") == self._trace_id
        link = link_of(line)
        if link is not None:
            if link == self._newer:
                return True
            self.head = self.head or link.head
            if self._lacking is not None:
                self._lacking.before, self._lacking = link, None
            if self._begun and not mine:
                return False
        if mine and fields is not None:
            self._add(StoryRecord(line, link, fields, after=None if link is None else self._newer))
        self._newer = link or self._newer
        return True

    def _add(self, entry: StoryRecord) -> None:
        self.entries.append(entry)
        if entry.link is not None:
            self._lacking = entry
            self._begun = self._begun or is_beginning(entry)


def is_beginning(entry: StoryRecord) -> bool:
    """Whether nothing of a request can be older than this record."""
    event, action, outcome = entry.kind
    asked = (event, action, outcome) == (EventType.APPROVAL, RecordAction.APPROVE, RecordOutcome.INITIATED)
    return asked or (event, action) == (EventType.RBAC, RecordAction.RBAC_DENY)


@dataclass(frozen=True)
class Story:
    """What a request's records (at least one, the oldest first) say together."""

    entries: Sequence[StoryRecord]

    def first(self, name: str) -> str:
        """The oldest text that the records have in a field, chained ones before others; empty where none has any."""
        return next((text for entry in self._chained_first() if (text := entry.text(name))), "")

    @property
    def context(self) -> JsonValue:
        """What the approver saw of where the request came from; None if no record has it."""
        return next((found for entry in self._chained_first() if (found := entry.fields.get("context"))), None)

    def _chained_first(self) -> list[StoryRecord]:
        return sorted(self.entries, key=lambda entry: entry.link is None)

    @property
    def asked(self) -> str:
        """The action's text; the log's own notices have another `resource`."""
        return Story([entry for entry in self.entries if entry.kind[0] != EventType.AUDIT] or self.entries).first("resource")

    @property
    def invocations(self) -> list[str]:
        """The processes that wrote of it, in their order."""
        return list(dict.fromkeys(text for entry in self.entries if (text := entry.text("invocation"))))

    @property
    def outcome_record(self) -> StoryRecord | None:
        """The record with its outcome: a decision if there is one, else the newest outcome; None while it is open.

        An outcome before the newest beginning does not count: `wait` resumed the request.
        """
        found = None
        for entry in self.entries:
            event, action, outcome = entry.kind
            if entry.link is None or (event, action) not in _VERDICTS:
                continue
            if action == RecordAction.RBAC_DENY or outcome in DECISIONS:
                return entry
            found = entry if outcome in ENDINGS else None if outcome in BEGINNINGS else found
        return found

    @property
    def is_open(self) -> bool:
        """Whether it was begun here, and no record says how it ended."""
        begun = any(entry.link is not None and entry.kind in _BEGUN for entry in self.entries)
        return begun and self.outcome_record is None and self.observation is None

    @property
    def observation(self) -> StoryRecord | None:
        """The record of somebody who saw how it had ended, and ended nothing here; None where there is none.

        Whatever was tried after that, the platform never changes what has ended.
        """
        return next((entry for entry in self.entries if entry.link is not None and entry.observed), None)

    @property
    def executions(self) -> list[StoryRecord]:
        """The records about the execution of its command, in their order."""
        return [entry for entry in self.entries if entry.link is not None and entry.kind in _EXECUTIONS]

    def elapsed(self, entry: StoryRecord) -> float | None:
        """Seconds from the first record, by the wall clock that wrote them; None where one of the two has no time."""
        first, then = moment(self.entries[0].fields.get("timestamp")), moment(entry.fields.get("timestamp"))
        return None if first is None or then is None else (then - first).total_seconds()

    @staticmethod
    def extras(entry: StoryRecord) -> dict[str, JsonValue]:
        """What a record says beyond the fields that every record has, and the ids."""
        return {name: value for name, value in entry.fields.items() if name not in _TOLD}


BEGINNINGS = frozenset({RecordOutcome.INITIATED, RecordOutcome.RESUMED})
"""With `approval / approve`: an attempt begins, and an outcome is awaited."""

DECISIONS = frozenset({RecordOutcome.GRANTED, RecordOutcome.DENIED})
"""What a person decided; it is final."""

_BEGUN = {(EventType.APPROVAL, RecordAction.APPROVE, word) for word in (*BEGINNINGS, RecordOutcome.REQUESTED)}

_EXECUTIONS = {
    (EventType.APPROVAL, RecordAction.EXECUTE, word)
    for word in (RecordOutcome.STARTED, RecordOutcome.FINISHED, RecordOutcome.REFUSED)
}

_OBSERVATION = (EventType.APPROVAL, RecordAction.OBSERVE, RecordOutcome.OBSERVED)

_VERDICTS = {(EventType.APPROVAL, RecordAction.APPROVE), (EventType.RBAC, RecordAction.RBAC_DENY)}

_TOLD = frozenset({*FIELDS, *CHAIN_FIELDS, *IDS, "invocation", "reason_text"})
