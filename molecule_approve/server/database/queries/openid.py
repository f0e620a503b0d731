"""Queries: sign-ins through a provider that are not finished yet, and which approver a person of the provider's is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy import bindparam

from molecule_approve.lifecycle import name_key
from molecule_approve.server.database.schema import approvers, openid_sign_ins
from molecule_approve.server.database.values import KnownApprover, OpenSignIn

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

_APPROVER, _SIGN_IN = approvers.c, openid_sign_ins.c
_TAKE = (
    sa.delete(openid_sign_ins)
    .where(_SIGN_IN.state_hash == bindparam("p_state"))
    .returning(_SIGN_IN.challenge, _SIGN_IN.nonce_hash, _SIGN_IN.began)
)
_COUNT = sa.select(sa.func.count()).select_from(openid_sign_ins)
# Of all approvers: letter cases and Unicode forms are compared here, as each database knows others.
_IDENTITIES = sa.select(_APPROVER.id, _APPROVER.name, _APPROVER.source, _APPROVER.subject, _APPROVER.revoked_at.is_not(None))


class OpenIdQueries:
    """Sign-ins and identities. Of secrets only hashes are kept; times are in seconds since the epoch."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def put(self, state_hash: str, begun: OpenSignIn, now: float, lifetime: float, most: int) -> bool:
        """Store a sign-in that begins, and delete those that are over; False if there are already as many as may be.

        Transactions that run at the same time may exceed that by their number.
        """
        self._connection.execute(sa.delete(openid_sign_ins).where(sa.not_(_SIGN_IN.began.between(now - lifetime, now))))
        if self._connection.execute(_COUNT).scalar_one() >= most:
            return False
        values = {"state_hash": state_hash, "challenge": begun.challenge, "nonce_hash": begun.nonce_hash, "began": now}
        self._connection.execute(sa.insert(openid_sign_ins), values)
        return True

    def take(self, state_hash: str, now: float, lifetime: float) -> OpenSignIn | None:
        """Delete the sign-in of this state, and return it; None if it is unknown, or too old."""
        found = self._connection.execute(_TAKE, {"p_state": state_hash}).one_or_none()
        # A negative age means that the clock was set back.
        if found is None or not 0 <= now - found.began < lifetime:
            return None
        return OpenSignIn(found.challenge, found.nonce_hash)

    def identities(self, name: str, subject: str) -> list[KnownApprover]:
        """All approvers, also revoked ones, that have this name, however it is written, or are this person."""
        everybody = [KnownApprover(*row) for row in self._connection.execute(_IDENTITIES)]
        return [one for one in everybody if name_key(one.name) == name_key(name) or one.subject == subject]

    def bind(self, approver_id: str, subject: str) -> None:
        """Note which person of the provider's the approver is."""
        self._connection.execute(sa.update(approvers).where(_APPROVER.id == approver_id).values(subject=subject))
