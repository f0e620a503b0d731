"""durations.py: how people write a time span."""

from __future__ import annotations

import pytest

from molecule_approve.errors import UsageError
from molecule_approve.settings.durations import parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        ("90", 90.0),
        ("0300", 300.0),
        ("1.5", 1.5),
        ("90s", 90.0),
        ("0.5s", 0.5),
        ("5m", 300.0),
        ("1h30m", 5400.0),
        ("1h5s", 3605.0),
        ("1d", 86400.0),
        ("1d1h1m1s", 90061.0),
        ("90m", 5400.0),
    ],
)
def test_seconds_and_units_are_understood(text: str, seconds: float) -> None:
    """Bare numbers are seconds, units stand from the largest to the smallest."""
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "5 parsecs",
        "5 m",
        " 5",
        "5\n",
        "-5",
        "+5",
        "1e3",
        "nan",
        "inf",
        "1_000",
        "5ms",
        "5S",
        "m",
        "30m1h",
        "5m5m",
        "1:30",
        "1.5h",
        ".5",
        "5.",
        "٣",
        "1" * 10,
        "1.",
        "0x10",
        "5m\n",
        "1h 30m",
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    """The error repeats what was written and says how it is written well."""
    with pytest.raises(UsageError, match="is not a duration") as caught:
        parse_duration(text)
    assert "1h30m" in caught.value.hint


def test_the_error_names_where_the_text_came_from() -> None:
    """A flag that is no setting has its name in the error."""
    with pytest.raises(UsageError, match=r"^--expires-in: '5 parsecs' is not"):
        parse_duration("5 parsecs", "--expires-in")


def test_a_long_text_is_not_repeated_whole() -> None:
    """An error is one sentence, whatever was written."""
    with pytest.raises(UsageError) as caught:
        parse_duration("x" * 10_000)
    assert len(caught.value.message) < 100
