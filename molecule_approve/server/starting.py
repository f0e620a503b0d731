"""Everything that a server needs before its first call: the lock, the database, the sockets."""

from __future__ import annotations

import errno
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import TYPE_CHECKING

from molecule_approve.clock import Steady
from molecule_approve.errors import ServerError, UsageError
from molecule_approve.paths import Places, RequesterCredential, make_private

from . import credentials
from .limits import Limits
from .state_folder import StateFolder

if TYPE_CHECKING:
    from .database.interface import Store

_BACKLOG = 2_048
_PORT_TRIES = 50
_NO_SUCH_ADDRESS = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
_LOOPBACKS = {"127.0.0.1": "::1", "::1": "127.0.0.1"}
"""The two addresses that ``localhost`` may mean, each with the other one."""


def _nothing(*_: str) -> None:
    """Do nothing."""


@dataclass(frozen=True, slots=True)
class ServePlan:
    """What to serve, and where.

    Attributes:
        host: a loopback address.
        port: 0 for a free one.
        anonymous: whether callers without a token may make requests, list them and listen.
        self_approval: whether approvers may decide what they requested themselves; None: as long as there is only one.
        warn: gets one sentence about each problem while it runs.
    """

    places: Places
    host: str = "127.0.0.1"
    port: int = 0
    anonymous: bool = False
    limits: Limits = field(default_factory=Limits)
    warn: Callable[[str], None] = _nothing
    on_sign_in: Callable[[], None] = _nothing
    self_approval: bool | None = None


@dataclass(frozen=True, slots=True)
class Prepared:
    """A server that is ready to start: it has the lock, the database and the sockets."""

    plan: ServePlan
    store: Store
    requester: RequesterCredential
    sockets: tuple[socket.socket, ...]
    url: str
    address: tuple[str, int]
    state_folder: StateFolder


def loopback(host: str) -> str:
    """The address to bind to.

    Raises:
        UsageError: it is not a loopback address.
    """
    address = "127.0.0.1" if host == "localhost" else host
    try:
        own = ip_address(address).is_loopback
    except ValueError:
        own = False
    if not own:
        raise UsageError(
            f"--host {host} is not a loopback address",
            hint="use 127.0.0.1, ::1 or localhost; the server serves this machine only",
        )
    return address


@contextmanager
def prepared(plan: ServePlan) -> Iterator[Prepared]:
    """Prepare a server: everything that can fail before its first call.

    Raises:
        UsageError: the host is not a loopback address.
        ConfigError: the user's folders are open to others, or cannot be made.
        ServerError: a server runs already, the port is in use, the database cannot be used.
    """
    host = loopback(plan.host)
    with ExitStack() as stack:
        make_private(plan.places.state)
        make_private(plan.places.runtime)
        state_folder = stack.enter_context(StateFolder(plan.places, plan.warn))
        store = stack.enter_context(credentials.opened(plan.places, plan.limits, Steady(time.time)))
        requester = credentials.own_workspace(plan.places, store)
        sockets = listen_tcp(host, plan.port, _LOOPBACKS.get(host))
        for listening in sockets:
            stack.enter_context(listening)
        unix = stack.enter_context(state_folder.listen(plan.places.socket))
        port = sockets[0].getsockname()[1]
        shown = f"[{host}]" if ":" in host else host
        yield Prepared(plan, store, requester, (*sockets, unix), f"http://{shown}:{port}", (host, port), state_folder)


def listen_tcp(host: str, port: int, other: str | None) -> list[socket.socket]:
    """Sockets that listen on the host and, if the machine has it, on the other loopback address, with the same port.

    A program that had this port on the other address would answer for ``localhost``.

    Raises:
        ServerError: the port cannot be used on one of them.
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
            # With port 0 the system chose a port that is free on the first address.
            if port != 0 or number != errno.EADDRINUSE:
                raise
    raise ServerError(f"found no port that is free on both {host} and {other}", hint="choose a port with --port")


def _listen_at(host: str, port: int) -> socket.socket:
    try:
        # With the protocol named, asyncio sets TCP_NODELAY; without it each answer waits 40 ms for an ACK.
        listening = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        with _closed_on_failure(listening):
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind((host, port))
            # At once: until one socket listens, several can be bound to one port.
            listening.listen(_BACKLOG)
    except (OSError, OverflowError) as exc:
        why = getattr(exc, "strerror", None) or exc
        hint = "choose another port with --port, or --port 0 for a free one"
        if host in _LOOPBACKS:
            hint = f"another program there would answer for http://localhost:{port}; {hint}"
        raise ServerError(f"cannot listen on {host} port {port}: {why}", hint=hint) from exc
    return listening


@contextmanager
def _closed_on_failure(listening: socket.socket) -> Iterator[None]:
    try:
        yield
    except BaseException:
        listening.close()
        raise
