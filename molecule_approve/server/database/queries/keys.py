"""Queries: approvers' keys, the links by which they are enrolled, and who this server is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy import bindparam

from molecule_approve.server.database.schema import KEY_IN_USE, NOT_REVOKED, approver_keys, approvers, identity, key_codes
from molecule_approve.server.database.values import KeyOwner, KeyRow, ServerIdentity

from .credentials import lock_names

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection, Row

_ROW = approver_keys.c
_OF_APPROVER = (
    sa.select(approver_keys)
    .where(_ROW.approver_id == bindparam("p_approver"), sa.text(KEY_IN_USE))
    .order_by(_ROW.added_at, _ROW.id)
)
_CODE = key_codes.c
_OWNER = (
    sa.select(approvers.c.id, approvers.c.name)
    .join_from(key_codes, approvers, approvers.c.id == _CODE.approver_id)
    .where(_CODE.code_hash == bindparam("p_hash"), _CODE.made.between(bindparam("p_from"), bindparam("p_now")))
    .where(sa.text(NOT_REVOKED))
)
_NAMED_IN_USE = sa.select(_ROW.approver_id, sa.func.coalesce(_ROW.credential_id, _ROW.public_key).label("named")).where(
    sa.text(KEY_IN_USE)
)
_USED = sa.update(approver_keys).where(_ROW.id == bindparam("p_id"), _ROW.sign_count < bindparam("p_count"))
_WITH_OWNERS = sa.select(approvers.c.name, approver_keys).join_from(
    approver_keys, approvers, approvers.c.id == _ROW.approver_id
)


class KeyQueries:
    """Keys with which approvers prove decisions."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, row: KeyRow) -> None:
        """Enrol a key; no key in use may have the same public key."""
        values = {name: getattr(row, name) for name in KeyRow.__slots__}
        self._connection.execute(sa.insert(approver_keys).values(values))

    def of_approver(self, approver_id: str) -> list[KeyRow]:
        """The keys in use, the earliest first."""
        found = self._connection.execute(_OF_APPROVER, {"p_approver": approver_id})
        return [_key(row) for row in found]

    def in_use(self) -> list[KeyOwner]:
        """The keys in use of all approvers, by the approver's name, each one's earliest first."""
        query = _WITH_OWNERS.where(sa.text(KEY_IN_USE)).order_by(approvers.c.name, _ROW.added_at, _ROW.id)
        return [KeyOwner(row.name, _key(row)) for row in self._connection.execute(query)]

    def named_in_use(self) -> frozenset[tuple[str, str]]:
        """The keys in use of all approvers: the approver's id, and a passkey's id or an SSH key's text."""
        return frozenset((row.approver_id, row.named) for row in self._connection.execute(_NAMED_IN_USE))

    def earlier(self, public_key: str) -> list[KeyOwner]:
        """Who has enrolled this public key so far, those in use first; until this transaction ends, no other one adds it."""
        lock_names(self._connection)
        query = _WITH_OWNERS.where(_ROW.public_key == public_key).order_by(_ROW.removed_at.is_not(None))
        return [KeyOwner(row.name, _key(row), row.removed_at) for row in self._connection.execute(query)]

    def remove(self, key_id: str, now: str) -> bool:
        """Remove the key; whether it was in use."""
        removing = sa.update(approver_keys).where(_ROW.id == key_id, sa.text(KEY_IN_USE)).values(removed_at=now)
        return self._connection.execute(removing).rowcount > 0

    def note_count(self, key_id: str, count: int) -> bool:
        """Remember the key's own count of its uses; False if it is not higher than the one before."""
        return self._connection.execute(_USED, {"p_id": key_id, "p_count": count, "sign_count": count}).rowcount > 0

    # --- links

    def put_code(self, code_hash: str, approver_id: str, now: float, lifetime: float) -> None:
        """Store the code of a link for this approver, and delete expired ones."""
        self._connection.execute(sa.delete(key_codes).where(sa.not_(_CODE.made.between(now - lifetime, now))))
        values = {"code_hash": code_hash, "approver_id": approver_id, "made": now}
        self._connection.execute(sa.insert(key_codes), values)

    def code_owner(self, code_hash: str, now: float, lifetime: float) -> tuple[str, str] | None:
        """Id and name of the approver whom the code is for; None if it is unknown, used or expired."""
        # A time in the future means that the clock was set back: such a code is not valid.
        row = self._connection.execute(_OWNER, {"p_hash": code_hash, "p_from": now - lifetime, "p_now": now}).one_or_none()
        return None if row is None else (row.id, row.name)

    def use_code(self, code_hash: str) -> None:
        """Delete the code."""
        self._connection.execute(sa.delete(key_codes).where(_CODE.code_hash == code_hash))

    # --- who this server is

    def server_identity(self) -> ServerIdentity | None:
        """The identity that all servers of this database share; None before the first one has made it."""
        row = self._connection.execute(sa.select(identity)).first()
        return None if row is None else ServerIdentity(row.id, row.private_key, row.created_at)

    def keep_identity(self, made: ServerIdentity) -> ServerIdentity:
        """Store this identity, if there is none; the one that is stored."""
        lock_names(self._connection)
        found = self.server_identity()
        if found is None:
            self._connection.execute(sa.insert(identity).values(made._asdict()))
        return found or made


def _key(row: Row[Any]) -> KeyRow:
    return KeyRow(*(getattr(row, name) for name in KeyRow.__slots__))
