"""Pure: JSON <-> model. Every dialect of the protocol is written and read here, for the client and the embedded server.

Facts are from the recordings of the real platform (tests/recordings).
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
from .strict_json import StrictJsonError

WAITING_HEADER = "X-Molecule-Waiting"
"""Says in the embedded server's list of what waits how many there are; on the platform's list it never stands."""

LIST_LENGTH = 50
"""How many of a workspace's newest requests the platform lists."""

SERVER_FIELD = ("server", "molecule-approve")
"""How the embedded server says in each object of an answer what it is; the platform has no such field."""

SERVER_HEADER = ("x-molecule-server", "embedded")
"""The same on every answer, bodies that are no object included. A proxy may drop it; then the field still says it."""

_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z", re.IGNORECASE)
_DEPTH = 64


def is_uuid(text: str) -> bool:
    """Whether the text is a UUID in its usual writing."""
    return _UUID.match(text) is not None


def is_id(text: object) -> bool:
    """Whether this can be an approval's id: safe as one segment of an address, and printable."""
    return isinstance(text, str) and re.match(r"[A-Za-z0-9][A-Za-z0-9._~-]{0,127}\Z", text) is not None


def key_task_id(workspace_id: str, key: str) -> str:
    """The task id that an idempotency key stands for: uuid5 with the workspace as namespace.

    A workspace id that is no UUID is first made one with uuid5 under the URL namespace.
    """
    namespace = uuid.UUID(workspace_id) if is_uuid(workspace_id) else uuid.uuid5(uuid.NAMESPACE_URL, workspace_id)
    return str(uuid.uuid5(namespace, key))


def instant(text: str | None) -> datetime | None:
    """A moment from RFC 3339 text, up to nanoseconds (read to microseconds); None where it is none."""
    try:
        found = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


# --- reading -----------------------------------------------------------------------------------------------------------


def _nonsense(sentence: str) -> ProtocolError:
    return ProtocolError(sentence, hint="what answers there may not be the platform")


def loads(data: bytes | str) -> JsonValue:
    """Strict JSON (``strict_json``), with no number too large for a float and at most 64 levels.

    Raises:
        ProtocolError: anything else; the message says what came instead.

    """
    try:
        value = strict_json.loads(data)
    except StrictJsonError as exc:
        start = data[:60] if isinstance(data, str) else data[:60].decode("utf-8", "replace")
        raise _nonsense(f"the answer is not valid JSON: {exc}; it begins with {start!r}") from exc
    _check_bounds(value, _DEPTH)
    return value


def _check_bounds(value: JsonValue, levels: int) -> None:
    if levels == 0:
        raise _nonsense("the answer is nested too deeply")
    if isinstance(value, float) and not math.isfinite(value):
        raise _nonsense("the answer holds a number that is too large")
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for item in items:
        _check_bounds(item, levels - 1)


def _object(value: JsonValue, what: str) -> dict[str, JsonValue]:
    if not isinstance(value, dict):
        raise _nonsense(f"{what} is not an object")
    return value


def _text(row: Mapping[str, JsonValue], key: str) -> str:
    value = _optional(row, key)
    if value is None:
        raise _nonsense(f"the answer has no text in its field {key!r}")
    return value


def _optional(row: Mapping[str, JsonValue], key: str) -> str | None:
    value = row.get(key)
    if value is not None and not isinstance(value, str):
        raise _nonsense(f"the answer has no text in its field {key!r}")
    return value


def read_status(text: str) -> Status:
    """The status that the platform wrote; one that is not known is UNKNOWN."""
    return Status(text) if text in set(Status) else Status.UNKNOWN


def approval_path(workspace_id: str, approval_id: str) -> str:
    """The address of one approval on the embedded server."""
    return f"/workspaces/{workspace_id}/approvals/{approval_id}"


def is_signed(headers: Mapping[str, str], body: bytes) -> bool:
    """Whether an answer says that the embedded server gave it: by its header, or by the field in its object or rows."""
    if headers.get(SERVER_HEADER[0]) == SERVER_HEADER[1]:
        return True
    key, value = SERVER_FIELD
    try:  # a platform's long lists are not read twice
        found = loads(body) if value.encode() in body else None
    except ProtocolError:
        return False
    rows = found if isinstance(found, list) else [found]
    return bool(rows) and all(isinstance(row, dict) and row.get(key) == value for row in rows)


class Submitted(NamedTuple):
    """The answer to a POST: the request's id, and the task id that was kept, where the server repeats it."""

    approval_id: str
    task_id: str | None


def read_submitted(data: bytes) -> Submitted:
    """The ids from a 201 (or from the 200 of a request that was taken up again).

    Raises:
        ProtocolError: there is no usable id in it.

    """
    row = _object(loads(data), "the answer")
    approval_id = _text(row, "approval_id")
    if not is_id(approval_id):
        raise _nonsense("the answer's approval_id is no id")
    return Submitted(approval_id, _optional(row, "task_id"))


def check_done(data: bytes, approval_id: str, status: Status) -> None:
    """Whether a success says that this request has this status now.

    Raises:
        ProtocolError: it says something else, or nothing that can be understood.

    """
    row = _object(loads(data), "the answer")
    if (row.get("approval_id"), row.get("status")) != (approval_id, status.value):
        raise ProtocolError(
            f"the answer does not say that request {approval_id} is {status.value} now",
            hint=f"see how it stands: molecule-approve status {approval_id}",
        )


def read_row(value: JsonValue, workspace_id: str) -> Approval:
    """One approval from a list or from the embedded server's answer for one.

    Raises:
        ProtocolError: a field is missing or of another type.

    """
    row = _object(value, "an approval")
    approval_id = _text(row, "id")
    if not is_id(approval_id):
        raise _nonsense("an approval's id is no id")
    context = row.get("context")
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
    )


def read_list(data: bytes, workspace_id: str) -> list[Approval]:
    """A workspace's list, newest first as it came. ``null`` is an empty one.

    Raises:
        ProtocolError: it is no list, or a row in it cannot be understood.

    """
    value = loads(data)
    if value is None:
        return []
    if not isinstance(value, list):
        raise _nonsense("the answer is not a list")
    return [read_row(row, workspace_id) for row in value]


def read_one(data: bytes, workspace_id: str, invocation: str | None = None) -> Approval:
    """One approval from the embedded server's answer; from the one to a redemption with the invocation that it repeats.

    Raises:
        ProtocolError: it cannot be understood, or it answers another invocation's redemption.

    """
    value = loads(data)
    row = read_row(value, workspace_id)
    if invocation is not None and _object(value, "the answer").get("invocation") != invocation:
        raise _nonsense("the answer does not repeat our invocation, so it answers something else")
    return row


def read_error(data: bytes) -> dict[str, JsonValue]:
    """The object in an error's body; empty where there is none. Never raises: a status says enough."""
    try:
        value = loads(data)
    except ProtocolError:
        return {}
    return value if isinstance(value, dict) else {}


class Event(NamedTuple):
    """A message of the event stream that concerns one approval. A hint: the client reads before it believes it.

    Attributes:
        name: ``APPROVAL_APPROVED`` and so on.
        status: what the event claims; UNKNOWN where it claims none.
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
    "APPROVAL_ESCALATED": Status.ESCALATED,
    "APPROVAL_APPROVED": Status.APPROVED,
    "APPROVAL_DENIED": Status.DENIED,
    "APPROVAL_EXPIRED": Status.DENIED,
    "APPROVAL_WITHDRAWN": Status.DENIED,
}


def read_event(data: str | bytes) -> Event | None:
    """An approval's event from one message of the stream, in either dialect; None for everything else.

    A malformed message is None as well: the socket is a hint, and a bad hint is no reason to stop waiting.
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
    # A decision whose word and whose name differ claims nothing.
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


def decide_body(decision: Status, decided_by: str | None, comment: str | None = None) -> bytes:
    """The body of a decision; ``comment`` is the embedded server's addition."""
    body: dict[str, JsonValue] = {"decision": decision.value}
    if decided_by is not None:
        body["decided_by"] = decided_by
    if comment is not None:
        body["comment"] = comment
    return dump(body)


def dump(value: JsonValue) -> bytes:
    """Compact JSON in UTF-8."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode("utf-8")


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
        "comment": approval.comment,
        "context": None if approval.context is None else dict(approval.context),
        "expires_at": approval.expires_at,
        "decided_by_verified": approval.decided_by_verified,
    }


def event_frame(name: str, workspace_id: str, timestamp: str, payload: Mapping[str, JsonValue]) -> str:
    """An event in the platform's own dialect."""
    body: JsonValue = {"event": name, "workspace_id": workspace_id, "timestamp": timestamp, "payload": dict(payload)}
    return dump(body).decode("utf-8")


def flat_frame(approval: Approval) -> str:
    """A decision in the earlier, flat dialect, for clients that were written for it."""
    body: JsonValue = {
        "event": "APPROVAL_DECIDED",
        "approval_id": approval.id,
        "status": approval.status.value,
        "decided_by": approval.decided_by,
    }
    return dump(body).decode("utf-8")
