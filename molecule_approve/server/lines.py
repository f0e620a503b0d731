"""The connections: what a peer may send as a request's head, how long it may take, and how many of a kind there may be.

Built on uvicorn's protocols. A connection belongs to a group: the strangers of its listener, or, as soon as a good
credential came over it, that credential. Each group has a share of its own, so that no group can lock another one out.
"""

from __future__ import annotations

import re
import resource
import socket
from typing import TYPE_CHECKING, Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from molecule_approve.clock import boottime

from .access import LINE
from .limits import Limits

if TYPE_CHECKING:
    import asyncio

HEAD = 32_768
"""Bytes of a request's head at most."""

_SPARE = 100
"""Descriptors for the database, the audit log, and connections that are just ending."""

_MOST_PARTS = 64
"""Frames of one message at most; an empty one costs its sender almost nothing."""

_SHARES = 6
"""Strangers and a requester, over TCP and on the socket, and two approvers may each have their share at once."""

_FOLDED = re.compile(rb"\n[ \t]")
_HEAD_END = re.compile(rb"\n\r?\n")


class Lines:
    """All connections, by group.

    Args:
        settings: the limits of time and size.
        room: how many connections there may be, of all groups together.

    """

    def __init__(self, settings: Limits, room: int) -> None:
        self.settings = settings
        self.share = max(1, room // _SHARES)
        self._groups: dict[str, dict[_Watched, None]] = {}

    def join(self, line: _Watched, group: str) -> bool:
        """Count the connection among the group's, in place of the one that is silent longest; False where none is."""
        if line.group == group:
            return True
        members = self._groups.get(group, {})
        if len(members) >= self.share:
            silent = next((one for one in members if one.idle), None)
            if silent is None:
                return False
            self.leave(silent)
            silent.transport.abort()
        self.leave(line)
        self._groups.setdefault(group, {})[line] = None
        line.group = group
        return True

    def leave(self, line: _Watched) -> None:
        """Count it no more."""
        members = self._groups.get(line.group)
        if members is not None:
            members.pop(line, None)
            if not members:
                del self._groups[line.group]
        line.group = ""

    def tick(self) -> None:
        """End the connections whose peers take too long."""
        now = boottime()
        for line in [one for members in self._groups.values() for one in members]:
            if line.overdue(now):
                line.transport.abort()


class _Connection(h11.Connection):
    """h11, which leaves alone what means two things to two readers."""

    def next_event(self) -> Any:  # noqa: ANN401 - as h11's
        """The next event.

        Raises:
            h11.RemoteProtocolError: the peer's head, body or framing is none that we take.

        """
        if self.their_state is h11.IDLE:
            data = self.trailing_data[0]
            end = _HEAD_END.search(data)
            if _FOLDED.search(data, 0, end.end() if end else len(data)):
                raise h11.RemoteProtocolError("a header goes on in a second line")
        event = super().next_event()
        if isinstance(event, h11.Request):
            _check_framing(event)
        return event


def served_by(lines: Lines) -> tuple[type[LimitedHttp], type[Socket]]:
    """The protocols of a server that has these connections."""
    return type("ServedHttp", (LimitedHttp,), {"lines": lines}), type("ServedSocket", (Socket,), {"lines": lines})


def room(settings: Limits) -> int:
    """How many connections there may be: descriptors are left for all else that the server opens."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return settings.connections if limit == resource.RLIM_INFINITY else min(settings.connections, limit - _SPARE)


def raise_limit() -> None:
    """Let this process open as many files as the server needs, as far as the system lets it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = Limits().connections + _SPARE
    wanted = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _check_framing(head: h11.Request) -> None:
    names = [name for name, _ in head.headers]
    lengths, codings = names.count(b"content-length"), names.count(b"transfer-encoding")
    if lengths + codings > 1 or (codings and head.http_version != b"1.1"):
        raise h11.RemoteProtocolError("the body's length is given twice")
    if b"upgrade" in names and (lengths or codings) and dict(head.headers).get(b"content-length") != b"0":
        raise h11.RemoteProtocolError("a handshake has no body")


class _Watched:
    """What both kinds of connection have: a group, and a peer that must take what it is sent."""

    transport: asyncio.Transport
    lines: Lines
    group = ""
    private = False
    idle = False
    """Whether it waits for the peer, with a call's head or body."""

    _stuck: float | None = None

    def overdue(self, now: float) -> bool:
        """Whether the peer takes too long to take what it is sent."""
        return self.stuck(now, self.lines.settings.slow)

    def stuck(self, now: float, patience: float) -> bool:
        """Whether something has waited for the peer for so many seconds."""
        if self.transport.get_write_buffer_size() == 0:
            self._stuck = None
        elif self._stuck is None:
            self._stuck = now
        return self._stuck is not None and now - self._stuck >= patience

    def prove(self, credential: str) -> bool:
        """Count it among this credential's from now on; False where those have no room for it."""
        return self.lines.join(self, f"{credential} {'on the socket' if self.private else 'over TCP'}")


class LimitedHttp(_Watched, H11Protocol):
    """One connection that brings calls. ``lines`` is set by the subclass that a server makes for itself."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - uvicorn's
        super().__init__(*args, **kwargs)
        self.conn = _Connection(h11.SERVER, HEAD)
        self.app_state = {**self.app_state, LINE: self}
        self._since = boottime()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take the connection, if its group has room."""
        super().connection_made(transport)
        self.private = transport.get_extra_info("socket").family == socket.AF_UNIX
        if not self.prove("strangers"):
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Count it no more."""
        self.lines.leave(self)
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        """Begin to wait for the next call."""
        self._since = boottime()
        super().on_response_complete()

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """Go on as an event stream, in the same group."""
        group = self.group
        self.lines.leave(self)
        self.group = group
        super().handle_websocket_upgrade(event)

    @property
    def idle(self) -> bool:  # type: ignore[override]
        """Whether it waits for the peer, with a call's head or body."""
        return not self._called or self.cycle.more_body

    @property
    def _called(self) -> bool:
        cycle: object = self.cycle  # uvicorn says that there always is one
        return cycle is not None and not self.cycle.response_complete

    def overdue(self, now: float) -> bool:
        """Whether the peer takes too long: for a head, for a body, or to take its answer."""
        settings = self.lines.settings
        late = self.idle and now - self._since >= (settings.whole_body if self._called else settings.head)
        return late or super().overdue(now)


class Socket(_Watched, WebSocketsSansIOProtocol):
    """One connection of the event stream; it takes the place of the one that brought the handshake."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - uvicorn's
        super().__init__(*args, **kwargs)
        self._former: LimitedHttp = self.app_state[LINE]
        self.app_state = {**self.app_state, LINE: self}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the former one's place."""
        self.private = self._former.private
        super().connection_made(transport)
        # There is room: the former one has just left.
        self.lines.join(self, self._former.group)

    def connection_lost(self, exc: Exception | None) -> None:
        """Count it no more."""
        self.lines.leave(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read, as long as the peer takes what that makes us send: each ping makes a pong."""
        super().data_received(data)
        if self.transport.get_write_buffer_size() > self.lines.settings.unsent or len(self.frames) > _MOST_PARTS:
            self.transport.abort()

    def pause_writing(self) -> None:
        """Hear nothing more from a peer that takes nothing."""
        super().pause_writing()
        self.read_paused = True
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        """Go on."""
        super().resume_writing()
        self.read_paused = False
        self.transport.resume_reading()

    def shutdown(self) -> None:
        """Say goodbye; uvicorn's own fails where the peer has just done so."""
        if not self.transport.is_closing():
            super().shutdown()
