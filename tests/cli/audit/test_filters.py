"""The audit log's filters."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from molecule_approve.cli.audit.filters import Filters
from tests.cli.log_lines import line

NOW = datetime(2026, 4, 27, 12, 0, tzinfo=UTC)


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


def test_an_ending_that_was_observed_later_has_its_outcome() -> None:
    """As `audit show` and `audit stats` tell it; the record's own outcome still finds it, and no other one does."""
    data = line(action="observe", outcome="observed", observed_outcome="denied")
    assert [word for word in ("denied", "observed", "granted") if Filters(outcome=word).wanted(data)] == [
        "denied",
        "observed",
    ]


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
