"""Pure: how far a request is, and who decided it, as the embedded server's answers say it. The platform's say none of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .errors import ProtocolError
from .model import ApprovalProgress, JsonValue, PersonDecision, Status, WaitingGroup

_FIELDS = ("decisions", "approvals", "subject")


def read_progress(row: Mapping[str, JsonValue]) -> dict[str, Any]:
    """The fields of ``model.Approval`` that a row says; empty if it has none of them.

    Raises:
        ProtocolError: one has another type.
    """
    if not row.keys() & set(_FIELDS):
        return {}
    try:
        decisions, said, subject = (_any(row[name]) for name in _FIELDS)
        return {
            "decisions": tuple(map(_decision, decisions)),
            "progress": ApprovalProgress(
                need=int(said["need"]),
                have=int(said["have"]),
                rule=_text_or_none(said["rule"]),
                presence=str(said["presence"]),
                comment=said["comment"] is True,
                approved_by=tuple(map(str, said.get("approved_by", ()))),
                waiting_for=tuple(_group(one) for one in said.get("waiting_for", ())),
            ),
            "subject": dict(subject),
        }
    except (KeyError, TypeError, ValueError, OverflowError) as exc:
        hint = "this is a fault of the server; its version may differ from this program's"
        raise ProtocolError(f"the answer's decisions or approvals are malformed: {exc}", hint=hint) from exc


def _any(value: JsonValue) -> Any:  # noqa: ANN401 - JSON
    return value


def _decision(said: Any) -> PersonDecision:  # noqa: ANN401 - JSON
    status = str(said["decision"])
    decision = Status(status) if status in set(Status) else Status.UNKNOWN
    return PersonDecision(
        str(said["by"]), str(said["at"]), decision, _text_or_none(said["comment"]), _text_or_none(said["proof"])
    )


def _group(said: Any) -> WaitingGroup:  # noqa: ANN401 - JSON
    return WaitingGroup(_text_or_none(said["group"]), tuple(map(str, said["people"])))


def _text_or_none(value: Any) -> str | None:  # noqa: ANN401 - JSON
    return None if value is None else str(value)


def read_count(said: Mapping[str, JsonValue], approval_id: str) -> ApprovalProgress | None:
    """How far this request is after a decision that was not the last one; None if the answer says nothing of the kind."""
    count: Any = said.get("approvals")
    if (said.get("approval_id"), said.get("status")) != (approval_id, Status.PENDING.value) or not isinstance(count, dict):
        return None
    have, need = count.get("have"), count.get("need")
    if type(have) is not int or type(need) is not int or not 0 <= have < need:
        return None
    return ApprovalProgress(need=need, have=have)
