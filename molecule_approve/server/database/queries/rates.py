"""Queries: calls that are counted over all servers of the database. For PostgreSQL only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from molecule_approve.server.database.schema import rates

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

SLOT = 10
"""Seconds that are counted together."""

_SLOTS = 6
"""Slots of a minute."""

_ADD = insert(rates)
_ADD_MORE = _ADD.on_conflict_do_update(index_elements=["key", "slot"], set_={"count": rates.c.count + _ADD.excluded.count})
_SUMS = (
    sa.select(rates.c.key, sa.func.sum(rates.c.count).label("total"))
    .where(rates.c.key.in_(sa.bindparam("p_keys", expanding=True)), rates.c.slot > sa.bindparam("p_slot"))
    .group_by(rates.c.key)
)


class RateQueries:
    """Counted calls, by key and time."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, counts: Mapping[str, int], now: float) -> None:
        """Add calls of this moment, and forget those of more than a minute ago."""
        slot = int(now // SLOT)
        self._connection.execute(sa.delete(rates).where(rates.c.slot <= slot - _SLOTS))
        # In one order, so that two servers do not wait for each other.
        rows = [{"key": key, "slot": slot, "count": count} for key, count in sorted(counts.items())]
        self._connection.execute(_ADD_MORE, rows)

    def of_a_minute(self, keys: Sequence[str], now: float) -> dict[str, int]:
        """How many calls each key had within the last minute."""
        rows = self._connection.execute(_SUMS, {"p_keys": list(keys), "p_slot": int(now // SLOT) - _SLOTS})
        return {row.key: int(row.total) for row in rows}
