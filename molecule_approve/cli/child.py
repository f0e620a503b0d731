"""Starts the approved command and stays its parent: its signals, its stops and its end reach the right process.

The command has our process group, terminal and streams. What the terminal sends (Ctrl-C, a new size) reaches it
without us; what another process sends to us alone is passed on.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from molecule_approve.gate.execution import RESTORED

if TYPE_CHECKING:
    from signal import Signals

_PASSED_ON = (
    signal.SIGINT,
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGWINCH,
    signal.SIGTSTP,
    signal.SIGCONT,
)

_ENDING = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT}

_FROM_KERNEL = 0x80
"""``si_code`` of a signal from the kernel, which the terminal sends to the whole process group (SI_KERNEL)."""

TICK = 0.5
"""Seconds after which the command is looked at without a signal: in a program with threads another may have taken it."""


class Child:
    """The signals of this process from just before the command starts until its end.

    Made before the command is checked: a signal that comes meanwhile is kept, and stops the start or reaches the command.
    """

    def __init__(self) -> None:
        self._watched: set[Signals] = {number for number in _PASSED_ON if signal.getsignal(number) is not signal.SIG_IGN}
        self._before = signal.pthread_sigmask(signal.SIG_BLOCK, self._watched)
        self._adopts = os.getpid() == 1
        self._pid = 0

    def release(self) -> None:
        """Nothing was started, or it has ended: signals have their usual effect again, but for those that came too late."""
        list(self._taken(self._watched))
        signal.pthread_sigmask(signal.SIG_SETMASK, self._before)

    def ending_signal(self) -> Signals | None:
        """A signal that came and would have ended the command; it is taken."""
        return next(self._taken(self._watched & _ENDING), None)

    @staticmethod
    def _taken(numbers: set[Signals]) -> Iterator[Signals]:
        while (received := signal.sigtimedwait(numbers, 0)) is not None:
            yield signal.Signals(received.si_signo)

    def start(self, executable: str, arguments: tuple[str, ...], environ: Mapping[str, str]) -> Callable[[], int]:
        """Start the command; what is returned waits for its end.

        Raises:
            OSError: it could not be started.
        """
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # who ignores it never learns how a process ended
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
        self._pid = os.posix_spawn(executable, arguments, environ, setsigmask=self._before, setsigdef=RESTORED)
        for number in self._taken(self._watched):  # it may have come before there was a command
            self._send(number)
        return self._wait

    def replace(self, executable: str, arguments: tuple[str, ...], environ: Mapping[str, str]) -> NoReturn:
        """Become the command.

        Raises:
            OSError: it could not be started.
        """
        for number in (*self._watched, *RESTORED):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, self._before)  # what came meanwhile ends us as it would the command
        os.execve(executable, arguments, environ)  # noqa: S606 - without a shell is what was approved

    def _wait(self) -> int:
        while (status := self._ended()) is None:
            received = signal.sigtimedwait({*self._watched, signal.SIGCHLD}, TICK)
            if received is not None and received.si_signo != signal.SIGCHLD:
                self._pass_on(received.si_signo, received.si_code)
        return os.waitstatus_to_exitcode(status)

    def _pass_on(self, number: int, code: int) -> None:
        # A hangup from the kernel goes to the session's leader alone, which may be us.
        to_us_alone = code != _FROM_KERNEL or (number == signal.SIGHUP and os.getsid(0) == os.getpid())
        if to_us_alone:
            self._send(number)

    def _send(self, number: int) -> None:
        with contextlib.suppress(PermissionError):  # it has become another user
            os.kill(self._pid, number)  # nobody has waited for it yet, so the id is still its own

    def _ended(self) -> int | None:
        """The command's wait status, once it has ended; as a container's first process, reap all others too."""
        we_came_back = False
        while True:
            pid, status = os.waitpid(-1 if self._adopts else self._pid, os.WNOHANG | os.WUNTRACED | os.WCONTINUED)
            if pid == 0:
                if we_came_back:  # and nothing has happened to the command since it stopped: somebody continued us alone
                    self._send(signal.SIGCONT)
                return None
            if pid == self._pid and os.WIFSTOPPED(status):
                we_came_back = self._stop_too(os.WSTOPSIG(status))
            elif pid == self._pid and not os.WIFCONTINUED(status):
                return status
            else:
                we_came_back = False

    def _stop_too(self, number: int) -> bool:
        """Stop with the command (Ctrl-Z), so that the shell that started us takes the terminal back; True once continued."""
        if number == signal.SIGSTOP or not _is_stopped(self._pid):
            return False
        os.kill(os.getpid(), signal.SIGSTOP)
        signal.sigtimedwait({signal.SIGCONT}, 0)  # the shell has sent it to the command too
        return True


def _is_stopped(pid: int) -> bool:
    """Whether the process is still stopped (proc(5): the state follows the name in parentheses)."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
