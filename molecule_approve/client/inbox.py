"""Reads a platform's answers to an approver: pending requests, and a sign-in code; ``rest`` asks for them.

Every function raises ProtocolError for an answer that is not valid.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

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
    """
    listed = wire.read_list(data, workspace_id)
    rows = tuple(Waiting(row) for row in reversed(listed) if outcome_of(row) is Outcome.PENDING)
    if total is not None and total.isascii() and total.isdigit():
        return PendingList(rows, max(len(rows), int(total[:9])))
    return PendingList(rows, len(rows), unseen=len(listed) >= wire.LIST_LENGTH)


def read_queue(data: bytes) -> PendingList:
    """Read the answer to ``GET /desk/requests``."""
    body = wire.loads(data)
    pending = body.get("pending") if isinstance(body, dict) else None
    if not isinstance(body, dict) or not isinstance(pending, list):
        raise wire.unexpected("the answer has no list of pending requests")
    rows = tuple(_waiting(row) for row in pending)
    total, name = body.get("waiting"), body.get("name")
    return PendingList(
        rows, max(len(rows), total if isinstance(total, int) else 0), approver=name if isinstance(name, str) else ""
    )


def read_waiting(data: bytes) -> Waiting:
    """Read the answer to ``GET /desk/requests/{id}``: one request, which may have ended."""
    return _waiting(wire.loads(data))


class SignInCode(NamedTuple):
    """A code that signs the approver ``name`` in to the page once; ``url`` is the page's, None if the server knows none."""

    code: str
    name: str
    url: str | None


def read_code(data: bytes) -> SignInCode:
    """Read the answer to ``POST /desk/code``."""
    body = wire.loads(data)
    found = body if isinstance(body, dict) else {}
    code, name, url = found.get("code"), found.get("name"), found.get("url")
    if not isinstance(code, str) or not re.fullmatch(r"[\w-]{20,200}", code, re.ASCII) or not isinstance(name, str):
        raise wire.unexpected("the answer has no sign-in code")
    if url is not None and (not isinstance(url, str) or not _is_page(url)):
        raise wire.unexpected("the server's own address in the answer is not valid")
    return SignInCode(code, name, url)


def _is_page(url: str) -> bool:
    """Whether this can be opened in a browser, and leads where it seems to."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    plain = url.isascii() and url.isprintable() and not re.search(r"[\s\\@?#\"'<>`]", url)
    return plain and parts.scheme in {"http", "https"} and bool(parts.hostname)


def _waiting(value: JsonValue) -> Waiting:
    row = wire.read_row(value, "")
    # It becomes a part of the path at which the request is decided.
    if not wire.is_id(row.workspace_id):
        raise wire.unexpected("a workspace's id in the answer is not valid")
    more = value if isinstance(value, dict) else {}
    name = more.get("workspace_name")
    return Waiting(row, name if isinstance(name, str) else "", more.get("own") is True)
