"""The one answer of a hook, said once: by the command, or by the watchdog where the command is stuck."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Self, TextIO

from molecule_approve.cli import output
from molecule_approve.errors import DeliveryError
from molecule_approve.integrations.hooks.interface import BLOCKED
from molecule_approve.safe_text import visible

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from molecule_approve.clock import Deadline
    from molecule_approve.integrations.hooks.interface import HookAnswer, Host, ToolCall

LONGEST = 2_000
"""Characters of a reason: the answer stays below 4,096 bytes, which a pipe takes as a whole or not at all."""

_TURN = 0.5
"""Seconds that the watchdog waits for an answer that is being written."""


class Reply:
    """What the host is told.

    Attributes:
        stream: where its answer goes; None where stdout was closed from the start.
        call: the tool call, once it is known.
    """

    def __init__(self, host: Host, stream: TextIO | None) -> None:
        self.stream = stream
        self.call: ToolCall | None = None
        self._host = host
        self._said = False
        self._turn = threading.Lock()

    def say(self, answer: HookAnswer) -> None:
        """Write the answer, unless there was one.

        Raises:
            DeliveryError: it cannot be written, or a no was said before.
        """
        with self._turn:
            if self._said:
                raise DeliveryError("the host was told no already")
            self._write(answer)

    def deny(self, reason: str, *, quiet: bool = False, patience: float = -1) -> int:
        """Say no, unless there was an answer, and return the exit code that blocks. Never raises.

        Args:
            reason: why, for the agent and its user.
            quiet: stderr tells it already.
            patience: seconds to wait for another thread that writes; negative for as long as it takes.
        """
        shown = visible(reason)
        answer = self._host.deny(f"{output.PROGRAM}: {shown[:LONGEST]}", self.call)
        if self._turn.acquire(timeout=patience):
            try:
                if not self._said:
                    self._write(answer)
            except DeliveryError:
                pass  # the exit code and stderr block as well
            finally:
                self._turn.release()
        if not quiet:  # also where stdout is stuck: some hosts make the call after an exit code that says nothing
            output.talk(answer.stderr)
        return BLOCKED

    def _write(self, answer: HookAnswer) -> None:
        self._said = True
        try:
            if self.stream is None:
                raise ValueError
            self.stream.write(f"{answer.stdout}\n" if answer.stdout else "")
            self.stream.flush()
        except (OSError, ValueError) as exc:
            why = exc.strerror if isinstance(exc, OSError) else "it is closed"
            raise DeliveryError(f"cannot write to stdout: {why}") from exc


class Watchdog:
    """Says no and ends the process where the command is stuck: in a disk, a name server or an import that hangs."""

    def __init__(self, reply: Reply, end: Deadline, leave: Callable[[int], object] = os._exit) -> None:
        self.end = end
        self._reply = reply
        self._leave = leave
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._done.set()

    def _watch(self) -> None:
        while not self.end.passed():
            # The clock of the deadline goes on while the machine sleeps, that of the wait does not.
            if self._done.wait(min(1.0, self.end.left())):
                return
        self._leave(self._reply.deny("the hook was stuck, and ended before the host would have ignored it", patience=_TURN))
