"""REST for the inbox page: signing in and out, and the list of requests. Decisions go through ``api``.

No GET changes anything.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from molecule_approve.clock import utc_now
from molecule_approve.lifecycle import is_own, outcome_of, self_approved
from molecule_approve.wire import one_body, row_body

from .api import answer, list_answer
from .bodies import parse_code, read_body
from .database.values import SessionRow
from .refusals import unacceptable, wrong_code
from .senders import SENDER
from .tokens import hash_token, new_token

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from molecule_approve.model import Approval, JsonValue

    from .access import AccessControl, Visitor
    from .database.transaction import Transaction
    from .hub import Hub
    from .limits import Limits
    from .service import InboxView, Service
    from .sessions import Sessions
    from .threads import DatabaseThreads

_CODE_BODY = 4_096
"""Bytes of a body with a sign-in code; its sender is not authenticated yet."""


_CLIENT_LENGTH = 256
"""Characters of a browser's name for itself that a session keeps."""


@dataclass(frozen=True, slots=True)
class InboxApi:
    """The handlers. ``on_sign_in`` is called after each sign-in."""

    service: Service
    database: DatabaseThreads
    hub: Hub
    access: AccessControl
    sessions: Sessions
    limits: Limits
    on_sign_in: Callable[[], None]

    async def sign_in(self, request: Request) -> Response:
        """``POST /desk/session``: a session in exchange for a sign-in code, which is then used up."""
        with self.access.admit_sign_in(request):
            code = hash_token(parse_code(await read_body(request, _CODE_BODY)))
            token, client = new_token(), request.headers.get("user-agent", "")[:_CLIENT_LENGTH]
            name = await self.database.write(partial(self._begin, code=code, token=token, client=client))
            if name is None:
                raise wrong_code()
        self.on_sign_in()
        self.access.activity.signed_in(name, request.scope[SENDER])
        return answer({"token": token, "name": name, "expires_in": int(self.limits.session)}, 201)

    def _begin(self, transaction: Transaction, *, code: str, token: str, client: str) -> str | None:
        found = transaction.sign_ins.take_code(code, transaction.now, self.limits.code)
        if found is None:
            return None
        approver_id, name = found
        begun = SessionRow(str(uuid.uuid4()), hash_token(token), approver_id, client)
        transaction.sign_ins.begin(begun, transaction.now, self.sessions.limits)
        return name

    async def sign_out(self, request: Request) -> Response:
        """``POST /desk/session/end``: the session ends at once, and its sockets are closed."""
        with self.access.admit(request) as visitor:
            name = await self.database.write(partial(_end_session, visitor))
        self.access.activity.signed_out(name)
        if visitor.token_hash is not None:
            self.hub.drop(visitor.token_hash)
        return answer({"status": "ended"})

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


def _end_session(visitor: Visitor, transaction: Transaction) -> str:
    approver = visitor.administrator(transaction)
    session_id = approver.session_id
    if session_id is None:
        raise unacceptable("this is an approver's token, not a session; revoke it with: approvers revoke NAME")
    transaction.sign_ins.end(session_id)
    return approver.name


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
