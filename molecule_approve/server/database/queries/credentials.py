"""Queries: workspaces, requesters, approvers, and whose a token is."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy import bindparam

from molecule_approve.lifecycle import is_own
from molecule_approve.server.database.prepared import PreparedQuery
from molecule_approve.server.database.schema import (
    ADDED,
    KEY_IN_USE,
    NOT_REVOKED,
    approver_keys,
    approver_workspaces,
    approvers,
    requesters,
    sessions,
    workspaces,
)
from molecule_approve.server.database.values import Holder, NameTakenError, SessionLimits

if TYPE_CHECKING:
    from sqlalchemy import BindParameter
    from sqlalchemy.engine import Connection

_NAMES_LOCK = 6_011_771_425_201_937_412
"""The key of the advisory lock under which a name is looked for, and added."""

_APPROVER, _REQUESTER, _SESSION, _WORKSPACE = approvers.c, requesters.c, sessions.c, workspaces.c
_HASH: BindParameter[str] = bindparam("p_hash")
_NO_TIME = sa.literal_column("0.0", sa.Float)
_NO_TEXT = sa.null().cast(sa.String)
_NOT_REVOKED_APPROVER = _APPROVER.revoked_at.is_(None)

_HOLDERS = sa.union_all(
    sa.select(
        _APPROVER.id,
        _APPROVER.name,
        _APPROVER.token_hash,
        _NO_TEXT.label("workspace_id"),
        _APPROVER.limited,
        _NO_TEXT.label("session_id"),
        _NO_TIME.label("began"),
        _NO_TIME.label("used"),
        sa.false().label("built_in"),
    ).where(_APPROVER.token_hash == _HASH, _NOT_REVOKED_APPROVER),
    sa.select(
        _REQUESTER.id,
        _REQUESTER.name,
        _REQUESTER.token_hash,
        _REQUESTER.workspace_id,
        sa.false(),
        _NO_TEXT,
        _NO_TIME,
        _NO_TIME,
        _REQUESTER.built_in,
    )
    # One may be added in the very moment in which the workspace is removed.
    .join(workspaces, _WORKSPACE.id == _REQUESTER.workspace_id)
    .where(_REQUESTER.token_hash == _HASH, _REQUESTER.revoked_at.is_(None), _WORKSPACE.removed_at.is_(None)),
    sa.select(
        _APPROVER.id,
        _APPROVER.name,
        _SESSION.token_hash,
        _NO_TEXT,
        _APPROVER.limited,
        _SESSION.id,
        _SESSION.began,
        _SESSION.used,
        sa.false(),
    )
    .join(approvers, _APPROVER.id == _SESSION.approver_id)
    .where(_SESSION.token_hash == _HASH, _NOT_REVOKED_APPROVER),
)
_HOLDER = PreparedQuery(_HOLDERS)
_ALLOWED = sa.select(approver_workspaces.c.workspace_id).where(approver_workspaces.c.approver_id == bindparam("p_approver"))
_HAS_WORKSPACE = PreparedQuery(
    sa.select(_WORKSPACE.id).where(_WORKSPACE.id == bindparam("p_workspace"), _WORKSPACE.removed_at.is_(None))
)
_APPROVER_NAMED = sa.select(_APPROVER.id).where(_APPROVER.name == bindparam("p_name"), sa.text(NOT_REVOKED))

_APPROVERS_NAMES = sa.select(_APPROVER.name).where(sa.text(NOT_REVOKED))
_TWO_APPROVERS = PreparedQuery(sa.select(_APPROVER.id).where(sa.text(NOT_REVOKED)).limit(2))


class CredentialQueries:
    """Workspaces, requesters and approvers."""

    def __init__(self, connection: Connection, now: Callable[[], float]) -> None:
        self._connection = connection
        self._now = now
        self._holders: dict[str, Holder] = {}
        self._workspaces: set[str] = set()

    # --- whose a token is

    def holder(self, token_hash: str, limits: SessionLimits) -> Holder | None:
        """The approver or requester whose token, or session, has this hash.

        One is looked up once in a transaction: all the calls that share it came before it began.
        """
        known = self._holders.get(token_hash)
        if known is None:
            known = self._look_up(token_hash, limits)
            if known is not None:
                self._holders[token_hash] = known
        return known

    def _look_up(self, token_hash: str, limits: SessionLimits) -> Holder | None:
        found = _HOLDER.first(self._connection, p_hash=token_hash)
        if found is None:
            return None
        if found.session_id is not None and not _lasts(found.began, found.used, self._now(), limits):
            return None
        return Holder(
            id=found.id,
            name=found.name,
            token_hash=found.token_hash,
            workspace_id=found.workspace_id,
            workspaces=self._allowed(found.id) if found.limited else None,
            session_id=found.session_id,
            used=found.used,
            built_in=found.built_in,
        )

    def _allowed(self, approver_id: str) -> frozenset[str]:
        return frozenset(self._connection.execute(_ALLOWED, {"p_approver": approver_id}).scalars())

    # --- workspaces

    def has_workspace(self, workspace_id: str) -> bool:
        """Whether the workspace exists, and was not removed; looked up once, as a holder is."""
        if workspace_id in self._workspaces:
            return True
        found = _HAS_WORKSPACE.first(self._connection, p_workspace=workspace_id) is not None
        if found:
            self._workspaces.add(workspace_id)
        return found

    def workspace_name(self, workspace_id: str) -> str:
        """The workspace's name; its id, if it does not exist."""
        found: str | None = self._connection.execute(
            sa.select(_WORKSPACE.name).where(_WORKSPACE.id == workspace_id)
        ).scalar()
        return workspace_id if found is None else found

    def workspace_named(self, name: str) -> str | None:
        """The id of the oldest workspace of that name."""
        query = sa.select(_WORKSPACE.id).where(_WORKSPACE.name == name, _WORKSPACE.removed_at.is_(None))
        found: str | None = self._connection.execute(query.order_by(_WORKSPACE.created_at).limit(1)).scalar()
        return found

    def ensure_workspace(self, name: str, created_at: str) -> str:
        """The id of the oldest workspace of that name, which is added if it is missing."""
        lock_names(self._connection)
        found = self.workspace_named(name)
        if found is None:
            found = str(uuid.uuid4())
            self.put_workspace(found, name, created_at)
        return found

    def put_workspace(self, workspace_id: str, name: str, created_at: str) -> None:
        """Add the workspace, if it is missing."""
        if not self.has_workspace(workspace_id):
            values = {"id": workspace_id, "name": name, "created_at": created_at}
            self._connection.execute(sa.insert(workspaces), values)

    # --- requesters

    def add_requester(self, name: str, workspace_id: str, token_hash: str, created_at: str) -> None:
        """Add a requester to the workspace.

        Raises:
            NameTakenError: the workspace has a requester of that name, in whatever spelling.
        """
        lock_names(self._connection)
        names = sa.select(_REQUESTER.name).where(_REQUESTER.workspace_id == workspace_id, sa.text(ADDED))
        check_free(name, self._connection.execute(names).scalars())
        self._insert_requester(name, workspace_id, token_hash, created_at, built_in=False)

    def put_built_in(
        self, name: str, workspace_id: str, token_hash: str, created_at: str, own_id: str | None = None
    ) -> None:
        """Give this name and token to the requester of the workspace that is the server's own; add it if it is missing.

        ``own_id`` is its id if several servers, with a requester each, share the workspace.
        """
        own = sa.update(requesters).where(_REQUESTER.workspace_id == workspace_id, _REQUESTER.built_in)
        if own_id is not None:
            own = own.where(_REQUESTER.id == own_id)
        if self._connection.execute(own.values(name=name, token_hash=token_hash)).rowcount == 0:
            self._insert_requester(name, workspace_id, token_hash, created_at, built_in=True, own_id=own_id)

    def _insert_requester(
        self, name: str, workspace_id: str, token_hash: str, created_at: str, *, built_in: bool, own_id: str | None = None
    ) -> None:
        values = {"id": own_id or str(uuid.uuid4()), "name": name, "workspace_id": workspace_id, "token_hash": token_hash}
        self._connection.execute(sa.insert(requesters), {**values, "created_at": created_at, "built_in": built_in})

    # --- approvers

    def add_approver(self, name: str, token_hash: str | None, created_at: str, source: str = "token") -> str:
        """Add an approver; the new credential's id.

        Raises:
            NameTakenError: an approver of that name exists, in whatever spelling.
        """
        lock_names(self._connection)
        check_free(name, self._connection.execute(_APPROVERS_NAMES).scalars())
        values: dict[str, Any] = {"id": str(uuid.uuid4()), "name": name, "token_hash": token_hash, "created_at": created_at}
        self._connection.execute(sa.insert(approvers), {**values, "source": source, "limited": False})
        return str(values["id"])

    def approver_named(self, name: str) -> str | None:
        """The id of the approver of that name; an argument of a command that is not text names nobody."""
        if not _is_text(name):
            return None
        found: str | None = self._connection.execute(_APPROVER_NAMED, {"p_name": name}).scalar()
        return found

    def has_several_approvers(self) -> bool:
        """Whether there are two approvers or more."""
        return len(_TWO_APPROVERS.rows(self._connection)) > 1

    def approvers(self) -> list[tuple[str, str]]:
        """The names of all approvers, sorted, and when each was added."""
        query = sa.select(_APPROVER.name, _APPROVER.created_at).where(sa.text(NOT_REVOKED)).order_by(_APPROVER.name)
        return [(row.name, row.created_at) for row in self._connection.execute(query)]

    def revoke_approver(self, name: str, revoked_at: str) -> bool:
        """Revoke the approver, and remove the approver's keys; whether there was one."""
        if not _is_text(name):
            return False
        lock_names(self._connection)  # no key is added meanwhile
        of = sa.select(_APPROVER.id).where(_APPROVER.name == name, sa.text(NOT_REVOKED))
        keys = approver_keys.c.approver_id.in_(of), sa.text(KEY_IN_USE)
        self._connection.execute(sa.update(approver_keys).where(*keys).values(removed_at=revoked_at))
        query = sa.update(approvers).where(_APPROVER.name == name, sa.text(NOT_REVOKED)).values(revoked_at=revoked_at)
        return self._connection.execute(query).rowcount > 0


def _is_text(name: str) -> bool:
    """Whether a database takes it as a value: neither bytes that were not UTF-8, nor a NUL."""
    return "\0" not in name and not any("\ud800" <= character <= "\udfff" for character in name)


def lock_names(connection: Connection) -> None:
    """Let no other transaction add a name until this one ends; on SQLite none can write anyway."""
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_NAMES_LOCK)))


def check_free(name: str, taken: Iterable[str]) -> None:
    """Check that no name means the same person as another one: they differ by more than letter case and NFC.

    Raises:
        NameTakenError: one does.
    """
    for other in taken:
        if is_own(name, other):
            raise NameTakenError(other)


def _lasts(began: float, used: float, now: float, limits: SessionLimits) -> bool:
    """Whether a session is still valid. A clock that was set back does not prolong it."""
    return 0 <= now - began < limits.lifetime and now - used < limits.idle
