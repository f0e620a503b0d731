"""Passes events on to the open streams and waiting calls; it does not look into the frames.

Everything here runs on the server's event loop, and nothing waits for a slow reader.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from .streams import text_frame

if TYPE_CHECKING:
    from .streams import EventStream


class Hub:
    """The streams that are open, and the calls that wait for one request to end."""

    def __init__(self) -> None:
        self._streams: set[EventStream] = set()
        # By the request that a stream names; else by workspace, with None for all of them.
        self._of_request: dict[str | None, set[EventStream]] = {}
        self._of_workspace: dict[str | None, set[EventStream]] = {}
        self._waiting: dict[str, set[asyncio.Event]] = {}
        self._stopped = False
        self._has_streams = asyncio.Event()

    # --- streams

    def subscribe(self, stream: EventStream) -> None:
        """Send to the stream, from now on, what it listens to."""
        self._streams.add(stream)
        for places, key in self._places(stream):
            places.setdefault(key, set()).add(stream)
        self._has_streams.set()

    def unsubscribe(self, stream: EventStream) -> None:
        """Forget the stream."""
        self._streams.discard(stream)
        for places, key in self._places(stream):
            listening = places.get(key, set())
            listening.discard(stream)
            if not listening:
                places.pop(key, None)
        if not self._streams:
            self._has_streams.clear()

    def _places(self, stream: EventStream) -> Iterator[tuple[dict[str | None, set[EventStream]], str | None]]:
        interest = stream.interest
        if interest.approval_id is not None:
            yield self._of_request, interest.approval_id
        else:
            keys: Iterable[str | None] = (None,) if interest.workspaces is None else interest.workspaces
            for key in keys:
                yield self._of_workspace, key

    @property
    def sockets(self) -> int:
        """How many sockets listen."""
        return len(self._streams)

    @property
    def waiting(self) -> int:
        """How many calls wait for the end of a request."""
        return sum(map(len, self._waiting.values()))

    async def wait_for_socket(self) -> None:
        """Wait until a stream is open."""
        await self._has_streams.wait()

    def is_awaited(self, workspace_id: str, approval_id: str) -> bool:
        """Whether a stream listens to the request or its workspace, or a call waits for it."""
        named = approval_id in self._of_request or approval_id in self._waiting
        return named or workspace_id in self._of_workspace or None in self._of_workspace

    def awaited(self) -> list[str]:
        """The requests that streams name, and that calls wait for."""
        return [*self._waiting, *(approval_id for approval_id in self._of_request if approval_id is not None)]

    def publish(self, workspace_id: str, approval_id: str, frames: Sequence[str]) -> None:
        """Send the frames to every stream that listens to this request or workspace; those that name it are the first."""
        sent = b"".join(map(text_frame, frames))
        for stream in [*self._of_request.get(approval_id, ())]:
            allowed = stream.interest.workspaces
            if allowed is None or workspace_id in allowed:
                stream.put(sent)
        for key in (workspace_id, None):
            for stream in [*self._of_workspace.get(key, ())]:
                stream.put(sent)

    def rights(self) -> set[tuple[str, frozenset[str] | None]]:
        """The hashes of the tokens and sessions that the open streams depend on, each with the limit that it had."""
        found = (stream.interest for stream in self._streams)
        return {(credential, one.limit) for one in found for credential in one.credentials}

    def drop(self, credential: str) -> None:
        """Close the streams that depend on this token or session."""
        for stream in [*self._streams]:
            if credential in stream.interest.credentials:
                stream.end()

    def restart(self) -> None:
        """Close the streams that listen to whole workspaces: events may have been missed, so their clients read again."""
        for stream in {stream for streams in self._of_workspace.values() for stream in streams}:
            stream.restart()

    # --- waiting calls

    @contextmanager
    def waiting_for(self, approval_id: str) -> Iterator[asyncio.Event]:
        """An event that is set when the request ends, or when the server stops."""
        event = asyncio.Event()
        if self._stopped:
            event.set()
        waiters = self._waiting.setdefault(approval_id, set())
        waiters.add(event)
        try:
            yield event
        finally:
            waiters.discard(event)
            if not waiters:
                self._waiting.pop(approval_id, None)

    def ended(self, approval_id: str) -> None:
        """Wake the calls that wait for this request."""
        for event in self._waiting.get(approval_id, ()):
            event.set()

    def stop(self) -> None:
        """Wake every waiting call, because the server stops. Streams are closed with their connections."""
        self._stopped = True
        for waiters in self._waiting.values():
            for event in waiters:
                event.set()
