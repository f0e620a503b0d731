"""The listening half of every fake: accepts connections on a real socket, and keeps the threads that serve them."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable


class Listener:
    """Accepts connections from ``start`` to ``close``.

    Args:
        listening: the socket, which listens already: who connects before ``start`` waits.
        accepted: called with each connection, one after the other; it serves it in a thread of its own (``spawn``).

    Attributes:
        port: where it listens, or listened.

    """

    def __init__(self, listening: socket.socket, accepted: Callable[[socket.socket], None]) -> None:
        self.port: int = listening.getsockname()[1]
        self._socket = listening
        self._accepted = accepted
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Begin to accept."""
        self.spawn(self._accept)

    def spawn(self, work: Callable[..., None], *arguments: object) -> threading.Thread:
        """Start a thread that ``join`` waits for."""
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()
        return thread

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self._accepted(connection)

    def close(self) -> None:
        """Accept no more; connections that are open stay."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def join(self, seconds: float) -> None:
        """Wait so long for each thread, once the connections have been ended."""
        for thread in self._threads:
            thread.join(seconds)
