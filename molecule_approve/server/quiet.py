"""What the libraries below us log: each kind once a minute, so that no peer can fill a disk with it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from molecule_approve.clock import Clock, boottime

from .limits import MINUTE

_NO_DESCRIPTOR = "socket.accept() out of system resource"


class Quiet(logging.Filter):
    """Lets one record of a kind through in a minute; the next one says how many were not told."""

    def __init__(self, clock: Clock = boottime) -> None:
        super().__init__()
        self._clock = clock
        self._told: dict[str, tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is told."""
        kind, now = str(record.msg).partition("\n")[0], self._clock()
        # It is said of each handshake that we refuse, and any web page can make those.
        if "returned without completing handshake" in kind:
            return False
        at, missed = self._told.get(kind, (now - MINUTE, 0))
        if now - at < MINUTE:
            self._told[kind] = (at, missed + 1)
            return False
        self._told[kind] = (now, 0)
        if kind == _NO_DESCRIPTOR:
            kind, record.exc_info = (
                "no connection can be taken just now: the limit of open files is reached (ulimit -n)",
                None,
            )
            record.msg, record.args = kind, ()
        if missed:
            record.msg, record.args = f"{record.getMessage()} ({missed} more since the last time)", ()
        return True


@contextmanager
def quiet() -> Iterator[None]:
    """Keep uvicorn and asyncio quiet inside this block."""
    one, loggers = Quiet(), [logging.getLogger(name) for name in ("uvicorn.error", "asyncio")]
    for logger in loggers:
        logger.addFilter(one)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(one)
