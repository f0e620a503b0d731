"""One record becomes one line: its fields, what is cut, what is masked, what no terminal and no log reader obeys."""

from __future__ import annotations

import hashlib
import json
import math
import re
from typing import TYPE_CHECKING, Any

import pytest

from molecule_approve.audit.record import (
    CHAIN_FIELDS,
    ENDINGS,
    FIELDS,
    LINE_LIMIT,
    PAIRS,
    SECRET_MARK,
    Record,
    RecordAction,
    RecordOutcome,
    decode,
    encode,
    is_as_asked,
    make_record,
    mask,
    moment,
    needle,
    writings,
)
from molecule_approve.audit.report.stats import statistics
from molecule_approve.audit.report.story import StoryRecord
from molecule_approve.cli.audit.story_view import happened
from molecule_approve.errors import AuditError
from molecule_approve.model import JsonValue, Secret
from tests.audit.records import begun, lines
from tests.pages import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable

PLACE: dict[str, Any] = {"log_id": "7d444840-9dc0-11d1-b245-5ffdce74fad2", "seq": 7, "prev": "ab" * 32}

# Which number of the statistics a record changes: of an empty log, or of a log with one open request.
COUNTED = {
    "approve / initiated": "requests",
    "approve / requested": "requests",
    "approve / resumed": "requests",
    "approve / granted": "outcomes",
    "approve / denied": "outcomes",
    "approve / timeout": "outcomes",
    "approve / withdrawn": "outcomes",
    "approve / failure": "outcomes",
    "deliver / failed": "undelivered",
    "observe / observed": "outcomes",
    "rbac.deny / denied": "requests",
    "execute / started": "commands",
    "execute / finished": "commands",
    "execute / refused": "commands",
    "recover / success": "records",
    "init / success": "records",
}


def written(action: RecordAction, outcome: RecordOutcome) -> Record:
    seen: dict[str, JsonValue] = {"observed_outcome": "granted"} if action == RecordAction.OBSERVE else {}
    return make_record(
        action, outcome, timestamp="2026-04-27T10:00:01.000000Z", workspace_id="ws", resource="deploy",
        trace_id="trace-1", extras=seen,
    )  # fmt: skip


def documented() -> set[tuple[str, ...]]:
    """Event type, action and outcome in each row of the page's table, whose heading has the same form."""
    rows = re.findall(r"^\| `(\w+)` / `([\w.]+)` / ([^|]+) \|", (ROOT / "docs" / "audit-log.md").read_text(), re.MULTILINE)
    return {(event, action, outcome) for event, action, words in rows[1:] for outcome in re.findall(r"`(\w+)`", words)}


def is_told(record: Record) -> bool:
    fields = decode(encode(record, **PLACE)) or {}
    return happened(StoryRecord(b"", None, fields)) != f"{record.event_type}/{record.action}: {record.outcome}"


def is_counted(record: Record) -> bool:
    wanted = COUNTED.get(f"{record.action} / {record.outcome}", "")
    before = [] if wanted == "requests" else [begun()]
    old, new = (statistics(line + b"\n" for line in lines(*rows)) for rows in (before, [*before, record]))
    return hasattr(new, wanted) and getattr(new, wanted) != getattr(old, wanted)


def test_fields_stand_in_their_order_and_the_chain_last(make: Callable[..., Record]) -> None:
    """A line is one JSON object without spaces: the fields, the extras, then the chain."""
    line = encode(make(approval_id="a-1", roles=["operator"]), **PLACE)
    assert list(json.loads(line)) == [*FIELDS, "approval_id", "roles", *CHAIN_FIELDS[:-1]]
    assert b'"outcome":"initiated","trace_id":"trace-1","approval_id":"a-1","roles":["operator"],"log_id":' in line
    assert json.loads(line)["seq"] == 7


@pytest.mark.parametrize("text", ["é", "\x1b[2J", "\x7f", "\u202e", "\n", "\r\n", "\ud800", "😀", "\u2028", "\x00", '"\\'])
def test_whatever_the_text_the_line_is_printable_ascii_and_means_the_same(make: Callable[..., Record], text: str) -> None:
    """Control, bidi and foreign characters, DEL and lone surrogates are escaped, and come back as they were."""
    line = encode(make(resource=f"a{text}b"), **PLACE)
    assert all(0x20 <= byte < 0x7F for byte in line)
    assert json.loads(line)["resource"] == f"a{text}b"


@pytest.mark.parametrize(
    "text",
    [
        "##[error]x",
        "##vso[task]",
        "###[x",
        "section_start:1:a",
        "Section_End:1",
        "a ##[b ##[c",
        "##teamcity[x",
        "travis_fold:x",
    ],
)
def test_a_line_gives_no_order_to_a_ci_log_reader(make: Callable[..., Record], text: str) -> None:
    """What a CI's log reader obeys is escaped, so that the file can be shown in a job; it means the same."""
    line = encode(make(resource=text), **PLACE)
    lowered = line.lower()
    assert not any(
        order in lowered
        for order in (b"##[", b"##vso[", b"section_start:", b"section_end:", b"##teamcity[", b"travis_fold:")
    )
    assert json.loads(line)["resource"] == text


@pytest.mark.parametrize("name", ["seq", "prev", "log_id", "timestamp", "outcome"])
def test_an_extra_cannot_take_the_name_of_another_field(make: Callable[..., Record], name: str) -> None:
    """An extra that would overwrite a field or the chain is a fault of the caller."""
    with pytest.raises(ValueError, match=name):
        Record("t", "e", "w", "a", "b", "r", "o", "i", {name: 1})


def test_a_long_extra_is_cut_with_a_mark_and_the_action_stays_whole(make: Callable[..., Record]) -> None:
    """The longest strings beside what was asked are cut first; the mark says how long they were, and their SHA-256."""
    action, reason = "😀" * 4_096, "r" * 16_384
    line = encode(make(resource=action, reason_text=reason, note="short"), **PLACE)
    found = json.loads(line)
    assert len(line) < LINE_LIMIT
    assert found["resource"] == action
    assert found["note"] == "short"
    digest = hashlib.sha256(reason.encode()).hexdigest()
    assert found["reason_text"].startswith("rrrr")
    assert found["reason_text"].endswith(f"...[cut: 16384 characters, SHA-256 {digest}]")
    assert not is_as_asked(found["reason_text"])
    assert is_as_asked(found["resource"])


def test_a_record_just_below_the_limit_is_not_cut(make: Callable[..., Record]) -> None:
    """A line of exactly 64 KiB with its newline stays as it is; one byte more is cut."""
    room = LINE_LIMIT - 1 - len(encode(make(note=""), **PLACE))
    assert len(encode(make(note="x" * room), **PLACE)) == LINE_LIMIT - 1
    assert b"[cut: " in encode(make(note="x" * (room + 1)), **PLACE)


@pytest.mark.usefixtures("untraced")
def test_long_lists_become_text_that_can_be_cut(make: Callable[..., Record]) -> None:
    """A list of very many short strings, which no cutting of strings makes fit, becomes text and is cut."""
    found = json.loads(encode(make(many=["x"] * 50_000, deep={"k" * 90_000: 1}, n=3), **PLACE))
    assert found["many"].startswith('["x","x",')
    assert "[cut: " in found["deep"]
    assert found["n"] == 3


def test_at_last_everything_is_cut(make: Callable[..., Record]) -> None:
    """Even an action that nobody could have asked leaves a record; it is known as cut."""
    found = json.loads(encode(make(resource="a" * 100_000), **PLACE))
    assert found["resource"].startswith("a" * 1_024 + "...[cut: 100000 characters")
    assert found["outcome"] == "initiated"


def test_too_many_fields_and_too_deep_ones_are_refused(make: Callable[..., Record]) -> None:
    """A record that cannot become a line is an error of the log, not a crash."""
    with pytest.raises(AuditError, match="too many fields"):
        encode(make(**{f"field{number}": "x" for number in range(10_000)}), **PLACE)
    deep: JsonValue = "end"
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(AuditError, match="nested too deeply"):
        encode(make(deep=deep), **PLACE)


def test_numbers_that_json_cannot_say_become_words(make: Callable[..., Record]) -> None:
    """NaN and infinity are not valid JSON; a number that is one stays as it is."""
    found = json.loads(encode(make(a=math.nan, b=[math.inf], c=1.5, d=None, e=True), **PLACE))
    assert (found["a"], found["b"], found["c"], found["d"], found["e"]) == ("nan", ["inf"], 1.5, None, True)


def test_secrets_are_replaced_wherever_they_stand(make: Callable[..., Record]) -> None:
    """A token is masked in the action, in extras at any depth and in keys, the longer of two first."""
    secrets = (Secret("tok"), Secret("tok-long"), Secret(""))
    record = make(resource="curl tok-long", trace_id="tok", a={"tok": ["x tok y", 1]})
    line = encode(record, **PLACE, secrets=secrets)
    assert b"tok" not in line
    found = json.loads(line)
    assert found["resource"] == f"curl {SECRET_MARK}"
    assert found["a"] == {SECRET_MARK: [f"x {SECRET_MARK} y", 1]}
    assert not is_as_asked(found["resource"])


def test_a_token_that_is_one_of_our_words_hides_no_outcome(make: Callable[..., Record]) -> None:
    """The vocabulary is never masked: a `granted` must be found again whatever the token is."""
    found = json.loads(encode(make(RecordOutcome.GRANTED, resource="granted"), **PLACE, secrets=[Secret("granted")]))
    assert found["outcome"] == "granted"
    assert found["resource"] == SECRET_MARK


def test_a_short_secret_is_masked_where_it_stands_as_a_word() -> None:
    """It may be a part of ordinary words; a long one is masked anywhere."""
    secrets = (Secret("a.1"), Secret("long-enough"))
    masked = f"{SECRET_MARK} ({SECRET_MARK}) a.12 xa.1 {SECRET_MARK}x"
    assert mask("a.1 (a.1) a.12 xa.1 long-enoughx", secrets) == masked
    assert mask("the cat", (Secret("at"), Secret("e"))) == "the cat"


def test_a_text_is_known_as_it_was_written_before() -> None:
    """In a log of an earlier version a short secret is masked within a word, too."""
    assert writings("ab12", (Secret("b1"),)) == {"ab12", f"a{SECRET_MARK}2"}
    assert writings("ab12", ()) == {"ab12"}


def test_mask_leaves_text_without_secrets_alone() -> None:
    """Nothing is replaced where nothing is secret."""
    assert mask("a b", ()) == "a b"
    assert mask("a b", (Secret("c"),)) == "a b"


@pytest.mark.parametrize("line", [b"", b"no", b"[1]", b"1", b"\xff\xfe{}", b"[" * 200_000])
def test_what_is_no_object_is_no_record(line: bytes) -> None:
    """Text, lists, broken encodings and endless nesting are told apart from records without a crash."""
    assert decode(line) is None


def test_the_needle_is_what_the_line_holds(make: Callable[..., Record]) -> None:
    """A line is found by the bytes of an id before it is parsed, also when its characters are escaped."""
    for text in ("2f1a", "é##[\x7f"):
        line = encode(make(approval_id=text), **PLACE)
        assert needle(text) in line
        fields = decode(line)
        assert fields is not None
        assert fields["approval_id"] == text


def test_each_pair_is_documented_told_and_counted() -> None:
    """What the program can write is in the page's table, has its own sentence, and changes a number of the statistics."""
    made = [written(action, outcome) for action, outcomes in PAIRS.items() for outcome in outcomes]
    records = {(one.event_type, one.action, one.outcome): one for one in made}
    kinds, page = set(records), documented()
    missing = {
        "docs/audit-log.md": kinds - page,
        "PAIRS": page - kinds,
        "_SENTENCES of cli/audit/story_view.py": {one for one in kinds if not is_told(records[one])},
        "audit/report/stats.py, or COUNTED": {one for one in kinds if not is_counted(records[one])},
        "any pair": {*RecordAction, *RecordOutcome} - {word for kind in kinds for word in kind},
    }
    assert {place: found for place, found in missing.items() if found} == {}


def test_a_pair_that_no_reader_knows_is_not_made() -> None:
    """Such a record would be told and counted as something else."""
    with pytest.raises(ValueError, match=r"deliver / granted is not in PAIRS"):
        written(RecordAction.DELIVER, RecordOutcome.GRANTED)


def test_the_endings_are_those_of_the_design() -> None:
    """Exactly five outcomes end a request."""
    assert {str(word) for word in ENDINGS} == {"granted", "denied", "timeout", "withdrawn", "failure"}


@pytest.mark.parametrize("text", [None, 7, "", "noon", "2026-04-27", "2026-04-27T10:00:00", "0001-01-01T00:00:00+23:00"])
def test_what_is_no_moment_is_none(text: str | int | None) -> None:
    """A time without its offset from UTC, or one that no calendar holds, is none."""
    assert moment(text) is None
