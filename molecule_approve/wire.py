"""Pure: JSON <-> model. Every dialect of the protocol is read and written here, for the client and the embedded server.

The facts come from recordings of the real platform (tests/recordings).
"""

from __future__ import annotations

import json
import math
import re
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import NamedTuple, cast

from . import strict_json
from .errors import ProtocolError
from .model import Approval, ApprovalRequest, JsonValue, Status
from .progress_fields import read_progress
from .strict_json import StrictJsonError

WAITING_HEADER = "X-Molecule-Waiting"
"""The embedded server's count of pending requests, on its list of them; the platform never sends it."""

REQUEST_HEADER = "X-Approval-ID"
"""Names the only request whose events a stream of the embedded server is to get; the platform does not know it."""

ONCE_HEADER = ("X-Molecule-Once", "task-id")
"""Asks the embedded server to have one request only for this task id, however often it is sent; the platform ignores it."""

LIST_LENGTH = 50
"""How many of a workspace's newest requests the platform lists."""

SERVER_FIELD = ("server", "molecule-approve")
"""Marks each object of the embedded server's answers; the platform has no such field."""

SERVER_HEADER = ("x-molecule-server", "embedded")
"""Marks every answer of the embedded server. A proxy may drop it; then the field is left."""

PROGRESS_EVENT = "APPROVAL_PROGRESS"
"""The embedded server's event when a person's decision was made or retracted, and the request goes on waiting."""

_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z", re.IGNORECASE)
_DEPTH = 64
_COMPACT = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def is_uuid(text: str) -> bool:
    """Whether the text is a UUID in the usual notation."""
    return _UUID.match(text) is not None


def is_id(text: object) -> bool:
    """Whether this can be a request's id: printable, and safe as one path segment."""
    return isinstance(text, str) and re.match(r"[A-Za-z0-9][A-Za-z0-9._~-]{0,127}\Z", text) is not None


def key_task_id(workspace_id: str, key: str) -> str:
    """The task id of an idempotency key: uuid5 with the workspace as namespace.

    A workspace id that is not a UUID becomes one with uuid5 in the URL namespace.
    """
    namespace = uuid.UUID(workspace_id) if is_uuid(workspace_id) else uuid.uuid5(uuid.NAMESPACE_URL, workspace_id)
    return str(uuid.uuid5(namespace, key))


def instant(text: str | None) -> datetime | None:
    """The moment of an RFC 3339 text, to microseconds; None if the text is something else."""
    try:
        found = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


# --- reading -----------------------------------------------------------------------------------------------------------


def unexpected(message: str) -> ProtocolError:
    """An answer that the platform would not give."""
    return ProtocolError(message, hint="this does not look like the Molecule platform; check PLATFORM_URL")


def loads(data: bytes | str) -> JsonValue:
    """Strict JSON (``strict_json``), with no number too large for a float and at most 64 levels.

    Raises:
        ProtocolError: anything else; the message says what came instead.
    """
    try:
        value = strict_json.loads(data)
    except StrictJsonError as exc:
        start = data[:60] if isinstance(data, str) else data[:60].decode("utf-8", "replace")
        raise unexpected(f"the answer is not valid JSON: {exc}; it begins with {start!r}") from exc
    _check_bounds(value, _DEPTH)
    return value


def _check_bounds(value: JsonValue, levels: int) -> None:
    if levels == 0:
        raise unexpected("the answer is nested too deeply")
    if isinstance(value, float) and not math.isfinite(value):
        raise unexpected("the answer contains a number that is too large")
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for item in items:
        _check_bounds(item, levels - 1)


def _object(value: JsonValue, what: str) -> dict[str, JsonValue]:
    if not isinstance(value, dict):
        raise unexpected(f"{what} is not an object")
    return value


def _text(row: Mapping[str, JsonValue], key: str) -> str:
    value = _optional(row, key)
    if value is None:
        raise unexpected(f"the answer has no text in its field {key!r}")
    return value


def _optional(row: Mapping[str, JsonValue], key: str) -> str | None:
    value = row.get(key)
    if value is not None and not isinstance(value, str):
        raise unexpected(f"the answer has no text in its field {key!r}")
    return value


def read_status(text: str) -> Status:
    """The status of the platform's word; UNKNOWN for any other word."""
    return Status(text) if text in set(Status) else Status.UNKNOWN


def approval_path(workspace_id: str, approval_id: str) -> str:
    """The path of one request on the embedded server."""
    return f"/workspaces/{workspace_id}/approvals/{approval_id}"


def is_signed(headers: Mapping[str, str], body: bytes) -> bool:
    """Whether the answer has the embedded server's mark: the header, or the field in its object or rows."""
    if headers.get(SERVER_HEADER[0]) == SERVER_HEADER[1]:
        return True
    key, value = SERVER_FIELD
    try:  # a platform's long list is not parsed twice
        found = loads(body) if value.encode() in body else None
    except ProtocolError:
        return False
    rows = found if isinstance(found, list) else [found]
    return bool(rows) and all(isinstance(row, dict) and row.get(key) == value for row in rows)


class Submitted(NamedTuple):
    """The answer to a POST: the request's id, and its task id if the server repeats it."""

    approval_id: str
    task_id: str | None


def read_submitted(data: bytes) -> Submitted:
    """Read a 201, or the 200 for a request that the key already has.

    Raises:
        ProtocolError: it contains no valid id.
    """
    row = _object(loads(data), "the answer")
    approval_id = _text(row, "approval_id")
    if not is_id(approval_id):
        raise unexpected("the answer's approval_id is not valid")
    return Submitted(approval_id, _optional(row, "task_id"))


def check_done(data: bytes, approval_id: str, status: Status) -> None:
    """Return if a success says that this request now has this status.

    Raises:
        ProtocolError: it says something else.
    """
    row = _object(loads(data), "the answer")
    if (row.get("approval_id"), row.get("status")) != (approval_id, status.value):
        raise ProtocolError(
            f"the answer does not say that request {approval_id} is now {status.value}",
            hint=f"check it with `molecule-approve status {approval_id}`",
        )


def read_row(value: JsonValue, workspace_id: str) -> Approval:
    """Read one request of a list, or the embedded server's answer for one request.

    Raises:
        ProtocolError: a field is missing or has another type.
    """
    row = _object(value, "a request in the answer")
    approval_id = _text(row, "id")
    if not is_id(approval_id):
        raise unexpected("the id of a request in the answer is not valid")
    context, requested_by = row.get("context"), _optional(row, "requested_by")
    verified = row.get("decided_by_verified")
    return Approval(
        id=approval_id,
        workspace_id=str(row.get("workspace_id", workspace_id)),
        action=_text(row, "action"),
        status=read_status(_text(row, "status")),
        reason=_optional(row, "reason") or "",
        task_id=_optional(row, "task_id") or "",
        decided_by=_optional(row, "decided_by"),
        decided_at=_optional(row, "decided_at"),
        created_at=_optional(row, "created_at"),
        comment=_optional(row, "comment"),
        context=context if isinstance(context, dict) else None,
        expires_at=_optional(row, "expires_at"),
        decided_by_verified=None if verified is None else verified is True,
        requested_by=requested_by,
        # A server that does not know the field leaves it out.
        is_anonymous="requested_by" in row and requested_by is None,
        is_revoked=row.get("requester_revoked") is True,
        **read_progress(row),
    )


def read_list(data: bytes, workspace_id: str) -> list[Approval]:
    """Read a workspace's list, newest first as it came. ``null`` is an empty list.

    Raises:
        ProtocolError: it is not a list, or a row is not valid.
    """
    value = loads(data)
    if value is None:
        return []
    if not isinstance(value, list):
        raise unexpected("the answer is not a list")
    return [read_row(row, workspace_id) for row in value]


def read_one(data: bytes, workspace_id: str, attempt_id: str | None = None) -> Approval:
    """Read the embedded server's answer for one request; after a redemption it must repeat the attempt's id.

    Raises:
        ProtocolError: it is not valid, or answers the redemption of another attempt.
    """
    value = loads(data)
    row = read_row(value, workspace_id)
    if attempt_id is not None and _object(value, "the answer").get("invocation") != attempt_id:
        raise unexpected("the answer does not repeat the invocation that redeemed, so it answers another request")
    return row


def read_error(data: bytes) -> dict[str, JsonValue]:
    """The object in an error's body; empty if there is none. Never raises: the status says enough."""
    try:
        value = loads(data)
    except ProtocolError:
        return {}
    return value if isinstance(value, dict) else {}


class Event(NamedTuple):
    """A message of the event stream about one request. It is a hint: the client reads before it believes it.

    Attributes:
        name: ``APPROVAL_APPROVED`` and the like.
        status: what the event claims; UNKNOWN if it claims none.
        native: in the platform's own dialect (nested payload), not in the earlier flat one.
    """

    name: str
    approval_id: str
    workspace_id: str | None
    status: Status
    decided_by: str | None
    timestamp: str | None
    native: bool


_CLAIMS = {
    "APPROVAL_REQUESTED": Status.PENDING,
    PROGRESS_EVENT: Status.PENDING,
    "APPROVAL_ESCALATED": Status.ESCALATED,
    "APPROVAL_APPROVED": Status.APPROVED,
    "APPROVAL_DENIED": Status.DENIED,
    "APPROVAL_EXPIRED": Status.DENIED,
    "APPROVAL_WITHDRAWN": Status.DENIED,
}


def read_event(data: str | bytes) -> Event | None:
    """Read one message of the stream, in either dialect; None if it is not about a request, or malformed.

    A malformed message does not end the wait: the stream is only a hint.
    """
    try:
        row = loads(data)
    except ProtocolError:
        return None
    if not isinstance(row, dict) or not isinstance(row.get("event"), str):
        return None
    name = str(row["event"])
    native = isinstance(row.get("payload"), dict)
    body = cast("dict[str, JsonValue]", row["payload"]) if native else row
    if not is_id(body.get("approval_id")):
        return None
    if name == "APPROVAL_DECIDED" and not native:
        claim = read_status(str(body.get("status")))
    elif name in _CLAIMS and native:
        claim = _CLAIMS[name]
    else:
        return None
    # A decision that contradicts the event's name claims nothing.
    if native and name in {"APPROVAL_APPROVED", "APPROVAL_DENIED"} and body.get("decision", claim.value) != claim.value:
        claim = Status.UNKNOWN
    workspace, by, at = row.get("workspace_id"), body.get("decided_by"), row.get("timestamp")
    return Event(
        name=name,
        approval_id=str(body["approval_id"]),
        workspace_id=workspace if isinstance(workspace, str) else None,
        status=claim,
        decided_by=by if isinstance(by, str) else None,
        timestamp=at if isinstance(at, str) else None,
        native=native,
    )


# --- writing: the client's side ----------------------------------------------------------------------------------------


def submit_body(request: ApprovalRequest) -> bytes:
    """The body of the POST. ``task_id`` carries our own id; ``expires_in`` is ignored by the platform."""
    body: dict[str, JsonValue] = {"action": request.action, "reason": request.reason, "task_id": request.task_id}
    if request.context:
        body["context"] = dict(request.context)
    if request.expires_in is not None:
        body["expires_in"] = request.expires_in
    return dump(body)


def decide_body(decision: Status, decided_by: str | None, comment: str | None = None, **more: JsonValue) -> bytes:
    """The body of a decision; ``comment`` and what is ``more`` are the embedded server's additions."""
    body: dict[str, JsonValue] = {"decision": decision.value, **more}
    if decided_by is not None:
        body["decided_by"] = decided_by
    if comment is not None:
        body["comment"] = comment
    return dump(body)


def dump(value: JsonValue) -> bytes:
    """Compact JSON in UTF-8."""
    return compact(value).encode("utf-8")


def compact(value: JsonValue) -> str:
    """JSON without blanks, its text as it is."""
    return _COMPACT.encode(value)


# --- writing: the embedded server's side -------------------------------------------------------------------------------


def row_body(approval: Approval) -> dict[str, JsonValue]:
    """A row of a workspace's list: the platform's fields."""
    return {
        "action": approval.action,
        "created_at": approval.created_at,
        "decided_at": approval.decided_at,
        "decided_by": approval.decided_by,
        "id": approval.id,
        "reason": approval.reason,
        "status": approval.status.value,
        "task_id": approval.task_id,
    }


def one_body(approval: Approval) -> dict[str, JsonValue]:
    """One approval as the embedded server tells it: the list's fields and its additions."""
    return {
        **row_body(approval),
        "workspace_id": approval.workspace_id,
        "requested_by": approval.requested_by,
        "comment": approval.comment,
        "context": None if approval.context is None else dict(approval.context),
        "expires_at": approval.expires_at,
        "decided_by_verified": approval.decided_by_verified,
    }


def event_frame(name: str, workspace_id: str, timestamp: str, payload: Mapping[str, JsonValue]) -> str:
    """An event in the platform's own dialect."""
    body: JsonValue = {"event": name, "workspace_id": workspace_id, "timestamp": timestamp, "payload": dict(payload)}
    return compact(body)


def flat_frame(approval: Approval) -> str:
    """A decision in the earlier, flat dialect, for clients that were written for it."""
    body: JsonValue = {
        "event": "APPROVAL_DECIDED",
        "approval_id": approval.id,
        "status": approval.status.value,
        "decided_by": approval.decided_by,
    }
    return compact(body)
