"""Endings on their way from the database into the server's audit log: in order, none lost, never in a decision's way."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING

from molecule_approve.errors import AuditError

from .refusals import RefusedError
from .values import OutboxEntry

if TYPE_CHECKING:
    from .limits import Limits
    from .threads import DatabaseThreads

Append = Callable[[OutboxEntry], None]
"""Writes the entry to the audit log, durably. Blocking; raises AuditError where it cannot."""


class Outbox:
    """Appends what ended to the audit log, in a thread of its own.

    The rows were written by the endings' own transactions, so whatever happens here they can be appended later: after a
    while, or at the next start.

    Args:
        append: the audit log.
        lanes: the database, where appended rows are marked.
        settings: the limits.
        complain: is told, in one sentence, what goes wrong.

    """

    def __init__(self, append: Append, lanes: DatabaseThreads, settings: Limits, complain: Callable[[str], None]) -> None:
        self._append = append
        self._lanes = lanes
        self._settings = settings
        self._complain = complain
        self._thread = ThreadPoolExecutor(1, "server-journal")
        self._entries: deque[tuple[OutboxEntry, asyncio.Future[None]]] = deque()
        self._unmarked: list[int] = []
        self._awake = asyncio.Event()
        self._failing = False

    async def catch_up(self, held: Callable[[], set[str]]) -> None:
        """Hand over what was committed before this start and may not stand in the log: a crash between the two loses none.

        Raises:
            RefusedError: the database cannot answer.

        """
        entries = await self._lanes.read(lambda transaction: transaction.waiting())
        if not entries:
            return
        try:
            there = await asyncio.get_running_loop().run_in_executor(self._thread, held)
        except AuditError as exc:
            # Without knowing what it holds we would write some twice: they wait for the next start.
            self._complain(f"{len(entries)} decisions from before this start are not journaled: {exc.message}")
            return
        self._unmarked.extend(entry.number for entry in entries if entry.approval.id in there)
        await self.record([entry for entry in entries if entry.approval.id not in there])
        self._awake.set()

    async def run(self) -> None:
        """Append what waits, and mark it once nothing waits; for ever, ends by being cancelled."""
        while True:
            if not await self._called():
                await self._mark()
            elif not await self._drain():
                await asyncio.sleep(self._settings.journal_retry)
                self._awake.set()

    async def _called(self) -> bool:
        # The marks come a little later, in one go: their transaction would compete with the events for the processor.
        try:
            await asyncio.wait_for(self._awake.wait(), self._settings.journal_mark if self._unmarked else None)
        except TimeoutError:
            return False
        self._awake.clear()
        return True

    async def record(self, entries: Sequence[OutboxEntry]) -> None:
        """Hand the entries over, and wait a bounded time until they stand in the log; not at all while it fails."""
        loop = asyncio.get_running_loop()
        waiting = [(entry, loop.create_future()) for entry in entries]
        self._entries.extend(waiting)
        self._awake.set()
        if waiting and not self._failing:
            await asyncio.wait([future for _, future in waiting], timeout=self._settings.journal_patience)

    async def _drain(self) -> bool:
        while self._entries:
            entry, told = self._entries[0]
            error = await asyncio.get_running_loop().run_in_executor(self._thread, self._try_to_append, entry)
            if error is not None:
                self._fail(error)
                return False
            self._failing = False
            self._entries.popleft()
            self._unmarked.append(entry.number)
            told.set_result(None)
        return True

    def _try_to_append(self, entry: OutboxEntry) -> AuditError | None:
        try:
            self._append(entry)
        except AuditError as exc:
            return exc
        return None

    def _fail(self, exc: AuditError) -> None:
        if not self._failing:
            self._complain(f"decisions cannot be journaled just now, and are kept until they can: {exc.message}")
        self._failing = True

    async def _mark(self) -> None:
        numbers = list(self._unmarked)
        # If the database is away, the next round tries again; after a crash the log itself says what it holds.
        with suppress(RefusedError):
            await self._lanes.write(lambda transaction: transaction.mark(numbers))
            del self._unmarked[: len(numbers)]

    def close(self) -> None:
        """Wait for the append that is under way, and end the thread."""
        self._thread.shutdown(cancel_futures=True)
