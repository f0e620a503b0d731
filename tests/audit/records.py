"""Records for the tests, and the chained lines of a log that they become. ``record`` is the one maker of a record."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from molecule_approve.audit.chain import START, Head
from molecule_approve.audit.record import Record, encode
from molecule_approve.audit.report.story import Newest, RequestRecords, gather

if TYPE_CHECKING:
    from molecule_approve.audit.seal import SealKey
    from molecule_approve.model import JsonValue

LOG = "7d444840-9dc0-11d1-b245-5ffdce74fad2"


def record(
    outcome: str = "initiated",
    trace_id: str = "trace-1",
    *,
    at: str = "10:00:00",
    event: str = "approval",
    action: str = "approve",
    resource: str = "deploy",
    actor: str = "ws",
    workspace: str = "ws",
    **extras: JsonValue,
) -> Record:
    """A record, at some time of one day; further fields are its extras."""
    return Record(f"2026-04-27T{at}.000000Z", event, workspace, actor, action, resource, outcome, trace_id, extras)


def begun(trace: str = "trace-1", **more: str) -> Record:
    """A question that is about to be asked."""
    return record("initiated", trace, at=more.pop("at", "10:00:00"), task_id=trace, **more)


def seen(outcome: str, trace: str = "trace-1", *, at: str = "12:00:00", actor: str = "ws", **extras: JsonValue) -> Record:
    """How somebody saw later that a request had ended."""
    one = record("observed", trace, at=at, action="observe", actor=actor, observed_outcome=outcome, observed_by="status")
    return replace(one, extras={**one.extras, **extras})


def lines(*records: Record, log_id: str = LOG, key: SealKey | None = None, sealed_from: int = 1) -> list[bytes]:
    """The chained lines of a log, without newlines; sealed, with a key of record 1, from a number on."""
    found: list[bytes] = []
    prev = START
    for seq, one in enumerate(records, 1):
        mine = None if key is None or seq < sealed_from else key.at(seq).key
        found.append(encode(one, log_id=log_id, seq=seq, prev=prev, key=mine))
        prev = hashlib.sha256(found[-1]).hexdigest()
    return found


def foreign(**fields: JsonValue) -> bytes:
    """A line of another tool, which has no chain."""
    return json.dumps(fields).encode()


def newest(log: Sequence[bytes]) -> Newest:
    """The lines of a log for a search: all of them."""

    def give(_: Collection[bytes]) -> Sequence[bytes]:
        return log[::-1]

    return give


def gathered(log: Sequence[bytes], trace: str = "trace-1") -> RequestRecords:
    """One request's records."""
    return gather(newest(log), trace)


def head(log: Sequence[bytes]) -> Head:
    """The head of a log that consists of chained lines only."""
    return Head(LOG, len(log), hashlib.sha256(log[-1]).hexdigest())
