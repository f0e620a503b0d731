"""Questions at the terminal. Only text typed after the question was shown is an answer: nothing is decided by accident."""

from __future__ import annotations

import os
import sys
import termios

from molecule_approve.errors import Interrupted

from . import output


def ask(question: str) -> str | None:
    """A line from the person at the terminal, without its end; None if the input has ended, or the terminal is gone.

    Text typed before the question was shown is discarded.
    """
    try:
        termios.tcflush(sys.stdin.fileno(), termios.TCIFLUSH)
        output.write_talk(question)
        line = _line(sys.stdin.fileno())
    except (OSError, termios.error):
        return None
    except Interrupted:
        output.talk("")  # end the question's line
        raise
    if line.endswith(b"\n"):
        return line[:-1].decode("utf-8", "surrogateescape").strip()
    output.talk("")
    return None


def _line(descriptor: int) -> bytes:
    """Up to the end of the line or of the input, unbuffered: a buffer of ours could not be flushed."""
    line = b""
    while not line.endswith(b"\n"):
        byte = os.read(descriptor, 1)
        if not byte:
            break
        line += byte
    return line
