"""What a running server holds of its user's folders: the lock, the private socket, the requester's file.

They can be lost while it runs: by a clean-up, by a logout that takes the runtime folder along. Then they are put back.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
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


class Hold:
    """The state folder of one user, held by one server from ``with`` to its end.

    Attributes:
        socket: where the private socket lies; another place after the usual one was lost for good.

    Raises:
        ServerError: on entry, a server runs already, or the lock cannot be made.

    """

    def __init__(self, places: Places, complain: Callable[[str], None]) -> None:
        self._places = places
        self._complain = complain
        self._folder = self._lock = -1
        self._url = ""
        self._bound: Identity | None = None
        self._troubled = False
        self.socket = places.socket

    def __enter__(self) -> Self:
        # The folder is what counts: a lock file can be removed, and another server would lock a new one.
        self._folder = os.open(self._places.state, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self._take(self._folder)
            self._lock = self._open_lock(os.O_CREAT)
            self._take(self._lock)
            os.fchmod(self._lock, 0o600)  # a file that was there may be open to others, and then nobody would believe it
            os.ftruncate(self._lock, 0)
        except BaseException:
            self._let_go()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None) -> None:
        # Only what is still ours: a new server may have made its own there, where the whole state was removed.
        if self._bound is not None and _identity(self.socket) == self._bound:
            self.socket.unlink(missing_ok=True)
        with suppress(OSError):  # a full disk frees the lock all the same
            os.ftruncate(self._lock, 0)
        self._let_go()

    def _let_go(self) -> None:
        for handle in (self._lock, self._folder):
            if handle >= 0:
                os.close(handle)

    def _open_lock(self, how: int) -> int:
        path = self._places.serving
        try:
            return os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | how, 0o600)
        except OSError as exc:
            hint = owner_hint(path, "remove it")
            raise ServerError(f"{path} cannot be opened: {exc.strerror}", hint=hint) from exc

    def _take(self, handle: int) -> None:
        for _ in range(_LOCK_TRIES):
            if try_lock(handle):
                return
            # Or somebody only looks who serves (`who_serves`), which takes the lock for a moment.
            time.sleep(_LOCK_PAUSE)
        found = who_serves(self._places)
        who = (
            f"process {found.pid} at {found.url}"
            if found is not None
            else "another process, which is just starting or stopping"
        )
        raise ServerError(f"a server runs here already: {who}", hint="stop it first, or use that one: PLATFORM_URL=local")

    def listen(self) -> socket.socket:
        """The private socket, where it belongs; it hears calls, which wait until they are served.

        Raises:
            ServerError: it cannot be made.

        """
        return self._listen(self._places.socket)

    def _listen(self, path: Path) -> socket.socket:
        # Who holds the lock may take the path: what lies there is left over from a server that was killed.
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            path.unlink(missing_ok=True)
            listening.bind(os.fspath(path))
            path.chmod(0o600)
            listening.listen(_BACKLOG)
        except OSError as exc:
            listening.close()
            hint = owner_hint(path, "look at its folder")
            raise ServerError(f"the socket {path} cannot be made: {exc.strerror}", hint=hint) from exc
        self.socket, self._bound = path, _identity(path)
        return listening

    def announce(self, url: str) -> None:
        """Say in the lock file who serves, and where."""
        self._url = url
        self._say()

    def _say(self) -> None:
        text = json.dumps({"pid": os.getpid(), "url": self._url, "socket": str(self.socket)}).encode()
        os.pwrite(self._lock, text, 0)
        os.ftruncate(self._lock, len(text))

    def look(self, requester: RequesterCredential) -> socket.socket | None:
        """Put back what was lost; the new private socket where that was so. To be called again and again while it serves."""
        made = None
        try:
            if _identity(self._places.serving) != _identity(self._lock):
                self._lock_anew()
            if not os.path.lexists(self._places.requester):
                put_requester(self._places, requester)
            if _identity(self.socket) != self._bound:
                made = self._listen_anew()
                self._say()
        except (OSError, ConfigError, ServerError) as exc:
            if not self._troubled:
                self._complain(f"what was removed while serving cannot be put back yet: {exc}")
            self._troubled = True
        else:
            self._troubled = False
        return made

    def _lock_anew(self) -> None:
        self._places.serving.unlink(missing_ok=True)
        handle = self._open_lock(os.O_CREAT | os.O_EXCL)
        try_lock(handle)  # nobody knew the file until now; whoever only looks lets go of it at once
        os.close(self._lock)
        self._lock = handle
        self._say()

    def _listen_anew(self) -> socket.socket:
        # A logout takes the runtime folder along and leaves no right to make it again: the state folder stays.
        for places in (self._places, self._places._replace(runtime=self._places.state / "run")):
            with suppress(ConfigError, ServerError):
                make_private(places.runtime)
                return self._listen(places.socket)
        raise ServerError(f"the socket {self._places.socket} cannot be made")


def put_requester(places: Places, requester: RequesterCredential) -> None:
    """Leave the workspace and its token to the user.

    Raises:
        OSError: the disk refused.

    """
    text = json.dumps({"workspace_id": requester.workspace_id, "token": requester.token})
    write_private(places.requester, text.encode())


def try_lock(handle: int) -> bool:
    """Whether the lock is ours now; a folder on a file system that can lock files alone counts as locked."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def _identity(of: Path | int) -> Identity | None:
    """Which file it is, whatever its name; None where there is none."""
    try:
        found = of.lstat() if isinstance(of, Path) else os.fstat(of)
    except OSError:
        return None
    return found.st_dev, found.st_ino
