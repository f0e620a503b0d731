"""Runs the server, from its start to its stop; on uvicorn. What it needs before: ``starting``."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Self

import uvicorn

from molecule_approve.clock import Steady, boottime
from molecule_approve.errors import ServerError

from . import credentials
from .access import Doorkeeper
from .api import Api
from .app import House, create_app
from .hub import Hub
from .inbox import InboxApi
from .lines import Lines, raise_limit, room, served_by
from .live import LiveSocket
from .origins import Addresses
from .outbox import Outbox
from .pages import Pages
from .quiet import quiet
from .refusals import RefusedError
from .service import Service
from .sessions import Sessions
from .starting import Prepared, ServePlan, prepared
from .store import Transaction
from .threads import DatabaseThreads
from .values import StoreError

if TYPE_CHECKING:
    import socket
    from pathlib import Path
    from types import TracebackType

    from starlette.types import ASGIApp

    from .limits import Limits

__all__ = ["Prepared", "Running", "ServePlan", "prepared", "serve"]


# --- running -----------------------------------------------------------------------------------------------------------


def _wall_clock() -> float:
    return time.time()


def _database_fails(path: Path, error: StoreError) -> str:
    return (
        f"{path} cannot be used, and calls are refused until it can: {error}; look at the disk, and at who else has it open"
    )


class _Uvicorn(uvicorn.Server):
    """uvicorn, stopped by an event: its own loop would wake ten times a second, and its signal handling would end us."""

    def __init__(
        self, config: uvicorn.Config, lines: Lines, stop: asyncio.Event, ready: Callable[[], None], halt: Callable[[], None]
    ) -> None:
        super().__init__(config)
        self._lines = lines
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
            self._lines.tick()
            await self.on_tick(0)  # the Date header
        self._halt()

    async def also_serve(self, listening: socket.socket) -> None:
        """Take calls on one more socket."""
        before = self.servers
        await self.startup([listening])
        self.servers += before

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await super().shutdown(sockets)
        # What nobody reads would be sent for ever.
        for connection in self.server_state.connections:
            connection.transport.abort()


def _config(app: ASGIApp, settings: Limits, lines: Lines) -> uvicorn.Config:
    http, ws = served_by(lines)
    return uvicorn.Config(
        app,
        loop="asyncio",
        http=http,
        ws=ws,
        ws_max_size=settings.socket_message,
        # The clients ping where they care; an idle socket costs nothing here.
        ws_ping_interval=None,
        ws_per_message_deflate=False,
        lifespan="off",
        log_config=None,
        access_log=False,
        # Nobody stands between: who sends X-Forwarded-For wants another address's rate.
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=settings.stop,  # type: ignore[arg-type]  # it is given to asyncio.wait_for
    )


async def _serve(prepared: Prepared, stop: asyncio.Event, ready: Callable[[], None]) -> None:
    plan, settings = prepared.plan, prepared.plan.settings
    lanes, hub = (
        DatabaseThreads(prepared.store, lambda error: plan.complain(_database_fails(plan.places.database, error))),
        Hub(settings.socket_queue),
    )
    outbox = Outbox(plan.places.server_log, lanes, settings, plan.complain)
    service = Service(lanes, hub, outbox, settings, Steady(_wall_clock))
    anonymous = prepared.requester.workspace_id if plan.anonymous else None
    sessions = Sessions(settings, boottime)
    doors = Doorkeeper(settings, boottime, anonymous, sessions)
    house = House(
        Api(service, lanes, doors, settings, plan.anonymous),
        InboxApi(service, lanes, hub, doors, sessions, settings, plan.signed_in),
        Pages.packaged(),
        LiveSocket(hub, doors, lanes),
        doors,
        Addresses.of(prepared.address[0]),
    )
    lines = Lines(settings, room(settings))
    config = _config(create_app(house), settings, lines)
    server = _Uvicorn(config, lines, stop, ready, hub.stop)
    jobs = (outbox.run(), service.run_timer(), _recheck(lanes, hub, sessions, settings), _keep(prepared, server))
    background = [asyncio.create_task(job) for job in jobs]
    for task in background:
        # None of them ends by itself: without it the server would go on and not keep what it promises.
        task.add_done_callback(lambda _task: stop.set())
    try:
        await outbox.catch_up()
        with quiet():
            await server.serve([*prepared.sockets])
    finally:
        for task in background:
            task.cancel()
        ends = await asyncio.gather(*background, return_exceptions=True)
        lanes.close()
        outbox.close()
    for end in ends:
        if isinstance(end, ServerError):
            raise end
        if isinstance(end, Exception):
            raise ServerError(
                "the server failed inside, and stopped", hint="start it again; nothing decided is lost"
            ) from end


async def _keep(prepared: Prepared, server: _Uvicorn) -> None:
    """Put back what is lost while it serves, and stop where the database itself is: what is decided then is kept nowhere.

    Raises:
        ServerError: the database is gone, or another one lies in its place.

    """
    while True:
        await asyncio.sleep(prepared.plan.settings.look)
        try:
            await asyncio.to_thread(prepared.store.check)
        except StoreError as exc:
            hint = "put it back if you have it, and start the server again; nothing was accepted since"
            raise ServerError(f"the server stopped, because its database went away: {exc}", hint=hint) from exc
        made = await asyncio.to_thread(prepared.hold.look, prepared.requester)
        if made is not None:
            await server.also_serve(made)


async def _recheck(lanes: DatabaseThreads, hub: Hub, sessions: Sessions, settings: Limits) -> None:
    """Let the sockets go whose token was revoked or whose session ended; costs nothing while no socket is open."""
    while True:
        await hub.occupied()
        await asyncio.sleep(settings.recheck)
        for credential in hub.credentials():
            if sessions.owner(credential, used=False) is not None:
                continue
            with suppress(RefusedError):
                if await lanes.read(partial(Transaction.holder, token_hash=credential)) is None:
                    hub.drop(credential)


def serve(plan: ServePlan, ready: Callable[[Prepared], None]) -> None:
    """Serve until SIGINT, SIGTERM or SIGHUP; ``ready`` is called once, when calls are served.

    Raises:
        UsageError, ConfigError, ServerError: it cannot start; see :func:`prepared`.

    """
    raise_limit()
    with prepared(plan) as server:
        asyncio.run(_until_signal(server, ready))


async def _until_signal(server: Prepared, ready: Callable[[Prepared], None]) -> None:
    stop = asyncio.Event()

    def hang_up() -> None:
        stop.set()
        server.plan.complain("the terminal was closed (SIGHUP): the server stops; under nohup or setsid it would go on")

    for signum, end in ((signal.SIGINT, stop.set), (signal.SIGTERM, stop.set), (signal.SIGHUP, hang_up)):
        # A background job has SIGINT ignored, nohup SIGHUP: that stays.
        if signal.getsignal(signum) is not signal.SIG_IGN:
            asyncio.get_running_loop().add_signal_handler(signum, end)

    def announce() -> None:
        server.hold.announce(server.url)
        ready(server)

    await _serve(server, stop, announce)


class Running:
    """A server in a thread of this process, from ``with`` to its end: for tests, benchmarks and programs that embed it.

    Attributes:
        url: its loopback address.
        places: where its files lie, and its Unix socket.
        requester: its own workspace, and the token that asks for it.

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
            self._server.hold.announce(self._server.url)
            self._started.set()

        await _serve(self._server, self._stop, announce)
