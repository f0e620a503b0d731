"""The only writer: stdout is the answer, stderr is talk. What came from elsewhere is made visible before it gets here."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, TextIO

from molecule_approve.errors import ApprovalError, DeliveryError
from molecule_approve.safe_text import json_line, visible

if TYPE_CHECKING:
    from molecule_approve.model import Failure, JsonValue

PROGRAM = "molecule-approve"


def prepare() -> None:
    """Make both streams write what they can: a character that the terminal's encoding lacks becomes an escape."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


def is_terminal(stream: TextIO | None) -> bool:
    """Whether somebody sits there; a stream that is closed or missing is none."""
    try:
        return stream is not None and stream.isatty()
    except ValueError:
        return False


def at_terminal() -> bool:
    """Whether stdin and stderr are terminals, so that questions can be asked and answered."""
    return is_terminal(sys.stdin) and is_terminal(sys.stderr)


def answer(line: str) -> None:
    """One line on stdout, flushed.

    Raises:
        DeliveryError: nobody can read it.

    """
    raw(f"{line}\n")


def raw(text: str) -> None:
    """Text on stdout as it is, flushed.

    Raises:
        DeliveryError: nobody can read it.

    """
    try:
        if sys.stdout is None:
            raise DeliveryError("the answer could not be told: stdout is closed", hint="use --result-file")
        sys.stdout.write(text)
        sys.stdout.flush()
    except (OSError, ValueError) as exc:
        _silence(sys.stdout)
        why = exc.strerror if isinstance(exc, OSError) else "stdout is closed"
        raise DeliveryError(f"the answer could not be told: {why}", hint="use --result-file") from exc


def raw_bytes(data: bytes) -> None:
    """Bytes on stdout as they are, flushed: a file's own lines, in whatever encoding they are.

    Raises:
        DeliveryError: nobody can read them.

    """
    try:
        if sys.stdout is None:
            raise DeliveryError("the answer could not be told: stdout is closed")
        sys.stdout.buffer.write(data)
        sys.stdout.flush()
    except (OSError, ValueError) as exc:
        _silence(sys.stdout)
        why = exc.strerror if isinstance(exc, OSError) else "stdout is closed"
        raise DeliveryError(f"the answer could not be told: {why}") from exc


def _silence(stream: TextIO) -> None:
    """What could not be written must not be tried again when the stream is closed."""
    try:
        sink = os.open(os.devnull, os.O_WRONLY)
        os.dup2(sink, stream.fileno())
        os.close(sink)
    except (OSError, ValueError):
        pass


def answer_json(value: JsonValue) -> None:
    """One JSON value on one line of stdout."""
    answer(json_line(value))


def talk(line: str) -> None:
    """One line on stderr. Talk that nobody hears changes nothing."""
    try:
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()
    except (OSError, ValueError, AttributeError):
        pass


def complain(error: ApprovalError | Failure, label: str = "") -> None:
    """An error on stderr: one sentence, and the hint on a line of its own."""
    talk(f"{PROGRAM}: {label}{visible(error.message)}")
    if error.hint:
        talk(f"{PROGRAM}: hint: {visible(error.hint)}")
