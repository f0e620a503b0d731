"""REST: a handler for each route, from the call to its answer. What is refused is raised here, and answered in ``app``."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response

from molecule_approve.wire import SERVER_FIELD, WAITING_HEADER, approval_path, one_body, row_body

from .bodies import read_body, read_decision, read_hold, read_invocation, read_submission, read_task
from .refusals import missing_workspace
from .service import RequestPath

if TYPE_CHECKING:
    from molecule_approve.model import Approval, JsonValue

    from .access import Doorkeeper
    from .limits import Limits
    from .service import Service
    from .threads import DatabaseThreads

Handler = Callable[[Request], Awaitable[Response]]


def answer(value: JsonValue, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A JSON answer, with the platform's content type; its objects say whose they are, whatever a proxy does to headers."""
    signed = [_signed(row) for row in value] if isinstance(value, list) else _signed(value)
    body = json.dumps(signed, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode("utf-8")
    return Response(body, status, headers, "application/json; charset=utf-8")


def _signed(value: JsonValue) -> JsonValue:
    key, word = SERVER_FIELD
    return {**value, key: word} if isinstance(value, dict) else value


def _ended(approval: Approval) -> Response:
    return answer({"approval_id": approval.id, "status": approval.status.value})


@dataclass(frozen=True, slots=True)
class Api:
    """The handlers.

    The credential is checked twice where there is a body: before it is parsed, so that a caller without the right learns
    nothing from a 400 or 422, and in the transaction that does the work.

    Attributes:
        anonymous: whether calls without a token may ask; ``health`` says it.

    """

    service: Service
    database: DatabaseThreads
    doors: Doorkeeper
    settings: Limits
    anonymous: bool

    async def submit(self, request: Request) -> Response:
        """``POST /workspaces/{id}/approvals``: 201, or 200 for the request that the idempotency key stands for."""
        workspace_id = request.path_params["workspace_id"]
        with self.doors.visit(request) as visitor:
            body = await read_body(request, self.settings.body)
            await self.database.read(partial(visitor.member, workspace_id=workspace_id, open_house=True))
            parsed = read_submission(body, request.headers.get("idempotency-key"), self.settings)
            approval, created = await self.service.submit(visitor, workspace_id, parsed)
        answered: JsonValue = {"approval_id": approval.id, "status": approval.status.value, "task_id": approval.task_id}
        return answer(answered, 201 if created else 200, {"Location": approval_path(workspace_id, approval.id)})

    async def newest(self, request: Request) -> Response:
        """``GET /workspaces/{id}/approvals``: the fifty newest, or one task's, or what waits; newest first each time.

        ``?task_id=`` lists all with this task id, ``?status=pending`` what waits, which a header counts. The platform knows
        neither parameter.
        """
        workspace_id = request.path_params["workspace_id"]
        with self.doors.visit(request) as visitor:
            task_id = read_task(request.query_params.getlist("task_id"), self.settings)
            if request.query_params.get("status") == "pending":
                found, total = await self.service.oldest_open(visitor, workspace_id)
                rows: JsonValue = [row_body(approval) for approval in reversed(found)]
                return answer(rows, headers={WAITING_HEADER: str(total)})
            found = await self.service.newest(visitor, workspace_id, task_id)
        return answer([row_body(approval) for approval in found])

    async def one(self, request: Request) -> Response:
        """``GET /workspaces/{id}/approvals/{approval_id}``; ``?wait=SECONDS`` holds the answer until the decision."""
        path = _path(request)
        with self.doors.visit(request) as visitor:
            seconds = read_hold(request.query_params.get("wait"), self.settings.longest_hold)
            # A held answer must not take the place where everybody's first call arrives.
            make_room = partial(self.doors.prove, request, visitor.token_hash, stays=True)
            reading = self.service.one(visitor, path, seconds, make_room)
            approval = await (_while_connected(request, reading) if seconds else reading)
        return answer(one_body(approval))

    async def decide(self, request: Request) -> Response:
        """``POST …/decide``, by an approver, under the name that the credential carries."""
        path = _path(request)
        with self.doors.visit(request) as visitor:
            body = await read_body(request, self.settings.body)
            await self.database.read(partial(visitor.approver, workspace_id=path.workspace_id))
            approval = await self.service.decide(visitor, path, read_decision(body, self.settings))
        return _ended(approval)

    async def withdraw(self, request: Request) -> Response:
        """``POST …/withdraw``, by the requester."""
        path = _path(request)
        with self.doors.visit(request) as visitor:
            return _ended(await self.service.withdraw(visitor, path))

    async def redeem(self, request: Request) -> Response:
        """``POST …/redeem``, by the requester: the read's answer and the invocation; an approval is used up by it."""
        path = _path(request)
        with self.doors.visit(request) as visitor:
            body = await read_body(request, self.settings.body)
            await self.database.read(partial(visitor.requester, workspace_id=path.workspace_id))
            invocation = read_invocation(body)
            approval = await self.service.redeem(visitor, path, invocation)
        return answer({**one_body(approval), "invocation": invocation})

    async def pending(self, request: Request) -> Response:
        """``GET /approvals/pending``, by an approver. Reading changes nothing."""
        with self.doors.visit(request) as visitor:
            found = await self.service.pending(visitor)
        return answer([_pending_row(approval, name) for approval, name in found])

    async def health(self, request: Request) -> Response:
        """``GET /health``: who answers here, and what ``doctor`` must say."""
        self.doors.public(request)
        return answer({"status": "ok", "anonymous_requests": self.anonymous})

    async def nameless(self, request: Request) -> Response:
        """``/workspaces//approvals``: an empty setting in a client, answered as on the platform."""
        self.doors.public(request)
        raise missing_workspace()


def _path(request: Request) -> RequestPath:
    return RequestPath(request.path_params["workspace_id"], request.path_params["approval_id"])


def _pending_row(approval: Approval, workspace_name: str) -> JsonValue:
    return {
        "id": approval.id,
        "workspace_id": approval.workspace_id,
        "workspace_name": workspace_name,
        "action": approval.action,
        "reason": approval.reason,
        "status": approval.status.value,
        "created_at": approval.created_at,
    }


async def _while_connected(request: Request, reading: Awaitable[Approval]) -> Approval:
    """Stop holding an answer that nobody waits for any more; it would keep a task for a minute."""
    work = asyncio.ensure_future(reading)
    gone = asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            raise ConnectionAbortedError
        return work.result()
    finally:
        work.cancel()
        gone.cancel()


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
