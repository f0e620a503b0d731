"""Several records with one fsync: what is acknowledged stands, in order and once, whatever fails on the way."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from molecule_approve.audit.journal import TOGETHER, Journal
from molecule_approve.audit.record import Record
from molecule_approve.errors import AuditError
from tests.audit import standing
from tests.audit.crew import Crew, Ended, is_whole, why_no_strace, write_once
from tests.audit.test_writing import files_may_have

MakeRecord = Callable[..., Record]
Before = Callable[[object, Callable[[], None]], AbstractContextManager[None]]

needs_strace = pytest.mark.skipif(bool(why_no_strace()), reason=why_no_strace() or "never")


def numbers(log: Path) -> list[object]:
    """What each record of the log is about, all archives included."""
    return [record.fields.get("number", record.fields.get("reason")) for record in standing.history(log)]


@pytest.fixture
def five(make: MakeRecord) -> list[Record]:
    """Five records, which are all as long."""
    return [make(number=number) for number in range(5)]


def test_they_stand_in_their_order_by_one_fsync(journal: Journal, log: Path, five: list[Record], before: Before) -> None:
    """Each has its place in the chain; the next append follows them."""
    journal.append(five[0], patience=0)
    synced: list[None] = []
    with before(os.fsync, lambda: synced.append(None)):
        heads = journal.append_all(five[1:], patience=0)
    assert len(synced) == 1
    assert [head.seq for head in heads] == [2, 3, 4, 5]
    assert [head.hash for head in heads] == [record.hash for record in standing.history(log)[1:]]
    assert heads[-1] == journal.head()
    assert journal.append(five[0], patience=0).seq == 6
    assert numbers(log) == [0, 1, 2, 3, 4, 0]


def test_there_is_a_limit_to_how_many(journal: Journal, log: Path, make: MakeRecord) -> None:
    """The others are left to the next call."""
    records = [make(number=number) for number in range(TOGETHER + 2)]
    assert len(journal.append_all(records, patience=0)) == TOGETHER
    assert numbers(log) == list(range(TOGETHER))


def test_all_of_them_are_sealed(journal: Journal, log: Path, five: list[Record], make: MakeRecord) -> None:
    """Each under its own key; the key of the next record is the only one that is kept."""
    key = journal.init(make("success"), new_key=False, patience=0)
    journal.append_all(five, patience=0)
    journal.append(five[0], patience=0)
    standing.check_seals(standing.history(log), key.to_text())
    assert is_whole(log)


@pytest.mark.parametrize("whole", [1, 2, 3, 4])
@pytest.mark.parametrize("rest", [0, 1, 50])
def test_those_that_fit_are_acknowledged_and_no_others(
    journal: Journal, log: Path, five: list[Record], whole: int, rest: int
) -> None:
    """The disk is full in the middle: a prefix stands, the rest is appended later, and none of them twice."""
    journal.append_all([five[0], five[0]], patience=0)
    size = log.stat().st_size
    line = size - len(log.read_bytes().split(b"\n")[0]) - 1
    with files_may_have(size + whole * line + rest):
        heads = journal.append_all(five, patience=0)
    assert [head.seq for head in heads] == [3 + number for number in range(whole)]
    journal.append_all(five[whole:], patience=0)
    assert numbers(log) == [0, 0, *range(whole), *(["torn_line"] * (rest > 0)), *range(whole, 5)]
    assert is_whole(log)


def test_where_not_even_the_first_fits_nothing_is_acknowledged(journal: Journal, log: Path, five: list[Record]) -> None:
    """That is an error, as for a single record."""
    journal.append(five[0], patience=0)
    with files_may_have(log.stat().st_size), pytest.raises(AuditError, match="File too large"):
        journal.append_all(five, patience=0)
    assert numbers(log) == [0]


@pytest.mark.parametrize("at", range(5))
def test_a_file_that_is_renamed_between_two_of_them_loses_and_doubles_none(
    journal: Journal, log: Path, five: list[Record], before: Before, at: int
) -> None:
    """What the old file may have hidden stands in the new one as well, byte for byte; readers count it once."""
    journal.append(five[0], patience=0)
    seen: list[None] = []

    def rename_at() -> None:
        if len(seen) == at:
            log.rename(log.with_name("audit.jsonl.1"))
        seen.append(None)

    with before(os.write, rename_at):
        heads = journal.append_all(five, patience=0)
    assert [head.seq for head in heads] == [2, 3, 4, 5, 6]
    assert journal.append(five[0], patience=0).seq == 7
    assert numbers(log) == [0, *range(5), 0]
    assert is_whole(log)


def test_a_file_that_keeps_being_renamed_ends_the_list(
    journal: Journal, log: Path, five: list[Record], before: Before
) -> None:
    """Those before are acknowledged; the append gives up on the others."""
    journal.append(five[0], patience=0)
    syncs: list[None] = []

    def rename_after_the_first_three() -> None:
        syncs.append(None)
        log.rename(log.with_name(f"audit.jsonl.{99 - len(syncs)}"))

    with before(os.fsync, rename_after_the_first_three):
        assert len(journal.append_all(five, patience=0)) == 3


def test_a_failed_fsync_acknowledges_none_and_ends_the_journal(
    journal: Journal, five: list[Record], crew: Crew, log: Path
) -> None:
    """What the kernel may have dropped is not claimed, and no later success can hide it."""
    if why_no_strace():
        pytest.skip(why_no_strace())
    journal.append(five[0], patience=0)
    ended = write_once(crew, log, what="together", fault="fsync:error=EIO:when=1")
    assert ended.struck
    assert ended.said is not None
    assert "error" in ended.said


@pytest.fixture(scope="module")
def crew() -> Iterator[Crew]:
    """Forks the writers that are struck."""
    with Crew() as found:
        yield found


@pytest.mark.usefixtures("untraced")  # the tests above run all of it
@needs_strace
@pytest.mark.parametrize("fault", ["signal=KILL", "error=EIO", "error=ENOSPC"])
def test_a_fault_in_any_system_call_loses_and_doubles_none(crew: Crew, tmp_path: Path, make: MakeRecord, fault: str) -> None:
    """A prefix of them stands, what was acknowledged stands where it was told to, and the next append goes on."""
    calls = _struck(crew, tmp_path / "calm", make, "").calls
    assert len(calls) > 20
    for place, call in enumerate(calls):
        _struck(crew, tmp_path / f"{place}", make, f"{call.name}:{fault}:when={call.number}")


def _struck(crew: Crew, folder: Path, make: MakeRecord, fault: str) -> Ended:
    """Five records by one writer, with one call of it struck; and what must hold afterwards."""
    log = folder / "audit.jsonl"
    Journal(log).append(make(mark="first"), patience=0)
    ended = write_once(crew, log, what="together", fault=fault)
    after = standing.history(log)
    marks = [record.fields["mark"] for record in after]
    assert marks == ["first", *(f"struck-{number}" for number in range(len(marks) - 1))]
    told = (ended.said or {}).get("told", [])
    standing.keeps(after, told)
    assert bool(fault) or len(told) == 5
    Journal(log).append(make(mark="last"), patience=0)
    final = standing.history(log)
    assert final[: len(after)] == after
    assert final[-1].fields["mark"] == "last"
    assert is_whole(log)
    return ended
