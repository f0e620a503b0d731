"""The log's lock: one process or thread holds it, and those that wait for it get it in the order in which they came."""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from molecule_approve import signals
from molecule_approve.clock import Clock, Deadline
from molecule_approve.errors import AuditError

from . import files

if TYPE_CHECKING:
    from threading import Event

LOOK = 0.2
"""Seconds after which whoever waits sees whether it was stopped: a Ctrl-C may take so long."""

SILENCE = 2.0
"""Seconds of a wait after which whoever waits is told."""

_deserted: set[tuple[Path, Event]] = set()
"""Locks that a thread still waits for, although its caller gave up: nothing ends that wait, so no second one begins."""

os.register_at_fork(after_in_child=_deserted.clear)  # the threads stay behind


def nobody(_sentence: str) -> None:
    """Tell nobody."""


@contextmanager
def locked(
    log: Path, *, patience: float, pause: Callable[[float], None], clock: Clock, tell: Callable[[str], None] = nobody
) -> Iterator[None]:
    """Hold the log's lock, alone among all processes and threads.

    ``tell`` gets one sentence once the lock has been waited for :data:`SILENCE` seconds.

    Raises:
        AuditError: the lock was not free within ``patience`` seconds, or cannot be had.
        Interrupted: whatever ``pause`` raises; nothing is open then.
    """
    deadline = Deadline.after(patience, clock)
    if patience > SILENCE:
        pause = _telling(pause, Deadline.after(SILENCE, clock), partial(tell, _waiting(log, patience)))
    while True:
        files.refuse_folder(files.lock_path(log).parent)
        with ExitStack() as handles:  # with their end the locks are free
            if all(_is_taken(path, handles, deadline, pause) for path in _locks(log)):
                _move_in(log)
                yield
                return
        if deadline.passed():
            raise AuditError(
                f"cannot lock the audit log {log} within {patience:.3g} s",
                hint="another process holds the lock; look for one that is stopped or hangs",
            )


def _waiting(log: Path, patience: float) -> str:
    return f"waiting for the lock of the audit log {log}, which another process holds ({patience:.0f} s at most)"


def _telling(pause: Callable[[float], None], due: Deadline, tell: Callable[[], None]) -> Callable[[float], None]:
    """``pause``, which tells once that it is due."""
    left = [tell]

    def pausing(seconds: float) -> None:
        if left and due.passed():
            left.pop()()
        pause(seconds)

    return pausing


def _locks(log: Path) -> Iterator[Path]:
    """What is to be locked, in this order: where there is a lock of an earlier version, one may still be running."""
    yield files.lock_path(log)
    former = files.former_path(log, "lock")
    if files.exists(former):
        yield former


def _is_taken(path: Path, handles: ExitStack, deadline: Deadline, pause: Callable[[float], None]) -> bool:
    handle = files.open_for_writing(path)
    handles.callback(os.close, handle)
    handles.callback(_free, handle)
    try:
        if not _is_free(handle) and not _came_to_turn(handle, path, deadline, pause):
            return False
    except OSError as exc:
        raise files.explained(exc, "locked", path) from exc
    # Somebody may have deleted the lock file against all advice: then others lock another file of that name.
    return files.is_named(handle, path)


def _is_free(handle: int) -> bool:
    """Take the lock if nobody else has it."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _free(handle: int) -> None:
    """Free the lock, and not by closing the handle alone: a process that was forked meanwhile has it, too."""
    with suppress(OSError):
        fcntl.flock(handle, fcntl.LOCK_UN)


def _came_to_turn(handle: int, path: Path, deadline: Deadline, pause: Callable[[float], None]) -> bool:
    """Wait for the lock; False where the time was over first.

    Whoever asks again and again may never meet the moment in which the lock is free, with hundreds of others that ask, too.
    The kernel has a queue, but a call that waits in it knows no deadline: so a thread makes that call.
    """
    turn = None if any(path == waited_for for waited_for, _ in [*_deserted]) else _queued(handle, path)
    try:
        while not deadline.passed():
            if turn is None:
                pause(min(LOOK / 4, deadline.left()))
            else:
                turn.wait(min(LOOK, deadline.left()))
                pause(0)  # raises where the attempt was stopped
            # Only then: with the lock taken over its head, the thread would wait for the caller, and keep the lock from all.
            if turn is None or turn.is_set():
                if _is_free(handle):
                    return True
                turn = None  # its call failed
        return False
    finally:
        if turn is not None:
            _desert(path, turn)


def _queued(handle: int, path: Path) -> Event | None:
    """Set once a thread has waited for the lock in the kernel's queue; None where no thread can be started."""
    import threading  # noqa: PLC0415 - only where somebody else has the lock

    # The lock belongs to both handles. Whoever gives up frees it, and so does the thread if it comes to its turn afterwards.
    turn, own = threading.Event(), os.dup(handle)
    try:
        with signals.held():
            threading.Thread(target=_wait_in_queue, args=(own, path, turn), name="audit-lock", daemon=True).start()
    except RuntimeError:  # the user's process limit
        os.close(own)
        return None
    return turn


def _wait_in_queue(own: int, path: Path, turn: Event) -> None:
    try:
        with suppress(OSError):  # the caller's own call meets it, too
            fcntl.flock(own, fcntl.LOCK_EX)
        if (path, turn) in _deserted:
            _free(own)
    finally:
        os.close(own)
        turn.set()
        _deserted.discard((path, turn))


def _desert(path: Path, turn: Event) -> None:
    _deserted.add((path, turn))
    if turn.is_set():  # it ended meanwhile, or before
        _deserted.discard((path, turn))


def _move_in(log: Path) -> None:
    """Into the private folder with what earlier versions kept beside the log; where both are there, the newer one stays."""
    for name in ("head", "seal", "next"):
        former, path = files.former_path(log, name), files.private_path(log, name)
        was = files.status(former)
        if was is None or not stat.S_ISREG(was.st_mode) or (name == "next" and was.st_size):
            continue  # nothing that a version of ours left
        now = files.status(path)
        if now is not None and now.st_mtime_ns > was.st_mtime_ns:
            former.unlink()
        else:
            former.replace(path)
