"""The audit log: where it is, whether it can be written, whether its end is what was written last, and its archives."""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from molecule_approve.audit import files
from molecule_approve.audit.journal import Journal
from molecule_approve.audit.read.archives import Snapshot
from molecule_approve.clock import Deadline
from molecule_approve.errors import AuditError

from .checks import Check, Finding, Grade, failure

LOW = 64 << 20
"""Free bytes below which there is a warning."""

LOCK = 2.0
"""Seconds to wait for the log's lock."""

_PAUSE = 0.02


def checks(path: Callable[[], Path], *, optional: bool, mounts: Path = files.MOUNTS) -> Iterator[tuple[str, Check]]:
    """The checks of the audit log.

    Args:
        path: the log; may raise a UsageError or a ConfigError.
        optional: requests go on where it cannot be written.
        mounts: the system's table of mounted file systems.
    """
    grade = Grade.WARNING if optional else Grade.FAILED
    yield "log.place", lambda: _place(path(), mounts)
    for check, look in (("log.write", _write), ("log.end", _end), ("log.archives", _archives)):
        yield check, partial(_looked_at, check, look, path, grade)


def _looked_at(check: str, look: Callable[[Path], Finding], path: Callable[[], Path], grade: Grade) -> Iterator[Finding]:
    """What a look at the log finds; a log that cannot be used is of this grade."""
    try:
        yield look(path())
    except AuditError as exc:
        yield failure(check, exc, grade)


def _place(path: Path, mounts: Path) -> Iterator[Finding]:
    kind = files.file_system(path, mounts=mounts) or "a file system whose type is not known"
    free = _free(_nearest(path))
    detail = f"{path} is on {kind}, with {free / 1e6:,.0f} MB free"
    if files.on_network_filesystem(path, mounts=mounts) is not None:
        risk = f"{detail}: over a network, locks (flock) and appends of several machines cannot be trusted"
        yield Finding("log.place", Grade.WARNING, risk, "set AUDIT_LOG_PATH to a path on a local disk")
    elif free < LOW:
        yield Finding("log.place", Grade.WARNING, f"{detail}: it will soon be full", "free some space")
    else:
        yield Finding("log.place", Grade.OK, detail)


def _nearest(path: Path) -> Path:
    """The path itself, or the deepest folder above it that there is."""
    return next(above for above in (path, *path.parents) if os.path.lexists(above))


def _free(path: Path) -> int:
    found = os.statvfs(path)
    return found.f_bavail * found.f_frsize


def _write(path: Path) -> Finding:
    _check_file(path)
    _check_lock(files.lock_path(path))
    return Finding("log.write", Grade.OK, "it can be written" if os.path.lexists(path) else "it can be created")


def _check_file(path: Path) -> None:
    """Open the log as for an append, if it is there; it is not created."""
    if files.exists(path):
        os.close(files.open_for_writing(path))
        return
    folder = _nearest(path.parent)
    if not folder.is_dir():
        raise files.explained(OSError(errno.ENOTDIR, ""), "created", path)
    if not os.access(folder, os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids):
        read_only = os.statvfs(folder).f_flag & os.ST_RDONLY
        raise files.explained(OSError(errno.EROFS if read_only else errno.EACCES, ""), "created", path)


def _check_lock(lock: Path) -> None:
    """Take the log's lock for a moment, if it is there; it is not created."""
    if not files.exists(lock):
        return
    handle = files.open_for_writing(lock)
    try:
        _wait_for_lock(handle, lock, Deadline.after(LOCK))
    finally:
        os.close(handle)


def _wait_for_lock(handle: int, lock: Path, deadline: Deadline) -> None:
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if deadline.passed():
                hint = "another process holds the lock; look for one that is stopped or hangs"
                raise AuditError(f"cannot lock the audit log within {LOCK:g} s: {lock}", hint=hint) from None
            time.sleep(_PAUSE)
        else:
            return


def _end(path: Path) -> Finding:
    """Compare the log's end with the remembered head, as the next append does."""
    end = Journal(path).end()
    if end.damage:
        detail = f"the log's end is not what was written last ({end.damage['reason']}); the next record will say so"
        advice = "run `molecule-approve audit verify`, and keep a copy of the log"
        return Finding("log.end", Grade.WARNING, detail, advice)
    if end.head is None:
        return Finding("log.end", Grade.SKIPPED, "there is no record yet")
    sealed = ", sealed" if end.sealed else ""
    detail = f"the end is whole: record {end.head.seq}{sealed}; the rest is for `molecule-approve audit verify`"
    return Finding("log.end", Grade.OK, detail)


def _archives(path: Path) -> Finding:
    with Snapshot(path) as snapshot:
        readable = sum(1 for file in snapshot.files if not file.live)
        unreadable = [file.path.name for file in snapshot.unreadable]
    if unreadable:
        detail = f"{len(unreadable)} of {readable + len(unreadable)} archives cannot be read: {', '.join(unreadable)}"
        advice = "make them readable: an approval that may be recorded there counts as redeemed"
        return Finding("log.archives", Grade.WARNING, detail, advice)
    return Finding("log.archives", Grade.OK, f"all archives can be read: {readable}" if readable else "none yet")
