"""Moments as people write them on a command line (``--since``, ``--until``). Pure; how records write theirs: ``record``."""

from __future__ import annotations

from datetime import datetime, timedelta

from molecule_approve.audit.record import moment
from molecule_approve.errors import UsageError
from molecule_approve.settings.durations import parse_duration


def parse_moment(text: str, option: str, now: datetime) -> datetime:
    """The moment in UTC that somebody means: an RFC 3339 time, or a duration back from now (``2h``, ``1d``).

    Args:
        text: what somebody wrote.
        option: where it came from (``--since``); the error names it.
        now: from when a duration counts back.

    Raises:
        UsageError: it is neither, or a time without its offset from UTC.

    """
    try:
        return moment(text) or now - timedelta(seconds=parse_duration(text))
    except (UsageError, OverflowError) as exc:
        raise UsageError(
            f"{option}: {text[:40]!r} is no time", hint="write a duration like 2h or 1d, or a time like 2026-04-27T10:00:00Z"
        ) from exc
