"""Limits log lines that any client can cause to one of a kind a minute, so that none can fill a disk with them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from molecule_approve.clock import Clock, boottime

from .limits import MINUTE
from .log_lines import FIELDS, STRANGERS

_NO_DESCRIPTOR = "socket.accept() out of system resource"


class LogThrottle(logging.Filter):
    """Passes one log record of a kind in a minute; the next one says how many were left out."""

    def __init__(self, clock: Clock = boottime) -> None:
        super().__init__()
        self._clock = clock
        self._last: dict[str, tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the log record is passed on."""
        kind, now = str(record.msg).partition("\n")[0], self._clock()
        # Logged for every handshake that we refuse, and any web page can cause those.
        if "returned without completing handshake" in kind:
            return False
        at, missed = self._last.get(kind, (now - MINUTE, 0))
        if now - at < MINUTE:
            self._last[kind] = (at, missed + 1)
            return False
        self._last[kind] = (now, 0)
        if kind == _NO_DESCRIPTOR:
            record.msg = "cannot accept connections: the limit of open files is reached (ulimit -n)"
            record.args, record.exc_info = (), None
        if missed and hasattr(record, FIELDS):
            setattr(record, FIELDS, {**getattr(record, FIELDS), "not_logged": missed})
        elif missed:
            record.msg, record.args = f"{record.getMessage()} ({missed} more were not logged)", ()
        return True


@contextmanager
def throttled_logs() -> Iterator[None]:
    """Throttle the logs of uvicorn, asyncio and events that strangers cause inside this block."""
    throttle, loggers = LogThrottle(), [*(logging.getLogger(name) for name in ("uvicorn.error", "asyncio")), STRANGERS]
    for logger in loggers:
        logger.addFilter(throttle)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(throttle)
