"""Records are appended durably, one after the other, and whatever is wrong with the log is said."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from molecule_approve.audit import files
from molecule_approve.audit.chain import Fault, Head
from molecule_approve.audit.journal import Journal
from molecule_approve.audit.record import SECRET_MARK, Record, RecordOutcome
from molecule_approve.audit.verify import run as verify_run
from molecule_approve.errors import AuditError, UsedError
from molecule_approve.model import Secret

if TYPE_CHECKING:
    from molecule_approve.audit.verify.report import Report

MakeRecord = Callable[..., Record]
Chained = Callable[[Path], list[dict[str, Any]]]
Before = Callable[[object, Callable[[], None]], AbstractContextManager[None]]
MakeChild = Callable[..., Any]

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\Z")


def ranges(report: Report) -> tuple[tuple[int, int], ...]:
    """What is missing."""
    return tuple((gap.first, gap.last) for gap in report.gaps)


def test_records_follow_each_other_in_one_chain(journal: Journal, log: Path, make: MakeRecord, chained: Chained) -> None:
    """The first record begins a log with its own random id; each head is what an independent check computes."""
    assert journal.head() is None
    heads = [journal.append(make(number=number), patience=0) for number in range(5)]
    found = chained(log)
    assert [fields["number"] for fields in found] == list(range(5))
    assert UUID.match(heads[0].log_id)
    last = log.read_bytes().split(b"\n")[-2]
    assert heads[-1] == Head(found[0]["log_id"], 5, hashlib.sha256(last).hexdigest())
    memory = files.recall(log)
    assert memory is not None
    assert journal.head() == Journal(log).head() == memory.head == heads[-1]
    assert verify_run.verify_log(log).report.whole


def test_two_logs_have_two_ids(tmp_path: Path, make: MakeRecord) -> None:
    """A log's id is random."""
    heads = [Journal(tmp_path / name).append(make(), patience=0) for name in ("one", "two")]
    assert heads[0].log_id != heads[1].log_id


def test_secrets_never_reach_the_disk(log: Path, make: MakeRecord) -> None:
    """What the journal was told to be secret stands in no file of the log."""
    Journal(log, secrets=[Secret("s3cret")]).append(make(resource="curl s3cret", error="at s3cret"), patience=0)
    files = [path for path in log.parent.rglob("*") if path.is_file()]
    assert len(files) == 3
    assert all(b"s3cret" not in path.read_bytes() for path in files)


def test_lines_of_other_tools_stay_and_the_chain_goes_round_them(
    journal: Journal, log: Path, make: MakeRecord, chained: Chained
) -> None:
    """A log that another tool began, and goes on writing without our lock, holds both, and verifies."""
    log.parent.mkdir(mode=0o700)
    log.write_bytes(b'{"event_type":"memory"}\nplain text\n')
    journal.append(make(), patience=0)
    with log.open("ab") as other:
        other.write(b'{"event_type":"memory","prev":null}\n' * 3_000)
    journal.append(make(), patience=0)
    assert len(chained(log)) == 2
    report = verify_run.verify_log(log).report
    assert report.whole
    assert (report.covered, report.uncovered) == (2, 3_002)


def test_a_torn_last_line_is_closed_and_named(log: Path, make: MakeRecord, chained: Chained) -> None:
    """Half a line that a power cut left is kept, closed, and named by a record with its place, length and hash."""
    journal = Journal(log, now=lambda: "2026-04-27T11:11:11.000000Z")
    journal.append(make(), patience=0)
    size = log.stat().st_size
    torn = b'{"timestamp":"2026-04'
    with log.open("ab") as file:
        file.write(torn)
    head = journal.append(make(number=2), patience=0)
    _, recover, last = chained(log)
    assert torn + b"\n" in log.read_bytes()
    assert [recover[name] for name in ("event_type", "action", "outcome", "reason")] == [
        "audit",
        "recover",
        "success",
        "torn_line",
    ]
    assert (recover["offset"], recover["length"], recover["timestamp"]) == (size, len(torn), "2026-04-27T11:11:11.000000Z")
    assert recover["digest"] == hashlib.sha256(torn).hexdigest()
    assert (last["number"], last["seq"]) == (2, head.seq) == (2, 3)
    assert verify_run.verify_log(log).report.whole


def test_a_line_that_lacks_only_its_newline_is_still_a_record(
    journal: Journal, log: Path, make: MakeRecord, chained: Chained
) -> None:
    """Such a line gets its newline and its place in the chain; no record is lost, and none accused."""
    journal.append(make(number=1), patience=0)
    journal.append(make(number=2), patience=0)
    os.truncate(log, log.stat().st_size - 1)
    journal.append(make(number=3), patience=0)
    assert [fields.get("reason", fields.get("number")) for fields in chained(log)] == [1, 2, "torn_line", 3]
    assert verify_run.verify_log(log).report.whole


def test_a_record_that_was_whole_and_is_torn_now_is_damage(journal: Journal, log: Path, make: MakeRecord) -> None:
    """The remembered head knows that the line had been whole: the record says so, and verify names the gap for good."""
    journal.append(make(), patience=0)
    lost = journal.append(make(), patience=0)
    os.truncate(log, log.stat().st_size - 30)
    assert verify_run.verify_log(log).report.first_break is not None
    journal.append(make(), patience=0)
    report = verify_run.verify_log(log).report
    recover = json.loads(log.read_bytes().split(b"\n")[2])
    assert (recover["reason"], recover["seq"], recover["remembered_seq"], recover["remembered_hash"]) == (
        "truncated",
        3,
        2,
        lost.hash,
    )
    assert recover["found_seq"] == 1
    assert recover["length"] > 100
    assert ranges(report) == ((2, 2),)
    assert report.first_break is not None
    assert report.first_break.fault is Fault.MISSING


def test_an_end_that_was_rewritten_is_damage(journal: Journal, log: Path, make: MakeRecord) -> None:
    """A last line with other bytes is not what the next record follows: the chain goes on from what was written."""
    journal.append(make(), patience=0)
    journal.append(make(RecordOutcome.DENIED), patience=0)
    log.write_bytes(log.read_bytes().replace(b"denied", b"denies"))
    journal.append(make(), patience=0)
    report = verify_run.verify_log(log).report
    assert report.first_break is not None
    assert (report.first_break.line, report.first_break.fault) == (2, Fault.CHANGED)
    assert b'"reason":"changed"' in log.read_bytes()


def test_another_log_in_its_place_is_damage(journal: Journal, log: Path, make: MakeRecord, tmp_path: Path) -> None:
    """A file that was exchanged does not become the log: the remembered log goes on, and verify names the place."""
    mine = journal.append(make(), patience=0)
    Journal(tmp_path / "other").append(make(), patience=0)
    log.write_bytes((tmp_path / "other").read_bytes())
    head = journal.append(make(), patience=0)
    assert (head.log_id, head.seq) == (mine.log_id, 3)
    report = verify_run.verify_log(log).report
    assert report.first_break is not None
    assert (report.first_break.line, report.first_break.fault) == (2, Fault.OTHER_LOG)


def test_a_log_that_vanished_goes_on(journal: Journal, log: Path, make: MakeRecord) -> None:
    """The same log, the next number; verify names what is not there, before and after."""
    first = journal.append(make(), patience=0)
    before = journal.append(make(), patience=0)
    log.unlink()
    assert journal.head() == before
    assert ranges(verify_run.verify_log(log).report) == ((1, 2),)
    after = journal.append(make(), patience=0)
    assert (after.log_id, after.seq) == (first.log_id, 4)
    assert b'"reason":"deleted","remembered_seq":2' in log.read_bytes().splitlines()[0]
    report = verify_run.verify_log(log).report
    assert (report.first, ranges(report)) == (3, ((1, 2),))


def test_a_log_ahead_of_its_memory_goes_on_from_its_end(
    journal: Journal, log: Path, make: MakeRecord, chained: Chained
) -> None:
    """A crash before the head was remembered costs nothing; nor does a memory that was lost altogether."""
    journal.append(make(), patience=0)
    old = files.head_path(log).read_bytes()
    for _ in range(3):
        journal.append(make(), patience=0)
    files.head_path(log).write_bytes(old)
    journal.append(make(), patience=0)
    files.head_path(log).unlink()
    journal.append(make(), patience=0)
    assert len(chained(log)) == 6
    assert verify_run.verify_log(log).report.whole


def test_a_rotated_log_ahead_of_an_old_memory_goes_on_from_its_end(journal: Journal, log: Path, make: MakeRecord) -> None:
    """A memory older than the whole file contradicts nothing."""
    journal.append(make(), patience=0)
    old = files.head_path(log).read_bytes()
    log.rename(log.with_name("audit.jsonl.1"))
    journal.append(make(), patience=0)
    files.head_path(log).write_bytes(old)
    assert journal.append(make(), patience=0).seq == 3
    assert b"recover" not in log.read_bytes()


def test_the_end_names_the_damage_that_the_next_record_will(journal: Journal, log: Path, make: MakeRecord) -> None:
    """Without a write: whole, cut off, and gone."""
    assert journal.end().head is None
    heads = [journal.append(make(), patience=0) for _ in range(3)]
    assert (journal.end().head, journal.end().damage) == (heads[-1], {})
    log.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[:2]))
    before = log.read_bytes()
    damage = journal.end().damage
    assert (damage["reason"], log.read_bytes()) == ("truncated", before)
    journal.append(make(), patience=0)
    recovery = json.loads(log.read_bytes().splitlines()[2])
    assert recovery.items() >= damage.items()
    log.unlink()
    assert journal.end().damage["reason"] == "deleted"


def test_a_failed_fsync_is_an_error_and_is_never_tried_again(journal: Journal, log: Path, make: MakeRecord) -> None:
    """After a failed fsync nobody knows what is on the disk: this journal writes no more."""
    reader, writer = os.pipe()
    with pytest.raises(OSError, match="Invalid argument"):
        journal._writer._sync(writer)  # a pipe cannot be synced
    os.close(reader)
    os.close(writer)
    with pytest.raises(AuditError, match="fsync failed"):
        journal.append(make(), patience=0)
    assert not log.exists()


def test_a_refusal_of_the_system_becomes_a_sentence(
    journal: Journal, log: Path, make: MakeRecord, before: Before, tmp_path: Path
) -> None:
    """Whatever fails below an append is an error of the log, with its path."""
    journal.append(make(), patience=0)

    def take_the_folder_away() -> None:
        log.rename(log.with_name("gone"))
        log.parent.rename(tmp_path / "elsewhere")
        (tmp_path / "state").touch()

    with before(os.fsync, take_the_folder_away), pytest.raises(AuditError, match="Not a directory"):
        journal.append(make(), patience=0)


@pytest.mark.parametrize("kind", ["folder", "link", "fifo", "open to all"])
def test_what_is_no_log_is_refused_before_anything_is_written(
    journal: Journal, log: Path, make: MakeRecord, kind: str
) -> None:
    """A folder, a link, a pipe, or a file that everybody can write, where the log should be: refused at once."""
    log.parent.mkdir(mode=0o700)
    match kind:
        case "folder":
            log.mkdir()
        case "link":
            log.symlink_to(log.with_name("elsewhere"))
        case "fifo":
            os.mkfifo(log)
        case _:
            log.touch()
            log.chmod(0o666)
    with pytest.raises(AuditError):
        journal.append(make(), patience=0)
    assert not log.with_name("elsewhere").exists()


def test_one_yes_is_used_once(journal: Journal, log: Path, make: MakeRecord) -> None:
    """The second grant of an approval is refused, and says when and under which trace it was used."""
    journal.append(make(), patience=0)
    journal.append(make(RecordOutcome.REQUESTED, approval_id="a-1"), patience=0)
    granted = make(RecordOutcome.GRANTED, approval_id="a-1")
    journal.grant(granted, approval_id="a-1", patience=0)
    size = log.stat().st_size
    with pytest.raises(UsedError, match=r"a-1 was already redeemed, at 2026-04-27T10:00:00\.000000Z .* trace trace-1"):
        journal.grant(granted, approval_id="a-1", patience=0)
    assert log.stat().st_size == size
    journal.grant(make(RecordOutcome.GRANTED, approval_id="a-2"), approval_id="a-2", patience=0)


def test_a_grant_is_found_while_the_log_is_copied_and_cut(
    journal: Journal, log: Path, make: MakeRecord, before: Before
) -> None:
    """The search begins again, and finds it in the copy; cut twice, it is no yes."""
    granted = make(RecordOutcome.GRANTED, approval_id="a-1")
    journal.grant(granted, approval_id="a-1", patience=0)

    def copytruncate() -> None:
        if log.stat().st_size:
            log.with_name(f"{log.name}.1").write_bytes(log.read_bytes())
            os.truncate(log, 0)

    with before(os.pread, copytruncate), pytest.raises(UsedError):
        journal.grant(granted, approval_id="a-1", patience=0)


def test_the_first_grant_may_begin_a_log(journal: Journal, make: MakeRecord) -> None:
    """Where there is no log yet, nothing was used."""
    assert journal.grant(make(RecordOutcome.GRANTED, approval_id="a"), approval_id="a", patience=0).seq == 1


def test_an_approval_whose_id_is_masked_is_still_used_once(log: Path, make: MakeRecord) -> None:
    """A platform that answers with our own token as the id does not get around the rule."""
    journal = Journal(log, secrets=[Secret("a-1")])
    granted = make(RecordOutcome.GRANTED, approval_id="a-1")
    journal.grant(granted, approval_id="a-1", patience=0)
    with pytest.raises(UsedError):
        journal.grant(granted, approval_id="a-1", patience=0)


def test_an_approval_is_used_whatever_was_secret_when_it_was_granted(log: Path, make: MakeRecord) -> None:
    """Who sets a part of the id as a token for the first attempt gets no second one without it."""
    approval_id = "0b5f2c1a-94c3-4d55-8e67-2f1f0f1e6a3b"
    granted = make(RecordOutcome.GRANTED, approval_id=approval_id, comment="about 0b5f2c1a")
    Journal(log, secrets=[Secret("0b5f2c1a")]).grant(granted, approval_id=approval_id, patience=0)
    with pytest.raises(UsedError):
        Journal(log).grant(granted, approval_id=approval_id, patience=0)
    assert "about 0b5f2c1a" not in log.read_text()


@pytest.mark.parametrize("secret", ["", "0b5f2c1a"])
def test_a_request_is_found_whatever_is_secret(log: Path, make: MakeRecord, secret: str) -> None:
    """Also by an attempt for which a part of its id is a token."""
    approval_id = "0b5f2c1a-94c3-4d55-8e67-2f1f0f1e6a3b"
    Journal(log).append(make(RecordOutcome.REQUESTED, approval_id=approval_id, asked_sha256="ab"), patience=0)
    journal = Journal(log, secrets=[Secret(secret)])
    found = journal.find(approval_id)
    assert found is not None
    assert found.approval_id == approval_id
    assert journal.has_asked(approval_id, "ab")
    assert not journal.has_asked(approval_id, "cd")


def test_a_grant_that_an_earlier_version_masked_is_found(log: Path, make: MakeRecord) -> None:
    """A short token that is a part of the id was masked in it once; the approval is used all the same."""
    Journal(log).append(make(RecordOutcome.GRANTED, approval_id=f"a{SECRET_MARK}2"), patience=0)
    with pytest.raises(UsedError):
        Journal(log, secrets=[Secret("b1")]).grant(
            make(RecordOutcome.GRANTED, approval_id="ab12"), approval_id="ab12", patience=0
        )


def test_finding_and_ids_without_a_log_are_empty(journal: Journal) -> None:
    """On a fresh machine nothing is known, and nothing is created by asking."""
    assert journal.find("a-1") is None
    assert journal.recent_ids(5) == []
    assert not journal.path.parent.exists()


def test_what_was_asked_is_found_by_id(journal: Journal, make: MakeRecord) -> None:
    """The journal opens the log and asks search.py."""
    journal.append(make(RecordOutcome.REQUESTED, approval_id="a-1", resource="rm -rf /x"), patience=0)
    found = journal.find("a-1")
    assert found is not None
    assert found.action == "rm -rf /x"
    assert journal.find("a-2") is None
    assert journal.recent_ids(5) == ["a-1"]


def test_a_log_that_cannot_be_read_is_an_error(log: Path, journal: Journal) -> None:
    """Reading says what is wrong; verifying a log that never was, too."""
    with pytest.raises(AuditError, match="No such file"):
        verify_run.verify_log(log)
    log.mkdir(parents=True)
    for read in (journal.head, lambda: verify_run.verify_log(log), lambda: journal.find("a"), lambda: journal.recent_ids(1)):
        with pytest.raises(AuditError, match="not a regular file"):
            read()


def test_a_log_below_something_that_is_no_folder_is_an_error(tmp_path: Path) -> None:
    """Where it cannot be known whether there is a log, that is said; it does not count as "nothing was used"."""
    (tmp_path / "file").touch()
    journal = Journal(tmp_path / "file" / "audit.jsonl")
    for read in (journal.head, lambda: journal.find("a"), lambda: journal.recent_ids(1)):
        with pytest.raises(AuditError, match="Not a directory"):
            read()


def test_errors_while_reading_become_sentences(journal: Journal, make: MakeRecord, before: Before) -> None:
    """An I/O error in the middle of reading is an error of the log."""
    journal.append(make(), patience=0)
    opened: list[int] = []

    def exchange_for_a_folder() -> None:
        # What the log's handle reads now is a folder: the system answers EISDIR.
        for link in Path("/proc/self/fd").iterdir():
            if not opened and os.path.realpath(link) == os.path.realpath(journal.path):
                folder = os.open(journal.path.parent, os.O_RDONLY)
                os.dup2(folder, int(link.name))
                os.close(folder)
                opened.append(int(link.name))

    with before(os.pread, exchange_for_a_folder), pytest.raises(AuditError, match="cannot be read: Is a directory"):
        journal.find("a")


def test_the_first_record_names_a_network_file_system(log: Path, make: MakeRecord, tmp_path: Path) -> None:
    """Where neither lock nor append can be trusted, the first record of the file says so, and only that one."""
    device = tmp_path.stat().st_dev
    table = tmp_path / "mountinfo"
    table.write_text(f"1 1 {os.major(device)}:{os.minor(device)} / / rw - nfs4 server:/x rw\n")
    journal = Journal(log, mounts=table)
    journal.append(make(), patience=0)
    journal.append(make(), patience=0)
    first, second = (json.loads(line) for line in log.read_bytes().splitlines())
    assert first["network_filesystem"] == "nfs4"
    assert "network_filesystem" not in second


def test_completion_can_import_the_journal_cheaply(child: MakeChild) -> None:
    """Nothing heavy is loaded with the journal: TAB has a budget."""
    started = child(
        """
        import sys
        there = set(sys.modules)
        import molecule_approve.audit.journal
        print(sorted((set(sys.modules) - there) & set(sys.argv[1].split(","))))
        """,
        "uuid,asyncio,socket,subprocess,typer,rich,httpx,yaml,logging,tempfile,random,urllib.request",
    )
    assert started.line() == "[]"
