"""A full log becomes an archive: no record is lost on the way, whatever moment a kill or another program picks."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import re
import stat
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from molecule_approve.audit import files, rotation
from molecule_approve.audit.journal import Journal
from molecule_approve.audit.read.archives import archive_name
from molecule_approve.audit.record import Record, RecordOutcome
from molecule_approve.errors import AuditError, UsedError
from tests.audit import standing

MakeRecord = Callable[..., Record]
Before = Callable[[object, Callable[[], None]], AbstractContextManager[None]]

LIMIT = 900


@pytest.fixture
def three(journal: Journal, make: MakeRecord) -> Journal:
    """A log of three records."""
    for number in range(3):
        journal.append(make(number=number), patience=0)
    return journal


def count(log: Path) -> int:
    """How many records stand in the log and its archives; the chain between them holds."""
    return len(standing.history(log))


def archives_of(log: Path) -> list[str]:
    """The names beside the log but for its small files."""
    return sorted(path.name for path in log.parent.iterdir() if path != log and path.suffix not in standing.BESIDE)


def test_a_log_of_the_wanted_size_becomes_an_archive(log: Path, make: MakeRecord) -> None:
    """The chain goes on through all files, and each archive's name says the numbers that it holds."""
    journal = Journal(log, limit=LIMIT)
    for number in range(12):
        journal.append(make(number=number), patience=0)
    assert [record.fields["number"] for record in standing.history(log)] == list(range(12))
    names = archives_of(log)
    assert len(names) >= 3
    for name in names:
        found = [record.seq for record in standing.records(log.with_name(name).read_bytes())]
        assert name == f"audit.jsonl.{found[0]:012d}-{found[-1]:012d}"
        assert log.with_name(name).stat().st_size >= LIMIT
        assert log.with_name(name).stat().st_nlink == 1


def test_never_means_never(log: Path, make: MakeRecord) -> None:
    """Without a limit the log only grows."""
    journal = Journal(log, limit=None)
    for _ in range(12):
        journal.append(make(), patience=0)
    assert archives_of(log) == []


def test_a_log_is_rotated_on_command(three: Journal, log: Path, make: MakeRecord) -> None:
    """The archive's name is told, the live file is empty, and the next record follows the last."""
    archive = three.rotate(patience=0)
    assert archive == log.with_name("audit.jsonl.000000000001-000000000003")
    assert log.read_bytes() == b""
    assert three.append(make(), patience=0).seq == 4
    assert b"recover" not in log.read_bytes()
    assert three.rotate(patience=0) == log.with_name("audit.jsonl.000000000004-000000000004")
    assert count(log) == 4


def test_where_there_is_no_record_there_is_nothing_to_archive(journal: Journal, log: Path) -> None:
    """A log that is missing, empty, or only another tool's stays as it is."""
    log.parent.mkdir(mode=0o700)
    assert journal.rotate(patience=0) is None
    assert not log.exists()
    for data in (b"", b'{"event_type":"memory"}\n', b"half"):
        log.write_bytes(data)
        assert journal.rotate(patience=0) is None
        assert log.read_bytes() == data
    assert archives_of(log) == []


def test_half_a_last_line_is_closed_before_it_is_archived(three: Journal, log: Path, make: MakeRecord) -> None:
    """On command that is an error with a hint; a log that is full goes on for one record more."""
    with log.open("ab") as file:
        file.write(b'{"half')
    with pytest.raises(AuditError, match="ends with an unfinished line") as caught:
        three.rotate(patience=0)
    assert caught.value.hint == "try again after the next record, which closes that line"
    full = Journal(log, limit=LIMIT)
    full.append(make(), patience=0)
    assert archives_of(log) == []
    full.append(make(), patience=0)
    assert archives_of(log) == ["audit.jsonl.000000000001-000000000005"]
    assert count(log) == 6  # with the record that names the half


def test_another_file_of_the_archives_name_stays(three: Journal, log: Path, make: MakeRecord) -> None:
    """Ours gets a number behind its name; nothing is ever overwritten."""
    taken = archive_name(log, 1, 3)
    taken.write_bytes(b"a stranger")
    taken.with_name(f"{taken.name}.2").write_bytes(b"another one")
    assert three.rotate(patience=0) == taken.with_name(f"{taken.name}.3")
    assert (taken.read_bytes(), taken.with_name(f"{taken.name}.2").read_bytes()) == (b"a stranger", b"another one")
    three.append(make(), patience=0)
    assert count(log) == 4


def killed_before_the_rename(log: Path, archive: Path) -> None:
    """The archive's name is reserved by the next live file."""
    files.next_path(log).touch(0o600)
    os.link(files.next_path(log), archive)


def killed_after_the_rename(log: Path, archive: Path) -> None:
    """There is no live file."""
    files.next_path(log).touch(0o600)
    log.rename(archive)


def killed_after_the_link(log: Path, archive: Path) -> None:
    """The new live file has its former name as well."""
    killed_after_the_rename(log, archive)
    os.link(files.next_path(log), log)


def killed_in_an_earlier_version(log: Path, archive: Path) -> None:
    """The live file has the archive's name as well, and the next one lies beside it."""
    os.link(log, archive)
    files.former_path(log, "next").touch(0o600)


KILLED = (killed_before_the_rename, killed_after_the_rename, killed_after_the_link, killed_in_an_earlier_version)


@pytest.mark.parametrize("killed", KILLED)
@pytest.mark.parametrize("taken", [False, True])
@pytest.mark.parametrize("command", [False, True])
def test_a_rotation_that_was_killed_is_finished(
    three: Journal, log: Path, make: MakeRecord, killed: Callable[[Path, Path], None], *, taken: bool, command: bool
) -> None:
    """Or forgotten, by the next record or the next command: no file has two names, and the log goes on as the same one."""
    archive = archive_name(log, 1, 3)
    if taken:
        archive.write_bytes(b"a stranger")
        archive = archive.with_name(f"{archive.name}.2")
    killed(log, archive)
    begun = killed in {killed_after_the_rename, killed_after_the_link}
    if command:
        assert three.rotate(patience=0) == (None if begun else archive)
    assert three.append(make(), patience=0).seq == 4
    assert b"recover" not in log.read_bytes()
    kept = [log.with_name(name) for name in archives_of(log)]
    assert [path.stat().st_nlink for path in (log, *kept)] == [1] * (1 + len(kept))
    assert archive.exists() == (begun or command)
    assert not files.next_path(log).exists()
    assert not files.former_path(log, "next").exists()
    assert count(log) == 4


def test_the_live_file_that_was_prepared_keeps_its_rights_after_a_kill(three: Journal, log: Path, make: MakeRecord) -> None:
    """Whoever could read the log can read the file in which it goes on."""
    killed_after_the_rename(log, archive_name(log, 1, 3))
    files.next_path(log).chmod(0o640)
    three.append(make(), patience=0)
    assert stat.S_IMODE(log.stat().st_mode) == 0o640


@pytest.mark.parametrize("step", [os.rename, os.link])
def test_a_live_file_that_another_program_makes_meanwhile_stays(
    three: Journal, log: Path, make: MakeRecord, before: Before, step: object
) -> None:
    """Between the two renames of a rotation, as logrotate's `create` does; what it wrote is not lost."""

    def make_one() -> None:
        if not log.exists():
            log.write_bytes(b'{"event_type":"memory"}\n')

    with before(step, make_one):
        three.rotate(patience=0)
    assert three.append(make(), patience=0).seq == 4
    assert log.read_bytes().startswith(b'{"event_type":"memory"}\n' if step is os.link else b'{"timestamp"')
    assert count(log) == 4


def test_a_rotation_that_was_killed_at_its_end_is_done(three: Journal, log: Path, make: MakeRecord) -> None:
    """After the rename an empty live file is all that is there; the next record follows the archive's last."""
    log.rename(archive_name(log, 1, 3))
    log.touch(0o600)
    assert three.append(make(), patience=0).seq == 4
    assert b"recover" not in log.read_bytes()
    assert count(log) == 4


@pytest.mark.parametrize("live", [False, True])
def test_an_archive_that_an_earlier_version_makes_after_a_kill_stays(
    three: Journal, log: Path, make: MakeRecord, *, live: bool
) -> None:
    """It does not know the prepared file's other name, so that the archive has two names, too; no record is lost by that."""
    three.rotate(patience=0)
    three.append(make(), patience=0)
    os.link(log, files.next_path(log))
    log.rename(archive_name(log, 4, 4))
    if live:
        log.touch(0o600)
    assert three.append(make(), patience=0).seq == 5
    assert archives_of(log) == [archive_name(log, 1, 3).name, archive_name(log, 4, 4).name]
    assert not files.next_path(log).exists()
    assert log.stat().st_nlink == 1
    assert count(log) == 5


def test_what_is_in_the_way_stops_the_rotation_but_no_record(three: Journal, log: Path, make: MakeRecord) -> None:
    """A file that is not empty where the next live file should be: said on command; records go on in the old file."""
    files.next_path(log).write_bytes(b"mine")
    with pytest.raises(AuditError, match=r"private/next is not empty"):
        three.rotate(patience=0)
    full = Journal(log, limit=LIMIT)
    for _ in range(2):
        full.append(make(), patience=0)
    assert files.next_path(log).read_bytes() == b"mine"
    assert len(list(standing.records(log.read_bytes()))) == 5
    files.next_path(log).unlink()
    full.append(make(), patience=0)
    assert archives_of(log) == ["audit.jsonl.000000000001-000000000005"]  # the names that became wrong are gone
    assert count(log) == 6


def test_a_hard_link_of_the_users_is_nothing_to_finish(three: Journal, log: Path, make: MakeRecord, tmp_path: Path) -> None:
    """A backup by hard links neither begins a rotation nor prevents one; and no name but ours is dropped."""
    os.link(log, tmp_path / "backup")
    three.append(make(), patience=0)
    assert archives_of(log) == []
    os.link(log, log.with_name("audit.jsonl.7"))
    files.next_path(log).write_bytes(b"mine")
    with pytest.raises(AuditError):
        three.rotate(patience=0)
    files.next_path(log).unlink()
    Journal(log, limit=LIMIT).append(make(), patience=0)
    assert archives_of(log) == ["audit.jsonl.000000000001-000000000004", "audit.jsonl.7"]
    assert count(log) == 5


def test_a_full_log_with_a_hard_link_is_rotated(three: Journal, log: Path, make: MakeRecord, tmp_path: Path) -> None:
    """Else a backup by hard links would let the log grow for ever."""
    os.link(log, tmp_path / "backup")
    Journal(log, limit=LIMIT).append(make(), patience=0)
    assert archives_of(log) == ["audit.jsonl.000000000001-000000000003"]


@pytest.mark.parametrize("step", [os.link, os.fchmod, os.rename])
def test_a_log_that_is_exchanged_between_two_steps_is_left_alone(
    three: Journal, log: Path, make: MakeRecord, before: Before, step: object
) -> None:
    """A rename in that very moment: the rotation is given up, no name of ours is left on a file that is not ours."""

    def rotate_by_another() -> None:
        if not log.with_name("audit.jsonl.1").exists():
            log.rename(log.with_name("audit.jsonl.1"))
            log.touch(0o600)

    with (
        before(step, rotate_by_another),
        pytest.raises(AuditError, match="was renamed by another program during the rotation"),
    ):
        three.rotate(patience=0)
    assert log.read_bytes() == b""
    assert log.stat().st_nlink == 1
    assert three.append(make(), patience=0).seq == 4
    assert count(log) == 4


def test_an_automatic_rotation_that_fails_loses_no_record(
    three: Journal, log: Path, make: MakeRecord, before: Before
) -> None:
    """The record goes where the log's name is; the rotation is tried again with the next one."""

    def rotate_by_another() -> None:
        if not log.with_name("audit.jsonl.1").exists():
            log.rename(log.with_name("audit.jsonl.1"))
            log.touch(0o600)

    full = Journal(log, limit=LIMIT)
    with before(os.link, rotate_by_another):
        assert full.append(make(), patience=0).seq == 4
    assert count(log) == 4


def test_a_file_system_without_hard_links_is_said(tmp_path: Path) -> None:
    """What the system answers where it links nothing (here: a folder) becomes a sentence; other refusals stay."""
    (tmp_path / "folder").mkdir()
    with pytest.raises(AuditError, match="has no hard links"):
        rotation._is_reserved(tmp_path / "folder", tmp_path / "name")
    with pytest.raises(FileNotFoundError):
        rotation._is_reserved(tmp_path / "missing", tmp_path / "name")


def test_a_name_that_went_away_meanwhile_is_not_the_log(tmp_path: Path) -> None:
    """Between the listing of a folder and the look at a name, others remove files."""
    assert not rotation._is_same(tmp_path / "missing", tmp_path.stat())


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664])
def test_the_new_file_has_the_old_ones_rights(three: Journal, log: Path, mode: int) -> None:
    """Whoever was given access to the log keeps it, whatever the umask says."""
    log.chmod(mode)
    groups = [group for group in (*os.getgroups(), 4_242 if os.geteuid() == 0 else os.getegid()) if group != os.getegid()]
    os.chown(log, -1, (groups or [os.getegid()])[-1])
    before = log.stat()
    three.rotate(patience=0)
    now = log.stat()
    assert (stat.S_IMODE(now.st_mode), now.st_uid, now.st_gid) == (mode, before.st_uid, before.st_gid)
    assert now.st_ino != before.st_ino


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.compress,
    ".xz": lzma.compress,
    ".bz2": bz2.compress,
    "": bytes,
}


@pytest.mark.parametrize("suffix", PACKERS)
def test_what_was_asked_and_granted_is_found_in_archives(journal: Journal, log: Path, make: MakeRecord, suffix: str) -> None:
    """One yes is used once, whatever was rotated or compressed since; so are the ids that were asked."""
    journal.append(make(RecordOutcome.REQUESTED, approval_id="a-1", resource="rm"), patience=0)
    granted = make(RecordOutcome.GRANTED, approval_id="a-1")
    journal.grant(granted, approval_id="a-1", patience=0)
    archive = journal.rotate(patience=0)
    assert archive is not None
    archive.with_name(f"{archive.name}{suffix}").write_bytes(PACKERS[suffix](archive.read_bytes()))
    if suffix:
        archive.unlink()
    journal.append(make(RecordOutcome.REQUESTED, approval_id="a-2"), patience=0)
    with pytest.raises(UsedError):
        journal.grant(granted, approval_id="a-1", patience=0)
    found = journal.find("a-1")
    assert found is not None
    assert found.action == "rm"
    assert journal.recent_ids(5, ended=True) == ["a-2", "a-1"]
    head = journal.head()
    assert head is not None
    assert head.seq == 3


def test_an_archive_that_cannot_be_unpacked_is_named(journal: Journal, log: Path, make: MakeRecord) -> None:
    """Zstandard is unknown to us: a grant that may stand there is not given again, and the sentence names the file."""
    journal.append(make(), patience=0)
    archive = journal.rotate(patience=0)
    assert archive is not None
    archive.rename(archive.with_name(f"{archive.name}.zst"))
    with pytest.raises(AuditError, match=re.escape(f"{archive.name}.zst")):
        journal.grant(make(RecordOutcome.GRANTED, approval_id="a-1"), approval_id="a-1", patience=0)
    assert journal.append(make(), patience=0).seq == 3
    reasons = [record.fields.get("reason") for record in standing.records(log.read_bytes())]
    assert reasons == ["unreadable", None]
