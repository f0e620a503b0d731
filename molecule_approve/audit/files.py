"""The files of one log: the log itself and what is private to it, opened only if they are what they should be.

Their content is other modules' business, except for the remembered head, which is one small JSON object.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
from pathlib import Path
from typing import NamedTuple

from molecule_approve.errors import AuditError

from .chain import Head

MOUNTS = Path("/proc/self/mountinfo")
"""Linux's table of mounted file systems (proc(5))."""

_SAFE = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK  # without O_NONBLOCK, opening a FIFO waits for its other end
_ELSEWHERE = "set another path with --audit-log or AUDIT_LOG_PATH"
_HINTS = {
    errno.ENOSPC: "the disk is full: free some space",
    errno.EDQUOT: "your disk quota is used up: free some space",
    errno.EFBIG: "the file size limit is reached: see `ulimit -f`",
    errno.EROFS: f"the file system is read-only: {_ELSEWHERE}",
    errno.ELOOP: f"symbolic links are not followed: {_ELSEWHERE}",
    errno.ENOTDIR: f"its folder is a file: {_ELSEWHERE}",
    errno.EISDIR: f"the path is a folder: {_ELSEWHERE}",
    errno.ENOENT: "the first request creates the audit log; for another one, pass --audit-log or set AUDIT_LOG_PATH",
}

SECTOR = 512
"""Bytes of a small file that is written in place, in one call: a disk writes them all, or none."""


class Memory(NamedTuple):
    """What is remembered of a log beside it.

    Attributes:
        head: the last record that was appended.
        inode: the inode of the file that contains it; 0 if it is not known.
        size: the file's, in bytes, just after it.
        sealed: whether that record carries a seal.
    """

    head: Head
    inode: int = 0
    size: int = 0
    sealed: bool = False


def private_path(log: Path, name: str) -> Path:
    """A small file of the log's own, in a folder beside it where no pattern such as ``audit.jsonl*`` or ``*`` reaches it."""
    return log.with_name(f".{log.name}.private") / name


def former_path(log: Path, name: str) -> Path:
    """Where earlier versions kept that file."""
    return log.with_name(f"{log.name}.{name}")


def lock_path(log: Path) -> Path:
    """The log's lock file. It is never deleted: a process that waits for the lock waits on this inode."""
    return private_path(log, "lock")


def head_path(log: Path) -> Path:
    """The file that remembers the log's head."""
    return private_path(log, "head")


def next_path(log: Path) -> Path:
    """The empty file that is going to be the live one; it is there during a rotation, and after one that was killed."""
    return private_path(log, "next")


def explained(error: OSError, doing: str, path: Path) -> AuditError:
    """The system's refusal as a sentence with a hint."""
    number = error.errno or 0
    hint = _root_made(path) if number in {errno.EACCES, errno.EPERM} else ""
    hint = hint or _HINTS.get(number, _ELSEWHERE)
    return AuditError(f"the audit log {path} cannot be {doing}: {os.strerror(number)}", hint=hint)


def open_for_writing(path: Path, *, appending: bool = True) -> int:
    """A handle of the file, opened for reading and writing; made 0600, in a 0700 folder, where it is missing.

    Raises:
        AuditError: it is a link, no regular file, of another owner (root aside), writable by others, or not to be had.
    """
    flags = os.O_RDWR | os.O_CREAT | _SAFE | (os.O_APPEND if appending else 0)
    try:
        try:
            handle = os.open(path, flags, 0o600)
        except FileNotFoundError:
            _make_folder(path.parent)
            handle = os.open(path, flags, 0o600)
    except OSError as exc:
        raise explained(exc, "written", path) from exc
    return _checked(handle, path, owned=True)


def open_for_reading(path: Path) -> int:
    """A handle of the file, whoever owns it.

    Raises:
        AuditError: it is missing, a link, no regular file, or not to be read.
    """
    try:
        handle = os.open(path, os.O_RDONLY | _SAFE)
    except OSError as exc:
        raise explained(exc, "read", path) from exc
    return _checked(handle, path, owned=False)


def is_named(handle: int, path: Path) -> bool:
    """Whether the name still means the file behind the handle."""
    try:
        named = path.lstat()
    except FileNotFoundError:
        return False
    return os.path.samestat(named, os.fstat(handle))


def exists(path: Path) -> bool:
    """Whether anything has that name.

    Raises:
        AuditError: it cannot be known: a folder above may not be entered, or is none.
    """
    try:
        path.lstat()
    except FileNotFoundError:
        return False
    except OSError as exc:
        raise explained(exc, "read", path) from exc
    return True


def status(path: Path) -> os.stat_result | None:
    """What the system knows of the file itself, a link's target aside; None where there is none.

    Raises:
        OSError: the system refuses.
    """
    try:
        return path.lstat()
    except FileNotFoundError:
        return None


def sync_folder(folder: Path) -> None:
    """Make the folder's entries durable.

    Raises:
        OSError: the disk refused.
    """
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def recall(log: Path) -> Memory | None:
    """What is remembered of the log; None where nothing is, or where a power cut left something else.

    Raises:
        AuditError: the file is not what it should be, or cannot be read.
    """
    for path in (head_path(log), former_path(log, "head")):  # only a writer moves what an earlier version left
        try:
            handle = open_for_reading(path)
            break
        except AuditError as exc:
            if not isinstance(exc.__cause__, FileNotFoundError):
                raise
    else:
        return None
    try:
        # A reader without the lock can meet a writer in the middle; a second look does not meet it again.
        return _memory_in(os.pread(handle, SECTOR, 0)) or _memory_in(os.pread(handle, SECTOR, 0))
    finally:
        os.close(handle)


def remember(log: Path, memory: Memory) -> None:
    """Remember the head, but not durably: a log that is ahead of it is normal. Call it under the lock.

    Raises:
        AuditError: it cannot be written.
    """
    path = head_path(log)
    text = json.dumps({**memory.head._asdict(), **memory._asdict(), "head": None, "check": checksum(*memory)})
    handle = open_for_writing(path, appending=False)
    try:
        # One call of one sector, in place: no kill leaves half of it. A new file and a rename each time would cost more
        # than all the rest of an append; `check` names what a power cut may still do.
        os.pwrite(handle, text.ljust(SECTOR - 1).encode() + b"\n", 0)
    except OSError as exc:
        raise explained(exc, "remembered", path) from exc
    finally:
        os.close(handle)


def checksum(*values: object) -> str:
    """What a file of state has beside these values: by it half a write is known."""
    return hashlib.sha256(repr(values).encode()).hexdigest()[:16]


def _memory_in(data: bytes) -> Memory | None:
    try:
        found = json.loads(data)
        head = Head(str(found["log_id"]), int(found["seq"]), str(found["hash"]))
        memory = Memory(head, int(found["inode"]), int(found["size"]), bool(found["sealed"]))
        return memory if found["check"] == checksum(*memory) else None
    except (ValueError, KeyError, TypeError, OverflowError):
        return None


def file_system(path: Path, *, mounts: Path = MOUNTS) -> str | None:
    """The type of the file system that the path is or would be on; None where the system does not say (only Linux does)."""
    while not os.path.exists(path):  # noqa: PTH110 - Path.exists() raises where a folder above may not be entered
        path = path.parent
    device = path.stat().st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    try:
        table = mounts.read_text("utf-8", "surrogateescape")
    except OSError:
        return None
    for line in table.splitlines():
        mount, _, system = line.partition(" - ")
        if mount.split(" ")[2:3] == [wanted]:
            return system.split(" ")[0]
    return None


def on_network_filesystem(path: Path, *, mounts: Path = MOUNTS) -> str | None:
    """The type of the network file system that the path is or would be on, where neither lock nor append can be trusted.

    None on a local one, and where the system does not say.
    """
    kind = file_system(path, mounts=mounts)
    return kind if kind is not None and (kind in _NETWORK or kind.startswith("fuse.")) else None


_NETWORK = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "lustre", "glusterfs", "gpfs", "fuse"})


def _checked(handle: int, path: Path, *, owned: bool) -> int:
    """The handle, if its file is what it should be; otherwise it is closed."""
    try:
        _refuse(os.fstat(handle), path, owned=owned)
    except BaseException:
        os.close(handle)
        raise
    return handle


def _root_made(path: Path) -> str:
    """What to do where root made the file, or a folder above it, in a folder of ours; empty where it did not."""
    from molecule_approve.paths import owner_hint  # noqa: PLC0415 - only where it is needed

    return next(filter(None, (owner_hint(one, "") for one in (path, *path.parents))), "")


def _refuse(found: os.stat_result, path: Path, *, owned: bool) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise AuditError(f"the audit log {path} is not a regular file", hint=_ELSEWHERE)
    if owned and found.st_uid not in {os.geteuid(), 0}:
        raise AuditError(f"the audit log {path} belongs to another user", hint=_ELSEWHERE)
    if owned and found.st_mode & stat.S_IWOTH:
        raise AuditError(f"the audit log {path} is writable by everybody", hint=f"chmod o-w {path}")


def refuse_folder(folder: Path) -> None:
    """Refuse a private folder that is not ours: if others could replace its files, one log could get two writers.

    Raises:
        AuditError: it is another user's, writable by everybody, or no folder.
    """
    found = status(folder)
    if found is None:
        return  # it is made with the first file in it
    if not stat.S_ISDIR(found.st_mode):
        raise AuditError(f"{folder}, for the audit log's private files, is not a folder", hint="remove it")
    if found.st_uid not in {os.geteuid(), 0}:
        raise AuditError(f"{folder}, for the audit log's private files, belongs to another user", hint=_ELSEWHERE)
    if found.st_mode & stat.S_IWOTH:
        raise AuditError(
            f"{folder}, for the audit log's private files, is writable by everybody", hint=f"chmod o-w {folder}"
        )


def _make_folder(folder: Path) -> None:
    """Make the folder 0700, with all above it, each of them durably.

    Raises:
        AuditError: it cannot be made.
    """
    if folder.exists():
        return
    _make_folder(folder.parent)
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as exc:
        hint = _root_made(folder) or _ELSEWHERE
        raise AuditError(f"cannot create the audit log's folder {folder}: {exc.strerror}", hint=hint) from exc
    sync_folder(folder.parent)
