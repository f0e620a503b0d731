"""What the store takes and gives, as values, and its errors: so that nobody else needs the database library."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from molecule_approve.lifecycle import rule

if TYPE_CHECKING:
    from molecule_approve.model import Approval, JsonValue, Status


class StoreError(Exception):
    """The database cannot answer: locked for too long, full, unreadable, of another version. It never leaves the server."""


class NameTakenError(Exception):
    """An approver of that name exists."""


@dataclass(frozen=True, slots=True)
class Holder:
    """Whose token it is: an approver's (``name``) or a workspace's (``workspace_id``); the other is None."""

    name: str | None
    workspace_id: str | None
    token_hash: str


@dataclass(frozen=True, slots=True)
class Draft:
    """A request before it is stored. ``expires`` is in seconds since the epoch; ``keyed``: the task id is a key's."""

    id: str
    workspace_id: str
    task_id: str
    keyed: bool
    action: str
    reason: str
    context: dict[str, JsonValue] | None
    created_at: str
    expires: float


@dataclass(frozen=True, slots=True)
class Resolution:
    """How a request is to end. ``verified``: the name comes from an approver's credential."""

    status: Status
    decided_by: str
    decided_at: str
    verified: bool = False
    claimed_by: str | None = None
    comment: str | None = None


@dataclass(frozen=True, slots=True)
class Held:
    """A stored request, and by which invocation it was used up, when."""

    approval: Approval
    used_by: str | None
    used_at: str | None


@dataclass(frozen=True, slots=True)
class OutboxEntry:
    """A request that ended and waits for the audit log. ``number`` is the journal row's."""

    number: int
    recorded_at: str
    approval: Approval
    claimed_by: str | None


def outcome_of(approval: Approval) -> str:
    """How the request ended: approved, denied, expired or withdrawn."""
    return rule(approval).name.lower()
