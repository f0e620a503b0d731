"""The server's log: one line an event, as text or as JSON, written by a thread so that no call waits for who reads it."""

from __future__ import annotations

import logging
import queue
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from molecule_approve.safe_text import json_line, visible, visible_lines

from .database.values import epoch_text

if TYPE_CHECKING:
    from molecule_approve.model import JsonValue

EVENTS = logging.getLogger("molecule_approve.server.events")
"""Events that the server's own users cause."""

STRANGERS = logging.getLogger("molecule_approve.server.strangers")
"""Events that anybody can cause, and that are therefore throttled."""

FIELDS = "molecule_fields"
"""The attribute of a log record with the fields of an event."""

_QUEUE = 10_000
"""Lines that wait to be written; when a reader takes none, further ones are dropped."""

_FAREWELL = 1.0
"""Seconds for what waits to be written at the end."""

_BARE = re.compile(r"[A-Za-z0-9._:/@+,-]+\Z")


def note(logger: logging.Logger, event: str, /, **fields: JsonValue) -> None:
    """Log an event, with those of its fields that are not None."""
    if not logger.isEnabledFor(logging.INFO):
        return
    # Not by `logger.info`, which looks for the line of code that calls it: a third of the time.
    record = logging.LogRecord(logger.name, logging.INFO, "", 0, event, None, None)
    setattr(record, FIELDS, {name: value for name, value in fields.items() if value is not None})
    logger.handle(record)


def warn(sentence: str) -> None:
    """Log a sentence about a problem."""
    EVENTS.warning("warning", extra={FIELDS: {"message": sentence}})


def inform(sentence: str) -> None:
    """Log a sentence that reports no problem."""
    note(EVENTS, "notice", message=sentence)


class LineFormatter(logging.Formatter):
    """An event as one line: its time, its name, its fields. What libraries log is an event ``log`` with its message."""

    def __init__(self, *, as_json: bool) -> None:
        super().__init__()
        self._as_json = as_json

    def format(self, record: logging.LogRecord) -> str:
        """The line, which no text from elsewhere can break or colour."""
        fields: dict[str, JsonValue] | None = getattr(record, FIELDS, None)
        time = epoch_text(record.created)
        if not self._as_json:
            return f"{time} {_event_text(record.msg, fields)}" if fields is not None else self._message(record)
        if fields is None:
            event, fields = "log", {"message": self._message(record)}
        else:
            event = record.msg
        return json_line({"time": time, "level": record.levelname.lower(), "event": event, **fields})

    def _message(self, record: logging.LogRecord) -> str:
        text = record.getMessage()
        if record.exc_info:
            text = f"{text}\n{self.formatException(record.exc_info)}"
        return text if self._as_json else "\n".join(visible_lines(text))


def _event_text(event: str, fields: dict[str, JsonValue]) -> str:
    return " ".join([event, *(f"{name}={_field_text(value)}" for name, value in fields.items())])


def _field_text(value: JsonValue) -> str:
    # A quote of a text's own must not end its field: what follows would look like fields of ours. JSON escapes it.
    if not isinstance(value, str) or '"' in value:
        return json_line(value)
    return value if _BARE.match(value) else f'"{visible(value)}"'


class _LineWriter(logging.Handler):
    """Gives lines to ``write`` from a thread. When too many wait, further ones are dropped."""

    def __init__(self, write: Callable[[str], None], formatter: LineFormatter) -> None:
        self._write = write
        self._records = queue.Queue[logging.LogRecord | None](_QUEUE)
        self._thread = threading.Thread(target=self._run, name="server-log", daemon=True)
        # Before the rest: logging closes at the end what was made of a handler, which waits for the thread.
        self._thread.start()
        super().__init__()
        self.setFormatter(formatter)

    def emit(self, record: logging.LogRecord) -> None:
        """Queue the line."""
        with suppress(queue.Full):
            self._records.put_nowait(record)

    def _run(self) -> None:
        while (record := self._records.get()) is not None:
            self._write(self.format(record))

    def close(self) -> None:
        """Write what waits, for a bounded time: nobody may read it any more."""
        with suppress(queue.Full):
            self._records.put(None, timeout=_FAREWELL)
        self._thread.join(_FAREWELL)
        super().close()


@contextmanager
def written(write: Callable[[str], None], *, as_json: bool) -> Iterator[None]:
    """Inside this block, all that is logged in this process goes to ``write``, line by line, from a thread."""
    handler, root = _LineWriter(write, LineFormatter(as_json=as_json)), logging.getLogger()
    levels = {logger: logger.level for logger in (EVENTS, STRANGERS)}
    for logger in levels:
        logger.setLevel(logging.INFO)
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)
        handler.close()
        for logger, level in levels.items():
            logger.setLevel(level)
