"""The files of one log are found by their names, in the order of their records, however they are renamed meanwhile."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from molecule_approve.audit.chain import link_of
from molecule_approve.audit.journal import Journal
from molecule_approve.audit.read import archives, texts
from molecule_approve.audit.read import lines as text_lines
from molecule_approve.audit.read.archives import BEGINNING, Snapshot, names
from molecule_approve.audit.record import Record
from molecule_approve.errors import AuditError

MakeRecord = Callable[..., Record]
Before = Callable[[object, Callable[[], None]], AbstractContextManager[None]]
Child = Callable[..., Any]

PACKERS: dict[str, Callable[[bytes], bytes]] = {".gz": gzip.compress, ".xz": lzma.compress, ".bz2": bz2.compress}


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Where the log is, in a folder that is there."""
    return tmp_path / "audit.jsonl"


def line(seq: int, log_id: str = "ours") -> bytes:
    return b'{"log_id":"%s","seq":%d,"prev":"%s"}\n' % (log_id.encode(), seq, b"a" * 64)


def lines(*seqs: int) -> bytes:
    return b"".join(line(seq) for seq in seqs)


def put(path: Path, data: bytes, changed: int = 1_000) -> Path:
    """A file with this text, changed at that second."""
    path.write_bytes(PACKERS.get(path.suffix, bytes)(data))
    os.utime(path, (changed, changed))
    return path


def read(log: Path) -> list[int]:
    """The numbers of all records, the oldest first; the other way round they are the same."""
    with Snapshot(log) as found:
        forwards = [link.seq for _, one in found.forwards() if (link := link_of(one.rstrip(b"\n")))]
        assert backwards(found) == forwards[::-1]
    return forwards


def backwards(found: Snapshot) -> list[int]:
    """The numbers of all records, the newest first, each file read from its end."""
    seqs: list[int] = []
    for file in reversed(found.files):
        with found.reading(file) as text:
            seqs += [link.seq for _, one in text_lines.backwards(text) if (link := link_of(one))]
    return seqs


# --- names -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "audit.jsonl.000000000001-000000012345",
        "audit.jsonl.000000000001-000000012345.2",
        "audit.jsonl.000000000001-000000012345.gz",
        "audit.jsonl.1",
        "audit.jsonl.12.gz",
        "audit.jsonl.2.xz",
        "audit.jsonl.2.bz2",
        "audit.jsonl.2.zst",
        "audit.jsonl.2.zstd",
        "audit.jsonl.2.lz4",
        "audit.jsonl.2.Z",
        "audit.jsonl.2.zip",
        "audit.jsonl.2.gz.gpg",
        "audit.jsonl-20260427",
        "audit.jsonl-20260427.gz",
        "audit.jsonl-20260427-1777284000",
        "audit.jsonl-2026-04-27.1",
        "audit.jsonl-2026-04-27T10.gz",
        "audit.jsonl_2026_04_27",
        "audit.jsonl.000000000001-000000012345.2.1",
        "audit.jsonl.2.1.1",
        "audit.jsonl.2.gz.1.1",
        "audit.jsonl.1.gz.2.gz",
        "audit.1.jsonl",
        "audit-20260427.jsonl",
        "audit-20260427.jsonl.gz",
    ],
)
def test_names_of_archives(log: Path, name: str) -> None:
    """Ours, and those that logrotate gives: numbers, dates, before the suffix, compressed."""
    put(log.with_name(name), b"")
    assert names(log) == [log.with_name(name)]


@pytest.mark.parametrize(
    "name",
    [
        "audit.jsonl",
        "audit.jsonl.lock",
        "audit.jsonl.head",
        "audit.jsonl.seal",
        "audit.jsonl.next",
        "audit.jsonl.bak",
        "audit.jsonl.1.bak",
        "audit.jsonl.1~",
        "audit.jsonl.",
        "audit.jsonl.gz",
        "audit.jsonl1",
        "audit.jsonl.1\n",
        "audit.jsonl.٣",
        "auditXjsonl.1",
        "other.jsonl.1",
        "my-audit.jsonl.1",
        f"audit.jsonl{'.1-1' * 50}x",
    ],
)
def test_names_of_none(log: Path, name: str) -> None:
    """The files beside the log, copies, and other logs'."""
    put(log.with_name(name), b"")
    assert names(log) == []


@pytest.mark.parametrize("beside", ["audit-2.jsonl.lock", ".audit-2.jsonl.private"])
def test_a_log_of_its_own_is_no_archive(log: Path, beside: str) -> None:
    """One log for each day or shift is called like an archive; what lies beside it tells that somebody writes it."""
    other = put(log.with_name("audit-2.jsonl"), line(7, "other"))
    put(other.with_name(beside), b"")
    put(log, lines(1))
    assert names(log) == []
    assert read(log) == [1]


def test_where_there_is_no_folder_there_are_no_files(tmp_path: Path) -> None:
    """Asking creates nothing; a folder that is none is an error."""
    with Snapshot(tmp_path / "none" / "audit.jsonl") as found:
        assert (found.files, found.unreadable) == ((), ())
    assert not (tmp_path / "none").exists()
    put(tmp_path / "file", b"")
    with pytest.raises(AuditError, match="Not a directory"):
        names(tmp_path / "file" / "audit.jsonl")
    with pytest.raises(AuditError, match="Not a directory"):
        Snapshot(tmp_path / "file" / "audit.jsonl")


def test_a_name_that_goes_away_while_the_folder_is_read_is_passed_over(log: Path, before: Before) -> None:
    """Retention removes archives at any moment."""
    gone = put(log.with_name("audit.jsonl.1"), lines(1))
    with before(os.stat, lambda: gone.unlink(missing_ok=True)):
        assert names(log) == []
    again = put(gone, lines(1))
    put(log, b"")
    opened: list[None] = []

    def remove_the_second() -> None:
        opened.append(None)  # the live file is opened first, then what was listed
        if len(opened) == 2:
            again.unlink()

    with before(os.open, remove_the_second), Snapshot(log) as found:
        assert [piece.live for piece in found.files] == [True]


# --- order, and copies -----------------------------------------------------------------------------------------------------


def test_files_are_read_in_the_order_of_their_records(log: Path) -> None:
    """Whatever they are called, and whenever they were changed."""
    put(log, lines(9, 10), changed=1)
    put(log.with_name("audit.jsonl.1"), lines(1, 2), changed=9)
    put(log.with_name("audit.jsonl.2.gz"), lines(7, 8), changed=3)
    put(log.with_name("audit.jsonl-20260427.bz2"), lines(3, 4), changed=4)
    put(log.with_name("audit.jsonl.000000000005-000000000006.xz"), lines(5, 6), changed=2)
    assert read(log) == list(range(1, 11))


def test_a_file_without_records_has_its_place_by_time(log: Path) -> None:
    """Other tools' lines stay between the records that were written before and after."""
    put(log, lines(9))
    put(log.with_name("audit.jsonl.1"), lines(5), changed=40)
    put(log.with_name("audit.jsonl.2"), b"theirs, late\n", changed=30)
    put(log.with_name("audit.jsonl.3"), lines(1), changed=20)
    put(log.with_name("audit.jsonl.4"), b"theirs, early\n", changed=10)
    with Snapshot(log) as found:
        assert [piece.path.name[-1] for piece in found.files] == ["4", "3", "2", "1", "l"]
        assert [piece.live for piece in found.files] == [False] * 4 + [True]


def test_another_logs_records_stand_together(log: Path) -> None:
    """A log that was replaced and rotated: the older log first, the live one last."""
    put(log, lines(3))
    put(log.with_name("audit.jsonl.1"), lines(1), changed=30)
    put(log.with_name("audit.jsonl.2"), line(9, "other"), changed=20)
    put(log.with_name("audit.jsonl.3"), line(2, "other"), changed=10)
    assert read(log) == [2, 9, 1, 3]


def test_a_copy_is_read_once(log: Path) -> None:
    """A second name, the compressed twin of a file, and a copy of the live one."""
    put(log, lines(5, 6))
    put(log.with_name("audit.jsonl.1"), lines(5))
    put(log.with_name("audit.jsonl.2.gz"), lines(3, 4))
    put(log.with_name("audit.jsonl.2"), lines(3, 4))
    put(log.with_name("audit.jsonl.3"), lines(1, 2))
    os.link(log.with_name("audit.jsonl.3"), log.with_name("audit.jsonl.4"))
    os.link(log, log.with_name("audit.jsonl.5"))
    with Snapshot(log) as found:
        assert [piece.path.name for piece in found.files] == ["audit.jsonl.3", "audit.jsonl.2", "audit.jsonl"]
    assert read(log) == list(range(1, 7))


def test_the_first_record_is_looked_for_in_the_beginning_only(log: Path) -> None:
    """Other tools' lines may be many and long, but there must be an end; such a file is still read whole."""
    put(log.with_name("audit.jsonl.2"), b"x" * 3_000_000 + b"\n" + lines(1))
    with log.with_name("audit.jsonl.1").open("wb") as file:
        file.seek(BEGINNING)
        file.write(b"\n" + lines(2))
    put(log, lines(3))
    with Snapshot(log) as found:
        assert {piece.path.name: piece.first and piece.first.seq for piece in found.files} == {
            "audit.jsonl.2": 1,
            "audit.jsonl.1": None,
            "audit.jsonl": 3,
        }
    assert read(log) == [1, 2, 3]


# --- what cannot be read ---------------------------------------------------------------------------------------------------


def test_what_cannot_be_read_is_named_and_the_rest_is_read(log: Path) -> None:
    """Zstandard, LZ4, a file that only says that it is compressed, a folder, a link, half a compressed file."""
    put(log, lines(3))
    put(log.with_name("audit.jsonl.1"), lines(2))
    log.with_name("audit.jsonl.2.zst").write_bytes(b"\x28\xb5\x2f\xfd")
    log.with_name("audit.jsonl.2.lz4").write_bytes(b"\x04\x22\x4d\x18")
    for suffix in PACKERS:
        log.with_name(f"audit.jsonl.3{suffix}").write_bytes(b"no such thing")
    log.with_name("audit.jsonl.4").mkdir()
    log.with_name("audit.jsonl.5").symlink_to(log)
    log.with_name("audit.jsonl.6.gz").write_bytes(gzip.compress(lines(1))[:20])
    assert read(log) == [2, 3]
    with Snapshot(log) as found:
        reasons = {one.path.name: one.reason for one in found.unreadable}
    assert sorted(reasons) == [
        "audit.jsonl.2.lz4",
        "audit.jsonl.2.zst",
        "audit.jsonl.3.bz2",
        "audit.jsonl.3.gz",
        "audit.jsonl.3.xz",
        "audit.jsonl.4",
        "audit.jsonl.5",
        "audit.jsonl.6.gz",
    ]
    assert "packed as .zst," in reasons["audit.jsonl.2.zst"]
    assert all("cannot be unpacked" in reasons[f"audit.jsonl.3{suffix}"] for suffix in PACKERS)
    assert "not a regular file" in reasons["audit.jsonl.4"]


@pytest.mark.parametrize("suffix", PACKERS)
def test_damage_far_inside_a_compressed_file_is_an_error(log: Path, suffix: str) -> None:
    """It looked well at its beginning; half of a history must not pass for all of it."""
    path = log.with_name(f"audit.jsonl.1{suffix}")
    path.write_bytes(PACKERS[suffix](lines(*range(1, 2_000)) + os.urandom(2_000_000)))
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 1_000)
    with Snapshot(log) as found:
        assert [piece.first and piece.first.seq for piece in found.files] == [1]
        with pytest.raises(AuditError, match="cannot be unpacked"):
            list(found.forwards())


def test_the_text_of_a_file_is_had_by_its_name_as_well(log: Path) -> None:
    """Unpacked where it is packed."""
    for suffix in ("", *PACKERS):
        path = put(log.with_name(f"audit.jsonl.1{suffix}"), lines(1, 2))
        with archives.text_of(path) as text:
            assert texts.pread(text, 9_999, 0) == lines(1, 2)
        with archives.stream_of(path) as file:
            assert file.read() == lines(1, 2)


def test_a_file_that_fails_under_the_reader_is_named(log: Path, before: Before) -> None:
    """An I/O error at an archive's beginning makes it unreadable, and nothing else."""
    put(log.with_name("audit.jsonl.1"), lines(1))

    def exchange_for_a_folder() -> None:
        for link in Path("/proc/self/fd").iterdir():
            if os.path.realpath(link) == str(log.with_name("audit.jsonl.1")):
                folder = os.open(log.parent, os.O_RDONLY)
                os.dup2(folder, int(link.name))
                os.close(folder)

    with before(os.pread, exchange_for_a_folder):
        found = Snapshot(log)
    found.close()
    assert [one.path.name for one in found.unreadable] == ["audit.jsonl.1"]


# --- while others rename ---------------------------------------------------------------------------------------------------


def shift(log: Path) -> None:
    """What logrotate does: each archive gets the next number, the live file becomes the first, and there is a new one."""
    numbers = sorted((int(path.suffix[1:]) for path in log.parent.glob("audit.jsonl.[0-9]*")), reverse=True)
    for number in numbers:
        log.with_name(f"audit.jsonl.{number}").rename(log.with_name(f"audit.jsonl.{number + 1}"))
    log.rename(log.with_name("audit.jsonl.1"))
    log.touch()


@pytest.fixture
def shifting(log: Path) -> Iterator[Path]:
    """A live file and two archives."""
    put(log.with_name("audit.jsonl.2"), lines(1, 2))
    put(log.with_name("audit.jsonl.1"), lines(3, 4))
    before = len(list(Path("/proc/self/fd").iterdir()))
    yield put(log, lines(5, 6))
    assert len(list(Path("/proc/self/fd").iterdir())) <= before


def test_a_snapshot_survives_rotations(shifting: Path) -> None:
    """What was found is read, wherever it is by then; what came later is not."""
    with Snapshot(shifting) as found:
        for seq in (7, 8):
            shift(shifting)
            shifting.write_bytes(line(seq))
        assert backwards(found) == [6, 5, 4, 3, 2, 1]
    assert read(shifting) == list(range(1, 9))


def test_a_snapshot_survives_our_own_rotation(tmp_path: Path, make: MakeRecord) -> None:
    """Under a reader the journal rotates as it likes."""
    journal = Journal(tmp_path / "audit.jsonl", limit=700)
    for _ in range(5):
        journal.append(make(), patience=0)
    with Snapshot(journal.path) as found:
        for _ in range(5):
            journal.append(make(), patience=0)
        seen = [link.seq for _, one in found.forwards() if (link := link_of(one.rstrip(b"\n")))]
    # What came into the live file before it was rotated stands in that file.
    assert seen[:5] == [1, 2, 3, 4, 5]
    assert seen == list(range(1, len(seen) + 1))
    assert read(journal.path) == list(range(1, 11))


def test_an_archive_that_is_compressed_meanwhile_is_read(shifting: Path) -> None:
    """It is the one that begins with the same record."""
    with Snapshot(shifting) as found:
        for number in (1, 2):
            path = shifting.with_name(f"audit.jsonl.{number}")
            put(path.with_name(f"{path.name}.gz"), path.read_bytes())
            path.unlink()
        assert len(list(found.forwards())) == 6


def test_an_archive_that_is_removed_meanwhile_is_an_error(shifting: Path) -> None:
    """Retention between two steps: said, not overlooked; also for a file that held no record."""
    put(shifting.with_name("audit.jsonl.3"), b"theirs\n", changed=1)
    with Snapshot(shifting) as found:
        shifting.with_name("audit.jsonl.3").unlink()
        with pytest.raises(AuditError, match=r"audit\.jsonl\.3 was removed while it was being read"):
            list(found.forwards())
        with found.reading(found.files[-2]) as text:
            assert len(list(text_lines.backwards(text))) == 2


@pytest.mark.parametrize("moment", range(1, 9))
def test_whenever_another_program_rotates_nothing_is_missed(shifting: Path, before: Before, moment: int) -> None:
    """Renamed just before any opening: all that stood there at the beginning is found, and in order."""
    left = [moment]

    def rotate() -> None:
        left[0] -= 1
        if left[0] == 0:
            shift(shifting)

    with before(os.open, rotate):
        found = read(shifting)
    assert found == [1, 2, 3, 4, 5, 6]


def test_a_folder_that_never_comes_to_rest_is_taken_as_it_is(shifting: Path, before: Before) -> None:
    """However often somebody exchanges a file, looking at it has an end."""
    path = shifting.with_name("audit.jsonl.1")

    def exchange() -> None:
        put(path.with_name("new"), lines(3, 4)).rename(path)

    with before(os.open, exchange):
        found = Snapshot(shifting)
    found.close()
    assert [piece.first and piece.first.seq for piece in found.files] == [1, 3, 5]


def test_a_closed_snapshot_still_finds_the_live_file(shifting: Path) -> None:
    """By its name, as any other."""
    found = Snapshot(shifting)
    found.close()
    found.close()
    with found.reading(found.files[-1]) as text:
        assert texts.pread(text, 99_999, 0) == lines(5, 6)


def test_a_live_file_that_cannot_be_read_is_an_error(log: Path) -> None:
    """A folder in the log's place; and nothing stays open."""
    log.mkdir()
    with pytest.raises(AuditError, match="not a regular file"):
        Snapshot(log)


def test_a_file_that_went_away_has_no_time(log: Path) -> None:
    """Between two looks; it comes first, and its reader will be told."""
    assert archives._changed(archives.LogFile(log, None, (0, 0), live=False)) == 0


def test_unpacking_is_loaded_only_where_something_is_packed(log: Path, child: Child) -> None:
    """TAB and most readers meet no compressed file."""
    put(log, lines(2))
    put(log.with_name("audit.jsonl.1"), lines(1))
    started = child(
        """
        import pathlib, sys
        from molecule_approve.audit.read.archives import Snapshot
        with Snapshot(pathlib.Path(sys.argv[1])) as found:
            print(len(list(found.forwards())), sorted({"gzip", "lzma", "bz2", "tempfile", "shutil"} & set(sys.modules)))
        """,
        log,
    )
    assert started.line() == "2 []"


def test_what_was_rotated_after_the_live_file_was_opened_is_newer_than_it(log: Path, before: Before) -> None:
    """It is no part of this moment's log; before the live file's records it would look like damage."""
    put(log.with_name("audit.jsonl.1"), lines(1, 2))
    put(log, lines(3, 4))
    to_do = [5, 7]

    def rotate() -> None:
        while to_do:
            seq = to_do.pop(0)
            log.rename(log.with_name(f"audit.jsonl.{seq - 2:012d}-{seq - 1:012d}"))
            put(log, lines(seq, seq + 1))

    with before(os.listdir, rotate):
        assert read(log) == [1, 2, 3, 4]
