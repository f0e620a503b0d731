"""The proof of a log on the disk: all its files, in one process or in several, and what is missing told apart."""

from __future__ import annotations

import gzip
import hashlib
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from molecule_approve.audit.chain import START, Break, Fault, Head
from molecule_approve.audit.files import head_path
from molecule_approve.audit.record import Record, RecordOutcome, encode
from molecule_approve.audit.report.executions import OddStart, StartFault
from molecule_approve.audit.seal import SealKey
from molecule_approve.audit.sealing import state_path
from molecule_approve.audit.verify import run as verify_run
from molecule_approve.audit.verify.report import ExpectedHead
from molecule_approve.audit.verify.run import VerifyOptions
from molecule_approve.errors import AuditError
from tests.audit.records import lines, record

if TYPE_CHECKING:
    from molecule_approve.audit.journal import Journal

LOG = "7d444840-9dc0-11d1-b245-5ffdce74fad2"

MakeRecord = Callable[..., Record]
Before = Callable[[object, Callable[[], None]], AbstractContextManager[None]]


@pytest.fixture
def records(make: MakeRecord) -> list[bytes]:
    """Thirty records of ten requests, the last one of which is not decided."""
    lines: list[bytes] = []
    prev = START
    for number in range(10):
        outcomes = (RecordOutcome.INITIATED, RecordOutcome.REQUESTED, RecordOutcome.GRANTED)
        for outcome in outcomes if number < 9 else (*outcomes[:2], RecordOutcome.RESUMED):
            record = make(outcome, trace_id=f"trace-{number}", invocation="i")
            lines.append(encode(record, log_id=LOG, seq=len(lines) + 1, prev=prev))
            prev = hashlib.sha256(lines[-1]).hexdigest()
    return lines


@pytest.fixture
def write(log: Path) -> Callable[..., Path]:
    """Writes a file of the log, with the newlines that belong there."""

    def written(name: str, lines: list[bytes], end: bytes = b"\n") -> Path:
        log.parent.mkdir(mode=0o700, exist_ok=True)
        path = log.with_name(name)
        data = b"\n".join(lines) + end if lines else b""
        path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
        return path

    return written


Write = Callable[..., Path]


def head_at(records: list[bytes], seq: int) -> ExpectedHead:
    return ExpectedHead(seq, hashlib.sha256(records[seq - 1]).hexdigest())


def test_a_log_is_whole_over_all_its_files(log: Path, records: list[bytes], write: Write) -> None:
    """Archives of every kind and the live file are one chain; requests without an ending are counted, not blamed."""
    write("audit.jsonl.2.gz", [b"other", *records[:10]])
    write("audit.jsonl.000000000011-000000000020", records[10:20])
    write("audit.jsonl", records[20:])
    result = verify_run.verify_log(log, VerifyOptions([head_at(records, 15)]))
    assert result.whole
    assert (result.report.first, result.report.covered, result.report.uncovered) == (1, 30, 1)
    assert [(file.first, file.last) for file in result.report.files] == [(1, 10), (11, 20), (21, 30)]
    assert result.compressed == {"audit.jsonl.2.gz"}
    assert (result.open.total, [(one.trace_id, one.seq) for one in result.open.first]) == (1, [("trace-9", 30)])
    assert [one.met for one in result.report.expected] == [True]


def test_a_missing_archive_is_told_from_a_gap(log: Path, records: list[bytes], write: Write) -> None:
    """What ends just where a file begins can be a whole file; inside a file it is a gap."""
    write("audit.jsonl.2", records[3:10])
    write("audit.jsonl", [*records[14:20], *records[22:]])
    report = verify_run.verify_log(log).report
    assert [(gap.first, gap.last, gap.is_between_files) for gap in report.gaps] == [
        (1, 3, True),
        (11, 14, True),
        (21, 22, False),
    ]
    assert [(gap.after, gap.before) for gap in report.gaps[:2]] == [
        ("", "audit.jsonl.2"),
        ("audit.jsonl.2", "audit.jsonl"),
    ]
    assert report.breaks == 3
    assert report.first_break is not None
    assert report.first_break[:3] == ("audit.jsonl.2", 1, Fault.MISSING)


def test_what_was_removed_on_purpose_is_not_asked_for(log: Path, records: list[bytes], write: Write) -> None:
    """Retention: the log need not begin before that record, and the hash of the one before is still told by it."""
    write("audit.jsonl.1", records[3:10])
    write("audit.jsonl", records[12:])
    assert verify_run.verify_log(log, VerifyOptions(begins=13)).whole
    assert verify_run.verify_log(log, VerifyOptions([head_at(records, 12)], begins=13)).whole
    report = verify_run.verify_log(log, VerifyOptions(begins=12)).report
    assert [(gap.first, gap.last) for gap in report.gaps] == [(11, 12)]
    gone = verify_run.verify_log(log, VerifyOptions([head_at(records, 2)], begins=13)).report
    assert gone.first_break is not None
    assert (gone.first_break.fault, gone.first_break.expected) == (Fault.MISSING, "record 2")
    log.with_name("audit.jsonl.1").unlink()
    assert verify_run.verify_log(log, VerifyOptions(begins=13)).whole
    assert verify_run.verify_log(log, VerifyOptions(begins=2)).report.gaps[0][:2] == (2, 12)


def test_a_remembered_head_before_the_beginning_is_not_asked_for(journal: Journal, log: Path, make: MakeRecord) -> None:
    """Who removes all records up to the remembered one on purpose, and says so, is told of no damage."""
    for _ in range(3):
        journal.append(make(), patience=0)
    remembered = head_path(log).read_bytes()
    for _ in range(3):
        journal.append(make(), patience=0)
    head_path(log).write_bytes(remembered)
    log.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[4:]))
    result = verify_run.verify_log(log, VerifyOptions(begins=5))
    assert result.whole
    assert [one.met for one in result.report.expected] == [None]
    assert not verify_run.verify_log(log).whole
    assert verify_run.verify_log(log, VerifyOptions(begins=7)).whole
    assert verify_run.verify_log(log, VerifyOptions(begins=8)).report.first_break == Break(
        log.name, 3, Fault.MISSING, "record 8", "none after 6"
    )
    log.write_bytes(b"")
    assert verify_run.verify_log(log, VerifyOptions(begins=4)).whole
    assert not verify_run.verify_log(log, VerifyOptions(begins=5)).whole


def test_records_that_stand_twice_where_two_files_meet_are_no_damage(log: Path, records: list[bytes], write: Write) -> None:
    """The file was renamed while we wrote: what was written again counts once; other repetitions are damage."""
    write("audit.jsonl.1", records[:12])
    write("audit.jsonl", [b"other", *records[10:]])
    report = verify_run.verify_log(log).report
    assert (report.whole, report.doubled, report.covered) == (True, 2, 30)
    write("audit.jsonl", [*records[11:12], *records[11:]])
    assert not verify_run.verify_log(log).whole
    write("audit.jsonl", records[5:])
    assert not verify_run.verify_log(log).whole
    other = records[11].replace(b"deploy", b"forged")
    write("audit.jsonl", [other, *records[12:]])
    assert not verify_run.verify_log(log).whole
    write("audit.jsonl", [other])
    assert not verify_run.verify_log(log).whole


def test_the_end_of_a_line_that_is_too_long_is_no_record(log: Path, records: list[bytes], write: Write) -> None:
    """Wherever such a line is cut for reading: what follows belongs to it, though it looks like what should come next."""
    begin = b"\n".join(records[:3]) + b"\n"
    write("audit.jsonl", [begin + b"x" * (verify_run.BLOCK - len(begin)) + records[3], *records[4:]])
    report = verify_run.verify_log(log).report
    assert (report.covered, report.uncovered, [gap[:2] for gap in report.gaps]) == (29, 1, [(4, 4)])


def test_a_false_beginning_and_a_changed_end_of_a_file_are_found(log: Path, records: list[bytes], write: Write) -> None:
    """Across files the line that was changed is named, in the file where it stands."""
    write("audit.jsonl.1", [*records[:9], records[9].replace(b"deploy", b"forged")])
    write("audit.jsonl", records[10:])
    report = verify_run.verify_log(log).report
    assert report.first_break is not None
    assert report.first_break[:3] == ("audit.jsonl.1", 10, Fault.CHANGED)


def test_archives_that_cannot_be_read_are_named(log: Path, records: list[bytes], write: Write) -> None:
    """Nothing can be said about them; whatever their reason, the rest is checked, and the log is not whole."""
    write("audit.jsonl", records[10:])
    broken = write("audit.jsonl.2.gz", records[:10])
    broken.write_bytes(broken.read_bytes()[:30])
    result = verify_run.verify_log(log, VerifyOptions(begins=11))
    assert result.report.whole
    assert not result.whole
    assert [one.path for one in result.unreadable] == [broken]


def test_an_archive_that_breaks_off_is_read_as_far_as_it_goes(log: Path, records: list[bytes], write: Write) -> None:
    """A compressed file whose beginning can be read, and whose end cannot."""
    write("audit.jsonl", records[20:])
    noise = [os.urandom(300).hex().encode() for _ in range(600)]
    broken = write("audit.jsonl.2.gz", [*records[:20], *noise])
    broken.write_bytes(broken.read_bytes()[:-20_000])
    result = verify_run.verify_log(log)
    assert [(one.path, "cannot be unpacked" in one.reason) for one in result.unreadable] == [(broken, True)]
    assert not result.whole


def test_nothing_at_all_is_an_error_and_a_log_that_is_gone_is_damage(journal: Journal, log: Path, make: MakeRecord) -> None:
    """A log that never was cannot be checked; one that is remembered is missing."""
    with pytest.raises(AuditError, match="No such file"):
        verify_run.verify_log(log)
    journal.append(make(), patience=0)
    log.unlink()
    report = verify_run.verify_log(log).report
    assert [gap[:2] for gap in report.gaps] == [(1, 1)]
    assert report.first_break is not None
    assert report.first_break.fault is Fault.CUT


def test_one_file_by_itself_may_begin_anywhere(records: list[bytes], write: Write) -> None:
    """A copied archive, compressed or not: nothing beside it counts, and heads must be met by what it holds."""
    for name in ("copy", "copy.gz"):
        path = write(name, records[10:20])
        result = verify_run.verify_file(path, VerifyOptions([head_at(records, 10), head_at(records, 20)]))
        assert result.whole
        assert (result.report.first, result.report.covered) == (11, 10)
        assert [one.met for one in result.report.expected] == [True, True]
        for seq, fault in ((9, Fault.MISSING), (21, Fault.CUT)):
            report = verify_run.verify_file(path, VerifyOptions([head_at(records, seq)])).report
            assert report.first_break is not None
            assert report.first_break.fault is fault
        changed = verify_run.verify_file(path, VerifyOptions([ExpectedHead(10, "0" * 64)])).report
        assert changed.first_break is not None
        assert changed.first_break.found.endswith("as record 11 says")
    path.write_bytes(b"no gzip")
    with pytest.raises(AuditError, match="cannot be unpacked"):
        verify_run.verify_file(path)
    with pytest.raises(AuditError, match="packed as"):
        verify_run.verify_file(write("copy.zst", records))


def test_seals_are_checked_with_the_writers_own_key(journal: Journal, log: Path, make: MakeRecord) -> None:
    """Each record from the key on; a key of another log is an error, a forged end is found, and so is a plain record."""
    journal.append(make(), patience=0)
    key = journal.init(make(), new_key=False, patience=0)
    for _ in range(20):
        journal.append(make(), patience=0)
    result = verify_run.verify_log(log, VerifyOptions(keys=[key]))
    assert result.whole
    assert (result.report.sealed, result.report.sealed_from, result.checked_from) == (21, key.seq, key.seq)
    assert verify_run.verify_log(log).whole
    assert verify_run.verify_log(log, VerifyOptions(keys=[key, key.at(key.seq + 5)])).whole
    assert not verify_run.verify_log(log, VerifyOptions(keys=[SealKey(key.log_id, key.seq, b"0" * 32)])).whole
    with pytest.raises(AuditError, match="belongs to log"):
        verify_run.verify_log(log, VerifyOptions(keys=[SealKey(LOG, 1, key.key)]))
    lines = log.read_bytes().splitlines()
    head = Head(key.log_id, len(lines), hashlib.sha256(lines[-1]).hexdigest())
    with log.open("ab") as file:
        file.write(encode(make(), log_id=key.log_id, seq=head.seq + 1, prev=head.hash) + b"\n")
    for terms in (VerifyOptions(), VerifyOptions(keys=[key])):
        report = verify_run.verify_log(log, terms).report
        assert report.first_break is not None
        assert report.first_break.fault is Fault.NOT_SEALED
    rotated = log.with_name("audit.jsonl.1")
    rotated.write_bytes(b"\n".join(lines) + b"\n")
    log.write_bytes(log.read_bytes().splitlines(keepends=True)[-1])
    assert verify_run.verify_log(log).report.breaks == 1


def test_the_state_of_the_seal_is_a_remembered_head(journal: Journal, log: Path, make: MakeRecord) -> None:
    """An end that was cut off is found by it as well; who cannot read the key's file goes without."""
    journal.init(make(), new_key=False, patience=0)
    journal.append(make(), patience=0)
    head_path(log).unlink()
    log.write_bytes(log.read_bytes().splitlines(keepends=True)[0])
    assert not verify_run.verify_log(log).whole
    state_path(log).write_bytes(b"{}")
    assert verify_run.verify_log(log).whole


def test_several_processes_find_the_same_as_one(log: Path, records: list[bytes], write: Write) -> None:
    """A log of many parts: the same report, told how far it is; and the first bad line of a damaged one has its number."""
    filler = [b'{"by":"another tool","text":"' + b"x" * 60_000 + b'"}'] * 10
    lines = [piece for line in records for piece in (*filler, line)]
    write("audit.jsonl", lines, end=b"")
    told: list[tuple[int, int]] = []
    result = verify_run.verify_log(log, watch=lambda done, total: told.append((done, total)))
    assert told[-1] == (log.stat().st_size, log.stat().st_size)
    assert len(told) > 4
    assert (result.report.covered, result.report.uncovered, result.report.unfinished) == (29, 301, True)
    assert result == verify_run.verify_file(log)._replace(report=result.report)
    lines[11 * 20 - 1] = lines[11 * 20 - 1].replace(b"deploy", b"forged")
    write("audit.jsonl", lines)
    broken = verify_run.verify_log(log).report
    assert broken.first_break is not None
    assert broken.first_break[:3] == ("audit.jsonl", 220, Fault.CHANGED)
    write("audit.jsonl", lines[: 11 * 20])
    assert verify_run.verify_log(log).report.whole


def test_a_line_without_end_is_passed_over(log: Path, records: list[bytes], write: Write) -> None:
    """What is too long to be ours is one line of another tool, however long, and whatever its end looks like."""
    long = b"x" * (verify_run.BLOCK * 3) + b"\0" * verify_run.PART + records[2]
    write("audit.jsonl", [*records[:2], long, *records[2:]])
    result = verify_run.verify_log(log)
    assert (result.whole, result.report.covered, result.report.uncovered) == (True, 30, 1)
    write("audit.jsonl", [*records, long], end=b"")
    assert (verify_run.verify_log(log).report.unfinished, verify_run.verify_log(log).whole) == (True, True)


def test_a_live_file_that_cannot_be_read_to_its_end_cannot_be_checked(
    log: Path, records: list[bytes], write: Write, before: Before
) -> None:
    """It shrank under us, or the disk fails: that is no proof of anything. An archive's failure is told beside the rest."""
    write("audit.jsonl", records)
    done: list[Path] = []

    def cut() -> None:
        done.append(log)
        if len(done) > 1:  # the first reading finds the first record
            os.truncate(log, 0)

    with before(os.pread, cut), pytest.raises(AuditError, match="shrank"):
        verify_run.verify_log(log)
    write("audit.jsonl", records[20:])
    archive = write("audit.jsonl.1", records[:20])

    def exchange_for_a_folder() -> None:
        for link in Path("/proc/self/fd").iterdir():
            if os.path.realpath(link) != str(archive):
                continue
            done.append(archive)
            if done.count(archive) > 1:
                folder = os.open(archive.parent, os.O_RDONLY)
                os.dup2(folder, int(link.name))
                os.close(folder)

    with before(os.pread, exchange_for_a_folder):
        result = verify_run.verify_log(log)
    assert "Is a directory" in result.unreadable[0].reason
    assert result.report.covered == 10


def test_starts_are_compared_with_approvals_over_all_files(log: Path, write: Write) -> None:
    """A whole log names a start without a grant and stays whole; where records may be missing, the grant may be there."""
    digest = "a" * 64
    command = f"true\nprogram: /bin/true sha256:{digest}\ndigest: sha256:{digest}"

    def execution(outcome: str, name: str) -> Record:
        return record(outcome, name, action="execute", resource=command, approval_id=name, digest=digest)

    granted = record("granted", "one", resource=command, approval_id="one")
    chain = lines(granted, execution("started", "one"), execution("started", "two"))
    write("audit.jsonl.1", chain[:1])
    live = write("audit.jsonl", chain[1:])
    result = verify_run.verify_log(log)
    assert result.whole
    assert result.executions.first_odd == (OddStart(StartFault.NOT_GRANTED, 3, "two"),)
    assert [one.seq for one in result.executions.open.first] == [2, 3]
    assert verify_run.verify_file(live).executions.odd == 0
    write("audit.jsonl.1", [])
    assert not verify_run.verify_log(log).whole
    assert verify_run.verify_log(log).executions.odd == 0
    assert verify_run.verify_log(log, VerifyOptions(begins=2)).executions.odd == 0
