"""What stops an attempt from outside: signals, and the loss of every reader. The gate knows it as its Stop."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import threading
import time
from functools import partial
from typing import TYPE_CHECKING

from molecule_approve import signals
from molecule_approve.clock import boottime
from molecule_approve.errors import Interrupted

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType, TracebackType

LOOK = 2.0
"""Seconds between checks for a reader."""

REPEAT = 0.1
"""Seconds after which a signal that has had no effect is sent again."""

_WORDS = {
    signal.SIGINT: "stopped by Ctrl-C (SIGINT)",
    signal.SIGTERM: "stopped by SIGTERM",
    signal.SIGHUP: "stopped by SIGHUP",
}


class Audience:
    """Who will read the verdict: the reader of stdout and stderr, and the process that started us."""

    def __init__(self, descriptors: tuple[int, ...] = (1, 2)) -> None:
        self._parent = os.getppid()
        self._descriptors = tuple(fd for fd in descriptors if _is_open(fd))

    @classmethod
    def expected(cls) -> Audience | None:
        """The audience; None where nohup or a shell said that this job outlives whoever started it."""
        return None if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else cls()

    def gone(self) -> str | None:
        """Why nobody will read the verdict, or None while somebody may."""
        if os.getppid() != self._parent:
            return "the process that started this one is gone"
        poller = select.poll()
        for descriptor in self._descriptors:
            poller.register(descriptor, 0)  # POLLERR and POLLHUP are told whether asked for or not
        if any(event & (select.POLLERR | select.POLLHUP) for _, event in poller.poll(0)):
            return "the reader of the output is gone"
        return None


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


class Repeater:
    """Sends a signal again as long as it has had no effect. There are two ways in which a first one gets lost.

    Python's own handler, in C, only takes a note, which is read between two steps of the program: a system call that
    begins in between waits to its timeout. And what our handler raises is swallowed where Python happens to be in a
    finalizer or a weak reference's callback, which imports are full of.
    """

    def __init__(self, handler: Callable[[int, FrameType | None], None]) -> None:
        self._handler = handler
        self._taken = threading.Event()
        self._numbers, note = os.pipe()
        os.set_blocking(note, False)
        signal.set_wakeup_fd(note, warn_on_full_buffer=False)
        # No thread to be had: then a signal has the effect that Python gives it.
        with contextlib.suppress(RuntimeError), signals.held():
            threading.Thread(target=self._repeat, daemon=True).start()

    def taken(self) -> None:
        """The signal has had its effect."""
        self._taken.set()

    def _repeat(self) -> None:
        number = self._first()
        # Only to that handler: to the system's own it would mean something else.
        while number and not self._taken.wait(REPEAT) and signal.getsignal(number) == self._handler:
            signal.pthread_kill(threading.main_thread().ident or 0, number)

    def _first(self) -> int:
        """The first signal that is ours; 0 if the other end is closed, so that none will come."""
        while found := os.read(self._numbers, 1):
            if found[0] in _WORDS:
                return found[0]
        os.close(self._numbers)
        return 0


class SignalStop:
    """Signals as an exception, but only where it may be raised; elsewhere it waits for the next check.

    The first signal counts. No further one is raised while the request is withdrawn, which takes two seconds at most.
    """

    def __init__(self, audience: Audience | None) -> None:
        self._audience = audience
        self._stopped: Interrupted | None = None
        self._raised = False
        self._open = False
        self._deserted = False
        self._next_look = boottime() + LOOK
        self._repeater: Repeater | None = None

    def install(self) -> None:
        """Take the signals over; one that was ignored at the start stays ignored."""
        for signum in _WORDS:
            if signal.getsignal(signum) is not signal.SIG_IGN:
                signal.signal(signum, self._on_signal)
        self._repeater = Repeater(self._on_signal)
        _hide_swallowed()

    def _on_signal(self, signum: int, frame: FrameType | None) -> None:
        if self._stopped is None:
            self._stopped = Interrupted(signum, _WORDS[signal.Signals(signum)])
        if self._open and not self._raised and not _at_the_border(frame):
            raise self._stopped  # it counts as raised once it leaves the region: on its way there it may be swallowed

    def _raise_if_stopped(self) -> None:
        if self._stopped is not None and not self._raised:
            self._raised_now()
            raise self._stopped

    def _raised_now(self) -> None:
        self._open = False
        self._raised = True
        if self._repeater is not None:
            self._repeater.taken()

    @property
    def signalled(self) -> Interrupted | None:
        """The signal that stopped us, if one did; the loss of every reader is not one."""
        return None if self._deserted else self._stopped

    @property
    def stopped(self) -> Interrupted | None:
        """What stopped us, if anything did, raised or not."""
        return self._stopped

    def check(self) -> None:
        """Raise Interrupted if a signal came, or if nobody reads the verdict; see the gate's Stop."""
        if self._stopped is None and boottime() >= self._next_look:
            self._next_look = boottime() + LOOK
            self.look()
        self._raise_if_stopped()

    def look(self) -> None:
        """Check now for a reader; without one this is a SIGHUP."""
        gone = self._audience.gone() if self._audience is not None else None
        if gone is not None and self._stopped is None:
            self._deserted = True
            self._stopped = Interrupted(signal.SIGHUP, f"nobody reads the verdict: {gone}")

    def open(self) -> SignalStop:
        """A region in which Interrupted may be raised at any point."""
        return self

    def __enter__(self) -> None:
        # In this order: a signal between the two lines is seen by the second.
        self._open = True
        self._raise_if_stopped()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._open = False
        if self._stopped is not None and _is_behind(self._stopped, error):
            self._raised_now()
            if error is not self._stopped:
                raise self._stopped from None

    def sleep(self, seconds: float) -> None:
        """Pause; a signal ends it at once."""
        self.check()
        with self:
            time.sleep(seconds)


def _hide_swallowed() -> None:
    """Print no traceback if Python swallows a signal's exception, in a finalizer for one: the signal is sent again."""
    report = sys.unraisablehook
    if not (isinstance(report, partial) and report.func is _report_others):
        sys.unraisablehook = partial(_report_others, report)


def _report_others(report: Callable[[sys.UnraisableHookArgs], object], found: sys.UnraisableHookArgs) -> None:
    if not isinstance(found.exc_value, Interrupted):
        report(found)


def _is_behind(stopped: Interrupted, error: BaseException | None) -> bool:
    """Whether this error is the signal, or came of it.

    What is interrupted may fail while it cleans up: threading's Condition then releases a lock that it has not.
    """
    while error is not None and error is not stopped:
        error = error.__context__
    return error is stopped


def _at_the_border(frame: FrameType | None) -> bool:
    """Whether a signal met one of the few steps into a region or out of it.

    What is raised there never comes through ``__exit__``: the region would stay open, and the signal be raised again in
    the middle of withdrawing the request. It is seen by the next step, by the next check, or sent again.
    """
    while frame is not None and frame.f_code not in _BORDER:
        frame = frame.f_back  # a step may have called something, or a tracer may stand on top of it
    return frame is not None


_BORDER = frozenset(
    step.__code__
    for step in (SignalStop.__enter__, SignalStop.__exit__, SignalStop._raise_if_stopped, SignalStop._raised_now)  # noqa: SLF001 - its own
)
