"""Who may do what: whose token or session a call carries, and how often it may come. What is asked is read elsewhere."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .origins import over_tcp
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

if TYPE_CHECKING:
    from starlette.requests import HTTPConnection

    from .limits import Limits
    from .sessions import Sessions
    from .store import Transaction
    from .values import Holder


LINE = "molecule.line"
"""Where a call's connection stands in ``scope["state"]``: what can be told whose it is."""


@dataclass(frozen=True, slots=True)
class Approver:
    """Somebody who may decide, by the name that the credential carries."""

    name: str
    token_hash: str


@dataclass(frozen=True, slots=True)
class Requester:
    """A workspace that may ask. ``token_hash`` is None for a caller without a token (``--anonymous-requests``)."""

    workspace_id: str
    token_hash: str | None


Caller = Approver | Requester


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who calls, as far as the call itself shows.

    The database is asked inside the transaction that does the work: a token that is revoked in this moment either did
    all of it or nothing.

    Attributes:
        token_hash: the hash of the call's token, or of the token that its session stands for; None where it has neither.
        anonymous: the workspace for which a call without a token may ask, or None where there is no such leave.
        session: the hash of the session, where the call came with one.

    """

    token_hash: str | None
    anonymous: str | None
    session: str | None = None

    def member(self, transaction: Transaction, workspace_id: str, *, open_house: bool = False) -> Caller:
        """An approver, or the workspace itself; with ``open_house`` also a call without a token, where that has leave.

        Raises:
            RefusedError: 401, 404 (no such workspace).

        """
        if self.token_hash is None:
            if open_house and self.anonymous is not None and self.anonymous == workspace_id:
                return Requester(workspace_id, None)
            raise missing_token()
        holder = self._holder(transaction, self.token_hash)
        if holder is None:
            raise wrong_token()
        if holder.workspace_id == workspace_id:
            return Requester(workspace_id, self.token_hash)
        if not transaction.has_workspace(workspace_id):
            raise unknown_workspace()
        if holder.name is None:
            raise wrong_token()
        return Approver(holder.name, self.token_hash)

    def requester(self, transaction: Transaction, workspace_id: str) -> Requester:
        """The workspace itself.

        Raises:
            RefusedError: as for :meth:`member`; 403 for an approver.

        """
        caller = self.member(transaction, workspace_id)
        if isinstance(caller, Approver):
            raise forbidden("only the workspace that asked can do this; an approver's token cannot")
        return caller

    def approver(self, transaction: Transaction, workspace_id: str) -> Approver:
        """Somebody who may decide for the workspace.

        Raises:
            RefusedError: as for :meth:`member`; 403 for the workspace itself.

        """
        caller = self.member(transaction, workspace_id)
        if isinstance(caller, Requester):
            raise forbidden("a requester's token can never decide; an approver's token is needed")
        return caller

    def administrator(self, transaction: Transaction) -> Approver:
        """An approver, on a route that belongs to no workspace.

        Raises:
            RefusedError: 401; 403 for a workspace's token, which is good but not for this.

        """
        if self.token_hash is None:
            raise missing_admin_token()
        holder = self._holder(transaction, self.token_hash)
        if holder is None:
            raise wrong_admin_token()
        if holder.name is None:
            raise forbidden("a requester's token opens nothing on the approvers' side")
        return Approver(holder.name, self.token_hash)

    def listener(self, transaction: Transaction, workspace_id: str) -> Caller:
        """Who may hear this workspace's events; an empty id stands for everybody's, which an approver alone may hear.

        Raises:
            RefusedError: 400 (a workspace must say which one it is), 401, 404.

        """
        if workspace_id:
            return self.member(transaction, workspace_id, open_house=True)
        try:
            return self.administrator(transaction)
        except RefusedError as exc:
            sentence = "X-Workspace-ID is missing; only an approver hears every workspace"
            raise refused(400, sentence, "missing_workspace") from exc

    @staticmethod
    def _holder(transaction: Transaction, token_hash: str) -> Holder | None:
        holder = transaction.holder(token_hash)
        return holder if holder is not None and hmac.compare_digest(holder.token_hash, token_hash) else None


class Doorkeeper:
    """Counts the calls, and lets in what is within the limits.

    Args:
        settings: the limits.
        clock: seconds that never jump.
        anonymous: the workspace for which calls without a token may ask, or None where there is no such leave.
        sessions: who is signed in.

    """

    def __init__(self, settings: Limits, clock: Callable[[], float], anonymous: str | None, sessions: Sessions) -> None:
        self._settings = settings
        self._rates = RateLimiter(clock)
        self._anonymous = anonymous
        self._sessions = sessions

    @staticmethod
    def prove(connection: HTTPConnection, credential: str | None, *, stays: bool) -> None:
        """Count the connection among this credential's (None for all who listen without one).

        Raises:
            RefusedError: 503, it ``stays`` and there is no room for it.

        """
        line = connection.scope.get("state", {}).get(LINE)
        if line is not None and not line.prove(credential or "anonymous") and stays:
            raise refused(
                503,
                "too many streams and held answers are open with this token, or without one",
                "too_many_connections",
            )

    @contextmanager
    def visit(self, connection: HTTPConnection, token: str | None = None) -> Iterator[Visitor]:
        """One call, from its being counted to its answer; a wrong token found in between is counted harder.

        ``token`` is given where it does not stand in the header ``Authorization``.

        Raises:
            RefusedError: 429.

        """
        token = bearer(connection.headers) if token is None else token
        if token is None:
            self.public(connection)
            yield Visitor(None, self._anonymous)
            if connection.scope["type"] == "websocket":
                # Streams stay: they must not take the place where everybody's first call arrives.
                self.prove(connection, None, stays=True)
            return
        shown = hash_token(token)
        # Counted for itself before anybody knows whether it is good: so no stranger's call can cost a good one its turn.
        self._charge(connection, shown, self._settings.rate)
        visitor = self._visitor(connection, shown)
        try:
            yield visitor
        except RefusedError as exc:
            if exc.status == 401:
                # Else one caller with ever other tokens would have no limit, and fill the memory.
                self._rates.forget(shown)
                self._failed(connection)
            raise
        # What an HTTP call asked for is done by now.
        self.prove(connection, visitor.token_hash, stays=connection.scope["type"] == "websocket")

    def _visitor(self, connection: HTTPConnection, shown: str) -> Visitor:
        # A page left open keeps its socket, and calls nothing: that is no use of the session.
        used = connection.scope["type"] == "http"
        owner = self._sessions.owner(shown, used=used)
        if owner is None:
            return Visitor(shown, self._anonymous)
        return Visitor(owner, self._anonymous, shown)

    @contextmanager
    def guess(self, connection: HTTPConnection) -> Iterator[None]:
        """A call whose proof stands in its body: only one without a good one counts, as a wrong token does.

        Raises:
            RefusedError: 429.

        """
        try:
            yield
        except RefusedError as exc:
            if exc.status < 500:
                self._failed(connection)
            raise

    def public(self, connection: HTTPConnection) -> None:
        """Anybody, at the one rate of all strangers.

        Raises:
            RefusedError: 429.

        """
        self._charge(connection, _strangers(connection), self._settings.strangers)

    def _failed(self, connection: HTTPConnection) -> None:
        self._charge(connection, f"failed {_strangers(connection)}", self._settings.failed_logins)

    def _charge(self, connection: HTTPConnection, key: str, limit: int) -> None:
        allowance, within = self._rates.charge(key, limit)
        # `app` writes it into the answer, whatever that turns out to be.
        connection.scope["molecule.allowance"] = allowance
        if not within:
            raise rate_exceeded(allowance.reset)


def _strangers(connection: HTTPConnection) -> str:
    # One address of loopback is as good as the sixteen million others. Only the user comes by the private socket.
    return "over TCP" if over_tcp(connection) else "on the socket"
