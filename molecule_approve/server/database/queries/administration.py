"""Queries: workspaces, requesters and approvers, as an administrator lists, limits, revokes and removes them."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import TYPE_CHECKING

import sqlalchemy as sa

from molecule_approve.lifecycle import name_key
from molecule_approve.server.database.schema import (
    NOT_REVOKED,
    OPEN,
    approvals,
    approver_workspaces,
    approvers,
    replicas,
    requesters,
    workspaces,
)
from molecule_approve.server.database.values import ApproverRow, RequesterRow, WorkspaceRow

from .credentials import check_free, lock_names

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

_APPROVER, _REQUESTER, _WORKSPACE, _ALLOWED = approvers.c, requesters.c, workspaces.c, approver_workspaces.c

_EXISTS = _WORKSPACE.removed_at.is_(None)
_REQUESTERS = (
    sa.select(
        _REQUESTER.id,
        _REQUESTER.name,
        _REQUESTER.workspace_id,
        _WORKSPACE.name.label("workspace_name"),
        _REQUESTER.created_at,
        _REQUESTER.built_in,
        replicas.c.host,
    )
    .join(workspaces, _WORKSPACE.id == _REQUESTER.workspace_id)
    # The requester of a server among several has the server's id.
    .outerjoin(replicas, replicas.c.id == _REQUESTER.id)
    .where(_REQUESTER.revoked_at.is_(None))
    .order_by(_WORKSPACE.name, _REQUESTER.name, _REQUESTER.created_at)
)


class AdministrationQueries:
    """What the commands of an administrator read and change; none of it is called while requests are served."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def wait_for_others(self) -> None:
        """Let no other transaction add a requester or remove a workspace until this one ends; call it first."""
        lock_names(self._connection)

    # --- workspaces

    def workspaces(self) -> list[WorkspaceRow]:
        """The workspaces that exist, by name."""
        rows = self._connection.execute(sa.select(workspaces).where(_EXISTS).order_by(_WORKSPACE.name)).all()
        counting = (
            sa.select(approvals.c.workspace_id, sa.func.count()).where(sa.text(OPEN)).group_by(approvals.c.workspace_id)
        )
        waiting = {row[0]: int(row[1]) for row in self._connection.execute(counting)}
        asking = self.requesters()
        return [
            WorkspaceRow(
                row.id,
                row.name,
                row.created_at,
                tuple(one.name for one in asking if one.workspace_id == row.id),
                waiting.get(row.id, 0),
            )
            for row in rows
        ]

    def find_workspace(self, text: str) -> WorkspaceRow | None:
        """The workspace with this id, or else with this name in whatever spelling."""
        found = self.workspaces()
        named = [row for row in found if name_key(row.name) == name_key(text)]
        return next((row for row in [*(row for row in found if row.id == text), *named]), None)

    def add_workspace(self, name: str, created_at: str) -> str:
        """Add a workspace; its id.

        Raises:
            NameTakenError: one has this name, in whatever spelling.
        """
        lock_names(self._connection)
        check_free(name, [row.name for row in self.workspaces()])
        workspace_id = str(uuid.uuid4())
        self._connection.execute(sa.insert(workspaces), {"id": workspace_id, "name": name, "created_at": created_at})
        return workspace_id

    def remove_workspace(self, workspace_id: str, removed_at: str) -> None:
        """Remove the workspace; its requests are kept."""
        query = sa.update(workspaces).where(_WORKSPACE.id == workspace_id).values(removed_at=removed_at)
        self._connection.execute(query)

    # --- requesters

    def requesters(self) -> list[RequesterRow]:
        """The valid requesters, by workspace and name."""
        return [RequesterRow(*row) for row in self._connection.execute(_REQUESTERS)]

    def revoke_requester(self, requester_id: str, revoked_at: str) -> None:
        """Revoke the requester."""
        query = sa.update(requesters).where(_REQUESTER.id == requester_id).values(revoked_at=revoked_at)
        self._connection.execute(query)

    # --- approvers

    def approvers(self) -> list[ApproverRow]:
        """The valid approvers, by name."""
        query = sa.select(approvers).where(sa.text(NOT_REVOKED)).order_by(_APPROVER.name)
        allowed: dict[str, list[str]] = {}
        of = sa.select(_ALLOWED.approver_id, _WORKSPACE.name).join(workspaces, _WORKSPACE.id == _ALLOWED.workspace_id)
        for row in self._connection.execute(of.where(_EXISTS).order_by(_WORKSPACE.name)):
            allowed.setdefault(row.approver_id, []).append(row.name)
        return [
            ApproverRow(row.name, row.created_at, row.source, tuple(allowed.get(row.id, ())) if row.limited else None)
            for row in self._connection.execute(query)
        ]

    def limit_approver(self, approver_id: str, workspace_ids: Iterable[str] | None) -> None:
        """Let the approver decide in these workspaces only; None for all."""
        limited = workspace_ids is not None
        self._connection.execute(sa.update(approvers).where(_APPROVER.id == approver_id).values(limited=limited))
        self._connection.execute(sa.delete(approver_workspaces).where(_ALLOWED.approver_id == approver_id))
        for workspace_id in workspace_ids or ():
            values = {"approver_id": approver_id, "workspace_id": workspace_id}
            self._connection.execute(sa.insert(approver_workspaces), values)
