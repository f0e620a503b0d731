"""Runs an approved command at most once: recorded, checked once more, started, waited for."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Protocol

from molecule_approve.errors import ChangedError, ours
from molecule_approve.executions import Executed, Execution
from molecule_approve.model import Failure, Verdict

from .compose import sendable

if TYPE_CHECKING:
    from .binding import Binding
    from .records import Recorder

RESTORED = (signal.SIGPIPE, signal.SIGXFSZ)
"""Python ignores these, and a command must not inherit that."""


class Launcher(Protocol):
    """Starts a command; cli/child.py and api.py have one each."""

    @property
    def replaces(self) -> bool:
        """Whether the command replaces this process."""

    def check(self) -> None:
        """Raise an error if nobody waits for the command any more, or a signal came."""

    def announce(self, execution: Execution) -> None:
        """Tell, before it starts, that it starts.

        Raises:
            DeliveryError: it cannot be told, so nothing may start.
        """

    def start(self, executable: str, arguments: tuple[str, ...], environ: dict[str, str]) -> Callable[[], int]:
        """Start the command; what is returned waits for it, and gives its exit code, or minus the signal that ended it.

        Raises:
            OSError: it could not be started.
        """


def execute(binding: Binding, verdict: Verdict, recorder: Recorder, launcher: Launcher) -> Execution:
    """Run the command of an approval that this attempt has redeemed and recorded.

    Returns what became of it; whatever fails before the command starts means that nothing ran.
    """
    execution = Execution(Executed.NO, binding.command.digest)
    try:
        launcher.check()
        if binding.is_touched():  # most changes are found before a start is recorded
            _check(binding)
        pause = partial(_pause, launcher)
        recorder.record_started(verdict.approval_id, binding.command, pause, replaces=launcher.replaces)
        execution = execution._replace(executed=Executed.STARTED)
        _check(binding)
        launcher.announce(execution)
        wait = _start(binding, verdict, launcher)
    except Exception as exc:  # noqa: BLE001 - a fault of ours, too, is recorded and reported
        failure = ours(exc)
        recorder.record_refused(verdict.approval_id, execution.digest, failure)
        return execution._replace(error=Failure.of(failure))
    try:
        status = wait()
    except Exception as exc:  # noqa: BLE001 - it has started, and that is all that is known
        return execution._replace(error=Failure.of(ours(exc)))
    finished = execution._replace(
        executed=Executed.FINISHED,
        child_exit_code=status if status >= 0 else 128 - status,
        child_signal=-status if status < 0 else None,
    )
    recorder.record_finished(verdict.approval_id, finished)
    return finished


def _pause(launcher: Launcher, seconds: float) -> None:
    time.sleep(seconds)
    launcher.check()


def _check(binding: Binding) -> None:
    changes = binding.changes()
    if changes:
        raise ChangedError(
            f"what was approved has changed: {'; '.join(changes)}", hint="nothing was run; request it again as it is now"
        )


def _start(binding: Binding, verdict: Verdict, launcher: Launcher) -> Callable[[], int]:
    by = sendable(verdict.decided_by or "")  # a name from elsewhere, which no variable may be able to hold
    who = {"MOLECULE_APPROVAL_ID": verdict.approval_id or "", "MOLECULE_APPROVED_BY": by}
    try:
        return launcher.start(binding.executable, binding.command.arguments, {**binding.environ, **who})
    except OSError as exc:
        raise ChangedError(
            f"the approved command could not be started: {exc.strerror}", hint="nothing was run; the approval is used up"
        ) from exc
