"""One file read forwards, line by line, as far as it is written; it may grow, or be cut, meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, TypeVar

from . import lines, texts
from .texts import Text

_KEPT = 256  # bytes before the place that was read up to; in a log of ours they hold hashes, which never repeat

_T = TypeVar("_T", bound=Text)


class GrowingFile(Generic[_T]):
    """Reads on from a place, again and again.

    Attributes:
        text: the file's; who made this closes it.
        at: the offset up to which it was read.
    """

    def __init__(self, text: _T, at: int) -> None:
        self.text = text
        self.at = at
        self._before = texts.pread(text, min(at, _KEPT), max(0, at - _KEPT))
        self._begun = b""
        self._length = 0  # of the line that has begun; more than is kept of it when it is too long

    @property
    def has_half_a_line(self) -> bool:
        """Whether what was read ends with a line that is not finished."""
        return self._length > 0

    def is_rewritten(self) -> bool:
        """Whether the file no longer holds what was read from it: it was truncated, and may have grown again."""
        return self.at > 0 and not self.stands_in(self.text)

    def stands_in(self, text: Text) -> bool:
        """Whether this text holds, at the same offset, the bytes that were read last."""
        return self.at > 0 and texts.pread(text, len(self._before), self.at - len(self._before)) == self._before

    def rest(self) -> Iterator[bytes | int]:
        """Each finished line up to the file's end as it is now, its newline left out; only the length of an endless one."""
        while block := texts.pread(self.text, lines.BLOCK, self.at):
            self.at += len(block)
            self._before = (self._before + block)[-_KEPT:]
            *finished, rest = block.split(b"\n")
            for part in finished:
                self._add(part)
                yield self._begun if self._length <= lines.LONGEST else self._length
                self._begun, self._length = b"", 0
            self._add(rest)

    def _add(self, part: bytes) -> None:
        self._length += len(part)
        self._begun = self._begun + part if self._length <= lines.LONGEST else b""
