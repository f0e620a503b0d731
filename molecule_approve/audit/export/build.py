"""Pure: building an export: one request's records as evidence, in one JSON document; `check.py` checks it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from molecule_approve.audit.chain import Head, Link, link_of
from molecule_approve.audit.record import RecordOutcome
from molecule_approve.audit.seal import is_sealed
from molecule_approve.errors import AuditError

from .parse import FORMAT, LARGEST, VERSION

if TYPE_CHECKING:
    from molecule_approve.audit.report.story import StoryRecord
    from molecule_approve.model import JsonValue


def build(
    entries: Sequence[StoryRecord],
    head: Head,
    *,
    exported_at: str,
    remembered: Head | None,
    chain: Sequence[bytes] | None = None,
    receipts: Mapping[str, bytes] | None = None,
) -> dict[str, JsonValue]:
    """The document of one request's records, the oldest first, to be written as JSON.

    Unchained lines, and records of another log than the head's, are left out. The time ``exported_at`` is for people, and
    not protected; ``remembered`` is the head beside the log; ``chain`` has all chained lines from the first record to the
    head, where all of them are wanted; ``receipts`` are those that the records name, by their SHA-256.

    Raises:
        AuditError: no record is left.
    """
    kept = [(entry, entry.link) for entry in entries if entry.link is not None and entry.link.log_id == head.log_id]
    if not kept:
        raise AuditError("cannot export: this request has no chained records", hint="`audit show` shows them")
    sealed = [link.seq for entry, link in kept if is_sealed(entry.line)]
    return {
        "format": FORMAT,
        "version": VERSION,
        "log_id": head.log_id,
        "trace_id": kept[0][0].text("trace_id"),
        "exported_at": exported_at,
        "records": [_record(entry, link) for entry, link in kept],
        "head": _mark(head),
        "remembered": None if remembered is None else {"log_id": remembered.log_id, **_mark(remembered)},
        # The gate gives the platform the head as it is just after `initiated`: that record itself.
        "audit_heads": [_mark(link) for entry, link in kept if entry.kind[2] == RecordOutcome.INITIATED],
        **({"seal": {"from": sealed[0]}} if sealed else {}),
        **({"receipts": [_receipt(*one) for one in receipts.items()]} if receipts else {}),
        **({} if chain is None else {"chain": [_text(line) for line in chain]}),
    }


def stretch(newest: Iterable[bytes], first: Link, head: Head, limit: int = LARGEST) -> list[bytes]:
    """All chained lines from a record to the head, the oldest first, each once, out of the log's lines, the newest first.

    Raises:
        AuditError: they have more than ``limit`` bytes together, too many for one document.
    """
    found: list[bytes] = []
    size, last = 0, None
    for line in newest:
        link = link_of(line) if b'"prev"' in line else None
        # Lines appended after the head was read do not belong to it; a record that is in two files is given once.
        if link is None or link == last or (not found and link.head != head):
            continue
        found.append(line)
        last, size = link, size + len(line)
        if size > limit:
            raise AuditError(
                "cannot export with --complete: the log since the request is too large for one document",
                hint="omit --complete",
            )
        if link == first:
            break
    return found[::-1]


def _record(entry: StoryRecord, link: Link) -> JsonValue:
    after = entry.after
    return {
        "seq": link.seq,
        "line": _text(entry.line),
        "hash": link.hash,
        "before": None if entry.before is None else _mark(entry.before),
        "after": None if after is None else {**_mark(after), "prev": after.prev},
    }


def _receipt(digest: str, data: bytes) -> JsonValue:
    return {"sha256": digest, "text": data.decode("utf-8")}


def _mark(place: Head | Link) -> dict[str, JsonValue]:
    return {"seq": place.seq, "hash": place.hash}


def _text(line: bytes) -> str:
    # Lines of ours are ASCII. Another program's chained line may hold what Python's own JSON reader lets pass.
    return line.decode("utf-8", "surrogatepass")
