"""The files of a running server in its user's folders: the lock file, the Unix socket, the requester's file.

They can be removed while it runs, by a clean-up or by a logout that removes the runtime folder. Then they are restored.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Self

from molecule_approve.errors import ConfigError, ServerError
from molecule_approve.paths import Places, RequesterCredential, make_private, owner_hint, who_serves, write_private

if TYPE_CHECKING:
    from types import TracebackType

_LOCK_TRIES = 25
_LOCK_PAUSE = 0.02  # seconds
_BACKLOG = 128

Identity = tuple[int, int]
"""Device and inode of a file."""


class StateFolder:
    """The state folder of one user, locked by one server inside ``with``.

    Attributes:
        socket: the path of the Unix socket; another one after the runtime folder was removed for good.

    Raises:
        ServerError: on entry, a server runs already, or the lock file cannot be made.
    """

    def __init__(self, places: Places, warn: Callable[[str], None]) -> None:
        self._places = places
        self._warn = warn
        self._folder = self._lock = -1
        self._said = {"url": ""}
        self._bound: Identity | None = None
        self._failing = False
        self.socket = places.socket

    def __enter__(self) -> Self:
        # The lock on the folder counts: a lock file can be removed, and another server would lock a new one.
        self._folder = os.open(self._places.state, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self._acquire(self._folder)
            self._lock = self._open_lock(os.O_CREAT)
            self._acquire(self._lock)
            os.fchmod(self._lock, 0o600)  # an existing file may be open to others, and is not trusted then
            os.ftruncate(self._lock, 0)
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None) -> None:
        # Only our own socket: if the whole folder was removed, a new server may have made its own there.
        if self._bound is not None and _identity(self.socket) == self._bound:
            self.socket.unlink(missing_ok=True)
        with suppress(OSError):  # a full disk: the lock is released all the same
            os.ftruncate(self._lock, 0)
        self._close()

    def _close(self) -> None:
        for handle in (self._lock, self._folder):
            if handle >= 0:
                os.close(handle)

    def _open_lock(self, how: int) -> int:
        path = self._places.serving
        try:
            return os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | how, 0o600)
        except OSError as exc:
            hint = owner_hint(path, "remove it")
            raise ServerError(f"cannot open {path}: {exc.strerror}", hint=hint) from exc

    def _acquire(self, handle: int) -> None:
        for _ in range(_LOCK_TRIES):
            if try_lock(handle):
                return
            # It may also be `who_serves` of another command, which takes the lock for a moment.
            time.sleep(_LOCK_PAUSE)
        found = who_serves(self._places)
        who = f"process {found.pid} at {found.url}" if found is not None else "a process that is just starting or stopping"
        raise ServerError(f"a server is already running: {who}", hint="stop it, or use it: PLATFORM_URL=local")

    def replica_id(self) -> str:
        """The id of this folder's server among those that share its database: from its file, or new.

        Raises:
            ServerError: the file cannot be read or written.
        """
        path = self._places.replica
        try:
            if os.path.lexists(path):
                return str(uuid.UUID(path.read_text().strip()))
            found = str(uuid.uuid4())
            write_private(path, found.encode())
        except (OSError, ValueError) as exc:
            raise ServerError(f"cannot use {path}: {exc}", hint="remove it: the next start makes a new one") from exc
        return found

    def listen(self, path: Path) -> socket.socket:
        """The Unix socket at this path; calls to it wait until they are served.

        Raises:
            ServerError: the socket cannot be made.
        """
        # We have the lock, so an existing socket is left over from a server that was killed.
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        # A bound socket refuses calls until it listens, so it gets its name, which is longer than this one, only then.
        unready = path.with_suffix(".new")
        try:
            unready.unlink(missing_ok=True)
            listening.bind(os.fspath(unready))
            unready.chmod(0o600)
            listening.listen(_BACKLOG)
            unready.replace(path)
        except OSError as exc:
            listening.close()
            hint = owner_hint(path, f"check the folder {path.parent}")
            raise ServerError(f"cannot make the socket {path}: {exc.strerror}", hint=hint) from exc
        self.socket, self._bound = path, _identity(path)
        return listening

    def announce(self, url: str, shared: str, policy: str) -> None:
        """Write our process id and address into the lock file, the shared database and the policy file, if there are any."""
        self._said = {"url": url, "shared": shared, "policy": policy}
        self._write_lock_file()

    def _write_lock_file(self) -> None:
        said = {"pid": os.getpid(), "socket": str(self.socket), **self._said}
        text = json.dumps(said).encode()
        os.pwrite(self._lock, text, 0)
        os.ftruncate(self._lock, len(text))

    def restore(self, requester: RequesterCredential) -> socket.socket | None:
        """Restore the files that were removed; the new Unix socket, if it was among them. To be called regularly."""
        made = None
        try:
            if _identity(self._places.serving) != _identity(self._lock):
                self._replace_lock_file()
            if not os.path.lexists(self._places.requester):
                write_requester(self._places, requester)
            if _identity(self.socket) != self._bound:
                made = self._replace_socket()
                self._write_lock_file()
        except (OSError, ConfigError, ServerError) as exc:
            if not self._failing:
                self._warn(f"cannot restore a file that was removed while the server runs: {exc}; it keeps trying")
            self._failing = True
        else:
            self._failing = False
        return made

    def _replace_lock_file(self) -> None:
        self._places.serving.unlink(missing_ok=True)
        handle = self._open_lock(os.O_CREAT | os.O_EXCL)
        try_lock(handle)  # the file is new; `who_serves` releases it at once
        os.close(self._lock)
        self._lock = handle
        self._write_lock_file()

    def _replace_socket(self) -> socket.socket:
        # A logout removes the runtime folder, and it cannot be made again: use the state folder then.
        for places in (self._places, self._places._replace(runtime=self._places.state / "run")):
            with suppress(ConfigError, ServerError):
                make_private(places.runtime)
                return self.listen(places.socket)
        raise ServerError(f"cannot make the socket {self._places.socket}")


def write_requester(places: Places, requester: RequesterCredential) -> None:
    """Write the workspace and its token to the requester's file.

    Raises:
        OSError: the file cannot be written.
    """
    text = json.dumps({"workspace_id": requester.workspace_id, "token": requester.token})
    write_private(places.requester, text.encode())


def try_lock(handle: int) -> bool:
    """Whether we have the lock now; true too for a folder on a file system that locks only files."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def _identity(of: Path | int) -> Identity | None:
    """The identity of a file; None if there is none."""
    try:
        found = of.lstat() if isinstance(of, Path) else os.fstat(of)
    except OSError:
        return None
    return found.st_dev, found.st_ino
