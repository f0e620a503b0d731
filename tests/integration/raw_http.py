"""HTTP/1.1 and WebSocket frames by hand, server side, so that a peer can misbehave at every byte; knows no platform."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http
import socket
import ssl
import struct
import threading
import time
from dataclasses import dataclass, field
from typing import Self

_MAGIC = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
TEXT, CLOSE, PING, PONG = 1, 8, 9, 10

PLAIN = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""What httpx verifies with where plain HTTP is spoken; by itself it reads all authorities for each client: 30 ms of CPU."""


class PeerGoneError(Exception):
    """The other side has closed the connection, or we have."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it came. ``at`` is on the monotonic clock; header names are in small letters."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes
    at: float


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer; the length is added unless a header of that name is there."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()

    def head(self) -> bytes:
        """The status line and the headers, with the empty line."""
        names = {name.lower() for name, _ in self.headers}
        extra = () if {"content-length", "transfer-encoding"} & names else (("Content-Length", str(len(self.body))),)
        phrase = http.HTTPStatus(self.status).phrase
        lines = [f"HTTP/1.1 {self.status} {phrase}", *(f"{name}: {value}" for name, value in (*self.headers, *extra))]
        return "\r\n".join([*lines, "", ""]).encode()

    def encode(self) -> bytes:
        """All of it as it goes over the wire."""
        return self.head() + self.body

    def having(self, *headers: tuple[str, str]) -> Self:
        """The same with further headers."""
        return type(self)(self.status, self.body, (*self.headers, *headers))


@dataclass(slots=True, eq=False)
class Channel:
    """One accepted connection: buffered reading, whole or dribbled writing, and two ways to end it."""

    sock: socket.socket
    _buffer: bytearray = field(default_factory=bytearray)
    _writing: threading.Lock = field(default_factory=threading.Lock)

    def fill(self) -> None:
        """Read some more.

        Raises:
            PeerGoneError: there is no more.

        """
        try:
            data = self.sock.recv(65_536)
        except (OSError, ValueError) as exc:
            raise PeerGoneError from exc
        if not data:
            raise PeerGoneError
        self._buffer += data

    def read_until(self, mark: bytes) -> bytes:
        """Everything up to and with the mark."""
        while mark not in self._buffer:
            self.fill()
        return self.read(self._buffer.index(mark) + len(mark))

    def read(self, count: int) -> bytes:
        """Exactly that many bytes."""
        while len(self._buffer) < count:
            self.fill()
        data = bytes(self._buffer[:count])
        del self._buffer[:count]
        return data

    def send(self, data: bytes) -> None:
        """Write it all.

        Raises:
            PeerGoneError: nobody takes it.

        """
        try:
            with self._writing:
                self.sock.sendall(data)
        except (OSError, ValueError) as exc:
            raise PeerGoneError from exc

    def finish(self) -> None:
        """End it as a program does that closes its connection."""
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()

    def reset(self) -> None:
        """End it as a machine does that was switched off: RST, whatever was on its way."""
        with contextlib.suppress(OSError):
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            # Wakes the thread that reads; the RST then follows from closing with linger 0.
            self.sock.shutdown(socket.SHUT_RD)
        self.sock.close()

    def wait_for_end(self) -> None:
        """Swallow all that comes until the other side goes away or we are stopped."""
        with contextlib.suppress(PeerGoneError):
            while True:
                self._buffer.clear()
                self.fill()


def read_request(channel: Channel) -> Request:
    """The next request of a connection.

    Raises:
        PeerGoneError: there is none.

    """
    head = channel.read_until(b"\r\n\r\n").decode("latin-1")
    first, *lines = head.rstrip("\r\n").split("\r\n")
    method, target, _ = first.split(" ", 2)
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    path, _, query = target.partition("?")
    body = channel.read(int(headers.get("content-length", "0")))
    return Request(method, path, query, headers, body, time.monotonic())


def accept_key(key: str) -> str:
    """The answer to a WebSocket handshake's key (RFC 6455, 4.2.2)."""
    return base64.b64encode(hashlib.sha1((key + _MAGIC).encode()).digest()).decode()


def switching(key: str) -> bytes:
    """The 101 that opens a WebSocket."""
    lines = ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade"]
    return "\r\n".join([*lines, f"Sec-WebSocket-Accept: {accept_key(key)}", "", ""]).encode()


def frame(data: bytes, opcode: int = TEXT) -> bytes:
    """One whole frame from a server (unmasked)."""
    size = len(data)
    if size < 126:
        head = struct.pack("!BB", 0x80 | opcode, size)
    elif size < 65_536:
        head = struct.pack("!BBH", 0x80 | opcode, 126, size)
    else:
        head = struct.pack("!BBQ", 0x80 | opcode, 127, size)
    return head + data


def read_frame(channel: Channel) -> tuple[int, bytes]:
    """The next frame from a client: its opcode and its unmasked data.

    Raises:
        PeerGoneError: there is none.

    """
    first, second = channel.read(2)
    size = second & 0x7F
    if size == 126:
        (size,) = struct.unpack("!H", channel.read(2))
    elif size == 127:
        (size,) = struct.unpack("!Q", channel.read(8))
    mask = channel.read(4) if second & 0x80 else bytes(4)
    data = channel.read(size)
    return first & 0x0F, bytes(byte ^ mask[index % 4] for index, byte in enumerate(data))
