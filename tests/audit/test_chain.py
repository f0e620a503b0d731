"""The chain finds whatever was done to a log, and names the first place."""

from __future__ import annotations

import hashlib
import json
import random
from itertools import combinations

import pytest

from molecule_approve.audit.chain import GAPS_KEPT, LONGEST, START, Fault, Head, examine, link_of
from molecule_approve.audit.verify.report import ExpectedHead, Report, Source, Verification

LOG = "7d444840-9dc0-11d1-b245-5ffdce74fad2"
OTHER = "7d444840-9dc0-11d1-b245-5ffdce74fad3"


def chain(count: int, *, log_id: str = LOG, first: int = 1, prev: str = START) -> list[bytes]:
    """So many chained lines, made without the program's own encoder."""
    made = []
    for seq in range(first, first + count):
        fields = {"note": f"record {seq}", "log_id": log_id, "seq": seq, "prev": prev}
        line = json.dumps(fields, separators=(",", ":")).encode()
        prev = hashlib.sha256(line).hexdigest()
        made.append(line + b"\n")
    return made


def head_of(line: bytes) -> Head:
    fields = json.loads(line)
    return Head(fields["log_id"], fields["seq"], hashlib.sha256(line[:-1]).hexdigest())


def verify(lines: list[bytes], remembered: Head | None = None, *, cut: int | None = None) -> Report:
    """A log in one file, given line by line with the newlines that are there; in two stretches where it is cut."""
    known = (
        [] if remembered is None else [ExpectedHead(remembered.seq, remembered.hash, remembered.log_id, Source.REMEMBERED)]
    )
    verification = Verification(known)
    verification.begin("")
    text = b"".join(lines).split(b"\n")
    unfinished = text[-1] != b""
    text = text if unfinished else text[:-1]
    for part, end in ((text[:cut], False), (text[cut:], unfinished)) if cut else ((text, unfinished),):
        verification.add(examine(part, verification.watched, unfinished=end).stretch)
    return verification.finish()


def ranges(report: Report) -> tuple[tuple[int, int], ...]:
    """What is missing."""
    return tuple((gap.first, gap.last) for gap in report.gaps)


def first_line(report: Report) -> int:
    assert report.first_break is not None
    return report.first_break.line


LINES = chain(8)
HEAD = head_of(LINES[-1])


def test_a_whole_log_is_whole_with_and_without_a_remembered_head() -> None:
    """Records are counted from the first to the head; lines of other tools are counted apart and break nothing."""
    foreign = [b'{"event_type":"memory"}\n', b"not json\n", b"\n", b"\xff\n", b'{"prev"\n', b'["prev"]\n']
    report = verify([*foreign[:3], *LINES[:4], *foreign[3:], *LINES[4:]], HEAD)
    assert report.whole
    assert report._replace(expected=()) == verify([*foreign[:3], *LINES[:4], *foreign[3:], *LINES[4:]])
    assert (report.covered, report.uncovered, report.files[0].records) == (8, 6, 8)
    assert [one.met for one in report.expected] == [True]
    assert (report.first, report.head, report.breaks, report.first_break, report.gaps) == (1, HEAD, 0, None, ())


def test_no_lines_are_whole_until_a_head_is_remembered() -> None:
    """An empty log is whole; where a record is remembered, everything up to it is missing."""
    assert verify([]).whole
    report = verify([b"other\n"], HEAD)
    assert not report.whole
    assert ranges(report) == ((1, 8),)
    assert report.first_break is not None
    assert str(report.first_break) == "line 2: cut off: expected the records up to 8, found none after 0"


@pytest.mark.parametrize("at", range(8))
def test_any_edit_of_any_byte_is_found(at: int) -> None:
    """Whatever byte of whatever line is changed, the log is not whole, and the first break is at that line or the next.

    Where a line says what came before it and that is not so, one of the two was changed: the earlier one is named.
    """
    chooser = random.Random(at)
    line = LINES[at]
    for place in range(len(line) - 1):
        changed = bytearray(line)
        changed[place] = chooser.choice([byte for byte in b' "0aZ{}9' if byte != line[place]])
        report = verify([*LINES[:at], bytes(changed), *LINES[at + 1 :]], HEAD)
        assert not report.whole, bytes(changed)
        assert at <= first_line(report) <= at + 2, bytes(changed)


@pytest.mark.parametrize("at", range(8))
def test_lines_that_were_joined_or_split_are_found(at: int) -> None:
    """A newline taken away or put in makes other lines of the same bytes: found, at that line or the next."""
    line = LINES[at]
    for pieces in (
        [line[:-1] + (LINES[at + 1] if at < 7 else b"")],
        [line[:40] + b"\n", line[40:]],
        [b"\n", line[:-1] + b" \n"],
    ):
        rest = LINES[at + 2 :] if len(pieces) == 1 else LINES[at + 1 :]
        report = verify([*LINES[:at], *pieces, *rest], HEAD)
        assert not report.whole
        assert at <= first_line(report) <= at + 3


@pytest.mark.parametrize("at", range(8))
def test_any_deletion_is_found_and_the_gap_named(at: int) -> None:
    """A record that was taken out leaves a gap with its number; the line that took its place is named."""
    report = verify([*LINES[:at], *LINES[at + 1 :]], HEAD)
    assert not report.whole
    assert first_line(report) == at + 1
    assert ranges(report) == ((at + 1, at + 1),)


@pytest.mark.parametrize("at", range(9))
def test_any_insertion_is_found(at: int) -> None:
    """A doubled, a forged and another log's record are found where they stand, or at the line that no longer follows."""
    before = START if at == 0 else head_of(LINES[at - 1]).hash
    forged = chain(1, first=at + 1, prev=before)[0].replace(b"record", b"forged")
    for inserted in (LINES[min(at, 7)], LINES[0], forged, chain(1, log_id=OTHER, first=at + 1, prev=before)[0]):
        report = verify([*LINES[:at], inserted, *LINES[at:]], HEAD)
        if at == 8 and inserted is forged:
            # Appended by the rules: a chain without keys cannot know that, and does not claim to.
            assert report.whole
            continue
        assert not report.whole
        assert at + 1 <= first_line(report) <= at + 2


@pytest.mark.parametrize(("one", "two"), list(combinations(range(8), 2)))
def test_any_exchange_of_two_lines_is_found(one: int, two: int) -> None:
    """Reordering is found at the first of the two places."""
    lines = list(LINES)
    lines[one], lines[two] = lines[two], lines[one]
    report = verify(lines, HEAD)
    assert not report.whole
    assert first_line(report) == one + 1


@pytest.mark.parametrize("kept", range(8))
def test_a_cut_off_end_is_found_by_the_remembered_head(kept: int) -> None:
    """Without the remembered head a shorter log is a whole log; with it, what is missing is named."""
    assert verify(LINES[:kept]).whole
    report = verify(LINES[:kept], HEAD)
    assert not report.whole
    assert ranges(report) == ((kept + 1, 8),)
    assert first_line(report) == kept + 1
    assert report.first_break is not None
    assert report.first_break.fault is Fault.CUT


def test_a_rewritten_end_is_found_by_the_remembered_head() -> None:
    """A log rewritten from some record on holds by itself, and not against the head."""
    forged = [*LINES[:5], *chain(3, first=6, prev="0" * 64)]
    rewritten = [*LINES[:5], *(line.replace(b"record", b"forged") for line in chain(0))]
    prev = head_of(LINES[4]).hash
    for seq in (6, 7, 8, 9):
        line = chain(1, first=seq, prev=prev)[0].replace(b"record", b"forged")
        prev = head_of(line).hash
        rewritten.append(line)
    assert verify(rewritten).whole
    report = verify(rewritten, HEAD)
    assert not report.whole
    assert first_line(report) == 8
    assert not verify(forged).whole


def test_a_log_ahead_of_the_remembered_head_is_normal() -> None:
    """A crash between the log and its memory leaves the memory behind: no damage."""
    assert verify(LINES, head_of(LINES[4])).whole


def test_an_exchanged_file_is_found_by_the_remembered_head() -> None:
    """Another log in its place holds by itself; the remembered head belongs to a log that is not there."""
    report = verify(chain(9, log_id=OTHER), HEAD)
    assert not report.whole
    assert report.first_break is not None
    assert report.first_break.fault is Fault.OTHER_LOG
    assert LOG in report.first_break.expected


def test_a_log_that_begins_late_says_what_is_missing() -> None:
    """Records that stand in no line are a gap, also at the beginning; a head before the beginning says nothing more."""
    report = verify(LINES[3:], head_of(LINES[1]))
    assert not report.whole
    assert report.breaks == 1
    assert (report.first, ranges(report)) == (4, ((1, 3),))


def test_a_false_beginning_is_found() -> None:
    """The first record follows nothing: 64 zeros."""
    report = verify(chain(2, prev="1" * 64))
    assert report.first_break is not None
    assert str(report.first_break).startswith("line 1: changed: expected 64 zeros before the first record")


def test_the_earliest_of_several_breaks_is_told_and_all_are_counted() -> None:
    """A head that disagrees with the last line does not hide an earlier break, nor a later break an earlier line."""
    report = verify([*LINES[:1], *LINES[2:7]], HEAD)
    assert report.breaks == 2
    assert first_line(report) == 2
    assert ranges(report) == ((2, 2), (8, 8))


def test_the_earlier_line_is_named_even_when_it_is_found_later() -> None:
    """The head finds the last line at once, the line after it would have named it too."""
    edited = [*LINES[:7], LINES[7].replace(b"record", b"forged")]
    after = chain(1, first=9, prev=HEAD.hash)
    report = verify([*edited, *after], HEAD)
    assert report.breaks == 2
    assert first_line(report) == 8
    earlier = [*LINES[:6], LINES[6].replace(b"record", b"forged"), edited[7]]
    report = verify(earlier, HEAD)
    assert report.breaks == 2
    assert first_line(report) == 7


@pytest.mark.parametrize("cut", range(1, 8))
def test_stretches_prove_what_one_does(cut: int) -> None:
    """Wherever a log is cut, its stretches together are as whole, or as broken, as it is."""
    assert verify(LINES, HEAD, cut=cut) == verify(LINES, HEAD)
    for at in range(8):
        edited = [*LINES[:at], LINES[at].replace(b"record", b"forged"), *LINES[at + 1 :]]
        assert verify(edited, HEAD, cut=cut) == verify(edited, HEAD)


def test_a_line_that_only_ends_like_a_record_is_none() -> None:
    """Half a line in front of a record, and the record once more behind it, as our writer sees to it: whole."""
    half = b'{"half":"' + LINES[5]
    for cut in (None, 5, 6):
        report = verify([*LINES[:5], half, *LINES[5:]], HEAD, cut=cut)
        assert (report.whole, report.covered, report.uncovered) == (True, 8, 1)
    report = verify([*LINES[:7], b'{"half":"' + LINES[7]])
    assert (report.whole, report.covered, report.uncovered) == (True, 7, 1)


def test_a_line_that_is_no_json_counts_only_where_the_next_record_names_it() -> None:
    """Whoever wrote the next record had it in front of them just so; what lacks even its brace is never a record."""
    after = [b'{"half":"' + LINES[5][:-1], b"half" + LINES[5][:-1]]
    named = [chain(2, first=7, prev=hashlib.sha256(line).hexdigest()) for line in after]
    assert verify([*LINES[:5], after[0] + b"\n", *named[0]]).whole
    assert not verify([*LINES[:5], after[1] + b"\n", *named[1]]).whole


def test_a_log_of_nothing_but_breaks_fills_no_memory() -> None:
    """Gaps are named up to a limit; the breaks are counted all the same."""
    report = verify([line for seq in range(1, 500, 2) for line in chain(1, first=seq)])
    assert report.breaks == 250 - 1
    assert len(report.gaps) == GAPS_KEPT


def test_an_unfinished_line_is_not_covered() -> None:
    """A last line without its newline is no record yet, even if nothing else is missing."""
    report = verify([*LINES[:7], LINES[7][:-1]])
    assert report.unfinished
    assert (report.covered, report.uncovered) == (7, 1)
    assert not verify([*LINES[:7], LINES[7][:-1]], HEAD).whole


@pytest.mark.parametrize(
    "line",
    [
        b'  {"log_id":"x","seq":1,"prev":"%s"}' % START.encode(),
        b'{"log_id":"x","seq":1,"prev":"%s"}{' % START.encode(),
        b'{"log_id":"x","seq":true,"prev":"%s"}' % START.encode(),
        b'{"log_id":"x","seq":0,"prev":"%s"}' % START.encode(),
        b'{"log_id":"x","seq":"1","prev":"%s"}' % START.encode(),
        b'{"log_id":7,"seq":1,"prev":"%s"}' % START.encode(),
        b'{"log_id":"x","seq":1,"prev":7}',
        b'{"log_id":"x","seq":1,"prev":"abc"}',
        b'{"log_id":"x","seq":1,"prev":"%s"}' % (b"A" * 64),
        b'{"seq":1,"prev":"%s"}' % START.encode(),
        b'{"prev":' + b"[" * 60_000,
        b'{"log_id":"x","seq":1,"prev":"%s","x":"%s"}' % (START.encode(), b"y" * LONGEST),
    ],
    ids=lambda line: line[:40],
)
def test_what_is_not_exactly_a_link_is_none(line: bytes) -> None:
    """Half a line with one of ours behind it, wrong types, and lines that are too long are not chained."""
    assert link_of(line) is None
