"""Plain clients for the benchmarks: HTTP and WebSocket over bare sockets, as cheap as Python allows."""

from __future__ import annotations

import json
import resource
import select
import socket
import time
from collections.abc import Generator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

PATIENCE = 60.0
_IDLE = 2.0
"""Seconds after which the server may have closed a connection."""

_KEY = "AAAAAAAAAAAAAAAAAAAAAA=="


def raise_limit() -> None:
    """Allow this process, and those that it starts, as many sockets as the system does."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def dialled(place: str) -> socket.socket:
    """A connected socket, to a URL or to the path of a Unix socket."""
    if place.startswith("/"):
        line = socket.socket(socket.AF_UNIX)
        line.settimeout(PATIENCE)
        line.connect(place)
        return line
    where = urlsplit(place)
    line = socket.create_connection((where.hostname or "", where.port or 0), PATIENCE)
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return line


def call(method: str, path: str, token: str, body: dict[str, Any] | None = None) -> bytes:
    """A call's bytes."""
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n"
    if body is None:
        return f"{head}\r\n".encode()
    text = json.dumps(body).encode()
    return f"{head}Content-Type: application/json\r\nContent-Length: {len(text)}\r\n\r\n".encode() + text


def split(heard: bytes) -> tuple[int, bytes] | None:
    """Status and body of an answer, or None before its end."""
    head, found, body = heard.partition(b"\r\n\r\n")
    if not found:
        return None
    length = int(head.lower().partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0])
    return (int(head[9:12]), body) if len(body) >= length else None


class Line:
    """One connection; a call at a time."""

    def __init__(self, url: str, token: str) -> None:
        self.url, self.token = url, token
        self.socket = dialled(url)
        self._used = time.monotonic()

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:  # noqa: ANN401 - JSON
        """Call, and give the answer's JSON; it must be a success."""
        self.send(method, path, body)
        return self.answer()

    def send(self, method: str, path: str, body: dict[str, Any] | None = None) -> None:
        """Call, and leave the answer to be read."""
        now = time.monotonic()
        if now - self._used > _IDLE:
            self.socket.close()
            self.socket = dialled(self.url)
        self._used = now
        self.socket.sendall(call(method, path, self.token, body))

    def answer(self) -> Any:  # noqa: ANN401 - JSON
        """The answer to what was sent."""
        heard = b""
        while (found := split(heard)) is None:
            piece = self.socket.recv(1_048_576)
            if not piece:
                raise ConnectionError(f"the server hung up after {heard[:200]!r}")
            heard += piece
        status, body = found
        if status >= 300:
            raise RuntimeError(f"{status} {body[:300]!r}")
        return json.loads(body) if body.startswith((b"{", b"[")) else None

    def close(self) -> None:
        """Hang up."""
        self.socket.close()


def listening(place: str, workspace_id: str, token: str, approval_id: str | None = None) -> socket.socket:
    """An open event stream; with an id, its request's events only, where the server knows that."""
    names = {
        "Host": "localhost",
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": _KEY,
        "X-Workspace-ID": workspace_id,
        "Authorization": f"Bearer {token}",
        **({} if approval_id is None else {"X-Approval-ID": approval_id}),
    }
    line = dialled(place)
    line.sendall(
        ("GET /ws HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in names.items()) + "\r\n").encode()
    )
    heard = b""
    while b"\r\n\r\n" not in heard:
        heard += line.recv(4_096)
    if not heard.startswith(b"HTTP/1.1 101"):
        raise RuntimeError(heard[:300])
    return line


def drain(sockets: list[socket.socket]) -> None:
    """Read what came to any of them, until nothing has come for a moment."""
    poll = select.epoll()
    by_number = {one.fileno(): one for one in sockets}
    for number in by_number:
        poll.register(number, select.EPOLLIN)
    while ready := poll.poll(0.03):
        for number, _ in ready:
            by_number[number].recv(1_048_576)
    poll.close()


@dataclass
class Round:
    """One client of a storm: it asks, decides and redeems, again and again. It has a connection for each credential."""

    requests: str
    asker: Line
    decider: Line
    done: int = 0

    def steps(self) -> Generator[tuple[Line, bytes], Any, None]:
        """What it sends, and where; it gets the answer's JSON."""
        while True:
            task = f"{id(self)}-{self.done}"
            asked = yield self.asker, call("POST", self.requests, self.asker.token, {"action": "deploy", "task_id": task})
            path = f"{self.requests}/{asked['approval_id']}"
            yield self.decider, call("POST", f"{path}/decide", self.decider.token, {"decision": "approved"})
            used = {"invocation": "6d1a9ad0-6a0e-4d3b-9d0e-0d8f2f0c9a11"}
            yield self.asker, call("POST", f"{path}/redeem", self.asker.token, used)
            self.done += 1


def storm(url: str, requests: str, tokens: tuple[str, str], clients: int, seconds: float) -> tuple[int, float]:
    """So many clients for so long: requests that were asked, decided and redeemed, and the seconds that it really took."""
    with ExitStack() as stack:
        rounds = [Round(requests, Line(url, tokens[0]), Line(url, tokens[1])) for _ in range(clients)]
        poll, waiting = select.epoll(), {}
        stack.callback(poll.close)
        start = time.perf_counter()
        for one in rounds:
            steps = one.steps()
            line, sent = next(steps)
            line.socket.sendall(sent)
            for each in (one.asker, one.decider):
                stack.callback(each.close)
                poll.register(each.socket.fileno(), select.EPOLLIN)
                waiting[each.socket.fileno()] = (each, steps)
        while time.perf_counter() < start + seconds:
            for number, _ in poll.poll(1.0):
                line, steps = waiting[number]
                target, sent = steps.send(line.answer())
                target.socket.sendall(sent)
        return sum(one.done for one in rounds), time.perf_counter() - start
