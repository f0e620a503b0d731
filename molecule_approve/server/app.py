"""The ASGI application: the list of routes, the checks and headers of every call, and errors -> answers."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from molecule_approve.wire import SERVER_HEADER

from .api import Api, answer
from .calls import HttpCall, Response
from .openid.steps import RETURN
from .origins import wants_page
from .refusals import RefusedError
from .routes import Routes, RouteSpec
from .senders import sender_of

if TYPE_CHECKING:
    from .access import AccessControl
    from .activity import Activity
    from .asgi import App, Receive, Scope, Send
    from .health import Health
    from .inbox import InboxApi
    from .keys import KeysApi
    from .live import LiveSocket
    from .openid_sign_in import OpenIdApi
    from .origins import Addresses
    from .pages import Pages
    from .passkey_api import PasskeyApi
    from .plan import Network
    from .receipts import ReceiptApi
    from .sign_in import SignInApi

logger = logging.getLogger("molecule_approve.server")


DOCUMENTS = ("/", "/requests/{approval_id}", "/history", "/sessions", RETURN)
"""The addresses of the page."""


def route_specs(handlers: Handlers) -> list[RouteSpec]:
    """Every route except ``/openapi.json`` and the WebSocket."""
    api, inbox, pages, health = handlers.api, handlers.inbox, handlers.pages, handlers.health
    sign_in, openid, passkeys = handlers.sign_in, handlers.openid, handlers.passkeys
    requests = "/workspaces/{workspace_id}/approvals"
    request = requests + "/{approval_id}"
    return [
        RouteSpec("POST", requests, api.submit, (200, 201, 400, 401, 404, 409, 413, 422, 429, 503)),
        RouteSpec("GET", requests, api.newest, (200, 401, 404, 422, 429, 503)),
        RouteSpec("GET", request, api.one, (200, 401, 404, 422, 429, 503)),
        RouteSpec("POST", request + "/decide", api.decide, (200, 400, 401, 403, 404, 409, 413, 422, 429, 503)),
        RouteSpec("POST", request + "/retract", api.retract, (200, 401, 403, 404, 409, 429, 503)),
        RouteSpec("GET", request + "/receipt", handlers.receipts.receipt, (200, 401, 403, 404, 409, 429, 503)),
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
        RouteSpec("GET", "/desk/keys", handlers.keys.own, (200, 401, 403, 429, 503)),
        RouteSpec("POST", "/desk/keys", handlers.keys.add, (201, 400, 401, 403, 409, 413, 422, 429, 503)),
        RouteSpec("POST", "/desk/keys/{key_id}/remove", handlers.keys.remove, (200, 401, 403, 404, 429, 503)),
        RouteSpec("GET", "/desk/passkeys", passkeys.own, (200, 401, 403, 429, 503)),
        RouteSpec("POST", "/desk/keys/invitation", passkeys.invited, (200, 400, 401, 404, 413, 422, 429, 503)),
        RouteSpec("POST", "/desk/keys/passkey", passkeys.enrol, (201, 400, 401, 404, 409, 413, 422, 429, 503)),
        RouteSpec(
            "POST", "/desk/keys/passkey/further", passkeys.enrol_further, (201, 400, 401, 403, 404, 409, 413, 422, 429, 503)
        ),
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
class Handlers:
    """The parts of the application. ``proxies`` are the networks whose word about a call's sender counts."""

    api: Api
    receipts: ReceiptApi
    inbox: InboxApi
    sign_in: SignInApi
    openid: OpenIdApi
    passkeys: PasskeyApi
    pages: Pages
    live: LiveSocket
    access: AccessControl
    addresses: Addresses
    health: Health
    activity: Activity
    keys: KeysApi
    proxies: tuple[Network, ...] = ()


def create_app(handlers: Handlers) -> App:
    """The server as one ASGI application."""
    access, specs = handlers.access, route_specs(handlers)
    description = describe(specs)

    async def openapi(call: HttpCall) -> Response:
        access.admit_anyone(call)
        return answer(description)

    async def unknown_path(call: HttpCall) -> Response:
        access.admit_anyone(call)
        return Response(b"404 page not found", 404)

    described = RouteSpec("GET", "/openapi.json", openapi, (200, 429))
    socket = RouteSpec(_HANDSHAKE, "/ws", handlers.live.listen, ())
    routes = Routes([*specs, described, socket], unknown_path)
    return Front(routes, handlers.addresses, handlers.pages, handlers.activity, handlers.proxies)


_HANDSHAKE = ""
"""The method of an event stream's route: a handshake has none."""

_SWITCHED = 101
"""The status of a handshake that succeeds."""

# On every answer. If a browser shows one as a page, nothing in it runs; `pages` has a policy of its own.
_SAFE = [
    (SERVER_HEADER[0].encode(), SERVER_HEADER[1].encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'; sandbox"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
]


class Front:
    """Receives every call: checks its origin, finds its route, adds the headers of every answer, and answers errors."""

    def __init__(
        self, routes: Routes, addresses: Addresses, pages: Pages, activity: Activity, proxies: tuple[Network, ...] = ()
    ) -> None:
        self._routes = routes
        self._addresses = addresses
        self._pages = pages
        self._activity = activity
        self._proxies = proxies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one call or one handshake."""
        call = HttpCall(scope, receive, send)
        try:
            response = await self._response(call)
        except RefusedError as exc:
            response = self._refusal(call, exc)
        except ConnectionError:
            return  # the caller has disconnected
        except Exception:
            if call.accepted:
                raise
            logger.exception("internal error while answering a call")
            response = answer({"error": "internal error", "code": "internal"}, 500)
        self._activity.numbers.answered(_SWITCHED if response is None else response.status)
        if response is not None:
            await call.answer(response, _further(call, response))

    async def _response(self, call: HttpCall) -> Response | None:
        call.path = self._addresses.without_base(call.path)
        call.sender = sender_of(call.scope, call.headers, self._proxies)
        self._addresses.check(call)
        handler, call.path_params = self._routes.find(call.method, call.path)
        return await handler(call)

    def _refusal(self, call: HttpCall, exc: RefusedError) -> Response:
        if exc.status == 421:
            self._activity.host_refused(", ".join(call.headers.all("host")), call.sender)
            if wants_page(call):
                return self._pages.wrong_address(self._addresses.to_open(call))
        return answer(exc.body, exc.status, exc.headers)


def _further(call: HttpCall, response: Response) -> list[tuple[bytes, bytes]]:
    """The headers of every answer, but for those that it has itself."""
    counted = [] if call.allowance is None else call.allowance.headers()
    if not response.headers:
        return counted + _SAFE
    own = {name.lower().encode("latin-1") for name in response.headers}
    return counted + [pair for pair in _SAFE if pair[0] not in own]
