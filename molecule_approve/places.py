"""Where the user's own files live, and what lies in them: tokens, the socket, who serves. No file is read elsewhere."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from .errors import ConfigError

SOCKET_PATH_LIMIT = 107
"""Bytes that a Unix socket's path may have (unix(7): 108 with the final NUL)."""


class Places(NamedTuple):
    """The folders of one user.

    Attributes:
        state: kept for good: database, logs, tokens; 0700.
        runtime: gone with the login: the socket; 0700.

    """

    state: Path
    runtime: Path

    @property
    def database(self) -> Path:
        """The embedded server's SQLite file."""
        return self.state / "server.db"

    @property
    def server_log(self) -> Path:
        """The embedded server's own journal of decisions."""
        return self.state / "server-audit.jsonl"

    @property
    def requester(self) -> Path:
        """The embedded server's workspace and its requester's token, as JSON; 0600."""
        return self.state / "requester.json"

    @property
    def serving(self) -> Path:
        """Locked by the embedded server as long as it runs; its text says which one that is."""
        return self.state / "serve.lock"

    @property
    def sign_in_page(self) -> Path:
        """Sends the browser that ``serve --open`` starts to a sign-in link; there for a minute at most; 0600."""
        return self.state / "sign-in.html"

    @property
    def audit_log(self) -> Path:
        """The user's own audit log, where the system's cannot be written."""
        return self.state / "audit.jsonl"

    @property
    def socket(self) -> Path:
        """The embedded server's Unix socket, which ``PLATFORM_URL=local`` names.

        Raises:
            ConfigError: the path is longer than a socket's path may be.

        """
        # The name follows the state folder, so that two states of one user do not meet in one runtime folder.
        mark = hashlib.sha256(os.fsencode(self.state)).hexdigest()[:12]
        path = self.runtime / f"{mark}.sock"
        if len(os.fsencode(path)) > SOCKET_PATH_LIMIT:
            raise ConfigError(
                f"the socket's path is longer than {SOCKET_PATH_LIMIT} bytes: {path}",
                hint="set XDG_RUNTIME_DIR to a shorter folder that only you can enter",
            )
        return path


class Requester(NamedTuple):
    """What the embedded server leaves for its user: the workspace that asks, and its token."""

    workspace_id: str
    token: str


class Serving(NamedTuple):
    """Who serves just now.

    Attributes:
        pid: the process.
        url: the loopback address, with its port.

    """

    pid: int
    url: str


def locate(environ: Mapping[str, str]) -> Places:
    """Where this user's files live, by the XDG base directory specification. Nothing is created.

    Without ``XDG_RUNTIME_DIR`` the socket lies in the state folder.
    """
    home = Path(environ["HOME"]) if environ.get("HOME") else Path.home()
    state_home = environ.get("XDG_STATE_HOME", "")
    state = (Path(state_home) if state_home.startswith("/") else home / ".local" / "state") / "molecule-approve"
    runtime_home = environ.get("XDG_RUNTIME_DIR", "")
    runtime = Path(runtime_home) / "molecule-approve" if runtime_home.startswith("/") else state / "run"
    return Places(state, runtime)


def make_private(folder: Path) -> None:
    """Create the folder 0700 if it is missing, and refuse one that others could write or that is a link.

    Raises:
        ConfigError: it is a link, no folder, another user's, open to others, or cannot be made.

    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.lstat()
    except OSError as exc:
        raise ConfigError(
            f"the folder {folder} cannot be made: {exc.strerror}", hint="name another one in XDG_STATE_HOME"
        ) from exc
    if not stat.S_ISDIR(found.st_mode):
        raise ConfigError(f"{folder} is a link or no folder", hint="remove it: what is private must not lie behind a link")
    if found.st_uid != os.geteuid():
        raise ConfigError(f"the folder {folder} belongs to another user", hint="name another one in XDG_STATE_HOME")
    if found.st_mode & 0o077:
        raise ConfigError(f"the folder {folder} is open to other users", hint=f"chmod 700 {folder}")


def read_private(path: Path) -> bytes | None:
    """The bytes of a file that only its owner can read; None where there is none.

    Raises:
        ConfigError: it is a link, no regular file, another user's, or open to others.

    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise ConfigError(f"{path} cannot be read: {exc.strerror}", hint="it must be a file of your own") from exc
    try:
        _refuse_open(path, os.fstat(handle))
        with open(handle, "rb", closefd=False) as file:
            return file.read(65_536)
    finally:
        os.close(handle)


def _refuse_open(path: Path, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode) or found.st_uid not in {os.geteuid(), 0}:
        raise ConfigError(f"{path} is not a file of your own", hint="remove it and start the server again")
    if found.st_mode & 0o077:
        raise ConfigError(f"{path} is open to other users", hint=f"chmod 600 {path}, and treat what stands in it as known")


def write_private(path: Path, data: bytes, *, over: bool = True) -> None:
    """Write the file 0600, whole or not at all, and durably.

    Args:
        path: where it is to be.
        data: all that is to stand in it.
        over: whether a file that is there already may be replaced.

    Raises:
        FileExistsError: it may not, and there is something of that name.
        OSError: the disk refused.

    """
    import tempfile  # noqa: PLC0415 - whoever only reads does without its imports

    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(handle)
        # A link fails where the name is taken, however lately; a rename would not.
        put = os.replace if over else os.link
        put(name, path)
    finally:
        Path(name).unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def read_requester(places: Places) -> Requester | None:
    """The embedded server's workspace and token; None before its first start.

    Raises:
        ConfigError: the file is open to others, or cannot be understood.

    """
    data = read_private(places.requester)
    if data is None:
        return None
    try:
        found = json.loads(data)
        return Requester(str(found["workspace_id"]), str(found["token"]))
    except (ValueError, KeyError, TypeError) as exc:
        raise ConfigError(f"{places.requester} cannot be understood", hint="remove it and start the server again") from exc


def who_serves(places: Places) -> Serving | None:
    """The embedded server that this user runs with this state; None where none runs. Changes nothing.

    Raises:
        ConfigError: the lock file is not the user's own.

    """
    data = read_private(places.serving)
    if data is None:
        return None
    handle = os.open(places.serving, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        pass
    else:
        return None
    finally:
        os.close(handle)
    try:
        found = json.loads(data)
        return Serving(int(found["pid"]), str(found["url"]))
    except (ValueError, KeyError, TypeError):
        return None  # it is starting: it holds the lock and has not said its address yet
