"""Until when the answer to an earlier call counts; the rest is tested through the hook, in tests/cli/hook/."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from molecule_approve.integrations.hooks.asking import _is_in_time
from tests.client.fakes import request, row


def ago(seconds: float) -> str:
    """A moment before now, as a platform writes it."""
    return (datetime.now(UTC) - timedelta(seconds=seconds)).isoformat()


@pytest.mark.parametrize(("seconds", "in_time"), [(0, True), (50, True), (100, False), (86_400, False)])
def test_an_answer_counts_until_its_request_would_have_expired(seconds: float, *, in_time: bool) -> None:
    """By the platform's time of the request."""
    earlier = replace(row("approved", "alice"), created_at=ago(seconds))
    assert _is_in_time(earlier, replace(request(), expires_in=80.0)) is in_time


@pytest.mark.parametrize("created_at", [None, "yesterday"])
def test_an_answer_without_a_readable_time_does_not_count(created_at: str | None) -> None:
    """It may be of any age."""
    assert not _is_in_time(replace(row("approved", "alice"), created_at=created_at), replace(request(), expires_in=80.0))


def test_a_request_without_an_expiry_has_no_late_answer() -> None:
    """Nobody has said how long it may count."""
    assert not _is_in_time(replace(row("approved", "alice"), created_at=ago(0)), replace(request(), expires_in=None))
