"""WebSocket: who may listen, and to what. ``service`` makes the events, ``streams`` sends them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, cast

from molecule_approve.wire import REQUEST_HEADER

from .access import Approver
from .bodies import parse_approval_id
from .streams import EventStream, Interest

if TYPE_CHECKING:
    from .access import AccessControl, Caller, Visitor
    from .calls import HttpCall
    from .connections import SocketConnection
    from .hub import Hub
    from .threads import DatabaseThreads

INBOX_PROTOCOL = "molecule-desk"
"""The subprotocol of the inbox page, which listens to all workspaces; its session comes as a second subprotocol."""

_SESSION = "session."


@dataclass(frozen=True, slots=True)
class LiveSocket:
    """``GET /ws``."""

    hub: Hub
    access: AccessControl
    database: DatabaseThreads

    async def listen(self, call: HttpCall) -> None:
        """Accept the socket, which becomes an event stream; its call ends here."""
        is_inbox = INBOX_PROTOCOL in call.scope["subprotocols"]
        workspace_id = "" if is_inbox else call.headers.get("x-workspace-id") or ""
        with self.access.admit(call, _session(call) if is_inbox else None) as visitor:
            check = visitor.administrator if is_inbox else partial(visitor.listener, workspace_id=workspace_id)
            caller = await self.database.read(check)
            approval_id = None if is_inbox else parse_approval_id(call.headers.get(REQUEST_HEADER))
        limit = caller.workspaces if isinstance(caller, Approver) else None
        interest = Interest(_workspaces(caller, workspace_id), approval_id, _credentials(visitor), limit)
        await call.accept(INBOX_PROTOCOL if is_inbox else None)
        # In the same step as the answer is sent, so that a client that reads after it misses no event.
        connection = cast("SocketConnection", call.connection)
        if not connection.transport.is_closing():  # pragma: no branch - the client goes away in this very moment
            self.hub.subscribe(EventStream(connection, interest, self.hub.unsubscribe))


def _workspaces(caller: Caller, workspace_id: str) -> frozenset[str] | None:
    """The workspaces whose events the caller gets: the one that it named, or all that it may see."""
    if isinstance(caller, Approver) and not workspace_id:
        return caller.workspaces
    return frozenset({workspace_id})


def _session(call: HttpCall) -> str | None:
    """The session in the page's subprotocols: a page cannot set a header, and a URL would be logged."""
    offered: list[str] = call.scope["subprotocols"]
    return next((name.removeprefix(_SESSION) for name in offered if name.startswith(_SESSION)), None)


def _credentials(visitor: Visitor) -> frozenset[str]:
    """The hash of the token or session that the socket depends on."""
    return frozenset() if visitor.token_hash is None else frozenset({visitor.token_hash})
