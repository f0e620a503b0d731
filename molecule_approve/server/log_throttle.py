"""Limits log lines that any client can cause to one of a kind a minute, so that none can fill a disk with them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from molecule_approve.clock import Clock, boottime

from .limits import MINUTE
from .log_lines import FIELDS, STRANGERS

_HOSTS = 16
"""Different hosts of which each has a line of its own in a minute. Any client can name any number of them."""

_NO_DESCRIPTOR = "socket.accept() out of system resource"


class LogThrottle(logging.Filter):
    """Passes one log record of a kind in a minute; the next one says how many were left out.

    A kind is the event, and of a refused host the host, too, as long as there are few: whoever misses something looks for
    the name that they called.
    """

    def __init__(self, clock: Clock = boottime) -> None:
        super().__init__()
        self._clock = clock
        self._last: dict[tuple[str, str | None], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the log record is passed on."""
        event, now = str(record.msg).partition("\n")[0], self._clock()
        # Logged for every handshake that we refuse, and any web page can cause those.
        if "returned without completing handshake" in event:
            return False
        kind = self._kind(event, getattr(record, FIELDS, {}).get("host"), now)
        at, missed = self._last.get(kind, (now - MINUTE, 0))
        if now - at < MINUTE:
            self._last[kind] = (at, missed + 1)
            return False
        self._last[kind] = (now, 0)
        if event == _NO_DESCRIPTOR:
            record.msg = "cannot accept connections: the limit of open files is reached (ulimit -n)"
            record.args, record.exc_info = (), None
        if missed and hasattr(record, FIELDS):
            setattr(record, FIELDS, {**getattr(record, FIELDS), "not_logged": missed})
        elif missed:
            record.msg, record.args = f"{record.getMessage()} ({missed} more were not logged)", ()
        return True

    def _kind(self, event: str, host: str | None, now: float) -> tuple[str, str | None]:
        """What the record counts as: the event of this host, or of all hosts that have no line of their own."""
        if host is None or (event, host) in self._last:
            return event, host
        hosts = [kind for kind in self._last if kind[1] is not None]
        if len(hosts) >= _HOSTS:
            oldest = min(hosts, key=lambda kind: self._last[kind][0])
            if now - self._last[oldest][0] < MINUTE:
                return event, None
            # That host may not come again, but what was left out of it stays counted.
            since, others = self._last.get((event, None), (now - MINUTE, 0))
            self._last[event, None] = since, others + self._last.pop(oldest)[1]
        return event, host


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
