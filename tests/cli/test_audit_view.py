"""The audit log's filters."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from molecule_approve.audit.chain import START
from molecule_approve.audit.record import FIELDS, Record, encode
from molecule_approve.cli.audit_view import Filters, parse_since
from molecule_approve.errors import UsageError

if TYPE_CHECKING:
    from molecule_approve.model import JsonValue

NOW = datetime(2026, 4, 27, 12, 0, tzinfo=UTC)


def line(**fields: JsonValue) -> bytes:
    """A chained line with its newline; `extras` are further fields."""
    known: dict[str, Any] = dict(zip(FIELDS, ("2026-04-27T10:00:00.123456Z", "approval", "ws", "ws"), strict=False))
    known |= {"action": "approve", "resource": "deploy", "outcome": "granted", "trace_id": "0123456789"}
    extras = {name: value for name, value in fields.items() if name not in FIELDS}
    record = Record(**(known | {name: value for name, value in fields.items() if name in FIELDS}), extras=extras)
    return encode(record, log_id="7d444840-9dc0-11d1-b245-5ffdce74fad2", seq=1, prev=START) + b"\n"


@pytest.mark.parametrize(
    ("filters", "wanted"),
    [
        (Filters(), True),
        (Filters(outcome="granted"), True),
        (Filters(outcome="denied"), False),
        (Filters(event_type="approval"), True),
        (Filters(event_type="rbac"), False),
        (Filters(trace="0123456789"), True),
        (Filters(trace="012345"), True),
        (Filters(trace="123"), False),
        (Filters(actor="ws"), True),
        (Filters(actor="w"), False),
        (Filters(actor="alice"), False),
        (Filters(since=NOW - timedelta(hours=2)), True),
        (Filters(since=NOW), False),
        (Filters(outcome="granted", event_type="approval", trace="0", since=NOW - timedelta(days=1)), True),
        (Filters(outcome="granted", event_type="rbac"), False),
    ],
)
def test_a_record_is_wanted_when_all_filters_agree(filters: Filters, wanted: bool) -> None:
    """Each filter narrows what is shown."""
    assert filters.wanted(line()) is wanted


@pytest.mark.parametrize(
    "data", [b"not json\n", b"[1]\n", b'{"timestamp":7,"outcome":["granted"],"event_type":{}}\n', b"{}\n"]
)
def test_odd_lines_are_wanted_only_where_nothing_is_asked(data: bytes) -> None:
    """A filter never chooses what is no record, or a record of odd types."""
    assert Filters().wanted(data)
    assert not Filters(outcome="granted").wanted(data)
    assert not Filters(event_type="approval").wanted(data)
    assert not Filters(since=NOW).wanted(data)
    assert not Filters(trace="0123").wanted(data)


@pytest.mark.parametrize("actor", ["J\u00fcrgen", 'the "boss"', "a\\b", "\udcff"])
def test_a_word_is_found_however_it_is_spelled(actor: str) -> None:
    """Our lines escape what is not ASCII, other tools may escape anything, or nothing."""
    data = line(actor=actor)
    assert Filters(actor=actor).wanted(data) is True
    assert Filters(actor=actor).wanted(json.dumps({"actor": actor}, ensure_ascii=actor == "\udcff").encode())
    assert not Filters(actor=f"{actor}x").wanted(data)
    assert Filters(outcome="granted").wanted(b'{"outcome":"\\u0067ranted"}')


def test_what_is_too_old_is_a_record_with_an_earlier_time() -> None:
    """Or with none; a line that is no record is of no age."""
    filters = Filters(since=NOW - timedelta(hours=1))
    assert filters.is_too_old(line())
    assert not filters.is_too_old(line(timestamp="2026-04-27T11:00:00Z"))
    assert filters.is_too_old(b"{}")
    assert not filters.is_too_old(b"torn")
    assert not Filters().is_too_old(line())


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2h", NOW - timedelta(hours=2)),
        ("90", NOW - timedelta(seconds=90)),
        ("1d", NOW - timedelta(days=1)),
        ("2026-04-27T10:00:00Z", datetime(2026, 4, 27, 10, tzinfo=UTC)),
        ("2026-04-27t12:00:00.5+02:00", datetime(2026, 4, 27, 10, 0, 0, 500_000, tzinfo=UTC)),
        ("2026-04-27 10:00:00z", datetime(2026, 4, 27, 10, tzinfo=UTC)),
    ],
)
def test_since_is_a_duration_or_a_moment(text: str, moment: datetime) -> None:
    """A duration counts back from now; a moment names its offset from UTC."""
    assert parse_since(text, NOW) == moment


@pytest.mark.parametrize(
    "text", ["", "5 parsecs", "yesterday", "2026-04-27", "2026-04-27T10:00:00", "2026-13-27T10:00:00Z", "999999999d", "-1h"]
)
def test_anything_else_is_a_usage_error(text: str) -> None:
    """What is neither is said, with what to write."""
    with pytest.raises(UsageError, match="--since") as caught:
        parse_since(text, NOW)
    assert "2h" in caught.value.hint
