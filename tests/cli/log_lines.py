"""Lines of an audit log as a test wants them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from molecule_approve.audit.chain import START
from molecule_approve.audit.record import FIELDS, Record, encode

if TYPE_CHECKING:
    from molecule_approve.model import JsonValue


def line(**fields: JsonValue) -> bytes:
    """A chained line with its newline; `extras` are further fields."""
    known: dict[str, Any] = dict(zip(FIELDS, ("2026-04-27T10:00:00.123456Z", "approval", "ws", "ws"), strict=False))
    known |= {"action": "approve", "resource": "deploy", "outcome": "granted", "trace_id": "0123456789"}
    extras = {name: value for name, value in fields.items() if name not in FIELDS}
    record = Record(**(known | {name: value for name, value in fields.items() if name in FIELDS}), extras=extras)
    return encode(record, log_id="7d444840-9dc0-11d1-b245-5ffdce74fad2", seq=1, prev=START) + b"\n"
