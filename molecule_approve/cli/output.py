"""The only writer: results on stdout, messages on stderr. Callers make foreign text visible first."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, TextIO

from molecule_approve.errors import ApprovalError, DeliveryError
from molecule_approve.safe_text import json_line, visible

from . import terminal
from .terminal import folded

if TYPE_CHECKING:
    from molecule_approve.model import Failure, JsonValue

PROGRAM = "molecule-approve"

is_terminal = terminal.is_terminal


def prepare() -> None:
    """Make both streams escape characters that the terminal's encoding lacks."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


def at_terminal() -> bool:
    """Whether stdin and stderr are terminals, so that questions can be asked and answered."""
    return is_terminal(sys.stdin) and is_terminal(sys.stderr)


def answer(line: str, *, foreign: bool = False) -> None:
    """One line on stdout, flushed.

    Where ``foreign`` text, from elsewhere, stands in it, a window's rows are ours to make. Other lines are left whole, for
    people copy them.

    Raises:
        DeliveryError: stdout cannot be written.
    """
    with _stdout() as stream:
        stream.write(f"{folded(line, stream) if foreign else line}\n")
        stream.flush()


def done(line: str) -> None:
    """The same for work that is done: if stdout cannot be written, stderr says so, and nothing else changes."""
    try:
        answer(line)
    except DeliveryError as exc:
        complain(exc)


def raw_bytes(data: bytes) -> None:
    """Bytes on stdout as they are, flushed: a file's own lines, in whatever encoding they are.

    Raises:
        DeliveryError: stdout cannot be written.
    """
    with _stdout() as stream:
        left = memoryview(data)
        while left:  # unbuffered (PYTHONUNBUFFERED), a signal that goes by cuts a write short
            left = left[stream.buffer.write(left) :]
        stream.flush()


@contextlib.contextmanager
def _stdout() -> Iterator[TextIO]:
    stream = sys.stdout
    try:
        if stream is None:
            raise ValueError
        yield stream
    except (OSError, ValueError) as exc:
        _silence(stream)
        why = exc.strerror if isinstance(exc, OSError) else "stdout is closed"
        raise DeliveryError(f"cannot write to stdout: {why}") from exc


def _silence(stream: TextIO | None) -> None:
    """Discard the stream's buffer, which would be written again when it is closed."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        target = stream.fileno()  # type: ignore[union-attr]  # None has none, and needs nothing
        sink = os.open(os.devnull, os.O_WRONLY)
        os.dup2(sink, target)
        os.close(sink)


def answer_json(value: JsonValue) -> None:
    """One JSON value on one line of stdout."""
    answer(json_line(value))


def talk(line: str) -> None:
    """One line on stderr, left whole, for people copy it; that it cannot be written changes nothing."""
    write_talk(f"{line}\n")


def say(sentence: str) -> None:
    """One of our own sentences on stderr, after our name. It may tell of text from elsewhere: a window's rows are ours."""
    talk(fitted(f"{PROGRAM}: {sentence}"))


def fitted(line: str) -> str:
    """The line in rows that fit the window of stderr, if it is shown in one."""
    return folded(line, sys.stderr)


def write_talk(text: str) -> None:
    """Text on stderr as it is, flushed; for a terminal's live line."""
    with contextlib.suppress(DeliveryError):
        confide(text)


def confide(text: str) -> None:
    """The same for a secret that is shown once; the caller revokes it on an error.

    Raises:
        DeliveryError: stderr cannot be written.
    """
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except (OSError, ValueError, AttributeError) as exc:
        raise DeliveryError("cannot write to stderr, where a secret is shown once") from exc


def complain(error: ApprovalError | Failure, label: str = "") -> None:
    """An error on stderr: one sentence, and the hint on a line of its own."""
    say(f"{label}{visible(error.message)}")
    if error.hint:
        say(f"hint: {visible(error.hint)}")
