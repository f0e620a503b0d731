"""Whether the server runs, whether calls should be sent to it, and its numbers: the routes for machines that watch it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .calls import Response
from .refusals import RefusedError, refused

if TYPE_CHECKING:
    from .calls import HttpCall
    from .database.transaction import Transaction
    from .metrics import Numbers
    from .plan import Network
    from .threads import DatabaseThreads

_FRESH = 1.0
"""Seconds for which the answer about the database holds: whoever asks more often causes no work there."""


@dataclass(slots=True)
class Health:
    """The handlers. They are not counted: a probe that is refused would restart the server.

    Attributes:
        scrapers: the networks that may read ``/metrics``, beside this machine.
        has_public_url: whether others reach the server, which is through a proxy of this machine if it is local.
        clock: monotonic, in seconds.
        draining: whether the server is about to stop.
    """

    database: DatabaseThreads
    numbers: Numbers
    scrapers: tuple[Network, ...]
    clock: Callable[[], float]
    has_public_url: bool = False
    draining: bool = False
    _asked: float | None = None
    _answers: bool = False
    _asking: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def live(self, _call: HttpCall) -> Response:
        """``GET /healthz``: whether the server runs."""
        return Response(b"ok\n")

    async def ready(self, _call: HttpCall) -> Response:
        """``GET /readyz``: whether it should get calls: its database answers, and it is not about to stop."""
        if self.draining:
            return Response(b"stopping\n", 503, {"Retry-After": "1"})
        if not await self._database_answers():
            return Response(b"the database does not answer\n", 503, {"Retry-After": "1"})
        return Response(b"ready\n")

    async def _database_answers(self) -> bool:
        async with self._asking:
            if self._asked is None or self.clock() - self._asked >= _FRESH:
                try:
                    self.numbers.pending = await self.database.read(_count_pending)
                    self._answers = True
                except RefusedError:
                    self._answers = False
                self._asked = self.clock()
            return self._answers

    async def metrics(self, call: HttpCall) -> Response:
        """``GET /metrics``: the server's numbers, for this machine and the networks that may read them."""
        if not self._may_read(call):
            sentence = "metrics are read on the server's Unix socket, or from a network in metrics_from"
            raise refused(403, sentence, "forbidden")
        await self._database_answers()
        text, media_type = self.numbers.text()
        return Response(text, media_type=media_type)

    def _may_read(self, call: HttpCall) -> bool:
        sender = call.sender
        if sender.is_in(self.scrapers):
            # A proxy of this machine that nobody has named has this machine's address, and somebody else's call.
            return sender.is_local or not sender.is_loopback
        # A proxy of this machine may pass neither the host nor a word about itself on: nothing tells its calls from those of
        # a program here, so where there may be one, loopback alone is no proof. Nor is the socket under the public name.
        known = sender.over_unix or not self.has_public_url
        return known and sender.is_local and not call.called.is_public


def _count_pending(transaction: Transaction) -> int:
    return transaction.requests.count_pending(None)
