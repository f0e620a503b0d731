"""Commands without a recorded end, and starts that do not fit what was approved, over stretches of a log."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pytest

from molecule_approve.audit.report.executions import ExecutionCount, Executions, OddStart, StartFault, executions_in
from molecule_approve.audit.report.open_requests import NAMED, OpenRequest
from tests.audit.records import lines, record

if TYPE_CHECKING:
    from molecule_approve.audit.record import Record

DIGEST, OTHER = "a" * 64, "b" * 64
COMMAND = f"true\nprogram: /bin/true sha256:{OTHER}\ndigest: sha256:{DIGEST}"


def granted(name: str = "one", digest: str = DIGEST) -> Record:
    return record("granted", f"trace-{name}", resource=COMMAND.replace(DIGEST, digest), approval_id=name)


def execution(outcome: str, name: str = "one", digest: str = DIGEST) -> Record:
    return record(outcome, f"trace-{name}", action="execute", resource=COMMAND, approval_id=name, digest=digest)


def counted(*stretches: Sequence[bytes], complete: bool = True) -> ExecutionCount:
    found = Executions()
    for stretch in stretches:
        found.add(executions_in(stretch, ()))
    return found.counted(complete=complete)


def odd(*records: Record) -> list[tuple[StartFault, int]]:
    return [(one.fault, one.seq) for one in counted(lines(*records)).first_odd]


def test_a_start_is_open_until_its_end_is_recorded() -> None:
    """Also where the end is in another stretch; a command that was refused after the record of its start has ended."""
    started = lines(granted(), execution("started"), granted("two"), execution("started", "two"))
    assert counted(started).open == (2, (OpenRequest("trace-one", 2), OpenRequest("trace-two", 4)))
    for outcome in ("finished", "refused"):
        ended = lines(granted(), execution("started"), execution(outcome))
        assert counted(ended[:2], ended[2:]) == counted(ended) == ((0, ()), 0, ())


def test_each_command_on_its_own_approval_is_as_it_should_be() -> None:
    """Nothing is odd about two approvals, each started once, in any order."""
    assert odd(granted(), granted("two"), execution("started", "two"), execution("started"), execution("finished")) == []


@pytest.mark.parametrize(
    ("records", "fault"),
    [
        ((execution("started"), granted()), (StartFault.NOT_GRANTED, 1)),
        ((granted("two"), execution("started")), (StartFault.NOT_GRANTED, 2)),
        ((granted(), execution("started"), execution("finished"), execution("started")), (StartFault.STARTED_TWICE, 4)),
        ((granted(), execution("started"), granted(), execution("started")), (StartFault.STARTED_TWICE, 4)),
        ((granted(), execution("started", digest=OTHER)), (StartFault.OTHER_DIGEST, 2)),
        ((granted(), execution("started", digest="")), (StartFault.OTHER_DIGEST, 2)),
        ((granted(), granted(digest=OTHER), execution("started", digest=OTHER)), (StartFault.OTHER_DIGEST, 3)),
    ],
)  # fmt: skip
def test_a_start_that_does_not_fit_is_named(records: tuple[Record, ...], fault: tuple[StartFault, int]) -> None:
    """A start without an approval before it, a second one, and one of something else, with the number of the record."""
    assert odd(*records) == [fault]


def test_without_the_whole_log_a_grant_may_be_elsewhere() -> None:
    """A start without its grant is no finding then; a second start still is."""
    twice = lines(execution("started"), execution("started"))
    assert counted(twice).odd == 2
    assert counted(twice, complete=False).first_odd == (OddStart(StartFault.STARTED_TWICE, 2, "trace-one"),)


def test_a_record_in_two_files_where_they_meet_is_one() -> None:
    """A start that ends an archive and begins the next file is no second start."""
    log = lines(granted(), execution("started"))
    assert counted(log, log[1:]).odd == 0


def test_what_is_no_record_of_a_command_does_not_count() -> None:
    """An unchained line, text that speaks of it, a request's other records, and words that no record of ours has."""
    words = '"action":"execute"'
    log = lines(
        record("initiated", resource=COMMAND), execution("odd"), record("granted", resource=words, approval_id="one")
    )
    unchained = (b'{"action":"execute","outcome":"started"}', b'"action":"execute"')
    assert executions_in([*log, *unchained], ()) == ()
    assert executions_in(lines(granted()), {0}) == ()


def test_many_are_counted_and_the_first_ones_named() -> None:
    """Open ones and odd ones alike."""
    found = counted(lines(*(execution("started", f"{number}") for number in range(NAMED + 1))))
    assert (found.open.total, len(found.open.first), found.odd, len(found.first_odd)) == (NAMED + 1, NAMED, NAMED + 1, NAMED)
    assert (found.open.first[0].seq, found.first_odd[0].seq) == (1, 1)
