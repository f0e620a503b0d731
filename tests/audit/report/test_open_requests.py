"""Requests without an ending, found in the bytes of lines, over stretches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from molecule_approve.audit.chain import START
from molecule_approve.audit.record import EventType, Record, RecordAction, RecordOutcome, encode
from molecule_approve.audit.report.open_requests import NAMED, OpenRequests, changes_in

MakeRecord = Callable[..., Record]
LOG = "7d444840-9dc0-11d1-b245-5ffdce74fad2"


def line(record: Record, seq: int) -> bytes:
    return encode(record, log_id=LOG, seq=seq, prev=START)


def open_in(*stretches: list[bytes], awaited: bool = True) -> list[tuple[str, int]]:
    open_requests = OpenRequests()
    for lines in stretches:
        open_requests.add(changes_in(lines, {place for place, one in enumerate(lines) if not one.startswith(b"{")}))
    return [(one.trace_id, one.seq) for one in open_requests.counted(awaited=awaited).first]


def test_what_was_begun_and_not_ended_is_open(make: MakeRecord) -> None:
    """In one stretch or over several; an ending ends what was begun before it, and not what is begun again after it."""
    begun = [line(make(RecordOutcome.INITIATED, trace_id="a"), 1), line(make(RecordOutcome.REQUESTED, trace_id="a"), 2)]
    ended = [line(make(RecordOutcome.GRANTED, trace_id="a"), 3)]
    again = [line(make(RecordOutcome.RESUMED, trace_id="a"), 4)]
    other = [line(make(RecordOutcome.INITIATED, trace_id="b"), 5)]
    assert open_in([*begun, *other]) == [("a", 2), ("b", 5)]
    for closed in ([[*begun, *ended]], [begun, ended], [[*begun, *ended, *again, *ended]]):
        assert open_in(*closed) == []
    for reopened in ([[*begun, *ended, *again]], [begun, ended, again], [begun, [*ended, *again]]):
        assert open_in(*reopened, other) == [("a", 4), ("b", 5)]


def test_only_chained_records_of_approvals_count(make: MakeRecord) -> None:
    """What is not chained, what was not permitted, what could not be told, and words inside texts end nothing."""
    begun = line(make(RecordOutcome.INITIATED, trace_id="a"), 1)
    ending = make(RecordOutcome.DENIED, trace_id="a")
    text = '","outcome":"granted","trace_id":"a"'
    for other in (
        b"half a line" + line(ending, 2),
        line(
            Record(ending.timestamp, EventType.RBAC, "ws", "ws", RecordAction.RBAC_DENY, "x", RecordOutcome.DENIED, "a"), 2
        ),
        line(Record(ending.timestamp, EventType.APPROVAL, "ws", "ws", RecordAction.DELIVER, "x", "failed", "a"), 2),
        line(make(RecordOutcome.FAILED, resource=text, trace_id="a"), 2),
        b"{}",
    ):
        assert open_in([begun, other]) == [("a", 1)], other
    assert open_in([begun, line(ending, 2)]) == []


def test_what_was_seen_to_have_ended_is_not_open(make: MakeRecord) -> None:
    """In one stretch or over several; who waits for it after that has begun again."""
    begun = line(make(RecordOutcome.REQUESTED, trace_id="a"), 1)
    seen = line(replace(make(RecordOutcome.OBSERVED, trace_id="a"), action=RecordAction.OBSERVE), 2)
    again = line(make(RecordOutcome.RESUMED, trace_id="a"), 3)
    for closed in ([[begun, seen]], [[begun], [seen]]):
        assert open_in(*closed) == []
        assert open_in(*closed, [again]) == [("a", 3)]


def test_who_asked_without_waiting_is_told_apart(make: MakeRecord) -> None:
    """Until somebody waits; a text, or another field, that says so does not count."""
    begun = line(make(RecordOutcome.INITIATED, trace_id="a"), 1)
    left = line(make(RecordOutcome.REQUESTED, trace_id="a", wait=False), 2)
    again = line(make(RecordOutcome.RESUMED, trace_id="a"), 3)
    text = '"wait":false'
    other = line(make(RecordOutcome.REQUESTED, trace_id="b", resource=text, note={"wait": False}), 4)
    for lines in ([[begun, left, other]], [[begun], [left], [other]]):
        assert (open_in(*lines), open_in(*lines, awaited=False)) == ([("b", 4)], [("a", 2)])
        assert open_in(*lines, [again]) == [("a", 3), ("b", 4)]
        assert open_in(*lines, [again], awaited=False) == []


def test_of_many_the_oldest_are_named(make: MakeRecord) -> None:
    """All are counted."""
    open_requests = OpenRequests()
    lines = [line(make(RecordOutcome.INITIATED, trace_id=f"t{seq}"), seq) for seq in range(1, NAMED + 11)]
    open_requests.add(changes_in(lines[50:], ()))
    open_requests.add(changes_in(lines[:50], ()))
    found = open_requests.counted(awaited=True)
    assert found.total == NAMED + 10
    assert [one.seq for one in found.first] == list(range(1, NAMED + 1))
