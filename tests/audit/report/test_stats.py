"""A log's requests are counted once each, by what came of them, and the times of decisions add up."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from molecule_approve.audit.chain import link_of
from molecule_approve.audit.record import Record, decode
from molecule_approve.audit.report.stats import (
    OUTCOMES,
    ApproverStatistics,
    CommandStatistics,
    Statistics,
    place_of,
    statistics,
)
from tests.audit.records import begun, foreign, lines, record, seen

if TYPE_CHECKING:
    from molecule_approve.model import JsonValue


def counted(*records: Record, since: datetime | None = None, until: datetime | None = None) -> Statistics:
    return statistics((line + b"\n" for line in lines(*records)), since, until)


def met(found: Statistics) -> dict[str, int]:
    return {str(word): count for word, count in found.outcomes.items() if count}


def moment(hour: int, minute: int = 0) -> datetime:
    return datetime(2026, 4, 27, hour, minute, tzinfo=UTC)


def decided(outcome: str, trace: str, by: str, *, verified: bool, seconds: float = 1.0) -> Record:
    return record(
        outcome, trace, actor=by, decided_by=by, decided_by_verified=verified, waited_seconds=seconds, transport="live"
    )


def test_an_empty_log_has_nothing_to_count() -> None:
    """Every outcome is there, with nothing in it."""
    found = statistics(())
    assert (found.requests, found.waits, found.first, found.last) == (0, None, None, None)
    assert tuple(found.outcomes) == OUTCOMES
    assert met(found) == {}


def test_what_was_asked_without_waiting_is_not_open() -> None:
    """Until somebody waits for it; its decision is in the server's log, and here it is counted by itself."""
    asked = (begun("a"), record("requested", "a", wait=False), begun("b"), record("requested", "b"))
    assert met(counted(*asked)) == {"not_awaited": 1, "open": 1}
    assert met(counted(*asked, record("resumed", "a"))) == {"open": 2}
    assert met(counted(*asked, record("resumed", "a"), decided("granted", "a", "alice", verified=True))) == {
        "granted": 1, "open": 1,
    }  # fmt: skip


def test_what_was_seen_to_have_ended_counts_by_that_ending() -> None:
    """Where no attempt recorded an ending, waited for or not; whoever decided is counted, and how long it took."""

    def approved(trace: str) -> Record:
        at = "2026-04-27T10:00:30Z"
        return seen("granted", trace, actor="alice", decided_by="alice", decided_by_verified=True, decided_at=at)

    found = counted(
        *(begun(name) for name in "abcdef"),
        record("requested", "a", wait=False),
        approved("a"),
        seen("denied", "b", actor="bob"),
        record("resumed", "b"),
        seen("timeout", "c"),
        seen("withdrawn", "d"),
        seen("requested", "e"),
        record("failure", "f"),
        approved("f"),
        approved("of another log"),
    )
    assert met(found) == {"granted": 1, "denied": 1, "timeout": 1, "withdrawn": 1, "failure": 1, "open": 1}
    assert found.approvers == [
        ApproverStatistics("alice", verified=True, granted=1, denied=0),
        ApproverStatistics("bob", verified=False, granted=0, denied=1),
    ]
    assert found.waits is not None
    assert (found.waits.decisions, found.waits.maximum, dict(found.transports)) == (1, 30.0, {})


def test_each_request_counts_once_by_what_came_of_it() -> None:
    """Every ending, a refusal by the roles, and what is still open; other tools' and the log's own records do not count."""
    found = counted(
        *(begun(name) for name in ("a", "b", "c", "d", "e", "open", "again", "duplicate key")),
        decided("granted", "a", "alice", verified=True),
        decided("denied", "b", "bob", verified=False),
        record("timeout", "c"),
        record("withdrawn", "d"),
        record("failure", "e"),
        record("denied", "f", event="rbac", action="rbac.deny"),
        record("timeout", "again"),
        record("resumed", "again"),
        record("requested", "again"),
        record("timeout", "duplicate key"),
        decided("granted", "duplicate key", "alice", verified=True),
        record("failure", "duplicate key"),
        record("success", "a", event="audit", action="recover"),
        record("granted", "x", event="memory"),
        record("granted", "x", action="other"),
    )
    assert met(found) == {
        "granted": 2, "denied": 1, "timeout": 1, "withdrawn": 1, "failure": 1, "not_permitted": 1, "open": 2,
    }  # fmt: skip
    assert found.requests == 9
    assert found.records == 23
    assert found.transports == {"live": 3}
    assert (found.first, found.last) == (moment(10), moment(10))


def test_approvers_are_told_apart_by_name_and_by_proof() -> None:
    """The same name with and without a credential are two; the busiest stands first."""
    found = counted(
        *(begun(name) for name in "abcd"),
        decided("granted", "a", "alice", verified=True),
        decided("denied", "b", "alice", verified=True),
        decided("granted", "c", "alice", verified=False),
        record("denied", "d", actor="bob"),
    )
    assert found.approvers == [
        ApproverStatistics("alice", verified=True, granted=1, denied=1),
        ApproverStatistics("alice", verified=False, granted=1, denied=0),
        ApproverStatistics("bob", verified=False, granted=0, denied=1),
    ]


def test_each_person_whose_approval_counted_is_counted() -> None:
    """Of several the last one is not the only approver; a denial is that person's alone; other lists mean nothing."""
    both: list[JsonValue] = [{"by": name, "decision": "approved"} for name in ("alice", "bo")]
    records = [begun(name) for name in "abc"]
    records.append(record("granted", "a", decided_by="bo", decided_by_verified=True, decisions=both))
    no: list[JsonValue] = [both[0], {"by": "bo", "decision": "denied"}]
    records.append(record("denied", "b", decided_by="bo", decided_by_verified=True, decisions=no))
    odd: list[JsonValue] = [1, {"by": 5, "decision": "approved"}, {"decision": "approved"}]
    records.append(record("granted", "c", decided_by="cy", decided_by_verified=True, decisions=odd))
    found = counted(*records).approvers
    assert [(one.name, one.granted, one.denied) for one in found] == [("bo", 1, 1), ("alice", 1, 0), ("cy", 1, 0)]


def test_workspaces_are_counted_apart() -> None:
    """Each with what came of its requests."""
    found = counted(
        begun("a", workspace="one"), begun("b", workspace="two"), begun("c", workspace="two"), record("timeout", "c")
    )
    told = {
        one.name: (one.requests, {str(word): count for word, count in one.outcomes.items() if count})
        for one in found.workspaces
    }
    assert told == {"two": (2, {"open": 1, "timeout": 1}), "one": (1, {"open": 1})}
    assert found.workspaces[0].name == "two"


def test_an_approval_that_could_not_be_told_is_counted_beside() -> None:
    """It was approved all the same; a request that is not in the log is none."""
    failed = [record("failed", name, action="deliver") for name in ("a", "unknown")]
    found = counted(begun("a"), decided("granted", "a", "alice", verified=True), *failed)
    assert (met(found), found.undelivered) == ({"granted": 1}, 1)


def test_a_request_belongs_to_the_period_in_which_it_began() -> None:
    """From the first moment, included, to the last, left out; what came of it later counts with it."""
    records = [begun("a", at="09:00:00"), begun("b", at="10:00:00"), begun("c", at="11:00:00")]
    records += [record("timeout", name, at="12:00:00") for name in "abc"]
    for since, until, requests in (
        (None, None, 3), (moment(10), None, 2), (None, moment(10), 1), (moment(10), moment(11), 1), (moment(12), None, 0),
    ):  # fmt: skip
        found = counted(*records, since=since, until=until)
        assert (found.requests, found.outcomes["timeout"]) == (requests, requests)
        assert found.records == 6


def test_a_request_without_a_time_is_in_no_period() -> None:
    """It counts only where all do, and is told."""
    odd = Record("noon", "approval", "ws", "ws", "approve", "deploy", "initiated", "a")
    assert (counted(odd).requests, counted(odd).undated, counted(odd).first) == (1, 1, None)
    found = counted(odd, begun("b"), since=moment(1))
    assert (found.requests, found.undated) == (1, 1)


def test_percentiles_are_values_that_were_met() -> None:
    """A hundred decisions after one to a hundred seconds; the steps hold what lies below their ends."""
    names = [f"r-{number}" for number in range(1, 101)]
    records = [begun(name) for name in names]
    records += [
        decided("granted", name, "alice", verified=True, seconds=float(seconds)) for seconds, name in enumerate(names, 1)
    ]
    waits = counted(*records).waits
    assert waits is not None
    assert (waits.minimum, waits.median, waits.p90, waits.p99, waits.maximum) == (1.0, 50.0, 90.0, 99.0, 100.0)
    assert waits.steps == (9, 20, 30, 41, 0, 0, 0, 0)
    assert (waits.decisions, sum(waits.steps)) == (100, 100)


@pytest.mark.parametrize(("seconds", "step"), [(0.0, 0), (10.0, 1), (899.9, 4), (3_600.0, 6), (86_400.0, 7)])
def test_one_decision_is_its_own_percentile(seconds: float, step: int) -> None:
    """And stands in one step."""
    waits = counted(begun("a"), decided("granted", "a", "alice", verified=True, seconds=seconds)).waits
    assert waits is not None
    assert (waits.minimum, waits.median, waits.p99) == (seconds, seconds, seconds)
    assert waits.steps.index(1) == step


def test_who_came_back_for_the_answer_has_waited_since_the_question() -> None:
    """From the request to the decision, by the times in the records, not from the moment of coming back."""
    back = record("resumed", "a", at="11:00:00")
    granted = decided("granted", "a", "alice", verified=True, seconds=0.1)
    late = replace(granted, extras={**granted.extras, "decided_at": "2026-04-27T10:30:00Z"})
    waits = counted(begun("a"), back, late).waits
    assert waits is not None
    assert waits.median == 1_800.0
    without = counted(begun("a"), back, record("granted", "a", at="11:00:01")).waits
    assert without is not None
    assert without.median == 3_601.0


def test_times_that_cannot_be_are_not_counted() -> None:
    """Before the question, negative, not a number, or where nobody knows when it was asked."""
    before = record("granted", "a", at="09:00:00", waited_seconds=-1.0)
    assert counted(begun("a"), before).waits is None
    assert counted(record("granted", "a", waited_seconds=5.0)).waits is None
    timeless = Record("noon", "approval", "ws", "ws", "approve", "deploy", "granted", "a", {"waited_seconds": "5"})
    assert counted(begun("a"), timeless).waits is None
    undated = Record("noon", "approval", "ws", "ws", "approve", "deploy", "initiated", "a")
    assert counted(undated, record("granted", "a")).waits is None
    rows = [line.replace(b":5.0", b":1e999") for line in lines(begun("a"), record("granted", "a", waited_seconds=5.0))]
    infinite = statistics(row + b"\n" for row in rows).waits
    assert infinite is not None
    assert infinite.median == 0.0


def test_only_chained_lines_count_and_each_once() -> None:
    """Other tools' lines, torn and unfinished ones are told beside; a record doubled at a boundary is one."""
    one, two = lines(begun("a"), decided("granted", "a", "alice", verified=True))
    rows = [
        one,
        two,
        two,
        foreign(trace_id="b", event_type="approval", action="approve", outcome="granted"),
        b"torn",
        b'"prev"',
    ]
    found = statistics([*(row + b"\n" for row in rows), one])
    assert (found.requests, found.records, found.unchained) == (1, 2, 4)
    odd = lines(Record("noon", "approval", "ws", "ws", "approve", "deploy", "initiated", "a"))[0]
    assert statistics([odd.replace(b'"trace_id":"a"', b'"trace_id":7') + b"\n"]).requests == 0


GOOD = b'{"log_id":"a","seq":1,"prev":"%s"}' % (b"0" * 64)


@pytest.mark.parametrize(
    "line",
    [
        GOOD,
        b" " + GOOD,
        GOOD.replace(b'"a"', b"7"),
        GOOD.replace(b":1,", b":0,"),
        GOOD.replace(b":1,", b":true,"),
        GOOD.replace(b":1,", b":1.0,"),
        GOOD.replace(b'"0', b'"x'),
        GOOD.replace(b"0" * 64, b"0" * 64 + b"0"),
        GOOD.replace(b'"%s"' % (b"0" * 64), b"7"),
        b'{"x":"%s",' % (b"x" * 65_536) + GOOD[1:],
    ],
)
def test_what_is_chained_is_the_chains_rule(line: bytes) -> None:
    """The same lines are chained here and where the chain is verified."""
    place, link = place_of(line + b"\n", decode(line) or {}), link_of(line)
    assert place == (None if link is None else (link.log_id, link.seq))
    assert (place is not None) is (line == GOOD)


def test_commands_are_counted_by_their_end() -> None:
    """Each once, by its last record: one that was started and then refused did not run, and one that ended did."""

    def execution(trace: str, *outcomes: str, code: int | None = None) -> list[Record]:
        asked = [begun(trace), decided("granted", trace, "alice", verified=True)]
        return [*asked, *(record(outcome, trace, action="execute", exit_code=code) for outcome in outcomes)]

    rows = [
        *execution("a", "started", "finished", code=0),
        *execution("b", "started", "finished", code=3),
        *execution("c", "started", "finished", code=143),
        *execution("d", "started"),
        *execution("e", "refused"),
        *execution("f", "started", "refused"),
    ]
    found = counted(*rows, record("started", "unknown", action="execute"))
    assert found.commands == CommandStatistics(succeeded=1, failed=2, open=1, refused=2)
    assert (found.commands.started, found.requests, met(found)) == (4, 6, {"granted": 6})
    assert counted(*rows, since=moment(11)).commands == CommandStatistics(0, 0, 0, 0)
