"""REST for the inbox page: the list of requests. Signing in is in ``sign_in``, and decisions go through ``api``.

No GET changes anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from molecule_approve.clock import utc_now
from molecule_approve.lifecycle import is_own, outcome_of, self_approved
from molecule_approve.wire import one_body, row_body

from .api import list_answer

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from molecule_approve.model import Approval, JsonValue

    from .access import AccessControl
    from .service import InboxView, Service


@dataclass(frozen=True, slots=True)
class InboxApi:
    """The handlers."""

    service: Service
    access: AccessControl

    async def requests(self, request: Request) -> Response:
        """``GET /desk/requests``, by an approver: pending requests, oldest first, and ended ones, latest first."""
        with self.access.admit(request) as visitor:
            async with self.access.listing(visitor):
                found = await self.service.inbox(visitor)
                return await list_answer(
                    {
                        "name": found.approver.name,
                        "now": utc_now(),
                        "waiting": found.waiting,
                        "pending": [_pending_row(approval, name, found) for approval, name in found.pending],
                        "decided": [_ended_row(approval, name) for approval, name in found.decided],
                    }
                )


def _pending_row(approval: Approval, workspace_name: str, view: InboxView) -> JsonValue:
    own = view.refuses_own and is_own(approval.requested_by, view.approver.name)
    return {**one_body(approval), "workspace_name": workspace_name, "own": own}


def _ended_row(approval: Approval, workspace_name: str) -> JsonValue:
    return {
        **row_body(approval),
        "workspace_id": approval.workspace_id,
        "workspace_name": workspace_name,
        "decided_by_verified": approval.decided_by_verified,
        "requested_by": approval.requested_by,
        "self_approved": self_approved(approval),
        "comment": approval.comment,
        "outcome": outcome_of(approval),
    }
