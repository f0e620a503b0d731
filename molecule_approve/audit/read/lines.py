"""Reading a log's lines, from its end or from its beginning, in bounded memory."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, BinaryIO, TypeVar

from molecule_approve.audit.chain import link_of
from molecule_approve.errors import AuditError

from . import texts

if TYPE_CHECKING:
    from .texts import Text

BLOCK = 65_536
"""Bytes that are read at once; nearly always enough for a search."""

LONGEST = 1_048_576
"""Bytes of a line that are kept. Ours have at most 64 KiB; the bytes of a longer one are left out."""

_T = TypeVar("_T")


class ShrunkError(AuditError):
    """The file became shorter while it was read."""


def twice(look: Callable[[], _T]) -> _T:
    """What the look finds. Where the file shrinks in that very moment (copytruncate), a second one sees it as it is then."""
    with suppress(ShrunkError):
        return look()
    return look()


def finished_end(text: Text, end: int) -> int:
    """The offset just after the last newline before ``end``, or 0: what follows is not finished."""
    while end > 0:
        first = max(0, end - BLOCK)
        at = _read(text, first, end).rfind(b"\n")
        if at >= 0:
            return first + at + 1
        end = first
    return 0


def backwards(text: Text, before: int | None = None) -> Iterator[tuple[int, bytes]]:
    """Offset and bytes, without the newline, of each finished line before an offset (by default the end), the newest first.

    Of a line longer than :data:`LONGEST` the bytes are empty.

    Raises:
        ShrunkError: the file shrank meanwhile.
        OSError: it cannot be read.
    """
    for first, block in _blocks(text, before, BLOCK):
        stop = len(block) - 1
        while stop >= 0:
            at = block.rfind(b"\n", 0, stop)
            yield first + at + 1, block[at + 1 : stop]
            stop = at


def matching(text: Text, words: Collection[bytes]) -> Iterator[bytes]:
    """Finished lines without their newlines, the newest first: all that contain one of the words, and some around them.

    Of a block without any of the words only its outermost lines are read, on each side up to the first chained one: the
    chained neighbours of every match are among them. ``words`` may grow meanwhile. Raises as :func:`backwards`.
    """
    for _, block in _blocks(text, None, LONGEST):
        rows = block.split(b"\n")[-2::-1]
        if any(word in block for word in words):
            yield from rows
            continue
        places = range(len(rows))
        newest = next((place for place in places if link_of(rows[place])), len(rows) - 1)
        oldest = next((place for place in places[:newest:-1] if link_of(rows[place])), len(rows))
        yield from rows[: newest + 1]
        yield from rows[oldest:]


def forwards(file: BinaryIO) -> Iterator[bytes]:
    """Each line from here on with the newline that it has. Of a line longer than :data:`LONGEST` only its end."""
    for part in iter(lambda: file.readline(LONGEST), b""):
        line = part
        while len(part) == LONGEST and not part.endswith(b"\n"):
            part = file.readline(LONGEST)  # noqa: PLW2901 - the line goes on
            line = part[-1:]
        yield line


def digest(handle: int, start: int, end: int) -> str:
    """SHA-256, in lower-case hex, of the bytes between two offsets."""
    found = hashlib.sha256()
    for at in range(start, end, BLOCK):
        found.update(_read(handle, at, min(end, at + BLOCK)))
    return found.hexdigest()


def _blocks(text: Text, before: int | None, length: int) -> Iterator[tuple[int, bytes]]:
    """Offset and bytes of blocks of finished lines, the last one first. A line that is longer is a block by itself."""
    end = finished_end(text, texts.size(text) if before is None else before)
    while end > 0:
        start = max(0, end - length)
        block = _read(text, start, end)
        # A block in the middle of a file begins in the middle of a line, which belongs to the block before.
        cut = block.find(b"\n") + 1 if start > 0 else 0
        if cut < len(block):
            start += cut
            yield start, block[cut:]
        else:
            start = finished_end(text, end - 1)
            yield start, _read(text, start, end) if end - start <= LONGEST + 1 else b"\n"
        end = start


def _read(text: Text, start: int, end: int) -> bytes:
    data = texts.pread(text, end - start, start)
    if len(data) != end - start:
        raise ShrunkError(
            "the audit log shrank while it was being read", hint="run `molecule-approve audit verify` to see what is missing"
        )
    return data
