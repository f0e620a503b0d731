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


@pytest.mark.parametrize(
    ("created_at", "in_time"),
    [(ago(0), True), (ago(50), True), (ago(100), False), (ago(86_400), False), (None, False), ("yesterday", False)],
)
def test_an_answer_counts_until_its_request_would_have_expired(created_at: str | None, *, in_time: bool) -> None:
    """One whose request has no readable time is none."""
    earlier = replace(row("approved", "alice"), created_at=created_at)
    assert _is_in_time(earlier, replace(request(), expires_in=80.0)) is in_time


def test_a_request_without_an_expiry_has_no_late_answer() -> None:
    """Nobody has said how long it may count."""
    assert not _is_in_time(replace(row("approved", "alice"), created_at=ago(0)), replace(request(), expires_in=None))
