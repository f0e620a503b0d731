"""What an export holds: one request's records, what stands beside them, and on demand all that leads to the head."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from molecule_approve.audit.chain import Head, Link, link_of
from molecule_approve.audit.export.build import build, stretch
from molecule_approve.audit.export.check import check
from molecule_approve.audit.journal import Journal
from molecule_approve.audit.seal import SealKey
from molecule_approve.errors import AuditError
from tests.audit.records import LOG, begun, foreign, gathered, head, lines, record

KEY = SealKey(LOG, 1, b"k" * 32)


def links(log: list[bytes]) -> list[Link]:
    return [link for line in log if (link := link_of(line)) is not None]


def built(log: list[bytes], *, complete: bool = False, remembered: Head | None = None) -> dict[str, Any]:
    entries, tip = gathered(log)
    assert tip is not None
    first = next((entry.link for entry in entries if entry.link is not None), None)
    chain = stretch(log[::-1], first, tip) if complete and first is not None else None
    return build(entries, tip, exported_at="now", remembered=remembered, chain=chain)


def test_a_document_holds_the_records_and_their_neighbours() -> None:
    """Every field of the form, and nothing else."""
    log = lines(begun("other"), begun(), record("requested", approval_id="a"), begun("last"))
    first, second, third, fourth = links(log)
    assert built(log, remembered=third.head) == {
        "format": "molecule-approve/audit-export",
        "version": 1,
        "log_id": LOG,
        "trace_id": "trace-1",
        "exported_at": "now",
        "records": [
            {
                "seq": 2,
                "line": log[1].decode(),
                "hash": second.hash,
                "before": {"seq": 1, "hash": first.hash},
                "after": {"seq": 3, "hash": third.hash, "prev": second.hash},
            },
            {
                "seq": 3,
                "line": log[2].decode(),
                "hash": third.hash,
                "before": {"seq": 2, "hash": second.hash},
                "after": {"seq": 4, "hash": fourth.hash, "prev": third.hash},
            },
        ],
        "head": {"seq": 4, "hash": fourth.hash},
        "remembered": {"log_id": LOG, "seq": 3, "hash": third.hash},
        "audit_heads": [{"seq": 2, "hash": second.hash}],
    }


def test_what_is_at_the_ends_has_no_neighbour() -> None:
    """The first and the last record of a log say so."""
    only = built(lines(begun()))["records"][0]
    assert (only["before"], only["after"]) == (None, None)


def test_the_first_sealed_record_is_named() -> None:
    """So that a seal that was taken away is missed."""
    log = lines(begun("other"), begun(), record("requested"), key=KEY, sealed_from=3)
    assert built(log)["seal"] == {"from": 3}
    assert "seal" not in built(log[:2])


def test_a_complete_document_leads_to_the_head() -> None:
    """All chained lines from the first record on, each once, and none that came after the head was looked at."""
    log = lines(begun("other"), begun(), begun("last"), record("requested"), begun("more"))
    assert built(log, complete=True)["chain"] == [line.decode() for line in log[1:]]
    later = [*log[:2], foreign(note='"prev"'), b"torn", log[2], log[2], *log[3:]]
    first, tip = links(log)[1], links(log)[3].head
    assert stretch(later[::-1], first, tip) == log[1:4]
    assert stretch(later[::-1], first, Head(LOG, 9, tip.hash)) == []


def test_lines_that_nothing_vouches_for_cannot_be_exported() -> None:
    """Nor can records of a log that was here before this one."""
    log = lines(begun(), record("requested"))
    forged = foreign(trace_id="trace-1", outcome="granted")
    assert [one["seq"] for one in built([log[0], forged, log[1]])["records"]] == [1, 2]
    entries = gathered([forged]).entries
    with pytest.raises(AuditError, match="this request has no chained records"):
        build(entries, head(log), exported_at="now", remembered=None)
    earlier = lines(begun(), log_id="00000000-0000-4000-8000-000000000000")
    with pytest.raises(AuditError, match="cannot export"):
        build(gathered(earlier).entries, head(log), exported_at="now", remembered=None)


def test_a_stretch_that_no_document_can_hold_is_refused() -> None:
    """Before it fills the memory."""
    log = lines(begun(), *(begun(f"new-{number}") for number in range(20)))
    size = sum(map(len, log))
    assert stretch(log[::-1], links(log)[0], head(log), size) == log
    with pytest.raises(AuditError, match="too large") as caught:
        stretch(log[::-1], links(log)[0], head(log), size - 1)
    assert "--complete" in caught.value.hint


def test_what_other_programs_chained_survives_the_way_into_a_document() -> None:
    """A line may hold any characters, half of a pair among them: its bytes come back as they were."""
    ours = lines(begun())[0]
    for text in ("日本".encode(), b"\xed\xa0\x80", b"\x7f"):
        line = ours.replace(b"deploy", text)
        assert link_of(line) is not None
        document = built([line])
        assert check(json.dumps(document).encode()).whole


def test_a_real_journals_records_are_exported_whole(tmp_path: Path) -> None:
    """What the journal writes is what the document is checked against, with and without the chain."""
    journal = Journal(tmp_path / "audit.jsonl")
    for one in (begun("other"), begun(), record("requested", approval_id="a"), begun("last"), record("granted")):
        journal.append(one, patience=0)
    log = journal.path.read_bytes().splitlines()
    for complete in (False, True):
        report = check(json.dumps(built(log, complete=complete)).encode())
        assert (report.whole, report.records, report.complete) == (True, (2, 3, 5), complete)
