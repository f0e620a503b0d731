"""A follower shows every line once and in order, or says what is missing."""

from __future__ import annotations

import gzip
import itertools
import json
import os
import select
import shutil
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, closing, suppress
from pathlib import Path

import pytest

from molecule_approve.audit import backlog
from molecule_approve.audit.follow import Choice, Line, Notice, follow, history
from molecule_approve.audit.journal import Journal
from molecule_approve.audit.lines import BLOCK, LONGEST
from molecule_approve.audit.record import Record
from molecule_approve.audit.watch import LOOK, Watch
from molecule_approve.errors import AuditError, Interrupted

MakeRecord = Callable[..., Record]
Before = Callable[[object, Callable[[], None]], AbstractContextManager[None]]


def everything(line: bytes) -> bool:
    return True


def last(count: int | None, wanted: Callable[[bytes], bool] = everything) -> Choice:
    return Choice(count, wanted)


def texts(shown: Iterator[Line | Notice]) -> list[bytes | str]:
    """Lines as bytes, notices as text."""
    return [item.data if isinstance(item, Line) else item.text for item in shown]


class Steps:
    """A follower's pauses: at each one, the next thing happens; after the last one, somebody interrupts."""

    def __init__(self, *steps: Callable[[], object]) -> None:
        self.steps = list(steps)

    def __call__(self, seconds: float, descriptor: int | None) -> None:
        assert 0 < seconds <= LOOK
        if not self.steps:
            raise Interrupted(2, "enough")
        self.steps.pop(0)()


def seen(path: Path, *steps: Callable[[], object], count: int | None = 10) -> list[bytes | str]:
    """All that a follower shows while these steps happen."""
    shown: list[bytes | str] = []
    with pytest.raises(Interrupted):
        collect(shown, follow(path, last(count), Steps(*steps), Watch(path, None)))
    return shown


def collect(into: list[bytes | str], shown: Iterator[Line | Notice]) -> None:
    """Keep what is shown, also when it ends with an exception."""
    for item in shown:
        into += [item.data if isinstance(item, Line) else item.text]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit.jsonl"


def add(path: Path, data: bytes) -> Callable[[], object]:
    def act() -> None:
        with path.open("ab") as file:
            file.write(data)

    return act


@pytest.mark.parametrize(
    ("count", "first"), [(0, 40_000), (1, 39_999), (10, 39_990), (40_000, 0), (99_999, 0), (None, 0), (20_001, 19_999)]
)
def test_the_last_lines_are_shown_whatever_their_number(path: Path, count: int | None, first: int) -> None:
    """So many lines as are wanted, or all, across all blocks, byte for byte and in order."""
    path.write_bytes(b"".join(b"%d\n" % number for number in range(40_000)))
    assert texts(history(path, last(count))) == [b"%d\n" % number for number in range(first, 40_000)]


def test_filtered_lines_are_counted_after_the_filter(path: Path) -> None:
    """Ten records mean ten that are wanted, however far back they are."""
    path.write_bytes(b"".join(b"%d\n" % number for number in range(5_000)))
    wanted = history(path, last(3, lambda line: line.endswith(b"000")))
    assert texts(wanted) == [b"2000\n", b"3000\n", b"4000\n"]


def test_an_empty_log_shows_nothing(path: Path) -> None:
    """No lines are no error."""
    path.touch()
    assert texts(history(path, last(10))) == []


def test_a_half_line_is_not_shown_until_it_is_whole(path: Path) -> None:
    """What has no newline yet waits for it, however many pieces it comes in."""
    path.write_bytes(b"one\ntw")
    assert texts(history(path, last(10))) == [b"one\n"]
    assert seen(path, add(path, b"o\nthr"), add(path, b"e"), add(path, b"e\n")) == [b"one\n", b"two\n", b"three\n"]
    path.write_bytes(b"one\ntw")
    assert seen(path, add(path, b"o\n"), count=0) == [b"two\n"]


def test_lines_longer_than_a_block_are_shown_whole(path: Path) -> None:
    """A foreign line across many blocks is one line."""
    long = b"x" * (3 * BLOCK) + b"\n"
    path.write_bytes(b"a\n" + long)
    assert texts(history(path, last(1))) == [long]


def test_an_endless_line_is_said_and_not_kept(path: Path) -> None:
    """A line beyond all records takes no memory; its length is told."""
    path.write_bytes(b"a\n" + b"x" * (LONGEST + 1) + b"\nb\n")
    notice = f"a line of {LONGEST + 1} bytes is not shown; no record is that long"
    assert texts(history(path, last(None))) == [b"a\n", notice, b"b\n"]


def test_filters_hold_for_what_is_added_too(path: Path) -> None:
    """Lines that are not wanted are not shown later either."""
    path.write_bytes(b"a1\nb1\n")
    shown: list[bytes | str] = []
    with pytest.raises(Interrupted):
        collect(shown, follow(path, last(10, lambda line: line.startswith(b"a")), Steps(add(path, b"b2\na2\n"))))
    assert shown == [b"a1\n", b"a2\n"]


def test_a_log_that_is_not_there_yet_is_waited_for(path: Path) -> None:
    """A follower says that there is none, and shows it when it comes; without following it is an error."""
    with pytest.raises(AuditError, match="No such file") as caught:
        texts(history(path, last(10)))
    assert "--audit-log" in caught.value.hint
    assert seen(path, lambda: None, add(path, b"a\n")) == [f"there is no audit log {path} yet", b"a\n"]


def test_a_rename_and_a_new_file_lose_and_double_nothing(path: Path) -> None:
    """The old file is read to its end, also what is added after the rename, then the new one."""
    path.write_bytes(b"1\n")
    old = path.with_name("audit.jsonl.1")

    def rotate() -> None:
        path.rename(old)

    assert seen(
        path,
        add(path, b"2\n"),
        rotate,
        add(old, b"3\n"),
        add(path, b"4\n"),
        add(path, b"5\n"),
    ) == [b"1\n", b"2\n", b"3\n", b"4\n", b"5\n"]


def test_what_is_added_to_the_old_file_until_the_new_one_is_there_is_shown(path: Path, before: Before) -> None:
    """A writer that had the old file open until the last moment is heard."""
    path.write_bytes(b"1\n")
    old = path.with_name("audit.jsonl.1")

    def rotate() -> None:
        path.rename(old)
        path.write_bytes(b"3\n")

    late = [add(old, b"2\n")]

    def write_late() -> None:
        if late:
            late.pop()()

    shown: list[bytes | str] = []
    steps = Steps(rotate)
    following_it = follow(path, last(10), steps)
    shown.extend(texts(iter([next(following_it)])))
    with before(os.open, write_late), pytest.raises(Interrupted):
        collect(shown, following_it)
    assert shown == [b"1\n", b"2\n", b"3\n"]


def test_a_record_that_was_written_to_both_files_is_shown_once(path: Path, make: MakeRecord) -> None:
    """Our own writer writes a record again when the file was renamed in that moment: the same bytes, shown once."""
    journal = Journal(path)

    def write_in_both() -> None:
        journal.append(make(number=2), patience=0)
        path.rename(path.with_name("audit.jsonl.1"))
        path.write_bytes(path.with_name("audit.jsonl.1").read_bytes().split(b"\n")[1] + b"\n")
        journal.append(make(number=3), patience=0)

    journal.append(make(number=1), patience=0)
    shown = seen(path, write_in_both)
    assert [b'"number":%d,' % number in line for number, line in enumerate(shown, 1) if isinstance(line, bytes)] == [
        True
    ] * 3


def test_a_chain_that_goes_on_in_the_new_file_needs_no_word(path: Path, make: MakeRecord) -> None:
    """After a rotation by another program our next record follows the last one: nothing is missing, nothing is said."""
    journal = Journal(path)

    def rotate() -> None:
        path.rename(path.with_name("audit.jsonl.1"))
        journal.append(make(number=2), patience=0)

    journal.append(make(number=1), patience=0)
    assert [type(item) for item in seen(path, rotate)] == [bytes, bytes]


def test_records_that_were_not_seen_are_named(path: Path, make: MakeRecord) -> None:
    """Where the new file does not go on where the old one ended, the numbers in between are told; another log is, too."""
    journal = Journal(path)

    def skip_two() -> None:
        path.rename(path.with_name("audit.jsonl.1"))
        for _ in range(3):
            journal.append(make(), patience=0)
        path.write_bytes(path.read_bytes().split(b"\n")[2] + b"\n")

    def exchange() -> None:
        Journal(path.with_name("other")).append(make(), patience=0)
        path.with_name("other").rename(path)

    journal.append(make(), patience=0)
    shown = seen(path, skip_two, exchange)
    assert [item if isinstance(item, str) else "line" for item in shown][:3] == [
        "line",
        "the records 2 to 3 were not seen",
        "line",
    ]
    assert str(shown[3]).startswith("another log begins here, with its record 1: ")


def test_half_a_line_at_the_end_of_an_old_file_is_said(path: Path) -> None:
    """It will never be whole: it is not shown, and not glued to the new file's first line."""
    path.write_bytes(b"1\n")
    old = path.with_name("audit.jsonl.1")

    def rotate() -> None:
        add(path, b"torn")()
        path.rename(old)
        path.write_bytes(b"2\n")

    assert seen(path, rotate) == [
        b"1\n",
        f"the file that was {path} ends with half a line, which is not shown",
        b"2\n",
    ]


def test_a_truncated_file_is_said_and_shown_from_its_beginning(path: Path) -> None:
    """What copytruncate does is named, because lines may be missing."""
    path.write_bytes(b"1\n2\n")

    def truncate() -> None:
        path.write_bytes(b"3\n")

    assert seen(path, truncate) == [
        b"1\n",
        b"2\n",
        f"the audit log {path} was cut from 4 bytes to 2, or written anew",
        b"3\n",
    ]


def test_what_takes_the_logs_name_and_is_no_file_ends_it(path: Path) -> None:
    """A pipe in the log's place is an error and is not read."""
    path.write_bytes(b"1\n")

    def exchange() -> None:
        path.unlink()
        os.mkfifo(path)

    with pytest.raises(AuditError, match="not a regular file"):
        texts(follow(path, last(10), Steps(exchange)))


@pytest.mark.parametrize("live", [False, True])
def test_errors_while_reading_become_sentences(path: Path, live: bool) -> None:
    """A handle that cannot be read is an error of the log."""
    path.write_bytes(b"1\n")
    steps = Steps()
    shown = follow(path, last(None), steps) if live else history(path, last(None))
    assert next(shown) == Line(b"1\n")
    handle = next(
        int(link.name) for link in Path("/proc/self/fd").iterdir() if os.path.realpath(link) == os.path.realpath(path)
    )
    folder = os.open(path.parent, os.O_RDONLY)
    os.dup2(folder, handle)
    os.close(folder)
    with pytest.raises(AuditError, match="cannot be read: Is a directory"):
        next(shown)


# --- records, through all that can happen to their file -----------------------------------------------------------------


class Log:
    """A log with numbered records, and what other programs do to its files."""

    def __init__(self, path: Path, make: MakeRecord) -> None:
        self.path = path
        self._make = make
        self._journal = Journal(path)
        self.count = 0

    def append(self, count: int = 1) -> None:
        for _ in range(count):
            self.count += 1
            self._journal.append(self._make(number=self.count), patience=0)

    def foreign(self, word: bytes) -> None:
        with self.path.open("ab") as file:
            file.write(b'{"tool":"%s"}\n' % word)

    def rotate(self) -> Path:
        archive = self._journal.rotate(patience=0)
        assert archive is not None
        return archive

    def copy_and_truncate(self) -> None:
        shutil.copy2(self.path, self.path.with_name("audit.jsonl.1"))
        os.truncate(self.path, 0)


@pytest.fixture
def records(path: Path, make: MakeRecord) -> Log:
    return Log(path, make)


def compress(archive: Path) -> None:
    """As gzip does: the time of the last change is kept."""
    found = archive.stat()
    packed = archive.with_name(f"{archive.name}.gz")
    packed.write_bytes(gzip.compress(archive.read_bytes(), 1))
    os.utime(packed, ns=(found.st_atime_ns, found.st_mtime_ns))
    archive.unlink()


def said(shown: Iterable[bytes | str]) -> list[int | str]:
    """Records by their number, other lines by their tool, notices as they are."""
    found: list[int | str] = []
    for item in shown:
        if isinstance(item, str):
            found.append(item)
        else:
            fields = json.loads(item)
            found.append(fields.get("number", fields.get("reason", fields.get("tool"))))
    return found


@pytest.mark.parametrize("count", [0, 1, 2, 3, 5, 6, 7, 99, None])
@pytest.mark.parametrize("packed", [False, True])
def test_the_last_lines_are_counted_through_all_archives(records: Log, count: int | None, packed: bool) -> None:
    """So many as are wanted, also from archives, compressed or not, and from an empty live file."""
    for part in range(3):
        records.append(2)
        archive = records.rotate()
        if packed and part != 1:
            compress(archive)
    shown = said(texts(history(records.path, last(count))))
    assert shown == list(range(1, 7))[6 - min(6, 6 if count is None else count) :]


def test_archives_in_an_order_that_no_time_tells_are_read_in_the_records_order(records: Log) -> None:
    """A restored backup has files of any age, and a log of another tool among them."""
    archives = []
    for _ in range(4):
        records.append(2)
        archives.append(records.rotate())
    for age, archive in zip((4, 1, 3, 2), archives, strict=True):
        os.utime(archive, (age, age))
    records.append(1)
    records.path.with_name("audit.jsonl.7").write_bytes(b'{"tool":"a"}\n')
    os.utime(records.path.with_name("audit.jsonl.7"), (9, 9))
    assert [item for item in said(texts(history(records.path, last(None)))) if item != "a"] == list(range(1, 10))
    assert said(texts(history(records.path, last(4)))) == [6, 7, 8, 9]


def test_a_record_that_stands_in_two_files_counts_once(records: Log) -> None:
    """Ten records are ten different ones."""
    records.append(3)
    lines = records.path.read_bytes().splitlines(keepends=True)
    records.path.rename(records.path.with_name("audit.jsonl.1"))
    records.path.write_bytes(lines[2])
    records.append(1)
    assert said(texts(history(records.path, last(3)))) == [2, 3, 4]


def test_archives_that_cannot_be_read_or_are_missing_are_said(records: Log) -> None:
    """What could not be shown is named, and the rest is shown."""
    for _ in range(4):
        records.append(2)
        archive = records.rotate()
    archive.unlink()
    records.append(1)
    archive.with_name("audit.jsonl.1.gz").write_bytes(b"no gzip")
    first, *others = said(texts(history(records.path, last(5))))
    assert "audit.jsonl.1.gz cannot be unpacked" in str(first)
    assert others == [4, 5, 6, "the records 7 to 8 were not seen", "deleted", 9]
    assert said(texts(history(records.path, last(None))))[1:] == [1, 2, 3, *others]


def test_a_log_without_its_live_file_is_shown_from_its_archives(records: Log) -> None:
    """A logrotate that creates no file leaves the last records where they were moved to."""
    records.append(3)
    records.path.rename(records.path.with_name("audit.jsonl.1"))
    assert said(texts(history(records.path, last(2)))) == [2, 3]
    assert said(seen(records.path, records.append, count=1)) == [f"there is no audit log {records.path} yet", 3, 4]


def test_an_archive_that_gets_another_name_while_it_waits_is_found(records: Log) -> None:
    """Between looking for the beginning and reading it, logrotate may rename, and compress."""
    for _ in range(2):
        records.append(2)
        archive = records.rotate()
        shown = history(records.path, last(4))
    first = next(shown)
    assert isinstance(first, Line)
    compress(archive)
    assert said(texts(iter([first, *shown]))) == [1, 2, 3, 4]


def test_what_is_too_old_ends_the_search(records: Log, before: Before) -> None:
    """After a thousand records that are too old nothing older is read; a few of them end nothing."""
    log_id = "7d444840-9dc0-11d1-b245-5ffdce74fad2"
    records.path.write_bytes(
        b"".join(
            b'{"old":%d,"log_id":"%s","seq":%d,"prev":"%s"}\n' % (number < 3_000, log_id.encode(), number, b"0" * 64)
            if number % 400
            else b'{"tool":"other"}\n'
            for number in range(1, 4_001)
        )
    )
    taken: list[bytes] = []

    def wanted(line: bytes) -> bool:
        taken.append(line)
        return b'"old":0' in line

    found = backlog.start(
        records.path, os.open(records.path, os.O_RDONLY), Choice(None, wanted, lambda line: b'"old":1' in line)
    )
    assert found.older == []
    assert 1_990 < len(taken) < 2_010


def test_several_rotations_between_two_looks_lose_nothing(records: Log) -> None:
    """What went from the live file into an archive unseen is read there; also into an empty live file, and compressed."""

    def twice() -> None:
        records.append(2)
        records.foreign(b"a")
        records.rotate()
        records.append(2)
        compress(records.rotate())
        records.append(2)

    def and_empty() -> None:
        records.append(1)
        records.rotate()
        records.append(1)
        records.rotate()

    records.append(2)
    records.foreign(b"b")
    expected = [1, 2, "b", 3, 4, "a", 5, 6, 7, 8, 9, 10, 11]
    assert said(seen(records.path, twice, and_empty, records.append)) == expected


def test_rotations_are_noticed_whatever_the_wall_clock_says(records: Log) -> None:
    """A clock that was put back gives the archives in between an old time; the gap itself makes us look for them."""

    def put_back() -> None:
        records.append(2)
        first = records.rotate()
        records.append(2)
        second = records.rotate()
        for archive in (first, second):
            os.utime(archive, (1, 1))

    records.append(1)
    assert said(seen(records.path, put_back, records.append)) == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("count", [0, 10])
def test_a_file_that_is_copied_and_truncated_loses_nothing_that_the_copy_has(records: Log, count: int) -> None:
    """What was added just before stands in the copy; the notice says what happened."""

    def rotate() -> None:
        records.append(2)
        records.foreign(b"b")
        records.copy_and_truncate()
        records.append(1)

    records.append(2)
    records.foreign(b"a")
    size = records.path.stat().st_size
    shown = said(seen(records.path, rotate, count=count))
    assert shown[0 if count == 0 else 3] == (
        f"the audit log {records.path} was cut from {size} bytes to {records.path.stat().st_size}, or written anew"
    )
    before = [1, 2, "a"] if count else []
    assert [item for item in shown if not str(item).startswith("the audit")] == [*before, 3, 4, "b", "copytruncated", 5]


def test_a_file_that_was_cut_and_has_grown_again_is_noticed(records: Log) -> None:
    """Its size alone would not tell; records that were shown are not shown again."""

    def rewrite() -> None:
        whole = records.path.read_bytes()
        os.truncate(records.path, 0)
        records.path.write_bytes(b'{"tool":"header"}\n' + whole)
        records.append(1)

    records.append(3)
    shown = said(seen(records.path, rewrite))
    assert shown[:3] + shown[4:] == [1, 2, 3, 4]
    assert "or written anew" in str(shown[3])


def test_a_log_that_is_deleted_goes_on(records: Log) -> None:
    """Nothing is missing where all was seen; what nobody saw is named."""

    def deleted_twice() -> None:
        for _ in range(2):
            records.append(1)
            records.path.unlink()

    records.append(1)
    shown = said(seen(records.path, records.path.unlink, lambda: None, records.append, deleted_twice, records.append))
    # The file that was open when it was deleted is read to its end; the next one came and went between two looks.
    assert shown == [1, "deleted", 2, 3, "the records 5 to 6 were not seen", "deleted", 5]


def test_a_log_that_was_changed_is_said(records: Log) -> None:
    """A file whose records follow none that was shown, or other ones, says so where it begins."""

    def older() -> None:
        lines = records.path.read_bytes().splitlines(keepends=True)
        records.path.with_name("new").write_bytes(b"".join(lines[:1]) + lines[1].replace(b"deploy", b"destroy"))
        records.path.with_name("new").replace(records.path)
        records.path.with_name("audit.jsonl.head").unlink()
        records.append(1)

    records.append(2)
    shown = said(seen(records.path, older))
    assert shown == [1, 2, "record 2 is not what it was: the log was changed; `audit verify` says more", 3]


def test_a_log_that_goes_back_is_said(records: Log) -> None:
    """A shorter copy that is written on has other records of the same numbers: they are shown, and that is said."""

    def back() -> None:
        lines = records.path.read_bytes().splitlines(keepends=True)
        records.path.with_name("new").write_bytes(lines[0])
        records.path.with_name("new").replace(records.path)
        records.path.with_name("audit.jsonl.head").unlink()

    records.append(3)
    shown = said(seen(records.path, back, records.append))
    assert shown == [1, 2, 3, "record 2 follows record 3: the log was changed; `audit verify` says more", 4]


def test_a_program_that_keeps_the_old_file_open_is_heard(records: Log) -> None:
    """Its lines go to the archive for as long as it lives; they are shown, once."""
    records.append(1)
    kept = records.path.open("ab", buffering=0)

    def write() -> None:
        kept.write(b'{"tool":"late"}\n')

    with kept:
        assert said(seen(records.path, records.rotate, records.append, write, records.append, records.rotate)) == [
            1, 2, "late", 3,
        ]  # fmt: skip


def test_a_follower_that_showed_nothing_yet_knows_where_it_stands(records: Log) -> None:
    """Also where the live file is empty: what is missing after that is noticed."""

    def unseen() -> None:
        records.append(1)
        records.rotate()
        records.append(2)
        archive = records.rotate()
        records.append(1)
        archive.unlink()

    records.append(2)
    records.rotate()
    records.path.with_name("audit.jsonl.1.gz").write_bytes(b"no gzip")
    shown = said(seen(records.path, unseen, count=0))
    assert [item for item in shown if item != "unreadable"] == [3, "the records 4 to 5 were not seen", 6]
    empty = Log(records.path.parent / "b" / "audit.jsonl", records._make)
    empty.append(1)
    empty.path.write_bytes(b"")
    assert said(seen(empty.path, empty.append, count=0)) == ["truncated", 2]


def test_half_an_archive_is_said(records: Log) -> None:
    """One whose end cannot be unpacked is named, and the follower goes on with what comes after it."""

    def broken() -> None:
        records.append(20)
        records.rotate()
        records.append(20)
        archive = records.rotate()
        records.append(1)
        packed = archive.with_name(f"{archive.name}.gz")
        packed.write_bytes(gzip.compress(archive.read_bytes(), 0)[:-50])
        archive.unlink()

    records.append(1)
    shown = said(seen(records.path, broken))
    assert shown[:21] == list(range(1, 22))
    assert [str(item)[:19] for item in shown[21:]][:1] == ["the audit log's arc"]
    assert shown[-1] == 42
    assert "the records 22 to 41 were not seen" in shown


def test_what_comes_late_is_shown_once(records: Log) -> None:
    """The old file's late lines obey the filters, and a record that our writer writes to both files is not among them."""
    records.append(1)
    kept = records.path.open("ab", buffering=0)

    def write() -> None:
        kept.write(b'{"tool":"late"}\n{"tool":"unwanted"}\n' + records.path.read_bytes())

    shown: list[bytes | str] = []
    choice = last(10, lambda line: b"unwanted" not in line)
    steps = Steps(records.rotate, records.append, write)
    with kept, pytest.raises(Interrupted):
        collect(shown, follow(records.path, choice, steps, Watch(records.path, None)))
    assert said(shown) == [1, 2, "late"]


def test_words_of_the_chain_make_no_record(records: Log) -> None:
    """Another tool's line that has them all is a line, and no place to go on from."""

    def rotate() -> None:
        records.foreign(b'"log_id" "seq" "prev"'.replace(b'"', b"") + b'","log_id":1,"seq":2,"prev":"3')
        records.rotate()
        records.append(1)

    records.append(2)
    assert [item for item in said(seen(records.path, rotate)) if isinstance(item, int)] == [1, 2, 3]


def test_an_archive_that_cannot_be_read_when_it_is_needed_is_said(records: Log) -> None:
    """What lies between two looks in a file that is broken is named, and the follower goes on."""

    def broken() -> None:
        records.append(1)
        archive = records.rotate()
        records.append(1)
        archive.write_bytes(b"")

    records.append(1)
    records.rotate()
    assert said(seen(records.path, broken))[-2:] == ["the records 2 to 2 were not seen", 3]


def test_a_follower_of_another_tools_log_shows_its_lines(path: Path) -> None:
    """Where nothing is chained there is nothing to be missed, however long the file is."""
    path.write_bytes(b"x\n" * 3_000)
    steps = (add(path, b"1\n"), lambda: path.rename(path.with_name("audit.jsonl.1")), add(path, b"2\n"))
    assert seen(path, *steps, count=0) == [b"1\n", b"2\n"]


@pytest.mark.parametrize("told", [True, False])
def test_a_storm_of_records_and_rotations_is_shown_once_and_in_order(records: Log, told: bool) -> None:
    """Two writers, a full file every few records, and a follower that is sometimes late: every record, once, in order."""
    number = 120
    journal = Journal(records.path, limit=1_500)

    def write() -> None:
        for count in range(number // 2):
            journal.append(records._make(count=count), patience=20)

    writers = [threading.Thread(target=write) for _ in range(2)]
    shown: list[int] = []
    late = itertools.cycle((0, 0, 7))  # looks that are left out

    def pause(seconds: float, descriptor: int | None) -> None:
        if shown and shown[-1] == number:
            raise Interrupted(2, "enough")
        for _ in range(1 + next(late)):
            select.select([] if descriptor is None else [descriptor], [], [], min(seconds, 0.005))

    records.append(1)
    with closing(follow(records.path, last(1), pause, None if told else Watch(records.path, None))) as following:
        next(following)
        number += 1
        for writer in writers:
            writer.start()
        with suppress(Interrupted):
            for item in following:
                assert isinstance(item, Line), item
                shown.append(json.loads(item.data)["seq"])
    for writer in writers:
        writer.join()
    assert shown == list(range(2, number + 1))
    assert len(list(records.path.parent.glob("audit.jsonl.0*"))) > 20
