"""All that can fail before the first call is served: what to serve and where, the lock, the database, the sockets."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import TYPE_CHECKING

from molecule_approve.errors import ServerError, UsageError
from molecule_approve.paths import Places, RequesterCredential, make_private

from . import credentials
from .holding import Hold
from .limits import Limits

if TYPE_CHECKING:
    from .store import Store

_BACKLOG = 2_048
_PORT_TRIES = 50
_NO_SUCH_ADDRESS = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
_LOOPBACKS = {"127.0.0.1": "::1", "::1": "127.0.0.1"}
"""What ``localhost`` may be, and the other one of the two."""


def _nothing(*_: str) -> None:
    """Do nothing."""


@dataclass(frozen=True, slots=True)
class ServePlan:
    """What to serve, and where.

    Attributes:
        places: the user's folders.
        host: a loopback address.
        port: 0 for a free one.
        anonymous: whether callers without a token may ask, list and listen.
        settings: the limits.
        complain: is told, in one sentence, what goes wrong while it runs.
        signed_in: is called after each sign-in.

    """

    places: Places
    host: str = "127.0.0.1"
    port: int = 0
    anonymous: bool = False
    settings: Limits = field(default_factory=Limits)
    complain: Callable[[str], None] = _nothing
    signed_in: Callable[[], None] = _nothing


@dataclass(frozen=True, slots=True)
class Prepared:
    """A server that could start now: it holds the lock, the database and the sockets."""

    plan: ServePlan
    store: Store
    requester: RequesterCredential
    sockets: tuple[socket.socket, ...]
    url: str
    address: tuple[str, int]
    hold: Hold


def loopback(host: str) -> str:
    """The address to bind to.

    Raises:
        UsageError: it is not this machine's own.

    """
    address = "127.0.0.1" if host == "localhost" else host
    try:
        own = ip_address(address).is_loopback
    except ValueError:
        own = False
    if not own:
        raise UsageError(
            f"--host {host} is no loopback address", hint="use 127.0.0.1, ::1 or localhost: the server is for this machine"
        )
    return address


@contextmanager
def prepared(plan: ServePlan) -> Iterator[Prepared]:
    """Everything that can fail before the first call is served.

    Raises:
        UsageError: the host is no loopback address.
        ConfigError: the user's folders are open to others, or cannot be made.
        ServerError: one runs already, the port is taken, the database cannot be used.

    """
    host = loopback(plan.host)
    with ExitStack() as stack:
        make_private(plan.places.state)
        make_private(plan.places.runtime)
        hold = stack.enter_context(Hold(plan.places, plan.complain))
        store = stack.enter_context(credentials.opened(plan.places, plan.settings))
        requester = credentials.own_workspace(plan.places, store)
        sockets = listen_tcp(host, plan.port, _LOOPBACKS.get(host))
        for listening in sockets:
            stack.enter_context(listening)
        unix = stack.enter_context(hold.listen())
        port = sockets[0].getsockname()[1]
        shown = f"[{host}]" if ":" in host else host
        yield Prepared(plan, store, requester, (*sockets, unix), f"http://{shown}:{port}", (host, port), hold)


def listen_tcp(host: str, port: int, other: str | None) -> list[socket.socket]:
    """Sockets that hear calls on the host, and on the other loopback address with the same port, where the machine has it.

    Whoever had that port of the other one would answer for ``localhost``.

    Raises:
        ServerError: one of them cannot be had.

    """
    for _ in range(_PORT_TRIES):
        first = _listen_at(host, port)
        found = first.getsockname()[1]
        try:
            return [first] if other is None else [first, _listen_at(other, found)]
        except ServerError as exc:
            number = getattr(exc.__cause__, "errno", None)
            if number in _NO_SUCH_ADDRESS:
                return [first]
            first.close()
            # With port 0 the system chose one that is free at the first address.
            if port != 0 or number != errno.EADDRINUSE:
                raise
    raise ServerError(f"no port is free on {host} and {other} alike", hint="choose one with --port")


def _listen_at(host: str, port: int) -> socket.socket:
    try:
        # With the protocol named, asyncio turns TCP_NODELAY on; without, each answer waits 40 ms for the peer's ACK.
        listening = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        with _closed_on_failure(listening):
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind((host, port))
            # At once: until one of them listens, several may be bound to one port.
            listening.listen(_BACKLOG)
    except (OSError, OverflowError) as exc:
        why = getattr(exc, "strerror", None) or exc
        hint = "choose another one with --port, or --port 0 for a free one"
        if host in _LOOPBACKS:
            hint = f"what listens there would answer for http://localhost:{port}: {hint}"
        raise ServerError(f"port {port} of {host} cannot be used: {why}", hint=hint) from exc
    return listening


@contextmanager
def _closed_on_failure(listening: socket.socket) -> Iterator[None]:
    try:
        yield
    except BaseException:
        listening.close()
        raise
