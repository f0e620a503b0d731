"""Reads a platform's answer about pending requests; ``rest`` asks for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from molecule_approve import wire
from molecule_approve.lifecycle import outcome_of
from molecule_approve.model import Outcome

if TYPE_CHECKING:
    from molecule_approve.model import Approval, JsonValue


class Waiting(NamedTuple):
    """One pending request.

    Attributes:
        workspace_name: empty if the platform does not tell it.
        own: whether the approver whose token was sent made it, and may not decide it.
    """

    approval: Approval
    workspace_name: str = ""
    own: bool = False


class PendingList(NamedTuple):
    """The pending requests.

    Attributes:
        rows: oldest first.
        total: how many there are; ``rows`` may show fewer.
        unseen: whether the platform may have older ones that it does not list.
        approver: the name of the approver whose token was sent; empty if the platform does not tell it.
    """

    rows: tuple[Waiting, ...]
    total: int
    unseen: bool = False
    approver: str = ""


def read_open(data: bytes, workspace_id: str, total: str | None) -> PendingList:
    """Read the answer to ``GET …/approvals?status=pending`` of this workspace.

    ``total`` is the header that counts them; None from the platform, which answers with its newest of any status.

    Raises:
        ProtocolError: it is not valid.
    """
    listed = wire.read_list(data, workspace_id)
    rows = tuple(Waiting(row) for row in reversed(listed) if outcome_of(row) is Outcome.PENDING)
    if total is not None and total.isascii() and total.isdigit():
        return PendingList(rows, max(len(rows), int(total[:9])))
    return PendingList(rows, len(rows), unseen=len(listed) >= wire.LIST_LENGTH)


def read_queue(data: bytes) -> PendingList:
    """Read the answer to ``GET /desk/requests``.

    Raises:
        ProtocolError: it is not valid.
    """
    body = wire.loads(data)
    pending = body.get("pending") if isinstance(body, dict) else None
    if not isinstance(body, dict) or not isinstance(pending, list):
        raise wire.unexpected("the answer has no list of pending requests")
    rows = tuple(_waiting(row) for row in pending)
    total, name = body.get("waiting"), body.get("name")
    return PendingList(
        rows, max(len(rows), total if isinstance(total, int) else 0), approver=name if isinstance(name, str) else ""
    )


def _waiting(value: JsonValue) -> Waiting:
    row = wire.read_row(value, "")
    # It becomes a part of the path at which the request is decided.
    if not wire.is_id(row.workspace_id):
        raise wire.unexpected("a workspace's id in the answer is not valid")
    more = value if isinstance(value, dict) else {}
    name = more.get("workspace_name")
    return Waiting(row, name if isinstance(name, str) else "", more.get("own") is True)
