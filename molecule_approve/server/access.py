"""Who may do what: tokens, roles, the rules for Host and Origin, the limits on rates. What is asked is read elsewhere."""

from __future__ import annotations

import hashlib
import hmac
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .refusals import (
    RefusedError,
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

    from .lanes import Lanes
    from .store import Holder, Transaction


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

    _SWEEP = 1_000

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._windows: dict[str, tuple[float, int]] = {}

    def charge(self, key: str, limit: int) -> tuple[Allowance, bool]:
        """Count one call; what is left, and whether this one was within the limit."""
        now = self._clock()
        self._forget(now)
        start, count = self._windows.get(key, (now, 0))
        if now - start >= MINUTE:
            start, count = now, 0
        count += 1
        self._windows[key] = (start, count)
        reset = max(1, math.ceil(start + MINUTE - now))
        return Allowance(limit, max(0, limit - count), reset), count <= limit

    def _forget(self, now: float) -> None:
        # Otherwise a caller with many addresses or tokens would fill the memory.
        if len(self._windows) >= self._SWEEP:
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
        names = [f"{name}:{port}" for name in (shown, "127.0.0.1", "localhost", "[::1]")]
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


class Doorkeeper:
    """Says whose call it is, and counts it.

    Args:
        lanes: the database.
        settings: the limits.
        clock: seconds that never jump.
        anonymous: the workspace that callers without a token ask for, or None where there is no such leave.

    """

    def __init__(self, lanes: Lanes, settings: Settings, clock: Callable[[], float], anonymous: str | None) -> None:
        self._lanes = lanes
        self._settings = settings
        self._rates = RateLimiter(clock)
        self._anonymous = anonymous

    async def public(self, connection: HTTPConnection) -> None:
        """Anybody, at the rate of one address.

        Raises:
            RefusedError: 429.

        """
        self._charge(connection, _address(connection), self._settings.rate)

    async def administrator(self, connection: HTTPConnection) -> Approver:
        """An approver, on a route that belongs to no workspace.

        Raises:
            RefusedError: 401, 429, 503.

        """
        token = bearer(connection.headers)
        if token is None:
            await self.public(connection)
            raise missing_admin_token()
        holder, _ = await self._look_up(connection, token, None)
        if holder is None or holder.name is None:
            raise wrong_admin_token()
        return Approver(holder.name, holder.token_hash)

    async def member(self, connection: HTTPConnection, workspace_id: str, *, open_house: bool = False) -> Caller:
        """An approver, or the workspace itself; with ``open_house`` also callers without a token, where they have leave.

        Raises:
            RefusedError: 401, 404 (no such workspace), 429, 503.

        """
        token = bearer(connection.headers)
        if token is None:
            await self.public(connection)
            if open_house and self._anonymous is not None and self._anonymous == workspace_id:
                return Requester(workspace_id, None)
            raise missing_token()
        holder, known = await self._look_up(connection, token, workspace_id)
        if holder is None:
            raise wrong_token()
        if not known:
            raise unknown_workspace()
        if holder.name is not None:
            return Approver(holder.name, holder.token_hash)
        if holder.workspace_id != workspace_id:
            raise wrong_token()
        return Requester(workspace_id, holder.token_hash)

    async def listener(self, connection: HTTPConnection) -> tuple[Caller, str | None]:
        """Who opens a socket, and whose events it wants; None for everybody's, which an approver alone may hear.

        Raises:
            RefusedError: 400 (a workspace must say which one it is), 401, 404, 429, 503.

        """
        workspace_id = connection.headers.get("x-workspace-id", "")
        if workspace_id:
            return await self.member(connection, workspace_id, open_house=True), workspace_id
        try:
            return await self.administrator(connection), None
        except RefusedError as exc:
            if exc.status != 401:
                raise
            raise refused(
                400, "X-Workspace-ID is missing; only an approver hears every workspace", "missing_workspace"
            ) from exc

    async def _look_up(self, connection: HTTPConnection, token: str, workspace_id: str | None) -> tuple[Holder | None, bool]:
        wanted = hash_token(token)

        def job(transaction: Transaction) -> tuple[Holder | None, bool]:
            known = workspace_id is not None and transaction.has_workspace(workspace_id)
            return transaction.holder(wanted), known

        holder, known = await self._lanes.read(job)
        if holder is None or not hmac.compare_digest(holder.token_hash, wanted):
            self._charge(connection, f"failed {_address(connection)}", self._settings.failed_logins)
            return None, known
        self._charge(connection, wanted, self._settings.rate)
        return holder, known

    def _charge(self, connection: HTTPConnection, key: str, limit: int) -> None:
        allowance, within = self._rates.charge(key, limit)
        # `app` writes it into the answer, whatever that turns out to be.
        connection.scope["molecule.allowance"] = allowance
        if not within:
            raise rate_exceeded(allowance.reset)


def _address(connection: HTTPConnection) -> str:
    return connection.client.host if connection.client is not None else "local"
