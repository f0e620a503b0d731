"""The use cases: submit, decide, redeem, withdraw, expire. Each commits, then records what ended, then announces it."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from molecule_approve.clock import utc_now
from molecule_approve.lifecycle import outcome_of
from molecule_approve.model import WITHDRAWN_BY, Approval, JsonValue, Status
from molecule_approve.wire import LIST_LENGTH, event_frame, flat_frame, key_task_id

from .refusals import (
    RefusedError,
    already_redeemed,
    ended,
    key_conflict,
    key_used,
    too_many_pending,
    unknown_approval,
    unknown_to_decide,
)
from .values import Draft, Most, Resolution, epoch_text

if TYPE_CHECKING:
    from .access import Approver, Visitor
    from .bodies import DecisionBody, SubmitBody
    from .hub import Hub
    from .limits import Limits
    from .outbox import Outbox
    from .store import Transaction
    from .threads import DatabaseThreads
    from .values import OutboxEntry

T = TypeVar("T")

OPEN_STATUSES = frozenset({Status.PENDING, Status.ESCALATED})
"""The statuses of a request that has not ended."""

_LONGEST_SLEEP = 60.0
"""Seconds after which the expiry timer reads the wall clock again, in case it was changed."""


@dataclass(frozen=True, slots=True)
class RequestPath:
    """The ids of a request and its workspace."""

    workspace_id: str
    approval_id: str


@dataclass(frozen=True, slots=True)
class InboxView:
    """What an approver sees: the number of pending requests, the oldest of them, and the latest that ended.

    Each request comes with its workspace's name.
    """

    approver: Approver
    waiting: int
    pending: list[tuple[Approval, str]]
    decided: list[tuple[Approval, str]]


class Service:
    """The embedded platform, without its protocol.

    ``now`` is the wall clock, in seconds since the epoch: expiry times outlive a restart. It must never go back.
    """

    def __init__(
        self, database: DatabaseThreads, hub: Hub, outbox: Outbox, limits: Limits, now: Callable[[], float]
    ) -> None:
        self._database = database
        self._hub = hub
        self._outbox = outbox
        self._limits = limits
        self._now = now
        self._earlier = asyncio.Event()
        self._next_expiry: float | None = None

    # --- submitting

    async def submit(self, visitor: Visitor, workspace_id: str, body: SubmitBody) -> tuple[Approval, bool]:
        """Store the request, or return the one that its idempotency key stands for; and whether it is new.

        Raises:
            RefusedError: the caller's; 409 and 422 (the idempotency key), 429 (too many open requests), 503.
        """
        draft = self._draft(workspace_id, body)

        def job(transaction: Transaction) -> tuple[Approval, bool]:
            visitor.member(transaction, workspace_id, allow_anonymous=True)
            return self._store(transaction, draft)

        approval, created = await self._write(job)
        if created:
            self._watch(draft.expires)
            self._announce(approval, "APPROVAL_REQUESTED", draft.created_at)
        return approval, created

    def _draft(self, workspace_id: str, body: SubmitBody) -> Draft:
        seconds = self._limits.expiry if body.expires_in is None else body.expires_in
        return Draft(
            id=str(uuid.uuid4()),
            workspace_id=workspace_id,
            task_id=body.task_id if body.key is None else key_task_id(workspace_id, body.key),
            keyed=body.key is not None,
            action=body.action,
            reason=body.reason,
            context=body.context,
            created_at=utc_now(),
            expires=self._now() + seconds,
        )

    def _store(self, transaction: Transaction, draft: Draft) -> tuple[Approval, bool]:
        if draft.keyed:
            found = transaction.keyed(draft.workspace_id, draft.task_id)
            if found is not None:
                return self._reuse(found, draft), False
        if transaction.count_open(draft.workspace_id) >= self._limits.pending:
            raise too_many_pending(self._limits.pending)
        return transaction.insert(draft), True

    @staticmethod
    def _reuse(found: Approval, draft: Draft) -> Approval:
        if (found.action, found.reason) != (draft.action, draft.reason):
            raise key_conflict(found)
        if found.status not in OPEN_STATUSES:
            raise key_used(found)
        return found

    # --- reading

    async def newest(self, visitor: Visitor, workspace_id: str, task_id: str | None = None) -> list[Approval]:
        """The workspace's fifty newest requests, newest first; with a task id the newest of this task.

        Raises:
            RefusedError: the caller's; 503.
        """

        def job(transaction: Transaction) -> list[Approval]:
            visitor.member(transaction, workspace_id, allow_anonymous=True)
            if task_id is None:
                return transaction.newest(workspace_id, LIST_LENGTH)
            return transaction.of_task(workspace_id, task_id, self._most(self._limits.pending_list))

        return await self._read(job, list)

    async def oldest_open(self, visitor: Visitor, workspace_id: str) -> tuple[list[Approval], int]:
        """The workspace's oldest open requests, oldest first; and how many there are.

        Raises:
            RefusedError: the caller's; 503.
        """

        def job(transaction: Transaction) -> tuple[list[Approval], int]:
            visitor.member(transaction, workspace_id, allow_anonymous=True)
            rows = transaction.oldest_open(workspace_id, self._most(self._limits.pending_list))
            return rows, transaction.count_open(workspace_id)

        return await self._read(job, lambda found: found[0])

    async def pending(self, visitor: Visitor) -> tuple[list[tuple[Approval, str]], int]:
        """The newest pending requests of all workspaces, each with the workspace's name; and how many there are.

        Raises:
            RefusedError: the caller's; 503.
        """

        def job(transaction: Transaction) -> tuple[list[tuple[Approval, str]], int]:
            visitor.administrator(transaction)
            return transaction.pending(self._most(self._limits.pending_list)), transaction.count_pending()

        return await self._read(job, lambda found: _approvals(found[0]))

    def _most(self, count: int) -> Most:
        return Most(count, self._limits.list_size)

    async def inbox(self, visitor: Visitor) -> InboxView:
        """What an approver sees, from one transaction.

        Raises:
            RefusedError: the caller's; 503.
        """

        def job(transaction: Transaction) -> InboxView:
            return InboxView(
                visitor.administrator(transaction),
                transaction.count_pending(),
                transaction.oldest_pending(self._most(self._limits.inbox_pending)),
                transaction.latest_ended(self._most(self._limits.inbox_ended)),
            )

        return await self._read(job, lambda view: _approvals(view.pending))

    async def one(self, visitor: Visitor, path: RequestPath, seconds: float, before_waiting: Callable[[], None]) -> Approval:
        """One request: as soon as it has ended, or as it is after so many seconds (0: at once).

        Raises:
            RefusedError: the caller's, and what ``before_waiting`` raises; 404, 503.
        """
        if seconds == 0:
            return await self._one(visitor, path)
        with self._hub.waiting_for(path.approval_id) as event:
            approval = await self._one(visitor, path)
            if approval.status not in OPEN_STATUSES:
                return approval
            before_waiting()
            with suppress(TimeoutError):
                await asyncio.wait_for(event.wait(), seconds)
        return await self._one(visitor, path)

    async def _one(self, visitor: Visitor, path: RequestPath) -> Approval:
        def job(transaction: Transaction) -> Approval:
            visitor.member(transaction, path.workspace_id)
            found = transaction.one(path.workspace_id, path.approval_id)
            if found is None:
                raise unknown_approval()
            return found.approval

        return await self._read(job, lambda approval: [approval])

    async def _read(self, job: Callable[[Transaction], T], approvals: Callable[[T], Iterable[Approval]]) -> T:
        found = await self._database.read(job)
        now = epoch_text(self._now())
        if not any(row.status in OPEN_STATUSES and (row.expires_at or now) <= now for row in approvals(found)):
            return found
        # The timer is late (the machine slept, or is busy): an expired request must not be shown as pending.
        await self.expire()
        return await self._database.read(job)

    # --- ending

    async def decide(self, visitor: Visitor, path: RequestPath, decision: DecisionBody) -> Approval:
        """End the request by an approver's decision, under the name of the approver's credential.

        Raises:
            RefusedError: the caller's; 404, 409 (it has ended: how), 503.
        """

        def job(transaction: Transaction) -> Approval | RefusedError:
            name = visitor.approver(transaction, path.workspace_id).name
            resolution = Resolution(decision.status, name, utc_now(), True, decision.claimed_by, decision.comment)
            return _end(transaction, path, resolution, unknown_to_decide())

        return await self._write(job)

    async def withdraw(self, visitor: Visitor, path: RequestPath) -> Approval:
        """End the request by a withdrawal.

        Raises:
            RefusedError: the caller's; 404, 409 (it has ended: how), 503.
        """

        def job(transaction: Transaction) -> Approval | RefusedError:
            visitor.requester(transaction, path.workspace_id)
            return _end(transaction, path, Resolution(Status.DENIED, WITHDRAWN_BY, utc_now()), unknown_approval())

        return await self._write(job)

    async def redeem(self, visitor: Visitor, path: RequestPath, invocation: str) -> Approval:
        """Return the request, and use its approval up for this invocation if it is approved.

        Raises:
            RefusedError: the caller's; 404, 409 (another invocation redeemed it), 503.
        """

        def job(transaction: Transaction) -> Approval | RefusedError:
            visitor.requester(transaction, path.workspace_id)
            transaction.redeem(path.workspace_id, path.approval_id, invocation, utc_now())
            found = transaction.one(path.workspace_id, path.approval_id)
            if found is None:
                return unknown_approval()
            if found.redeemed_by not in {None, invocation}:
                return already_redeemed(found.approval, found.redeemed_at or "")
            return found.approval

        return await self._write(job)

    async def expire(self) -> None:
        """Deny by ``auto-expired`` whatever is due.

        Raises:
            RefusedError: 503.
        """
        await self._write(lambda _: None)

    async def _write(self, job: Callable[[Transaction], T | RefusedError]) -> T:
        """Expire what is due and run the job, in one transaction; then record and announce all that ended in it.

        A refusal that the job returns is raised last: raised inside, it would undo the expiries.
        """
        now = self._now()

        def run(transaction: Transaction) -> tuple[T | RefusedError, list[OutboxEntry]]:
            # In the same transaction: a decision after the time is up can never win.
            transaction.expire_due(now, utc_now())
            return job(transaction), transaction.ended

        answer, ended = await self._database.write(run)
        if ended:
            await self._outbox.record(ended)
        for entry in ended:
            self._announce(entry.approval, f"APPROVAL_{outcome_of(entry.approval).upper()}", entry.recorded_at)
        if isinstance(answer, RefusedError):
            raise answer
        return answer

    def _announce(self, approval: Approval, name: str, timestamp: str) -> None:
        frames = [event_frame(name, approval.workspace_id, timestamp, _payload(approval, name))]
        if name != "APPROVAL_REQUESTED":
            frames.append(flat_frame(approval))
            self._hub.ended(approval.id)
        self._hub.publish(approval.workspace_id, frames)

    # --- the timer

    async def run_timer(self) -> None:
        """Expire each request when it is due. Runs until it is cancelled."""
        while True:
            self._earlier.clear()
            try:
                self._next_expiry = await self._database.read(lambda transaction: transaction.next_expiry())
                if self._next_expiry is not None and self._next_expiry <= self._now():
                    await self.expire()
                    continue
            except RefusedError:
                self._next_expiry = self._now() + 1  # the database cannot answer now
            await self._sleep()

    async def _sleep(self) -> None:
        left = None if self._next_expiry is None else max(0.0, min(self._next_expiry - self._now(), _LONGEST_SLEEP))
        try:
            await asyncio.wait_for(self._earlier.wait(), left)
        except TimeoutError:
            return

    def _watch(self, expires: float) -> None:
        if self._next_expiry is None or expires < self._next_expiry:
            self._earlier.set()


def _approvals(rows: list[tuple[Approval, str]]) -> list[Approval]:
    return [approval for approval, _ in rows]


def _end(
    transaction: Transaction, path: RequestPath, resolution: Resolution, missing: RefusedError
) -> Approval | RefusedError:
    approval = transaction.end(path.workspace_id, path.approval_id, resolution)
    if approval is not None:
        return approval
    found = transaction.one(path.workspace_id, path.approval_id)
    return missing if found is None else ended(found.approval)


def _payload(approval: Approval, name: str) -> dict[str, JsonValue]:
    if name == "APPROVAL_REQUESTED":
        return {
            "approval_id": approval.id,
            "action": approval.action,
            "reason": approval.reason,
            "task_id": approval.task_id,
        }
    return {"approval_id": approval.id, "decision": approval.status.value, "decided_by": approval.decided_by}
