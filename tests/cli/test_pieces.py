"""Pieces of a line become text, with colours or without."""

from __future__ import annotations

import pytest

from molecule_approve.audit.record import ENDINGS, RecordOutcome
from molecule_approve.cli.pieces import STYLES, painted, style_of


@pytest.mark.parametrize(("coloured", "text"), [(False, "a b c"), (True, "\x1b[1ma\x1b[0m b c")])
def test_pieces_are_one_line(coloured: bool, text: str) -> None:
    """Blanks get no colour, nor does what has no style."""
    assert painted([("a", "bold"), (" ", "dim"), ("b c", "")], coloured=coloured) == text


def test_every_ending_has_a_colour_that_says_what_came_of_it() -> None:
    """A yes and a no have their own; a word that means nothing to us has none."""
    assert [style_of(outcome) for outcome in (RecordOutcome.GRANTED, RecordOutcome.DENIED)] == ["good", "bad"]
    assert all(STYLES[style_of(outcome)] for outcome in ENDINGS)
    assert style_of("whatever") == ""
