"""Parses points in time as people write them on a command line (``--since``, ``--until``). Pure."""

from __future__ import annotations

from datetime import datetime, timedelta

from molecule_approve.audit.record import moment
from molecule_approve.errors import UsageError
from molecule_approve.settings.durations import parse_duration


def parse_moment(text: str, option: str, now: datetime) -> datetime:
    """The time in UTC: from an RFC 3339 time, or a duration before now (``2h``, ``1d``). The error names the option.

    Raises:
        UsageError: the value is neither, or a time without its offset from UTC.
    """
    try:
        return moment(text) or now - timedelta(seconds=parse_duration(text))
    except (UsageError, OverflowError) as exc:
        raise UsageError(
            f"{option}: {text[:40]!r} is not a time",
            hint="give a duration before now (2h, 1d) or a time (2026-04-27T10:00:00Z)",
        ) from exc
