"""``create_app()``: one list of routes, what stands before each of them, and errors -> answers."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from starlette.requests import ClientDisconnect, HTTPConnection, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Match, Route, Router, WebSocketRoute
from starlette.websockets import WebSocketDisconnect

from molecule_approve.wire import SERVER_HEADER

from .api import Api, Handler, answer
from .refusals import RefusedError

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from .access import Doorkeeper
    from .inbox import InboxApi
    from .live import LiveSocket
    from .origins import Addresses
    from .pages import Pages
    from .rates import Allowance

logger = logging.getLogger("molecule_approve.server")


@dataclass(frozen=True, slots=True)
class Entrance:
    """One route: what it is for stands in the handler's docstring, and in ``/openapi.json``."""

    method: str
    path: str
    handler: Handler
    statuses: tuple[int, ...]
    shown: bool = True


def entrances(api: Api, desk: InboxApi, pages: Pages) -> list[Entrance]:
    """Every route but the description of them and the socket."""
    requests = "/workspaces/{workspace_id}/approvals"
    request = requests + "/{approval_id}"
    return [
        Entrance("POST", requests, api.submit, (200, 201, 400, 401, 404, 409, 413, 422, 429, 503)),
        Entrance("GET", requests, api.newest, (200, 401, 404, 422, 429, 503)),
        Entrance("GET", request, api.one, (200, 401, 404, 422, 429, 503)),
        Entrance("POST", request + "/decide", api.decide, (200, 400, 401, 403, 404, 409, 413, 422, 429, 503)),
        Entrance("POST", request + "/redeem", api.redeem, (200, 400, 401, 403, 404, 409, 413, 422, 429, 503)),
        Entrance("POST", request + "/withdraw", api.withdraw, (200, 401, 403, 404, 409, 429, 503)),
        Entrance("GET", "/approvals/pending", api.pending, (200, 401, 403, 429, 503)),
        Entrance("GET", "/health", api.health, (200, 429)),
        Entrance("POST", "/desk/session", desk.sign_in, (201, 400, 401, 413, 422, 429, 503)),
        Entrance("POST", "/desk/session/end", desk.sign_out, (200, 401, 403, 422, 429, 503)),
        Entrance("GET", "/desk/requests", desk.requests, (200, 401, 403, 429, 503)),
        Entrance("GET", "/", pages.document, (200, 404), shown=False),
        Entrance("GET", "/static/{name}", pages.part, (200, 404), shown=False),
        Entrance("POST", "/workspaces//approvals", api.nameless, (401, 429), shown=False),
        Entrance("GET", "/workspaces//approvals", api.nameless, (401, 429), shown=False),
    ]


def describe(routes: list[Entrance]) -> dict[str, Any]:
    """The routes as an OpenAPI document: addresses, parameters and statuses; the bodies are described in words."""
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        if route.shown:
            names = [part[1:-1] for part in route.path.split("/") if part.startswith("{")]
            paths.setdefault(route.path, {})[route.method.lower()] = {
                "summary": (route.handler.__doc__ or "").split("\n", 1)[0],
                "parameters": [
                    {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names
                ],
                "responses": {str(status): {"description": _meaning(status)} for status in route.statuses},
            }
    return {"openapi": "3.1.0", "info": {"title": "molecule-approve, embedded server", "version": "1"}, "paths": paths}


def _meaning(status: int) -> str:
    return "done" if status < 300 else 'refused: {"error": sentence, "code"?: word}'


class _Exact(Route):
    """A route that leaves another method to the 404 that the platform gives it, instead of a 405."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        match, child = super().matches(scope)
        return (match, child) if match is Match.FULL else (Match.NONE, {})


@dataclass(frozen=True, slots=True)
class House:
    """What the application is put together from."""

    api: Api
    desk: InboxApi
    pages: Pages
    live: LiveSocket
    doors: Doorkeeper
    addresses: Addresses


def create_app(house: House) -> ASGIApp:
    """The whole server as one ASGI application."""
    doors, routes = house.doors, entrances(house.api, house.desk, house.pages)
    description = describe(routes)

    async def openapi(request: Request) -> Response:
        doors.public(request)
        return answer(description)

    async def nothing(scope: Scope, receive: Receive, send: Send) -> None:
        doors.public(HTTPConnection(scope))
        await PlainTextResponse("404 page not found", 404)(scope, receive, send)

    listed = [_Exact(route.path, route.handler, methods=[route.method]) for route in routes]
    described = _Exact("/openapi.json", openapi, methods=["GET"])
    socket = WebSocketRoute("/ws", house.live.listen)
    return Front(Router([*listed, described, socket], redirect_slashes=False, default=nothing), house.addresses)


# For every answer: whose it is, that it is what its type says, belongs to this origin alone and is kept nowhere; were a
# browser to show it as a page, nothing in it would run. `pages` has a policy of its own.
_SAFE = {
    SERVER_HEADER[0].encode(): SERVER_HEADER[1].encode(),
    b"x-content-type-options": b"nosniff",
    b"content-security-policy": b"default-src 'none'; frame-ancestors 'none'; sandbox",
    b"cross-origin-resource-policy": b"same-origin",
    b"referrer-policy": b"no-referrer",
    b"cache-control": b"no-store",
}


def _headers(message: Message, allowance: Allowance | None) -> list[tuple[bytes, bytes]]:
    found: list[tuple[bytes, bytes]] = [*message.get("headers", ()), *(allowance.headers() if allowance else ())]
    if message["type"] == "websocket.accept":
        return found
    there = {name.lower() for name, _ in found}
    return [*found, *(pair for pair in _SAFE.items() if pair[0] not in there)]


class Front:
    """What every call passes: the check of where it comes from, the headers of every answer, and errors -> answers."""

    def __init__(self, inner: ASGIApp, addresses: Addresses) -> None:
        self._inner = inner
        self._addresses = addresses

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one call or one socket."""
        started = False

        async def sending(message: Message) -> None:
            nonlocal started
            if message["type"] in {"http.response.start", "websocket.accept", "websocket.http.response.start"}:
                started = True
                message = {**message, "headers": _headers(message, scope.get("molecule.allowance"))}
            await send(message)

        try:
            self._addresses.check(HTTPConnection(scope))
            await self._inner(scope, receive, sending)
        except RefusedError as exc:
            await answer(exc.body, exc.status, exc.headers)(scope, receive, sending)
        except (ClientDisconnect, WebSocketDisconnect, ConnectionError):
            return  # nobody is there to be answered
        except Exception:
            if started:
                raise
            logger.exception("a call failed inside the server")
            await answer({"error": "internal error", "code": "internal"}, 500)(scope, receive, sending)
