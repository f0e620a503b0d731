"""Who may do what: tokens, roles, the rules for Host and Origin, the limits on rates. What is asked is read elsewhere."""

from __future__ import annotations

import hashlib
import hmac
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

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
from .settings import MINUTE, Settings

if TYPE_CHECKING:
    from starlette.requests import HTTPConnection

    from .rows import Holder
    from .store import Transaction


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

HTTP_PORT = 80


def hash_token(token: str) -> str:
    """What the database keeps of a token. A plain hash is enough: the token is 256 random bits, not a password."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()


def bearer(headers: Mapping[str, str]) -> str | None:
    """The token of the call, or None. The scheme is written with a capital, as the platform wants it."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if scheme == "Bearer" and token.strip() else None


@dataclass(frozen=True, slots=True)
class Allowance:
    """What is left to one credential or address within the minute, for the ``X-RateLimit-*`` headers."""

    limit: int
    remaining: int
    reset: int

    def headers(self) -> list[tuple[bytes, bytes]]:
        """The headers, as the platform sends them."""
        pairs = (("limit", self.limit), ("remaining", self.remaining), ("reset", self.reset))
        return [(f"x-ratelimit-{name}".encode(), str(value).encode()) for name, value in pairs]


class RateLimiter:
    """Calls a minute, counted from a key's first call on; ``clock`` gives seconds and never jumps."""

    MANY = 1_000

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._windows: dict[str, tuple[float, int]] = {}

    def __len__(self) -> int:
        """How many keys are remembered."""
        return len(self._windows)

    def charge(self, key: str, limit: int) -> tuple[Allowance, bool]:
        """Count one call; what is left, and whether this one was within the limit."""
        now = self._clock()
        self._sweep(now)
        start, count = self._windows.get(key, (now, 0))
        if now - start >= MINUTE:
            start, count = now, 0
        count += 1
        self._windows[key] = (start, count)
        reset = max(1, math.ceil(start + MINUTE - now))
        return Allowance(limit, max(0, limit - count), reset), count <= limit

    def forget(self, key: str) -> None:
        """Count from nothing again."""
        self._windows.pop(key, None)

    def _sweep(self, now: float) -> None:
        # Otherwise a caller with many addresses or tokens would fill the memory.
        if len(self._windows) >= self.MANY:
            self._windows = {key: window for key, window in self._windows.items() if now - window[0] < MINUTE}


@dataclass(frozen=True, slots=True)
class Addresses:
    """The names under which this server answers: what a Host header may say, and an Origin."""

    hosts: frozenset[str]
    origins: frozenset[str]

    @classmethod
    def of(cls, host: str, port: int) -> Addresses:
        """Every usual name of this loopback address with this port."""
        shown = f"[{host}]" if ":" in host else host
        bare = (shown, "127.0.0.1", "localhost", "[::1]")
        # Clients leave the port of http:// out.
        names = [*(f"{name}:{port}" for name in bare), *(bare if port == HTTP_PORT else ())]
        return cls(frozenset(names), frozenset(f"http://{name}" for name in names))

    def check(self, connection: HTTPConnection) -> None:
        """Refuse what a browser sends for another page: a name rebound to loopback, or a foreign Origin.

        Raises:
            RefusedError: 421 for the name, 403 for the Origin.

        """
        hosts = connection.headers.getlist("host")
        # On the Unix socket no browser can come, and the clients name no port.
        allowed = self.hosts if _over_tcp(connection) else self.hosts | {"localhost"}
        if len(hosts) != 1 or hosts[0].lower() not in allowed:
            raise refused(421, "the Host header names another server", "wrong_host")
        if any(origin.lower() not in self.origins for origin in connection.headers.getlist("origin")):
            raise refused(403, "calls from other web pages are refused", "wrong_origin")


def _over_tcp(connection: HTTPConnection) -> bool:
    # uvicorn gives a port for TCP alone.
    server = connection.scope.get("server")
    return server is None or server[1] is not None


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who calls, as far as the call itself shows.

    The database is asked inside the transaction that does the work: a token that is revoked in this moment either did
    all of it or nothing.

    Attributes:
        token_hash: the hash of the call's token, or None where it has none.
        anonymous: the workspace for which a call without a token may ask, or None where there is no such leave.

    """

    token_hash: str | None
    anonymous: str | None

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
            RefusedError: 401.

        """
        if self.token_hash is None:
            raise missing_admin_token()
        holder = self._holder(transaction, self.token_hash)
        if holder is None or holder.name is None:
            raise wrong_admin_token()
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

    """

    def __init__(self, settings: Settings, clock: Callable[[], float], anonymous: str | None) -> None:
        self._settings = settings
        self._rates = RateLimiter(clock)
        self._anonymous = anonymous

    @contextmanager
    def visit(self, connection: HTTPConnection) -> Iterator[Visitor]:
        """One call, from its being counted to its answer; a wrong token found in between is counted harder.

        Raises:
            RefusedError: 429.

        """
        token = bearer(connection.headers)
        token_hash = None if token is None else hash_token(token)
        key = token_hash or _address(connection)
        self._charge(connection, key, self._settings.rate)
        try:
            yield Visitor(token_hash, self._anonymous)
        except RefusedError as exc:
            if token_hash is not None and exc.status == 401:
                # Else one caller with ever other tokens would have no limit, and fill the memory.
                self._rates.forget(key)
                self._charge(connection, f"failed {_address(connection)}", self._settings.failed_logins)
            raise

    def public(self, connection: HTTPConnection) -> None:
        """Anybody, at the rate of one address.

        Raises:
            RefusedError: 429.

        """
        self._charge(connection, _address(connection), self._settings.rate)

    def _charge(self, connection: HTTPConnection, key: str, limit: int) -> None:
        allowance, within = self._rates.charge(key, limit)
        # `app` writes it into the answer, whatever that turns out to be.
        connection.scope["molecule.allowance"] = allowance
        if not within:
            raise rate_exceeded(allowance.reset)


def _address(connection: HTTPConnection) -> str:
    return connection.client.host if connection.client is not None else "local"
