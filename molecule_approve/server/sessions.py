"""The sessions of signed-in approvers: how long they last, and noting their use. They are kept in the database."""

from __future__ import annotations

import asyncio
import time
import uuid
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from .database.values import Holder, SessionLimits, SessionRow
from .refusals import RefusedError
from .tokens import hash_token, new_token

if TYPE_CHECKING:
    from .database.transaction import Transaction
    from .limits import Limits
    from .threads import DatabaseThreads

_MOST_EXACT = 60.0
"""Seconds after which the use of a session is noted again: not each call writes."""


_CLIENT_LENGTH = 256
"""Characters of a browser's name for itself that a session keeps."""


class Sessions:
    """Notes that sessions are used, all of them in one transaction, at most once in a while each.

    A session belongs to its approver's credential. That is looked up at each call, so a session ends at once when its
    approver is revoked, also if the same name is added again.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = SessionLimits(limits.session, limits.session_idle)
        self._interval = min(_MOST_EXACT, limits.session_idle / 10)
        self._waiting: set[str] = set()
        self._awake = asyncio.Event()

    def begin(self, transaction: Transaction, approver_id: str, client: str) -> str:
        """Begin a session; its token, which is not kept. ``client`` is the browser, as it names itself."""
        token = new_token()
        begun = SessionRow(str(uuid.uuid4()), hash_token(token), approver_id, client[:_CLIENT_LENGTH])
        transaction.sign_ins.begin(begun, transaction.now, self.limits)
        return token

    def note_use(self, holder: Holder) -> None:
        """Have the use of this session, if it is one, noted soon."""
        if holder.session_id is not None and time.time() - holder.used >= self._interval:
            self._waiting.add(holder.session_id)
            self._awake.set()

    async def run(self, database: DatabaseThreads) -> None:
        """Write what was noted. Runs until it is cancelled."""
        while True:
            await self._awake.wait()
            self._awake.clear()
            used, self._waiting = self._waiting, set()
            # If the database fails, the next call notes it again.
            with suppress(RefusedError):
                await database.write(partial(_note, used))


def _note(used: set[str], transaction: Transaction) -> None:
    transaction.sign_ins.use(used, transaction.now)
