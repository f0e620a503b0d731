"""Runs the server: the lock, the sockets, the start and the stop; the only file that imports uvicorn."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Self

import uvicorn

from molecule_approve.clock import boottime
from molecule_approve.errors import ServerError, UsageError
from molecule_approve.places import Places, Requester, make_private, who_serves

from . import credentials
from .access import Addresses, Doorkeeper
from .api import Api
from .app import create_app
from .journaling import Journaler
from .lanes import Lanes
from .ledger import Ledger
from .live import Live
from .notify import Hub
from .refusals import RefusedError
from .service import Service
from .settings import Settings
from .store import Transaction

if TYPE_CHECKING:
    from types import TracebackType

    from .store import Store

_LOCK_TRIES = 25
_LOCK_PAUSE = 0.02


def _nothing(_sentence: str) -> None:
    """Say nothing."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to serve, and where.

    Attributes:
        places: the user's folders.
        host: a loopback address.
        port: 0 for a free one.
        anonymous: whether callers without a token may ask, list and listen.
        complain: is told, in one sentence, what goes wrong while it runs.

    """

    places: Places
    host: str = "127.0.0.1"
    port: int = 0
    anonymous: bool = False
    settings: Settings = field(default_factory=Settings)
    complain: Callable[[str], None] = _nothing


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


# --- before the start --------------------------------------------------------------------------------------------------


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


# --- running -----------------------------------------------------------------------------------------------------------


class _Uvicorn(uvicorn.Server):
    """uvicorn, stopped by an event: its own loop would wake ten times a second, and its signal handling would end us."""

    def __init__(
        self, config: uvicorn.Config, stop: asyncio.Event, ready: Callable[[], None], halt: Callable[[], None]
    ) -> None:
        super().__init__(config)
        self._stop = stop
        self._ready = ready
        self._halt = halt

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def main_loop(self) -> None:
        await self.on_tick(0)
        self._ready()
        while not self._stop.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), 1.0)
            await self.on_tick(0)  # the Date header
        self._halt()


async def _serve(prepared: Prepared, stop: asyncio.Event, ready: Callable[[], None]) -> None:
    plan, settings = prepared.plan, prepared.plan.settings
    lanes, hub = Lanes(prepared.store), Hub(settings.socket_queue)
    ledger = Ledger(plan.places.server_log, settings.journal_patience)
    journaler = Journaler(ledger.append, lanes, settings, plan.complain)
    service = Service(lanes, hub, journaler, settings, time.time)
    anonymous = prepared.requester.workspace_id if plan.anonymous else None
    doors = Doorkeeper(settings, boottime, anonymous)
    app = create_app(
        Api(service, doors, settings, plan.anonymous), Live(hub, doors, lanes), doors, Addresses.of(*prepared.address)
    )
    config = uvicorn.Config(
        app,
        loop="asyncio",
        http="h11",
        ws="websockets-sansio",
        ws_max_size=settings.socket_message,
        # The clients ping where they care; an idle socket costs nothing here.
        ws_ping_interval=None,
        ws_per_message_deflate=False,
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        limit_concurrency=settings.connections,
        timeout_graceful_shutdown=settings.stop,  # type: ignore[arg-type]  # it is given to asyncio.wait_for
    )
    jobs = (journaler.run(), service.run_timer(), _recheck(lanes, hub, settings))
    background = [asyncio.create_task(job) for job in jobs]
    for task in background:
        # None of them ends by itself: without it the server would go on and not keep what it promises.
        task.add_done_callback(lambda _task: stop.set())
    try:
        await journaler.catch_up(ledger.held)
        await _Uvicorn(config, stop, ready, hub.stop).serve([*prepared.sockets])
    finally:
        for task in background:
            task.cancel()
        ends = await asyncio.gather(*background, return_exceptions=True)
        lanes.close()
        journaler.close()
    for end in ends:
        if isinstance(end, Exception):
            raise ServerError(
                "the server failed inside, and stopped", hint="start it again; nothing decided is lost"
            ) from end


async def _recheck(lanes: Lanes, hub: Hub, settings: Settings) -> None:
    """Let the sockets go whose token was revoked; costs nothing while no socket is open."""
    while True:
        await hub.occupied()
        await asyncio.sleep(settings.recheck)
        for credential in hub.credentials():
            with suppress(RefusedError):
                if await lanes.read(partial(Transaction.holder, token_hash=credential)) is None:
                    hub.drop(credential)


def serve(plan: Plan, ready: Callable[[Prepared], None]) -> None:
    """Serve until SIGINT or SIGTERM; ``ready`` is called once, when calls are served.

    Raises:
        UsageError, ConfigError, ServerError: it cannot start; see :func:`prepared`.

    """
    with prepared(plan) as server:
        asyncio.run(_until_signal(server, ready))


async def _until_signal(server: Prepared, ready: Callable[[Prepared], None]) -> None:
    stop = asyncio.Event()
    for signum in (signal.SIGINT, signal.SIGTERM):
        # A background job has SIGINT ignored: that stays.
        if signal.getsignal(signum) is not signal.SIG_IGN:
            asyncio.get_running_loop().add_signal_handler(signum, stop.set)

    def announce() -> None:
        _say_who(server)
        ready(server)

    await _serve(server, stop, announce)


def _say_who(server: Prepared) -> None:
    os.pwrite(server.lock, json.dumps({"pid": os.getpid(), "url": server.url}).encode(), 0)


class Running:
    """A server in a thread of this process, from ``with`` to its end: for tests, benchmarks and programs that embed it.

    Attributes:
        url: its loopback address.
        places: where its files lie, and its Unix socket.
        requester: its own workspace, and the token that asks for it.

    Raises:
        UsageError, ConfigError, ServerError: on entry, it cannot start; see :func:`prepared`.

    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._stack = ExitStack()
        self._started = threading.Event()
        self._failure: Exception | None = None

    def __enter__(self) -> Self:
        self._server = self._stack.enter_context(prepared(self._plan))
        self.url, self.places, self.requester = self._server.url, self._plan.places, self._server.requester
        self._thread = threading.Thread(target=self._run, name="embedded-server", daemon=True)
        self._thread.start()
        self._started.wait()
        if self._failure is not None:
            self.stop()
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop it cleanly; a second call does nothing.

        Raises:
            ServerError: it had failed before.

        """
        with suppress(RuntimeError):  # its loop is closed already
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        self._stack.close()
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    def join(self) -> None:
        """Wait until it ends by itself."""
        self._thread.join()

    def add_approver(self, name: str) -> str:
        """Let somebody decide; the token."""
        return credentials.add_approver(self._server.store, name)

    def _run(self) -> None:
        try:
            asyncio.run(self._main())
        except Exception as exc:  # noqa: BLE001 - whoever started the thread gets it
            self._failure = exc
        finally:
            self._started.set()

    async def _main(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()

        def announce() -> None:
            _say_who(self._server)
            self._started.set()

        await _serve(self._server, self._stop, announce)
