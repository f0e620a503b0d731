"""Who may make which call: whose token or session it carries, and how many calls a minute are allowed."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from .rates import RateLimiter
from .refusals import (
    RefusedError,
    forbidden,
    missing_admin_token,
    missing_token,
    rate_exceeded,
    refused,
    unknown_workspace,
    wrong_admin_token,
    wrong_token,
)
from .tokens import bearer, hash_token
from .users import user_name

if TYPE_CHECKING:
    from .activity import Activity
    from .calls import HttpCall
    from .database.transaction import Transaction
    from .database.values import Holder, SessionLimits
    from .limits import Limits
    from .sessions import Sessions

_MOST_KNOWN = 10_000
"""Credentials that are remembered as valid, by their hashes."""

_BY_HASH = "hash "
"""The beginning of the keys under which the calls of one token are counted."""


@dataclass(frozen=True, slots=True)
class Approver:
    """A person who may decide; the name comes from the credential. ``workspaces``: where; None for everywhere."""

    id: str
    name: str
    workspaces: frozenset[str] | None = None
    session_id: str | None = None


@dataclass(frozen=True, slots=True)
class Requester:
    """Who may make requests in a workspace; a call without a token (``--anonymous-requests``) has no name and no id."""

    workspace_id: str
    name: str | None
    id: str | None = None


Caller = Approver | Requester


@dataclass(slots=True)
class Visitor:
    """The credential of a call.

    It is looked up in the transaction that does the work, so a token that is revoked at this moment did all or nothing.

    Attributes:
        token_hash: the hash of the call's token; None without a credential.
        anonymous: the workspace for which calls without a token may make requests, or None if they may not.
        sessions: how long a session is valid.
        peer_uid: the user at the other end of the Unix socket; None over TCP.
        known: whether the credential was valid a short while ago. It may be revoked since: only a transaction can tell.
        holder: whose the credential is, once it was looked up.
    """

    token_hash: str | None
    anonymous: str | None
    sessions: SessionLimits
    peer_uid: int | None = None
    known: bool = False
    holder: Holder | None = None

    @property
    def group(self) -> str | None:
        """What its connections are counted under: its owner; None without a credential."""
        return self.token_hash if self.holder is None else self.holder.id

    def member(self, transaction: Transaction, workspace_id: str, *, allow_anonymous: bool = False) -> Caller:
        """An approver, or the workspace itself; with ``allow_anonymous`` also a call without a token, if allowed.

        Raises:
            RefusedError: 401, 404 (no such workspace).
        """
        if self.token_hash is None:
            if allow_anonymous and self.anonymous is not None and self.anonymous == workspace_id:
                return Requester(workspace_id, None)
            raise missing_token()
        holder = self._look_up(transaction, self.token_hash)
        if holder is None:
            raise wrong_token()
        if holder.workspace_id == workspace_id:
            return Requester(workspace_id, self._name(holder), holder.id)
        if not transaction.credentials.has_workspace(workspace_id):
            raise unknown_workspace()
        if holder.workspace_id is not None:
            raise wrong_token()
        if holder.workspaces is not None and workspace_id not in holder.workspaces:
            raise forbidden("this approver may not see this workspace's requests")
        return _approver(holder)

    def requester(self, transaction: Transaction, workspace_id: str) -> Requester:
        """The workspace itself.

        Raises:
            RefusedError: as for :meth:`member`; 403 for an approver.
        """
        caller = self.member(transaction, workspace_id)
        if isinstance(caller, Approver):
            raise forbidden("only the requester can do this; an approver's token cannot")
        return caller

    def approver(self, transaction: Transaction, workspace_id: str) -> Approver:
        """An approver.

        Raises:
            RefusedError: as for :meth:`member`; 403 for the workspace itself.
        """
        caller = self.member(transaction, workspace_id)
        if isinstance(caller, Requester):
            raise forbidden("a requester's token cannot decide; use an approver's token")
        return caller

    def administrator(self, transaction: Transaction) -> Approver:
        """An approver, on a route outside any workspace.

        Raises:
            RefusedError: 401; 403 for a workspace's token.
        """
        if self.token_hash is None:
            raise missing_admin_token()
        holder = self._look_up(transaction, self.token_hash)
        if holder is None:
            raise wrong_admin_token()
        if holder.workspace_id is not None:
            raise forbidden("a requester's token cannot be used here; use an approver's token")
        return _approver(holder)

    def listener(self, transaction: Transaction, workspace_id: str) -> Caller:
        """Who may listen to this workspace's events; an empty id means all workspaces, and needs an approver.

        Raises:
            RefusedError: 400 (a workspace must name itself), 401, 404.
        """
        if workspace_id:
            return self.member(transaction, workspace_id, allow_anonymous=True)
        try:
            return self.administrator(transaction)
        except RefusedError as exc:
            sentence = "X-Workspace-ID is missing; only an approver may listen to all workspaces"
            raise refused(400, sentence, "missing_workspace") from exc

    def _name(self, holder: Holder) -> str:
        """The requester's name. Whoever can read the server's own token is known by the Unix socket, if it came there."""
        return user_name(self.peer_uid) if holder.built_in and self.peer_uid is not None else holder.name

    def _look_up(self, transaction: Transaction, token_hash: str) -> Holder | None:
        holder = transaction.credentials.holder(token_hash, self.sessions)
        self.holder = holder if holder is not None and hmac.compare_digest(holder.token_hash, token_hash) else None
        return self.holder


def _approver(holder: Holder) -> Approver:
    return Approver(holder.id, holder.name, holder.workspaces, holder.session_id)


class AccessControl:
    """Counts calls, and refuses those above the limits; the clock is monotonic, in seconds.

    ``anonymous`` is the workspace for which calls without a token may make requests, or None if they may not.
    """

    def __init__(
        self, limits: Limits, clock: Callable[[], float], anonymous: str | None, sessions: Sessions, activity: Activity
    ) -> None:
        self.activity = activity
        self._limits = limits
        self.rates = RateLimiter(clock)
        self._anonymous = anonymous
        self._sessions = sessions
        self._known: set[str] = set()
        self._listing: WeakValueDictionary[str | None, asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def listing(self, visitor: Visitor) -> AsyncIterator[None]:
        """Wait for the turn of this call among those of its credential that make long lists: one at a time fills memory."""
        async with self._listing.setdefault(visitor.group, asyncio.Lock()):
            yield

    @staticmethod
    def assign(call: HttpCall, credential: str | None, *, stays: bool) -> None:
        """Count the connection with those of this credential; None stands for all listeners without one.

        Raises:
            RefusedError: 503, the connection ``stays`` open and there is no room for it.
        """
        found = call.connection
        if found is not None and not found.assign(credential or "anonymous") and stays:
            raise refused(
                503,
                "too many event streams and waiting calls are open with this token, or without one",
                "too_many_connections",
            )

    @contextmanager
    def admit(self, call: HttpCall, token: str | None = None) -> Iterator[Visitor]:
        """Count one call; if its credential turns out to be wrong inside this block, count that as a failed login.

        ``token`` is given if it does not come in the ``Authorization`` header.

        Raises:
            RefusedError: 429.
        """
        token = bearer(call.headers) if token is None else token
        if token is None:
            self.admit_anyone(call)
            yield Visitor(None, self._anonymous, self._sessions.limits)
            if call.is_handshake:
                # Streams stay open: they must not use up the connections on which every first call arrives.
                self.assign(call, None, stays=True)
            return
        shown = hash_token(token)
        # Counted apart before it is known to be valid: so calls with wrong tokens do not use up the rate of a valid one.
        self._charge(call, f"{_BY_HASH}{shown}", self._limits.rate)
        visitor = Visitor(shown, self._anonymous, self._sessions.limits, _peer_uid(call), known=shown in self._known)
        try:
            yield visitor
        except RefusedError as exc:
            if exc.status == 401:
                # Otherwise a caller with a new token each time would have no limit, and fill the memory.
                self.rates.forget(f"{_BY_HASH}{shown}")
                self._known.discard(shown)
                self._failed(call)
            raise
        finally:
            # A page that is left open keeps its socket and makes no calls: that does not extend the session.
            if visitor.holder is not None and not call.is_handshake:
                self._sessions.note_use(visitor.holder)
        if visitor.holder is not None:  # pragma: no branch - each call that ends well has looked its caller up
            self._remember(shown)
        # The work of an HTTP call is done by now.
        self.assign(call, visitor.group, stays=call.is_handshake)

    def _remember(self, shown: str) -> None:
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        self._known.add(shown)

    @contextmanager
    def admit_sign_in(self, call: HttpCall) -> Iterator[None]:
        """A call whose credential is in its body: if it is refused inside this block, count that as a failed login.

        Raises:
            RefusedError: 429.
        """
        try:
            yield
        except RefusedError as exc:
            if exc.status < 500:
                self._failed(call)
            raise

    def ration(self, call: HttpCall, key: str, limit: int) -> None:
        """Count a call of which one owner may make few a minute; the key names the kind of call and the owner.

        Raises:
            RefusedError: 429.
        """
        self._charge(call, key, limit)

    def admit_anyone(self, call: HttpCall) -> None:
        """Count a call that needs no credential, at the rate of such callers from its address.

        Raises:
            RefusedError: 429.
        """
        self._charge(call, _counted_as(call), self._limits.unauthenticated_rate)

    def _failed(self, call: HttpCall) -> None:
        self._charge(call, f"failed {_counted_as(call)}", self._limits.failed_login_rate)
        self.activity.login_failed(call.sender)

    def _charge(self, call: HttpCall, key: str, limit: int) -> None:
        allowance, within = self.rates.charge(key, limit)
        call.allowance = allowance  # `app` adds it to the answer
        if not within:
            raise rate_exceeded(allowance.reset)


def is_counted_everywhere(key: str) -> bool:
    """Whether calls of this key are counted over all servers: not those with a valid token, which one server serves."""
    return not key.startswith(_BY_HASH)


def _peer_uid(call: HttpCall) -> int | None:
    return None if call.connection is None else call.connection.peer_uid


def _counted_as(call: HttpCall) -> str:
    return call.sender.counted_as
