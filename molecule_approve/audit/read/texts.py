"""A file's text, read from its beginning or at any place: unpacked on the way if it is compressed; in bounded memory."""

from __future__ import annotations

import io
import os
import re
from collections import deque
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import BinaryIO, cast

from molecule_approve.errors import AuditError

BLOCK = 512 << 10
"""Bytes that are unpacked at once."""

WINDOW = 64 << 20
"""Bytes of an unpacked text that are kept: an archive of ours is smaller, unless it was wanted larger."""

PACKED = r"\.(gz|xz|bz2|zstd?|lz4|lz|lzma|lzo|br|Z|zip|7z|gpg|age|asc)(?![A-Za-z0-9])"
"""How the name of a packed file goes on; only the first three can be read, the others are named and never overlooked."""

_TAIL = re.compile(rf"(?:[.-]\d+|{PACKED})*\Z", re.ASCII)
_PACKED = re.compile(PACKED)


def is_compressed(path: Path) -> bool:
    """Whether the file has to be unpacked, by its name."""
    return bool(_packings(path))


def _packings(path: Path) -> list[str]:
    """How it was packed, the last time first: an archive that is rotated again has a number, and more, behind its `.gz`."""
    tail = _TAIL.search(path.name)
    return _PACKED.findall(tail[0])[::-1] if tail else []


class Unpacked:
    """The text of a compressed file, to be read at any place. Messages have the path; ``handle`` has to stay open.

    It is unpacked to its end at once, so nothing is read from a damaged one. Its last :data:`WINDOW` bytes are kept; what
    comes before those is unpacked again, from the beginning. To read a larger text backwards costs as many unpackings as
    half its windows: slow, but no folder has to have room for it.

    Attributes:
        size: bytes of the text.

    Raises:
        AuditError: it cannot be unpacked. Reading can raise that, too: the file may be changed meanwhile.
    """

    def __init__(self, path: Path, handle: int) -> None:
        self._path = path
        self._handle = handle
        self._begin()
        self.size = self._reach(None)

    def pread(self, count: int, at: int) -> bytes:
        """As ``os.pread``; at most :data:`WINDOW` bytes."""
        end = min(at + count, self.size)
        if at < self._first:
            self._begin()
        end = min(end, self._reach(end))
        first, skipped = divmod(at - self._first, BLOCK)
        whole = b"".join(islice(self._kept, first, (end - self._first - 1) // BLOCK + 1))
        return whole[skipped : skipped + end - at] if end > at else b""

    def _begin(self) -> None:
        self._blocks = _blocks(self._path, self._handle)
        self._kept = deque[bytes]()
        self._first = self._end = 0  # the offsets of what is kept

    def _reach(self, end: int | None) -> int:
        """Unpack as far as that offset, or all; the offset that was reached."""
        while end is None or self._end < end:
            block = next(self._blocks, b"")
            if not block:
                break
            self._kept.append(block)
            self._end += len(block)
            if self._end - self._first > WINDOW:
                self._first += len(self._kept.popleft())
        return self._end


Text = int | Unpacked
"""A handle of a plain file, or the text of a compressed one."""


def text_in(path: Path, handle: int) -> Text:
    """The text behind a handle, which has to stay open.

    Raises:
        AuditError: it cannot be unpacked.
    """
    return Unpacked(path, handle) if is_compressed(path) else handle


def pread(text: Text, count: int, at: int) -> bytes:
    """At most so many bytes from that offset on; fewer at the end alone, and where it was cut."""
    return os.pread(text, count, at) if isinstance(text, int) else text.pread(count, at)


def size(text: Text) -> int:
    """Bytes that it has now."""
    return os.fstat(text).st_size if isinstance(text, int) else text.size


def file(text: Text) -> BinaryIO:
    """The text as a file, read from its beginning, whatever else is read through the same handle. It need not be closed."""
    return io.BufferedReader(_File(text), 65_536)


@contextmanager
def unpacking(path: Path, handle: int) -> Iterator[BinaryIO]:
    """The same for what may be compressed. Whether a compressed file is damaged is known only at its end.

    Raises:
        AuditError: it cannot be read, or not be unpacked.
    """
    text, broken = file(handle), [OSError, EOFError]
    try:
        for packing in _packings(path):
            text, error = _text_in(packing, path, text)
            broken.append(error)
    except ImportError as exc:
        raise AuditError(f"the audit log's archive {path} cannot be unpacked: this Python has no module {exc.name}") from exc
    try:
        yield text
    except tuple(broken) as exc:
        doing = "unpacked" if is_compressed(path) else "read"
        raise AuditError(f"the audit log's archive {path} cannot be {doing}: {exc}") from exc


class _File(io.RawIOBase):
    """A text with a place of its own: what is duplicated from a handle, or inherited by a process, shares one."""

    def __init__(self, text: Text) -> None:
        self._text = text
        self._at = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # what BufferedReader gives
        data = pread(self._text, len(buffer), self._at)
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


def _blocks(path: Path, handle: int) -> Generator[bytes, None, None]:
    with unpacking(path, handle) as text:
        yield from iter(lambda: text.read(BLOCK), b"")


def _text_in(packing: str, path: Path, packed: BinaryIO) -> tuple[BinaryIO, type[Exception]]:
    """The text, and what is raised where it is broken. Most logs have no such archive, and need no such import."""
    match packing:
        case "gz":
            import gzip  # noqa: PLC0415
            import zlib  # noqa: PLC0415

            return cast("BinaryIO", gzip.GzipFile(fileobj=packed, mode="rb")), zlib.error
        case "xz":
            import lzma  # noqa: PLC0415

            return cast("BinaryIO", lzma.LZMAFile(packed)), lzma.LZMAError
        case "bz2":
            import bz2  # noqa: PLC0415

            return cast("BinaryIO", bz2.BZ2File(packed)), OSError
        case _:
            raise AuditError(f"the audit log's archive {path} is packed as .{packing}, which this program cannot read")
