"""The words of a proof."""

from __future__ import annotations

from molecule_approve.audit.chain import START, Head, Report, verify
from molecule_approve.audit.record import Record, encode
from molecule_approve.cli.audit_proof import proof


def line() -> bytes:
    """A chained line with its newline."""
    record = Record("2026-04-27T10:00:00.123456Z", "approval", "ws", "ws", "approve", "deploy", "granted", "0123456789")
    return encode(record, log_id="7d444840-9dc0-11d1-b245-5ffdce74fad2", seq=1, prev=START) + b"\n"


def report(*lines: bytes, head: Head | None = None) -> Report:
    return verify(lines, head)


def test_a_whole_log_is_said_in_two_lines() -> None:
    """How many records, which, what else is in the file, and the head that can be kept elsewhere."""
    whole = report(line(), b"other\n")
    assert whole.head is not None
    assert proof(whole) == [
        "whole: 1 record, 1 to 1, 1 other line that nothing vouches for",
        f"head: 7d444840-9dc0-11d1-b245-5ffdce74fad2 1:{whole.head.hash}",
    ]
    assert proof(report()) == ["whole: no records yet"]


def test_a_log_that_is_not_whole_names_the_first_place_and_the_gaps() -> None:
    """The verdict stands first; then the first bad line with what was expected and found, then what is missing."""
    broken = report(line(), line(), head=Head("7d444840-9dc0-11d1-b245-5ffdce74fad2", 4, "0" * 64))
    said = proof(broken)
    assert said[:2] == [
        "not whole, at 2 places: 2 records",
        "the first is line 2: out of order: expected record 2, found record 1",
    ]
    assert said[2] == "missing: records 2 to 4"
    cut = proof(report(line(), line()[:-1], head=Head("7d444840-9dc0-11d1-b245-5ffdce74fad2", 2, "0" * 64)))
    assert cut[0].startswith("not whole, at 1 place: 1 record, 1 other line")
    assert cut[2:4] == ["missing: record 2", "the last line is not finished; the next record closes it"]
    assert proof(report(head=Head("x", 1, "0" * 64)))[1].startswith("the first is line 1: cut off")
