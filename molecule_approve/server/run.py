"""Runs the prepared server on uvicorn until it stops; ``starting`` prepares it."""

from __future__ import annotations

import asyncio
import gc
import signal
import threading
from collections.abc import Callable, Coroutine, Iterable
from contextlib import AbstractContextManager, ExitStack, suppress
from functools import partial
from typing import TYPE_CHECKING, Self

from molecule_approve.clock import boottime
from molecule_approve.errors import ServerError

from . import credentials, policy_check
from .access import AccessControl, is_counted_everywhere
from .activity import Activity
from .api import Api
from .app import Handlers, create_app
from .connections import Connections, connection_limit, raise_open_file_limit
from .database.values import GoneError, ReplicaRow, StoreError
from .hangup import has_terminal
from .health import Health
from .http_server import HttpServer, configure
from .hub import Hub
from .inbox import InboxApi
from .keys import KeysApi
from .live import LiveSocket
from .log_throttle import throttled_logs
from .metrics import Numbers
from .openid_sign_in import OpenIdApi
from .outbox import Outbox
from .pages import Pages
from .passkey_api import PasskeyApi
from .receipts import ReceiptApi
from .refusals import RefusedError
from .replica import Replica, host_name
from .rules import Rules
from .service import Service
from .sessions import Sessions
from .shared_rates import SharedRates
from .sign_in import SignInApi
from .starting import Prepared, ServePlan, prepared
from .threads import DatabaseThreads, no_thread

if TYPE_CHECKING:
    from types import TracebackType

    from .database.interface import Store
    from .database.transaction import Transaction
    from .database.values import SessionLimits
    from .limits import Limits
    from .tls import Certificate

__all__ = ["Prepared", "Running", "ServePlan", "prepared", "serve"]


def _database_fails(store: Store, error: StoreError) -> str:
    check = "the disk, and which other program has it open"
    if store.shared:
        check = "that PostgreSQL runs, and takes connections from here (psql with the same address)"
    return (
        f"cannot use the database {store.name}: {error}; calls are answered with 503 until it can be used, which needs no "
        f"restart; check {check}"
    )


async def _serve(
    prepared: Prepared, stop: asyncio.Event, ready: Callable[[], None], reload: asyncio.Event | None = None
) -> None:
    plan, limits = prepared.plan, prepared.plan.limits
    database = DatabaseThreads(prepared.store, lambda error: plan.warn(_database_fails(prepared.store, error)))
    hub = Hub()
    outbox = Outbox(plan.places.server_log, database, limits, plan.warn)
    activity = _activity(hub, outbox)
    site = prepared.passkey_site
    rules = Rules.of(plan, prepared.identity.id, site.origins)
    service = Service(database, hub, outbox, limits, activity, rules)
    anonymous = prepared.requester.workspace_id if plan.anonymous else None
    sessions = Sessions(limits)
    access = AccessControl(limits, boottime, anonymous, sessions, activity)
    health = Health(database, activity.numbers, plan.metrics_from, boottime, plan.public_url is not None)
    provider = prepared.provider
    where = (plan.public_url, prepared.local_url)
    provider_name = None if provider is None else provider.host
    entrance = SignInApi(database, hub, access, sessions, limits, *where, provider_name, plan.on_sign_in)
    handlers = Handlers(
        Api(service, database, access, limits, plan.anonymous),
        ReceiptApi(service, access, prepared.identity),
        InboxApi(service, access, limits),
        entrance,
        OpenIdApi(provider, entrance, plan.warn),
        PasskeyApi(database, access, limits, site),
        Pages.packaged(),
        LiveSocket(hub, access, database),
        access,
        prepared.addresses,
        health,
        activity,
        KeysApi(database, access, limits, rules.proof_checks),
        plan.trusted_proxies,
    )
    connections = Connections(limits, connection_limit(limits))
    config = configure(create_app(handlers), limits, connections)
    tls = None if prepared.certificate is None else prepared.certificate.context

    def begin() -> None:
        activity.started(prepared.url, plan.sources)
        if plan.policy is not None:
            activity.policy_read(plan.policy)
        ready()

    def drain() -> None:
        activity.stopping()
        health.draining = True
        hub.stop()

    server = HttpServer(config, connections, stop, begin, drain, tls)
    replica = _replica(prepared, database, service, outbox)
    jobs = (
        *(() if replica is None else (*replica.jobs(), _share_rates(access, database))),
        outbox.run(),
        service.run_timer(),
        sessions.run(database),
        _recheck(database, hub, sessions, limits),
        _restore_files(prepared, server),
        policy_check.follow(plan, database, rules.policies, activity, reload or asyncio.Event()),
        *(() if prepared.certificate is None else (_renew(prepared.certificate, plan),)),
    )
    background = [asyncio.create_task(job) for job in jobs]
    for task in background:
        # None of them ends by itself: without one of them the server must not go on.
        task.add_done_callback(lambda _task: stop.set())
    try:
        if replica is not None:
            await replica.ready()
        await outbox.catch_up()
        with throttled_logs():
            await server.serve([*prepared.sockets])
    finally:
        for task in background:
            task.cancel()
        ends = await asyncio.gather(*background, return_exceptions=True)
        database.close()
        outbox.close()
    _raise_fault(ends)


def _raise_fault(ends: Iterable[BaseException | None]) -> None:
    """Raise what ended one of the server's jobs, if it is a fault."""
    for end in ends:
        if isinstance(end, ServerError):
            raise end
        if isinstance(end, Exception):
            stopped = ServerError("internal error: the server stopped", hint="start it again; no decision is lost")
            raise no_thread(end) or stopped from end


def _share_rates(access: AccessControl, database: DatabaseThreads) -> Coroutine[None, None, None]:
    return SharedRates(access.rates, database, is_counted_everywhere, boottime).run()


def _replica(prepared: Prepared, database: DatabaseThreads, service: Service, outbox: Outbox) -> Replica | None:
    """This server among others, if it shares its database."""
    plan = prepared.plan
    if prepared.replica_id is None:
        return None
    row = ReplicaRow(prepared.replica_id, host_name(), str(plan.places.server_log), plan.public_url)
    return Replica(row, prepared.store, database, service, outbox, plan.limits, plan.warn, boottime)


def _activity(hub: Hub, outbox: Outbox) -> Activity:
    numbers = Numbers()
    numbers.gauge("sockets", "Open event streams.", lambda: hub.sockets)
    numbers.gauge("waiting_calls", "Calls that wait for the end of a request.", lambda: hub.waiting)
    numbers.gauge("audit_queue", "Ended requests that are not in the audit log yet.", lambda: len(outbox))
    return Activity(numbers)


async def _restore_files(prepared: Prepared, server: HttpServer) -> None:
    """Restore files that are removed while it serves; stop if the database is removed, as decisions would not be stored.

    Raises:
        ServerError: the database was removed or replaced.
    """
    while True:
        await asyncio.sleep(prepared.plan.limits.check_interval)
        try:
            await asyncio.to_thread(prepared.store.check)
        except GoneError as exc:
            hint = "restore the file if you have it, and start the server again; no decision was accepted since"
            raise ServerError(f"the server stopped: {exc}", hint=hint) from exc
        except StoreError:
            continue  # calls are refused as long as this is so, and the first of them warns
        made = await asyncio.to_thread(prepared.state_folder.restore, prepared.requester)
        if made is not None:
            await server.also_serve(made)


async def _renew(certificate: Certificate, plan: ServePlan) -> None:
    """Use a new certificate for new connections as soon as it has replaced the old one."""
    while True:
        await asyncio.sleep(plan.limits.check_interval)
        try:
            await asyncio.to_thread(certificate.refresh)
        except ServerError as exc:
            plan.warn(f"{exc.message}; the certificate that was read before stays in use")


async def _recheck(database: DatabaseThreads, hub: Hub, sessions: Sessions, limits: Limits) -> None:
    """Close the sockets whose token was revoked or limited anew, or whose session ended; free while no socket is open."""
    while True:
        await hub.wait_for_socket()
        await asyncio.sleep(limits.recheck)
        with suppress(RefusedError):
            for credential in await database.read(partial(_invalid, hub.rights(), sessions.limits)):
                hub.drop(credential)


def _invalid(rights: set[tuple[str, frozenset[str] | None]], limits: SessionLimits, transaction: Transaction) -> list[str]:
    found = [(credential, limit, transaction.credentials.holder(credential, limits)) for credential, limit in rights]
    return [credential for credential, limit, holder in found if holder is None or holder.workspaces != limit]


def serve(plan: ServePlan, ready: Callable[[Prepared], None]) -> None:
    """Serve until SIGINT or SIGTERM, or until the terminal is closed; ``ready`` is called once calls are served.

    Any other SIGHUP makes it read its policy again.

    Raises:
        UsageError, ConfigError, ServerError: it cannot start; see :func:`prepared`.
    """
    raise_open_file_limit()
    with prepared(plan) as server:
        asyncio.run(_until_signal(server, ready))


async def _until_signal(server: Prepared, ready: Callable[[Prepared], None]) -> None:
    stop, reload, at_terminal = asyncio.Event(), asyncio.Event(), has_terminal()

    def hang_up() -> None:
        if not at_terminal or has_terminal():
            reload.set()
            return
        stop.set()
        server.plan.warn("the terminal was closed (SIGHUP), so the server stops; to keep it running, use nohup or setsid")

    for signum, end in ((signal.SIGINT, stop.set), (signal.SIGTERM, stop.set), (signal.SIGHUP, hang_up)):
        # A shell starts background jobs with SIGINT ignored, nohup with SIGHUP: that is kept.
        if signal.getsignal(signum) is not signal.SIG_IGN:
            asyncio.get_running_loop().add_signal_handler(signum, end)

    def announce() -> None:
        # What the start has made stays: each full collection would look at it for 15 ms, in which no call is answered.
        gc.freeze()
        server.announce()
        ready(server)

    await _serve(server, stop, announce, reload)


class Running:
    """A server in a thread of this process, inside ``with``: for tests, benchmarks and programs that embed it.

    Attributes:
        url: the address that it listens on.
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
        self.url, self.places, self.requester = self._server.local_url, self._plan.places, self._server.requester
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

    def opened(self) -> AbstractContextManager[Store]:
        """Its database, opened once more, as a command of its administrator does."""
        return credentials.opened(self.places, self._plan.limits, database=self._plan.database)

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
            self._server.announce()
            self._started.set()

        await _serve(self._server, self._stop, announce)
