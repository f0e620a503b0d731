"""Pure: seals, so that what was written before a break-in cannot be rewritten unnoticed. No file is touched here.

A sealed record carries, as its last field, an HMAC-SHA256 (RFC 2104) over all bytes of its line before that field. Each
record has a key of its own: the next one is the SHA-256 of the one before, so a key gives all later ones and no earlier one.
The writer keeps only the key of the next record. Whoever breaks in finds that key, and can forge what comes; for what is
written already he would need a key that was forgotten. Only who keeps the **first key**, elsewhere, can check the seals.

The scheme is the forward-secure MAC of Bellare and Yee ("Forward-Security in Private-Key Cryptography", 2003).
"""

from __future__ import annotations

import hashlib
import re
from bisect import bisect_right, insort
from collections.abc import Iterable
from typing import NamedTuple

KEY_BYTES = 32
"""Bytes of a key, as many as the hash has."""

FIELD = "seal"
"""The field that holds a record's seal; it is the last field of the line."""

BLANK = "0" * 64
"""The value of the field before the line is sealed."""

FARTHEST = 50_000_000
"""Records after its key up to which a seal is checked: some twenty seconds' work, once."""

_BEFORE = b',"seal":"'
_AFTER = b'"}'
ROOM = len(_BEFORE) + len(BLANK) + len(_AFTER)
"""Bytes of the field and the brace after it."""

_STRIDE = 65_536
_STEP = b"molecule-approve seal, next key\n"
_TEXT = r"seal1:([0-9A-Za-z-]{1,64}):([1-9][0-9]{0,17}):([0-9a-f]{64})"


class SealKey(NamedTuple):
    """The key of one record, and so of all after it; the key itself is never shown."""

    log_id: str
    seq: int
    key: bytes

    def __repr__(self) -> str:
        return f"SealKey(log_id={self.log_id!r}, seq={self.seq}, key=...)"

    def at(self, seq: int) -> SealKey:
        """The key of that record, by one hash a step.

        Raises:
            ValueError: it is an earlier one, which nobody can compute.
        """
        if seq < self.seq:
            raise ValueError(f"the key of record {self.seq} cannot give the key of the earlier record {seq}")
        key = self.key
        for _ in range(seq - self.seq):
            key = hashlib.sha256(_STEP + key).digest()
        return SealKey(self.log_id, seq, key)

    def to_text(self) -> str:
        """As it is printed once and kept elsewhere: ``seal1:LOG_ID:SEQ:KEY``, the key in lower-case hex."""
        return f"seal1:{self.log_id}:{self.seq}:{self.key.hex()}"


class Keys:
    """Keys of one log, for checking: each counts from its own record on, up to the next one's.

    ``first`` is the first record whose seal can be checked.

    Raises:
        ValueError: there is none, or they belong to several logs.
    """

    def __init__(self, keys: Iterable[SealKey]) -> None:
        self._given = sorted(keys, key=_seq)
        if len({key.log_id for key in self._given}) != 1:
            raise ValueError("expected at least one key, and all of them of the same log")
        self.log_id, self.first = self._given[0].log_id, self._given[0].seq
        self._known = list(self._given)
        self._latest = self._given[0]

    def hold(self, line: bytes, seq: int) -> bool:
        """Whether the line, that record, carries the seal which the key makes that is given for it.

        False also where the record is so far from its key that a forged number would keep us busy for minutes.
        """
        given = self._given[bisect_right(self._given, seq, key=_seq) - 1]
        return seq - given.seq <= FARTHEST and holds(line, self._at(seq))

    def _at(self, seq: int) -> bytes:
        """The record's key, from the nearest one that is known; on a long way, one in a while is kept."""
        nearest = self._known[bisect_right(self._known, seq, key=_seq) - 1]
        key = self._latest if nearest.seq < self._latest.seq <= seq else nearest
        while seq - key.seq > _STRIDE:
            key = key.at(key.seq + _STRIDE)
            insort(self._known, key, key=_seq)
        self._latest = key.at(seq)
        return self._latest.key


def _seq(key: SealKey) -> int:
    return key.seq


def from_text(text: str) -> SealKey:
    """The key that :meth:`SealKey.to_text` wrote; white space around it does not matter.

    Raises:
        ValueError: it is something else. The message does not repeat it.
    """
    found = re.fullmatch(_TEXT, text.strip())
    if found is None:
        raise ValueError("a seal key looks like seal1:LOG_ID:SEQ:KEY, its key being 64 hexadecimal digits")
    return SealKey(found[1], int(found[2]), bytes.fromhex(found[3]))


def is_sealed(line: bytes) -> bool:
    """Whether the line, without its newline, ends with a seal, be it good or not."""
    return line.endswith(_AFTER) and line[-ROOM : len(_BEFORE) - ROOM] == _BEFORE


def sealed(line: bytes, key: bytes) -> bytes:
    """The line, without its newline and with :data:`BLANK` in its last field, with the seal in its place."""
    body = line[:-ROOM]
    return body + _BEFORE + _mac(body, key).encode("ascii") + _AFTER


def holds(line: bytes, key: bytes) -> bool:
    """Whether the line carries the seal that this very key, its record's own, makes; compared in constant time."""
    if not is_sealed(line):
        return False
    given = line[len(_BEFORE) - ROOM : -len(_AFTER)]
    from hmac import compare_digest  # noqa: PLC0415 - most logs are not sealed, and every start would pay

    return compare_digest(given, _mac(line[:-ROOM], key).encode("ascii"))


def _mac(body: bytes, key: bytes) -> str:
    from hmac import digest  # noqa: PLC0415 - as above

    return digest(key, body, "sha256").hex()
