"""What a compressed file holds is read at any place, however large it is, without a file and in bounded memory."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from molecule_approve.audit.read import archives, lines, texts
from molecule_approve.errors import AuditError

Child = Callable[..., Any]

LINE = 60_000
COUNT = (texts.WINDOW + 8 * texts.BLOCK) // LINE


def row(number: int) -> bytes:
    return b"%08d" % number + b"x" * (LINE - 9)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A compressed file with a little more text than is kept."""
    path = tmp_path_factory.mktemp("large") / "audit.jsonl.1.gz"
    with gzip.open(path, "wb", 1) as file:
        for number in range(COUNT):
            file.write(row(number) + b"\n")
    return path


@pytest.fixture
def text(large: Path) -> Iterator[texts.Text]:
    with archives.text_of(large) as text:
        yield text


def test_a_large_text_is_read_backwards_and_forwards(text: texts.Text) -> None:
    """What is not kept is unpacked again."""
    size = texts.size(text)
    assert size == COUNT * LINE
    backwards = [(at, line[:8]) for at, line in lines.backwards(text, lines.finished_end(text, size))]
    assert backwards == [(number * LINE, b"%08d" % number) for number in reversed(range(COUNT))]
    forwards = [line[:8] for line in lines.forwards(texts.file(text))]
    assert forwards == [b"%08d" % number for number in range(COUNT)]


def test_any_place_is_read(text: texts.Text) -> None:
    """Across the borders of what is unpacked at once, at the end, behind it, and nothing at all."""
    size = texts.size(text)
    for at in (size - 7, texts.BLOCK - 5, 0, size - texts.WINDOW, 3 * texts.BLOCK + 9):
        number, skipped = divmod(at, LINE)
        expected = b"".join(row(one) + b"\n" for one in range(number, min(number + 12, COUNT)))[skipped:][: texts.BLOCK]
        assert texts.pread(text, texts.BLOCK, at) == expected
        assert texts.pread(text, 0, at) == b""
    assert texts.pread(text, 10, size) == texts.pread(text, 10, size + 10) == b""


def test_a_text_that_changes_under_its_reader_is_an_error(large: Path, tmp_path: Path) -> None:
    """Written anew in place, shorter or no longer compressed: nothing of it is taken for what stood there."""
    path = tmp_path / "audit.jsonl.1.gz"
    path.write_bytes(large.read_bytes())
    with archives.text_of(path) as one, archives.text_of(path) as other:
        path.write_bytes(gzip.compress(b"short\n"))
        with pytest.raises(lines.ShrunkError):
            list(lines.backwards(one, lines.finished_end(one, texts.size(one))))
        path.write_bytes(b"no gzip")
        with pytest.raises(AuditError, match=rf"{path} cannot be unpacked"):
            texts.pread(other, 10, 0)


def test_memory_is_bounded_however_large_the_text(tmp_path: Path, child: Child) -> None:
    """Nothing but the window of it is kept, in either direction."""
    path = tmp_path / "audit.jsonl.1.gz"
    block = b"x" * 999_999 + b"\n"
    with gzip.open(path, "wb", 1) as file:
        for _ in range(300):
            file.write(block)
    started = child(
        """
        import pathlib, re, sys
        from molecule_approve.audit.read import archives, lines, texts
        with archives.text_of(pathlib.Path(sys.argv[1])) as text:
            for count, (at, _) in enumerate(lines.backwards(text, texts.size(text))):
                if count == 150:
                    break
        with archives.stream_of(pathlib.Path(sys.argv[1])) as file:
            size = sum(map(len, lines.forwards(file)))
        most = re.search(r"VmHWM:\\s+(\\d+) kB", pathlib.Path("/proc/self/status").read_text())
        print(at, size, int(most[1]) // 1024)
        """,
        path,
        measured=False,
    )
    at, size, most = map(int, started.line().split())
    assert (at, size) == (149_000_000, 300_000_000)
    assert most < 200, "MiB"


@pytest.mark.measured
def test_a_python_without_the_library_says_so(tmp_path: Path, child: Child) -> None:
    """Some systems build theirs without lzma or bz2."""
    path = tmp_path / "audit.jsonl.1.xz"
    path.write_bytes(b"")
    started = child(
        """
        import pathlib, sys
        sys.modules["lzma"] = None
        from molecule_approve.audit.read.archives import text_of
        from molecule_approve.errors import AuditError
        try:
            text_of(pathlib.Path(sys.argv[1])).__enter__()
        except AuditError as exc:
            print(exc.message)
        """,
        path,
    )
    assert started.line() == f"the audit log's archive {path} cannot be unpacked: this Python has no module lzma"


def test_a_file_is_read_beside_another_reader_of_its_handle(tmp_path: Path) -> None:
    """Each has a place of its own."""
    path = tmp_path / "audit.jsonl"
    path.write_bytes(b"one\ntwo\n")
    with path.open("rb") as opened:
        first, second = texts.file(opened.fileno()), texts.file(opened.fileno())
        assert [first.readline(), second.readline(), first.readline(), second.read()] == [
            b"one\n",
            b"one\n",
            b"two\n",
            b"two\n",
        ]
        assert os.lseek(opened.fileno(), 0, os.SEEK_CUR) == 0
