"""A full log becomes an archive, whatever moment a kill picks. Everything here is done under the log's lock."""

from __future__ import annotations

import errno
import itertools
import os
import re
import stat
from contextlib import suppress
from pathlib import Path

from molecule_approve.errors import AuditError

from . import files, lines
from .archives import archive_name, first_link, names
from .chain import link_of

_LINKLESS = frozenset({errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK})
"""What a file system answers that has no hard links."""

_OURS = re.compile(r"\.\d{12,}-\d{12,}(?:\.\d+)?\Z", re.ASCII)
"""How names end that :func:`~.archives.archive_name` gives."""


def next_path(log: Path) -> Path:
    """The empty file that is going to be the live one."""
    return log.with_name(f"{log.name}.next")


def rotate(log: Path) -> Path | None:
    """Make the live file an archive, and an empty one the live one; the archive's name, or None where it holds no record.

    The archive's name is a second link at first, so that no other file can be overwritten and there is no moment without
    a live file. A kill in between leaves one file with two names; the next call finds that and goes on from there.

    Raises:
        AuditError: the file ends with half a line, or is not what it should be.
        OSError: the system refuses.

    """
    if not files.exists(log):
        return None
    handle = files.open_for_writing(log)
    try:
        size = os.fstat(handle).st_size
        numbers = _numbers(handle, size)
        if numbers is None:
            return None
        if lines.finished_end(handle, size) != size:
            raise AuditError(
                f"the audit log {log} ends with half a line, and cannot be rotated now", hint="the next record closes it"
            )
        archive = _linked(log, handle, *numbers)
        files.sync_folder(log.parent)
        _forget_earlier_names(log, handle, archive)
        _replace(log, handle)
    finally:
        os.close(handle)
    return archive


def is_half_done(log: Path) -> bool:
    """Whether a rotation was killed after the archive's name was made: the live file has it, too."""
    found = log.lstat()
    return any(_is_same(path, found) for path in names(log))


def _numbers(handle: int, size: int) -> tuple[int, int] | None:
    """The numbers of the first and the last record."""
    for _, line in lines.backwards(handle, lines.finished_end(handle, size)):
        last = link_of(line)
        if last is not None:
            return (first_link(handle) or last).seq, last.seq
    return None


def _linked(log: Path, handle: int, first: int, last: int) -> Path:
    """The archive's name, which the file has from now on; one more number where another file has that name."""
    name = archive_name(log, first, last)
    others = (name.with_name(f"{name.name}.{number}") for number in itertools.count(2))
    return next(path for path in itertools.chain([name], others) if _is_named(log, handle, path))


def _is_named(log: Path, handle: int, name: Path) -> bool:
    """Give the file this name; False where another file has it, which stays."""
    try:
        _link(log, name)
    except FileExistsError:
        return _is_same(name, os.fstat(handle))  # an earlier call may have been killed just after this
    if not _is_same(name, os.fstat(handle)):
        name.unlink(missing_ok=True)  # somebody exchanged the log in this very moment, and the name that we made is theirs
        raise _exchanged(log)
    return True


def _link(log: Path, name: Path) -> None:
    try:
        os.link(log, name, follow_symlinks=False)
    except OSError as exc:
        if exc.errno not in _LINKLESS:
            raise
        raise AuditError(f"the file system of {log} has no hard links, so the log cannot be rotated safely") from exc


def _forget_earlier_names(log: Path, handle: int, archive: Path) -> None:
    """Drop what a rotation that then failed had called this file: more records came since, so that name is wrong."""
    found = os.fstat(handle)
    if found.st_nlink <= 2:  # the live name, and the archive's
        return
    for path in names(log):
        if path != archive and _OURS.search(path.name) and _is_same(path, found):
            path.unlink()


def _replace(log: Path, old: int) -> None:
    """An empty file in the live one's place, with the same rights."""
    path = next_path(log)
    handle = files.open_for_writing(path)
    try:
        if os.fstat(handle).st_size:
            raise AuditError(f"{path} is not empty, and in the way of the audit log's rotation", hint="look what it is")
        before = os.fstat(old)
        os.fchmod(handle, stat.S_IMODE(before.st_mode))
        with suppress(PermissionError):  # root may give it to anybody; others only to a group of their own
            os.fchown(handle, before.st_uid, before.st_gid)
    finally:
        os.close(handle)
    if not files.is_named(old, log):
        raise _exchanged(log)
    path.replace(log)
    files.sync_folder(log.parent)


def _exchanged(log: Path) -> AuditError:
    return AuditError(f"the audit log {log} was renamed by another program just now", hint="try again")


def _is_same(path: Path, found: os.stat_result) -> bool:
    try:
        return os.path.samestat(path.lstat(), found)
    except FileNotFoundError:
        return False
