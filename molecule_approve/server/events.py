"""What sockets and waiting calls are told: the frames of an event, made where it is published."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from molecule_approve.clock import utc_now
from molecule_approve.lifecycle import outcome_of
from molecule_approve.wire import PROGRESS_EVENT, event_frame, flat_frame

from .outcomes import OPEN_STATUSES

if TYPE_CHECKING:
    from molecule_approve.model import Approval, JsonValue

    from .database.values import Change, OutboxEntry
    from .deciding import Counted
    from .hub import Hub
    from .threads import DatabaseThreads

_AT_ONCE = 500
"""Requests that are read in one statement."""

_MADE = "APPROVAL_REQUESTED"


class Events:
    """Publishes what happened to the sockets and calls of this server.

    A server that shares its database hears of everything through the database, also of what it did itself, and
    publishes only that.
    """

    def __init__(self, database: DatabaseThreads, hub: Hub) -> None:
        self._database = database
        self._hub = hub

    def made(self, approval: Approval) -> None:
        """A call of this server made the request."""
        if not self._database.shared:
            self._publish(approval, _MADE, approval.created_at or "")

    def ended(self, entries: Sequence[OutboxEntry]) -> None:
        """Calls of this server, or its timer, ended the requests."""
        if not self._database.shared:
            for entry in entries:
                self._publish(entry.approval, _name_of(entry.approval), entry.recorded_at)

    def progressed(self, counted: Counted) -> None:
        """A call of this server made or retracted a decision, and the request is still open."""
        if not self._database.shared:
            self._publish_progress(counted.workspace_id, counted.approval_id)

    async def heard(self, changes: Sequence[Change]) -> None:
        """The database told of the changes, in this order.

        Raises:
            RefusedError: 503, the database cannot answer.
        """
        for change in [one for one in changes if one.progress]:
            self._publish_progress(change.workspace_id, change.approval_id)
        changes = [change for change in changes if not change.progress]
        ids = [change.approval_id for change in changes if self._hub.is_awaited(change.workspace_id, change.approval_id)]
        if not ids:
            return
        rows = await self._read(ids)
        for change in changes:
            approval = rows.get(change.approval_id)
            if approval is None:
                continue
            if change.expires is None:
                self._publish(approval, _name_of(approval), approval.decided_at or "")
            else:
                self._publish(approval, _MADE, approval.created_at or "")

    async def look_again(self) -> None:
        """Events may have been missed: tell of those requests that have ended, and have the others' listeners come back.

        Raises:
            RefusedError: 503, the database cannot answer.
        """
        self._hub.restart()
        ids = self._hub.awaited()
        for start in range(0, len(ids), _AT_ONCE):
            rows = await self._read(ids[start : start + _AT_ONCE])
            for approval in [row for row in rows.values() if row.status not in OPEN_STATUSES]:
                self._publish(approval, _name_of(approval), approval.decided_at or "")

    async def _read(self, ids: Sequence[str]) -> dict[str, Approval]:
        return await self._database.read(lambda transaction: transaction.requests.several(ids))

    def _publish_progress(self, workspace_id: str, approval_id: str) -> None:
        frame = event_frame(PROGRESS_EVENT, workspace_id, utc_now(), {"approval_id": approval_id})
        self._hub.publish(workspace_id, approval_id, [frame])

    def _publish(self, approval: Approval, name: str, timestamp: str) -> None:
        if name != _MADE:
            self._hub.ended(approval.id)
        if not self._hub.sockets:
            return
        frames = [event_frame(name, approval.workspace_id, timestamp, _payload(approval, name))]
        if name != _MADE:
            frames.append(flat_frame(approval))
        self._hub.publish(approval.workspace_id, approval.id, frames)


def _name_of(approval: Approval) -> str:
    return f"APPROVAL_{outcome_of(approval).upper()}"


def _payload(approval: Approval, name: str) -> dict[str, JsonValue]:
    if name == _MADE:
        return {
            "approval_id": approval.id,
            "action": approval.action,
            "reason": approval.reason,
            "task_id": approval.task_id,
        }
    return {"approval_id": approval.id, "decision": approval.status.value, "decided_by": approval.decided_by}
