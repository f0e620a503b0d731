"""A follower shows every line once and in order, or says what is missing."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from molecule_approve.audit.journal import Journal
from molecule_approve.audit.read.follow import Line, follow, last_lines
from molecule_approve.audit.read.lines import BLOCK, LONGEST
from molecule_approve.audit.record import Record
from molecule_approve.errors import AuditError, Interrupted
from tests.audit.read.following import Steps, add, collect, last, seen, texts

MakeRecord = Callable[..., Record]
Before = Callable[[object, Callable[[], None]], AbstractContextManager[None]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit.jsonl"


@pytest.mark.usefixtures("untraced")
@pytest.mark.parametrize(
    ("count", "first"), [(0, 40_000), (1, 39_999), (10, 39_990), (40_000, 0), (99_999, 0), (None, 0), (20_001, 19_999)]
)
def test_the_last_lines_are_shown_whatever_their_number(path: Path, count: int | None, first: int) -> None:
    """So many lines as are wanted, or all, across all blocks, byte for byte and in order."""
    path.write_bytes(b"".join(b"%d\n" % number for number in range(40_000)))
    assert texts(last_lines(path, last(count))) == [b"%d\n" % number for number in range(first, 40_000)]


def test_filtered_lines_are_counted_after_the_filter(path: Path) -> None:
    """Ten records mean ten that are wanted, however far back they are."""
    path.write_bytes(b"".join(b"%d\n" % number for number in range(5_000)))
    wanted = last_lines(path, last(3, lambda line: line.endswith(b"000")))
    assert texts(wanted) == [b"2000\n", b"3000\n", b"4000\n"]


def test_an_empty_log_shows_nothing(path: Path) -> None:
    """No lines are no error."""
    path.touch()
    assert texts(last_lines(path, last(10))) == []


def test_a_half_line_is_not_shown_until_it_is_whole(path: Path) -> None:
    """What has no newline yet waits for it, however many pieces it comes in."""
    path.write_bytes(b"one\ntw")
    assert texts(last_lines(path, last(10))) == [b"one\n"]
    assert seen(path, add(path, b"o\nthr"), add(path, b"e"), add(path, b"e\n")) == [b"one\n", b"two\n", b"three\n"]
    path.write_bytes(b"one\ntw")
    assert seen(path, add(path, b"o\n"), count=0) == [b"two\n"]


def test_lines_longer_than_a_block_are_shown_whole(path: Path) -> None:
    """A foreign line across many blocks is one line."""
    long = b"x" * (3 * BLOCK) + b"\n"
    path.write_bytes(b"a\n" + long)
    assert texts(last_lines(path, last(1))) == [long]


def test_an_endless_line_is_said_and_not_kept(path: Path) -> None:
    """A line beyond all records takes no memory; its length is told."""
    path.write_bytes(b"a\n" + b"x" * (LONGEST + 1) + b"\nb\n")
    notice = f"a line of {LONGEST + 1} bytes is not shown: it is too long for a record"
    assert texts(last_lines(path, last(None))) == [b"a\n", notice, b"b\n"]


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
        texts(last_lines(path, last(10)))
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
        "records 2 to 3 are missing",
        "line",
    ]
    assert str(shown[3]).startswith("another log starts here, at its record 1: ")


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
        f"the file that was {path} ends with an unfinished line, which is not shown",
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
        f"the audit log {path} was truncated from 4 to 2 bytes, or rewritten",
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
    shown = follow(path, last(None), steps) if live else last_lines(path, last(None))
    assert next(shown) == Line(b"1\n")
    handle = next(
        int(link.name) for link in Path("/proc/self/fd").iterdir() if os.path.realpath(link) == os.path.realpath(path)
    )
    folder = os.open(path.parent, os.O_RDONLY)
    os.dup2(folder, handle)
    os.close(folder)
    with pytest.raises(AuditError, match="cannot be read: Is a directory"):
        next(shown)
