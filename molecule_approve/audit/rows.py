"""One file read forwards, line by line, as far as it is written; it may grow, or be cut, meanwhile."""

from __future__ import annotations

import os
from collections.abc import Iterator

from . import lines

_KEPT = 256  # bytes before the place that was read up to; in a log of ours they hold hashes, which never repeat


class Rows:
    """Reads on from a place, again and again.

    Attributes:
        handle: the file's; who made this closes it.
        at: what stands before it was read.

    """

    def __init__(self, handle: int, at: int) -> None:
        self.handle = handle
        self.at = at
        self._before = os.pread(handle, min(at, _KEPT), max(0, at - _KEPT))
        self._begun = b""
        self._length = 0  # of the line that has begun; more than is kept of it when it is too long

    @property
    def has_half_a_line(self) -> bool:
        """Whether what was read ends with a line that is not finished."""
        return self._length > 0

    def is_rewritten(self) -> bool:
        """Whether what was read stands no longer there: the file was cut, and may have grown again."""
        return self.at > 0 and not self.stands_in(self.handle)

    def stands_in(self, handle: int) -> bool:
        """Whether a file, perhaps a copy of this one, holds at the same place what was read last."""
        return self.at > 0 and os.pread(handle, len(self._before), self.at - len(self._before)) == self._before

    def rest(self) -> Iterator[bytes | int]:
        """Each finished line up to the file's end as it is now, its newline left out; only the length of an endless one."""
        while block := os.pread(self.handle, lines.BLOCK, self.at):
            self.at += len(block)
            self._before = (self._before + block)[-_KEPT:]
            *whole, rest = block.split(b"\n")
            for piece in whole:
                self._add(piece)
                yield self._begun if self._length <= lines.LONGEST else self._length
                self._begun, self._length = b"", 0
            self._add(rest)

    def _add(self, piece: bytes) -> None:
        self._length += len(piece)
        self._begun = self._begun + piece if self._length <= lines.LONGEST else b""
