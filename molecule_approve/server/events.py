"""The events of a request as frames of the stream, in the platform's dialect; a decision also in the earlier, flat one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from molecule_approve.lifecycle import outcome_of
from molecule_approve.wire import event_frame, flat_frame

if TYPE_CHECKING:
    from molecule_approve.model import Approval, JsonValue


def requested(approval: Approval) -> list[str]:
    """The frames that tell of a new request."""
    payload: dict[str, JsonValue] = {
        "approval_id": approval.id,
        "action": approval.action,
        "reason": approval.reason,
        "task_id": approval.task_id,
    }
    return [event_frame("APPROVAL_REQUESTED", approval.workspace_id, approval.created_at or "", payload)]


def ended(approval: Approval, at: str) -> list[str]:
    """The frames that tell how the request ended."""
    payload: dict[str, JsonValue] = {
        "approval_id": approval.id,
        "decision": approval.status.value,
        "decided_by": approval.decided_by,
    }
    name = f"APPROVAL_{outcome_of(approval).upper()}"
    return [event_frame(name, approval.workspace_id, at, payload), flat_frame(approval)]
