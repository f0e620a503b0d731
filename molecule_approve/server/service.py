"""The use cases: submit, decide, redeem, withdraw, expire. Each commits, announces what ended, and waits for its record."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from molecule_approve.clock import utc_now
from molecule_approve.model import WITHDRAWN_BY, Approval, Status
from molecule_approve.wire import LIST_LENGTH, key_task_id

from .database.values import Draft, Most, Resolution, epoch_text
from .deciding import Counted
from .events import Events
from .outcomes import OPEN_STATUSES, as_it_is, end, expire_due, is_due
from .refusals import (
    RefusedError,
    already_redeemed,
    key_conflict,
    key_used,
    too_many_pending,
    unknown_approval,
)

if TYPE_CHECKING:
    from .access import Caller, Visitor
    from .activity import Activity
    from .bodies import DecisionBody, SubmitBody
    from .database.transaction import Transaction
    from .database.values import Change, OutboxEntry
    from .hub import Hub
    from .limits import Limits
    from .outbox import Outbox
    from .outcomes import RequestPath
    from .rules import Rules
    from .standings import Fields
    from .threads import DatabaseThreads

T = TypeVar("T")
Shown = tuple[Approval, "Fields"]
"""A request, and what else answers say of it."""

_LONGEST_SLEEP = 60.0
"""Seconds after which the expiry timer reads the wall clock again, in case it was changed."""


class Service:
    """The embedded platform, without its protocol.

    Expiry times outlive a restart, so they are compared with the wall clock, as the transactions know it.
    """

    def __init__(
        self,
        database: DatabaseThreads,
        hub: Hub,
        outbox: Outbox,
        limits: Limits,
        activity: Activity,
        rules: Rules,
    ) -> None:
        self._database = database
        self._hub = hub
        self._outbox = outbox
        self._limits = limits
        self.rules = rules
        self.events = Events(database, hub)
        self._activity = activity
        self._earlier = asyncio.Event()
        self._next_expiry: str | None = None

    # --- submitting

    async def submit(self, visitor: Visitor, workspace_id: str, body: SubmitBody) -> tuple[Approval, bool]:
        """Store the request, or return the one that its idempotency key stands for; and whether it is new.

        Raises:
            RefusedError: the caller's; 409 and 422 (the idempotency key, the policy), 429 (too many open requests), 503.
        """
        approval_id = str(uuid.uuid4())

        def job(transaction: Transaction) -> tuple[Approval, bool] | RefusedError:
            requester = visitor.member(transaction, workspace_id, allow_anonymous=True)
            stored = transaction.requests.one(workspace_id, approval_id) if transaction.again else None
            if stored is not None:
                return stored.approval, True
            return self._store(transaction, self._draft(approval_id, workspace_id, body, requester, transaction.now))

        return await self._write(job, self._announce_submitted)

    def _announce_submitted(self, submitted: tuple[Approval, bool]) -> None:
        approval, created = submitted
        if created:
            self._activity.requested(approval)
        if created and approval.status in OPEN_STATUSES:
            self._watch(approval.expires_at or "")
            self.events.made(approval)

    def _draft(self, approval_id: str, workspace_id: str, body: SubmitBody, requester: Caller, now: float) -> Draft:
        seconds = self._limits.expiry if body.expires_in is None else body.expires_in
        return Draft(
            id=approval_id,
            workspace_id=workspace_id,
            task_id=body.task_id if body.key is None else key_task_id(workspace_id, body.key),
            keyed=body.key is not None or body.once,
            once=body.once,
            action=body.action,
            reason=body.reason,
            context=body.context,
            created_at=utc_now(),
            expires=now + seconds,
            requested_by=requester.name,
            requester_id=requester.id,
        )

    def _store(self, transaction: Transaction, draft: Draft) -> tuple[Approval, bool] | RefusedError:
        if draft.keyed:
            found = transaction.requests.keyed(draft.workspace_id, draft.task_id)
            if found is not None:
                return _reuse(as_it_is(transaction, found), draft)
        most = self._limits.pending
        ruled, denial = self.rules.policies.apply(transaction, draft)
        approval = transaction.requests.insert(ruled, most)
        if approval is None:
            expire_due(transaction)
            approval = transaction.requests.insert(ruled, most)
        if approval is None:
            return too_many_pending(most)
        if denial is not None:
            approval = transaction.requests.end(draft.workspace_id, draft.id, denial, transaction.now) or approval
        return approval, True

    # --- reading

    async def newest(self, visitor: Visitor, workspace_id: str, task_id: str | None = None) -> list[Approval]:
        """The workspace's fifty newest requests, newest first; with a task id the newest of this task.

        Raises:
            RefusedError: the caller's; 503.
        """

        def job(transaction: Transaction) -> list[Approval]:
            visitor.member(transaction, workspace_id, allow_anonymous=True)
            if task_id is None:
                return transaction.requests.newest(workspace_id, LIST_LENGTH)
            return transaction.requests.of_task(workspace_id, task_id, self._most(self._limits.pending_list))

        return await self.read(job, list)

    async def oldest_open(self, visitor: Visitor, workspace_id: str) -> tuple[list[Approval], int]:
        """The workspace's oldest open requests, oldest first; and how many there are.

        Raises:
            RefusedError: the caller's; 503.
        """

        def job(transaction: Transaction) -> tuple[list[Approval], int]:
            visitor.member(transaction, workspace_id, allow_anonymous=True)
            rows = transaction.requests.oldest_open(workspace_id, self._most(self._limits.pending_list))
            return rows, transaction.requests.count_open(workspace_id)

        return await self.read(job, lambda found: found[0])

    async def pending(self, visitor: Visitor) -> tuple[list[tuple[Approval, str]], int]:
        """The newest pending requests of all workspaces, each with the workspace's name; and how many there are.

        Raises:
            RefusedError: the caller's; 503.
        """

        def job(transaction: Transaction) -> tuple[list[tuple[Approval, str]], int]:
            only = visitor.administrator(transaction).workspaces
            found = transaction.requests.pending(self._most(self._limits.pending_list), only)
            return found, transaction.requests.count_pending(only)

        return await self.read(job, lambda found: _approvals(found[0]))

    def _most(self, count: int) -> Most:
        return Most(count, self._limits.list_size)

    async def one(self, visitor: Visitor, path: RequestPath, seconds: float, before_waiting: Callable[[], None]) -> Shown:
        """One request: as soon as it has ended, or as it is after so many seconds (0: at once).

        Raises:
            RefusedError: the caller's, and what ``before_waiting`` raises; 404, 503.
        """
        if seconds == 0:
            return await self._one(visitor, path)
        with self._hub.waiting_for(path.approval_id) as event:
            approval, fields = await self._one(visitor, path)
            if approval.status not in OPEN_STATUSES:
                return approval, fields
            before_waiting()
            with suppress(TimeoutError):
                await asyncio.wait_for(event.wait(), seconds)
        return await self._one(visitor, path)

    async def _one(self, visitor: Visitor, path: RequestPath) -> Shown:
        def job(transaction: Transaction) -> Shown:
            visitor.member(transaction, path.workspace_id)
            found = transaction.requests.one(path.workspace_id, path.approval_id)
            if found is None:
                raise unknown_approval()
            return self._shown(transaction, found.approval)

        return await self.read(job, lambda shown: [shown[0]])

    def _shown(self, transaction: Transaction, approval: Approval) -> Shown:
        return approval, self.rules.standings.of(transaction, [approval])[approval.id]

    async def read(self, job: Callable[[Transaction], T], approvals: Callable[[T], Iterable[Approval]]) -> T:
        """Run a job that reads; again if time is over for one of the open ``approvals`` that it found.

        Raises:
            RefusedError: what the job raises; 503.
        """

        def run(transaction: Transaction) -> tuple[T, bool]:
            rows = job(transaction)
            return rows, any(is_due(transaction, row) for row in approvals(rows))

        found, late = await self._database.read(run)
        if not late:
            return found
        # The timer is late (the machine slept, or is busy): an expired request must not be shown as pending.
        await self.expire()
        return await self._database.read(job)

    # --- ending

    async def decide(self, visitor: Visitor, path: RequestPath, decision: DecisionBody) -> Approval | Counted:
        """Make an approver's decision, under the name of the approver's credential.

        Raises:
            RefusedError: the caller's; 403 (the approver may not decide it), 404, 409 (it has ended: how), 422, 503.
        """
        now = utc_now()

        def job(transaction: Transaction) -> Approval | Counted | RefusedError:
            approver = visitor.approver(transaction, path.workspace_id)
            return self.rules.deciding.decide(transaction, approver, path, decision, now)

        return await self._write(job, self._announce_progress)

    async def retract(self, visitor: Visitor, path: RequestPath) -> Counted:
        """Retract the approver's own decision about an open request.

        Raises:
            RefusedError: the caller's; 404, 409 (there is none, or the request has ended: how), 503.
        """
        now = utc_now()

        def job(transaction: Transaction) -> Counted | RefusedError:
            approver = visitor.approver(transaction, path.workspace_id)
            return self.rules.deciding.retract(transaction, approver, path, now)

        return await self._write(job, self._announce_progress)

    def _announce_progress(self, answered: Approval | Counted) -> None:
        if isinstance(answered, Counted):
            self.events.progressed(answered)

    async def withdraw(self, visitor: Visitor, path: RequestPath) -> Approval:
        """End the request by a withdrawal.

        Raises:
            RefusedError: the caller's; 404, 409 (it has ended: how), 503.
        """
        resolution = Resolution(Status.DENIED, WITHDRAWN_BY, utc_now())

        def job(transaction: Transaction) -> Approval | RefusedError:
            visitor.requester(transaction, path.workspace_id)
            return end(transaction, path, resolution, unknown_approval())

        return await self._write(job)

    async def redeem(self, visitor: Visitor, path: RequestPath, attempt: str) -> Shown:
        """Return the request, and use its approval up for this attempt if it is approved.

        Raises:
            RefusedError: the caller's; 404, 409 (another attempt redeemed it), 503.
        """
        used_at, first = utc_now(), []

        def job(transaction: Transaction) -> Shown | RefusedError:
            visitor.requester(transaction, path.workspace_id)
            found = transaction.requests.redeem(path.workspace_id, path.approval_id, attempt, used_at)
            if found is None:
                return unknown_approval()
            if found.redeemed_by not in {None, attempt}:
                return already_redeemed(found.approval, found.redeemed_at or "")
            # An attempt may ask again, if the answer was lost.
            first.append(found.redeemed_at == used_at)
            return self._shown(transaction, found.approval)

        shown = await self._write(job)
        if first[-1]:
            self._activity.redeemed(shown[0])
        return shown

    async def expire(self) -> None:
        """Deny by ``auto-expired`` whatever is due.

        Raises:
            RefusedError: 503.
        """
        await self._write(expire_due)

    async def _write(
        self, job: Callable[[Transaction], T | RefusedError], announce: Callable[[T], None] = lambda _: None
    ) -> T:
        """Run the job in one transaction; then ``announce`` what it returned, and announce and record all that ended in it.

        What is committed is announced and recorded also if the caller is gone by then, or has been refused with 503. It is
        announced first: it holds by the commit alone, whoever reads sees it, and events need not wait for the log's disk.

        A refusal is raised last: raised inside, it would undo an expiry, and the jobs of others. So a job that raises one
        must not have changed anything.
        """
        recording: list[asyncio.Future[None]] = []

        def run(transaction: Transaction) -> tuple[T | RefusedError, list[OutboxEntry]]:
            try:
                return job(transaction), transaction.requests.ended
            except RefusedError as exc:
                return exc, transaction.requests.ended

        def committed(outcome: tuple[T | RefusedError, list[OutboxEntry]]) -> None:
            answer, ended = outcome
            if not isinstance(answer, RefusedError):
                announce(answer)
            if ended:
                self._announce_ended(ended)
                recording.extend(self._outbox.record(ended))

        answer, _ = await self._database.write(run, committed)
        if recording:
            await self._outbox.wait(recording)
        if isinstance(answer, RefusedError):
            raise answer
        return answer

    def _announce_ended(self, ended: list[OutboxEntry]) -> None:
        self.events.ended(ended)
        for entry in ended:
            self._activity.ended(entry.approval)

    # --- the timer

    async def run_timer(self) -> None:
        """Expire each request when it is due. Runs until it is cancelled."""
        while True:
            self._earlier.clear()
            try:
                self._next_expiry, left = await self._database.read(_next_expiry)
                if left is not None and left <= 0:
                    await self.expire()
                    continue
            except RefusedError:
                left = 1.0  # the database cannot answer now
            with suppress(TimeoutError):
                await asyncio.wait_for(self._earlier.wait(), None if left is None else min(left, _LONGEST_SLEEP))

    def _watch(self, expires_at: str) -> None:
        if self._next_expiry is None or expires_at < self._next_expiry:
            self._earlier.set()

    # --- what other servers of the database did

    async def heard(self, changes: Sequence[Change]) -> None:
        """Tell this server's sockets and waiting calls, and its timer.

        Raises:
            RefusedError: 503.
        """
        for change in changes:
            if change.expires is not None:
                self._watch(epoch_text(change.expires))
        await self.events.heard(changes)


def _approvals(rows: list[tuple[Approval, str]]) -> list[Approval]:
    return [approval for approval, _ in rows]


def _reuse(found: Approval, draft: Draft) -> tuple[Approval, bool] | RefusedError:
    if (found.action, found.reason) != (draft.action, draft.reason):
        return key_conflict(found)
    # One that is sent again because its answer was lost is the same one, whatever has become of it meanwhile.
    return (found, False) if draft.once or found.status in OPEN_STATUSES else key_used(found)


def _next_expiry(transaction: Transaction) -> tuple[str | None, float | None]:
    """When the next open request expires: as text, and in how many seconds."""
    found = transaction.requests.next_expiry()
    return (None, None) if found is None else (epoch_text(found), found - transaction.now)
