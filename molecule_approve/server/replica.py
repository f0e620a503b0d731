"""A server among others on one database: it hears what they did, and takes over what one of them left when it ended."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from molecule_approve.clock import utc_now
from molecule_approve.errors import AuditError, ServerError

from .database import attempts
from .database.values import Change, ReplicaRow, StoreError
from .outbox import recorded_ids
from .refusals import RefusedError

if TYPE_CHECKING:
    from .database.interface import Store
    from .database.transaction import Transaction
    from .database.values import OutboxEntry
    from .limits import Limits
    from .outbox import Outbox
    from .service import Service
    from .threads import DatabaseThreads

_PAUSE = 1.0
"""Seconds after which changes are told that the database could not be asked about."""


def host_name() -> str:
    """The name of this machine: a path that another server wrote down is looked at only on the same one."""
    return socket.gethostname()


class Replica:
    """This server, for the others.

    Every server holds a lock in the database for as long as it runs. Ended requests belong to the server that ended them,
    which appends them to its audit log. When a server has ended, which shows by its lock, another one takes over what
    is left. ``clock`` is monotonic, in seconds.
    """

    def __init__(
        self,
        row: ReplicaRow,
        store: Store,
        database: DatabaseThreads,
        service: Service,
        outbox: Outbox,
        limits: Limits,
        warn: Callable[[str], None],
        clock: Callable[[], float],
    ) -> None:
        self._row = row
        self._store = store
        self._database = database
        self._service = service
        self._outbox = outbox
        self._limits = limits
        self._warn = warn
        self._clock = clock
        self._changes: asyncio.Queue[Change] = asyncio.Queue()
        self._ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._free_since: dict[str | None, float] = {}
        self.listener = store.listener(row.id, self._hear, self._join, clock)
        outbox.may_append = lambda: self.listener.holds

    def jobs(self) -> tuple[Coroutine[None, None, None], ...]:
        """What runs until it is cancelled."""
        return self.listener.run(), self._tell(), self._look_after_others()

    async def ready(self) -> None:
        """Wait until this server has its lock, and the others can see it.

        Raises:
            ServerError: the database does not answer, another server has this one's id, or serves another address.
        """
        try:
            await asyncio.wait_for(asyncio.shield(self._ready), self._limits.start)
        except TimeoutError:
            hint = "a server's state folder must not be copied; remove the file `replica` from the copy"
            raise ServerError(f"cannot join the other servers: {self.listener.problem}", hint=hint) from None

    async def _join(self) -> None:
        """On each new connection to the database.

        Raises:
            StoreError: the database cannot answer.
        """
        try:
            if self._ready.done():
                await self._database.write(self._write_down)
                await self._service.events.look_again()
                await self._outbox.rejoin()
            else:
                await self._database.write(self._register)
        except RefusedError as exc:
            raise StoreError("the database cannot answer") from exc
        except ServerError as exc:
            self._ready.set_exception(exc)
        if not self._ready.done():
            self._ready.set_result(None)

    def _register(self, transaction: Transaction) -> None:
        transaction.replicas.wait_for_others()
        owners = transaction.outbox.owners()
        for other in transaction.replicas.all():
            if other.id == self._row.id:
                continue
            ended = transaction.replicas.lock(other.id)
            if ended and other.id not in owners:
                transaction.replicas.forget(other.id)
            if not ended and other.public_url != self._row.public_url:
                theirs, ours = (url or "none" for url in (other.public_url, self._row.public_url))
                raise ServerError(
                    f"another server of this database, on {other.host}, has the public URL {theirs}, and this one {ours}",
                    hint="give all of them the same --public-url, and let a proxy share the calls out",
                )
        self._write_down(transaction)

    def _write_down(self, transaction: Transaction) -> None:
        """Say where this server is; again after each lost connection: a server that started meanwhile took it for ended."""
        transaction.replicas.register(self._row, utc_now())

    # --- what the others did

    def _hear(self, text: str) -> None:
        for change in map(Change.decode, text.split("\n")):
            if change is not None:
                self._changes.put_nowait(change)

    async def _tell(self) -> None:
        while True:
            changes = [await self._changes.get()]
            while not self._changes.empty():
                changes.append(self._changes.get_nowait())
            await self._pass_on(changes)

    async def _pass_on(self, changes: list[Change]) -> None:
        while True:
            with suppress(RefusedError):
                return await self._service.heard(changes)
            await asyncio.sleep(_PAUSE)

    # --- what others left

    async def _look_after_others(self) -> None:
        while True:
            await asyncio.sleep(self._limits.takeover_interval)
            # If the database does not answer, the next round looks again.
            with suppress(RefusedError, StoreError):
                if self.listener.holds:
                    await self._outbox.rejoin()
                    await self._take_over()

    async def _take_over(self) -> None:
        owners = await self._database.read(lambda transaction: transaction.outbox.owners()) - {self._row.id}
        rows = {row.id: row for row in await self._database.read(lambda transaction: transaction.replicas.all())}
        now = self._clock()
        self._free_since = {owner: since for owner, since in self._free_since.items() if owner in owners}
        for owner in owners:
            row = rows.get(owner or "")
            patience = self._limits.takeover if _is_here(row) else self._limits.takeover_blind
            due = now - self._free_since.get(owner, now) >= patience
            if await self._is_gone(owner, row, take_over=due):
                self._free_since.setdefault(owner, now)
            else:
                self._free_since.pop(owner, None)

    async def _is_gone(self, owner: str | None, row: ReplicaRow | None, *, take_over: bool) -> bool:
        """Whether the server has ended; if it has, what it left is taken over on demand."""

        def job(transaction: Transaction) -> tuple[list[OutboxEntry], bool] | None:
            # With its lock: it cannot come back while we look what it has in its log.
            if not transaction.replicas.lock(owner):
                return None
            return _taken_over(transaction, owner, row) if take_over else ([], True)

        found = await asyncio.to_thread(attempts.write, self._store, job, 0)
        if found is None:
            return False
        entries, sure = found
        if not sure:
            where = "a server that is not known" if row is None else f"the server on {row.host}"
            self._warn(
                f"{where} has ended, and its audit log cannot be read here: the last {len(entries)} decisions that it did "
                "not confirm are in this server's audit log, and may be in that one too"
            )
        await self._outbox.wait(self._outbox.record(entries))
        return True


def _taken_over(transaction: Transaction, owner: str | None, row: ReplicaRow | None) -> tuple[list[OutboxEntry], bool]:
    """The entries that are in no log and ours now, and whether that is sure."""
    transaction.replicas.take_time()
    left = transaction.outbox.unrecorded_of(owner)
    recorded = _recorded_by(row)
    transaction.outbox.mark_recorded([entry.number for entry in left if entry.approval.id in (recorded or ())])
    missing = [entry for entry in left if entry.approval.id not in (recorded or ())]
    transaction.outbox.take_over([entry.number for entry in missing])
    return missing, recorded is not None or not missing


def _is_here(row: ReplicaRow | None) -> bool:
    """Whether the server's audit log can be read from here; one that has not begun is in a folder that can."""
    if row is None or row.host != host_name():
        return False
    log = Path(row.log)
    return os.access(log.parent, os.R_OK | os.X_OK) and (not log.exists() or os.access(log, os.R_OK))


def _recorded_by(row: ReplicaRow | None) -> set[str] | None:
    """The ids of the approvals in the server's audit log; None if it cannot be read from here."""
    if row is None or not _is_here(row):
        return None
    try:
        return recorded_ids(Path(row.log))
    except AuditError:
        return None
