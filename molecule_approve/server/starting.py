"""All that can fail before the first call is served: what to serve and where, the lock, the database, the sockets."""

from __future__ import annotations

import fcntl
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING

from molecule_approve.errors import ServerError, UsageError
from molecule_approve.places import Places, Requester, make_private, who_serves

from . import credentials
from .settings import Settings

if TYPE_CHECKING:
    from .store import Store

_LOCK_TRIES = 25
_LOCK_PAUSE = 0.02  # seconds


def _nothing(*_: str) -> None:
    """Do nothing."""


@dataclass(frozen=True, slots=True)
class Plan:
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
    settings: Settings = field(default_factory=Settings)
    complain: Callable[[str], None] = _nothing
    signed_in: Callable[[], None] = _nothing


@dataclass(frozen=True, slots=True)
class Prepared:
    """A server that could start now: it holds the lock, the database and the sockets."""

    plan: Plan
    store: Store
    requester: Requester
    sockets: tuple[socket.socket, ...]
    url: str
    address: tuple[str, int]
    lock: int


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
def prepared(plan: Plan) -> Iterator[Prepared]:
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
        lock = stack.enter_context(_locked(plan.places))
        store = stack.enter_context(credentials.opened(plan.places, plan.settings))
        requester = credentials.own_workspace(plan.places, store)
        tcp = stack.enter_context(_listen_tcp(host, plan.port))
        unix = stack.enter_context(_listen_unix(plan.places.socket))
        port = tcp.getsockname()[1]
        shown = f"[{host}]" if ":" in host else host
        yield Prepared(plan, store, requester, (tcp, unix), f"http://{shown}:{port}", (host, port), lock)


@contextmanager
def _locked(places: Places) -> Iterator[int]:
    try:
        handle = os.open(places.serving, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as exc:
        raise ServerError(f"{places.serving} cannot be opened: {exc.strerror}", hint="remove it") from exc
    try:
        _lock(handle, places)
        os.ftruncate(handle, 0)
        yield handle
        os.ftruncate(handle, 0)
    finally:
        os.close(handle)


def _lock(handle: int, places: Places) -> None:
    for _ in range(_LOCK_TRIES):
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            # Or somebody only looks who serves (`who_serves`), which takes the lock for a moment.
            time.sleep(_LOCK_PAUSE)
        else:
            return
    found = who_serves(places)
    who = f"process {found.pid} at {found.url}" if found is not None else "another process, which is just starting"
    raise ServerError(f"a server runs here already: {who}", hint="stop it first, or use that one: PLATFORM_URL=local")


@contextmanager
def _listen_tcp(host: str, port: int) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol named, asyncio turns TCP_NODELAY on; without, each answer waits 40 ms for the peer's ACK.
    with socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((host, port))
        except (OSError, OverflowError) as exc:
            hint = "choose another one with --port, or --port 0 for a free one"
            raise ServerError(f"port {port} of {host} cannot be used: {getattr(exc, 'strerror', exc)}", hint=hint) from exc
        yield listening


@contextmanager
def _listen_unix(path: Path) -> Iterator[socket.socket]:
    # Who holds the lock may take the path: what lies there is left over from a server that was killed.
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        try:
            path.unlink(missing_ok=True)
            listening.bind(os.fspath(path))
        except OSError as exc:
            raise ServerError(f"the socket {path} cannot be made: {exc.strerror}", hint="look at its folder") from exc
        path.chmod(0o600)
        try:
            yield listening
        finally:
            path.unlink(missing_ok=True)
