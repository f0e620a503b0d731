"""REST: one handler for each route. Refusals are raised here; ``app`` answers them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from molecule_approve.model import Status
from molecule_approve.wire import ONCE_HEADER, SERVER_FIELD, WAITING_HEADER, approval_path, compact, one_body, row_body

from .bodies import parse_attempt, parse_decision, parse_submission, parse_task_id, parse_wait, read_body
from .calls import Response
from .deciding import Counted
from .outcomes import RequestPath
from .refusals import RefusedError, missing_workspace

if TYPE_CHECKING:
    from molecule_approve.model import Approval, JsonValue

    from .access import AccessControl, Visitor
    from .calls import HttpCall
    from .database.transaction import Transaction
    from .limits import Limits
    from .service import Service
    from .threads import DatabaseThreads

T = TypeVar("T")

_MEDIA_TYPE = "application/json; charset=utf-8"
_NO_HEADERS: Mapping[str, str] = {}


def answer(value: JsonValue, status: int = 200, headers: Mapping[str, str] = _NO_HEADERS) -> Response:
    """A JSON answer with the platform's content type. Its objects name this server, because a proxy may drop headers."""
    return Response(compact(_signed(value)).encode("utf-8"), status, headers, _MEDIA_TYPE)


async def list_answer(value: JsonValue, headers: Mapping[str, str] = _NO_HEADERS) -> Response:
    """Like :func:`answer`, for lists of requests: made in a thread, request by request, so that other calls go on."""
    body = await asyncio.to_thread(lambda: "".join(_pieces(_signed(value))).encode("utf-8"))
    return Response(body, 200, headers, _MEDIA_TYPE)


def _pieces(value: JsonValue) -> Iterator[str]:
    """The value as JSON; each row of a list, at the top or in an object, is one piece, as one call holds all threads up."""
    if isinstance(value, list):
        yield "["
        for number, row in enumerate(value):
            yield ("," if number else "") + compact(row)
        yield "]"
    elif isinstance(value, dict):
        yield "{"
        for number, (key, item) in enumerate(value.items()):
            yield f"{',' if number else ''}{compact(key)}:"
            yield from _pieces(item)
        yield "}"
    else:
        yield compact(value)


def _signed(value: JsonValue) -> JsonValue:
    if isinstance(value, list):
        return [_signed(row) for row in value]
    key, word = SERVER_FIELD
    return {**value, key: word} if isinstance(value, dict) else value


def _ended(approval: Approval) -> Response:
    return answer({"approval_id": approval.id, "status": approval.status.value})


def _counted(counted: Counted) -> Response:
    approvals: JsonValue = {"have": counted.have, "need": counted.need}
    return answer({"approval_id": counted.approval_id, "status": Status.PENDING.value, "approvals": approvals})


@dataclass(frozen=True, slots=True)
class Api:
    """The handlers.

    The credential is checked in the transaction that does the work. Where there is a body, it is checked before, too: a
    caller without the right learns nothing from a 400, 413 or 422, and one that is not known fills no memory.

    Attributes:
        anonymous: whether calls without a token may ask; ``health`` says it.
    """

    service: Service
    database: DatabaseThreads
    access: AccessControl
    limits: Limits
    anonymous: bool

    async def submit(self, call: HttpCall) -> Response:
        """``POST /workspaces/{id}/approvals``: 201, or 200 for the existing request of the idempotency key."""
        workspace_id = call.path_params["workspace_id"]
        with self.access.admit(call) as visitor:
            check = partial(visitor.member, workspace_id=workspace_id, allow_anonymous=True)
            key, once = (call.headers.get(name) for name in ("idempotency-key", ONCE_HEADER[0]))
            parse = partial(parse_submission, key=key, once=once, limits=self.limits)
            parsed = await self._parsed(call, visitor, check, parse)
            approval, created = await self.service.submit(visitor, workspace_id, parsed)
        answered: JsonValue = {"approval_id": approval.id, "status": approval.status.value, "task_id": approval.task_id}
        location = call.called.base + approval_path(workspace_id, approval.id)
        return answer(answered, 201 if created else 200, {"Location": location})

    async def _parsed(
        self, call: HttpCall, visitor: Visitor, check: Callable[[Transaction], object], parse: Callable[[bytes], T]
    ) -> T:
        """The body, for a caller with the right to send it.

        Raises:
            RefusedError: the check's; what is wrong with the body.
        """
        if not visitor.known:
            await self.database.read(check)
        try:
            return parse(await read_body(call, self.limits.body))
        except RefusedError:
            if visitor.known:  # or was, a moment ago
                await self.database.read(check)
            raise

    async def newest(self, call: HttpCall) -> Response:
        """``GET /workspaces/{id}/approvals``: the fifty newest, newest first.

        ``?task_id=`` lists the newest with this task id, ``?status=pending`` the oldest open ones; a header counts these.
        The platform has neither parameter.
        """
        workspace_id = call.path_params["workspace_id"]
        with self.access.admit(call) as visitor:
            task_id = parse_task_id(call.query.get("task_id", []), self.limits)
            async with self.access.listing(visitor):
                if call.query.get("status", [""])[-1] == "pending":
                    found, total = await self.service.oldest_open(visitor, workspace_id)
                    rows: JsonValue = [row_body(approval) for approval in reversed(found)]
                    return await list_answer(rows, {WAITING_HEADER: str(total)})
                found = await self.service.newest(visitor, workspace_id, task_id)
                return await list_answer([row_body(approval) for approval in found])

    async def one(self, call: HttpCall) -> Response:
        """``GET /workspaces/{id}/approvals/{approval_id}``; ``?wait=SECONDS`` delays the answer until the request ends."""
        path = _path(call)
        with self.access.admit(call) as visitor:
            seconds = parse_wait(call.query.get("wait", [""])[-1], self.limits.longest_wait)
            # A waiting call must not use up the connections on which every first call arrives.
            reading = self.service.one(visitor, path, seconds, partial(self._stay, call, visitor))
            approval, fields = await (_while_connected(call, reading) if seconds else reading)
        return answer({**one_body(approval), **fields})

    def _stay(self, call: HttpCall, visitor: Visitor) -> None:
        self.access.assign(call, visitor.group, stays=True)

    async def decide(self, call: HttpCall) -> Response:
        """``POST …/decide``, by an approver, under the name of the credential."""
        path = _path(call)
        with self.access.admit(call) as visitor:
            check = partial(visitor.approver, workspace_id=path.workspace_id)
            decision = await self._parsed(call, visitor, check, partial(parse_decision, limits=self.limits))
            answered = await self.service.decide(visitor, path, decision)
        return _counted(answered) if isinstance(answered, Counted) else _ended(answered)

    async def retract(self, call: HttpCall) -> Response:
        """``POST …/retract``, by an approver: retracts the own approval of a request that waits for others."""
        path = _path(call)
        with self.access.admit(call) as visitor:
            return _counted(await self.service.retract(visitor, path))

    async def withdraw(self, call: HttpCall) -> Response:
        """``POST …/withdraw``, by the requester."""
        path = _path(call)
        with self.access.admit(call) as visitor:
            return _ended(await self.service.withdraw(visitor, path))

    async def redeem(self, call: HttpCall) -> Response:
        """``POST …/redeem``, by the requester: uses an approval up, and answers like a read, with the attempt."""
        path = _path(call)
        with self.access.admit(call) as visitor:
            check = partial(visitor.requester, workspace_id=path.workspace_id)
            attempt = await self._parsed(call, visitor, check, parse_attempt)
            approval, fields = await self.service.redeem(visitor, path, attempt)
        return answer({**one_body(approval), **fields, "invocation": attempt})

    async def pending(self, call: HttpCall) -> Response:
        """``GET /approvals/pending``, by an approver: the newest, and a header that counts all.

        Unlike on the platform, it is not what makes requests expire.
        """
        with self.access.admit(call) as visitor:
            async with self.access.listing(visitor):
                found, total = await self.service.pending(visitor)
                rows: JsonValue = [_pending_row(approval, name) for approval, name in found]
                return await list_answer(rows, {WAITING_HEADER: str(total)})

    async def health(self, call: HttpCall) -> Response:
        """``GET /health``: whether the server runs, and whether calls without a token may make requests."""
        self.access.admit_anyone(call)
        return answer({"status": "ok", "anonymous_requests": self.anonymous})

    async def nameless(self, call: HttpCall) -> Response:
        """``/workspaces//approvals``: a client without a workspace id, answered as on the platform."""
        self.access.admit_anyone(call)
        raise missing_workspace()


def _path(call: HttpCall) -> RequestPath:
    return RequestPath(call.path_params["workspace_id"], call.path_params["approval_id"])


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


async def _while_connected(call: HttpCall, reading: Awaitable[T]) -> T:
    """Stop waiting when the caller disconnects; otherwise the task would stay for a minute."""
    work = asyncio.ensure_future(reading)
    disconnected = asyncio.ensure_future(_disconnected(call))
    try:
        await asyncio.wait({work, disconnected}, return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            raise ConnectionAbortedError
        return work.result()
    finally:
        work.cancel()
        disconnected.cancel()


async def _disconnected(call: HttpCall) -> None:
    while (await call.receive())["type"] != "http.disconnect":
        pass
