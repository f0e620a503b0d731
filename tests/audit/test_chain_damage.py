"""Logs damaged at random, checked by the program and by a plain verifier that parses every line: both say the same."""

from __future__ import annotations

import hashlib
import hmac
import json
import random
import re
from dataclasses import dataclass, field
from typing import Any

import pytest

from molecule_approve.audit.chain import START, examine
from molecule_approve.audit.seal import Keys, SealKey
from molecule_approve.audit.verify.report import ExpectedHead, Report, Verification

LOG = "7d444840-9dc0-11d1-b245-5ffdce74fad2"
KEY = hashlib.sha256(b"the first key").digest()
SEALED_FROM = 9


def keys_from(seq: int, count: int) -> dict[int, bytes]:
    """The keys of so many records, by the rule of the seals."""
    found, key = {}, KEY
    for number in range(seq, seq + count):
        found[number] = key
        key = hashlib.sha256(b"molecule-approve seal, next key\n" + key).digest()
    return found


KEYS = keys_from(SEALED_FROM, 400)


def mac(body: bytes, seq: int) -> bytes:
    return hmac.new(KEYS[seq], body, "sha256").hexdigest().encode()


def chained_line(seq: int, prev: str, *, sealed: bool, note: str = "asked", log_id: str = LOG) -> bytes:
    """One line as the program writes it, made without its encoder."""
    fields = {"note": note * 5, "log_id": log_id, "seq": seq, "prev": prev}
    line = json.dumps(fields, separators=(",", ":")).encode()
    return line[:-1] + b',"seal":"' + mac(line[:-1], seq) + b'"}' if sealed else line


def log(count: int, *, sealed: bool, note: str = "asked", first: int = 1, prev: str = START) -> list[bytes]:
    lines = []
    for seq in range(first, first + count):
        lines.append(chained_line(seq, prev, sealed=sealed and seq >= SEALED_FROM, note=note))
        prev = hashlib.sha256(lines[-1]).hexdigest()
    return lines


# --- damage ------------------------------------------------------------------------------------------------------------


def a_byte(lines: list[bytes], at: int, chooser: random.Random) -> None:
    line = bytearray(lines[at]) or bytearray(b" ")
    line[chooser.randrange(len(line))] = chooser.choice(b' "\\0aZ{}9:,')
    lines[at] = bytes(line)


def gone(lines: list[bytes], at: int, chooser: random.Random) -> None:
    del lines[at : at + chooser.choice((1, 1, 3))]


def doubled(lines: list[bytes], at: int, chooser: random.Random) -> None:
    lines.insert(chooser.randrange(len(lines) + 1), lines[at])


def exchanged(lines: list[bytes], at: int, chooser: random.Random) -> None:
    other = chooser.randrange(len(lines))
    lines[at], lines[other] = lines[other], lines[at]


def foreign(lines: list[bytes], at: int, chooser: random.Random) -> None:
    other = (b'{"event_type":"memory"}', b"", b'{"prev":7}', b'["prev"]', b"\xff\x00", b'{"a":"' + b"x" * 70_000 + b'"}')
    lines[at:at] = chooser.choices(other, k=chooser.randrange(1, 4))


def glued(lines: list[bytes], at: int, chooser: random.Random) -> None:
    """Another tool's half line in front of a record; often the record then stands once more, as our writer sees to it."""
    lines[at : at + 1] = [b'{"half":"' + lines[at], *([lines[at]] if chooser.random() < 0.7 else [])]


def no_json(lines: list[bytes], at: int, chooser: random.Random) -> None:
    """The right end, and nothing that can be parsed before it."""
    lines[at] = lines[at].replace(b'"note"', chooser.choice((b'"note', b"note", b"[", b'"\xff"', b'"x":{"note"')), 1)


def other_words(lines: list[bytes], at: int, chooser: random.Random) -> None:
    """The same fields, said otherwise: doubled, spaced, or in another order."""
    lines[at] = chooser.choice(
        (
            lines[at].replace(b"{", b'{"seq":999,"prev":"x","log_id":"y",', 1),
            lines[at].replace(b",", b", "),
            lines[at][:-1] + b',"note":"behind"}',
            lines[at] + b" ",
        )
    )


def forged(lines: list[bytes], at: int, chooser: random.Random) -> None:
    """From there on rewritten by the rules; nothing of it is sealed."""
    fields = as_record(lines[at - 1]) if at else None
    seq, prev = (fields["seq"] + 1, hashlib.sha256(lines[at - 1]).hexdigest()) if fields else (1, START)
    lines[at:] = log(len(lines) - at, sealed=False, note="forged", first=seq, prev=prev)


def falsely_sealed(lines: list[bytes], at: int, chooser: random.Random) -> None:
    """From there on rewritten by the rules, with seals that somebody made up who had no key."""
    for place in range(at, len(lines)):
        lines[place] = re.sub(rb'(?<=,"seal":")[^"]*(?="})', b"%064x" % chooser.getrandbits(256), lines[place])
        digest = hashlib.sha256(lines[place]).hexdigest().encode()
        if place + 1 < len(lines):
            lines[place + 1] = re.sub(rb'(?<="prev":")[^"]*(?=")', digest, lines[place + 1])


def other_log(lines: list[bytes], at: int, chooser: random.Random) -> None:
    lines.insert(at, chained_line(chooser.choice((1, at, at + 1)), START, sealed=False, log_id=LOG.replace("7", "8")))


def unsealed(lines: list[bytes], at: int, chooser: random.Random) -> None:
    lines[at] = re.sub(rb',"seal":"[^"]*"', chooser.choice((b"", b',"seal":"%s"' % (b"0" * 64), b',"seal":7')), lines[at])


DAMAGE = (
    a_byte,
    gone,
    doubled,
    exchanged,
    foreign,
    glued,
    no_json,
    other_words,
    forged,
    falsely_sealed,
    other_log,
    unsealed,
)


# --- the plain verifier ------------------------------------------------------------------------------------------------


def as_record(line: bytes) -> dict[str, Any] | None:
    if len(line) > 65_535 or line[:1] != b"{":
        return None
    try:
        fields: dict[str, Any] = json.loads(line)
    except (ValueError, RecursionError):
        return None
    log_id, seq, prev = (fields.get(name) for name in ("log_id", "seq", "prev"))
    good = isinstance(log_id, str) and type(seq) is int and seq > 0 and isinstance(prev, str)
    return fields if good and re.fullmatch("[0-9a-f]{64}", str(prev)) else None


@dataclass
class Plain:
    """Line by line, everything parsed, nothing clever."""

    with_key: bool
    breaks: list[tuple[int, str]] = field(default_factory=list)
    gaps: list[tuple[int, int]] = field(default_factory=list)
    records: list[tuple[int, bytes, dict[str, Any]]] = field(default_factory=list)
    sealed: list[int] = field(default_factory=list)

    def take(self, number: int, line: bytes) -> None:
        fields = as_record(line)
        if fields is None:
            return
        self.compare(number, fields)
        self.look_at_seal(number, line, fields)
        self.records.append((number, line, fields))

    def compare(self, number: int, fields: dict[str, Any]) -> None:
        if not self.records:
            if fields["seq"] > 1:
                self.gaps.append((1, fields["seq"] - 1))
                self.breaks.append((number, "missing"))
            elif fields["prev"] != START:
                self.breaks.append((number, "changed"))
            return
        earlier, line, last = self.records[-1]
        if fields["log_id"] != last["log_id"]:
            self.breaks.append((number, "another log"))
        elif fields["seq"] > last["seq"] + 1:
            self.gaps.append((last["seq"] + 1, fields["seq"] - 1))
            self.breaks.append((number, "missing"))
        elif fields["seq"] != last["seq"] + 1:
            self.breaks.append((number, "out of order"))
        elif fields["prev"] != hashlib.sha256(line).hexdigest():
            self.breaks.append((earlier, "changed"))

    def look_at_seal(self, number: int, line: bytes, fields: dict[str, Any]) -> None:
        is_sealed = re.search(rb',"seal":"[^\n]{64}"}\Z', line, re.DOTALL) is not None
        checked = self.with_key and fields["log_id"] == LOG and fields["seq"] >= SEALED_FROM
        if checked and is_sealed:
            if line[-66:-2] != (mac(line[:-75], fields["seq"]) if fields["seq"] in KEYS else b""):
                self.breaks.append((number, "false seal"))
        elif not is_sealed and (checked or self.sealed):
            self.breaks.append((number, "not sealed"))
        if is_sealed:
            self.sealed.append(fields["seq"])


def proved(lines: list[bytes], chooser: random.Random, *, with_key: bool) -> Report:
    """What the program says, in stretches that are cut at random."""
    made = Verification([ExpectedHead(5, "0" * 64)] if chooser.random() < 0.2 else [])
    keys = Keys([SealKey(LOG, SEALED_FROM, KEY)]) if with_key else None
    made.begin("log")
    places = sorted(chooser.choices(range(len(lines) + 1), k=chooser.choice((0, 0, 1, 4))))
    for start, end in zip([0, *places], [*places, len(lines)], strict=True):
        made.add(examine(lines[start:end], made.watched, keys).stretch)
    return made.finish()


@pytest.mark.usefixtures("untraced")
@pytest.mark.parametrize("seed", range(8))
def test_the_fast_way_and_the_plain_way_agree(seed: int) -> None:
    """Counts, gaps, the first break and its kind, the head: the same for every damage, in whatever stretches."""
    chooser = random.Random(seed)
    for _ in range(100):
        lines = log(chooser.choice((3, 12, 40, 40)), sealed=chooser.random() < 0.5)
        for _ in range(chooser.choice((0, 1, 1, 2, 4))):
            if lines:
                chooser.choice(DAMAGE)(lines, chooser.randrange(len(lines)), chooser)
        lines = [piece for line in lines for piece in line.split(b"\n")]
        plain = Plain(with_key=chooser.random() < 0.5)
        for number, line in enumerate(lines, 1):
            plain.take(number, line)
        report = proved(lines, chooser, with_key=plain.with_key)
        expected = [] if not report.expected or report.expected[0].met is not False else _unmet(plain, len(lines))
        told = sorted(plain.breaks + expected, key=lambda found: found[0])
        assert report.covered == len(plain.records)
        assert report.uncovered == len(lines) - len(plain.records)
        assert report.breaks == len(told)
        assert [(gap.first, gap.last) for gap in report.gaps if gap.before][:100] == plain.gaps[:100]
        assert report.sealed == len(plain.sealed)
        assert report.sealed_from == next(iter(plain.sealed), None)
        found = report.first_break
        assert (found is None) == (not told)
        if found is not None:
            assert (found.line, found.fault.value) in [one for one in told if one[0] == told[0][0]]
        last = plain.records[-1] if plain.records else None
        assert (report.head and report.head.hash) == (last and hashlib.sha256(last[1]).hexdigest())


def _unmet(plain: Plain, lines: int) -> list[tuple[int, str]]:
    """Where a head of record 5 that is wrong is told: there, at the one after it, or behind the end."""
    for seq in (5, 6):
        for number, _, fields in plain.records:
            if fields["seq"] == seq:
                return [(number, "changed")]
    if not plain.records or plain.records[-1][2]["seq"] < 5:
        return [(lines + 1, "cut off")]
    return []
