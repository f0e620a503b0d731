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
    ("name", "context", "text"),
    [
        ("bot", {"user": "ann", "host": "ci-7"}, "bot (says ann@ci-7)"),
        ("ann", {"user": "ANN", "host": "ci-7"}, "ann"),
        ("bot", None, "bot"),
        (None, {"user": "ann", "host": "ci-7"}, "says ann@ci-7"),
        (None, {"host": "ci-7"}, "says ci-7"),
        (None, {"user": 7, "host": ""}, "-"),
        (None, None, "-"),
        ("b\u202e", {"user": "a\u202eb"}, "b\\u202e (says a\\u202eb)"),
    ],
)
def test_the_credentials_name_goes_before_what_the_machine_says(
    name: str | None, context: dict[str, str] | None, text: str
) -> None:
    """What is claimed is said to be, and a user of the same name is not repeated; all of it visibly."""
    assert requester(replace(ROW, requested_by=name, context=context)) == text


def test_a_requester_without_a_credential_is_anonymous() -> None:
    """Whatever it claims."""
    assert requester(replace(ROW, is_anonymous=True, context={"user": "alice"})) == "anonymous (says alice)"


@pytest.mark.parametrize(("name", "text"), [("payments", "payments"), ("", "ws-1"), ("\x1b[2J", "\\x1b[2J")])
def test_a_workspace_has_its_name_where_there_is_one(name: str, text: str) -> None:
    """Else its id."""
    assert workspace(Waiting(ROW, name)) == text
