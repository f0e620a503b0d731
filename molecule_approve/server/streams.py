"""Event streams: what remains of a WebSocket connection once its handshake is answered. No task belongs to one.

Frames go straight to the transport. Whatever its reader leaves unread waits in a queue of its own, up to a limit.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from molecule_approve.clock import boottime

from .connections import MOST_PARTS, LimitedConnection

if TYPE_CHECKING:
    from .connections import SocketConnection

TRY_AGAIN_LATER = 1013
"""The close code of a stream that was too slow, or whose token or session is no longer valid."""

SERVICE_RESTART = 1012
"""The close code of a stream whose server stops."""

_CLOSE_TIMEOUT = 1.0
"""Seconds for a client to answer the close frame."""

_CONTROL = 8
"""The first opcode of a control frame (RFC 6455, 5.2)."""


@dataclass(frozen=True, slots=True)
class Interest:
    """What a stream listens to, and by which right.

    Attributes:
        workspaces: the workspaces whose events it gets; None for all.
        approval_id: the only request whose events it gets; None for all.
        credentials: the hash of the token or session that it was opened with, if there is one.
        limit: the workspaces that this was limited to; None for no limit.
    """

    workspaces: frozenset[str] | None
    approval_id: str | None
    credentials: frozenset[str]
    limit: frozenset[str] | None = None


def text_frame(text: str) -> bytes:
    """A whole text message as a server sends it (RFC 6455, 5.2)."""
    payload = text.encode("utf-8")
    size = len(payload)
    if size < 126:
        return bytes((0x81, size)) + payload
    if size < 65_536:
        return b"\x81\x7e" + size.to_bytes(2, "big") + payload
    return b"\x81\x7f" + size.to_bytes(8, "big") + payload


class EventStream(LimitedConnection, asyncio.Protocol):
    """An open stream, in the group of its connection. ``on_end`` is called when it is gone."""

    def __init__(self, connection: SocketConnection, interest: Interest, on_end: Callable[[EventStream], None]) -> None:
        self.interest = interest
        self.pool = connection.pool
        self.over_unix = connection.over_unix
        self._protocol = connection.conn
        self._all = connection.connections
        self._on_end = on_end
        self._waiting: deque[bytes] | None = None
        self._parts = 0
        self._ended_at: float | None = None
        group = connection.group
        self.transport = connection.release()
        self.transport.set_protocol(self)
        self._all.add(self)  # type: ignore[arg-type]  # uvicorn calls only `shutdown`
        self.pool.join(self, group)

    # --- sending

    def put(self, frames: bytes) -> None:
        """Send the frames. If the reader is too slow for them, the stream is closed: no single message is dropped."""
        if self._ended_at is not None or self.transport.is_closing():
            return
        if self._waiting is None:
            self.transport.write(frames)
        elif len(self._waiting) < self.pool.limits.socket_queue:
            self._waiting.append(frames)
        else:
            self.end()

    def end(self) -> None:
        """Drop what waits, and close the stream, so that its client comes back or learns that it may not."""
        if self._waiting is not None:
            self._waiting.clear()
        self._send_close(TRY_AGAIN_LATER)

    def restart(self) -> None:
        """Close the stream, so that its client comes back and reads what it may have missed."""
        self._send_close(SERVICE_RESTART)

    def shutdown(self) -> None:
        """Close the stream because the server stops."""
        self._send_close(SERVICE_RESTART)
        self.transport.close()

    def _send_close(self, code: int) -> None:
        if self._ended_at is None and not self.transport.is_closing():
            self._ended_at = boottime()
            self._protocol.send_close(code)
            self.transport.write(b"".join(self._protocol.data_to_send()))

    def overdue(self, now: float) -> bool:
        """Whether the client takes too long to read, or to answer the close frame."""
        return super().overdue(now) or (self._ended_at is not None and now - self._ended_at >= _CLOSE_TIMEOUT)

    def pause_writing(self) -> None:
        """Keep what comes next, and stop reading from a client that does not read."""
        super().pause_writing()
        self._waiting = deque()
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        """Send what waits, as far as it is taken, and read again."""
        waiting, self._waiting = self._waiting or deque(), None
        while waiting and not self._is_paused():
            self.transport.write(waiting.popleft())
        if self._is_paused():
            self._waiting = waiting
        else:
            self.transport.resume_reading()

    def _is_paused(self) -> bool:
        return self._waiting is not None

    # --- receiving: what a client says is ignored

    def data_received(self, data: bytes) -> None:
        """Answer pings and the close frame."""
        self._protocol.receive_data(data)
        for frame in self._protocol.events_received():
            if frame.opcode < _CONTROL:  # type: ignore[union-attr]  # the handshake was answered, so it is a frame
                self._parts = 0 if frame.fin else self._parts + 1  # type: ignore[union-attr]
        answer = b"".join(self._protocol.data_to_send())
        if answer:
            self.transport.write(answer)
        if self.transport.get_write_buffer_size() > self.pool.limits.unsent or self._parts > MOST_PARTS:
            self.transport.abort()
        elif self._protocol.close_rcvd is not None or self._protocol.parser_exc is not None:
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's
        """Forget the stream."""
        self.pool.leave(self)
        self._all.discard(self)
        self._on_end(self)
