"""Labelled lines laid out for a window. Nothing is cut off; what is ours stands where no text from elsewhere can stand."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import TextIO

from .window import BOLD, DIM, MARGIN, NARROWEST, Size, colours_wanted, goes_on, in_style, size_of, styled, wrapped, written


def pages(heading: str, lines: Iterable[tuple[str, str]], size: Size | None = None) -> list[str]:
    """The heading, if any, and the labelled lines as pages; each leaves the window's last two lines free. One at least."""
    found = size or size_of(sys.stderr)
    above = [styled(row, BOLD, sys.stderr) for row in (wrapped(heading, found.columns) if heading else ())]
    shown = ["", *above, *rows(lines, found.columns, sys.stderr)]
    height = max(1, found.lines - 2)
    return ["".join(f"{row}\n" for row in shown[start : start + height]) for start in range(0, len(shown), height)]


def rows(lines: Iterable[tuple[str, str]], columns: int | None, stream: TextIO | None) -> Iterator[str]:
    """A row of the window each. A line's own end and the window's edge look different: the margin says which it was.

    Args:
        lines: labels and visible texts; without a label a line goes on with what stands above it.
        columns: the window's width; None where there is no window, and then each line is one row.
        stream: where the rows are written.

    """
    style = DIM if colours_wanted(stream) else ""
    more = in_style(goes_on(stream), style)
    for label, text in lines:
        pieces = [text] if columns is None else wrapped(written(text, stream), max(NARROWEST, columns) - MARGIN)
        mark = in_style(f"{label:<{MARGIN}}", style)
        for piece in pieces:
            yield f"{mark}{piece}"
            mark = more
