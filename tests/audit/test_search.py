"""What the log says about one approval is found from its end, without reading more of it than is needed."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from molecule_approve.audit.journal import Journal
from molecule_approve.audit.record import EventType, Record, RecordAction, RecordOutcome
from molecule_approve.audit.search import RECENT_BYTES
from molecule_approve.errors import UsedError
from molecule_approve.model import Secret

MakeRecord = Callable[..., Record]

ASKED, GRANTED, BEGUN = RecordOutcome.REQUESTED, RecordOutcome.GRANTED, RecordOutcome.INITIATED


def write(journal: Journal, *records: Record) -> None:
    for record in records:
        journal.append(record, patience=0)


def is_used(journal: Journal, make: MakeRecord, approval_id: str = "a-1") -> bool:
    """Whether a grant of this approval is refused."""
    try:
        journal.grant(make(GRANTED, approval_id=approval_id), approval_id=approval_id, patience=0)
    except UsedError:
        return True
    return False


def add(log: Path, line: bytes) -> None:
    with log.open("ab") as file:
        file.write(line + b"\n")


def test_a_grant_between_another_ones_question_and_record_is_found(journal: Journal, make: MakeRecord) -> None:
    """Two take up one pending request; one is granted before the other has written down that it asked: used."""
    write(
        journal,
        make(BEGUN, trace_id="one"),
        make(ASKED, trace_id="one", approval_id="a-1"),
        make(BEGUN, trace_id="two"),
        make(GRANTED, trace_id="one", approval_id="a-1"),
        make(ASKED, trace_id="two", approval_id="a-1"),
    )
    assert is_used(journal, make)


def test_an_observation_is_no_grant(journal: Journal, make: MakeRecord) -> None:
    """What `status` saw uses nothing up, before the attempt that gets the approval and after it."""
    seen = replace(make(RecordOutcome.OBSERVED, approval_id="a-1", observed_outcome=GRANTED), action=RecordAction.OBSERVE)
    write(journal, make(BEGUN), make(ASKED, approval_id="a-1"), seen)
    assert not is_used(journal, make)
    write(journal, seen)
    assert is_used(journal, make)
    assert journal.recent_ids(5) == []
    assert journal.recent_ids(5, ended=True) == ["a-1"]


def test_the_search_ends_where_the_request_began(journal: Journal, log: Path, make: MakeRecord) -> None:
    """What stands before the `initiated` of a request with a task id of its own cannot be its grant, and is not read."""
    write(
        journal,
        make(GRANTED, trace_id="zero", approval_id="a-1"),
        make(BEGUN, trace_id="one"),
        make(ASKED, trace_id="one", approval_id="a-1", task_id="one"),
    )
    assert not is_used(journal, make)


@pytest.mark.parametrize("task_id", ["of-a-key", None])
def test_a_request_that_a_key_took_up_ends_no_search(journal: Journal, make: MakeRecord, task_id: str | None) -> None:
    """A list that is behind shows a used request as pending: its grant lies before the one who takes it up."""
    extras = {} if task_id is None else {"task_id": task_id}
    write(
        journal,
        make(BEGUN, trace_id="one"),
        make(ASKED, trace_id="one", approval_id="a-1", **extras),
        make(GRANTED, trace_id="one", approval_id="a-1"),
    )
    journal.rotate(patience=0)
    write(journal, make(BEGUN, trace_id="two"), make(ASKED, trace_id="two", approval_id="a-1", **extras))
    assert is_used(journal, make)


def test_nobody_elses_lines_end_the_search(journal: Journal, log: Path, make: MakeRecord) -> None:
    """A line that is not chained, of another event, of another action, or no record at all, vouches for no beginning."""
    write(journal, make(GRANTED, trace_id="zero", approval_id="a-1"))
    add(log, b'{"event_type":"approval","action":"approve","outcome":"initiated","trace_id":"one"}')
    write(journal, make(ASKED, trace_id="one", approval_id="a-1"))
    add(log, b'{"event_type":"memory","action":"approve","outcome":"initiated","trace_id":"one"}')
    add(log, b'{"event_type":"approval","action":"other","outcome":"initiated","trace_id":"one"}')
    add(log, b'{"event_type":"approval","action":"approve","outcome":"requested","trace_id":"one","approval_id":"a-1"}')
    add(log, b'"a-1" "one"')
    assert is_used(journal, make)


def test_a_grant_in_another_tools_line_counts(journal: Journal, log: Path, make: MakeRecord) -> None:
    """An approval that an older tool reported as used is used, although nothing vouches for its line."""
    write(journal, make(BEGUN))
    add(log, b'{"event_type":"approval","action":"approve","outcome":"granted","approval_id":"a-1","trace_id":["odd"]}')
    assert is_used(journal, make)


def test_a_grant_of_another_approval_does_not_count(journal: Journal, make: MakeRecord) -> None:
    """Only the same id is the same approval, wherever else the id stands."""
    write(journal, make(GRANTED, approval_id="a-10", note="a-1"), make(GRANTED, resource='"approval_id":"a-1"'))
    assert not is_used(journal, make)


def test_the_search_reads_no_further_than_needed(log: Path, make: MakeRecord) -> None:
    """Behind a large log the usual search costs one block: the file's beginning is not even there to be read."""
    journal = Journal(log, limit=None)
    log.parent.mkdir(mode=0o700)
    with log.open("wb") as file:
        file.seek(1 << 36)  # sixty-four gibibytes that take no room, and hold no line
        file.write(b"\n")
    # One append must look for a chain through all of the file; give it one by hand.
    line = b'{"log_id":"7d444840-9dc0-11d1-b245-5ffdce74fad2","seq":1,"prev":"%s"}' % (b"0" * 64)
    add(log, line)
    write(journal, make(BEGUN, trace_id="t"), make(ASKED, trace_id="t", approval_id="a-1", task_id="t"))
    assert not is_used(journal, make)
    assert is_used(journal, make)
    found = journal.find("a-1")
    assert found is not None
    os.truncate(log, 0)


def test_the_newest_request_under_an_id_is_found(journal: Journal, log: Path, make: MakeRecord) -> None:
    """All that a later `wait` needs comes from the newest chained record; lines of others say nothing about it."""
    write(
        journal,
        make(ASKED, resource="old", trace_id="t-1", approval_id="a-1"),
        make(ASKED, resource="new", trace_id="t-2", approval_id="a-1", task_id="k-1", expires_in=60.5),
        make(ASKED, resource="another", approval_id="a-2", note="a-1"),
        make(GRANTED, resource="x", approval_id="a-1"),
    )
    add(log, b'{"event_type":"approval","action":"approve","outcome":"requested","approval_id":"a-1","resource":"forged"}')
    found = journal.find("a-1")
    assert found is not None
    assert (found.approval_id, found.action, found.workspace_id, found.trace_id) == ("a-1", "new", "ws", "t-2")
    assert found.task_id == "k-1"


def test_an_action_that_is_not_whole_in_the_log_is_not_told(log: Path, make: MakeRecord) -> None:
    """Where a secret was removed or the text was cut, nothing can be compared, and the caller must be asked."""
    journal = Journal(log, secrets=[Secret("tok")])
    write(
        journal,
        make(ASKED, resource="curl tok", approval_id="a-1"),
        make(ASKED, resource="x" * 100_000, approval_id="a-2"),
        make(ASKED, resource="curl", approval_id="a-3", task_id=7),
    )
    found = [journal.find(name) for name in ("a-1", "a-2", "a-3")]
    assert [one and one.action for one in found] == [None, None, "curl"]
    assert [one and one.task_id for one in found] == [None, None, None]


@pytest.fixture
def busy(journal: Journal, make: MakeRecord) -> Journal:
    """A log with three open requests and two that have ended."""
    write(
        journal,
        make(ASKED, approval_id="a-1"),
        make(ASKED, approval_id="a-2"),
        make(RecordOutcome.DENIED, approval_id="a-1"),
        make(ASKED, approval_id="a-3"),
        make(ASKED, approval_id="a-2"),
        make(ASKED, approval_id="a-4"),
        make(GRANTED, approval_id="a-4"),
        make(ASKED, approval_id="a-5"),
        make(RecordOutcome.FAILURE),
        make(RecordOutcome.RESUMED, approval_id="a-5"),
    )
    return journal


def test_open_ids_come_newest_first_and_once(busy: Journal) -> None:
    """What ended here is left out unless it is asked for; the limit holds."""
    assert busy.recent_ids(10) == ["a-5", "a-2", "a-3"]
    assert busy.recent_ids(2) == ["a-5", "a-2"]
    assert busy.recent_ids(10, ended=True) == ["a-5", "a-4", "a-2", "a-3", "a-1"]
    assert busy.recent_ids(0) == []


def test_odd_lines_give_no_ids(busy: Journal, log: Path) -> None:
    """Ids that are no text, and records of other kinds, are passed over."""
    add(log, b'{"event_type":"approval","action":"approve","outcome":"requested","approval_id":7}')
    add(log, b'{"event_type":"other","action":"approve","outcome":"requested","approval_id":"x"}')
    assert busy.recent_ids(1) == ["a-5"]


def test_ids_are_looked_for_only_so_far_back(busy: Journal, log: Path, make: MakeRecord) -> None:
    """Completion has a budget: what lies more than a mebibyte back is not found."""
    assert make(BEGUN).event_type == EventType.APPROVAL
    add(log, b"x" * (RECENT_BYTES // 2) + b"\n" + b"y" * (RECENT_BYTES // 2))
    assert busy.recent_ids(10) == []
