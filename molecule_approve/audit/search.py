"""Pure: what a log says about one approval, or is about, given its lines without their newlines, the newest first."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from .chain import link_of
from .record import ENDINGS, EventType, RecordAction, RecordOutcome, decode, is_as_asked, needle

if TYPE_CHECKING:
    from molecule_approve.model import JsonValue

RECENT_BYTES = 1_048_576
"""How far back :func:`recent_ids` looks: completion has a budget."""


class FoundRequest(NamedTuple):
    """What our log says was asked under an approval's id.

    Attributes:
        action: the text that was asked; None where the log holds it only cut or with a secret removed, so that nothing
            can be compared with it.
        workspace_id, trace_id: as in the record.
        task_id: our id in the request; None where the record does not say.
    """

    approval_id: str
    action: str | None
    workspace_id: str
    trace_id: str
    task_id: str | None


def earlier_grant(newest: Iterable[bytes], ids: Collection[str]) -> dict[str, JsonValue] | None:
    """An earlier record of an approval with one of these ids, ours or another tool's; they are writings of one id.

    The search stops at the `initiated` of a request whose task id was made for it alone (then it is the trace's): no
    grant can be older than the request. A request with an idempotency key may be of any age: then everything is searched,
    archives included.
    """
    traces: set[str] = set()
    needles = {needle(one) for one in ids}
    for line in newest:
        fields = _approval(line, needles)
        if fields is None:
            continue
        outcome, trace = fields.get("outcome"), str(fields.get("trace_id"))
        if fields.get("approval_id") not in ids:
            if outcome == RecordOutcome.INITIATED and trace in traces and link_of(line) is not None:
                return None
        elif outcome == RecordOutcome.GRANTED:
            return fields
        elif outcome == RecordOutcome.REQUESTED and fields.get("task_id") == trace and link_of(line) is not None:
            traces.add(trace)
            needles.add(needle(trace))
    return None


def request(newest: Iterable[bytes], ids: Collection[str]) -> FoundRequest | None:
    """What was asked under one of these ids, which are writings of one, by the newest chained record that says so."""
    needles = {needle(one) for one in ids}
    for line in newest:
        fields = _approval(line, needles)
        if fields is not None and _asks(fields, ids) and link_of(line) is not None:
            return _found(fields)
    return None


def asks_for(newest: Iterable[bytes], ids: Collection[str], asked_sha256: str | None) -> bool:
    """Whether a chained record says that just this was asked under such an id; None: that it says what was asked."""
    needles = {needle(one) for one in ids}
    for line in newest:
        fields = _approval(line, needles)
        if fields is None or not _asks(fields, ids):
            continue
        said = fields.get("asked_sha256")
        if isinstance(said, str) and asked_sha256 in {None, said} and link_of(line) is not None:
            return True
    return False


def recent_ids(newest: Iterable[bytes], limit: int, *, ended: bool) -> list[str]:
    """Ids that were requested lately, the newest first; with ``ended`` also those with an outcome in this log."""
    found: dict[str, None] = {}
    over: set[str] = set()
    looked_at = 0
    for line in newest:
        looked_at += len(line)
        if len(found) >= limit or looked_at > RECENT_BYTES:
            break
        fields = _approval(line, {b'"approval_id"'})
        approval_id = None if fields is None else fields.get("approval_id")
        if fields is None or not isinstance(approval_id, str):
            continue
        if fields.get("outcome") in ENDINGS:
            over.add(approval_id)
        elif _asks(fields, approval_id) and (ended or approval_id not in over):
            found.setdefault(approval_id)
    return list(found)


def event_types(newest: Iterable[bytes], wanted: str) -> set[str]:
    """What the lines are about, ours and other tools'; no more are read once the wanted one was met."""
    found: set[str] = set()
    for line in newest:
        if wanted in found:
            break
        # Of a long log nearly all lines are ours, and need not be parsed.
        ours = _OURS.match(line)
        word = ours[1].decode() if ours else (decode(line) or {}).get("event_type")
        if isinstance(word, str):
            found.add(word)
    return found


_OURS = re.compile(rb'\{"timestamp":"[^"]*","event_type":"([a-z]+)",')


def _approval(line: bytes, needles: set[bytes]) -> dict[str, JsonValue] | None:
    """The fields of an `approval / approve` line that holds one of the needles; the test of the bytes is the cheap one."""
    if not any(word in line for word in needles):
        return None
    fields = decode(line)
    if fields is None or fields.get("event_type") != EventType.APPROVAL or fields.get("action") != RecordAction.APPROVE:
        return None
    return fields


def _asks(fields: Mapping[str, JsonValue], ids: Collection[str]) -> bool:
    return fields.get("outcome") == RecordOutcome.REQUESTED and fields.get("approval_id") in ids


def _found(fields: Mapping[str, JsonValue]) -> FoundRequest:
    action, task_id = str(fields.get("resource")), fields.get("task_id")
    return FoundRequest(
        approval_id=str(fields.get("approval_id")),
        action=action if is_as_asked(action) else None,
        workspace_id=str(fields.get("workspace_id")),
        trace_id=str(fields.get("trace_id")),
        task_id=task_id if isinstance(task_id, str) else None,
    )
