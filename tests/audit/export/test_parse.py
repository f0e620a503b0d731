"""A document that claims to be an export may be anything: its form is checked before anything in it is believed."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from molecule_approve.audit.chain import link_of
from molecule_approve.audit.export.build import build
from molecule_approve.audit.export.parse import LARGEST, NotAnExportError, RecordHash, read
from tests.audit.records import LOG, begun, gathered, lines, record

Change = Callable[[dict[str, Any]], object]


def document() -> dict[str, Any]:
    log = lines(begun("other"), begun(), begun("last"), record("requested"), begun("more"))
    entries, head = gathered(log)
    assert head is not None
    return {**build(entries, head, exported_at="now", remembered=head, chain=log[1:]), "seal": {"from": 2}}


def test_a_good_document_is_read() -> None:
    """Everything in it, typed."""
    found = document()
    claim = read(json.dumps(found).encode())
    assert (claim.log_id, claim.trace_id, claim.exported_at, claim.sealed_from) == (LOG, "trace-1", "now", 2)
    assert [record.seq for record in claim.records] == [2, 4]
    assert claim.records[0].before == RecordHash(1, found["records"][0]["before"]["hash"])
    assert claim.records[1].after is not None
    assert claim.records[1].after.prev == claim.records[1].hash
    assert claim.remembered is not None
    assert claim.remembered.mark == claim.head
    assert claim.chain is not None
    assert [link_of(line) is not None for line in claim.chain] == [True] * 4


def test_what_may_be_missing_may_be_missing() -> None:
    """No memory beside the log, no seal, no chain, no neighbour."""
    found = document()
    del found["seal"], found["chain"]
    found["remembered"] = found["records"][0]["before"] = found["records"][0]["after"] = None
    claim = read(json.dumps(found).encode())
    assert (claim.remembered, claim.sealed_from, claim.chain) == (None, None, None)
    assert (claim.records[0].before, claim.records[0].after) == (None, None)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "not valid JSON"),
        (b"\xff", "not valid JSON"),
        (b"{", "not valid JSON"),
        (b"[" * 200_000, "not valid JSON"),
        (b'{"a":' * 200_000, "not valid JSON"),
        (b'{"version":' + b"9" * 10_000 + b"}", "not valid JSON"),
        (b"[]", "not an export"),
        (b"7", "not an export"),
        (b"{}", "not an export"),
        (b'{"format":["molecule-approve/audit-export"]}', "not an export"),
        (b'{"format":"molecule-approve/audit-export"}', "not supported"),
        (b'{"format":"molecule-approve/audit-export","version":2}', "not supported"),
        (b'{"format":"molecule-approve/audit-export","version":true}', "not supported"),
        (b'{"format":"molecule-approve/audit-export","version":1.0}', "not supported"),
        (b'{"format":"molecule-approve/audit-export","version":1}', "a field is missing"),
        (b'{"format":"x","format":"molecule-approve/audit-export"}', "duplicate key"),
        (b'{"records":[{"seq":1,"seq":2}]}', "duplicate key"),
        (b'{"a":NaN}', "number"),
        (b'{"a":-Infinity}', "number"),
        (b" " * (LARGEST + 1), "larger"),
    ],
    ids=lambda value: repr(value[:20]),
)
def test_what_is_no_export_is_said_in_one_sentence(data: bytes, why: str) -> None:
    """Whatever it is: broken, deep, large, doubled, or something else altogether."""
    with pytest.raises(NotAnExportError, match=why) as caught:
        read(data)
    assert len(str(caught.value)) < 120


@pytest.mark.parametrize(
    "change",
    [
        lambda found: found.update(records={}),
        lambda found: found.update(records=[]),
        lambda found: found.update(records=[7]),
        lambda found: found.update(log_id=7),
        lambda found: found.update(trace_id=None),
        lambda found: found.update(exported_at=[]),
        lambda found: found.update(head=None),
        lambda found: found.update(head={"seq": 5}),
        lambda found: found.update(remembered={"seq": 5, "hash": "0" * 64}),
        lambda found: found.update(audit_heads=None),
        lambda found: found.update(audit_heads=[{"seq": 1}]),
        lambda found: found.update(chain="x"),
        lambda found: found.update(chain=[7]),
        lambda found: found.update(seal=7),
        lambda found: found.update(seal={"from": 0}),
        lambda found: found.update(note="approved by the board"),
        lambda found: found["head"].update(note="x"),
        lambda found: found["head"].update(seq=10**15 + 1),
        lambda found: found["head"].update(seq=True),
        lambda found: found["head"].update(seq=5.0),
        lambda found: found["head"].update(hash="A" * 64),
        lambda found: found["head"].update(hash="0" * 65),
        lambda found: found["head"].update(hash=0),
        lambda found: found["records"][0].update(line=None),
        lambda found: found["records"][0].update(note="x"),
        lambda found: found["records"][0].pop("after"),
        lambda found: found["records"][0].update(before=[]),
        lambda found: found["records"][0]["after"].pop("prev"),
    ],
)
def test_a_form_that_is_not_the_versions_is_refused(change: Change) -> None:
    """A wrong type, a missing field, a number that is none, and a field that nobody would check."""
    found = document()
    change(found)
    with pytest.raises(NotAnExportError):
        read(json.dumps(found).encode())
