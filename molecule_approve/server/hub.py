"""Passes events on to the open sockets and waiting calls; it does not look into the frames.

Everything here runs on the server's event loop, and nothing waits for a slow reader.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager


class Subscriber:
    """The frames that wait for one socket.

    Attributes:
        workspace_id: the workspace whose events it gets; None for all.
        credentials: the hashes of the token and session that it was opened with, if these can be revoked.
    """

    def __init__(self, workspace_id: str | None, credentials: frozenset[str], limit: int) -> None:
        self.workspace_id = workspace_id
        self.credentials = credentials
        self._limit = limit
        self._frames: deque[str] = deque()
        self._awake = asyncio.Event()
        self._gone = asyncio.Event()

    def put(self, frames: Sequence[str]) -> None:
        """Queue the frames. If the reader is too slow for them, the socket is closed: no single message is dropped."""
        if len(self._frames) + len(frames) > self._limit:
            self.end()
            return
        self._frames.extend(frames)
        self._awake.set()

    def end(self) -> None:
        """Drop the queued frames, and have the socket closed."""
        self._gone.set()
        self._frames.clear()
        self._awake.set()

    @property
    def over(self) -> bool:
        """Whether the socket must be closed."""
        return self._gone.is_set()

    async def ended(self) -> None:
        """Wait until the socket must be closed."""
        await self._gone.wait()

    async def next(self) -> str | None:
        """The next frame, as soon as there is one; None when the socket must be closed."""
        while not self._frames and not self._gone.is_set():
            self._awake.clear()
            await self._awake.wait()
        return None if self._gone.is_set() else self._frames.popleft()


class Hub:
    """The sockets that listen, and the calls that wait for one request to end."""

    def __init__(self, queue: int) -> None:
        self._queue = queue
        self._subscriptions: set[Subscriber] = set()
        self._waiting: dict[str, set[asyncio.Event]] = {}
        self._stopped = False
        self._has_sockets = asyncio.Event()

    @contextmanager
    def subscribe(self, workspace_id: str | None, credentials: frozenset[str]) -> Iterator[Subscriber]:
        """Get a workspace's events, or those of all with None, inside this block."""
        subscription = Subscriber(workspace_id, credentials, self._queue)
        self._subscriptions.add(subscription)
        self._has_sockets.set()
        try:
            yield subscription
        finally:
            self._subscriptions.discard(subscription)
            if not self._subscriptions:
                self._has_sockets.clear()

    async def wait_for_socket(self) -> None:
        """Wait until a socket is open."""
        await self._has_sockets.wait()

    def is_awaited(self, workspace_id: str, approval_id: str) -> bool:
        """Whether a socket listens to the workspace, or a call waits for the request."""
        listens = any(one.workspace_id in {None, workspace_id} for one in self._subscriptions)
        return listens or approval_id in self._waiting

    def publish(self, workspace_id: str, frames: Sequence[str]) -> None:
        """Queue the frames for every socket that listens to this workspace."""
        for subscription in self._subscriptions:
            if subscription.workspace_id in {None, workspace_id}:
                subscription.put(frames)

    def credentials(self) -> set[str]:
        """The hashes of the tokens and sessions that the open sockets depend on."""
        return {credential for one in self._subscriptions for credential in one.credentials}

    def drop(self, credential: str) -> None:
        """Close the sockets that depend on this token or session."""
        for subscription in self._subscriptions:
            if credential in subscription.credentials:
                subscription.end()

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

    def restart(self) -> None:
        """Have every socket closed and every waiting call look again: events were missed."""
        for subscription in self._subscriptions:
            subscription.end()
        for waiters in self._waiting.values():
            for event in waiters:
                event.set()

    def stop(self) -> None:
        """Wake every waiting call, because the server stops. Sockets are closed with their connections."""
        self._stopped = True
        for waiters in self._waiting.values():
            for event in waiters:
                event.set()
