"""Waiting until a log may have changed: notified by the system (inotify, only on Linux), or by polling ten times a second.

What has changed is the reader's to find: a wait may end for nothing, and at the latest it ends after a few seconds.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

from molecule_approve.audit import files
from molecule_approve.clock import Clock, boottime

POLL = 0.1
"""Seconds between two looks without notifications."""

LOOK = 5.0
"""Seconds between two looks where it does: an event that was lost must not hide a record for ever."""

Pause = Callable[[float, int | None], None]
"""Waits that many seconds, or until the descriptor can be read."""

# inotify(7), <sys/inotify.h>. Openings and closings are not asked for: each append has some, and they change nothing.
_MODIFY, _MOVED_FROM, _MOVED_TO, _CREATE, _DELETE = 0x002, 0x040, 0x080, 0x100, 0x200
_DELETE_SELF, _MOVE_SELF, _UNMOUNT, _OVERFLOW, _IGNORED = 0x400, 0x800, 0x2000, 0x4000, 0x8000
_ONLY_A_FOLDER = 0x0100_0000
_WANTED = _MODIFY | _MOVED_FROM | _MOVED_TO | _CREATE | _DELETE | _DELETE_SELF | _MOVE_SELF | _ONLY_A_FOLDER
_LOST = _DELETE_SELF | _MOVE_SELF | _UNMOUNT | _IGNORED
_HEADER = struct.Struct("iIII")
_ROOM = 65_536  # bytes of events that are taken at once


class Watch:
    """The folder of one log, watched. Where it cannot be (not there yet, no inotify, none left), waits are short instead.

    Only what happens to the log's name ends a wait. ``library`` is the C library, or None where there is no inotify that
    could be trusted.
    """

    def __init__(self, log: Path, library: ctypes.CDLL | None, clock: Clock = boottime) -> None:
        self._log = log
        self._name = os.fsencode(log.name)
        self._library = library
        self._clock = clock
        self._handle: int | None = None
        self._folder: os.stat_result | None = None
        self._open()

    def is_notified(self) -> bool:
        """Whether the system notifies of changes; otherwise the log is polled."""
        return self._handle is not None

    def close(self) -> None:
        """Watch no longer."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def wait(self, pause: Pause) -> None:
        """Until the log may have changed. What ``pause`` raises ends it."""
        if self._handle is None:
            pause(POLL, None)
            self._open()  # costs as much as a look, and the folder may be there now
            return
        end = self._clock() + LOOK
        while (left := end - self._clock()) > 0:
            pause(left, self._handle)
            if self._is_concerned(self._handle):
                return
        if not self._is_same_folder():
            self.close()  # a folder above was renamed, or something was mounted: no event says so

    def _open(self) -> None:
        if self._library is None:
            return
        handle = self._library.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if handle < 0:
            return
        self._handle = handle
        folder = self._log.parent
        try:
            self._folder = folder.stat()
            is_watched = self._library.inotify_add_watch(handle, os.fsencode(folder), _WANTED) >= 0
        except OSError:
            is_watched = False
        if not is_watched:
            self.close()

    def _is_concerned(self, handle: int) -> bool:
        """Take all events that there are; whether one is about the log, or about the watch itself."""
        concerned = lost = False
        for mask, name in _events(handle):
            concerned = concerned or name == self._name or bool(mask & (_LOST | _OVERFLOW))
            lost = lost or bool(mask & _LOST)
        if lost:
            self.close()
        return concerned

    def _is_same_folder(self) -> bool:
        try:
            return self._folder is not None and os.path.samestat(self._folder, self._log.parent.stat())
        except OSError:
            return False


def _events(handle: int) -> Iterator[tuple[int, bytes]]:
    """The events: what happened, as bits, and to which name."""
    while True:
        try:
            data = os.read(handle, _ROOM)
        except BlockingIOError:
            return
        at = 0
        while at < len(data):
            _, mask, _, length = _HEADER.unpack_from(data, at)
            at += _HEADER.size + length
            yield mask, data[at - length : at].rstrip(b"\0")


def library_for(log: Path, *, mounts: Path = files.MOUNTS) -> ctypes.CDLL | None:
    """The C library, if it has inotify and what others write into the log's folder passes this machine's kernel."""
    library = ctypes.CDLL(None, use_errno=True)
    if not hasattr(library, "inotify_init1") or files.on_network_filesystem(log, mounts=mounts) is not None:
        return None
    return library
