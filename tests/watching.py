"""What coverage watches: what the tests themselves run, and a server's threads in the server's own tests alone.

What the package does when it is imported is watched in one process for all. So this module is the first that the conftest
imports: what it imports afterwards is watched in that process only.
"""

from __future__ import annotations

import importlib
import os
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from _typeshed import TraceFunction

    _Event = Literal["call", "line", "return", "exception", "opcode"]

_SERVERS_THREADS = ("embedded-server", "server-")
"""How the names of a server's threads begin."""


_FOREIGN = ("alembic", "httpx", "sqlalchemy", "typer", "uvicorn")
"""What the package imports, and loads for long: three times as long under watch."""


class Watch:
    """Who watches the tests for coverage; pytest's own work, which takes three times as long under watch, is not watched."""

    tracer: TraceFunction | None = sys.gettrace()


@contextmanager
def watched() -> Iterator[None]:
    """Coverage watches this thread."""
    before = sys.gettrace()
    sys.settrace(Watch.tracer)
    try:
        yield
    finally:
        sys.settrace(before)


@contextmanager
def unwatched() -> Iterator[None]:
    """Coverage looks away, in the threads that begin, too."""
    tracer, of_threads, watch = sys.gettrace(), threading.gettrace(), Watch.tracer
    sys.settrace(None)
    threading.settrace(None)
    Watch.tracer = None
    try:
        yield
    finally:
        Watch.tracer = watch
        threading.settrace(of_threads)
        sys.settrace(tracer)


@contextmanager
def servers_unwatched() -> Iterator[None]:
    """Coverage looks away from the threads of servers that begin: the server's own tests run every line of theirs."""
    of_threads = threading.gettrace()

    def others(frame: FrameType, event: _Event, arg: object) -> TraceFunction | None:
        if threading.current_thread().name.startswith(_SERVERS_THREADS):
            sys.settrace(None)
            return None
        assert of_threads is not None
        return of_threads(frame, event, arg)

    if of_threads is not None:
        threading.settrace(others)
    try:
        yield
    finally:
        threading.settrace(of_threads)


def load_unwatched(*libraries: str) -> None:
    """Import libraries that load for long."""
    with unwatched():
        for library in libraries:
            importlib.import_module(library)


def imports_are_watched() -> bool:
    """Whether this is the process that measures them."""
    return Watch.tracer is not None and os.environ.get("PYTEST_XDIST_WORKER", "gw0") == "gw0"


if imports_are_watched():
    load_unwatched(*_FOREIGN)
else:
    sys.settrace(None)
