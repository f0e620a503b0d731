"""Queries: requests, from their submission to their end. Ending is compare-and-set, so that one of many callers wins."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy import bindparam

from molecule_approve.model import Approval, Status
from molecule_approve.server.database.prepared import PreparedQuery
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

from .decisions import DecisionQueries

if TYPE_CHECKING:
    from sqlalchemy import BindParameter
    from sqlalchemy.engine import Connection, Row
    from sqlalchemy.sql.dml import ReturningUpdate

# Statements are built once: building one costs as much as running it. Parameters that are not columns start with `p_`.
_ROW, _IS_OPEN, _IS_PENDING = approvals.c, sa.text(OPEN), sa.text(PENDING)
_COUNT = bindparam("p_count", type_=sa.Integer)
_IN_WORKSPACE = _ROW.workspace_id == bindparam("p_workspace")

_BY_ID = sa.select(approvals).where(_ROW.id == bindparam("p_id"), _IN_WORKSPACE)
_ONE, _LOCKED = PreparedQuery(_BY_ID), PreparedQuery(_BY_ID.with_for_update())
_SEVERAL = sa.select(approvals).where(_ROW.id.in_(bindparam("p_ids", expanding=True)))
_KEYED = PreparedQuery(sa.select(approvals).where(_IN_WORKSPACE, _ROW.key_id == bindparam("p_key")))
_OPEN_TERMS = PreparedQuery(
    sa.select(_ROW.requested_by, _ROW.requirement).where(
        _ROW.id == bindparam("p_id"), _IN_WORKSPACE, _IS_OPEN, _ROW.expires > bindparam("p_now")
    )
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
_NEXT_EXPIRY = PreparedQuery(sa.select(sa.func.min(_ROW.expires)).where(_IS_OPEN))
# In one order, and locked where several servers may expire them: otherwise they could wait for each other.
_DUE = (
    sa.select(_ROW.workspace_id, _ROW.id)
    .where(_IS_OPEN, _ROW.expires <= bindparam("p_now"))
    .order_by(_ROW.expires, _ROW.number)
    .with_for_update()
)


def _parameters(table: sa.Table, *names: str) -> dict[str, BindParameter[Any]]:
    return {name: bindparam(f"p_{name}", type_=table.c[name].type) for name in names}


_NEW = _parameters(
    approvals,
    *("id", "workspace_id", "task_id", "key_id", "action", "reason", "context", "status", "created_at", "expires"),
    *("requested_by", "requester_id", "requirement", "verified"),
)


def _insert(hint: str = "") -> PreparedQuery:
    """Insert a request, if so many of its workspace are not open yet."""
    opened = f"SELECT count(*) FROM approvals {hint} WHERE workspace_id = :p_workspace_id AND {OPEN}"  # noqa: S608 - our own words
    room = sa.text(f"({opened}) < :p_most")
    return PreparedQuery(sa.insert(approvals).from_select([*_NEW], sa.select(*_NEW.values()).where(room)).returning(_ROW.id))


# By itself SQLite, which does not know the values, would count along all requests of the workspace.
_INSERT = {"sqlite": _insert("INDEXED BY approvals_open"), "postgresql": _insert()}

_END = (
    sa.update(approvals)
    .where(_ROW.id == bindparam("p_id"), _IN_WORKSPACE, _IS_OPEN)
    .values(_parameters(approvals, "status", "decided_by", "decided_at", "verified", "claimed_by", "comment"))
    .returning(approvals)
)
_DECIDE, _EXPIRE = _END.where(_ROW.expires > bindparam("p_now")), _END.where(_ROW.expires <= bindparam("p_now"))
_ENTRY = _parameters(outbox, "approval_id", "recorded_at", "journaled", "owner")
_INSERT_OUTBOX = PreparedQuery(sa.insert(outbox).values(_ENTRY).returning(outbox.c.number))


def _with_entry(end: ReturningUpdate[Any]) -> PreparedQuery:
    """End a request, and insert its outbox row: in one statement, such as SQLite does not have."""
    ended = end.cte("ended")
    values = sa.select(*_ENTRY.values()).select_from(ended)
    entered = sa.insert(outbox).from_select([*_ENTRY], values).returning(outbox.c.number).cte("entered")
    return PreparedQuery(sa.select(ended, entered.c.number.label("entry")).join_from(ended, entered, sa.true()))


# It may have waited for the row until now, and looked at its time before.
_IN_TIME = (_ROW.expires > sa.literal_column(POSTGRESQL_CLOCK)).label("in_time")
_DECISIONS = {"sqlite": PreparedQuery(_DECIDE), "postgresql": _with_entry(_DECIDE.returning(_IN_TIME))}
_EXPIRIES = {"sqlite": PreparedQuery(_EXPIRE), "postgresql": _with_entry(_EXPIRE)}
_REDEEM = PreparedQuery(
    sa.update(approvals)
    .where(_ROW.id == bindparam("p_id"), _IN_WORKSPACE, _ROW.status == Status.APPROVED.value, _ROW.used_by.is_(None))
    .values(_parameters(approvals, "used_by", "used_at"))
    .returning(approvals)
)


def approval_of(row: Any) -> Approval:  # noqa: ANN401 - of the library, or of a prepared statement
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
        requirement=row.requirement,
    )


def _stored(row: Any | None) -> StoredApproval | None:  # noqa: ANN401 - as above
    return None if row is None else StoredApproval(approval_of(row), row.used_by, row.used_at)


def _pending(draft: Draft) -> Approval:
    """A request as it is when it was stored."""
    return Approval(
        id=draft.id,
        workspace_id=draft.workspace_id,
        action=draft.action,
        status=Status.PENDING,
        reason=draft.reason,
        task_id=draft.task_id,
        requested_by=draft.requested_by,
        created_at=draft.created_at,
        context=draft.context,
        expires_at=epoch_text(draft.expires),
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

    def insert(self, draft: Draft, most: int) -> Approval | None:
        """Store a new request; None if so many of its workspace are open."""
        inserted = _INSERT[self._connection.dialect.name].first(
            self._connection,
            p_id=draft.id,
            p_workspace_id=draft.workspace_id,
            p_task_id=draft.task_id,
            p_key_id=draft.task_id if draft.keyed else None,
            p_action=draft.action,
            p_reason=draft.reason,
            p_context=None if draft.context is None else json.dumps(draft.context, allow_nan=False),
            p_status=Status.PENDING.value,
            p_created_at=draft.created_at,
            p_expires=draft.expires,
            p_requested_by=draft.requested_by,
            p_requester_id=draft.requester_id,
            p_requirement=draft.requirement,
            p_verified=False,
            p_most=most,
        )
        if inserted is None:
            return None
        self.changes.append(Change(draft.id, draft.workspace_id, draft.expires))
        return _pending(draft)

    # --- reading

    def one(self, workspace_id: str, approval_id: str) -> StoredApproval | None:
        """One request of the workspace."""
        return _stored(_ONE.first(self._connection, p_workspace=workspace_id, p_id=approval_id))

    def locked(self, workspace_id: str, approval_id: str) -> StoredApproval | None:
        """One request of the workspace, which no other transaction changes before this one ends."""
        return _stored(_LOCKED.first(self._connection, p_workspace=workspace_id, p_id=approval_id))

    def open_terms(self, workspace_id: str, approval_id: str, now: float) -> tuple[str | None, bool]:
        """Who requested it, and whether it came under a rule; of a request that is open and has time left."""
        found = _OPEN_TERMS.first(self._connection, p_workspace=workspace_id, p_id=approval_id, p_now=now)
        return (None, False) if found is None else (found.requested_by, found.requirement is not None)

    def set_requirement(self, approval_id: str, requirement: str) -> None:
        """Store what the request needs."""
        self._connection.execute(sa.update(approvals).where(_ROW.id == approval_id).values(requirement=requirement))

    def note_progress(self, workspace_id: str, approval_id: str) -> None:
        """Let all servers tell that somebody's decision about an open request was made or retracted."""
        self.changes.append(Change(approval_id, workspace_id, progress=True))

    def several(self, ids: Sequence[str]) -> dict[str, Approval]:
        """The requests with these ids, of any workspace, by id."""
        return {row.id: approval_of(row) for row in self._connection.execute(_SEVERAL, {"p_ids": list(ids)})}

    def of_revoked(self, ids: Iterable[str]) -> set[str]:
        """Which of these requests were made by a requester that is revoked now."""
        return set(self._connection.execute(_OF_REVOKED, {"p_ids": list(ids)}).scalars())

    def keyed(self, workspace_id: str, key_id: str) -> Approval | None:
        """The request of an idempotency key."""
        row = _KEYED.first(self._connection, p_workspace=workspace_id, p_key=key_id)
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
        found: float | None = _NEXT_EXPIRY.scalar(self._connection)
        return found

    # --- ending: each writes its outbox row

    def end(self, workspace_id: str, approval_id: str, resolution: Resolution, now: float) -> Approval | None:
        """End the request; None if it is not open, its time is over, or it is unknown."""
        return self._end(_DECISIONS, workspace_id, approval_id, resolution, now)

    def expire(self, workspace_id: str, approval_id: str, resolution: Resolution, now: float) -> Approval | None:
        """End the request if its time is over; None if it is not open, has time left, or is unknown."""
        return self._end(_EXPIRIES, workspace_id, approval_id, resolution, now)

    def due(self, now: float) -> list[tuple[str, str]]:
        """The workspace and id of every open request whose time is over."""
        return [(row.workspace_id, row.id) for row in self._connection.execute(_DUE, {"p_now": now})]

    def _end(
        self, kind: Mapping[str, PreparedQuery], workspace_id: str, approval_id: str, resolution: Resolution, now: float
    ) -> Approval | None:
        entry = {
            "p_approval_id": approval_id,
            "p_recorded_at": resolution.decided_at,
            "p_journaled": False,
            "p_owner": self._owner,
        }
        dialect = self._connection.dialect.name
        row = kind[dialect].first(
            self._connection,
            p_workspace=workspace_id,
            p_id=approval_id,
            p_now=now,
            p_status=resolution.status.value,
            p_decided_by=resolution.decided_by,
            p_decided_at=resolution.decided_at,
            p_verified=resolution.verified,
            p_claimed_by=resolution.claimed_by,
            p_comment=resolution.comment,
            **entry if dialect == "postgresql" else {},
        )
        if row is None:
            return None
        if not getattr(row, "in_time", True):
            raise RaceError("the request's time was over when the decision got to it")
        number = row.entry if dialect == "postgresql" else _INSERT_OUTBOX.scalar(self._connection, **entry)
        approval = approval_of(row)
        self.changes.append(Change(approval_id, workspace_id))
        made = () if approval.requirement is None else DecisionQueries(self._connection).of_request(approval_id)
        self.ended.append(OutboxEntry(number, resolution.decided_at, approval, resolution.claimed_by, tuple(made)))
        return approval

    def redeem(self, workspace_id: str, approval_id: str, attempt: str, used_at: str) -> StoredApproval | None:
        """Mark the request as redeemed by this attempt, if it is approved and not redeemed yet; how it is then."""
        values = {"p_workspace": workspace_id, "p_id": approval_id, "p_used_by": attempt, "p_used_at": used_at}
        return _stored(_REDEEM.first(self._connection, **values)) or self.one(workspace_id, approval_id)


def _limited(query: sa.Select[Any], only: frozenset[str] | None) -> tuple[sa.Select[Any], dict[str, Any]]:
    return (query, {}) if only is None else (query.where(_ONLY), {"p_only": sorted(only)})
