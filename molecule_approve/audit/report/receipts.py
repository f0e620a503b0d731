"""Pure: which receipts the records of a log name. What a receipt proves is for ``receipt verify``."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from molecule_approve.audit.chain import link_of
from molecule_approve.audit.record import RecordOutcome, decode, text_in

_HINT = b'"receipt_sha256":"'


class NamedReceipt(NamedTuple):
    """A receipt that the record of this number names by its SHA-256, in lower-case hex."""

    seq: int
    sha256: str


class ReceiptCount(NamedTuple):
    """How many receipts a log names, and the numbers of the records whose receipts are gone or were changed."""

    named: int = 0
    missing: tuple[int, ...] = ()


def receipts_in(lines: Sequence[bytes], others: Collection[int] = ()) -> tuple[NamedReceipt, ...]:
    """The receipts that these lines name; those at the places in ``others`` are unchained, and skipped."""
    wanted = [line for place, line in enumerate(lines) if _HINT in line and place not in others]
    return tuple(found for line in wanted if (found := _named(line)) is not None)


def _named(line: bytes) -> NamedReceipt | None:
    fields, link = decode(line) or {}, link_of(line)
    digest = text_in(fields, "receipt_sha256")
    if link is None or not digest or fields.get("outcome") != RecordOutcome.GRANTED:
        return None
    return NamedReceipt(link.seq, digest)
