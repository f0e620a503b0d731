"""An export that was tampered with is found out, and what proves what is said as it is."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from molecule_approve.audit.chain import Link, link_of
from molecule_approve.audit.export.build import build
from molecule_approve.audit.export.check import FAULTS_KEPT, ExportReport, check
from molecule_approve.audit.record import encode
from molecule_approve.audit.report.story import StoryRecord
from molecule_approve.audit.seal import SealKey
from tests.audit.records import LOG, begun, gathered, lines, record

KEY = SealKey(LOG, 1, b"k" * 32)
OTHER_KEY = SealKey(LOG, 1, b"x" * 32)
ZEROS = "0" * 64

Document = dict[str, Any]


def the_log(*, key: SealKey | None = None, sealed_from: int = 1) -> list[bytes]:
    """Eight records; 3, 4 and 6 are the request's."""
    return lines(
        begun("other-1"),
        begun("other-2"),
        begun(),
        record("requested", approval_id="a"),
        record("denied", "other-1"),
        record("granted", approval_id="a", actor="alice"),
        begun("other-3"),
        begun("other-4"),
        key=key,
        sealed_from=sealed_from,
    )


def document(log: list[bytes], *, complete: bool = False) -> Document:
    entries, head = gathered(log)
    assert head is not None
    first = entries[0].link
    assert first is not None
    return build(entries, head, exported_at="now", remembered=head, chain=log[first.seq - 1 :] if complete else None)


def link(log: list[bytes], seq: int) -> Link:
    found = link_of(log[seq - 1])
    assert found is not None
    return found


def checked(found: Document, keys: Sequence[SealKey] = (), expected: Sequence[tuple[int, str]] = ()) -> ExportReport:
    return check(json.dumps(found).encode(), keys, expected)


def test_a_start_that_does_not_fit_is_a_warning() -> None:
    """The export is whole all the same; that nothing was granted before is known only where every line is there."""
    start = record("started", action="execute", approval_id="a", digest="0" * 64)
    for rows, odd in (
        ((begun(), record("granted", approval_id="a"), start, start), 2),
        ((begun(), start), 1),
    ):
        report = checked(document(lines(*rows), complete=True))
        assert (report.whole, report.executions.odd) == (True, odd)
        assert [text for text in report.said if text.startswith("warning: ")] == [
            f"warning: {one}" for one in report.executions.first_odd
        ]
    report = checked(document(lines(begun(), start)))
    assert (report.whole, report.executions.odd) == (True, 0)


# --- what a good one proves ----------------------------------------------------------------------------------------------


def test_a_good_export_is_whole_and_proves_nothing_by_itself() -> None:
    """It says so, and with what to compare it."""
    log = the_log()
    report = checked(document(log))
    assert report.whole
    assert (report.log_id, report.trace_id, report.records) == (LOG, "trace-1", (3, 4, 6))
    assert report.outcomes == ("initiated", "requested", "granted")
    assert report.head == link(log, 8).head[1:]
    said = "\n".join(report.said)
    assert report.said[0] == f"whole: records 3, 4, 6 of log {LOG}, request trace-1"
    assert "outcomes: 3 initiated, 4 requested, 6 granted" in said
    assert "not proved: records 3, 4, 6; the hashes prove only that the records fit together" in said
    assert "could have invented all of it" in said
    assert f"3:{link(log, 3).hash}" in said
    assert "not proved: that these are all records" in said


def test_a_complete_export_is_proved_by_a_later_head() -> None:
    """The lines lead from each record to it."""
    log = the_log()
    report = checked(document(log, complete=True), expected=[(7, link(log, 7).hash)])
    assert report.whole
    assert report.expected[0].proves == (3, 4, 6)
    assert report.expected[0].met
    said = "\n".join(report.said)
    assert "proved by the expected hash of record 7: records 3, 4, 6 of the log, unchanged" in said
    assert "not proved" not in said
    assert "made all of it up" not in said
    assert "not shown" not in said
    assert "any head from record 6 to 8" in "\n".join(checked(document(log, complete=True)).said)


def test_the_records_own_hash_proves_it_and_what_leads_to_it() -> None:
    """Record 4 proves 3 and 4; 6 stands behind a line that is not here."""
    log = the_log()
    report = checked(document(log), expected=[(4, link(log, 4).hash)])
    assert report.whole
    assert report.expected[0].proves == (3, 4)
    assert "not proved: record 6; the hashes prove only" in "\n".join(report.said)
    assert checked(document(log), expected=[(6, link(log, 6).hash)]).expected[0].proves == (6,)


def test_a_seals_key_proves_each_record() -> None:
    """Without the key nothing is said of the seals; with a later key only of what came after it."""
    log = the_log(key=KEY, sealed_from=4)
    found = document(log)
    assert found["seal"] == {"from": 4}
    without = checked(found)
    assert (without.whole, without.sealed, without.seal_checked) == (True, (4, 6), ())
    assert "pass --seal-key-file to check the seals" in "\n".join(without.said)
    later = KEY.at(4)
    with_key = checked(found, [later])
    assert (with_key.whole, with_key.seal_checked) == (True, (4, 6))
    assert "proved by the seal's key: records 4, 6" in "\n".join(with_key.said)
    assert "not proved: record 3;" in "\n".join(with_key.said)
    assert checked(document(log, complete=True), [later]).seal_checked == (4, 6)
    assert checked(found, [later, KEY.at(6)]).seal_checked == (4, 6)
    assert checked(found, [KEY.at(6)]).seal_checked == (6,)
    assert checked(found, [KEY.at(7)]).seal_checked == ()


def test_a_record_without_a_seal_after_a_sealed_one_is_a_fault_without_the_key_too() -> None:
    """Whoever goes on by himself has no key to seal with."""
    log = the_log(key=KEY)[:5]
    forged = json.loads(the_log()[5]) | {"prev": hashlib.sha256(log[4]).hexdigest()}
    report = checked(document([*log, json.dumps(forged).encode()]))
    assert report.faults == ("record 6 has no seal",)


# --- what it must not be taken for ---------------------------------------------------------------------------------------


def test_a_head_that_is_only_named_proves_nothing() -> None:
    """Whoever makes an export up can copy a head that everybody knows: lines have to lead to it."""
    log = the_log()
    for seq in (2, 5, 7, 8):
        report = checked(document(log), expected=[(seq, link(log, seq).hash)])
        assert not report.whole
        assert not report.expected[0].met
        assert report.faults == (f"the expected record {seq} is named, but no lines lead to it (export with --complete)",)
    assert checked(document(log), expected=[(1, link(log, 1).hash)]).faults == ("the expected record 1 is missing",)


def test_an_expected_head_that_differs_is_a_fault() -> None:
    """The record's, and one that is only named."""
    log = the_log()
    for seq in (4, 8):
        report = checked(document(log), expected=[(seq, ZEROS)])
        assert (report.whole, report.expected[0].met) == (False, False)
    assert "expected SHA-256 000" in checked(document(log), expected=[(4, ZEROS)]).faults[0]


def test_a_made_up_export_fits_together_and_meets_no_head() -> None:
    """Someone rewrites the grant and everything after it: only what is known from elsewhere shows it."""
    log = the_log()
    forged = lines(
        *(begun(name) for name in ("other-1", "other-2")), begun(), record("requested", approval_id="a"),
        record("denied", "other-1"), record("granted", approval_id="a", actor="mallory"), begun("x"), begun("y"),
    )  # fmt: skip
    assert checked(document(forged, complete=True)).whole
    assert not checked(document(forged, complete=True), expected=[(8, link(log, 8).hash)]).whole
    assert not checked(document(forged), [KEY]).whole


# --- every field, tampered with ------------------------------------------------------------------------------------------

Change = Callable[[Document], object]


def set_line(found: Document, at: int, old: str, new: str) -> None:
    """Change a line and give the hash that it has now."""
    one = found["records"][at]
    one["line"] = one["line"].replace(old, new)
    one["hash"] = hashlib.sha256(one["line"].encode()).hexdigest()


def set_line_and_next(found: Document, at: int, old: str, new: str) -> None:
    """The same, and what the record after it is said to follow."""
    set_line(found, at, old, new)
    found["records"][at]["after"]["prev"] = found["records"][at]["hash"]


TAMPERED: dict[str, Change] = {
    "log_id": lambda found: found.update(log_id="another"),
    "trace_id": lambda found: found.update(trace_id="trace-2"),
    "seq": lambda found: found["records"][1].update(seq=5),
    "line": lambda found: found["records"][2].update(line=found["records"][2]["line"].replace("alice", "malice")),
    "line and hash": lambda found: set_line(found, 2, "alice", "malice"),
    "line, hash and what follows it": lambda found: set_line_and_next(found, 0, "deploy", "destroy"),
    "line's number": lambda found: set_line(found, 2, '"seq":6', '"seq":9'),
    "line's log": lambda found: set_line(found, 2, LOG, "another"),
    "line's trace": lambda found: set_line(found, 2, "trace-1", "trace-9"),
    "line's start": lambda found: set_line(found, 2, '"prev":"', '"prev":"0'),
    "no line": lambda found: found["records"][2].update(line="7"),
    "a second line in the line": lambda found: set_line(found, 2, ",", ",\n"),
    "hash": lambda found: found["records"][0].update(hash=ZEROS),
    "before.seq": lambda found: found["records"][0]["before"].update(seq=1),
    "before.hash": lambda found: found["records"][0]["before"].update(hash=ZEROS),
    "after gone": lambda found: found["records"][0].update(after=None),
    "after.seq": lambda found: found["records"][2]["after"].update(seq=8),
    "after.hash": lambda found: found["records"][0]["after"].update(hash=ZEROS),
    "after.prev": lambda found: found["records"][2]["after"].update(prev=ZEROS),
    "order": lambda found: found["records"].reverse(),
    "duplicate key": lambda found: found["records"].append(copy.deepcopy(found["records"][2])),
    "head.seq before the records": lambda found: found["head"].update(seq=5),
    "head.seq": lambda found: found["head"].update(seq=6),
    "head.hash": lambda found: found["head"].update(hash=ZEROS),
    "remembered.log_id": lambda found: found["remembered"].update(log_id="another"),
    "remembered.seq": lambda found: found["remembered"].update(seq=9),
    "remembered.hash": lambda found: found["remembered"].update(hash=ZEROS),
    "audit_heads gone": lambda found: found.update(audit_heads=[]),
    "audit_heads.seq": lambda found: found["audit_heads"][0].update(seq=4),
    "audit_heads.hash": lambda found: found["audit_heads"][0].update(hash=ZEROS),
}

TAMPERED_CHAIN: dict[str, Change] = {
    "the first record gone": lambda found: found["records"].pop(0),
    "a record in the middle gone": lambda found: found["records"].pop(1),
    "the last record gone": lambda found: found["records"].pop(),
    "the chain's beginning": lambda found: found["chain"].pop(0),
    "the chain's middle": lambda found: found["chain"].pop(2),
    "the chain's end": lambda found: found["chain"].pop(),
    "the chain's order": lambda found: found["chain"].reverse(),
    "a line of the chain": lambda found: found["chain"].__setitem__(2, found["chain"][2].replace("deploy", "destroy")),
    "a record's line in the chain": lambda found: found["chain"].__setitem__(0, found["chain"][0].replace("deploy", "x")),
    "no line in the chain": lambda found: found["chain"].__setitem__(2, "x"),
    "no chain": lambda found: found.update(chain=[]),
}

TAMPERED_SEAL: dict[str, Change] = {
    "seal gone": lambda found: found.pop("seal"),
    "seal.from": lambda found: found["seal"].update({"from": 4}),
    "a seal taken off": lambda found: set_line(found, 1, found["records"][1]["line"][-76:], "}"),
}


@pytest.mark.parametrize("name", TAMPERED)
def test_what_was_tampered_with_is_found(name: str) -> None:
    """Each field that matters, changed alone; with the chain as well as without it."""
    for complete in (False, True):
        found = document(the_log(), complete=complete)
        before = copy.deepcopy(found)
        TAMPERED[name](found)
        assert found != before
        report = checked(found)
        assert not report.whole
        assert report.said[0].startswith(f"not whole, at {report.fault_count} place")
        assert report.said[-1] == "a damaged export proves nothing: ask for a new one"


@pytest.mark.parametrize("name", TAMPERED_CHAIN)
def test_a_chain_that_was_tampered_with_is_found(name: str) -> None:
    """It holds every line from the first record to the head, and the request's records are all told."""
    found = document(the_log(), complete=True)
    TAMPERED_CHAIN[name](found)
    assert not checked(found).whole


@pytest.mark.parametrize("name", TAMPERED_SEAL)
def test_seals_that_were_tampered_with_are_found(name: str) -> None:
    """Also without the key: what is sealed stays sealed."""
    found = document(the_log(key=KEY))
    assert checked(found, [KEY]).whole
    TAMPERED_SEAL[name](found)
    assert not checked(found).whole


def test_what_nobody_can_know_is_not_claimed_to_be_found() -> None:
    """The time of the export is a note; a whole record that is left out, with nothing that leads to it, is not missed."""
    found = document(the_log())
    found["exported_at"] = "long ago"
    found["records"].pop()
    assert checked(found).whole
    assert "not proved: that these are all records of the request" in "\n".join(checked(found).said)


def test_the_first_record_of_a_log_follows_nothing() -> None:
    """Its `prev` is zeros, and nothing stands before it."""
    log = lines(begun(), record("requested"))
    assert checked(document(log)).whole
    found = document(log)
    found["records"].pop()
    set_line(found, 0, ZEROS, "1" * 64)
    found["records"][0]["after"]["prev"] = found["audit_heads"][0]["hash"] = found["records"][0]["hash"]
    assert "record 1 names a record before it" in checked(found).faults


def test_seals_that_do_not_hold_are_found() -> None:
    """Another key, a key of another log, a record without a seal after the key's, a number that no log reaches."""
    found = document(the_log(key=KEY, sealed_from=4))
    assert checked(found, [OTHER_KEY.at(4)]).faults == (
        "record 4: its seal is wrong",
        "record 6: its seal is wrong",
    )
    assert checked(found, [SealKey("another", 1, b"k" * 32)]).faults == ("the given seal keys belong to another log",)
    assert checked(found, [KEY]).faults == ("record 3 has no seal",)


def test_a_made_up_number_costs_no_hours() -> None:
    """A key is not stepped on without end: a seal that far away does not hold."""
    key = KEY.at(8)
    far = encode(begun(), log_id=LOG, seq=10**14, prev=ZEROS, key=key.key)
    place = link_of(far)
    assert place is not None
    found = build([StoryRecord(far, place, {})], place.head, exported_at="now", remembered=None)
    found["trace_id"] = "trace-1"
    found["audit_heads"] = [{"seq": place.seq, "hash": place.hash}]
    assert checked(found).whole
    assert checked(found, [key]).faults == (f"record {10**14}: its seal is wrong",)


def test_many_faults_are_counted_and_the_first_are_told() -> None:
    """A document of nothing but faults does not fill the screen."""
    log = lines(begun(), *(record("requested", number=number) for number in range(40)))
    found = document(log)
    for one in found["records"]:
        one["hash"] = ZEROS
    report = checked(found)
    assert report.fault_count > FAULTS_KEPT
    assert len(report.faults) == FAULTS_KEPT
    assert ", …" in report.said[0]


@pytest.mark.parametrize("data", [b"", b"[", b"{}", b'{"format":"molecule-approve/audit-export","version":9}'])
def test_what_is_no_export_is_not_whole(data: bytes) -> None:
    """Said in one sentence, without a traceback."""
    report = check(data, [KEY], [(1, ZEROS)])
    assert (report.whole, report.fault_count, report.records) == (False, 1, ())
    assert report.said == (f"not whole: {report.faults[0]}",)


def test_lines_that_are_odd_records_are_told_not_tripped_over() -> None:
    """A line whose JSON is no object, or has no trace, is a fault."""
    found = document(the_log())
    for line in ("[]", '{"prev":7}', "\ud800", '{"prev"' * 10_000):
        one = copy.deepcopy(found)
        one["records"][0]["line"] = line
        assert "record 3: its line is not a chained record" in checked(one).faults
