"""Runs the prepared server on uvicorn until it stops; ``starting`` prepares it."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Self

import uvicorn

from molecule_approve.clock import boottime
from molecule_approve.errors import ServerError

from . import credentials
from .access import AccessControl
from .api import Api
from .app import Handlers, create_app
from .connections import Connections, connection_limit, protocols, raise_open_file_limit
from .database.values import StoreError
from .hub import Hub
from .inbox import InboxApi
from .live import LiveSocket
from .log_throttle import throttled_logs
from .origins import Addresses
from .outbox import Outbox
from .pages import Pages
from .refusals import RefusedError
from .service import Service
from .sessions import Sessions
from .starting import Prepared, ServePlan, prepared
from .threads import DatabaseThreads

if TYPE_CHECKING:
    import socket
    from pathlib import Path
    from types import TracebackType

    from starlette.types import ASGIApp

    from .database.transaction import Transaction
    from .database.values import Holder, SessionLimits
    from .limits import Limits

__all__ = ["Prepared", "Running", "ServePlan", "prepared", "serve"]

_ACCEPTED_AT_ONCE = 16
"""Connections that asyncio accepts before it looks at any: each takes a file descriptor, even if there is no room."""

_QUEUE = 2_048
"""Connections that wait in the system to be accepted: a client of the Unix socket would fail if there were no room."""


def _database_fails(path: Path, error: StoreError) -> str:
    return (
        f"cannot use the database {path}: {error}; calls are refused until it can be used; check the disk, and which other "
        "program has it open"
    )


class _Uvicorn(uvicorn.Server):
    """uvicorn, stopped by an event: its own loop wakes ten times a second, and its signal handling ends the process."""

    def __init__(
        self,
        config: uvicorn.Config,
        connections: Connections,
        stop: asyncio.Event,
        ready: Callable[[], None],
        halt: Callable[[], None],
    ) -> None:
        super().__init__(config)
        self._connections = connections
        self._stop = stop
        self._ready = ready
        self._halt = halt

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for listening in sockets or ():
            # asyncio has made the queue as short as what it accepts at once.
            listening.listen(_QUEUE)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def main_loop(self) -> None:
        await self.on_tick(0)
        self._ready()
        while not self._stop.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), 1.0)
            self._connections.close_overdue()
            await self.on_tick(0)  # the Date header
        self._halt()

    async def also_serve(self, listening: socket.socket) -> None:
        """Accept calls on one more socket."""
        before = self.servers
        await self.startup([listening])
        self.servers += before

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await super().shutdown(sockets)
        # An answer that its client does not read would be sent for ever.
        for connection in self.server_state.connections:
            connection.transport.abort()


def _config(app: ASGIApp, limits: Limits, connections: Connections) -> uvicorn.Config:
    http, ws = protocols(connections)
    return uvicorn.Config(
        app,
        loop="asyncio",
        http=http,
        ws=ws,
        backlog=_ACCEPTED_AT_ONCE,
        ws_max_size=limits.socket_message,
        # The clients ping; an idle socket costs nothing here.
        ws_ping_interval=None,
        ws_per_message_deflate=False,
        lifespan="off",
        log_config=None,
        access_log=False,
        # There is no proxy: a client that sends X-Forwarded-For wants the rate of another address.
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=limits.stop,  # type: ignore[arg-type]  # passed on to asyncio.wait_for
    )


async def _serve(prepared: Prepared, stop: asyncio.Event, ready: Callable[[], None]) -> None:
    plan, limits = prepared.plan, prepared.plan.limits
    database = DatabaseThreads(prepared.store, lambda error: plan.warn(_database_fails(plan.places.database, error)))
    hub = Hub(limits.socket_queue)
    outbox = Outbox(plan.places.server_log, database, limits, plan.warn)
    service = Service(database, hub, outbox, limits, plan.self_approval)
    anonymous = prepared.requester.workspace_id if plan.anonymous else None
    sessions = Sessions(limits)
    access = AccessControl(limits, boottime, anonymous, sessions)
    handlers = Handlers(
        Api(service, database, access, limits, plan.anonymous),
        InboxApi(service, database, hub, access, sessions, limits, plan.on_sign_in),
        Pages.packaged(),
        LiveSocket(hub, access, database),
        access,
        Addresses.of(prepared.address[0]),
    )
    connections = Connections(limits, connection_limit(limits))
    config = _config(create_app(handlers), limits, connections)
    server = _Uvicorn(config, connections, stop, ready, hub.stop)
    jobs = (
        outbox.run(),
        service.run_timer(),
        sessions.run(database),
        _recheck(database, hub, sessions, limits),
        _restore_files(prepared, server),
    )
    background = [asyncio.create_task(job) for job in jobs]
    for task in background:
        # None of them ends by itself: without one of them the server must not go on.
        task.add_done_callback(lambda _task: stop.set())
    try:
        await outbox.catch_up()
        with throttled_logs():
            await server.serve([*prepared.sockets])
    finally:
        for task in background:
            task.cancel()
        ends = await asyncio.gather(*background, return_exceptions=True)
        database.close()
        outbox.close()
    for end in ends:
        if isinstance(end, ServerError):
            raise end
        if isinstance(end, Exception):
            raise ServerError("internal error: the server stopped", hint="start it again; no decision is lost") from end


async def _restore_files(prepared: Prepared, server: _Uvicorn) -> None:
    """Restore files that are removed while it serves; stop if the database is removed, as decisions would not be stored.

    Raises:
        ServerError: the database was removed or replaced.
    """
    while True:
        await asyncio.sleep(prepared.plan.limits.check_interval)
        try:
            await asyncio.to_thread(prepared.store.check)
        except StoreError as exc:
            hint = "restore the file if you have it, and start the server again; no decision was accepted since"
            raise ServerError(f"the server stopped: {exc}", hint=hint) from exc
        made = await asyncio.to_thread(prepared.state_folder.restore, prepared.requester)
        if made is not None:
            await server.also_serve(made)


async def _recheck(database: DatabaseThreads, hub: Hub, sessions: Sessions, limits: Limits) -> None:
    """Close the sockets whose token was revoked or whose session ended; costs nothing while no socket is open."""
    while True:
        await hub.wait_for_socket()
        await asyncio.sleep(limits.recheck)
        for credential in hub.credentials():
            with suppress(RefusedError):
                if await database.read(partial(_holder, credential, sessions.limits)) is None:
                    hub.drop(credential)


def _holder(credential: str, limits: SessionLimits, transaction: Transaction) -> Holder | None:
    return transaction.credentials.holder(credential, limits)


def serve(plan: ServePlan, ready: Callable[[Prepared], None]) -> None:
    """Serve until SIGINT, SIGTERM or SIGHUP; ``ready`` is called once calls are served.

    Raises:
        UsageError, ConfigError, ServerError: it cannot start; see :func:`prepared`.
    """
    raise_open_file_limit()
    with prepared(plan) as server:
        asyncio.run(_until_signal(server, ready))


async def _until_signal(server: Prepared, ready: Callable[[Prepared], None]) -> None:
    stop = asyncio.Event()

    def hang_up() -> None:
        stop.set()
        server.plan.warn("the terminal was closed (SIGHUP), so the server stops; to keep it running, use nohup or setsid")

    for signum, end in ((signal.SIGINT, stop.set), (signal.SIGTERM, stop.set), (signal.SIGHUP, hang_up)):
        # A shell starts background jobs with SIGINT ignored, nohup with SIGHUP: that is kept.
        if signal.getsignal(signum) is not signal.SIG_IGN:
            asyncio.get_running_loop().add_signal_handler(signum, end)

    def announce() -> None:
        server.state_folder.announce(server.url)
        ready(server)

    await _serve(server, stop, announce)


class Running:
    """A server in a thread of this process, inside ``with``: for tests, benchmarks and programs that embed it.

    Attributes:
        url: its loopback address.
        places: its files, and its Unix socket.
        requester: its own workspace, and the requester's token.

    Raises:
        UsageError, ConfigError, ServerError: on entry, it cannot start; see :func:`prepared`.
    """

    def __init__(self, plan: ServePlan) -> None:
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
        """Stop it; a second call does nothing.

        Raises:
            ServerError: it had failed before.
        """
        with suppress(RuntimeError):  # its loop is already closed
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
        """Add an approver; the token."""
        return credentials.add_approver(self._server.store, name)

    def _run(self) -> None:
        try:
            asyncio.run(self._main())
        except Exception as exc:  # noqa: BLE001 - raised again by `stop`
            self._failure = exc
        finally:
            self._started.set()

    async def _main(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()

        def announce() -> None:
            self._server.state_folder.announce(self._server.url)
            self._started.set()

        await _serve(self._server, self._stop, announce)
