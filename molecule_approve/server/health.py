"""Whether the server runs, whether calls should be sent to it, and its numbers: the routes for machines that watch it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from starlette.responses import PlainTextResponse, Response

from .metrics import CONTENT_TYPE
from .origins import CALLED
from .refusals import RefusedError, refused
from .senders import SENDER

if TYPE_CHECKING:
    from starlette.requests import Request

    from .database.transaction import Transaction
    from .metrics import Numbers
    from .origins import CalledAddress
    from .plan import Network
    from .senders import Sender
    from .threads import DatabaseThreads

_FRESH = 1.0
"""Seconds for which the answer about the database holds: whoever asks more often causes no work there."""


@dataclass(slots=True)
class Health:
    """The handlers. They are not counted: a probe that is refused would restart the server.

    Attributes:
        scrapers: the networks that may read ``/metrics``, beside this machine.
        clock: monotonic, in seconds.
        draining: whether the server is about to stop.
    """

    database: DatabaseThreads
    numbers: Numbers
    scrapers: tuple[Network, ...]
    clock: Callable[[], float]
    draining: bool = False
    _asked: float | None = None
    _answers: bool = False
    _asking: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def live(self, _request: Request) -> Response:
        """``GET /healthz``: whether the server runs."""
        return PlainTextResponse("ok\n")

    async def ready(self, _request: Request) -> Response:
        """``GET /readyz``: whether it should get calls: its database answers, and it is not about to stop."""
        if self.draining:
            return PlainTextResponse("stopping\n", 503, {"Retry-After": "1"})
        if not await self._database_answers():
            return PlainTextResponse("the database does not answer\n", 503, {"Retry-After": "1"})
        return PlainTextResponse("ready\n")

    async def _database_answers(self) -> bool:
        async with self._asking:
            if self._asked is None or self.clock() - self._asked >= _FRESH:
                try:
                    self.numbers.pending.set(await self.database.read(_count_pending))
                    self._answers = True
                except RefusedError:
                    self._answers = False
                self._asked = self.clock()
            return self._answers

    async def metrics(self, request: Request) -> Response:
        """``GET /metrics``: the server's numbers, for this machine and the networks that may read them."""
        sender: Sender = request.scope[SENDER]
        called: CalledAddress | None = request.scope.get(CALLED)
        # Whoever calls the public address comes through a proxy, whether that says so or not.
        local = sender.is_local and called is not None and not called.is_public
        if not local and not sender.is_in(self.scrapers):
            raise refused(403, "metrics are read on the server's machine, or from a network in metrics_from", "forbidden")
        await self._database_answers()
        return Response(self.numbers.text(), media_type=CONTENT_TYPE)


def _count_pending(transaction: Transaction) -> int:
    return transaction.requests.count_pending(None)
