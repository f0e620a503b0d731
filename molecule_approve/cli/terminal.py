"""What a stream can show: a terminal's size, colours, and texts fitted into it. Nothing here writes.

Texts from elsewhere are visible by now (``safe_text``). In a window each of their rows has a margin that they cannot draw.
"""

from __future__ import annotations

import os
import re
import sys
import unicodedata
from collections.abc import Iterable, Iterator
from typing import NamedTuple, TextIO

MARGIN = 10
"""Columns on the left that are ours: a label, or the mark of a row that continues the one above."""

ERASE = "\r\x1b[K"
"""To the line's beginning, and erase it (ECMA-48)."""

NARROWEST = 20
"""Columns from which a margin makes sense."""

StyledText = tuple[str, str]
"""Text that is safe to show, and the name of its style."""

SheetLine = tuple[str, str] | tuple[str, str, str]
"""A label, visible text, and the name of the text's style if it has one."""

STYLES = {"bold": "1", "dim": "2", "good": "1;32", "bad": "1;31", "warning": "33", "fault": "1;35", "open": "36", "": ""}
"""The styles by what they mean, as ECMA-48 calls them."""

_OUTCOMES = {
    "good": "approved granted finished",
    "bad": "denied not_permitted",
    "warning": "timeout expired withdrawn interrupted",
    "fault": "failed failure refused",
    "open": "pending initiated requested resumed started",
}
_STYLE_OF = {outcome: style for style, outcomes in _OUTCOMES.items() for outcome in outcomes.split()}
_MARKS = {"good": ("✓", "+"), "bad": ("✗", "x"), "open": ("•", "*")}
_OTHER_MARK = ("!", "!")

_STYLE = re.compile(r"(\x1b\[[\d;]*m)")


class Size(NamedTuple):
    """Columns and lines."""

    columns: int
    lines: int


def is_terminal(stream: TextIO | None) -> bool:
    """Whether the stream is a terminal; one that is closed or missing is not."""
    try:
        return stream is not None and stream.isatty()
    except ValueError:
        return False


def is_same(one: TextIO | None, other: TextIO | None) -> bool:
    """Whether both streams write to the same terminal, pipe or file."""
    try:
        return os.path.sameopenfile(one.fileno(), other.fileno())  # type: ignore[union-attr]
    except (OSError, ValueError, AttributeError):  # closed, no file, no stream at all
        return False


def size_of(stream: TextIO | None) -> Size:
    """The window's size now: people change it while they look."""
    try:
        columns, lines = os.get_terminal_size(stream.fileno())  # type: ignore[union-attr]
    except (OSError, ValueError, AttributeError):  # no window, a closed stream, no stream at all
        columns = lines = 0
    return Size(columns or 80, lines or 24)  # a terminal whose size was never set says 0


def columns_of(stream: TextIO | None) -> int | None:
    """The width of the stream's window; None where the stream is not a terminal."""
    return size_of(stream).columns if is_terminal(stream) else None


# --- colours -------------------------------------------------------------------------------------------------------------


def colours_wanted(stream: TextIO | None = None) -> bool:
    """Whether text on this stream (default: stdout) gets colours.

    NO_COLOR comes first, then FORCE_COLOR and CLICOLOR_FORCE, then CLICOLOR; where none of them is set, a terminal that
    can show colours gets them outside of CI. By their own standards an empty variable counts as unset, and for CLICOLOR
    and CLICOLOR_FORCE alone the value counts.
    """
    from molecule_approve.settings.resolve import in_ci

    value = os.environ.get
    if value("NO_COLOR"):
        return False
    if value("FORCE_COLOR") or value("CLICOLOR_FORCE", "") not in {"", "0"}:
        return True
    kind = value("TERM", "")
    # A VT100 and its kin have no colours.
    able = kind not in {"", "dumb", "unknown"} and not kind.startswith("vt")
    return able and value("CLICOLOR") != "0" and not in_ci(os.environ) and is_terminal(stream or sys.stdout)


def styled(text: str, style: str, stream: TextIO | None = None) -> str:
    """The text in a style, where this stream (default: stdout) gets colours."""
    return painted([(text, style)], coloured=colours_wanted(stream))


def painted(pieces: Iterable[StyledText], *, coloured: bool) -> str:
    """The pieces as one line, in colours where they are wanted. Blanks get none."""
    return "".join(
        f"\x1b[{STYLES[style]}m{text}\x1b[0m" if coloured and style and text.strip() else text for text, style in pieces
    )


def style_of(outcome: str) -> str:
    """The style of an outcome, of a verdict or of a record; empty for any other word."""
    return _STYLE_OF.get(outcome, "")


def marked(text: str, outcome: str, stream: TextIO | None) -> str:
    """A verdict's line with a mark and a colour, where the stream is a terminal; elsewhere the line as it is."""
    if not is_terminal(stream):
        return text
    style = style_of(outcome)
    mark, plain = _MARKS.get(style, _OTHER_MARK)
    return styled(f"{mark if written(mark, stream) == mark else plain} {text}", style, stream)


# --- widths --------------------------------------------------------------------------------------------------------------


def written(text: str, stream: TextIO | None) -> str:
    """The text as the stream writes it: a character that its encoding lacks is an escape, which takes more room."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def cells(text: str, *, strict: bool = False) -> int:
    """Columns that the text takes; strict: that it takes at most, whatever the terminal."""
    return len(text) if text.isascii() else sum(map(_most_cells if strict else _cells, text))


def _cells(character: str) -> int:
    from rich.cells import get_character_cell_size

    return get_character_cell_size(character)


def _most_cells(character: str) -> int:
    # Terminals differ over everything but plain letters, and break a row that is too long for them: then text from
    # elsewhere is in the margin.
    if character.isascii():
        return 1
    if unicodedata.combining(character) and unicodedata.category(character) != "Mc":
        return 0
    plain = unicodedata.category(character)[0] in "LM" and unicodedata.east_asian_width(character) in {"N", "Na", "H"}
    return 1 if plain else 2


def cut(text: str, width: int, mark: str = "…", *, strict: bool = False) -> str:
    """The visible text if it fits; otherwise as much of its beginning as does, and a mark (of narrow characters).

    ``strict``: it fits whatever the terminal.
    """
    width = max(0, width)
    if cells(text, strict=strict) <= width:
        return text
    kept, room = "", width - cells(mark, strict=strict)
    while (room := room - cells(text[len(kept)], strict=strict)) >= 0:
        kept += text[len(kept)]
    return f"{kept}{mark}"[:width]


def padded(text: str, width: int, mark: str = "…") -> str:
    """The text, cut (see ``cut``) or filled up to exactly this width."""
    short = cut(text, width, mark)
    return short + " " * (width - cells(short))


# --- rows ----------------------------------------------------------------------------------------------------------------


def wrapped(text: str, width: int, first: int | None = None) -> Iterator[str]:
    """The whole visible text in rows that fit, whatever the terminal: at least one row, perhaps empty.

    A row ends behind a blank, or in a word that is longer than about half a row. A width of one may be exceeded by one.
    A style takes no room. ``first`` is the width of the first row, where it differs.
    """
    row, room = "", width if first is None else first
    for part in _STYLE.split(text):
        if part.startswith("\x1b"):
            row += part
            continue
        for character in part:
            taken = _most_cells(character)
            while taken > room and (filled := _columns(row)):
                end = row.rfind(" ") + 1
                if _columns(row[:end]) * 2 < filled:
                    end = len(row)
                yield row[:end]
                row = row[end:]
                room = width - _columns(row)
            row, room = row + character, room - taken
    yield row


def _columns(row: str) -> int:
    return cells(_STYLE.sub("", row), strict=True)


def continuation(stream: TextIO | None) -> str:
    """The margin of a row that continues the one above."""
    return f"{ellipsis(stream):>{MARGIN - 1}} "


def ellipsis(stream: TextIO | None) -> str:
    """An ellipsis of one column that the stream can write."""
    return "…" if written("…", stream) == "…" else "."


def folded(line: str, stream: TextIO | None) -> str:
    """A line that begins with our own words, in rows that fit the stream's window, if it has one.

    All but the first row begin with a margin.
    """
    columns = columns_of(stream)
    if columns is None:
        return line
    room = max(NARROWEST, columns)
    return f"\n{continuation(stream)}".join(wrapped(written(line, stream), room - MARGIN, room))


def rows(lines: Iterable[SheetLine], columns: int | None, stream: TextIO | None) -> Iterator[str]:
    """Labelled lines as rows of a window so many columns wide; None where there is no window: then each line is one row.

    A line without a label belongs to the label above it. The margin tells a line's own end from the window's edge.
    """
    coloured = colours_wanted(stream)
    more = painted([(continuation(stream), "dim")], coloured=coloured)
    for label, text, *styles in lines:
        style = "".join(styles)
        pieces = [text] if columns is None else wrapped(written(text, stream), max(NARROWEST, columns) - MARGIN)
        margin = painted([(label, "warning" if style == "warning" else "dim")], coloured=coloured) + " " * (
            MARGIN - len(label)
        )
        for piece in pieces:
            yield f"{margin}{painted([(piece, style)], coloured=coloured)}"
            margin = more


def pages(heading: str, lines: Iterable[SheetLine], size: Size | None = None) -> list[str]:
    """The heading, if any, and the labelled lines as pages for stderr, at least one.

    Each page leaves the window's last two lines free.
    """
    found = size or size_of(sys.stderr)
    above = [styled(row, "bold", sys.stderr) for row in (wrapped(heading, found.columns) if heading else ())]
    shown = ["", *above, *rows(lines, found.columns, sys.stderr)]
    height = max(1, found.lines - 2)
    return ["".join(f"{row}\n" for row in shown[start : start + height]) for start in range(0, len(shown), height)]
