"""A whole request in pages: nothing of it is lost, and nothing of it stands where our own words stand."""

from __future__ import annotations

import re

import pytest

from molecule_approve.cli.paging import pages
from molecule_approve.cli.window import MARGIN, NARROWEST, Size, cells

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
