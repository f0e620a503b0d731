"""A whole request laid out for a window, page by page. Nothing is cut off; what is ours stands where no text can stand."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator

from .window import BOLD, DIM, Size, size_of, styled, wrapped

MARGIN = 10
"""Columns on the left that are ours: a label, or the mark of a line that goes on because the window is narrow."""

NARROWEST = 20
"""Columns from which a margin makes sense."""


def pages(heading: str, lines: Iterable[tuple[str, str]], size: Size | None = None) -> list[str]:
    """The heading and the labelled lines as pages, each of which leaves the window's last two lines free; one at least."""
    found = size or size_of(sys.stderr)
    rows = ["", *(styled(row, BOLD) for row in wrapped(heading, found.columns)), *_rows(lines, found.columns)]
    height = max(1, found.lines - 2)
    return ["".join(f"{row}\n" for row in rows[start : start + height]) for start in range(0, len(rows), height)]


def _rows(lines: Iterable[tuple[str, str]], columns: int) -> Iterator[str]:
    """A row of the window each. A line's own end and the window's edge look different: the margin says which it was."""
    room = max(NARROWEST, columns) - MARGIN
    for label, text in lines:
        mark = styled(f"{label:<{MARGIN}}", DIM)
        for piece in wrapped(text, room):
            yield f"{mark}{piece}"
            mark = styled(f"{'…':>{MARGIN - 1}} ", DIM)
