"""Moments on the command line: times, and durations back from now."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from molecule_approve.cli.durations import parse_moment
from molecule_approve.errors import UsageError

NOW = datetime(2026, 4, 27, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2h", NOW - timedelta(hours=2)),
        ("90", NOW - timedelta(seconds=90)),
        ("1d", NOW - timedelta(days=1)),
        ("2026-04-27T10:00:00Z", datetime(2026, 4, 27, 10, tzinfo=UTC)),
        ("2026-04-27t12:00:00.5+02:00", datetime(2026, 4, 27, 10, 0, 0, 500_000, tzinfo=UTC)),
        ("2026-04-27 10:00:00z", datetime(2026, 4, 27, 10, tzinfo=UTC)),
    ],
)
def test_a_moment_is_a_duration_ago_or_a_time(text: str, moment: datetime) -> None:
    """A duration counts back from now; a moment names its offset from UTC."""
    assert parse_moment(text, "--since", NOW) == moment


@pytest.mark.parametrize(
    "text", ["", "5 parsecs", "yesterday", "2026-04-27", "2026-04-27T10:00:00", "2026-13-27T10:00:00Z", "999999999d", "-1h"]
)
def test_anything_else_is_a_usage_error(text: str) -> None:
    """The error names the option, and says what to write."""
    with pytest.raises(UsageError, match="--since") as caught:
        parse_moment(text, "--since", NOW)
    assert "2h" in caught.value.hint
