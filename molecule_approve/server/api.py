"""REST: a handler for each route, from the call to its answer. What is refused is raised here, and answered in ``app``."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response

from molecule_approve.wire import approval_path, one_body, row_body

from .access import Approver, Caller, Doorkeeper, Requester
from .bodies import read_body, read_decision, read_hold, read_invocation, read_key, read_object, read_submission
from .refusals import forbidden, missing_workspace

if TYPE_CHECKING:
    from molecule_approve.model import Approval, JsonValue

    from .service import Service
    from .settings import Settings

Handler = Callable[[Request], Awaitable[Response]]


def answer(value: JsonValue, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A JSON answer, with the platform's content type."""
    body = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode("utf-8")
    return Response(body, status, headers, "application/json; charset=utf-8")


def _ended(approval: Approval) -> Response:
    return answer({"approval_id": approval.id, "status": approval.status.value})


@dataclass(frozen=True, slots=True)
class Api:
    """The handlers; ``health`` tells what everybody may know."""

    service: Service
    doors: Doorkeeper
    settings: Settings
    anonymous: bool

    async def submit(self, request: Request) -> Response:
        """``POST /workspaces/{id}/approvals``: 201, or 200 for the request that the idempotency key stands for."""
        workspace_id = request.path_params["workspace_id"]
        await self.doors.member(request, workspace_id, open_house=True)
        key = read_key(request.headers.get("idempotency-key"), self.settings.key)
        asked = read_submission(await self._object(request), self.settings)
        approval, created = await self.service.submit(workspace_id, asked, key)
        body: JsonValue = {"approval_id": approval.id, "status": approval.status.value}
        return answer(body, 201 if created else 200, {"Location": approval_path(workspace_id, approval.id)})

    async def newest(self, request: Request) -> Response:
        """``GET /workspaces/{id}/approvals``: the fifty newest."""
        workspace_id = request.path_params["workspace_id"]
        await self.doors.member(request, workspace_id, open_house=True)
        return answer([row_body(approval) for approval in await self.service.newest(workspace_id)])

    async def one(self, request: Request) -> Response:
        """``GET /workspaces/{id}/approvals/{approval_id}``; ``?wait=SECONDS`` holds the answer until the decision."""
        workspace_id, approval_id = request.path_params["workspace_id"], request.path_params["approval_id"]
        await self.doors.member(request, workspace_id)
        seconds = read_hold(request.query_params.get("wait"), self.settings.longest_hold)
        reading = self.service.one(workspace_id, approval_id, seconds)
        return answer(one_body(await (reading if seconds == 0 else _while_connected(request, reading))))

    async def decide(self, request: Request) -> Response:
        """``POST …/decide``, by an approver, under the name that the credential carries."""
        caller = await self._member(request)
        if not isinstance(caller, Approver):
            raise forbidden("a requester's token can never decide; an approver's token is needed")
        decided = read_decision(await self._object(request), self.settings)
        return _ended(await self.service.decide(*_names(request), caller.name, decided))

    async def withdraw(self, request: Request) -> Response:
        """``POST …/withdraw``, by the requester."""
        await self._requester(request)
        return _ended(await self.service.withdraw(*_names(request)))

    async def redeem(self, request: Request) -> Response:
        """``POST …/redeem``, by the requester: the answer of the read, and an approval is used up by it."""
        await self._requester(request)
        invocation = read_invocation(await self._object(request))
        return answer(one_body(await self.service.redeem(*_names(request), invocation)))

    async def pending(self, request: Request) -> Response:
        """``GET /approvals/pending``, by an approver. Reading changes nothing."""
        await self.doors.administrator(request)
        return answer([_pending_row(approval, name) for approval, name in await self.service.pending()])

    async def health(self, request: Request) -> Response:
        """``GET /health``: who answers here, and what ``doctor`` must say."""
        await self.doors.public(request)
        return answer({"status": "ok", "server": "molecule-approve", "anonymous_requests": self.anonymous})

    async def nameless(self, request: Request) -> Response:
        """``/workspaces//approvals``: an empty setting in a client, answered as on the platform."""
        await self.doors.public(request)
        raise missing_workspace()

    async def _member(self, request: Request) -> Caller:
        return await self.doors.member(request, request.path_params["workspace_id"])

    async def _requester(self, request: Request) -> None:
        if not isinstance(await self._member(request), Requester):
            raise forbidden("only the workspace that asked can do this; an approver's token cannot")

    async def _object(self, request: Request) -> dict[str, JsonValue]:
        return read_object(await read_body(request, self.settings.body))


def _names(request: Request) -> tuple[str, str]:
    return request.path_params["workspace_id"], request.path_params["approval_id"]


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
