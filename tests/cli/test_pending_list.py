"""What is told of a request that waits: how old it is, how long it stands, who asks."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from molecule_approve.cli.pending_list import age, left, requester, seconds_left, timing, workspace
from molecule_approve.client.inbox import Waiting
from molecule_approve.model import Approval, Status

NOW = datetime(2026, 4, 27, 10, 1, 0, tzinfo=UTC)
ROW = Approval(
    "id-1", "ws-1", "deploy", Status.PENDING, created_at="2026-04-27T10:00:00Z", expires_at="2026-04-27T11:01:00Z"
)


def test_times_are_told_as_people_say_them() -> None:
    """From the platform's own times, to our clock."""
    assert (age(ROW, NOW), left(ROW, NOW), seconds_left(ROW, NOW)) == ("1:00", "1:00:00", 3_600.0)
    assert timing(ROW, NOW) == "asked 1:00 ago, 1:00:00 left"


def test_what_the_platform_does_not_tell_is_a_dash() -> None:
    """No time is made up."""
    bare = replace(ROW, created_at=None, expires_at=None)
    assert (age(bare, NOW), left(bare, NOW), seconds_left(bare, NOW)) == ("-", "-", None)
    assert timing(bare, NOW) == ""


@pytest.mark.parametrize(
    ("context", "text"),
    [
        ({"user": "ann", "host": "ci-7"}, "ann@ci-7"),
        ({"host": "ci-7"}, "ci-7"),
        ({"user": 7, "host": ""}, "-"),
        (None, "-"),
        ({"user": "a\u202eb"}, "a\\u202eb"),
    ],
)
def test_the_requester_is_what_the_machine_says(context: dict[str, str] | None, text: str) -> None:
    """As far as it says anything, and visibly."""
    assert requester(replace(ROW, context=context)) == text


@pytest.mark.parametrize(("name", "text"), [("payments", "payments"), ("", "ws-1"), ("\x1b[2J", "\\x1b[2J")])
def test_a_workspace_has_its_name_where_there_is_one(name: str, text: str) -> None:
    """Else its id."""
    assert workspace(Waiting(ROW, name)) == text
