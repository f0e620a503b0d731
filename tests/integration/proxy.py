"""A TCP proxy that stands between the program and a server and cuts, stalls, delays or half-closes what passes."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import Self

from tests.integration.listener import Listener

_PIECE = 65_536


class Proxy:
    """Forwards to a port of this machine, and misbehaves when told to. Use it as a context manager.

    Args:
        target: the server's port.
        near: where it listens; a browser names that address in Host and Origin, and the server may want its own port there.
        far: the server's address.

    Attributes:
        delay: seconds that each piece waits before it is passed on.
        connections: how many connections were accepted.

    """

    def __init__(self, target: int, near: tuple[str, int] = ("127.0.0.1", 0), far: str = "127.0.0.1") -> None:
        self.delay = 0.0
        self.connections = 0
        self._target = (far, target)
        self._flowing = threading.Event()
        self._flowing.set()
        self._pause = threading.Event()
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._listener = Listener(socket.create_server(near), self._accepted)
        self.port = self._listener.port

    @property
    def url(self) -> str:
        """The base address to give to the program."""
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._listener.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        self._pause.set()
        self.cut()
        self._listener.join(2)

    def stall(self) -> None:
        """Pass nothing on any more, in either direction, and close nothing: a black hole."""
        self._flowing.clear()

    def resume(self) -> None:
        """Pass everything on again, what was held included."""
        self._flowing.set()

    def cut(self) -> None:
        """End every connection that is open now; later ones are served."""
        pairs, self._pairs = self._pairs, []
        self._flowing.set()
        for near, far in pairs:
            _shut(near, socket.SHUT_RDWR)
            _shut(far, socket.SHUT_RDWR)

    def half_close(self) -> None:
        """Say to the program that nothing more will come, and go on taking what it sends."""
        for near, _ in self._pairs:
            _shut(near, socket.SHUT_WR)

    def _accepted(self, near: socket.socket) -> None:
        self.connections += 1
        try:
            far = socket.create_connection(self._target)
        except OSError:
            near.close()
            return
        self._pairs.append((near, far))
        self._listener.spawn(self._serve, near, far)

    def _serve(self, near: socket.socket, far: socket.socket) -> None:
        with near, far:
            back = self._listener.spawn(self._pump, far, near)
            self._pump(near, far)
            back.join()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(_PIECE):
                self._flowing.wait()
                if self.delay:
                    self._pause.wait(self.delay)
                sink.sendall(data)
        _shut(sink, socket.SHUT_WR)


def _shut(sock: socket.socket, how: int) -> None:
    with contextlib.suppress(OSError):
        sock.shutdown(how)
