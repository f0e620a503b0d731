"""Pure: the form of an export, and reading a document that may be anything. What it proves is `check.py`'s business."""

from __future__ import annotations

from typing import Any, NamedTuple

from molecule_approve import strict_json
from molecule_approve.audit.chain import HASH
from molecule_approve.strict_json import StrictJsonError

FORMAT = "molecule-approve/audit-export"
VERSION = 1

LARGEST = 67_108_864
"""Bytes that a document may have: it is read into memory as a whole."""

_LAST = 10**15  # a number of a record that no log reaches


class NotAnExportError(ValueError):
    """The document is not an export that can be verified; the message says why, and repeats nothing of it."""


class RecordHash(NamedTuple):
    """A record's number, and SHA-256 in lower-case hex, without its line."""

    seq: int
    hash: str


class NextRecord(NamedTuple):
    """The record after another one, and the SHA-256 that it says the one before has."""

    mark: RecordHash
    prev: str


class Remembered(NamedTuple):
    """The head that was remembered beside the log."""

    log_id: str
    mark: RecordHash


class ExportedRecord(NamedTuple):
    """One record as the document gives it: its line without the newline, and what the document says about it."""

    seq: int
    line: bytes
    hash: str
    before: RecordHash | None
    after: NextRecord | None


class ExportedReceipt(NamedTuple):
    """A receipt, and what the document says is its SHA-256."""

    sha256: str
    text: bytes


class ExportDocument(NamedTuple):
    """The whole document, its types checked and nothing else. ``chain`` holds lines, ``sealed_from`` a record's number."""

    log_id: str
    trace_id: str
    exported_at: str
    records: tuple[ExportedRecord, ...]
    head: RecordHash
    remembered: Remembered | None
    audit_heads: tuple[RecordHash, ...]
    sealed_from: int | None
    chain: tuple[bytes, ...] | None
    receipts: tuple[ExportedReceipt, ...] = ()


def read(document: bytes) -> ExportDocument:
    """The export in a file.

    Raises:
        NotAnExportError: it is something else, or its form is not the one of this version.
    """
    if len(document) > LARGEST:
        raise NotAnExportError(f"the document is larger than {LARGEST} bytes")
    try:
        found = strict_json.loads(document)
    except StrictJsonError as exc:
        raise NotAnExportError(f"the document is not valid JSON: {exc}") from exc
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise NotAnExportError("the document is not an export of an audit log")
    if type(found.get("version")) is not int or found["version"] != VERSION:
        raise NotAnExportError("this version of the export format is not supported")
    return _claim(found)


def _claim(found: dict[str, Any]) -> ExportDocument:
    wanted = {"format", "version", "log_id", "trace_id", "exported_at", "records", "head", "remembered", "audit_heads"}
    _keys(found, "the document", wanted, {"seal", "chain", "receipts"})
    records = tuple(_record(one) for one in _list(found["records"], "records"))
    if not records:
        raise NotAnExportError("the export has no records")
    return ExportDocument(
        log_id=_text(found["log_id"], "log_id"),
        trace_id=_text(found["trace_id"], "trace_id"),
        exported_at=_text(found["exported_at"], "exported_at"),
        records=records,
        head=_mark(found["head"], "head"),
        remembered=None if found["remembered"] is None else _remembered(found["remembered"]),
        audit_heads=tuple(_mark(one, "audit_heads") for one in _list(found["audit_heads"], "audit_heads")),
        sealed_from=_number(_keys(found["seal"], "seal", {"from"})["from"], "seal") if "seal" in found else None,
        chain=tuple(_line(one) for one in _list(found["chain"], "chain")) if "chain" in found else None,
        receipts=tuple(_receipt(one) for one in _list(found.get("receipts", []), "receipts")),
    )


def _record(value: object) -> ExportedRecord:
    found = _keys(value, "a record", {"seq", "line", "hash", "before", "after"})
    return ExportedRecord(
        seq=_number(found["seq"], "seq"),
        line=_line(found["line"]),
        hash=_hash(found["hash"], "hash"),
        before=None if found["before"] is None else _mark(found["before"], "before"),
        after=None if found["after"] is None else _after(found["after"]),
    )


def _receipt(value: object) -> ExportedReceipt:
    found = _keys(value, "a receipt", {"sha256", "text"})
    return ExportedReceipt(_hash(found["sha256"], "sha256"), _line(found["text"]))


def _after(value: object) -> NextRecord:
    found = _keys(value, "after", {"seq", "hash", "prev"})
    return NextRecord(
        RecordHash(_number(found["seq"], "after"), _hash(found["hash"], "after")), _hash(found["prev"], "after")
    )


def _remembered(value: object) -> Remembered:
    found = _keys(value, "remembered", {"log_id", "seq", "hash"})
    mark = RecordHash(_number(found["seq"], "remembered"), _hash(found["hash"], "remembered"))
    return Remembered(_text(found["log_id"], "remembered"), mark)


def _mark(value: object, name: str) -> RecordHash:
    found = _keys(value, name, {"seq", "hash"})
    return RecordHash(_number(found["seq"], name), _hash(found["hash"], name))


def _keys(value: object, name: str, wanted: set[str], optional: frozenset[str] | set[str] = frozenset()) -> dict[str, Any]:
    """An object with just these keys: what this version does not know is not passed over, as if it had been checked."""
    if not isinstance(value, dict):
        raise NotAnExportError(f"{name}: expected an object")
    if not wanted <= set(value) <= wanted | optional:
        raise NotAnExportError(f"{name}: a field is missing or unknown")
    return value


def _list(value: object, name: str) -> list[Any]:
    if not isinstance(value, list):
        raise NotAnExportError(f"{name}: expected a list")
    return value


def _text(value: object, name: str) -> str:
    if not isinstance(value, str):
        raise NotAnExportError(f"{name}: expected a string")
    return value


def _line(value: object) -> bytes:
    return _text(value, "line").encode("utf-8", "surrogatepass")


def _number(value: object, name: str) -> int:
    if type(value) is not int or not 1 <= value <= _LAST:
        raise NotAnExportError(f"{name}: expected a record number")
    return value


def _hash(value: object, name: str) -> str:
    text = _text(value, name)
    if not HASH.match(text):
        raise NotAnExportError(f"{name}: expected a SHA-256 in lower-case hex")
    return text
