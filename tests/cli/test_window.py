"""A terminal's window: its size, and texts that are fitted into it."""

from __future__ import annotations

import io
import os
import pty
from typing import TYPE_CHECKING

import pytest

from molecule_approve.cli.window import BOLD, Size, cells, cut, padded, size_of, styled, wrapped

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


@pytest.mark.parametrize(
    ("environ", "text"),
    [
        ({"TERM": "xterm"}, "\x1b[1mx\x1b[0m"),
        ({"TERM": "xterm", "NO_COLOR": "1"}, "x"),
        ({"TERM": "xterm", "NO_COLOR": ""}, "\x1b[1mx\x1b[0m"),
        ({"TERM": "dumb"}, "x"),
        ({}, "x"),
        ({"TERM": "xterm", "CI": "true"}, "x"),
        ({"TERM": "dumb", "CI": "true", "FORCE_COLOR": "1"}, "\x1b[1mx\x1b[0m"),
        ({"TERM": "xterm", "NO_COLOR": "1", "FORCE_COLOR": "1"}, "x"),
    ],
)
def test_styles_where_they_are_wanted(environ: dict[str, str], text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """NO_COLOR, a dumb terminal and CI get none, but for FORCE_COLOR."""
    for name in ("TERM", "NO_COLOR", "FORCE_COLOR", "CI"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert styled("x", BOLD) == text
    assert styled("x", "") == "x"
