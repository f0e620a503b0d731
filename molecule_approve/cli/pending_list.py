"""Reads the requests that wait for a decision, each with all that the platform tells, and says how old they are."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from molecule_approve.client.inbox import PendingList, Waiting
from molecule_approve.clock import boottime
from molecule_approve.model import Approval, SubmittedRequest
from molecule_approve.safe_text import visible
from molecule_approve.wire import LIST_LENGTH, instant

from .progress import span
from .requester import name, short

if TYPE_CHECKING:
    from molecule_approve.client.rest import RestPlatform
    from molecule_approve.clock import Deadline

UNSEEN = f"the platform lists only its {LIST_LENGTH} newest requests; older ones may still wait"
"""Said where it is so: else people would read that nothing waits."""


class PendingRequests:
    """Reads the pending requests; ``approver`` says whether the platform is asked with an approver's token.

    The workspace's list is read where there is no inbox, or no approver's token to see it.
    """

    def __init__(self, platform: RestPlatform, workspace_id: str, *, approver: bool) -> None:
        self._platform = platform
        self._workspace_id = workspace_id
        self._approver = approver
        self._fetched: dict[str, tuple[Approval, float]] = {}

    def read(self, deadline: Deadline) -> PendingList:
        """The requests that wait now, each with all that the platform tells of it (of a long list, the oldest fifty).

        Raises:
            PlatformError: they cannot be read.
        """
        queue = self._platform.queue(deadline) if self._approver else None
        if queue is not None:
            return queue
        listed = self._platform.open_requests(deadline)
        requests = [waiting.approval for waiting in listed.rows]
        detailed = [*self.with_details(requests[:LIST_LENGTH], deadline), *requests[LIST_LENGTH:]]
        return listed._replace(rows=tuple(Waiting(row) for row in detailed))

    def with_details(self, requests: list[Approval], deadline: Deadline) -> list[Approval]:
        """The requests with what a list leaves out. Most of it never changes while a request waits, and is read once.

        How many approvals it has does change: such requests are read again, about one in a second.

        Raises:
            PlatformError: one cannot be read.
        """
        if not requests or not self._platform.verifies_approvers(deadline):
            return requests
        now, known = boottime(), self._fetched
        fresh = now - sum(not _is_plain(row) for row, _ in known.values())
        self._fetched = {
            row.id: known[row.id]
            if row.id in known and (_is_plain(known[row.id][0]) or known[row.id][1] > fresh)
            else (self._fetch(row, deadline), now)
            for row in requests
        }
        return [row for row, _ in self._fetched.values()]

    def _fetch(self, row: Approval, deadline: Deadline) -> Approval:
        return self._platform.fetch(SubmittedRequest(row.id, self._workspace_id), deadline).approval or row


def _is_plain(row: Approval) -> bool:
    return row.progress is None or row.progress.is_plain


def age(row: Approval, now: datetime) -> str:
    """How long ago it was asked; a dash if the platform does not say."""
    asked = instant(row.created_at)
    return "-" if asked is None else span((now - asked).total_seconds())


def seconds_left(row: Approval, now: datetime) -> float | None:
    """Seconds until it expires; None if the platform does not say."""
    until = instant(row.expires_at)
    return None if until is None else (until - now).total_seconds()


def left(row: Approval, now: datetime) -> str:
    """The time until it expires; a dash if the platform does not say."""
    seconds = seconds_left(row, now)
    return "-" if seconds is None else span(seconds)


def timing(row: Approval, now: datetime) -> str:
    """How long ago it was asked, and the time left, as far as the platform says: ``asked 3 s ago, 4:57 left``."""
    asked, remaining = age(row, now), left(row, now)
    known = (f"asked {asked} ago" if asked != "-" else "", f"{remaining} left" if remaining != "-" else "")
    return ", ".join(filter(None, known))


def requester(row: Approval) -> str:
    """The requester's name, and whom it claims to be; a dash without both."""
    return visible(short(name(row), dict(row.context or {}))) or "-"


def workspace(waiting: Waiting) -> str:
    """The workspace's name, or else its id."""
    return visible(waiting.workspace_name or waiting.approval.workspace_id)


def now_utc() -> datetime:
    """The wall clock, for display only: requests carry the platform's own times."""
    return datetime.now(UTC)
