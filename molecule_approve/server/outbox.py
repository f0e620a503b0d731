"""Ended requests on their way from the database into the server's audit log: in order, and none is lost."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from molecule_approve.audit.journal import TOGETHER, Journal
from molecule_approve.audit.read import history
from molecule_approve.audit.record import OF_OUTCOME, Record, RecordAction, decode, make_record
from molecule_approve.errors import AuditError
from molecule_approve.lifecycle import outcome_of, self_approved

from .counting import requirement_of
from .refusals import RefusedError
from .time_limit import TimeLimit

if TYPE_CHECKING:
    from molecule_approve.model import JsonValue

    from .database.values import OutboxEntry
    from .limits import Limits
    from .threads import DatabaseThreads


_MARKED_TOGETHER = 1_000
"""Rows that are marked in one statement; when so many wait, also while further ones are appended without a pause."""

_REMEMBERED = 100_000
"""Rows whose numbers are remembered: far more than are committed while one call waits for its turn."""


def record_of(entry: OutboxEntry) -> Record:
    """The audit record of an ended request. The actor is the approver who decided, else the workspace.

    The context is written as it was sent: the clients remove the secrets that they know, the server knows only hashes.
    """
    approval = entry.approval
    return make_record(
        RecordAction.APPROVE,
        OF_OUTCOME[outcome_of(approval)],
        timestamp=entry.recorded_at,
        workspace_id=approval.workspace_id,
        resource=approval.action,
        # Clients of the platform may send no task id; a record always needs a trace id.
        trace_id=approval.task_id or approval.id,
        actor=approval.decided_by if approval.decided_by_verified else None,
        extras={
            "approval_id": approval.id,
            "requested_by": approval.requested_by,
            "self_approved": self_approved(approval) or None,
            "decided_by": approval.decided_by,
            "decided_by_verified": approval.decided_by_verified,
            "reason_text": approval.reason,
            "context": dict(approval.context or {}) or None,
            "comment": approval.comment,
            "claimed_by": entry.claimed_by,
            "rule": requirement_of(approval).rule,
            "decisions": _decisions(entry),
        },
    )


def _decisions(entry: OutboxEntry) -> list[JsonValue] | None:
    """Each person's decision and how it was proven, if there are rows of them; else the record's own fields say it."""
    return [
        {"by": one.name, "at": one.decided_at, "decision": one.decision.value, "proof": one.proof_kind}
        for one in entry.decisions
    ] or None


def recorded_ids(log: Path) -> set[str]:
    """The ids of the approvals in the audit log, archives included. It reads all of it: only for a start after a crash.

    Raises:
        AuditError: the log cannot be read.
    """
    with closing(history.backwards(log)) as newest:
        found = (decode(line) for line in newest if b'"approval_id"' in line)
        return {str(fields["approval_id"]) for fields in found if fields is not None and "approval_id" in fields}


class Outbox:
    """Appends ended requests to the audit log, in a thread of its own.

    Each transaction that ends a request also writes its outbox row, which is marked once it is appended. So an append that
    fails, or that a crash prevents, is made later: after a while, or at the next start.

    ``warn`` gets one sentence about each problem.

    Attributes:
        may_append: whether these rows are surely this server's; another one may take them over, and append them to its log.
    """

    def __init__(self, log: Path, database: DatabaseThreads, limits: Limits, warn: Callable[[str], None]) -> None:
        self._log = log
        # One object for good: after a failed fsync it refuses every append, and the rows wait for the next start.
        self._journal = Journal(log)
        self._database = database
        self._limits = limits
        self._warn = warn
        self._thread = ThreadPoolExecutor(1, "server-journal")
        self._entries: deque[tuple[OutboxEntry, asyncio.Future[None]]] = deque()
        self._time_limit = TimeLimit(limits.audit_patience, lambda: None)
        self._unmarked: list[int] = []
        self._awake = asyncio.Event()
        self._failing = False
        self.may_append: Callable[[], bool] = lambda: True
        # Numbers of rows that were queued here, also of those that are done: one may arrive twice, from its call and from
        # the database.
        self._seen: dict[int, None] = {}
        self._taken: set[int] = set()

    def __len__(self) -> int:
        """How many entries wait."""
        return len(self._entries)

    async def catch_up(self) -> None:
        """Append what was committed before this start and is not in the log, because the server was killed in between.

        Raises:
            RefusedError: the database cannot answer.
        """
        entries = await self._database.read(lambda transaction: transaction.outbox.unrecorded())
        if not entries:
            return
        try:
            recorded = await asyncio.get_running_loop().run_in_executor(self._thread, recorded_ids, self._log)
        except AuditError as exc:
            # Without knowing what the log holds, some would be written twice: they wait for the next start.
            self._warn(
                f"cannot read the audit log, so {len(entries)} decisions from before this start are not written to it: "
                f"{exc.message}; the next start tries again"
            )
            return
        for entry in entries:
            if entry.approval.id in recorded:
                self._see(entry.number)
                self._unmarked.append(entry.number)
        await self.wait(self.record([entry for entry in entries if entry.approval.id not in recorded]))
        self._awake.set()

    async def rejoin(self) -> None:
        """Read again which rows are this server's: others may have taken some over, and some were never queued here.

        Raises:
            RefusedError: the database cannot answer.
        """
        queued = {entry.number for entry, _ in self._entries}
        owed = await self._database.read(lambda transaction: transaction.outbox.unrecorded())
        self._taken |= queued - {entry.number for entry in owed}
        self.record(owed)

    async def run(self) -> None:
        """Append queued entries, and mark them when the queue is empty. Runs until it is cancelled."""
        while True:
            if not await self._has_work():
                await self._mark()
            elif not await self._drain():
                await asyncio.sleep(self._limits.audit_retry_delay)
                self._awake.set()
            elif len(self._unmarked) >= _MARKED_TOGETHER:
                await self._mark()

    async def _has_work(self) -> bool:
        # Marks are made a little later, together: their transaction would compete with the events for the processor.
        try:
            await asyncio.wait_for(self._awake.wait(), self._limits.audit_mark_delay if self._unmarked else None)
        except TimeoutError:
            return False
        self._awake.clear()
        return True

    async def wait(self, recording: Sequence[asyncio.Future[None]]) -> None:
        """Wait until these entries are in the log, or their time is over; not at all while it fails."""
        for appended in recording:
            if not self._failing:
                await appended

    def record(self, entries: Sequence[OutboxEntry]) -> list[asyncio.Future[None]]:
        """Queue the entries; for each that is new here, a future that is done once it is in the log.

        It is done after ``audit_patience`` at the latest, and may be cancelled.
        """
        loop = asyncio.get_running_loop()
        queued = [(entry, loop.create_future()) for entry in entries if self._see(entry.number)]
        self._entries.extend(queued)
        for _, appended in queued:
            self._time_limit.add(appended)
        if queued:
            self._awake.set()
        return [appended for _, appended in queued]

    def _see(self, number: int) -> bool:
        """Whether the row is new here."""
        if number in self._seen:
            return False
        self._seen[number] = None
        if len(self._seen) > _REMEMBERED:
            del self._seen[next(iter(self._seen))]
        return True

    async def _drain(self) -> bool:
        while self._remaining():
            if not self.may_append():
                return False
            waiting = [entry for entry, _ in islice(self._entries, TOGETHER)]
            loop = asyncio.get_running_loop()
            count, error = await loop.run_in_executor(self._thread, self._append, waiting)
            for _ in range(count):
                entry, appended = self._entries.popleft()
                self._unmarked.append(entry.number)
                _set_done(appended)
            if error is not None:
                self._fail(error)
                return False
            self._failing = False
        return True

    def _remaining(self) -> int:
        """How many entries wait, once those are dropped that another server has taken over."""
        if self._taken:
            for appended in [appended for entry, appended in self._entries if entry.number in self._taken]:
                _set_done(appended)
            self._entries = deque(pair for pair in self._entries if pair[0].number not in self._taken)
            self._taken = set()
        return len(self._entries)

    def _append(self, entries: Sequence[OutboxEntry]) -> tuple[int, AuditError | None]:
        """Append the entries, with one fsync; how many are in the log, and why none is."""
        try:
            records = [record_of(entry) for entry in entries]
            return len(self._journal.append_all(records, patience=self._limits.audit_patience)), None
        except AuditError as exc:
            return 0, exc

    def _fail(self, exc: AuditError) -> None:
        if not self._failing:
            self._warn(
                f"cannot write decisions to the audit log: {exc.message}; they stay in the database until it can be written"
            )
        self._failing = True

    async def _mark(self) -> None:
        numbers = self._unmarked[:_MARKED_TOGETHER]
        # If the database fails, the next round tries again; after a crash the log itself shows what it holds.
        with suppress(RefusedError):
            await self._database.write(lambda transaction: transaction.outbox.mark_recorded(numbers))
            del self._unmarked[: len(numbers)]

    def close(self) -> None:
        """Wait for the append that is under way, and end the thread."""
        self._thread.shutdown(cancel_futures=True)


def _set_done(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
