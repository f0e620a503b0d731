"""One record of the audit log: its fields, its words, and how it becomes one line. No file is touched here."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from molecule_approve.errors import AuditError
from molecule_approve.model import Outcome
from molecule_approve.safe_text import visible_json

from . import seal

if TYPE_CHECKING:
    from molecule_approve.model import JsonValue, Secret

LINE_LIMIT = 65_536
"""Bytes that a line of ours may have, its newline included."""

SECRET_MARK = "[secret removed]"  # noqa: S105 - replaces a secret
"""Replaces a secret in a record."""

CHAIN_FIELDS = ("log_id", "seq", "prev", "seal")
"""The fields that tie a line to the one before, and its seal if the log is sealed; the last fields of our lines."""

FIELDS = ("timestamp", "event_type", "workspace_id", "actor", "action", "resource", "outcome", "trace_id")
"""The fields that every record has, in the order in which they are written."""


class EventType(StrEnum):
    """What a record is about."""

    APPROVAL = "approval"
    RBAC = "rbac"
    AUDIT = "audit"


class RecordAction(StrEnum):
    """What was done, in the words of the platform's own tools."""

    APPROVE = "approve"
    DELIVER = "deliver"
    OBSERVE = "observe"
    RBAC_DENY = "rbac.deny"
    EXECUTE = "execute"
    RECOVER = "recover"
    INIT = "init"


class RecordOutcome(StrEnum):
    """How it went; :data:`PAIRS` says which outcome goes with which action."""

    INITIATED = "initiated"
    REQUESTED = "requested"
    RESUMED = "resumed"
    GRANTED = "granted"
    DENIED = "denied"
    TIMEOUT = "timeout"
    WITHDRAWN = "withdrawn"
    FAILURE = "failure"
    FAILED = "failed"
    OBSERVED = "observed"
    STARTED = "started"
    FINISHED = "finished"
    REFUSED = "refused"
    SUCCESS = "success"


ENDINGS = frozenset(
    {
        RecordOutcome.GRANTED,
        RecordOutcome.DENIED,
        RecordOutcome.TIMEOUT,
        RecordOutcome.WITHDRAWN,
        RecordOutcome.FAILURE,
    }
)
"""Exactly one of these, with ``approval / approve``, ends an attempt that ``initiated`` or ``resumed`` began."""

PAIRS: Mapping[RecordAction, frozenset[RecordOutcome]] = {
    RecordAction.APPROVE: frozenset({RecordOutcome.INITIATED, RecordOutcome.REQUESTED, RecordOutcome.RESUMED, *ENDINGS}),
    RecordAction.DELIVER: frozenset({RecordOutcome.FAILED}),
    RecordAction.OBSERVE: frozenset({RecordOutcome.OBSERVED}),
    RecordAction.RBAC_DENY: frozenset({RecordOutcome.DENIED}),
    RecordAction.EXECUTE: frozenset({RecordOutcome.STARTED, RecordOutcome.FINISHED, RecordOutcome.REFUSED}),
    RecordAction.RECOVER: frozenset({RecordOutcome.SUCCESS}),
    RecordAction.INIT: frozenset({RecordOutcome.SUCCESS}),
}
"""The pairs that this program writes; each is told, counted and documented."""

OF_OUTCOME = {
    Outcome.APPROVED: RecordOutcome.GRANTED,
    Outcome.DENIED: RecordOutcome.DENIED,
    Outcome.TIMEOUT: RecordOutcome.TIMEOUT,
    Outcome.EXPIRED: RecordOutcome.TIMEOUT,
    Outcome.WITHDRAWN: RecordOutcome.WITHDRAWN,
}
"""How a request ended, in the words of the audit log."""


@dataclass(frozen=True, slots=True)
class Record:
    """One record, without the chain, which the journal adds.

    Attributes:
        timestamp: RFC 3339, UTC, microseconds.
        event_type: see :class:`EventType`.
        workspace_id: the workspace that asks.
        actor: who caused it: the workspace, or the person who decided.
        action: see :class:`RecordAction`.
        resource: the requested action's text.
        outcome: see :class:`RecordOutcome`.
        trace_id: one UUID for all records of one request.
        extras: further fields; none may have the name of a field above or of the chain's.

    Raises:
        ValueError: an extra has a name that is taken.
    """

    timestamp: str
    event_type: str
    workspace_id: str
    actor: str
    action: str
    resource: str
    outcome: str
    trace_id: str
    extras: Mapping[str, JsonValue] = field(default_factory=dict)

    def __post_init__(self) -> None:
        taken = sorted(set(self.extras) & {*FIELDS, *CHAIN_FIELDS})
        if taken:
            raise ValueError(f"an extra field cannot be named {taken[0]}")


def make_record(
    action: RecordAction,
    outcome: RecordOutcome,
    *,
    timestamp: str,
    workspace_id: str,
    resource: str,
    trace_id: str,
    extras: Mapping[str, JsonValue],
    actor: str | None = None,
) -> Record:
    """Every record that this program writes: the action gives its event type, and extras that are None are left out.

    Without ``actor`` the workspace is the one who caused it.

    Raises:
        ValueError: the pair of action and outcome is not in :data:`PAIRS`, so no reader would know it.
    """
    if outcome not in PAIRS[action]:
        raise ValueError(f"{action} / {outcome} is not in PAIRS")
    return Record(
        timestamp=timestamp,
        event_type=_EVENT_TYPES.get(action, EventType.APPROVAL),
        workspace_id=workspace_id,
        actor=actor or workspace_id,
        action=action,
        resource=resource,
        outcome=outcome,
        trace_id=trace_id,
        extras={name: value for name, value in extras.items() if value is not None},
    )


_EVENT_TYPES = {
    RecordAction.RBAC_DENY: EventType.RBAC,
    RecordAction.RECOVER: EventType.AUDIT,
    RecordAction.INIT: EventType.AUDIT,
}


def encode(
    record: Record, *, log_id: str, seq: int, prev: str, secrets: Sequence[Secret] = (), key: bytes | None = None
) -> bytes:
    """The record as one line without its newline: pure ASCII JSON without spaces, shorter than :data:`LINE_LIMIT`.

    With a key, which must be that record's own, the line is sealed.

    Raises:
        AuditError: the record has so many or so deeply nested fields that no cutting makes it fit.
    """
    fields: dict[str, JsonValue] = {name: getattr(record, name) for name in FIELDS}
    chain: dict[str, JsonValue] = {"log_id": log_id, "seq": seq, "prev": prev}
    if key is not None:
        chain[seal.FIELD] = seal.BLANK
    try:
        fields = _masked(fields, secrets, spare=_OUR_WORDS)
        extras = _masked(record.extras, secrets, spare=_plain_id(record.extras))
        line = _fit(fields, extras, chain)
    except RecursionError:
        raise AuditError("a record for the audit log is nested too deeply") from None
    return line if key is None else seal.sealed(line, key)


def decode(line: bytes) -> dict[str, JsonValue] | None:
    """The fields of a line, ours or another tool's; None if the line is not a JSON object."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def text_in(fields: Mapping[str, JsonValue], name: str) -> str:
    """The text of a field; empty where it has none."""
    value = fields.get(name)
    return value if isinstance(value, str) else ""


_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.\d+)?(?:[Zz]|[+-]\d\d:\d\d)\Z", re.ASCII)


def moment(text: JsonValue) -> datetime | None:
    """The moment, in UTC, that an RFC 3339 text names; None where it names none, or no offset from UTC."""
    if not isinstance(text, str) or not _RFC3339.match(text):
        return None
    try:
        return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def is_as_asked(text: str) -> bool:
    """Whether a text read from a record is the whole of what was asked: nothing was cut off or masked in it."""
    return SECRET_MARK not in text and not _CUT_MARK.search(text)


SHORT = 8
"""Secrets of this many characters or more are replaced everywhere, also within a word."""


def mask(text: str, secrets: Sequence[Secret]) -> str:
    """The text with each secret in it replaced by :data:`SECRET_MARK`; an empty secret hides nothing.

    One of fewer than :data:`SHORT` characters is replaced only as a whole word: it may be a part of many others.
    """
    if not secrets:
        return text
    # The longest first: where one secret contains another, nothing of the longer one may stay behind.
    for word in sorted((secret.reveal() for secret in secrets), key=len, reverse=True):
        if len(word) >= SHORT:
            text = text.replace(word, SECRET_MARK)
        elif word:
            text = re.sub(rf"(?<!\w){re.escape(word)}(?!\w)", lambda _: SECRET_MARK, text)
    return text


def writings(text: str, secrets: Sequence[Secret]) -> frozenset[str]:
    """The forms this text may have in a log: as it is, masked, and masked as earlier versions did with short secrets."""
    before = text
    for word in sorted((secret.reveal() for secret in secrets), key=len, reverse=True):
        before = before.replace(word, SECRET_MARK) if word else before
    return frozenset({text, mask(text, secrets), before})


def needle(text: str) -> bytes:
    """The bytes by which a line of ours that holds this text is known before it is parsed."""
    return _dump(text)[1:-1].encode("ascii")


# These are words of this program, and hold nothing from elsewhere. A token that happens to be one of them must not
# make a `granted` unfindable.
_OUR_WORDS = frozenset({"timestamp", "event_type", "action", "outcome"})

_UUID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\Z")

_CUT_MARK = re.compile(r"\.\.\.\[cut: \d+ characters, SHA-256 [0-9a-f]{64}\]\Z")

# What is cut, and how hard: the extras first, since what was asked (at most 4,096 characters of at most 12 bytes) must
# stay comparable; then lists and objects become text; then everything.
_EXTRAS_LIMITS = (16_384, 8_192, 4_096, 2_048, 1_024, 512, 256, 128)
_LAST_LIMITS = (1_024, 256)


def _fit(fields: Mapping[str, JsonValue], extras: Mapping[str, JsonValue], chain: Mapping[str, JsonValue]) -> bytes:
    for kept, added in _ever_shorter(fields, extras):
        line = _dump({**kept, **added, **chain}).encode("ascii")
        if len(line) < LINE_LIMIT:
            return line
    raise AuditError("a record for the audit log has too many fields to fit into one line")


def _ever_shorter(
    fields: Mapping[str, JsonValue], extras: Mapping[str, JsonValue]
) -> Iterator[tuple[Mapping[str, JsonValue], Mapping[str, JsonValue]]]:
    yield fields, extras
    for limit in _EXTRAS_LIMITS:
        yield fields, _cut(extras, limit)
    flat: dict[str, JsonValue] = {
        name: _dump(value) if isinstance(value, list | dict) else value for name, value in extras.items()
    }
    yield fields, _cut(flat, _EXTRAS_LIMITS[-1])
    for limit in _LAST_LIMITS:
        yield _cut(fields, limit), _cut(flat, _EXTRAS_LIMITS[-1])


def _cut(values: Mapping[str, JsonValue], limit: int) -> dict[str, JsonValue]:
    return {name: _each_string(value, lambda text: _cut_text(text, limit)) for name, value in values.items()}


def _cut_text(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{text[:limit]}...[cut: {len(text)} characters, SHA-256 {digest}]"


def _masked(
    values: Mapping[str, JsonValue], secrets: Sequence[Secret], *, spare: frozenset[str] = frozenset()
) -> dict[str, JsonValue]:
    return {
        name: value if name in spare else _each_string(value, lambda text: mask(text, secrets))
        for name, value in values.items()
    }


def _plain_id(extras: Mapping[str, JsonValue]) -> frozenset[str]:
    """The field of the request's id, where that is a UUID, as every platform's is.

    A secret may differ from one attempt to the next: whoever chose a part of the id for one would make a `granted`
    unfindable for the next attempt, and use the approval twice.
    """
    return frozenset({"approval_id"} if _UUID.match(text_in(extras, "approval_id")) else ())


def _each_string(value: JsonValue, change: Callable[[str], str]) -> JsonValue:
    """The value with each string in it changed, keys included; what JSON cannot say (NaN, infinity) becomes a string."""
    match value:
        case str():
            return change(value)
        case list():
            return [_each_string(item, change) for item in value]
        case dict():
            return {change(name): _each_string(item, change) for name, item in value.items()}
        case float() if not math.isfinite(value):
            return str(value)
        case _:
            return value


def _dump(value: JsonValue) -> str:
    # A log is shown at terminals and in CI jobs.
    return visible_json(json.dumps(value, ensure_ascii=True, separators=(",", ":"), allow_nan=False))
