"""The audit log's filters, and its line for a person."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from molecule_approve.audit.chain import START
from molecule_approve.audit.record import FIELDS, Record, encode
from molecule_approve.cli.audit_view import UNVOUCHED, Filters, parse_since, row
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


def shown(data: bytes) -> str:
    return "".join(text for text, _ in row(data))


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


def test_the_usual_record_is_one_short_line() -> None:
    """When, what came of it, what was asked, who decided, and where to look further."""
    data = line(actor="alice", decided_by_verified=True, approval_id="abcdefghij", reason_text="Friday")
    assert shown(data) == "  2026-04-27 10:00:00Z  granted    deploy  by alice; Friday; approval abcdefgh; trace 01234567"


def test_a_name_that_nobody_verified_is_told_as_such() -> None:
    """The platform's names are text that anybody with the token could have sent."""
    assert "by alice (name not verified)" in shown(line(actor="alice", decided_by_verified=False))


def test_other_kinds_of_records_say_what_they_are() -> None:
    """What is no approval is named by its event and action."""
    text = shown(line(event_type="rbac", action="rbac.deny", outcome="denied", reason=None, error=""))
    assert text == "  2026-04-27 10:00:00Z  denied     rbac/rbac.deny: deploy  trace 01234567"


@pytest.mark.parametrize("text", ["\x1b[2J", "\u202e", "\n", "::error::x", "##[error]", "\u00a0"])
def test_nothing_from_the_log_reaches_a_terminal_raw(text: str) -> None:
    """Escape sequences, bidi overrides and orders are made visible, in records and in lines that are none."""
    data = line(resource=text, actor=text, reason_text=text, outcome=text, trace_id=text, timestamp=text, action=text)
    for one in (data, text.encode().replace(b"\n", b"") + b"\n", b"\xff" + b"\x1b\n"):
        said = shown(one)
        assert said.isprintable()
        assert "##[" not in said
        assert not said.startswith("::")
        assert "\u202e" not in said


def test_a_line_that_nothing_vouches_for_says_so() -> None:
    """Another tool's line, and a torn one, carry a mark at both ends; a chained one does not."""
    for data in (json.dumps({"outcome": "granted", "resource": 7, "trace_id": None}).encode() + b"\n", b"torn"):
        assert shown(data).startswith("? ")
        assert shown(data).endswith(UNVOUCHED)
    assert UNVOUCHED not in shown(line())


def test_odd_values_of_another_tool_are_shown_not_tripped_over() -> None:
    """Lists and objects where text is usual do not stop the reader."""
    text = shown(b'{"outcome":["x"],"reason":{"a":1},"error":[],"resource":null,"actor":7,"trace_id":[1]}\n')
    assert "['x']" in text
    assert "by 7" in text


def test_colours_tell_a_yes_from_a_no() -> None:
    """The outcome alone has a colour, and only outcomes that are known."""
    styles = {outcome: row(line(outcome=outcome))[2][1] for outcome in ("granted", "denied", "timeout", "odd")}
    assert styles == {"granted": "bold green", "denied": "bold red", "timeout": "yellow", "odd": ""}
