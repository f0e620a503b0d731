"""Lines of an audit log as a test wants them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from molecule_approve.audit.record import FIELDS
from tests.audit.records import lines, record

if TYPE_CHECKING:
    from molecule_approve.model import JsonValue


def line(**fields: JsonValue) -> bytes:
    """A chained line with its newline; `extras` are further fields."""
    extras = {name: value for name, value in fields.items() if name not in FIELDS}
    known: dict[str, Any] = {"timestamp": "2026-04-27T10:00:00.123456Z"}
    known |= {name: value for name, value in fields.items() if name in FIELDS}
    return lines(replace(record("granted", "0123456789"), **known, extras=extras))[0] + b"\n"
