"""What a platform says waits for a decision: its answer, read. How it is asked for is ``rest``'s matter."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from molecule_approve import wire
from molecule_approve.errors import ProtocolError
from molecule_approve.lifecycle import outcome_of
from molecule_approve.model import Outcome

if TYPE_CHECKING:
    from molecule_approve.model import Approval, JsonValue


class Waiting(NamedTuple):
    """One open request, and the name of the workspace that asks; empty where the platform does not tell it."""

    approval: Approval
    workspace_name: str = ""


class Queue(NamedTuple):
    """What waits for a decision.

    Attributes:
        rows: oldest first, each with all that the platform tells of it.
        total: how many wait; more than there are rows where not all are shown.
        unseen: whether older ones may wait that the platform does not list.
        approver: the name of the approver whose token was sent; empty where the platform does not tell it.

    """

    rows: tuple[Waiting, ...]
    total: int
    unseen: bool = False
    approver: str = ""


def read_open(data: bytes, workspace_id: str, total: str | None) -> Queue:
    """What waits, from the answer to ``GET …/approvals?status=pending``.

    Args:
        data: the answer.
        workspace_id: the workspace whose list it is.
        total: the header that counts them; None from the platform, which then has answered with its newest of any kind.

    Raises:
        ProtocolError: it cannot be understood.

    """
    listed = wire.read_list(data, workspace_id)
    rows = tuple(Waiting(row) for row in reversed(listed) if outcome_of(row) is Outcome.PENDING)
    if total is not None and total.isascii() and total.isdigit():
        return Queue(rows, max(len(rows), int(total[:9])))
    return Queue(rows, len(rows), unseen=len(listed) >= wire.LIST_LENGTH)


def read_queue(data: bytes) -> Queue:
    """The queue from the answer to ``GET /desk/requests``.

    Raises:
        ProtocolError: it cannot be understood.

    """
    body = wire.loads(data)
    pending = body.get("pending") if isinstance(body, dict) else None
    if not isinstance(body, dict) or not isinstance(pending, list):
        raise ProtocolError("the answer has no list of what waits", hint="what answers there may not be the platform")
    rows = tuple(_waiting(row) for row in pending)
    total, name = body.get("waiting"), body.get("name")
    return Queue(
        rows, max(len(rows), total if isinstance(total, int) else 0), approver=name if isinstance(name, str) else ""
    )


def _waiting(value: JsonValue) -> Waiting:
    row = wire.read_row(value, "")
    # It becomes a part of the address under which the request is decided.
    if not wire.is_id(row.workspace_id):
        raise ProtocolError("a workspace's id is no id", hint="what answers there may not be the platform")
    name = value.get("workspace_name") if isinstance(value, dict) else None
    return Waiting(row, name if isinstance(name, str) else "")
