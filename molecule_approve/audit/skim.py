"""A log's lines from its newest to its oldest, without most of those that hold no word that is looked for.

A search for one request goes through a long history at nearly the speed of reading it: most blocks are only searched.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from . import lines, texts
from .chain import link_of

if TYPE_CHECKING:
    from .archives import Snapshot
    from .texts import Text

BLOCK = 1_048_576
"""Bytes that are searched at once. A line that is longer is no record, and is left out."""


def backwards(snapshot: Snapshot, words: Collection[bytes]) -> Iterator[bytes]:
    """Whole lines without their newlines, the newest first: all that hold one of the words, and what stands around them.

    Of a block without any of the words only its outermost lines are given, on both sides as far as the first chained one: so
    the chained neighbours of every line that is looked for are there. ``words`` may grow meanwhile.

    Raises:
        AuditError, OSError: a file cannot be read.

    """
    for piece in reversed(snapshot.pieces):
        with snapshot.reading(piece) as text:
            for block in _blocks(text, lines.finished_end(text, texts.size(text))):
                yield from _worth_reading(block, words)


def _blocks(text: Text, end: int) -> Iterator[bytes]:
    """Blocks of whole lines before ``end``, which is 0 or just after a newline; the last block of the file first."""
    while end > 0:
        start = max(0, end - BLOCK)
        block = texts.pread(text, end - start, start)
        if len(block) != end - start:
            raise lines.shrunk()
        # The block begins in the middle of a line, which belongs to the block before.
        cut = block.find(b"\n") + 1 if start > 0 else 0
        if cut == len(block):
            end = lines.finished_end(text, end - 1)
            continue
        yield block[cut:]
        end = start + cut


def _worth_reading(block: bytes, words: Collection[bytes]) -> Iterator[bytes]:
    rows = block.split(b"\n")[-2::-1]
    if any(word in block for word in words):
        yield from rows
        return
    places = range(len(rows))
    newest = next((place for place in places if link_of(rows[place])), len(rows) - 1)
    oldest = next((place for place in places[:newest:-1] if link_of(rows[place])), len(rows))
    yield from rows[: newest + 1]
    yield from rows[oldest:]
