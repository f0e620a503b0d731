"""A call and its answer, as the handlers see them: no more than they need, as each call pays for it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from .asgi import CONNECTION, Headers

if TYPE_CHECKING:
    from .asgi import Receive, Scope, Send
    from .connections import LimitedConnection
    from .rates import Allowance
    from .senders import Sender


@dataclass(frozen=True, slots=True)
class CalledAddress:
    """The address of ours that a call names: ``https://approve.example.org`` and ``/approve``, and whether it is public."""

    origin: str
    base: str = ""
    is_public: bool = False


class HttpCall:
    """A call, or the handshake of an event stream.

    Attributes:
        is_handshake: whether it is one.
        method: GET, POST and so on; empty for a handshake.
        path: without the public path.
        path_params: the parts of the path that the route names.
        connection: the connection on which it came; None if another server than ours passed the call on.
        sender: who sends it; set before any handler is called.
        called: which of our addresses it names; not set for probes, which may name any.
        allowance: what its credential has left of calls, once it is counted.
        accepted: whether the handshake was accepted.
    """

    __slots__ = (
        *("scope", "receive", "_send", "is_handshake", "method", "path", "path_params", "headers"),
        *("connection", "sender", "called", "allowance", "accepted"),
    )

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope = scope
        self.receive = receive
        self._send = send
        self.is_handshake = scope["type"] == "websocket"
        self.method: str = scope.get("method", "")
        self.path: str = scope["path"]
        self.path_params: Mapping[str, str] = {}
        self.headers = Headers(scope["headers"])
        self.connection: LimitedConnection | None = scope.get("state", {}).get(CONNECTION)
        self.sender: Sender
        self.called: CalledAddress
        self.allowance: Allowance | None = None
        self.accepted = False

    @property
    def query(self) -> dict[str, list[str]]:
        """The query parameters, each with all its values."""
        return parse_qs(self.scope["query_string"].decode("latin-1"), keep_blank_values=True)

    async def accept(self, subprotocol: str | None) -> None:
        """Accept the handshake.

        Raises:
            ConnectionAbortedError: the caller has disconnected.
        """
        self.accepted = True
        headers = [] if self.allowance is None else self.allowance.headers()
        try:
            await self._send({"type": "websocket.accept", "subprotocol": subprotocol, "headers": headers})
        except OSError as exc:  # uvicorn's, of no narrower class
            raise ConnectionAbortedError from exc

    async def answer(self, response: Response, further: Iterable[tuple[bytes, bytes]]) -> None:
        """Send the response, with further headers."""
        kind = "websocket.http.response" if self.is_handshake else "http.response"
        headers = [*response.raw_headers(), *further]
        await self._send({"type": f"{kind}.start", "status": response.status, "headers": headers})
        await self._send({"type": f"{kind}.body", "body": response.body})


@dataclass(slots=True)
class Response:
    """An answer; ``headers`` are those beside its type and length."""

    body: bytes
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    media_type: str = "text/plain; charset=utf-8"

    def raw_headers(self) -> list[tuple[bytes, bytes]]:
        """All its headers, with names in lower case."""
        own = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in self.headers.items()]
        return [*own, (b"content-length", b"%d" % len(self.body)), (b"content-type", self.media_type.encode("latin-1"))]


Handler = Callable[[HttpCall], Awaitable[Response | None]]
"""Answers a call; None if it has accepted a handshake."""
