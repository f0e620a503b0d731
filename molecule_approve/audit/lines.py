"""Reading a log's lines, from its end or from its beginning, in bounded memory. What a line means is not known here."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, BinaryIO, TypeVar

from molecule_approve.errors import AuditError

from . import texts

if TYPE_CHECKING:
    from .texts import Text

BLOCK = 65_536
"""Bytes that are read at once; nearly always the whole of what a search wants."""

LONGEST = 1_048_576
"""Bytes of a line that are kept. Ours have at most 64 KiB; of a longer one nothing is told but that it is there."""

_T = TypeVar("_T")


class ShrunkError(AuditError):
    """The file became shorter while it was read."""


def shrunk() -> ShrunkError:
    """What to say then."""
    return ShrunkError("the audit log shrank while it was read", hint="`audit verify` says what is missing")


def twice(look: Callable[[], _T]) -> _T:
    """What the look finds. Where the file shrinks in that very moment (copytruncate), a second one sees it as it is then."""
    with suppress(ShrunkError):
        return look()
    return look()


def finished_end(text: Text, size: int) -> int:
    """The offset just after the last newline before ``size``, or 0: what follows is not finished."""
    return _last_newline(text, 0, size) + 1


def backwards(text: Text, end: int) -> Iterator[tuple[int, bytes]]:
    """Offset and bytes, newline left out, of each line before ``end``, the newest first.

    ``end`` is 0 or just after a newline. Of a line longer than :data:`LONGEST` the bytes are empty.

    Raises:
        ShrunkError: the file shrank meanwhile.
        OSError: it cannot be read.

    """
    stop = end - 1  # where the newline of the line that is wanted stands
    first, block = end, b""  # the block that was read last, and where it begins
    while stop >= 0:
        if stop <= first:
            first, block = _block_before(text, stop)
        at = block.rfind(b"\n", 0, stop - first)
        begin = first + at + 1
        if at < 0 and first > 0:
            # The line began before this block: find where, and fetch it by itself.
            begin = _last_newline(text, 0, first) + 1
            yield begin, _read(text, begin, stop) if stop - begin <= LONGEST else b""
        else:
            yield begin, block[begin - first : stop - first]
        stop = begin - 1


def forwards(file: BinaryIO) -> Iterator[bytes]:
    """Each line from here on with the newline that it has. Of a line longer than :data:`LONGEST` only its end."""
    for piece in iter(lambda: file.readline(LONGEST), b""):
        line = piece
        while len(piece) == LONGEST and not piece.endswith(b"\n"):
            piece = file.readline(LONGEST)  # noqa: PLW2901 - the line goes on
            line = piece[-1:]
        yield line


def digest(handle: int, start: int, end: int) -> str:
    """SHA-256, in lower-case hex, of the bytes between two offsets."""
    found = hashlib.sha256()
    for at in range(start, end, BLOCK):
        found.update(_read(handle, at, min(end, at + BLOCK)))
    return found.hexdigest()


def _block_before(text: Text, end: int) -> tuple[int, bytes]:
    first = max(0, end - BLOCK)
    return first, _read(text, first, end)


def _last_newline(text: Text, start: int, end: int) -> int:
    """The offset of the last newline between two offsets; ``start - 1`` where there is none."""
    while end > start:
        first = max(start, end - BLOCK)
        at = _read(text, first, end).rfind(b"\n")
        if at >= 0:
            return first + at
        end = first
    return start - 1


def _read(text: Text, start: int, end: int) -> bytes:
    data = texts.pread(text, end - start, start)
    if len(data) != end - start:
        raise shrunk()
    return data
