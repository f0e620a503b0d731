"""Lines are read from either end, whatever their length, and in bounded memory."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from molecule_approve.audit.read import lines
from molecule_approve.errors import AuditError

BLOCK, LONGEST = lines.BLOCK, lines.LONGEST

CASES = [
    b"",
    b"\n",
    b"\n\n\n",
    b"a\n",
    b"one\ntwo\nthree\n",
    b"\n\nx\n\n",
    b"x" * (BLOCK - 1) + b"\n" + b"y\n",
    b"x" * BLOCK + b"\n" + b"y\n",
    b"x" * (BLOCK + 1) + b"\nz\n" + b"y" * (2 * BLOCK) + b"\n",
    b"".join(b"%d\n" % number for number in range(40_000)),
    (b"x" * 1_000 + b"\n") * 200,
]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[int]:
    """A handle of an empty file."""
    handle = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    yield handle
    os.close(handle)


@pytest.mark.parametrize("data", CASES, ids=range(len(CASES)))
def test_backwards_is_forwards_turned_round(opened: int, tmp_path: Path, data: bytes) -> None:
    """Whatever the lines and wherever the blocks end, each line comes once, with its offset."""
    os.write(opened, data)
    found = list(lines.backwards(opened, len(data)))
    assert [line for _, line in reversed(found)] == data.split(b"\n")[:-1]
    assert all(data[offset : offset + len(line) + 1] == line + b"\n" for offset, line in found)
    with (tmp_path / "file").open("rb") as file:
        assert list(lines.forwards(file)) == data.splitlines(keepends=True)


@pytest.mark.parametrize(("data", "end"), [(b"", 0), (b"abc", 0), (b"a\nbc", 2), (b"a\n", 2), (b"\n" + b"x" * 3 * BLOCK, 1)])
def test_what_follows_the_last_newline_is_not_finished(opened: int, data: bytes, end: int) -> None:
    """The end of what is finished is found however long the rest is."""
    os.write(opened, data)
    assert lines.finished_end(opened, len(data)) == end


def test_of_an_endless_line_nothing_is_told_but_that_it_is_there(opened: int, tmp_path: Path) -> None:
    """A line longer than any record takes its place without its bytes, in both directions."""
    data = b"a\n" + b"x" * (LONGEST + 5) + b"\nb\n"
    os.write(opened, data)
    assert list(lines.backwards(opened, len(data))) == [(LONGEST + 8, b"b"), (2, b""), (0, b"a")]
    with (tmp_path / "file").open("rb") as file:
        assert list(lines.forwards(file)) == [b"a\n", b"\n", b"b\n"]


def test_an_endless_line_at_the_end_stays_unfinished(tmp_path: Path) -> None:
    """Without its newline a long line shows that it is not finished."""
    path = tmp_path / "file"
    for length in (LONGEST, LONGEST + 1, 2 * LONGEST):
        path.write_bytes(b"x" * length)
        with path.open("rb") as file:
            found = list(lines.forwards(file))
        assert len(found) == 1
        assert not found[0].endswith(b"\n")


def test_a_file_that_shrinks_is_an_error(opened: int) -> None:
    """An end that lies beyond the file is said, not guessed at."""
    os.write(opened, b"a\n")
    with pytest.raises(AuditError, match="shrank"):
        list(lines.backwards(opened, 100))


def test_digest_is_the_hash_of_the_bytes_between(opened: int) -> None:
    """Long stretches are hashed in pieces, to the same result."""
    data = b"0123456789" * BLOCK
    os.write(opened, data)
    assert lines.digest(opened, 3, len(data) - 2) == hashlib.sha256(data[3:-2]).hexdigest()
