"""The fake platform's database: rows, their whole history, and how the platform reads a body. No socket here."""

from __future__ import annotations

import json
import threading
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

LISTED = 50
_OPEN = {"pending", "escalated"}


def now() -> datetime:
    """The wall clock; a test can put a platform's clock elsewhere (``clock_off``)."""
    return datetime.now(UTC)


def as_text(moment: datetime) -> str:
    """RFC 3339 as the platform writes it."""
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


@dataclass(slots=True)
class Row:
    """One request as the platform holds it."""

    workspace: str
    action: str
    reason: str
    task_id: str
    created_at: str
    context: Any = None
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    status: str = "pending"
    decided_by: str | None = None
    decided_at: str | None = None

    def listed(self) -> dict[str, Any]:
        """The fields of a workspace's list, in the platform's order."""
        names = ("action", "created_at", "decided_at", "decided_by", "id", "reason", "status", "task_id")
        return {name: getattr(self, name) for name in names}


class Ledger:
    """Every request of every workspace, and what became of it.

    Attributes:
        rows: every request, oldest first.
        history: every change of a row's status: id, old, new, by whom.
        live_peak: task id -> the greatest number of its rows that were open at once.
        changed: notified at every change; whoever reads several things at once holds it.
        clock_off: how far the platform's wall clock is off.

    """

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.history: list[tuple[str, str, str, str]] = []
        self.live_peak: dict[str, int] = {}
        self.changed = threading.Condition(threading.RLock())
        self.clock_off = timedelta()

    def add(self, workspace: str, body: dict[str, Any]) -> Row:
        """Hold a new request."""
        created = as_text(now() + self.clock_off)
        row = Row(workspace, body["action"], body.get("reason", ""), body.get("task_id", ""), created, body.get("context"))
        with self.changed:
            self.rows.append(row)
            alive = sum(1 for other in self.rows if other.task_id == row.task_id and other.status in _OPEN)
            self.live_peak[row.task_id] = max(self.live_peak.get(row.task_id, 0), alive)
            self.changed.notify_all()
        return row

    def change(self, row: Row, status: str, by: str | None) -> bool:
        """Compare and set: end an open request, or say that it had ended; no event."""
        with self.changed:
            if row.status not in _OPEN:
                return False
            self.history.append((row.id, row.status, status, by or ""))
            row.status, row.decided_by = status, by
            row.decided_at = as_text(now() + self.clock_off)
            self.changed.notify_all()
            return True

    def sweep(self) -> None:
        """Expire what is older than ten minutes, as reading ``/approvals/pending`` does; no event."""
        limit = as_text(now() - timedelta(minutes=10))
        for row in list(self.rows):
            if row.status == "pending" and row.created_at < limit:
                self.change(row, "denied", "auto-expired")

    def list_of(self, workspace: str) -> list[dict[str, Any]]:
        """The workspace's newest rows, newest first."""
        with self.changed:
            mine = [row.listed() for row in self.rows if row.workspace == workspace]
        return mine[::-1][:LISTED]

    def snapshot(self) -> list[dict[str, Any]]:
        """All rows, oldest first, each with its workspace."""
        with self.changed:
            return [{**row.listed(), "workspace_id": row.workspace} for row in self.rows]


def read_body(data: bytes) -> dict[str, Any] | None:
    """A POST's body as the platform reads it (Go): keys in any case, text repaired; None where it refuses."""
    try:
        found = json.loads(data.decode("utf-8", "replace"))
    except ValueError:
        return None
    if not isinstance(found, dict):
        return None
    body = {key.lower(): value for key, value in found.items()}
    texts = {key: body.get(key, "") for key in ("action", "reason", "task_id")}
    if not all(isinstance(value, str) for value in texts.values()) or not texts["action"]:
        return None
    if not isinstance(body.get("context", {}), dict):
        return None
    repaired = {key: value.encode("utf-16", "surrogatepass").decode("utf-16", "replace") for key, value in texts.items()}
    return {**repaired, "context": body.get("context")}
