"""The words of a proof."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from molecule_approve.audit.chain import START, Head, examine
from molecule_approve.audit.read.archives import Unreadable
from molecule_approve.audit.record import Record, encode
from molecule_approve.audit.report.executions import NO_EXECUTIONS, ExecutionCount, OddStart, StartFault
from molecule_approve.audit.report.open_requests import OpenCount, OpenRequest
from molecule_approve.audit.verify.report import ExpectedHead, Source, Verification
from molecule_approve.audit.verify.run import VerifyResult
from molecule_approve.cli.audit.verify_view import result_json, result_lines

LOG = "7d444840-9dc0-11d1-b245-5ffdce74fad2"


def line(seq: int = 1, prev: str = START) -> bytes:
    """A chained line with its newline."""
    record = Record("2026-04-27T10:00:00.123456Z", "approval", "ws", "ws", "approve", "deploy", "granted", "0123456789")
    return encode(record, log_id=LOG, seq=seq, prev=prev) + b"\n"


def proved(*files: list[bytes], head: Head | None = None, source: Source = Source.REMEMBERED) -> VerifyResult:
    """What a log in these files comes to."""
    made = Verification([] if head is None else [ExpectedHead(head.seq, head.hash, head.log_id, source)])
    for number, lines in enumerate(files):
        made.begin(f"log.{number}")
        text = b"".join(lines).split(b"\n")
        unfinished = text[-1] != b""
        made.add(examine(text if unfinished else text[:-1], made.watched, unfinished=unfinished).stretch)
    return VerifyResult(made.finish(), frozenset(), (), None, OpenCount(0, ()), OpenCount(0, ()), NO_EXECUTIONS)


def name(first: int, last: int) -> str:
    return f"log.{first}-{last}"


def test_a_whole_log_is_said_in_two_lines() -> None:
    """How many records, which, what else is in the file, and the head that can be kept elsewhere."""
    whole = proved([line(), b"other\n"])
    assert whole.report.head is not None
    assert result_lines(whole, name) == [
        "whole: 1 record, 1 to 1, 1 unchained line (written by other tools)",
        f"head: {LOG} 1:{whole.report.head.hash}",
    ]
    assert result_lines(proved([]), name) == ["whole: no records yet"]


def test_a_log_that_is_not_whole_names_the_first_place_and_the_gaps() -> None:
    """The verdict stands first; then the first bad line with what was expected and found, then what is missing."""
    said = result_lines(proved([line(), line()], head=Head(LOG, 4, "0" * 64)), name)
    assert said[:2] == [
        "not whole, at 2 places: 2 records",
        "first damage: log.0, line 2: out of order: expected record 2, found record 1",
    ]
    assert said[2] == "missing: records 2 to 4"
    assert said[3] == f"head not found: 4:{'0' * 64} (remembered)"
    cut = result_lines(proved([line(), line()[:-1]], head=Head(LOG, 2, "0" * 64)), name)
    assert cut[0].startswith("not whole, at 1 place: 1 record, 1 unchained line")
    assert cut[2:4] == ["missing: record 2", "the last line is unfinished (not an error): the next record closes it"]
    assert result_lines(proved(head=Head("x", 1, "0" * 64)), name)[1].startswith("first damage: line 1: cut off")


def test_missing_archives_are_named_and_what_to_say_about_them() -> None:
    """Between two files, and before the oldest one, where they may have been removed on purpose."""
    said = result_lines(proved([line(5)], [line(9)]), name)
    assert said[2:6] == [
        "missing archive: records 1 to 4, before log.0; as one archive its name would be log.1-4",
        "if you removed them on purpose, pass --from 5",
        "missing archive: records 6 to 8, between log.0 and log.1; as one archive its name would be log.6-8",
        "in 2 files: log.0, log.1",
    ]


def test_what_is_no_damage_is_told_as_such() -> None:
    """A doubled record, open requests (the first ten of them), and heads that were met."""
    same = line()
    found = proved([same], [same], head=Head(LOG, 1, examine([same[:-1]]).stretch.opening[0].link.hash), source=Source.GIVEN)
    many = found._replace(open=OpenCount(12, tuple(OpenRequest(f"trace-{seq}", seq) for seq in range(1, 13))))
    said = result_lines(many, name)
    assert said[0] == "whole: 1 record, 1 to 1"
    assert "1 record in two files where they meet (not an error)" in said
    assert "heads found that are known from elsewhere: 1" in said
    assert said[-2].startswith("still open (not an error): 12 requests: trace-1 (record 1), ")
    assert said[-2].endswith("trace-10 (record 10), …")
    one, left = OpenCount(1, (OpenRequest("t\x1b", 1),)), OpenCount(1, (OpenRequest("left", 2),))
    assert result_lines(found._replace(open=one), name)[-2].endswith("1 request: t\\x1b (record 1)")
    both = found._replace(open=one, not_awaited=left)
    said = result_lines(both, name)[-3:-1]
    assert [text.partition(":")[0] for text in said] == ["still open (not an error)", "not awaited (not an error)"]
    told: Any = result_json(both)
    assert told["open_requests"] == {"count": 1, "traces": [{"trace_id": "t\x1b", "seq": 1}]}
    assert told["not_awaited_requests"] == {"count": 1, "traces": [{"trace_id": "left", "seq": 2}]}


def test_an_archive_that_cannot_be_read_is_no_proof() -> None:
    """Everything else may be in order: it is not whole, as far as it can be checked."""
    found = proved([line()])._replace(unreadable=(Unreadable(Path("log.2.gz"), "cannot be unpacked\x1b"),))
    assert not found.whole
    assert result_lines(found, name)[:2] == [
        "not whole, because some archives cannot be read: 1 record",
        "cannot be checked: cannot be unpacked\\x1b",
    ]
    assert result_json(found)["unreadable"] == [{"name": "log.2.gz", "reason": "cannot be unpacked\x1b"}]


def test_seals_are_told_with_what_was_checked() -> None:
    """Without a key they are not checked; with one, from its record on; and a log without seals says so."""
    plain = proved([line()])
    sealed = plain._replace(report=plain.report._replace(sealed=3, sealed_from=7))
    assert "sealed: 3 records, from 7 on; seals not checked: pass --seal-key-file to check them" in result_lines(
        sealed, name
    )
    assert "sealed: 3 records, from 7 on; seals checked from record 9 on" in result_lines(
        sealed._replace(checked_from=9), name
    )
    assert "no records are sealed" in result_lines(plain._replace(checked_from=9), name)


def test_one_file_by_itself_says_what_it_does_not_prove() -> None:
    """What came before its first record and after its last one is not in it."""
    assert result_lines(proved([line()]))[1].startswith("only this file was verified, not what comes before record 1")


def test_json_has_everything() -> None:
    """One object, with the missing archives apart from the gaps inside files, and all of it can be written as JSON."""
    found = result_json(proved([line(5), line(9)], [line(12)], head=Head(LOG, 20, "0" * 64)))
    assert json.loads(json.dumps(found)) == found
    assert found["whole"] is False
    assert found["missing_archives"] == [
        {"first": 1, "last": 4, "after": None, "before": "log.0"},
        {"first": 10, "last": 11, "after": "log.0", "before": "log.1"},
    ]
    assert found["gaps"] == [
        {"first": 6, "last": 8, "after": "log.0", "before": "log.0"},
        {"first": 13, "last": 20, "after": "log.1", "before": None},
    ]
    assert found["first_break"] == {
        "file": "log.0",
        "line": 1,
        "fault": "missing",
        "expected": "record 1",
        "found": "record 5",
    }
    assert found["expected"] == [{"seq": 20, "hash": "0" * 64, "source": "remembered", "met": False}]
    assert found["files"] == [
        {"name": "log.0", "first": 5, "last": 9, "records": 2, "other_lines": 0, "compressed": False},
        {"name": "log.1", "first": 12, "last": 12, "records": 1, "other_lines": 0, "compressed": False},
    ]
    empty = result_json(proved())
    assert (empty["log_id"], empty["head"], empty["first_break"], empty["whole"]) == (None, None, None, True)


def test_a_start_that_does_not_fit_is_a_warning_and_no_damage() -> None:
    """Each of the first ten by its record, in its own sentence; the others are a number. JSON names the kind."""
    starts = [OddStart(fault, number, f"trace-{number}\x1b") for number, fault in enumerate(StartFault, 1)]
    found = proved([line()])._replace(executions=ExecutionCount(OpenCount(0, ()), 3, tuple(starts)))
    said = result_lines(found, name)
    assert said[0] == "whole: 1 record, 1 to 1"
    assert said[1:4] == [
        "warning: record 1 starts a command without a record of its approval before it (trace trace-1\\x1b)",
        "warning: record 2 starts a command a second time with the same approval (trace trace-2\\x1b)",
        "warning: record 3 starts a command with another digest than the approved one (trace trace-3\\x1b)",
    ]
    told: Any = result_json(found)
    assert told["odd_starts"]["count"] == 3
    assert [one["fault"] for one in told["odd_starts"]["records"]] == ["not_granted", "started_twice", "other_digest"]
    many = found._replace(executions=ExecutionCount(OpenCount(0, ()), 40, tuple(starts[:1] * 20)))
    shown = [text for text in result_lines(many, name) if text.startswith("warning")]
    assert (len(shown), shown[-1]) == (11, "warning: 30 such starts more")
