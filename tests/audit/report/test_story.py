"""One request is found by its ids, gathered with its neighbours, and told as one story."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import pytest

from molecule_approve.audit.chain import link_of
from molecule_approve.audit.report.story import Story, StoryRecord, gather, matching_requests, still_open
from tests.audit.records import begun, foreign, gathered, head, lines, newest, record, seen


def story(log: list[bytes], trace: str = "trace-1") -> Story:
    return Story(gathered(log, trace).entries)


def found(log: list[bytes], text: str) -> list[str]:
    return [fit.trace_id for fit in matching_requests(newest(log), text)]


# --- which request an id means -------------------------------------------------------------------------------------


def test_a_request_is_found_by_each_of_its_ids() -> None:
    """Trace, approval and task id, whole or their beginning, in whatever case they were pasted."""
    log = lines(
        record("initiated", "aaaa-1111", task_id="cccc-1111"),
        record("requested", "aaaa-1111", approval_id="bbbb-1111"),
        begun("dddd-1111"),
    )
    for text in ("aaaa-1111", "bbbb-1111", "cccc-1111", "aaaa-1", "bbbb-1", "cccc-1", "BBBB-1111", "AAAA-"):
        assert found(log, text) == ["aaaa-1111"], text
    fit = matching_requests(newest(log), "bbbb-1")[0]
    assert (fit.name, fit.id) == ("approval_id", "bbbb-1111")
    assert found(log, "eeee-1111") == []


def test_a_beginning_that_several_have_is_ambiguous_and_a_whole_id_is_not() -> None:
    """The newest is named first; the whole id means itself although another one begins with it."""
    log = lines(begun("trace-1"), begun("trace-10"), begun("trace-11"))
    assert found(log, "trace-") == ["trace-11", "trace-10", "trace-1"]
    assert found(log, "trace-1") == ["trace-1"]


def test_two_requests_under_one_approval_are_both_told() -> None:
    """An idempotency key takes a pending request up: its approval alone does not say which of the two is meant."""
    log = lines(
        record("initiated", "trace-1", task_id="key-1"),
        record("requested", "trace-1", approval_id="approval-1"),
        record("initiated", "trace-2", task_id="key-1"),
        record("requested", "trace-2", approval_id="approval-1"),
    )
    assert found(log, "approval-1") == ["trace-2", "trace-1"]
    assert found(log, "key-1") == ["trace-2", "trace-1"]


def test_a_trace_id_means_its_trace_although_it_is_an_approvals_too() -> None:
    """`withdraw` of a request that the log did not hold writes the approval's id as its trace."""
    log = lines(record("resumed", "trace-1", approval_id="approval-1"), record("withdrawn", "approval-1"))
    assert found(log, "approval-1") == ["approval-1"]
    log = lines(record("withdrawn", "approval-1"), record("resumed", "trace-1", approval_id="approval-1"))
    assert found(log, "approval-1") == ["approval-1"]


def test_a_line_that_nothing_vouches_for_makes_nothing_ambiguous() -> None:
    """It is believed only where no chained line fits; what is no record, or an odd one, never."""
    log = [
        *lines(begun("trace-1")),
        foreign(trace_id="trace-12", approval_id="approval-1"),
        foreign(trace_id=["trace-13"], approval_id="trace-13"),
        b'"trace-14"',
        foreign(trace_id="x", task_id=7, approval_id='"trace-1'),
    ]
    assert found(log, "trace-") == ["trace-1"]
    assert found(log, "approval-1") == ["trace-12"]


class OpenCount:
    """Lines, and how many of them were read."""

    def __init__(self, log: list[bytes]) -> None:
        self.log = log
        self.read = 0

    def __call__(self, _: Collection[bytes]) -> Iterator[bytes]:
        for line in self.log[::-1]:
            self.read += 1
            yield line


@pytest.mark.parametrize(("text", "read"), [("trace-5", 2), ("approval-5", 3), ("trace-", 14), ("key-no", 14)])
def test_no_more_is_read_than_an_id_needs(text: str, read: int) -> None:
    """A whole trace id ends the search at once, another id at its request's beginning; a beginning needs all."""
    log = lines(
        *(begun(f"old-{number}") for number in range(10)),
        record("initiated", "trace-4", task_id="key-4"),
        begun("trace-5"),
        record("requested", "trace-5", approval_id="approval-5"),
        begun("trace-6"),
    )
    counted = OpenCount(log)
    matching_requests(counted, text)
    assert counted.read == read


# --- its records ---------------------------------------------------------------------------------------------------


def test_a_requests_records_are_gathered_with_their_neighbours() -> None:
    """Those of other requests stand between; each record knows the chained lines beside it, and the log its head."""
    log = lines(begun("other"), begun(), record("denied", "other"), record("requested", approval_id="a"), begun("last"))
    links = [link_of(line) for line in log]
    with_noise = [*log[:3], foreign(outcome="granted"), b"torn", *log[3:]]
    entries, tip = gathered(with_noise)
    assert [entry.link for entry in entries] == [links[1], links[3]]
    assert [entry.before for entry in entries] == [links[0], links[2]]
    assert [entry.after for entry in entries] == [links[2], links[4]]
    assert tip == head(log)


def test_the_first_and_the_last_record_have_one_neighbour() -> None:
    """Nothing stands before the first line and after the last."""
    entries, tip = gathered(lines(begun(), record("requested")))
    assert (entries[0].before, entries[-1].after) == (None, None)
    assert tip is not None
    assert gathered([]).head is None
    assert gathered([foreign(trace_id="trace-1")]).head is None


def test_a_record_that_stands_twice_at_a_boundary_is_told_once() -> None:
    """A writer that met a rename has written the same bytes to both files; a neighbour that stands twice is one, too."""
    log = lines(begun("other"), begun(), record("requested"), begun("last"))
    twice = [log[0], log[0], log[1], log[1], log[2], log[2], log[3], log[3]]
    assert gathered(twice) == gathered(log)


def test_lines_of_other_tools_belong_to_the_story_and_have_no_place() -> None:
    """They name the request; nothing vouches for them."""
    entries = gathered([*lines(begun()), foreign(trace_id="trace-1", outcome="granted"), foreign(note="trace-1")]).entries
    assert [(entry.text("outcome"), entry.link is None, entry.after) for entry in entries] == [
        ("initiated", False, None),
        ("granted", True, None),
    ]


def test_nothing_is_read_that_is_older_than_the_beginning() -> None:
    """But the recovery that was written with it belongs to it, and the line before is wanted as its neighbour."""
    mended = record("success", event="audit", action="recover", resource="audit.jsonl", reason="torn_line")
    log = lines(*(begun(f"old-{number}") for number in range(10)), mended, begun(), record("requested"))
    counted = OpenCount(log)
    entries = gather(counted, "trace-1").entries
    assert [entry.text("outcome") for entry in entries] == ["success", "initiated", "requested"]
    assert entries[0].before == link_of(log[9])
    assert counted.read == 4
    assert story(log).asked == "deploy"


def test_a_refusal_is_a_beginning_too() -> None:
    """Where the roles forbid it nothing was asked before."""
    log = lines(*(begun(f"old-{number}") for number in range(5)), record("denied", event="rbac", action="rbac.deny"))
    counted = OpenCount(log)
    assert len(gather(counted, "trace-1").entries) == 1
    assert counted.read == 2


def test_without_a_beginning_everything_is_read() -> None:
    """Our own log may not hold the request: somebody else asked, and `wait` took it up."""
    log = lines(begun("old"), record("resumed"), begun("other"), record("granted"))
    counted = OpenCount(log)
    assert len(gather(counted, "trace-1").entries) == 2
    assert counted.read == 4


# --- what they say together ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("outcomes", "ending"),
    [
        (["initiated", "requested"], None),
        (["initiated", "requested", "granted"], "granted"),
        (["initiated", "timeout"], "timeout"),
        (["initiated", "timeout", "resumed"], None),
        (["initiated", "timeout", "resumed", "denied"], "denied"),
        (["initiated", "requested", "granted", "resumed", "failure"], "granted"),
        (["initiated", "odd", "withdrawn", "requested"], "withdrawn"),
    ],
)
def test_a_decision_is_the_ending_or_else_what_came_last(outcomes: list[str], ending: str | None) -> None:
    """Nothing unsays a decision; anything else that ended is open again once `wait` takes it up."""
    last = story(lines(*(record(outcome) for outcome in outcomes))).outcome_record
    assert (None if last is None else last.text("outcome")) == ending


def test_only_chained_verdicts_end_a_request() -> None:
    """Neither a delivery that failed nor another tool's line does; a refusal by the roles does."""
    log = lines(begun(), record("failed", action="deliver"))
    forged = foreign(trace_id="trace-1", event_type="approval", action="approve", outcome="granted")
    assert story([*log, forged]).outcome_record is None
    refused = story(lines(record("denied", event="rbac", action="rbac.deny"))).outcome_record
    assert refused is not None


def test_an_observation_tells_how_an_open_request_ended() -> None:
    """It ends nothing, whatever is tried afterwards; another tool's line observes nothing, and begins nothing of ours."""
    asked = record("requested", approval_id="a-1")
    for log in (lines(begun(), asked, seen("denied")), lines(begun(), asked, seen("denied"), record("resumed"))):
        told = story(log)
        assert told.observation is not None
        assert (told.outcome_record, told.observation.observed, told.is_open) == (None, "denied", False)
    assert story(lines(begun(), asked)).is_open
    assert story(lines(begun(), asked, seen("requested"))).is_open
    assert not story(lines(begun(), asked, record("timeout"))).is_open
    forged = foreign(
        trace_id="trace-1", event_type="approval", action="observe", outcome="observed", observed_outcome="denied"
    )
    assert story([*lines(begun(), asked), forged]).is_open
    theirs = foreign(trace_id="trace-1", event_type="approval", action="approve", outcome="requested", approval_id="a-1")
    assert not story([theirs]).is_open


def test_what_became_of_the_command_is_told_by_chained_records() -> None:
    """Its start and its end, in their order, and neither another tool's line nor a word that no record of ours has."""
    execution = [record(outcome, action="execute") for outcome in ("started", "odd", "finished")]
    log = lines(begun(), record("granted"), *execution)
    other = foreign(trace_id="trace-1", event_type="approval", action="execute", outcome="refused")
    assert [entry.kind[2] for entry in story([*log, other]).executions] == ["started", "finished"]
    assert story([*log[:2], other]).executions == []


def test_what_is_open_under_an_approvals_id() -> None:
    """Every request that asked it and that no record ends; an older log's records of it are found by its whole id alone."""
    log = lines(
        *(record("initiated", trace, task_id="key") for trace in ("one", "two", "three")),
        *(record("requested", trace, approval_id="approval-1", task_id="key") for trace in ("one", "two", "three")),
        record("failure", "two", approval_id="approval-1"),
    )
    assert {told.first("trace_id") for told in still_open(newest(log), "approval-1")} == {"one", "three"}
    assert still_open(newest(log), "approval-2") == []


def test_facts_come_from_the_oldest_record_that_vouches_for_them() -> None:
    """A line of another tool is asked last, however old it is."""
    log = [
        foreign(trace_id="trace-1", resource="forged", approval_id="forged", note="x"),
        *lines(
            record("initiated", resource="deploy", invocation="one", reason_text="why"),
            record("requested", approval_id="a", invocation="one"),
            record("resumed", invocation="two", odd=[1]),
        ),
    ]
    told = story(log[1:2] + log)
    assert (told.asked, told.first("approval_id"), told.first("reason_text"), told.first("odd")) == (
        "deploy",
        "a",
        "why",
        "",
    )
    assert told.invocations == ["one", "two"]
    assert told.extras(told.entries[-1]) == {"odd": [1]}
    only_notices = lines(record("success", event="audit", action="recover", resource="audit.jsonl"))
    assert story(only_notices).asked == "audit.jsonl"


def test_time_that_passed_is_told_where_both_times_can_be_read() -> None:
    """The wall clock may have jumped back; a time that is none says nothing."""
    told = story(lines(begun(at="10:00:00"), record("requested", at="10:00:02"), record("resumed", at="09:59:59")))
    assert [told.elapsed(entry) for entry in told.entries] == [0.0, 2.0, -1.0]
    odd = StoryRecord(b"", None, {"timestamp": "noon", "seq": True, "n": 1.5})
    assert told.elapsed(odd) is None
    assert Story([odd, told.entries[0]]).elapsed(told.entries[0]) is None
    assert (odd.text("seq"), odd.text("n")) == ("", "1.5")
