"""The use cases: submit, decide, redeem, withdraw, expire. Each stores with its journal row, journals, then notifies."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from molecule_approve.clock import utc_now
from molecule_approve.model import WITHDRAWN_BY, Approval, JsonValue, Status
from molecule_approve.wire import LIST_LENGTH, event_frame, flat_frame, key_task_id

from .refusals import (
    RefusedError,
    already_used,
    ended,
    key_conflict,
    key_used,
    not_here_to_decide,
    too_many_pending,
    unknown_approval,
)
from .store import Transaction, epoch_text
from .values import Draft, OutboxEntry, Resolution, outcome_of

if TYPE_CHECKING:
    from .access import Approver
    from .bodies import Decided, SubmitBody
    from .hub import Hub
    from .limits import Limits
    from .outbox import Outbox
    from .threads import DatabaseThreads

T = TypeVar("T")

Enter = Callable[[Transaction], object]
"""Says inside the transaction whether the caller may do this; raises RefusedError where not."""

OPEN_STATUSES = frozenset({Status.PENDING, Status.ESCALATED})
"""The statuses of a request that has not ended."""

_IDLE = 60.0
"""Seconds after which the expiry timer looks at the wall clock again, in case that jumped."""


@dataclass(frozen=True, slots=True)
class RequestPath:
    """Which request: the workspace's id, and its own."""

    workspace_id: str
    approval_id: str


@dataclass(frozen=True, slots=True)
class Transition:
    """What one transaction did: the requests that it ended, and what it answers or refuses with.

    A refusal is a value here, because raising it would undo the endings.
    """

    entries: tuple[OutboxEntry, ...]
    answer: Approval | RefusedError


@dataclass(frozen=True, slots=True)
class InboxView:
    """What an approver sees: who they are, how many wait, the oldest of those, and what ended last.

    Each request comes with its workspace's name.
    """

    approver: Approver
    waiting: int
    pending: list[tuple[Approval, str]]
    decided: list[tuple[Approval, str]]


class Service:
    """The embedded platform, without its protocol.

    Args:
        db: the database.
        hub: who listens.
        outbox: the audit log.
        settings: the limits.
        now: the wall clock in seconds since the epoch, which expiry needs to outlive a restart; one that never goes back.

    """

    def __init__(self, db: DatabaseThreads, hub: Hub, outbox: Outbox, settings: Limits, now: Callable[[], float]) -> None:
        self._db = db
        self._hub = hub
        self._outbox = outbox
        self._settings = settings
        self._now = now
        self._sooner = asyncio.Event()
        self._next: float | None = None

    # --- asking

    async def submit(self, enter: Enter, workspace_id: str, reading: Callable[[], SubmitBody]) -> tuple[Approval, bool]:
        """Keep the request, or take up the one that its idempotency key stands for; whether it is new.

        Raises:
            RefusedError: the caller's; 400 and 422 (what ``reading`` raises), 409 and 422 (the key), 429 (too many), 503.

        """
        now = self._now()

        def job(transaction: Transaction) -> tuple[Approval, bool, float, list[OutboxEntry]]:
            enter(transaction)
            draft = self._draft(workspace_id, reading())
            # What is due is neither open nor to be taken up.
            entries = transaction.expire_due(now, utc_now())
            return *self._keep(transaction, draft), draft.expires, entries

        approval, created, expires, entries = await self._db.write(job)
        await self._told(entries)
        if created:
            self._watch(expires)
            self._announce(approval, "APPROVAL_REQUESTED", approval.created_at or "")
        return approval, created

    def _draft(self, workspace_id: str, asked: SubmitBody) -> Draft:
        seconds = self._settings.expiry if asked.expires_in is None else asked.expires_in
        return Draft(
            id=str(uuid.uuid4()),
            workspace_id=workspace_id,
            task_id=asked.task_id if asked.key is None else key_task_id(workspace_id, asked.key),
            keyed=asked.key is not None,
            action=asked.action,
            reason=asked.reason,
            context=asked.context,
            created_at=utc_now(),
            expires=self._now() + seconds,
        )

    def _keep(self, transaction: Transaction, draft: Draft) -> tuple[Approval, bool]:
        if draft.keyed:
            found = transaction.keyed(draft.workspace_id, draft.task_id)
            if found is not None:
                return self._take_up(found, draft), False
        if transaction.count_open(draft.workspace_id) >= self._settings.pending:
            raise too_many_pending(self._settings.pending)
        return transaction.insert(draft), True

    @staticmethod
    def _take_up(found: Approval, draft: Draft) -> Approval:
        if (found.action, found.reason) != (draft.action, draft.reason):
            raise key_conflict(found)
        if found.status not in OPEN_STATUSES:
            raise key_used(found)
        return found

    # --- reading

    async def newest(self, enter: Enter, workspace_id: str, task_id: str | None = None) -> list[Approval]:
        """The workspace's fifty newest requests; with a task id those of this task, as many as a client reads. Newest first.

        Raises:
            RefusedError: the caller's; 503.

        """
        if task_id is None:
            return await self._read(enter, lambda transaction: transaction.newest(workspace_id, LIST_LENGTH), list)
        count = self._settings.pending_list
        return await self._read(enter, lambda transaction: transaction.of_task(workspace_id, task_id, count), list)

    async def waiting(self, enter: Enter, workspace_id: str) -> tuple[list[Approval], int]:
        """The workspace's open requests, oldest first, as many as a client reads at once; and how many there are.

        Raises:
            RefusedError: the caller's; 503.

        """

        def job(transaction: Transaction) -> tuple[list[Approval], int]:
            rows = transaction.oldest_open(workspace_id, self._settings.pending_list)
            return rows, transaction.count_open(workspace_id)

        return await self._read(enter, job, lambda found: found[0])

    async def pending(self, enter: Enter) -> list[tuple[Approval, str]]:
        """The newest pending requests of every workspace, each with the workspace's name.

        Raises:
            RefusedError: the caller's; 503.

        """
        return await self._read(enter, lambda transaction: transaction.pending(self._settings.pending_list), _firsts)

    async def desk(self, enter: Callable[[Transaction], Approver]) -> InboxView:
        """What waits for a decision, and what ended last, in one view.

        Raises:
            RefusedError: the caller's; 503.

        """

        def job(transaction: Transaction) -> InboxView:
            return InboxView(
                enter(transaction),
                transaction.count_pending(),
                transaction.oldest_pending(self._settings.desk_pending),
                transaction.latest_ended(self._settings.desk_decided),
            )

        return await self._read(enter, job, lambda view: _firsts(view.pending))

    async def one(self, enter: Enter, name: RequestPath, seconds: float, held: Callable[[], None]) -> Approval:
        """One request: as soon as it has ended, or as it is after so many seconds (0 for at once).

        ``held`` is called before it waits.

        Raises:
            RefusedError: the caller's, and what ``held`` raises; 404, 503.

        """
        if seconds == 0:
            return await self._one(enter, name)
        with self._hub.waiting_for(name.approval_id) as event:
            approval = await self._one(enter, name)
            if approval.status not in OPEN_STATUSES:
                return approval
            held()
            with suppress(TimeoutError):
                await asyncio.wait_for(event.wait(), seconds)
        return await self._one(enter, name)

    async def _one(self, enter: Enter, name: RequestPath) -> Approval:
        def job(transaction: Transaction) -> Approval:
            held = transaction.one(name.workspace_id, name.approval_id)
            if held is None:
                raise unknown_approval()
            return held.approval

        return await self._read(enter, job, lambda row: [row])

    async def _read(self, enter: Enter, job: Callable[[Transaction], T], rows: Callable[[T], Iterable[Approval]]) -> T:
        def entered(transaction: Transaction) -> T:
            enter(transaction)
            return job(transaction)

        found = await self._db.read(entered)
        now = epoch_text(self._now())
        if not any(row.status in OPEN_STATUSES and (row.expires_at or now) <= now for row in rows(found)):
            return found
        # The timer is late (the machine slept, or is busy): nobody may see an expired request as pending.
        await self.expire()
        return await self._db.read(entered)

    # --- ending

    async def decide(
        self, enter: Callable[[Transaction], Approver], name: RequestPath, reading: Callable[[], Decided]
    ) -> Approval:
        """End the request by an approver's word, under the name of the approver's credential.

        Raises:
            RefusedError: the caller's; 400 and 422 (what ``reading`` raises), 404, 409 (it has ended: how), 503.

        """

        def job(transaction: Transaction) -> OutboxEntry | Approval | RefusedError:
            by, decided = enter(transaction).name, reading()
            ending = Resolution(decided.status, by, utc_now(), True, decided.claimed_by, decided.comment)
            return _end(transaction, name, ending, not_here_to_decide())

        return await self._write(job)

    async def withdraw(self, enter: Enter, name: RequestPath) -> Approval:
        """Take the request back.

        Raises:
            RefusedError: the caller's; 404, 409 (it has ended: how), 503.

        """

        def job(transaction: Transaction) -> OutboxEntry | Approval | RefusedError:
            enter(transaction)
            return _end(transaction, name, Resolution(Status.DENIED, WITHDRAWN_BY, utc_now()), unknown_approval())

        return await self._write(job)

    async def redeem(self, enter: Enter, name: RequestPath, reading: Callable[[], str]) -> Approval:
        """Show the request, and use it up if it is approved.

        Raises:
            RefusedError: the caller's; 400 and 422 (what ``reading`` raises), 404, 409 (another invocation used it), 503.

        """

        def job(transaction: Transaction) -> OutboxEntry | Approval | RefusedError:
            enter(transaction)
            invocation = reading()
            transaction.use(name.workspace_id, name.approval_id, invocation, utc_now())
            held = transaction.one(name.workspace_id, name.approval_id)
            if held is None:
                return unknown_approval()
            if held.used_by not in {None, invocation}:
                return already_used(held.approval, held.used_at or "")
            return held.approval

        return await self._write(job)

    async def expire(self) -> None:
        """Deny by ``auto-expired`` whatever is due.

        Raises:
            RefusedError: 503.

        """
        now = self._now()
        await self._told(await self._db.write(lambda transaction: transaction.expire_due(now, utc_now())))

    async def _write(self, job: Callable[[Transaction], OutboxEntry | Approval | RefusedError]) -> Approval:
        now = self._now()

        def whole(transaction: Transaction) -> Transition:
            # What is due expires first, in the same transaction: a decision after the time is up can never win.
            entries = tuple(transaction.expire_due(now, utc_now()))
            answer = job(transaction)
            return (
                Transition((*entries, answer), answer.approval)
                if isinstance(answer, OutboxEntry)
                else Transition(entries, answer)
            )

        outcome = await self._db.write(whole)
        await self._told(outcome.entries)
        if isinstance(outcome.answer, RefusedError):
            raise outcome.answer
        return outcome.answer

    async def _told(self, entries: Sequence[OutboxEntry]) -> None:
        if entries:
            await self._outbox.record(entries)
        for entry in entries:
            self._announce(entry.approval, f"APPROVAL_{outcome_of(entry.approval).upper()}", entry.recorded_at)

    def _announce(self, approval: Approval, name: str, timestamp: str) -> None:
        frames = [event_frame(name, approval.workspace_id, timestamp, _payload(approval, name))]
        if name != "APPROVAL_REQUESTED":
            frames.append(flat_frame(approval))
            self._hub.ended(approval.id)
        self._hub.publish(approval.workspace_id, frames)

    # --- the timer

    async def run_timer(self) -> None:
        """Expire what is due when it is due, for ever; ends by being cancelled."""
        while True:
            self._sooner.clear()
            try:
                self._next = await self._db.read(lambda transaction: transaction.next_expiry())
                if self._next is not None and self._next <= self._now():
                    await self.expire()
                    continue
            except RefusedError:
                self._next = self._now() + 1  # the database is away
            await self._nap()

    async def _nap(self) -> None:
        left = None if self._next is None else max(0.0, min(self._next - self._now(), _IDLE))
        try:
            await asyncio.wait_for(self._sooner.wait(), left)
        except TimeoutError:
            return

    def _watch(self, expires: float) -> None:
        if self._next is None or expires < self._next:
            self._sooner.set()


def _firsts(rows: list[tuple[Approval, str]]) -> list[Approval]:
    return [approval for approval, _ in rows]


def _end(
    transaction: Transaction, name: RequestPath, ending: Resolution, missing: RefusedError
) -> OutboxEntry | RefusedError:
    entry = transaction.end(name.workspace_id, name.approval_id, ending)
    if entry is not None:
        return entry
    held = transaction.one(name.workspace_id, name.approval_id)
    return missing if held is None else ended(held.approval)


def _payload(approval: Approval, name: str) -> dict[str, JsonValue]:
    if name == "APPROVAL_REQUESTED":
        return {
            "approval_id": approval.id,
            "action": approval.action,
            "reason": approval.reason,
            "task_id": approval.task_id,
        }
    return {"approval_id": approval.id, "decision": approval.status.value, "decided_by": approval.decided_by}
