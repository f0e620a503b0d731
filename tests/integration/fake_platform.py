"""A fake of the Molecule platform on a real socket: faithful by default, and able to break at each call.

What it answers is from the recordings (test_fake_platform.py compares). How it breaks is handed to it as functions;
those live in behaviours.py.
"""

from __future__ import annotations

import contextlib
import json
import socket
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from tests.integration.fake_words import error, event, route_of, says
from tests.integration.ledger import Ledger, Row, read_body
from tests.integration.listener import Listener
from tests.integration.raw_http import (
    CLOSE,
    PING,
    PONG,
    Channel,
    PeerGoneError,
    Reply,
    Request,
    frame,
    read_frame,
    read_request,
    switching,
)

if TYPE_CHECKING:
    import ssl

EVERY = range(1, 1_000_000)


@dataclass(frozen=True, slots=True)
class Seen:
    """One request that came: which route, its number among those of that route, and the request."""

    route: str
    number: int
    request: Request


@dataclass(slots=True)
class Exchange:
    """What a behaviour is given: the request, the connection it came on, and the faithful answer on demand."""

    platform: FakePlatform
    route: str
    number: int
    request: Request
    channel: Channel

    def default(self) -> Reply | None:
        """Do what the platform does; None where the connection was taken over (a WebSocket)."""
        return self.platform.answer(self)

    def upgrade(self) -> None:
        """Open the WebSocket, without asking who is there."""
        self.channel.send(switching(self.request.headers["sec-websocket-key"]))


Behaviour = Callable[[Exchange], Reply | None]
"""Answers a request in its own way; None: it dealt with the connection, which then ends."""


_NO_ROUTE = Reply(404, b"404 page not found", (("Content-Type", "text/plain"),))


class FakePlatform(Ledger):
    """The platform. Start it, point the program at ``url``, and ask it afterwards what it saw.

    Attributes:
        workspaces: id -> that workspace's token.
        admin: the administrator's token.
        seen: every HTTP request, in order; handshakes of the socket have the route ``socket``.
        connections: monotonic times of all accepted connections.
        mute: events are dropped.
        dialect: ``native``, ``flat`` or ``both``.
        cors_origin: the Origin that its CORS_ORIGINS names; where that is not set, none at all may be sent.

    """

    def __init__(self, *, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> None:
        super().__init__()
        self.workspace = str(uuid.uuid4())
        self.token = f"fake-token-{uuid.uuid4().hex}"
        self.admin = f"fake-admin-{uuid.uuid4().hex}"
        self.workspaces = {self.workspace: self.token}
        self.seen: list[Seen] = []
        self.connections: list[float] = []
        self.mute = False
        self.dialect = "native"
        self.cors_origin: str | None = None
        self.at_connect: Callable[[Channel, int], bool] | None = None
        self._tls = tls
        self._host = host
        self._port = 0
        self._listener: Listener | None = None
        self._kept: socket.socket | None = None
        self._rules: list[tuple[str, range, Behaviour]] = []
        self._channels: set[Channel] = set()
        self._sockets: list[tuple[str, Channel]] = []

    # --- running ---

    @property
    def port(self) -> int:
        """The port, the same over restarts."""
        return self._port

    @property
    def url(self) -> str:
        """The base address."""
        return f"{'https' if self._tls else 'http'}://{self._host}:{self._port}"

    def start(self) -> Self:
        """Listen, at the same port as before."""
        listening = socket.create_server((self._host, self._port), backlog=64, reuse_port=False)
        listener = self._listener = Listener(listening, lambda sock: self._accepted(listener, sock))
        self._port = listener.port
        listener.start()
        return self

    def leave(self) -> None:
        """Stop, and keep the port: another test's server must not answer in this one's place."""
        self.stop()
        self._kept = socket.socket()
        self._kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._kept.bind((self._host, self._port))

    def stop(self, *, abruptly: bool = False) -> None:
        """Stop listening and end every connection, as a stopped (or a killed) platform does: without a close frame."""
        if self._kept is not None:
            self._kept.close()
            self._kept = None
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.close()
        self.drop_connections(abruptly=abruptly)
        if listener is not None:
            listener.join(2)

    def drop_connections(self, *, abruptly: bool = False) -> None:
        """End every connection and go on listening."""
        with self.changed:
            channels, self._channels, self._sockets = self._channels, set(), []
        for channel in channels:
            channel.reset() if abruptly else channel.finish()

    def _accepted(self, listener: Listener, sock: socket.socket) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self.changed:
            self.connections.append(time.monotonic())
            number = len(self.connections)
            self.changed.notify_all()
        listener.spawn(self._converse, sock, number)

    def _converse(self, sock: socket.socket, number: int) -> None:
        channel = Channel(sock)
        with self.changed:
            self._channels.add(channel)
        try:
            if self.at_connect is not None and self.at_connect(channel, number):
                return
            if self._tls is not None:
                channel.sock = self._tls.wrap_socket(sock, server_side=True)
            while self._serve_one(channel):
                pass
        except (PeerGoneError, OSError, ValueError):
            pass
        finally:
            with self.changed:
                self._channels.discard(channel)
            channel.finish()

    def _serve_one(self, channel: Channel) -> bool:
        exchange = self._record(channel, read_request(channel))
        reply = self._behaviour(exchange)(exchange)
        if reply is None:
            return False
        channel.send(reply.having(*self._rate_headers()).encode())
        return exchange.request.headers.get("connection", "").lower() != "close"

    def _rate_headers(self) -> tuple[tuple[str, str], ...]:
        left = str(max(0, 600 - len(self.seen)))
        return (("X-Ratelimit-Limit", "600"), ("X-Ratelimit-Remaining", left), ("X-Ratelimit-Reset", "59"))

    def _record(self, channel: Channel, request: Request) -> Exchange:
        route = route_of(request)
        with self.changed:
            number = 1 + sum(1 for entry in self.seen if entry.route == route)
            self.seen.append(Seen(route, number, request))
            self.changed.notify_all()
        return Exchange(self, route, number, request, channel)

    def _behaviour(self, exchange: Exchange) -> Behaviour:
        with self.changed:
            for route, calls, behaviour in self._rules:
                if route in {exchange.route, "*"} and exchange.number in calls:
                    return behaviour
        return Exchange.default

    # --- what a test sets and asks ---

    def on(self, route: str, behaviour: Behaviour, calls: range = EVERY) -> Self:
        """Break these calls of a route (``submit list decide pending socket other``, ``*`` for all) in this way."""
        with self.changed:
            self._rules.insert(0, (route, calls, behaviour))
        return self

    def heal(self) -> None:
        """Break nothing any more."""
        with self.changed:
            self._rules.clear()
            self.mute = False

    def until(self, condition: Callable[[], bool], seconds: float = 15.0) -> None:
        """Wait until something is true of what was seen.

        Raises:
            AssertionError: it did not become true in time.

        """
        with self.changed:
            assert self.changed.wait_for(condition, seconds), f"never happened; seen: {[s.route for s in self.seen]}"

    def count(self, route: str) -> int:
        """How many requests of that route came."""
        with self.changed:
            return sum(1 for entry in self.seen if entry.route == route)

    def times(self, route: str) -> list[float]:
        """When they came, on the monotonic clock."""
        with self.changed:
            return [entry.request.at for entry in self.seen if entry.route == route]

    def await_count(self, route: str, number: int, seconds: float = 15.0) -> None:
        """Wait until that many requests of a route came."""
        self.until(lambda: self.count(route) >= number, seconds)

    def await_socket(self, seconds: float = 15.0) -> None:
        """Wait until somebody listens to events."""
        self.until(lambda: bool(self._sockets), seconds)

    def await_rows(self, number: int = 1, seconds: float = 15.0) -> Row:
        """Wait until that many requests are held; the oldest."""
        self.until(lambda: len(self.rows) >= number, seconds)
        return self.rows[0]

    # --- the database ---

    def add(self, workspace: str, body: dict[str, Any]) -> Row:
        """Hold a new request and tell the sockets."""
        row = super().add(workspace, body)
        payload = {"action": row.action, "approval_id": row.id, "reason": row.reason, "task_id": row.task_id}
        self.publish(workspace, event("APPROVAL_REQUESTED", workspace, payload))
        return row

    def decide(self, row: Row, status: str = "approved", by: str = "alice") -> bool:
        """Decide as a person does, with the event; False where it had ended."""
        if not self.change(row, status, by):
            return False
        payload = {"approval_id": row.id, "decided_by": by, "decision": status}
        name = "APPROVAL_APPROVED" if status == "approved" else "APPROVAL_DENIED"
        if self.dialect in {"native", "both"}:
            self.publish(row.workspace, event(name, row.workspace, payload))
        if self.dialect in {"flat", "both"}:
            flat = {"event": "APPROVAL_DECIDED", "approval_id": row.id, "status": status, "decided_by": by}
            self.publish(row.workspace, json.dumps(flat))
        return True

    def say_goodbye(self) -> None:
        """Close every socket cleanly, with a close frame."""
        for _, channel in list(self._sockets):
            with contextlib.suppress(PeerGoneError):
                channel.send(frame((1000).to_bytes(2, "big"), CLOSE))

    def publish(self, workspace: str, text: str) -> None:
        """Send one event to every socket of the workspace (and to those that named none)."""
        if self.mute:
            return
        for owner, channel in list(self._sockets):
            if owner in {workspace, ""}:
                with contextlib.suppress(PeerGoneError):
                    channel.send(frame(text.encode()))

    # --- the routes ---

    def answer(self, exchange: Exchange) -> Reply | None:
        """The faithful answer to a request."""
        handlers: dict[str, Callable[[Exchange], Reply | None]] = {
            "submit": self._submit,
            "list": self._list,
            "decide": self._decide,
            "pending": self._pending,
            "socket": self._socket,
        }
        handler = handlers.get(exchange.route)
        return _NO_ROUTE if handler is None else handler(exchange)

    def _refusal(self, workspace: str, request: Request) -> Reply | None:
        if not workspace:
            return error(401, "missing workspace ID")
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme != "Bearer" or not token:
            return error(401, "missing workspace auth token")
        if token not in {self.admin, self.workspaces.get(workspace)}:
            return error(401, "invalid workspace auth token")
        return None

    def _submit(self, exchange: Exchange) -> Reply:
        workspace = exchange.request.path.split("/")[2]
        refusal = self._refusal(workspace, exchange.request)
        if refusal is not None:
            return refusal
        body = read_body(exchange.request.body)
        if body is None:
            return error(400, "invalid request body")
        if workspace not in self.workspaces or "\0" in body["action"]:
            return error(500, "failed to create approval")
        row = self.add(workspace, body)
        return says(201, {"approval_id": row.id, "status": "pending"})

    def _list(self, exchange: Exchange) -> Reply:
        workspace = exchange.request.path.split("/")[2]
        refusal = self._refusal(workspace, exchange.request)
        return refusal or says(200, self.list_of(workspace))

    def _decide(self, exchange: Exchange) -> Reply:
        _, _, workspace, _, approval_id, _ = exchange.request.path.split("/")
        refusal = self._refusal(workspace, exchange.request)
        if refusal is not None:
            return refusal
        body = json.loads(exchange.request.body or b"{}")
        if "decision" not in body:
            return error(400, "invalid request body")
        if body["decision"] not in {"approved", "denied"}:
            return error(400, "decision must be 'approved' or 'denied'")
        try:
            uuid.UUID(approval_id)
        except ValueError:
            return error(500, "failed to update")
        row = next((row for row in self.rows if row.id == approval_id and row.workspace == workspace), None)
        if row is None or not self.decide(row, body["decision"], body.get("decided_by") or "human"):
            return error(404, "approval not found or already decided")
        return says(200, {"approval_id": approval_id, "status": body["decision"]})

    def _pending(self, exchange: Exchange) -> Reply:
        header = exchange.request.headers.get("authorization", "")
        if not header:
            return error(401, "admin auth required")
        if header != f"Bearer {self.admin}":
            return error(401, "invalid admin auth token")
        self.sweep()
        names = ("action", "created_at", "id", "reason", "status")
        rows = [row for row in reversed(self.rows) if row.status == "pending"]
        listed = [{**{name: getattr(row, name) for name in names}, "workspace_id": row.workspace} for row in rows]
        return says(200, [{**row, "workspace_name": "fake"} for row in listed])

    def _socket(self, exchange: Exchange) -> Reply | None:
        headers = exchange.request.headers
        workspace = headers.get("x-workspace-id", "")
        if headers.get("origin") != self.cors_origin:
            return Reply(403)
        if workspace in self.workspaces:
            token = headers.get("authorization", "").removeprefix("Bearer ")
            if token != self.workspaces[workspace]:
                return error(401, f"{'invalid' if token else 'missing'} workspace auth token")
        elif workspace:
            try:
                uuid.UUID(workspace)
            except ValueError:
                return error(500, "auth check failed")
        exchange.upgrade()
        self.listen(exchange.channel, workspace)
        return None

    def listen(self, channel: Channel, workspace: str) -> None:
        """Serve an open WebSocket until it ends."""
        with self.changed:
            self._sockets.append((workspace, channel))
            self.changed.notify_all()
        try:
            while True:
                opcode, data = read_frame(channel)
                if opcode == PING:
                    channel.send(frame(data, PONG))
                if opcode == CLOSE:
                    channel.send(frame(data, CLOSE))
                    return
        finally:
            with self.changed:
                self._sockets = [entry for entry in self._sockets if entry[1] is not channel]
