"""strict_json.py: what every reader of JSON from outside takes, and what it refuses."""

from __future__ import annotations

import pytest

from molecule_approve.strict_json import StrictJsonError, loads


@pytest.mark.parametrize("data", ['{"a": [1, 2.5, null, true, "\\u00e9"]}', '{"a": [1, 2.5, null, true, "é"]}'.encode()])
def test_json_is_read(data: str | bytes) -> None:
    """As text, or as bytes in UTF-8."""
    assert loads(data) == {"a": [1, 2.5, None, True, "é"]}


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "cannot be parsed"),
        (b"{} {}", "cannot be parsed"),
        (b"\xff\xfe", "cannot be parsed"),
        ('{"a": 1}'.encode("utf-16"), "cannot be parsed"),
        (b"[" * 200_000, "cannot be parsed"),
        (b"9" * 5000, "cannot be parsed"),
        (b'[{"b": {"a": 1, "a": 1}}]', "duplicate key"),
        (b"[NaN]", "NaN is not a number in JSON"),
        (b"[-Infinity]", "-Infinity is not a number in JSON"),
    ],
    ids=lambda value: repr(value[:20]),
)
def test_what_two_readers_could_take_differently_is_refused(data: bytes, why: str) -> None:
    """Also where Python's own reader would take it: doubled keys, NaN, another encoding."""
    with pytest.raises(StrictJsonError, match=why):
        loads(data)
