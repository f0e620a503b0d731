"""A proxy in front of PostgreSQL that breaks a connection when a commit was sent, and its answer is due."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING, Self

from tests.integration.listener import Listener

if TYPE_CHECKING:
    from types import TracebackType

_PIECE = 65_536
_COMMIT = b"; COMMIT\0"
"""How a commit of what was written ends; whoever only reads says the word alone."""


class CommitProxy:
    """Passes everything on, until it is told to break a commit. Use it as a context manager.

    Attributes:
        port: where it listens, on loopback.
        broken: how many commits it broke.

    """

    def __init__(self, target: int) -> None:
        self._target = target
        self._left = 0
        self._reaches = False
        self._lock = threading.Lock()
        self._links: list[socket.socket] = []
        self.broken = 0
        self._listener = Listener(socket.create_server(("127.0.0.1", 0)), self._accepted)
        self.port = self._listener.port

    def __enter__(self) -> Self:
        self._listener.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None) -> None:
        self._listener.close()
        for link in self._links:
            _end(link)
        self._listener.join(2)

    def break_next(self, count: int = 1, *, reaches: bool) -> None:
        """Break the next commits: each is carried out if it ``reaches`` the database; its answer never comes back."""
        with self._lock:
            self._left, self._reaches = count, reaches

    def _takes(self) -> bool:
        with self._lock:
            if self._left == 0:
                return False
            self._left -= 1
            self.broken += 1
            return True

    def _accepted(self, near: socket.socket) -> None:
        self._listener.spawn(self._serve, near)

    def _serve(self, near: socket.socket) -> None:
        with near, socket.create_connection(("127.0.0.1", self._target)) as far:
            self._links += (near, far)
            deaf = threading.Event()
            answers = self._listener.spawn(self._answers, far, near, deaf)
            while data := _received(near):
                if _COMMIT in data and self._takes():
                    if not self._reaches:
                        break
                    deaf.set()
                _sent(far, data)
            _end(far)
            answers.join(5)
            _end(near)

    @staticmethod
    def _answers(far: socket.socket, near: socket.socket, deaf: threading.Event) -> None:
        while data := _received(far):
            if deaf.is_set():
                break
            _sent(near, data)
        _end(near)


def _received(link: socket.socket) -> bytes:
    try:
        return link.recv(_PIECE)
    except OSError:
        return b""


def _sent(link: socket.socket, data: bytes) -> None:
    try:
        link.sendall(data)
    except OSError:
        _end(link)


def _end(link: socket.socket) -> None:
    try:
        link.shutdown(socket.SHUT_RDWR)
    except OSError:
        return
