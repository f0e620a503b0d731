"""How the audit log is chosen from and shown: filters, one readable line a record. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from molecule_approve.audit.chain import link_of
from molecule_approve.audit.record import RecordOutcome, decode
from molecule_approve.durations import parse_duration
from molecule_approve.errors import UsageError
from molecule_approve.safe_text import visible

if TYPE_CHECKING:
    from molecule_approve.model import JsonValue

UNVOUCHED = "(nothing vouches for this line)"
"""What follows a line without a chain: another tool's, or a torn one."""

Piece = tuple[str, str]
"""Text that is safe to show, and a Rich style for it."""


@dataclass(frozen=True, slots=True)
class Filters:
    """Which lines are wanted; None wants all. A line that is no record is wanted only where nothing is asked of it."""

    outcome: str | None = None
    event_type: str | None = None
    trace: str | None = None
    since: datetime | None = None

    def wanted(self, line: bytes) -> bool:
        """Whether to show this line."""
        if self == _ALL:
            return True
        fields = decode(line)
        if fields is None:
            return False
        return all(
            (
                self.outcome in (None, fields.get("outcome")),
                self.event_type in (None, fields.get("event_type")),
                str(fields.get("trace_id")).startswith(self.trace or ""),
                self.since is None or _not_before(fields.get("timestamp"), self.since),
            )
        )

    def is_too_old(self, line: bytes) -> bool:
        """Whether the line is older than what is wanted."""
        fields = decode(line)
        return fields is not None and self.since is not None and not _not_before(fields.get("timestamp"), self.since)


_ALL = Filters()


def parse_since(text: str, now: datetime) -> datetime:
    """The moment from which records are wanted: an RFC 3339 time, or a duration back from now (``2h``, ``1d``).

    Raises:
        UsageError: it is neither, or a time without its offset from UTC.

    """
    moment = _moment(text)
    if moment is not None:
        return moment
    try:
        return now - timedelta(seconds=parse_duration(text))
    except (UsageError, OverflowError) as exc:
        raise UsageError(
            f"--since: {text[:40]!r} is no time", hint="write a duration like 2h or 1d, or a time like 2026-04-27T10:00:00Z"
        ) from exc


def row(line: bytes) -> list[Piece]:
    """A line for a person: when, what came of it, what it is about, who; every word from the file made visible."""
    fields = decode(line)
    if fields is None:
        text = visible(line.rstrip(b"\n").decode("utf-8", "backslashreplace"))
        return [("? ", "dim"), (text, "dim"), (f"  {UNVOUCHED}", "dim")]
    chained = link_of(line.rstrip(b"\n")) is not None
    outcome = _word(fields, "outcome")
    pieces = [
        ("  " if chained else "? ", "dim"),
        (f"{_time(fields)}  ", "dim"),
        (f"{outcome:<9}  ", _STYLES.get(outcome, "")),
        (f"{_subject(fields)}{_word(fields, 'resource')}", ""),
        (_details(fields), "dim"),
    ]
    return pieces if chained else [*pieces, (f"  {UNVOUCHED}", "dim")]


# The colours say what came of it: green a yes, red a no, yellow nobody's decision, magenta a fault.
_STYLES: dict[str, str] = {
    RecordOutcome.GRANTED: "bold green",
    RecordOutcome.DENIED: "bold red",
    RecordOutcome.TIMEOUT: "yellow",
    RecordOutcome.WITHDRAWN: "yellow",
    RecordOutcome.FAILURE: "bold magenta",
    RecordOutcome.FAILED: "bold magenta",
    RecordOutcome.INITIATED: "cyan",
    RecordOutcome.REQUESTED: "cyan",
    RecordOutcome.RESUMED: "cyan",
}

_RFC3339 = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.\d+)?([Zz]|[+-]\d\d:\d\d)\Z", re.ASCII)


def _moment(text: JsonValue) -> datetime | None:
    if not isinstance(text, str) or not _RFC3339.match(text):
        return None
    try:
        return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _not_before(timestamp: JsonValue, since: datetime) -> bool:
    moment = _moment(timestamp)
    return moment is not None and moment >= since


def _word(fields: Mapping[str, JsonValue], name: str) -> str:
    value = fields.get(name)
    return "-" if value is None else visible(str(value))


def _time(fields: Mapping[str, JsonValue]) -> str:
    found = _RFC3339.match(str(fields.get("timestamp")))
    return f"{found[1]} {found[2]}{found[3]}" if found else _word(fields, "timestamp")


def _subject(fields: Mapping[str, JsonValue]) -> str:
    """Nothing for the usual record, `approval / approve`; otherwise what kind of record it is."""
    event, action = _word(fields, "event_type"), _word(fields, "action")
    return "" if (event, action) == ("approval", "approve") else f"{event}/{action}: "


def _details(fields: Mapping[str, JsonValue]) -> str:
    parts = []
    if fields.get("actor") != fields.get("workspace_id"):
        verified = "" if fields.get("decided_by_verified") is not False else " (name not verified)"
        parts.append(f"by {_word(fields, 'actor')}{verified}")
    parts.extend(_word(fields, name) for name in ("reason_text", "reason", "error") if fields.get(name) not in (None, ""))
    parts.extend(
        f"{label} {_word(fields, name)[:8]}"
        for label, name in (("approval", "approval_id"), ("trace", "trace_id"))
        if fields.get(name) is not None
    )
    return f"  {'; '.join(parts)}" if parts else ""
