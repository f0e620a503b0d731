"""The ASGI application: the list of routes, the checks and headers of every call, and errors -> answers."""

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
from .openid.steps import RETURN
from .origins import wants_page
from .refusals import RefusedError
from .senders import SENDER, sender_of

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from .access import AccessControl
    from .activity import Activity
    from .health import Health
    from .inbox import InboxApi
    from .live import LiveSocket
    from .openid_sign_in import OpenIdApi
    from .origins import Addresses
    from .pages import Pages
    from .plan import Network
    from .rates import Allowance
    from .sign_in import SignInApi

logger = logging.getLogger("molecule_approve.server")


@dataclass(frozen=True, slots=True)
class RouteSpec:
    """One route. The handler's docstring is its summary in ``/openapi.json``; ``shown`` says whether it is listed there."""

    method: str
    path: str
    handler: Handler
    statuses: tuple[int, ...]
    shown: bool = True


DOCUMENTS = ("/", "/requests/{approval_id}", "/history", "/sessions", RETURN)
"""The addresses of the page."""


def route_specs(handlers: Handlers) -> list[RouteSpec]:
    """Every route except ``/openapi.json`` and the WebSocket."""
    api, inbox, pages, health = handlers.api, handlers.inbox, handlers.pages, handlers.health
    sign_in, openid = handlers.sign_in, handlers.openid
    requests = "/workspaces/{workspace_id}/approvals"
    request = requests + "/{approval_id}"
    return [
        RouteSpec("POST", requests, api.submit, (200, 201, 400, 401, 404, 409, 413, 422, 429, 503)),
        RouteSpec("GET", requests, api.newest, (200, 401, 404, 422, 429, 503)),
        RouteSpec("GET", request, api.one, (200, 401, 404, 422, 429, 503)),
        RouteSpec("POST", request + "/decide", api.decide, (200, 400, 401, 403, 404, 409, 413, 422, 429, 503)),
        RouteSpec("POST", request + "/redeem", api.redeem, (200, 400, 401, 403, 404, 409, 413, 422, 429, 503)),
        RouteSpec("POST", request + "/withdraw", api.withdraw, (200, 401, 403, 404, 409, 429, 503)),
        RouteSpec("GET", "/approvals/pending", api.pending, (200, 401, 403, 429, 503)),
        RouteSpec("GET", "/health", api.health, (200, 429)),
        RouteSpec("GET", "/healthz", health.live, (200,)),
        RouteSpec("GET", "/readyz", health.ready, (200, 503)),
        RouteSpec("GET", "/metrics", health.metrics, (200, 403)),
        RouteSpec("GET", "/desk/sign-in", sign_in.ways, (200, 429)),
        RouteSpec("POST", "/desk/session", sign_in.sign_in, (201, 400, 401, 403, 413, 422, 429, 503)),
        RouteSpec("POST", "/desk/session/end", sign_in.sign_out, (200, 401, 403, 422, 429, 503)),
        RouteSpec("POST", "/desk/code", sign_in.make_code, (201, 401, 403, 429, 503)),
        RouteSpec("GET", "/desk/sessions", sign_in.list_sessions, (200, 401, 403, 429, 503)),
        RouteSpec("POST", "/desk/sessions/{session_id}/end", sign_in.end_session, (200, 401, 403, 404, 429, 503)),
        RouteSpec("POST", "/desk/openid/start", openid.start, (201, 400, 404, 413, 422, 429, 503)),
        RouteSpec("POST", RETURN, openid.finish, (201, 400, 401, 403, 404, 413, 422, 429, 503)),
        RouteSpec("GET", "/desk/requests", inbox.requests, (200, 401, 403, 429, 503)),
        RouteSpec("GET", "/desk/list", inbox.pending, (200, 401, 403, 422, 429, 503)),
        RouteSpec("GET", "/desk/requests/{approval_id}", inbox.one, (200, 401, 403, 404, 429, 503)),
        RouteSpec("GET", "/desk/history", inbox.history, (200, 401, 403, 422, 429, 503)),
        *(RouteSpec("GET", path, pages.document, (200, 404), shown=False) for path in DOCUMENTS),
        RouteSpec("GET", "/static/{name}", pages.part, (200, 404), shown=False),
        RouteSpec("POST", "/workspaces//approvals", api.nameless, (401, 429), shown=False),
        RouteSpec("GET", "/workspaces//approvals", api.nameless, (401, 429), shown=False),
    ]


def describe(routes: list[RouteSpec]) -> dict[str, Any]:
    """The routes as an OpenAPI document: paths, parameters and statuses, without the bodies."""
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


@dataclass(frozen=True, slots=True)
class _RouteHandler:
    """A handler as an ASGI application. `Front` answers errors; the wrapper of starlette would catch them first."""

    handler: Handler

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answered = await self.handler(Request(scope, receive, send))
        await answered(scope, receive, send)


class _Exact(Route):
    """A route that answers other methods with 404, as the platform does, not with 405."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        # No id has a NUL, and PostgreSQL refuses a statement with one: that would look like a database that is away.
        if "\0" in scope["path"]:
            return Match.NONE, {}
        match, child = super().matches(scope)
        return (match, child) if match is Match.FULL else (Match.NONE, {})


@dataclass(frozen=True, slots=True)
class Handlers:
    """The parts of the application. ``proxies`` are the networks whose word about a call's sender counts."""

    api: Api
    inbox: InboxApi
    sign_in: SignInApi
    openid: OpenIdApi
    pages: Pages
    live: LiveSocket
    access: AccessControl
    addresses: Addresses
    health: Health
    activity: Activity
    proxies: tuple[Network, ...] = ()


def create_app(handlers: Handlers) -> ASGIApp:
    """The server as one ASGI application."""
    access, routes = handlers.access, route_specs(handlers)
    description = describe(routes)

    async def openapi(request: Request) -> Response:
        access.admit_anyone(request)
        return answer(description)

    async def unknown_path(scope: Scope, receive: Receive, send: Send) -> None:
        access.admit_anyone(HTTPConnection(scope))
        await PlainTextResponse("404 page not found", 404)(scope, receive, send)

    listed = [_Exact(route.path, _RouteHandler(route.handler), methods=[route.method]) for route in routes]
    described = _Exact("/openapi.json", _RouteHandler(openapi), methods=["GET"])
    socket = WebSocketRoute("/ws", handlers.live.listen)
    router = Router([*listed, described, socket], redirect_slashes=False, default=unknown_path)
    return Front(router, handlers.addresses, handlers.pages, handlers.activity, handlers.proxies)


_SWITCHED = 101
"""The status of a handshake that succeeds."""

# On every answer. If a browser shows one as a page, nothing in it runs; `pages` has a policy of its own.
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
    present = {name.lower() for name, _ in found}
    return [*found, *(pair for pair in _SAFE.items() if pair[0] not in present)]


class Front:
    """Wraps every call: checks its origin, adds the headers of every answer, and answers errors."""

    def __init__(
        self, inner: ASGIApp, addresses: Addresses, pages: Pages, activity: Activity, proxies: tuple[Network, ...] = ()
    ) -> None:
        self._inner = inner
        self._addresses = addresses
        self._pages = pages
        self._activity = activity
        self._proxies = proxies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one call or one socket."""
        scope = self._addresses.without_base(scope)
        connection = HTTPConnection(scope)
        started = False

        async def sending(message: Message) -> None:
            nonlocal started
            if message["type"] in {"http.response.start", "websocket.accept", "websocket.http.response.start"}:
                started = True
                self._activity.numbers.answered(message.get("status", _SWITCHED))
                message = {**message, "headers": _headers(message, scope.get("molecule.allowance"))}
            await send(message)

        try:
            sender = scope[SENDER] = sender_of(connection, self._proxies)
            self._addresses.check(connection, sender)
            await self._inner(scope, receive, sending)
        except RefusedError as exc:
            await self._refusal(connection, exc)(scope, receive, sending)
        except (ClientDisconnect, WebSocketDisconnect, ConnectionError):
            return  # the caller has disconnected
        except Exception:
            if started:
                raise
            logger.exception("internal error while answering a call")
            await answer({"error": "internal error", "code": "internal"}, 500)(scope, receive, sending)

    def _refusal(self, connection: HTTPConnection, exc: RefusedError) -> Response:
        if exc.status == 421:
            self._activity.host_refused(", ".join(connection.headers.getlist("host")), connection.scope[SENDER])
            if wants_page(connection):
                return self._pages.wrong_address(self._addresses.home)
        return answer(exc.body, exc.status, exc.headers)
