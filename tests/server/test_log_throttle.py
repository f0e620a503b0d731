"""What the libraries log: each kind once a minute, with a count."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from molecule_approve.server.log_throttle import LogThrottle, throttled_logs

if TYPE_CHECKING:
    import pytest


def test_a_kind_is_told_once_a_minute_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    """Whatever else is told meanwhile; the next one says how many were not."""
    now = [0.0]
    logger, one = logging.getLogger("a library"), LogThrottle(lambda: now[0])
    logger.addFilter(one)
    try:
        for at in (0.0, 1.0, 59.9, 60.0, 120.0):
            now[0] = at
            logger.warning("it fails: %d", at)
            logger.warning("another")
    finally:
        logger.removeFilter(one)
    assert [message for message in caplog.messages if "fails" in message] == [
        "it fails: 0",
        "it fails: 60 (2 more were not logged)",
        "it fails: 120",
    ]


def test_the_limit_of_open_files_is_a_sentence(caplog: pytest.LogCaptureFixture) -> None:
    """The library says it each second with a stack; a refused handshake, which is no fault, is not told at all."""
    logger = logging.getLogger("asyncio")
    before = list(logger.filters)  # a server that other tests share runs here, too
    with throttled_logs():
        for _ in range(3):
            logger.error("socket.accept() out of system resource\nsocket: ...", exc_info=OSError(24, "Too many open files"))
        logging.getLogger("uvicorn.error").error("ASGI callable returned without completing handshake.")
    assert caplog.messages == ["cannot accept connections: the limit of open files is reached (ulimit -n)"]
    assert caplog.records[0].exc_info is None
    assert logger.filters == before
