"""Work shared out to forked processes, one a core, with its results in order. What the work is, is not known here."""

from __future__ import annotations

import os
import pickle
import select
import signal
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Generic, TypeVar

from molecule_approve.errors import AuditError

AHEAD = 2
"""Numbers that are sent to a process ahead, so that it never waits for us."""

_T = TypeVar("_T")
_NUMBER = struct.Struct("=I")
_FRAME = struct.Struct("=II")


def workers(most: int = 8) -> int:
    """How many processes are worth it here: one a core; none but ours where there are threads, which a fork can break."""
    if not hasattr(os, "sched_getaffinity") or threading.active_count() > 1:
        return 1
    return min(most, len(os.sched_getaffinity(0)))


def in_order(count: int, work: Callable[[int], _T], processes: int) -> Iterator[_T]:
    """The results of ``work(0)``, ``work(1)``, …, each as soon as it and all before it are there.

    ``work`` runs in copies of this process, and its results are pickled. Where the system gives fewer processes or pipes
    than that, fewer do it; where it gives none, this one does.

    Raises:
        AuditError: a process ended before its work was done: it was killed, or ``work`` failed.
    """
    crew = list[_Worker[_T]]()
    try:
        with suppress(OSError):
            for _ in range(min(processes, count)):
                crew.append(_Worker(work, [pipe for worker in crew for pipe in worker.pipes]))
        if not crew:
            yield from map(work, range(count))
            return
        numbers = iter(range(count))
        for worker in crew * AHEAD:
            worker.hand(next(numbers, None))
        waiting: dict[int, _T] = {}
        for wanted in range(count):
            while wanted not in waiting:
                for worker in _ready(crew):
                    for number, result in worker.take():
                        waiting[number] = result
                        worker.hand(next(numbers, None))
            yield waiting.pop(wanted)
    finally:
        for worker in crew:
            worker.close()
        for worker in crew:
            os.waitpid(worker.process, 0)


def _ready(crew: list[_Worker[_T]]) -> list[_Worker[_T]]:
    poll = select.poll()
    for worker in crew:
        poll.register(worker.results, select.POLLIN)
    found = {handle for handle, _ in poll.poll()}
    return [worker for worker in crew if worker.results in found]


class _Worker(Generic[_T]):
    """One process: it gets numbers through one pipe, and sends results through another.

    Raises:
        OSError: there are as many processes, or open files, as there may be; or no memory.
    """

    def __init__(self, work: Callable[[int], _T], others: list[int]) -> None:
        pipes = list[int]()
        try:
            pipes += os.pipe()
            pipes += os.pipe()
            self.process = os.fork()
        except OSError:
            for handle in pipes:
                os.close(handle)
            raise
        tasks, self._numbers, self.results, answers = pipes
        self._unread = bytearray()
        if self.process == 0:
            # Each must notice when the first of us is gone: no other may hold these ends.
            for handle in (*self.pipes, *others):
                os.close(handle)
            _serve(work, tasks, answers)
        os.close(tasks)
        os.close(answers)

    @property
    def pipes(self) -> tuple[int, int]:
        """Our ends."""
        return self._numbers, self.results

    def hand(self, number: int | None) -> None:
        """Tell it what to do next; nothing where there is nothing more to do."""
        if number is not None:
            with suppress(BrokenPipeError):  # it has died: reading its results reports that
                os.write(self._numbers, _NUMBER.pack(number))

    def take(self) -> Iterator[tuple[int, _T]]:
        """The results that have come in; something has."""
        block = os.read(self.results, 1 << 20)
        if not block:
            raise AuditError("a process that verified the audit log ended early", hint="try again; check the free memory")
        self._unread += block
        while len(self._unread) >= _FRAME.size:
            number, size = _FRAME.unpack_from(self._unread)
            end = _FRAME.size + size
            if len(self._unread) < end:
                return
            yield number, pickle.loads(self._unread[_FRAME.size : end])  # noqa: S301 - from our own copy, by our own pipe
            del self._unread[:end]

    def close(self) -> None:
        """Close the pipes, which ends it; if it is still working, at its next result."""
        for handle in self.pipes:
            os.close(handle)


def _serve(work: Callable[[int], object], tasks: int, answers: int) -> None:
    """The loop of a process: it ends when there is nothing more to do, or the parent is gone."""
    code = 1
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C meets all of us; ours ends when the first one has
        while number := os.read(tasks, _NUMBER.size):
            found = pickle.dumps(work(*_NUMBER.unpack(number)))
            with os.fdopen(answers, "wb", closefd=False) as file:
                file.write(_FRAME.pack(*_NUMBER.unpack(number), len(found)) + found)
        code = 0
    finally:
        os._exit(code)  # not to where the copy was made: nothing of that is ours
