"""The approver's side of REST: signing in and out, and what the page shows. Deciding is ``api``'s, with the same session.

Nothing here decides, and nothing changes by a GET.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from molecule_approve.clock import utc_now
from molecule_approve.wire import one_body, row_body

from .api import answer
from .bodies import read_body, read_code
from .refusals import unacceptable, wrong_code
from .store import Transaction
from .tokens import hash_token
from .values import outcome_of

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from molecule_approve.model import Approval, JsonValue

    from .access import Doorkeeper
    from .hub import Hub
    from .limits import Limits
    from .service import Service
    from .sessions import Sessions
    from .threads import DatabaseThreads

_CODE_BODY = 4_096
"""Bytes of a body that holds a code; whoever sends it has proved nothing yet."""


@dataclass(frozen=True, slots=True)
class InboxApi:
    """The handlers. ``signed_in`` is called after each sign-in."""

    service: Service
    lanes: DatabaseThreads
    hub: Hub
    doors: Doorkeeper
    sessions: Sessions
    settings: Limits
    signed_in: Callable[[], None]

    async def sign_in(self, request: Request) -> Response:
        """``POST /desk/session``: a session for a sign-in code, which is used up."""
        with self.doors.guess(request):
            code = hash_token(read_code(await read_body(request, _CODE_BODY)))
            take = partial(Transaction.take_code, code_hash=code, now=time.time(), lifetime=self.settings.code)
            holder = await self.lanes.write(take)
            if holder is None:
                raise wrong_code()
        token = self.sessions.begin(holder.token_hash)
        self.signed_in()
        return answer({"token": token, "name": holder.name, "expires_in": int(self.settings.session)}, 201)

    async def sign_out(self, request: Request) -> Response:
        """``POST /desk/session/end``: the session ends at once, and its sockets with it."""
        with self.doors.visit(request) as visitor:
            await self.lanes.read(visitor.administrator)
            if visitor.session is None:
                raise unacceptable("an approver's token is no session; approvers revoke takes it away")
        self.sessions.end(visitor.session)
        self.hub.drop(visitor.session)
        return answer({"status": "ended"})

    async def requests(self, request: Request) -> Response:
        """``GET /desk/requests``, by an approver: what waits, oldest first, and what ended last, latest first."""
        with self.doors.visit(request) as visitor:
            found = await self.service.inbox(visitor)
        return answer(
            {
                "name": found.approver.name,
                "now": utc_now(),
                "waiting": found.waiting,
                "pending": [{**one_body(approval), "workspace_name": name} for approval, name in found.pending],
                "decided": [_ended_row(approval, name) for approval, name in found.decided],
            }
        )


def _ended_row(approval: Approval, workspace_name: str) -> JsonValue:
    return {
        **row_body(approval),
        "workspace_id": approval.workspace_id,
        "workspace_name": workspace_name,
        "decided_by_verified": approval.decided_by_verified,
        "comment": approval.comment,
        "outcome": outcome_of(approval),
    }
