"""A terminal's window: its size, how much of it a text takes, and its styles. Texts that come here are visible by now."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterator
from typing import NamedTuple, TextIO

BOLD, DIM, YELLOW = "1", "2", "33"
"""What ECMA-48 calls them."""


class Size(NamedTuple):
    """Columns and lines."""

    columns: int
    lines: int


def size_of(stream: TextIO) -> Size:
    """The window's size just now; people change it while they look."""
    try:
        columns, lines = os.get_terminal_size(stream.fileno())
    except (OSError, ValueError):
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
    piece = next(wrapped(text, room))
    return f"{piece if cells(piece) <= room else ''}{mark}"[: max(0, width)]


def wrapped(text: str, width: int) -> Iterator[str]:
    """The whole text in pieces that each fit; one piece, perhaps empty, at least. A width of one may be exceeded by one."""
    piece, room = "", width
    for character in text:
        taken = _cells(character)
        if taken > room and piece:
            yield piece
            piece, room = "", width
        piece, room = piece + character, room - taken
    yield piece


def padded(text: str, width: int) -> str:
    """The text, cut or filled up to exactly this width."""
    short = cut(text, width)
    return short + " " * (width - cells(short))


def colours_wanted() -> bool:
    """Whether a terminal gets colours: NO_COLOR says, then FORCE_COLOR, then the kind of terminal, and CI."""
    from molecule_approve.config import in_ci  # noqa: PLC0415 - help needs it not

    if os.environ.get("NO_COLOR"):
        return False
    dumb = os.environ.get("TERM", "dumb") in {"dumb", "unknown"} or in_ci(os.environ)
    return bool(os.environ.get("FORCE_COLOR")) or not dumb


def styled(text: str, style: str) -> str:
    """The text in a style, where colours are wanted."""
    return in_style(text, style) if colours_wanted() else text


def in_style(text: str, style: str) -> str:
    """The text in a style, wanted or not: whoever writes many lines asks once."""
    return f"\x1b[{style}m{text}\x1b[0m" if style else text
