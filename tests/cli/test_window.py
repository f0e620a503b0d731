"""A terminal's window: its size, and texts that are fitted into it."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import struct
import termios
from collections.abc import Iterator
from typing import TYPE_CHECKING, TextIO

import pytest

from molecule_approve.cli.window import (
    BOLD,
    Size,
    cells,
    colours_wanted,
    cut,
    folded,
    is_terminal,
    padded,
    size_of,
    styled,
    wrapped,
)

if TYPE_CHECKING:
    from pathlib import Path


def test_the_size_of_what_is_no_window(tmp_path: Path) -> None:
    """80 by 24: for a file, for what has no descriptor, and for a terminal that was never told."""
    with (tmp_path / "file").open("w") as file:
        assert size_of(file) == Size(80, 24)
    assert size_of(io.StringIO()) == Size(80, 24)
    leader, follower = pty.openpty()
    with os.fdopen(follower, "w") as stream:
        assert size_of(stream) == Size(80, 24)
    os.close(leader)


@pytest.mark.parametrize(("text", "width"), [("abc", 3), ("漢字", 4), ("e\u0301", 1), ("", 0)])
def test_how_wide_a_text_is(text: str, width: int) -> None:
    """Two columns for an ideograph, none for an accent that stands over a letter."""
    assert cells(text) == width


@pytest.mark.parametrize(
    ("text", "width", "short"),
    [("abc", 3, "abc"), ("abcd", 3, "ab…"), ("漢字漢", 4, "漢…"), ("abc", 1, "…"), ("abc", 0, ""), ("漢字", 2, "…")],
)
def test_a_text_is_cut_to_a_width(text: str, width: int, short: str) -> None:
    """With an ellipsis where something is missing."""
    assert cut(text, width) == short


@pytest.mark.parametrize(
    ("text", "width", "short"),
    [("abcdef", 6, "abcdef"), ("abcdefg", 6, "abc..."), ("漢字漢字", 6, "漢..."), ("abcd", 2, "..")],
)
def test_what_says_that_a_text_was_cut_can_be_chosen(text: str, width: int, short: str) -> None:
    """For terminals that have no ellipsis."""
    assert cut(text, width, "...") == short


@pytest.mark.parametrize(
    ("text", "width", "pieces"),
    [
        ("", 3, [""]),
        ("abcd", 3, ["abc", "d"]),
        ("abc", 3, ["abc"]),
        ("a漢字", 2, ["a", "漢", "字"]),
        ("漢字", 1, ["漢", "字"]),
    ],
)
def test_a_text_is_wrapped_and_nothing_is_lost(text: str, width: int, pieces: list[str]) -> None:
    """Each piece fits, but for a wide character in a window of one column."""
    assert list(wrapped(text, width)) == pieces


def test_a_cell_is_exactly_as_wide_as_wanted() -> None:
    """Short texts are filled up, long ones cut."""
    assert [padded(text, 4) for text in ("a", "漢字漢", "abcd")] == ["a   ", "漢… ", "abcd"]


@pytest.mark.parametrize("text", ["\u4dc0" * 9, "é" * 9, "☀" * 9, "Ж" * 9, "\u302e" * 9])
def test_what_terminals_differ_over_is_wrapped_as_if_it_were_wide(text: str) -> None:
    """Old and new tables of widths, and those of East Asia: whichever the terminal has, no row overflows."""
    assert [len(piece) for piece in wrapped(text, 6)] == [3, 3, 3]
    assert list(wrapped("e\u0301e\u0301", 1)) == ["e\u0301", "e\u0301"]


def test_a_style_takes_no_room_and_stays_where_it_is() -> None:
    """A line in colours is wrapped as one without."""
    assert list(wrapped("\x1b[1;31mabcd\x1b[0m", 3)) == ["\x1b[1;31mabc", "d\x1b[0m"]


@pytest.fixture
def window() -> Iterator[TextIO]:
    """A terminal of thirty columns."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 30, 0, 0))
    with os.fdopen(follower, "w") as stream:
        yield stream
    os.close(leader)


def test_a_line_is_folded_where_it_is_shown_in_a_window(window: TextIO) -> None:
    """All rows but the first begin with our margin; in a file, or nowhere, the line stays one."""
    line = f"molecule-approve: {'x' * 40}"
    assert folded(line, window) == f"molecule-approve: {'x' * 12}\n        … {'x' * 20}\n        … {'x' * 8}"
    assert [folded(line, stream) for stream in (None, io.StringIO())] == [line, line]
    assert size_of(None) == Size(80, 24)
    assert not is_terminal(None)


@pytest.mark.parametrize(
    ("environ", "at_terminal", "elsewhere"),
    [
        ({"TERM": "xterm"}, True, False),
        ({"TERM": "xterm", "NO_COLOR": "1"}, False, False),
        ({"TERM": "xterm", "NO_COLOR": "0"}, False, False),
        ({"TERM": "xterm", "NO_COLOR": ""}, True, False),
        ({"TERM": "dumb"}, False, False),
        ({"TERM": "vt100"}, False, False),
        ({}, False, False),
        ({"TERM": "xterm", "CI": "true"}, False, False),
        ({"TERM": "dumb", "CI": "true", "FORCE_COLOR": "1"}, True, True),
        ({"FORCE_COLOR": "0"}, True, True),
        ({"TERM": "xterm", "FORCE_COLOR": ""}, True, False),
        ({"TERM": "xterm", "NO_COLOR": "1", "FORCE_COLOR": "1"}, False, False),
        ({"TERM": "xterm", "CLICOLOR": "0"}, False, False),
        ({"TERM": "xterm", "CLICOLOR": "1"}, True, False),
        ({"TERM": "dumb", "CLICOLOR": "1"}, False, False),
        ({"CLICOLOR_FORCE": "1"}, True, True),
        ({"TERM": "xterm", "CLICOLOR_FORCE": "0"}, True, False),
        ({"TERM": "xterm", "CLICOLOR": "0", "CLICOLOR_FORCE": "yes"}, True, True),
        ({"TERM": "xterm", "CLICOLOR": "0", "FORCE_COLOR": "1"}, True, True),
        ({"NO_COLOR": "1", "CLICOLOR_FORCE": "1"}, False, False),
    ],
)
def test_colours_by_the_standards_of_their_variables(
    environ: dict[str, str], at_terminal: bool, elsewhere: bool, window: TextIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NO_COLOR, FORCE_COLOR, CLICOLOR_FORCE, CLICOLOR, in this order; then a terminal that can, outside of CI."""
    for name in ("TERM", "NO_COLOR", "FORCE_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "CI"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    for stream, coloured in ((window, at_terminal), (io.StringIO(), elsewhere)):
        assert colours_wanted(stream) == coloured
        assert styled("x", BOLD, stream) == ("\x1b[1mx\x1b[0m" if coloured else "x")
        assert styled("x", "", stream) == "x"
