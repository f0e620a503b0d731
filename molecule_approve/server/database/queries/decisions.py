"""Queries: each person's decision about a request, as long as it counts and afterwards."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy import bindparam

from molecule_approve.lifecycle import name_key
from molecule_approve.model import Status
from molecule_approve.server.database.schema import (
    NOT_RETRACTED,
    approver_groups,
    approver_workspaces,
    approvers,
    decisions,
)
from molecule_approve.server.database.values import DecisionRow, PersonNow

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

_ROW, _STANDS = decisions.c, sa.text(NOT_RETRACTED)
_INSERT = sa.insert(decisions)
_OF_REQUEST = sa.select(decisions).where(_ROW.approval_id == bindparam("p_id"), _STANDS).order_by(_ROW.number)
_OF_SEVERAL = (
    sa.select(decisions)
    .where(_ROW.approval_id.in_(bindparam("p_ids", expanding=True)), _STANDS)
    .order_by(_ROW.approval_id, _ROW.number)
)
_RETRACT = sa.update(decisions).where(_ROW.approval_id == bindparam("p_id"), _ROW.person == bindparam("p_person"), _STANDS)
_USED = sa.select(_ROW.number).where(_ROW.statement_hash == bindparam("p_hash"))
_PEOPLE_NOW = (
    sa.select(
        approvers.c.id,
        approvers.c.name,
        approvers.c.limited,
        approver_groups.c.name.label("group_name"),
        approver_workspaces.c.workspace_id,
    )
    .outerjoin(approver_groups, approver_groups.c.approver_id == approvers.c.id)
    .outerjoin(approver_workspaces, approver_workspaces.c.approver_id == approvers.c.id)
    .where(approvers.c.revoked_at.is_(None))
)


class DecisionQueries:
    """Decisions of people. One person has one decision about a request that is not retracted."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, approval_id: str, row: DecisionRow) -> None:
        """Store a decision; the person must have none about this request that stands."""
        values = {
            "approval_id": approval_id,
            "person": name_key(row.name),
            "name": row.name,
            "approver_id": row.approver_id,
            "decision": row.decision.value,
            "decided_at": row.decided_at,
            "claimed_by": row.claimed_by,
            "comment": row.comment,
            "proof_kind": row.proof_kind,
            "statement": row.statement,
            "proof": row.proof,
            "statement_hash": row.statement_hash,
        }
        self._connection.execute(_INSERT, values)

    def of_request(self, approval_id: str) -> list[DecisionRow]:
        """The decisions that stand, in their order."""
        return [_decision(row) for row in self._connection.execute(_OF_REQUEST, {"p_id": approval_id})]

    def of_several(self, ids: Sequence[str]) -> dict[str, list[DecisionRow]]:
        """The decisions that stand about each of these requests."""
        found: dict[str, list[DecisionRow]] = {}
        for row in self._connection.execute(_OF_SEVERAL, {"p_ids": list(ids)}):
            found.setdefault(row.approval_id, []).append(_decision(row))
        return found

    def retract(self, approval_id: str, name: str, now: str) -> bool:
        """Retract the person's decision; whether there was one."""
        values = {"p_id": approval_id, "p_person": name_key(name), "retracted_at": now}
        return self._connection.execute(_RETRACT, values).rowcount > 0

    def was_made(self, approval_id: str, name: str, at: str) -> bool:
        """Whether the person made a decision at this time, retracted or not."""
        return self._has(_ROW.decided_at, approval_id, name, at)

    def was_retracted(self, approval_id: str, name: str, at: str) -> bool:
        """Whether the person's decision was retracted at this time."""
        return self._has(_ROW.retracted_at, approval_id, name, at)

    def _has(self, column: sa.Column[Any], approval_id: str, name: str, at: str) -> bool:
        found = sa.select(_ROW.number).where(_ROW.approval_id == approval_id, _ROW.person == name_key(name), column == at)
        return self._connection.execute(found).first() is not None

    def is_used(self, statement_hash: str) -> bool:
        """Whether a proof of this statement was given before."""
        return self._connection.execute(_USED, {"p_hash": statement_hash}).first() is not None

    def people_now(self) -> dict[str, PersonNow]:
        """The approvers who are not revoked, by ``name_key`` and in its order, each with groups and workspaces."""
        rows: dict[str, list[Any]] = {}
        for row in self._connection.execute(_PEOPLE_NOW):
            rows.setdefault(name_key(row.name), []).append(row)
        return {key: _person(rows[key]) for key in sorted(rows)}  # the database's order changes with its pages

    def set_groups(self, approver_id: str, groups: Iterable[str]) -> None:
        """Replace what the provider says about the approver's groups."""
        self._connection.execute(sa.delete(approver_groups).where(approver_groups.c.approver_id == approver_id))
        rows = [{"approver_id": approver_id, "name": name} for name in sorted(set(groups))]
        if rows:
            self._connection.execute(sa.insert(approver_groups), rows)


def _person(rows: list[Any]) -> PersonNow:
    """The approver of these rows: one for each group and workspace."""
    first = rows[0]
    groups = frozenset(row.group_name for row in rows if row.group_name is not None)
    allowed = frozenset(row.workspace_id for row in rows if row.workspace_id is not None)
    return PersonNow(first.id, first.name, groups, allowed if first.limited else None)


def _decision(row: sa.Row[Any]) -> DecisionRow:
    return DecisionRow(
        name=row.name,
        approver_id=row.approver_id,
        decision=Status(row.decision),
        decided_at=row.decided_at,
        claimed_by=row.claimed_by,
        comment=row.comment,
        proof_kind=row.proof_kind,
        statement=row.statement,
        proof=row.proof,
        statement_hash=row.statement_hash,
    )
