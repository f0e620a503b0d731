"""What stands in a log and all its archives, found and checked by means that share nothing with the program's own."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import hmac
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

BESIDE = (".private", ".lock", ".head", ".seal", ".next")
OPENERS = {".gz": gzip.decompress, ".bz2": bz2.decompress}


class Standing(NamedTuple):
    """One chained record: its number, its line's hash, its fields, and the line."""

    seq: int
    hash: str
    fields: dict[str, Any]
    line: bytes


class BrokenError(AssertionError):
    """The chain does not hold."""


def history(log: Path) -> list[Standing]:
    """Every record of a log, in order and each once.

    Raises:
        BrokenError: a number is missing, doubled or out of order, or a hash is not the one before.

    """
    found: list[Standing] = []
    for piece in pieces(log):
        begun = list(piece)
        # A rename between another's open and write: the same bytes, three records at most, end one file and begin the next.
        for count in (1, 2, 3):
            if begun[:count] == found[-count:]:
                del begun[:count]
                break
        found += begun
    for place, record in enumerate(found):
        if record.seq != 1 + place:
            raise BrokenError(f"record {1 + place} is not there, but {record.seq}")
        if place and record.fields["prev"] != found[place - 1].hash:
            raise BrokenError(f"record {record.seq} does not follow the one before")
    if len({record.fields["log_id"] for record in found}) > 1:
        raise BrokenError("another log's records")
    return found


def pieces(log: Path) -> list[list[Standing]]:
    """The records of each file, the oldest file first. A file with two names is one file."""
    files: dict[int, list[Standing]] = {}
    for path in log.parent.glob(f"{log.stem}*"):
        if path.suffix in BESIDE or not path.is_file():
            continue
        data = path.read_bytes()
        for suffix in reversed(path.suffixes):
            data = OPENERS.get(suffix, bytes)(data)
        files[path.stat().st_ino] = list(records(data))
    return sorted((found for found in files.values() if found), key=lambda found: found[0].seq)


def records(data: bytes) -> Iterator[Standing]:
    """The chained records among whole lines."""
    for line in data.split(b"\n")[:-1]:
        try:
            fields = json.loads(line)
        except ValueError:
            continue
        if line.startswith(b"{") and isinstance(fields, dict) and isinstance(fields.get("prev"), str):
            yield Standing(fields["seq"], hashlib.sha256(line).hexdigest(), fields, line)


def check_seals(found: list[Standing], first_key: str) -> None:
    """Every record from the key's on carries the HMAC of its line under its own key, each key the hash of the one before.

    Raises:
        BrokenError: one does not.

    """
    _, _, start, text = first_key.split(":")
    key = bytes.fromhex(text)
    for record in found:
        if record.seq < int(start):
            continue
        body, _, rest = record.line.rpartition(b',"seal":"')
        if rest != hmac.digest(key, body, "sha256").hex().encode() + b'"}':
            raise BrokenError(f"record {record.seq} is not sealed as it should be")
        key = hashlib.sha256(b"molecule-approve seal, next key\n" + key).digest()


def keeps(found: list[Standing], told: list[dict[str, Any]]) -> None:
    """All that was acknowledged stands where it was told to stand, with the bytes that it had, and once.

    Raises:
        BrokenError: one does not.

    """
    by_seq = {record.seq: record for record in found}
    for one in told:
        record = by_seq.get(one["seq"])
        if record is None or record.hash != one["hash"] or record.fields.get("mark") != one["mark"]:
            raise BrokenError(f"{one} was acknowledged, and there stands {record}")
    marks = [record.fields["mark"] for record in found if "mark" in record.fields]
    if len(marks) != len(set(marks)):
        raise BrokenError("a record stands twice")
