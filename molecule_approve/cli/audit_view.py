"""How lines of the audit log are chosen: the filters of ``audit tail``. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from molecule_approve.audit.record import decode
from molecule_approve.durations import parse_duration
from molecule_approve.errors import UsageError

if TYPE_CHECKING:
    from molecule_approve.model import JsonValue


@dataclass(frozen=True, slots=True)
class Filters:
    """Which lines are wanted; None wants all. A line that is no record is wanted only where nothing is asked of it."""

    outcome: str | None = None
    event_type: str | None = None
    trace: str | None = None
    actor: str | None = None
    since: datetime | None = None

    def wanted(self, line: bytes) -> bool:
        """Whether to show this line."""
        if self == _ALL:
            return True
        if self._is_hopeless(line):
            return False
        fields = decode(line)
        if fields is None:
            return False
        return all(
            (
                self.outcome in (None, fields.get("outcome")),
                self.event_type in (None, fields.get("event_type")),
                self.actor in (None, fields.get("actor")),
                str(fields.get("trace_id")).startswith(self.trace or ""),
                self.since is None or _not_before(fields.get("timestamp"), self.since),
            )
        )

    def is_too_old(self, line: bytes) -> bool:
        """Whether the line is older than what is wanted."""
        fields = decode(line)
        return fields is not None and self.since is not None and not _not_before(fields.get("timestamp"), self.since)

    def _is_hopeless(self, line: bytes) -> bool:
        """Whether a word that is wanted is not there at all. Parsing each line of a long log would cost ten times more."""
        if b"\\" in line:
            return False  # an escape may spell the word in another way
        words = (self.outcome, self.event_type, self.trace, self.actor)
        return any(word is not None and word.encode("utf-8", "surrogateescape") not in line for word in words)


_ALL = Filters()


def parse_since(text: str, now: datetime) -> datetime:
    """The moment from which records are wanted: an RFC 3339 time, or a duration back from now (``2h``, ``1d``).

    Raises:
        UsageError: it is neither, or a time without its offset from UTC.

    """
    found = moment(text)
    if found is not None:
        return found
    try:
        return now - timedelta(seconds=parse_duration(text))
    except (UsageError, OverflowError) as exc:
        raise UsageError(
            f"--since: {text[:40]!r} is no time", hint="write a duration like 2h or 1d, or a time like 2026-04-27T10:00:00Z"
        ) from exc


_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.\d+)?(?:[Zz]|[+-]\d\d:\d\d)\Z", re.ASCII)


def moment(text: JsonValue) -> datetime | None:
    """The moment that an RFC 3339 text names, in UTC; None where it names none."""
    if not isinstance(text, str) or not _RFC3339.match(text):
        return None
    try:
        return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _not_before(timestamp: JsonValue, since: datetime) -> bool:
    found = moment(timestamp)
    return found is not None and found >= since
