"""The use cases: submit, decide, redeem, withdraw, expire. Each stores with its journal row, journals, then notifies."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from molecule_approve.clock import utc_now
from molecule_approve.model import EXPIRED_BY, WITHDRAWN_BY, Approval, JsonValue, Status
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
    unknown_workspace,
)
from .store import Draft, Ending, Entry, Transaction

if TYPE_CHECKING:
    from .bodies import Decided, Submission
    from .journaling import Journaler
    from .lanes import Lanes
    from .notify import Hub
    from .settings import Settings

T = TypeVar("T")

_IDLE = 60.0
"""Seconds after which the expiry timer looks at the wall clock again, in case that jumped."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one transaction did: the requests that it ended, and what it answers or refuses with.

    A refusal is a value here, because raising it would undo the endings.
    """

    entries: tuple[Entry, ...]
    answer: Approval | RefusedError


class Service:
    """The embedded platform, without its protocol.

    Args:
        lanes: the database.
        hub: who listens.
        journaler: the audit log.
        settings: the limits.
        now: the wall clock in seconds since the epoch: expiry must outlive a restart, so nothing else will do.

    """

    def __init__(self, lanes: Lanes, hub: Hub, journaler: Journaler, settings: Settings, now: Callable[[], float]) -> None:
        self._lanes = lanes
        self._hub = hub
        self._journaler = journaler
        self._settings = settings
        self._now = now
        self._sooner = asyncio.Event()
        self._next: float | None = None

    # --- asking

    async def submit(self, workspace_id: str, asked: Submission, key: str | None) -> tuple[Approval, bool]:
        """Keep the request, or take up the one that the idempotency key stands for; whether it is new.

        Raises:
            RefusedError: 404 (no such workspace), 409 and 422 (the key), 429 (too many open), 503.

        """
        draft = self._draft(workspace_id, asked, key)
        approval, created = await self._lanes.write(lambda transaction: self._keep(transaction, draft))
        if created:
            self._watch(draft.expires)
            self._announce(approval, "APPROVAL_REQUESTED", approval.created_at or "")
        return approval, created

    def _draft(self, workspace_id: str, asked: Submission, key: str | None) -> Draft:
        seconds = self._settings.expiry if asked.expires_in is None else asked.expires_in
        return Draft(
            id=str(uuid.uuid4()),
            workspace_id=workspace_id,
            task_id=asked.task_id if key is None else key_task_id(workspace_id, key),
            keyed=key is not None,
            action=asked.action,
            reason=asked.reason,
            context=asked.context,
            created_at=utc_now(),
            expires=self._now() + seconds,
        )

    def _keep(self, transaction: Transaction, draft: Draft) -> tuple[Approval, bool]:
        if not transaction.has_workspace(draft.workspace_id):
            raise unknown_workspace()
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
        if found.status not in {Status.PENDING, Status.ESCALATED}:
            raise key_used(found)
        return found

    # --- reading

    async def newest(self, workspace_id: str) -> list[Approval]:
        """The workspace's fifty newest requests, newest first.

        Raises:
            RefusedError: 503.

        """
        return await self._read(lambda transaction: transaction.newest(workspace_id, LIST_LENGTH))

    async def pending(self) -> list[tuple[Approval, str]]:
        """The newest pending requests of every workspace, with its name.

        Raises:
            RefusedError: 503.

        """
        return await self._read(lambda transaction: transaction.pending(LIST_LENGTH))

    async def _one(self, workspace_id: str, approval_id: str) -> Approval:
        held = await self._read(lambda transaction: transaction.one(workspace_id, approval_id))
        if held is None:
            raise unknown_approval()
        return held.approval

    async def one(self, workspace_id: str, approval_id: str, seconds: float) -> Approval:
        """One request: as soon as it has ended, or as it is after so many seconds (0 for at once).

        Raises:
            RefusedError: 404, 503.

        """
        with self._hub.waiting_for(approval_id) as event:
            approval = await self._one(workspace_id, approval_id)
            if seconds == 0 or approval.status not in {Status.PENDING, Status.ESCALATED}:
                return approval
            try:
                await asyncio.wait_for(event.wait(), seconds)
            except TimeoutError:
                return await self._one(workspace_id, approval_id)
        return await self._one(workspace_id, approval_id)

    async def _read(self, job: Callable[[Transaction], T]) -> T:
        def dated(transaction: Transaction) -> tuple[T, float | None]:
            return job(transaction), transaction.next_expiry()

        found, expiry = await self._lanes.read(dated)
        if expiry is None or expiry > self._now():
            return found
        # The timer is late (the machine slept, or is busy): nobody may see an expired request as pending.
        await self.expire()
        return await self._lanes.read(job)

    # --- ending

    async def decide(self, workspace_id: str, approval_id: str, name: str, decided: Decided) -> Approval:
        """End the request by an approver's word.

        Raises:
            RefusedError: 404, 409 (it has ended: how), 503.

        """
        ending = Ending(decided.status, name, utc_now(), True, decided.claimed_by, decided.comment)
        return await self._end(workspace_id, approval_id, ending, not_here_to_decide())

    async def withdraw(self, workspace_id: str, approval_id: str) -> Approval:
        """Take the request back.

        Raises:
            RefusedError: 404, 409 (it has ended: how), 503.

        """
        return await self._end(workspace_id, approval_id, Ending(Status.DENIED, WITHDRAWN_BY, utc_now()), unknown_approval())

    async def redeem(self, workspace_id: str, approval_id: str, invocation: str) -> Approval:
        """Show the request, and use it up if it is approved.

        Raises:
            RefusedError: 404, 409 (another invocation used it), 503.

        """

        def job(transaction: Transaction) -> Approval | RefusedError:
            transaction.use(workspace_id, approval_id, invocation, utc_now())
            held = transaction.one(workspace_id, approval_id)
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
        await self._told(await self._lanes.write(lambda transaction: transaction.expire_due(now, utc_now())))

    async def _end(self, workspace_id: str, approval_id: str, ending: Ending, missing: RefusedError) -> Approval:
        def job(transaction: Transaction) -> Entry | Approval | RefusedError:
            entry = transaction.end(workspace_id, approval_id, ending)
            if entry is not None:
                return entry
            held = transaction.one(workspace_id, approval_id)
            return missing if held is None else ended(held.approval)

        return await self._write(job)

    async def _write(self, job: Callable[[Transaction], Entry | Approval | RefusedError]) -> Approval:
        now = self._now()

        def whole(transaction: Transaction) -> Outcome:
            # What is due expires first, in the same transaction: a decision after the time is up can never win.
            entries = tuple(transaction.expire_due(now, utc_now()))
            answer = job(transaction)
            return Outcome((*entries, answer), answer.approval) if isinstance(answer, Entry) else Outcome(entries, answer)

        outcome = await self._lanes.write(whole)
        await self._told(outcome.entries)
        if isinstance(outcome.answer, RefusedError):
            raise outcome.answer
        return outcome.answer

    async def _told(self, entries: Sequence[Entry]) -> None:
        if entries:
            await self._journaler.record(entries)
        for entry in entries:
            self._announce(entry.approval, _event_name(entry.approval), entry.recorded_at)

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
                self._next = await self._lanes.read(lambda transaction: transaction.next_expiry())
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


def _event_name(approval: Approval) -> str:
    if approval.decided_by_verified:
        return f"APPROVAL_{approval.status.value.upper()}"
    return "APPROVAL_EXPIRED" if approval.decided_by == EXPIRED_BY else "APPROVAL_WITHDRAWN"


def _payload(approval: Approval, name: str) -> dict[str, JsonValue]:
    if name == "APPROVAL_REQUESTED":
        return {
            "approval_id": approval.id,
            "action": approval.action,
            "reason": approval.reason,
            "task_id": approval.task_id,
        }
    return {"approval_id": approval.id, "decision": approval.status.value, "decided_by": approval.decided_by}
