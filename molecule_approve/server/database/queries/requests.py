"""Queries: requests, from their submission to their end. Ending is compare-and-set, so that one of many callers wins."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy import bindparam

from molecule_approve.model import Approval, Status
from molecule_approve.server.database.schema import (
    OPEN,
    PENDING,
    POSTGRESQL_CLOCK,
    approvals,
    outbox,
    requesters,
    workspaces,
)
from molecule_approve.server.database.values import (
    Change,
    Draft,
    Most,
    OutboxEntry,
    RaceError,
    Resolution,
    StoredApproval,
    epoch_text,
)

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection, Row
    from sqlalchemy.sql.dml import ReturningUpdate

# Statements are built once: building one costs as much as running it. Parameters that are not columns start with `p_`.
_ROW, _IS_OPEN, _IS_PENDING = approvals.c, sa.text(OPEN), sa.text(PENDING)
_COUNT = bindparam("p_count", type_=sa.Integer)
_IN_WORKSPACE = _ROW.workspace_id == bindparam("p_workspace")

_INSERT = sa.insert(approvals).returning(approvals)
_ONE = sa.select(approvals).where(_ROW.id == bindparam("p_id"), _IN_WORKSPACE)
_SEVERAL = sa.select(approvals).where(_ROW.id.in_(bindparam("p_ids", expanding=True)))
_KEYED = sa.select(approvals).where(_IN_WORKSPACE, _ROW.key_id == bindparam("p_key"))
_OPEN_REQUESTER = sa.select(_ROW.requested_by).where(
    _ROW.id == bindparam("p_id"), _IN_WORKSPACE, _IS_OPEN, _ROW.expires > bindparam("p_now")
)
_OF_REVOKED = (
    sa.select(_ROW.id)
    .join(requesters, requesters.c.id == _ROW.requester_id)
    .where(_ROW.id.in_(bindparam("p_ids", expanding=True)), requesters.c.revoked_at.is_not(None))
)
_NEWEST = sa.select(approvals).where(_IN_WORKSPACE).order_by(_ROW.number.desc()).limit(_COUNT)
_OLDEST_OPEN = sa.select(approvals).where(_IN_WORKSPACE, _IS_OPEN).order_by(_ROW.number).limit(_COUNT)
_OF_TASK = _NEWEST.where(_ROW.task_id == bindparam("p_task"))
_COUNT_OPEN = sa.select(sa.func.count()).select_from(approvals).where(_IN_WORKSPACE, _IS_OPEN)
# By itself SQLite, which does not know the values, would count along all requests of the workspace.
_COUNT_OPEN_IN_SQLITE = sa.text(
    f"SELECT count(*) FROM approvals INDEXED BY approvals_open WHERE workspace_id = :p_workspace AND {OPEN}"  # noqa: S608 - our own words
)
_OF_ANY = sa.select(approvals, workspaces.c.name).join(workspaces, workspaces.c.id == _ROW.workspace_id).limit(_COUNT)
_NEWEST_PENDING = _OF_ANY.where(_IS_PENDING).order_by(_ROW.number.desc())
_OLDEST_PENDING = _OF_ANY.where(_IS_PENDING).order_by(_ROW.number)
_COUNT_PENDING = sa.select(sa.func.count()).select_from(approvals).where(_IS_PENDING)
_LATEST_ENDED = _OF_ANY.join(outbox, outbox.c.approval_id == _ROW.id).order_by(outbox.c.number.desc())
# The empty text keeps the database from the index of workspaces, along which it would look at requests of any age.
_ONLY = (_ROW.workspace_id + "").in_(bindparam("p_only", expanding=True))
_NEXT_EXPIRY = sa.select(sa.func.min(_ROW.expires)).where(_IS_OPEN)
# In one order, and locked where several servers may expire them: otherwise they could wait for each other.
_DUE = (
    sa.select(_ROW.workspace_id, _ROW.id)
    .where(_IS_OPEN, _ROW.expires <= bindparam("p_now"))
    .order_by(_ROW.expires, _ROW.number)
    .with_for_update()
)
_END = sa.update(approvals).where(_ROW.id == bindparam("p_id"), _IN_WORKSPACE, _IS_OPEN).returning(approvals)
_DECIDE = _END.where(_ROW.expires > bindparam("p_now"))
# It may have waited for the row until now, and looked at its time before.
_DECIDE_IN_POSTGRESQL = _DECIDE.returning((_ROW.expires > sa.literal_column(POSTGRESQL_CLOCK)).label("in_time"))
_EXPIRE = _END.where(_ROW.expires <= bindparam("p_now"))
_INSERT_OUTBOX = sa.insert(outbox).returning(outbox.c.number)
_REDEEM = sa.update(approvals).where(
    _ROW.id == bindparam("p_id"), _IN_WORKSPACE, _ROW.status == Status.APPROVED.value, _ROW.used_by.is_(None)
)


def approval_of(row: Row[Any]) -> Approval:
    """The request of a row that has all columns of the table."""
    return Approval(
        id=row.id,
        workspace_id=row.workspace_id,
        action=row.action,
        status=Status(row.status),
        reason=row.reason,
        task_id=row.task_id,
        requested_by=row.requested_by,
        decided_by=row.decided_by,
        decided_at=row.decided_at,
        created_at=row.created_at,
        comment=row.comment,
        context=None if row.context is None else json.loads(row.context),
        expires_at=epoch_text(row.expires),
        decided_by_verified=row.verified,
    )


class RequestQueries:
    """Requests. ``ended`` lists those that this transaction ended, in order; ``changes`` those that it made or ended.

    ``only`` limits a list to these workspaces; None means all. ``owner`` is the server that appends what ends to its log.
    """

    def __init__(self, connection: Connection, owner: str | None) -> None:
        self._connection = connection
        self._owner = owner
        self.ended: list[OutboxEntry] = []
        self.changes: list[Change] = []

    def insert(self, draft: Draft) -> Approval:
        """Store a new request."""
        values = {
            "id": draft.id,
            "workspace_id": draft.workspace_id,
            "task_id": draft.task_id,
            "key_id": draft.task_id if draft.keyed else None,
            "action": draft.action,
            "reason": draft.reason,
            "context": None if draft.context is None else json.dumps(draft.context, allow_nan=False),
            "status": Status.PENDING.value,
            "created_at": draft.created_at,
            "expires": draft.expires,
            "requested_by": draft.requested_by,
            "requester_id": draft.requester_id,
            "verified": False,
        }
        self.changes.append(Change(draft.id, draft.workspace_id, draft.expires))
        return approval_of(self._connection.execute(_INSERT, values).one())

    # --- reading

    def one(self, workspace_id: str, approval_id: str) -> StoredApproval | None:
        """One request of the workspace."""
        row = self._connection.execute(_ONE, {"p_workspace": workspace_id, "p_id": approval_id}).one_or_none()
        return None if row is None else StoredApproval(approval_of(row), row.used_by, row.used_at)

    def open_requester(self, workspace_id: str, approval_id: str, now: float) -> str | None:
        """The name of the requester of a request that is open and has time left."""
        values = {"p_workspace": workspace_id, "p_id": approval_id, "p_now": now}
        found: str | None = self._connection.execute(_OPEN_REQUESTER, values).scalar()
        return found

    def several(self, ids: Sequence[str]) -> dict[str, Approval]:
        """The requests with these ids, of any workspace, by id."""
        return {row.id: approval_of(row) for row in self._connection.execute(_SEVERAL, {"p_ids": list(ids)})}

    def of_revoked(self, ids: Iterable[str]) -> set[str]:
        """Which of these requests were made by a requester that is revoked now."""
        return set(self._connection.execute(_OF_REVOKED, {"p_ids": list(ids)}).scalars())

    def keyed(self, workspace_id: str, key_id: str) -> Approval | None:
        """The request of an idempotency key."""
        row = self._connection.execute(_KEYED, {"p_workspace": workspace_id, "p_key": key_id}).one_or_none()
        return None if row is None else approval_of(row)

    def newest(self, workspace_id: str, count: int) -> list[Approval]:
        """The workspace's newest requests, newest first."""
        rows = self._connection.execute(_NEWEST, {"p_workspace": workspace_id, "p_count": count})
        return [approval_of(row) for row in rows]

    def oldest_open(self, workspace_id: str, most: Most) -> list[Approval]:
        """The workspace's oldest open requests, oldest first."""
        return [approval_of(row) for row in self._rows(_OLDEST_OPEN, most, p_workspace=workspace_id)]

    def of_task(self, workspace_id: str, task_id: str, most: Most) -> list[Approval]:
        """The workspace's requests with this task id, newest first."""
        return [approval_of(row) for row in self._rows(_OF_TASK, most, p_workspace=workspace_id, p_task=task_id)]

    def count_open(self, workspace_id: str) -> int:
        """How many requests of the workspace are open."""
        query = _COUNT_OPEN_IN_SQLITE if self._connection.dialect.name == "sqlite" else _COUNT_OPEN
        return int(self._connection.execute(query, {"p_workspace": workspace_id}).scalar_one())

    def pending(self, most: Most, only: frozenset[str] | None) -> list[tuple[Approval, str]]:
        """The newest pending requests of all workspaces, each with its workspace's name, newest first."""
        return self._of_any(_NEWEST_PENDING, most, only)

    def oldest_pending(self, most: Most, only: frozenset[str] | None) -> list[tuple[Approval, str]]:
        """The oldest pending requests of all workspaces, each with its workspace's name, oldest first."""
        return self._of_any(_OLDEST_PENDING, most, only)

    def latest_ended(self, most: Most, only: frozenset[str] | None) -> list[tuple[Approval, str]]:
        """The requests of all workspaces that ended last, each with its workspace's name, latest first."""
        return self._of_any(_LATEST_ENDED, most, only)

    def count_pending(self, only: frozenset[str] | None) -> int:
        """How many requests of all workspaces are pending."""
        query, values = _limited(_COUNT_PENDING, only)
        return int(self._connection.execute(query, values).scalar_one())

    def _of_any(self, query: sa.Select[Any], most: Most, only: frozenset[str] | None) -> list[tuple[Approval, str]]:
        limited, values = _limited(query, only)
        return [(approval_of(row), row.name) for row in self._rows(limited, most, **values)]

    def _rows(self, query: sa.Select[Any], most: Most, **values: object) -> Iterator[Row[Any]]:
        """The query's first rows, at least one; no more are read than have the size together."""
        size = most.size
        with closing(self._connection.execute(query, {**values, "p_count": most.count})) as rows:
            for number, row in enumerate(rows):
                texts = json.dumps((row.action, row.reason, row.task_id, row.comment), ensure_ascii=False)
                # The context is stored as JSON, and is longer there than in an answer.
                size -= len(texts.encode("utf-8")) + len(row.context or "")
                if number and size < 0:
                    return
                yield row

    def next_expiry(self) -> float | None:
        """When the next open request expires, in seconds since the epoch."""
        found: float | None = self._connection.execute(_NEXT_EXPIRY).scalar()
        return found

    # --- ending: each writes its outbox row

    def end(self, workspace_id: str, approval_id: str, resolution: Resolution, now: float) -> Approval | None:
        """End the request; None if it is not open, its time is over, or it is unknown."""
        query = _DECIDE if self._connection.dialect.name == "sqlite" else _DECIDE_IN_POSTGRESQL
        return self._end(query, workspace_id, approval_id, resolution, now)

    def expire(self, workspace_id: str, approval_id: str, resolution: Resolution, now: float) -> Approval | None:
        """End the request if its time is over; None if it is not open, has time left, or is unknown."""
        return self._end(_EXPIRE, workspace_id, approval_id, resolution, now)

    def due(self, now: float) -> list[tuple[str, str]]:
        """The workspace and id of every open request whose time is over."""
        return [(row.workspace_id, row.id) for row in self._connection.execute(_DUE, {"p_now": now})]

    def _end(
        self, query: ReturningUpdate[Any], workspace_id: str, approval_id: str, resolution: Resolution, now: float
    ) -> Approval | None:
        values = {
            "p_workspace": workspace_id,
            "p_id": approval_id,
            "p_now": now,
            "status": resolution.status.value,
            "decided_by": resolution.decided_by,
            "decided_at": resolution.decided_at,
            "verified": resolution.verified,
            "claimed_by": resolution.claimed_by,
            "comment": resolution.comment,
        }
        row = self._connection.execute(query, values).one_or_none()
        if row is None:
            return None
        if not getattr(row, "in_time", True):
            raise RaceError("the request's time was over when the decision got to it")
        entered = {
            "approval_id": approval_id,
            "recorded_at": resolution.decided_at,
            "journaled": False,
            "owner": self._owner,
        }
        number, approval = self._connection.execute(_INSERT_OUTBOX, entered).scalar_one(), approval_of(row)
        self.changes.append(Change(approval_id, workspace_id))
        self.ended.append(OutboxEntry(number, resolution.decided_at, approval, resolution.claimed_by))
        return approval

    def redeem(self, workspace_id: str, approval_id: str, invocation: str, used_at: str) -> None:
        """Mark the request as redeemed by this invocation, if it is approved and not redeemed yet."""
        values = {"p_workspace": workspace_id, "p_id": approval_id, "used_by": invocation, "used_at": used_at}
        self._connection.execute(_REDEEM, values)


def _limited(query: sa.Select[Any], only: frozenset[str] | None) -> tuple[sa.Select[Any], dict[str, Any]]:
    return (query, {}) if only is None else (query.where(_ONLY), {"p_only": sorted(only)})
