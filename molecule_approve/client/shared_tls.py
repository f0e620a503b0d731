"""A TLS socket that two threads use at once, one to read and one to write, as websockets does.

OpenSSL allows only one of them into a session at a time (openssl/openssl#20446), and Python's ``ssl`` does not see to it:
while the reader blocks, a write can get lost, and the handshake of the stream waits for an answer that does not come.
"""

from __future__ import annotations

import os
import select
import socket
import ssl
import threading
import time
import weakref
from collections.abc import Callable
from typing import TypeVar

_T = TypeVar("_T")


class SharedTls:
    """The part of a socket's interface that websockets needs. No thread waits for the network while it has the lock."""

    def __init__(self, tls: ssl.SSLSocket) -> None:
        tls.setblocking(False)
        self._tls = tls
        self._timeout: float | None = None
        self._lock = threading.Lock()
        # A file descriptor of its own: by the time that a thread looks at the socket's, another one may have closed it.
        self._watched = os.dup(tls.fileno())
        weakref.finalize(self, os.close, self._watched)

    def settimeout(self, seconds: float | None) -> None:
        """How long the next reads and writes may wait for the network, each; None for any time."""
        self._timeout = seconds

    def recv(self, size: int) -> bytes:
        """What has come, as soon as something has; empty at the end.

        Raises:
            TimeoutError: nothing came in time.
            OSError: the connection failed.
        """
        return self._repeat(lambda: self._tls.recv(size))

    def sendall(self, data: bytes) -> None:
        """Send all of it.

        Raises:
            TimeoutError: the peer does not take it.
            OSError: the connection failed.
        """
        sent = 0
        while sent < len(data):
            rest = data[sent:]
            sent += self._repeat(lambda rest=rest: self._tls.send(rest))  # type: ignore[misc]  # the default binds it now

    def shutdown(self, how: int) -> None:
        """End the connection at once, also for a thread that waits.

        Raises:
            OSError: it has ended.
        """
        # The socket's own, below TLS: that of `ssl` would take the session away from under a thread that uses it.
        socket.socket.shutdown(self._tls, how)

    def close(self) -> None:
        """Close the socket."""
        with self._lock:
            self._tls.close()

    def _repeat(self, call: Callable[[], _T]) -> _T:
        end = None if self._timeout is None else time.monotonic() + self._timeout
        while True:
            with self._lock:
                try:
                    return call()
                except ssl.SSLWantReadError:
                    wanted = select.POLLIN
                except ssl.SSLWantWriteError:
                    wanted = select.POLLOUT
            poll = select.poll()
            poll.register(self._watched, wanted)
            if not poll.poll(None if end is None else max(0.0, end - time.monotonic()) * 1_000):
                raise TimeoutError("the network is too slow")
