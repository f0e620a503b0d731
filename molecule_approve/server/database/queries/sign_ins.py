"""Queries: sign-in codes, and the sessions that they begin."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy import bindparam

from molecule_approve.server.database.schema import approvers, codes, sessions
from molecule_approve.server.database.values import OpenSession

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from molecule_approve.server.database.values import SessionLimits, SessionRow

_TAKE_CODE = sa.delete(codes).where(codes.c.code_hash == bindparam("p_hash")).returning(codes.c.approver_id, codes.c.made)
_NAME_OF = sa.select(approvers.c.name).where(approvers.c.id == bindparam("p_id"), approvers.c.revoked_at.is_(None))
_USE = sa.update(sessions).where(sessions.c.id == bindparam("p_id"), sessions.c.used < bindparam("p_now"))


_MOST = 200
"""Sessions in a list; a script that signs in again and again has more."""


class SignInQueries:
    """Sign-in codes and sessions. Only their hashes are kept; times are in seconds since the epoch."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def put_code(self, code_hash: str, approver_id: str, now: float, lifetime: float) -> None:
        """Store a code for this approver, and delete expired codes."""
        self._connection.execute(sa.delete(codes).where(sa.not_(codes.c.made.between(now - lifetime, now))))
        values = {"code_hash": code_hash, "approver_id": approver_id, "made": now}
        self._connection.execute(sa.insert(codes), values)

    def take_code(self, code_hash: str, now: float, lifetime: float) -> tuple[str, str] | None:
        """Delete the code; id and name of whom it signs in, or None if it is unknown, expired, or its approver revoked."""
        found = self._connection.execute(_TAKE_CODE, {"p_hash": code_hash}).one_or_none()
        # A negative age means that the clock was set back: such a code is not valid.
        if found is None or not 0 <= now - found.made < lifetime:
            return None
        name = self._connection.execute(_NAME_OF, {"p_id": found.approver_id}).scalar()
        return None if name is None else (found.approver_id, name)

    def begin(self, session: SessionRow, now: float, limits: SessionLimits) -> None:
        """Begin a session, and delete those that are over."""
        # One whose lifetime is over is not used any more either.
        self._connection.execute(sa.delete(sessions).where(sessions.c.used <= now - limits.idle))
        self._connection.execute(sa.insert(sessions), {**asdict(session), "began": now, "used": now})

    def use(self, session_ids: Iterable[str], now: float) -> None:
        """Note that the sessions were used now."""
        for session_id in session_ids:
            self._connection.execute(_USE, {"p_id": session_id, "p_now": now, "used": now})

    def of_approver(self, approver_id: str, now: float, limits: SessionLimits) -> list[OpenSession]:
        """The approver's sessions that are valid, at most two hundred, the one that was used last first."""
        query = (
            sa.select(sessions.c.id, sessions.c.client, sessions.c.began, sessions.c.used)
            .where(sessions.c.approver_id == approver_id, sessions.c.used > now - limits.idle)
            .where(sessions.c.began > now - limits.lifetime, sessions.c.began <= now)
            .order_by(sessions.c.used.desc(), sessions.c.began.desc(), sessions.c.id)
            .limit(_MOST)
        )
        return [OpenSession(*row) for row in self._connection.execute(query)]

    def end(self, approver_id: str, session_id: str) -> list[str]:
        """End this session of the approver's; the hash of its token, or nothing if there is no such session."""
        return self._end(sessions.c.approver_id == approver_id, sessions.c.id == session_id)

    def end_all(self, approver_id: str, but: str | None = None) -> list[str]:
        """End all sessions of the approver, but this one; the hashes of their tokens."""
        return self._end(sessions.c.approver_id == approver_id, sessions.c.id != (but or ""))

    def _end(self, *which: sa.ColumnElement[bool]) -> list[str]:
        query = sa.delete(sessions).where(*which).returning(sessions.c.token_hash)
        return list(self._connection.execute(query).scalars())
