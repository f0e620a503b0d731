"""What a stream can show: its size, its colours, and texts that are fitted into it."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import re
import struct
import termios
from collections.abc import Iterator
from typing import TYPE_CHECKING, TextIO

import pytest

from molecule_approve.audit.record import ENDINGS, RecordOutcome
from molecule_approve.cli.terminal import (
    MARGIN,
    NARROWEST,
    STYLES,
    Size,
    cells,
    colours_wanted,
    cut,
    folded,
    is_same,
    is_terminal,
    marked,
    padded,
    pages,
    painted,
    size_of,
    style_of,
    styled,
    wrapped,
)
from molecule_approve.model import Outcome

if TYPE_CHECKING:
    from pathlib import Path

UUID = "1a2b3c4d-1a2b-4a2b-8a2b-1a2b3c4d5e6f"


def test_the_size_of_what_is_no_window(tmp_path: Path) -> None:
    """80 by 24: for a file, for what has no descriptor, and for a terminal that was never told."""
    with (tmp_path / "file").open("w") as file:
        assert size_of(file) == Size(80, 24)
    assert size_of(io.StringIO()) == Size(80, 24)
    leader, follower = pty.openpty()
    with os.fdopen(follower, "w") as stream:
        assert size_of(stream) == Size(80, 24)
    os.close(leader)


def test_two_streams_that_are_the_same(tmp_path: Path) -> None:
    """One file opened twice is; two files are not, nor is what is no file or closed."""
    with (tmp_path / "a").open("w") as one, (tmp_path / "a").open("w") as same, (tmp_path / "b").open("w") as other:
        assert is_same(one, same)
        assert not any(is_same(one, stream) for stream in (other, io.StringIO(), None))
    assert not is_same(one, same)


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
        ("one two, three", 8, ["one ", "two, ", "three"]),
        ("a bcdefgh", 5, ["a bcd", "efgh"]),
        ("to \x1b[1mbold\x1b[0m", 6, ["to ", "\x1b[1mbold\x1b[0m"]),
        ("      x", 3, ["   ", "   ", "x"]),
    ],
)
def test_a_text_is_wrapped_and_nothing_is_lost(text: str, width: int, pieces: list[str]) -> None:
    """Behind a blank where one stands late enough; a wide character alone may be too wide for a window of one column."""
    assert list(wrapped(text, width)) == pieces
    assert "".join(pieces) == text


@pytest.mark.parametrize("start", range(70))
def test_no_id_is_broken_in_a_window_of_eighty_columns(start: int) -> None:
    """Wherever it stands in a line, after a blank."""
    text = f"{'x' * start} {UUID} and more"
    assert any(UUID in row for row in wrapped(text, 80 - MARGIN))
    assert any(UUID in row for row in wrapped(text, 80 - MARGIN, 80))


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
    line = f"molecule: {'x' * 50}"
    assert folded(line, window) == f"molecule: {'x' * 20}\n        … {'x' * 20}\n        … {'x' * 10}"
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
        assert styled("x", "bold", stream) == ("\x1b[1mx\x1b[0m" if coloured else "x")
        assert styled("x", "", stream) == "x"


@pytest.mark.parametrize(
    ("outcome", "encoding", "line"),
    [
        ("approved", "utf-8", "✓ x"),
        ("denied", "utf-8", "✗ x"),
        ("pending", "utf-8", "• x"),
        ("timeout", "utf-8", "! x"),
        ("approved", "ascii", "+ x"),
        ("denied", "ascii", "x x"),
        ("pending", "ascii", "* x"),
    ],
)
def test_a_verdict_has_a_mark_at_a_terminal(
    outcome: str, encoding: str, line: str, window: TextIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that the terminal's encoding has; in a file the line stays as it is, though colours are wanted there."""
    monkeypatch.setenv("NO_COLOR", "1")
    with os.fdopen(os.dup(window.fileno()), "w", encoding=encoding) as stream:
        assert marked("x", outcome, stream) == line
    monkeypatch.setenv("NO_COLOR", "")
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert marked("x", "approved", window) == "\x1b[1;32m✓ x\x1b[0m"
    assert marked("x", outcome, io.StringIO()) == "x"


@pytest.mark.parametrize(("coloured", "text"), [(False, "a b c"), (True, "\x1b[1ma\x1b[0m b c")])
def test_pieces_are_one_line(coloured: bool, text: str) -> None:
    """Blanks get no colour, nor does what has no style."""
    assert painted([("a", "bold"), (" ", "dim"), ("b c", "")], coloured=coloured) == text


def test_every_ending_has_a_colour_that_says_what_came_of_it() -> None:
    """A yes and a no have their own; a word that means nothing to us has none."""
    assert [style_of(outcome) for outcome in (RecordOutcome.GRANTED, RecordOutcome.DENIED)] == ["good", "bad"]
    assert all(STYLES[style_of(outcome)] for outcome in ENDINGS)
    assert all(STYLES[style_of(outcome)] for outcome in Outcome)
    assert style_of("whatever") == ""


# --- pages ---------------------------------------------------------------------------------------------------------------

PLAIN = re.compile(r"\x1b\[\d*m")
LINES = [("action", "deploy 日本 " * 30), ("", "second line"), ("reason", ""), ("context", "x" * 200)]


def rows(found: list[str]) -> list[str]:
    """All rows of all pages, without their styles."""
    return [row for page in found for row in PLAIN.sub("", page).splitlines()]


@pytest.mark.parametrize("size", [Size(80, 24), Size(31, 7), Size(NARROWEST, 3), Size(200, 60)])
def test_each_row_fits_and_each_page_leaves_room_for_the_question(size: Size) -> None:
    """Two lines of the window stay free, and no row is broken by the terminal itself."""
    found = pages("asked 3 s ago; nothing more waits", LINES, size)
    assert all(page.count("\n") <= max(1, size.lines - 2) for page in found)
    assert all(cells(row) <= size.columns for row in rows(found))


@pytest.mark.parametrize("columns", [NARROWEST, 31, 80, 200])
def test_every_text_can_be_put_together_again(columns: int) -> None:
    """Nothing is cut off; the margin says which lines go on and which are new."""
    told: list[tuple[str, str]] = []
    for row in rows(pages("heading", LINES, Size(columns, 9)))[1:]:
        margin, text = row[:MARGIN].strip(), row[MARGIN:]
        if margin == "…":
            told[-1] = (told[-1][0], told[-1][1] + text)
        elif text or margin == "reason":
            told.append((margin, text))
    assert told[-len(LINES) :] == LINES


def test_no_text_stands_in_the_margin() -> None:
    """A requester who writes our labels writes them to the right of it."""
    found = rows(pages("heading", [("action", "x"), ("", "reason    y"), ("", "… z")], Size(80, 24)))
    assert [row[:MARGIN].strip() for row in found[2:]] == ["action", "", ""]


def test_the_smallest_window_gets_a_page_all_the_same() -> None:
    """One row a page; of no columns at all the least with which a margin makes sense is taken."""
    found = pages("", [("action", "abc")], Size(1, 1))
    assert len(found) == len(rows(found))
    assert rows(found)[-1] == "action    abc"
