"""A gate in a thread, for callers other than the command line: what stops it, and how its failure is told."""

from __future__ import annotations

import contextlib
import re
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from .errors import ApprovalError, Interrupted, ours
from .model import Failure, Outcome, Verdict

if TYPE_CHECKING:
    from .client.platform import Platform


def thread() -> ThreadPoolExecutor:
    """A thread for one call: in a shared pool a few long waits would block all other calls."""
    return ThreadPoolExecutor(1, "molecule-approve")


class ThreadStop:
    """The gate's Stop for a caller in another thread."""

    def __init__(self) -> None:
        self._pulled = threading.Event()
        self._raised = False
        self._why = ""
        self._platform: Platform | None = None
        self._interrupting = threading.Lock()

    def watch(self, platform: Platform) -> None:
        """Set the platform whose call in progress is interrupted."""
        self._platform = platform

    def pull(self, why: str = "the call was cancelled") -> None:
        """Stop the gate, from another thread, at once; the audit log and the verdict say why."""
        with self._interrupting:
            self._why = self._why or why
            self._pulled.set()
            if self._platform is not None:
                self._platform.interrupt()

    def check(self) -> None:
        """Raise Interrupted, once, after a pull."""
        if self._pulled.is_set() and not self._raised:
            with self._interrupting:  # what withdraws the request afterwards must not be interrupted
                self._raised = True
            raise Interrupted(signal.SIGTERM, self._why)

    @contextlib.contextmanager
    def open(self) -> Iterator[None]:
        """A call that fails because it was interrupted is a stop, not a failure of the platform."""
        self.check()
        try:
            yield
        except ApprovalError:
            self.check()
            raise
        self.check()

    def sleep(self, seconds: float) -> None:
        """Sleep; a pull ends it at once."""
        self._pulled.wait(seconds)
        self.check()


_OPTION = re.compile(r"(?<!\S)--([a-z]+(?:-[a-z]+)*)(?=[:\s]|$)")


def _in_arguments(text: str) -> str:
    """The message with argument names in place of options."""
    return _OPTION.sub(lambda found: f"{found[1].replace('-', '_')}=", text)


def failed(action: object, error: Exception) -> Verdict:
    """The verdict of a call that failed before there was a gate; its error names arguments, and no option."""
    failure = ours(error)
    shown = action if isinstance(action, str) else None
    told = Failure(failure.kind, _in_arguments(failure.message), _in_arguments(failure.hint))
    return Verdict(Outcome.FAILED, action=shown, error=told)
