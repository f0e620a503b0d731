"""A full log becomes an archive, whatever moment a kill picks. Everything here is done under the log's lock.

The live file gets the archive's name by a plain rename, so that programs that follow it by its inode see it move; an empty
file takes its place. In between there is a moment without a live file: then the next writer, or another program, makes one.
"""

from __future__ import annotations

import errno
import itertools
import os
import re
import stat
from contextlib import suppress
from pathlib import Path

from molecule_approve.errors import AuditError

from . import files
from .chain import link_of
from .files import next_path
from .read import lines
from .read.archives import archive_name, first_link, names

_LINKLESS = frozenset({errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK})
"""What a file system answers that has no hard links."""

_OURS = re.compile(r"\.\d{12,}-\d{12,}(?:\.\d+)?\Z", re.ASCII)
"""How names end that :func:`~.archives.archive_name` gives."""


def rotate(log: Path) -> Path | None:
    """Make the live file an archive, and an empty one the live one; the archive's name, or None where it holds no record.

    The archive's name is reserved first, by a link of the next live file, so that no other file can be overwritten. A kill
    leaves that reservation, or no live file, and the next call goes on from there.

    Raises:
        AuditError: the file ends with half a line, or is not what it should be.
        OSError: the system refuses.
    """
    finish(log)
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
                f"the audit log {log} ends with an unfinished line and cannot be rotated now",
                hint="try again after the next record, which closes that line",
            )
        _prepare(log, handle)
        archive = _reserved(log, *numbers)
        _rename(log, handle, archive)
    finally:
        os.close(handle)
    finish(log)
    return archive


def finish(log: Path) -> None:
    """Go on from where a kill stopped a rotation: then something has one name too many, or there is no live file.

    Raises:
        OSError: the system refuses.
    """
    live, prepared = files.status(log), files.status(next_path(log))
    if live is not None and live.st_nlink > 1:
        _forget_names(log, live)
    if prepared is None:
        return
    if prepared.st_size:
        # It is the live file, or was: an earlier version may have made an archive of it, which must keep its name.
        if prepared.st_nlink > 1:
            next_path(log).unlink()
        return  # or it is none that a rotation left
    if prepared.st_nlink > 1:
        _forget_names(log, prepared)
    if live is None:
        with suppress(FileExistsError):  # another program's, which is the live one then
            os.link(next_path(log), log, follow_symlinks=False)
    next_path(log).unlink()
    files.sync_folder(log.parent)


def _forget_names(log: Path, found: os.stat_result) -> None:
    """Drop the archives' names that an interrupted rotation gave this file."""
    for path in names(log):
        if _OURS.search(path.name) and _is_same(path, found):
            path.unlink()


def _numbers(handle: int, size: int) -> tuple[int, int] | None:
    """The numbers of the first and the last record."""
    for _, line in lines.backwards(handle, size):
        last = link_of(line)
        if last is not None:
            return (first_link(handle) or last).seq, last.seq
    return None


def _prepare(log: Path, old: int) -> None:
    """An empty file with the live one's rights."""
    path = next_path(log)
    handle = files.open_for_writing(path)
    try:
        if os.fstat(handle).st_size:
            raise AuditError(
                f"{path} is not empty, so the audit log cannot be rotated", hint="find out what it is, then move it away"
            )
        before = os.fstat(old)
        os.fchmod(handle, stat.S_IMODE(before.st_mode))
        with suppress(PermissionError):  # root may give it to anybody; others only to a group of their own
            os.fchown(handle, before.st_uid, before.st_gid)
    finally:
        os.close(handle)


def _reserved(log: Path, first: int, last: int) -> Path:
    """The archive's name, with an empty file of ours behind it; one more number where another file has that name."""
    name = archive_name(log, first, last)
    others = (name.with_name(f"{name.name}.{number}") for number in itertools.count(2))
    return next(path for path in itertools.chain([name], others) if _is_reserved(next_path(log), path))


def _is_reserved(following: Path, name: Path) -> bool:
    try:
        os.link(following, name, follow_symlinks=False)
    except FileExistsError:
        return False
    except OSError as exc:
        if exc.errno not in _LINKLESS:
            raise
        raise AuditError(f"the file system of {name} has no hard links, so the audit log cannot be rotated safely") from exc
    return True


def _rename(log: Path, handle: int, archive: Path) -> None:
    if not files.is_named(handle, log):
        archive.unlink()
        raise _exchanged(log)
    log.rename(archive)
    if not _is_same(archive, os.fstat(handle)):
        # Somebody exchanged the log in this very moment: what was renamed is theirs, and gets its name back.
        with suppress(FileExistsError):
            os.link(archive, log, follow_symlinks=False)
            archive.unlink()
        raise _exchanged(log)
    files.sync_folder(log.parent)


def _exchanged(log: Path) -> AuditError:
    return AuditError(f"the audit log {log} was renamed by another program during the rotation", hint="try again")


def _is_same(path: Path, found: os.stat_result) -> bool:
    now = files.status(path)
    return now is not None and os.path.samestat(now, found)
