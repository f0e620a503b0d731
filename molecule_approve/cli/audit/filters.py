"""Which lines of the audit log are wanted: the filters of ``audit tail``. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from molecule_approve.audit.record import decode, moment

if TYPE_CHECKING:
    from datetime import datetime

    from molecule_approve.model import JsonValue


@dataclass(frozen=True, slots=True)
class Filters:
    """Which lines are wanted; None wants all. A line that is not a record is wanted only without any filter.

    An outcome is also that of an ending which was only observed later.
    """

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
                self.outcome in (None, fields.get("outcome"), fields.get("observed_outcome")),
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
        """Whether a filter's word is missing from the line. Parsing each line of a long log would cost ten times more."""
        if b"\\" in line:
            return False  # an escape may spell the word in another way
        words = (self.outcome, self.event_type, self.trace, self.actor)
        return any(word is not None and word.encode("utf-8", "surrogateescape") not in line for word in words)


_ALL = Filters()


def _not_before(timestamp: JsonValue, since: datetime) -> bool:
    found = moment(timestamp)
    return found is not None and found >= since
