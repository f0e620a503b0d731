"""The fields of an event: what is not as the contract says is refused by its name."""

from __future__ import annotations

import pytest

from molecule_approve.errors import HookEventError
from molecule_approve.integrations.hooks import event


@pytest.mark.parametrize("data", [b"", b" \n\t", b"\xef\xbb\xbf"])
def test_nothing_on_stdin_is_refused(data: bytes) -> None:
    """A byte order mark alone is nothing too."""
    with pytest.raises(HookEventError):
        event.read(data)


def test_an_object_is_read() -> None:
    """With a byte order mark in front or without."""
    assert event.read(b'\xef\xbb\xbf{"a": 1}') == event.read(b' {"a": 1}\n') == {"a": 1}


def test_fields_may_be_missing() -> None:
    """Then they are empty, as where they are null."""
    assert event.optional({}, "cwd") == event.optional({"cwd": None}, "cwd") == ""
    assert event.as_text({}, "mcp_context") == event.as_text({"mcp_context": None}, "mcp_context") == ""


def test_any_field_can_be_shown() -> None:
    """As JSON, in its own letters."""
    assert event.as_text({"a": {"é": [1]}}, "a") == '{"é": [1]}'
