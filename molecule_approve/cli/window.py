"""A terminal's window: its size, how much of it a text takes, and its styles. Texts that come here are visible by now."""

from __future__ import annotations

import os
import re
import sys
import unicodedata
from collections.abc import Callable, Iterator
from typing import NamedTuple, TextIO

BOLD, DIM, YELLOW, CYAN = "1", "2", "33", "36"
"""What ECMA-48 calls them."""

MARGIN = 10
"""Columns on the left that are ours: a label, or the mark of a line that goes on because the window is narrow."""

NARROWEST = 20
"""Columns from which a margin makes sense."""

_STYLE = re.compile(r"(\x1b\[[\d;]*m)")


class Size(NamedTuple):
    """Columns and lines."""

    columns: int
    lines: int


def is_terminal(stream: TextIO | None) -> bool:
    """Whether somebody sits there; a stream that is closed or missing is none."""
    try:
        return stream is not None and stream.isatty()
    except ValueError:
        return False


def size_of(stream: TextIO | None) -> Size:
    """The window's size just now; people change it while they look."""
    try:
        columns, lines = os.get_terminal_size(stream.fileno())  # type: ignore[union-attr]
    except (OSError, ValueError, AttributeError):  # no window, a closed stream, no stream at all
        columns = lines = 0
    return Size(columns or 80, lines or 24)  # a terminal that was never told its size says 0


def cells(text: str) -> int:
    """Columns that the text takes."""
    return sum(_cells(character) for character in text)


def _cells(character: str) -> int:
    if character.isascii():
        return 1
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in {"W", "F"} else 1


def cut(text: str, width: int, mark: str = "…") -> str:
    """The text if it fits; otherwise as much of its beginning as does, and a mark (of narrow characters)."""
    if cells(text) <= width:
        return text
    room = width - len(mark)
    piece = next(_wrapped(text, room, room, _cells))
    return f"{piece if cells(piece) <= room else ''}{mark}"[: max(0, width)]


def _at_most(character: str) -> int:
    """Columns that it takes at most."""
    # Terminals differ over what is no plain letter, and break a row that is too long for them: then text from elsewhere
    # stands where only ours may.
    if character.isascii():
        return 1
    if unicodedata.combining(character) and unicodedata.category(character) != "Mc":
        return 0
    plain = unicodedata.category(character)[0] in "LM" and unicodedata.east_asian_width(character) in {"N", "Na", "H"}
    return 1 if plain else 2


def wrapped(text: str, width: int) -> Iterator[str]:
    """The whole text in pieces that each fit, whatever the terminal; one, perhaps empty, at least.

    A width of one may be exceeded by one. A style takes no room, and stays where it is.
    """
    yield from _wrapped(text, width, width)


def _wrapped(text: str, first: int, width: int, measure: Callable[[str], int] = _at_most) -> Iterator[str]:
    piece, room, empty = "", first, True
    for part in _STYLE.split(text):
        if part.startswith("\x1b"):
            piece += part
            continue
        for character in part:
            taken = measure(character)
            if taken > room and not empty:
                yield piece
                piece, room = "", width
            piece, room, empty = piece + character, room - taken, False
    yield piece


def written(text: str, stream: TextIO | None) -> str:
    """The text as the stream writes it: what its encoding lacks is an escape there, and takes more room."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def goes_on(stream: TextIO | None) -> str:
    """The margin of a row that goes on with the line above it."""
    mark = "…" if written("…", stream) == "…" else "."
    return f"{mark:>{MARGIN - 1}} "


def folded(line: str, stream: TextIO | None) -> str:
    """The line, which begins with our own words, in rows that fit the window that the stream is shown in, if it is.

    All but the first begin with a margin, which no text that is shown can draw.
    """
    columns = columns_of(stream)
    if columns is None:
        return line
    room = max(NARROWEST, columns)
    return f"\n{goes_on(stream)}".join(_wrapped(written(line, stream), room, room - MARGIN))


def columns_of(stream: TextIO | None) -> int | None:
    """The width of the window that the stream is shown in; None where it is shown in none."""
    return size_of(stream).columns if stream is not None and is_terminal(stream) else None


def padded(text: str, width: int) -> str:
    """The text, cut or filled up to exactly this width."""
    short = cut(text, width)
    return short + " " * (width - cells(short))


def colours_wanted(stream: TextIO | None = None) -> bool:
    """Whether what is written to this stream (stdout, unless another is named) gets colours.

    NO_COLOR says it first, then FORCE_COLOR and CLICOLOR_FORCE, then CLICOLOR; where none of them does, a terminal that
    can gets them outside of CI. By their own standards an empty one says nothing, and of CLICOLOR and CLICOLOR_FORCE
    alone the value counts.
    """
    from molecule_approve.settings.resolve import in_ci

    said = os.environ.get
    if said("NO_COLOR"):
        return False
    if said("FORCE_COLOR") or said("CLICOLOR_FORCE", "") not in {"", "0"}:
        return True
    kind = said("TERM", "")
    # A VT100 and its kin have no colours.
    able = kind not in {"", "dumb", "unknown"} and not kind.startswith("vt")
    return able and said("CLICOLOR") != "0" and not in_ci(os.environ) and is_terminal(stream or sys.stdout)


def styled(text: str, style: str, stream: TextIO | None = None) -> str:
    """The text in a style, where colours are wanted on this stream (stdout, unless another is named)."""
    return in_style(text, style) if colours_wanted(stream) else text


def in_style(text: str, style: str) -> str:
    """The text in a style, wanted or not: whoever writes many lines asks once."""
    return f"\x1b[{style}m{text}\x1b[0m" if style else text
