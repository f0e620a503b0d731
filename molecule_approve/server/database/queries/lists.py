"""Queries: the lists of the inbox page, one line for each request; and one request of any workspace.

A search looks at a bounded number of rows, however many there are.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy import bindparam

from molecule_approve.model import EXPIRED_BY, WITHDRAWN_BY, Approval, Outcome, Status
from molecule_approve.server.database.schema import PENDING, approvals, outbox, requesters, workspaces
from molecule_approve.server.database.values import EndedPage, EndedSearch, PendingSearch, RequestLine, epoch_text

from .requests import approval_of

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection, Row

ACTION_LENGTH = 300
"""Characters of an action in a line."""

CHUNK = 2_000
"""Ended requests that one statement looks at."""

_CONTEXT_LENGTH = 4_096
"""Characters of a context that is read for a line; a longer one is only shown with its request."""

_DISORDER = 1_000
"""How far the order of two ended requests may differ from that of their times: several servers write them."""

_ROW = approvals.c
# The empty text keeps the database from the index of workspaces, along which it would look at requests of any age.
_WORKSPACE = _ROW.workspace_id + ""
_LINE: tuple[sa.ColumnElement[Any], ...] = (
    _ROW.id,
    _ROW.workspace_id,
    sa.func.substr(_ROW.action, 1, ACTION_LENGTH).label("action"),
    sa.func.length(_ROW.action).label("action_length"),
    sa.case((sa.func.length(_ROW.context) <= _CONTEXT_LENGTH, _ROW.context)).label("context"),
    _ROW.status,
    _ROW.created_at,
    _ROW.expires,
    _ROW.requested_by,
    _ROW.decided_by,
    _ROW.decided_at,
    _ROW.requirement,
    workspaces.c.name,
    requesters.c.revoked_at,
)
_COUNT = bindparam("p_count", type_=sa.Integer)
_PENDING: sa.Select[Any] = (
    sa.select(*_LINE)
    .join_from(approvals, workspaces, workspaces.c.id == _ROW.workspace_id)
    .outerjoin(requesters, requesters.c.id == _ROW.requester_id)
    .where(sa.text(PENDING))
    .order_by(_ROW.number)
    .limit(_COUNT)
)
_ENDED: sa.Select[Any] = (
    sa.select(*_LINE, outbox.c.number.label("entry"))
    .join_from(outbox, approvals, _ROW.id == outbox.c.approval_id)
    .join(workspaces, workspaces.c.id == _ROW.workspace_id)
    .outerjoin(requesters, requesters.c.id == _ROW.requester_id)
    .where(outbox.c.number >= bindparam("p_from"), outbox.c.number < bindparam("p_below"))
    .order_by(outbox.c.number.desc())
    .limit(_COUNT)
)
_ONE = (
    sa.select(approvals, workspaces.c.name)
    .join_from(approvals, workspaces, workspaces.c.id == _ROW.workspace_id)
    .where(_ROW.id == bindparam("p_id"))
)
_NEWEST_ENTRY = sa.select(sa.func.max(outbox.c.number))
_ENTRY_FROM = (
    sa.select(outbox.c.number, outbox.c.recorded_at)
    .where(outbox.c.number >= bindparam("p_from"))
    .order_by(outbox.c.number)
    .limit(1)
)
_BY_NOBODY = (EXPIRED_BY, WITHDRAWN_BY)
_OUTCOMES = {
    Outcome.APPROVED: sa.and_(_ROW.status == Status.APPROVED.value),
    Outcome.DENIED: sa.and_(_ROW.status == Status.DENIED.value, _ROW.decided_by.not_in(_BY_NOBODY)),
    Outcome.EXPIRED: sa.and_(_ROW.decided_by == EXPIRED_BY),
    Outcome.WITHDRAWN: sa.and_(_ROW.decided_by == WITHDRAWN_BY),
}


def _line(row: Row[Any]) -> RequestLine:
    approval = Approval(
        id=row.id,
        workspace_id=row.workspace_id,
        action=row.action,
        status=Status(row.status),
        requested_by=row.requested_by,
        decided_by=row.decided_by,
        decided_at=row.decided_at,
        created_at=row.created_at,
        context=None if row.context is None else json.loads(row.context),
        expires_at=epoch_text(row.expires),
        requirement=row.requirement,
    )
    return RequestLine(approval, row.name, row.action_length, row.revoked_at is not None)


def _within(workspace: str, only: frozenset[str] | None) -> list[sa.ColumnElement[bool]]:
    allowed = [] if only is None else [sorted(only)]
    return [_WORKSPACE.in_(ids) for ids in (*allowed, *([[workspace]] if workspace else []))]


def _words(words: tuple[str, ...], *columns: sa.ColumnElement[Any]) -> list[sa.ColumnElement[bool]]:
    """Each word is in one of these columns, in whatever case."""
    return [sa.or_(*(column.icontains(word, autoescape=True) for column in columns)) for word in words]


class ListQueries:
    """Lists of requests. ``only`` limits them to these workspaces; None means all."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def anywhere(self, approval_id: str, only: frozenset[str] | None) -> tuple[Approval, str] | None:
        """One request, with its workspace's name."""
        row = self._connection.execute(_ONE, {"p_id": approval_id}).one_or_none()
        if row is None or (only is not None and row.workspace_id not in only):
            return None
        return approval_of(row), row.name

    def pending(self, search: PendingSearch, count: int, only: frozenset[str] | None) -> list[RequestLine]:
        """The oldest pending requests, oldest first."""
        words = _words(search.words, _ROW.action, _ROW.requested_by, workspaces.c.name)
        query = _PENDING.where(*_within(search.workspace, only), *words)
        return [_line(row) for row in self._connection.execute(query, {"p_count": count})]

    def ended(
        self, search: EndedSearch, below: int | None, count: int, examined: int, only: frozenset[str] | None
    ) -> EndedPage:
        """The requests that ended last, latest first: so many, of so many that are looked at.

        ``below`` is the end of the page before: only earlier ones are looked at.
        """
        first, top = self._span(search, below)
        stop, lines = max(first, top - examined), list[RequestLine]()
        query = _ENDED.where(*_conditions(search, only))
        while top > stop and len(lines) < count:
            start, missing = max(stop, top - CHUNK), count - len(lines)
            rows = self._connection.execute(query, {"p_from": start, "p_below": top, "p_count": missing}).all()
            lines += [_line(row) for row in rows]
            top = rows[-1].entry if len(rows) == missing else start
        if top <= first:
            return EndedPage(lines, None, None)
        reached = self._connection.execute(_ENTRY_FROM, {"p_from": top}).one_or_none()
        return EndedPage(lines, top, None if reached is None else reached.recorded_at)

    def _span(self, search: EndedSearch, below: int | None) -> tuple[int, int]:
        """The first entry to look at, and the one after the last."""
        end = (self._connection.execute(_NEWEST_ENTRY).scalar() or 0) + 1
        first = max(1, self._first_entry(search.since, end) - _DISORDER) if search.since else 1
        last = min(end, self._first_entry(search.until, end) + _DISORDER) if search.until else end
        return first, last if below is None else min(last, below)

    def _first_entry(self, when: str, end: int) -> int:
        """The first entry of this time or later; ``end`` if there is none. It is searched for by halves."""
        low, high = 1, end
        while low < high:
            middle = (low + high) // 2
            row = self._connection.execute(_ENTRY_FROM, {"p_from": middle}).one_or_none()
            if row is None or row.recorded_at >= when:
                high = middle
            else:
                low = row.number + 1
        return low


def _conditions(search: EndedSearch, only: frozenset[str] | None) -> list[sa.ColumnElement[bool]]:
    found = [*_within(search.workspace, only), *_words(search.words, _ROW.action, _ROW.reason, _ROW.comment)]
    found += _words((search.who,) if search.who else (), _ROW.requested_by, _ROW.decided_by)
    if search.outcome is not None:
        found.append(_OUTCOMES[search.outcome])
    if search.since:
        found.append(outbox.c.recorded_at >= search.since)
    if search.until:
        found.append(outbox.c.recorded_at < search.until)
    return found
