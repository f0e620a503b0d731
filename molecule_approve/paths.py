"""Where the user's own files live, and what lies in them: tokens, the socket, who serves. No file is read elsewhere."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import pwd
import shlex
import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from .errors import ConfigError

SOCKET_PATH_LIMIT = 107
"""Bytes that a Unix socket's path may have (unix(7): 108 with the final NUL)."""

_STATE_HINT = "set HOME, or XDG_STATE_HOME, to a folder of your own"

_AUDIT_LOG = "audit-log-path"
"""In the state folder: which audit log was chosen by default."""


class SystemPlace(NamedTuple):
    """Where the system's own settings are, and the user who must own them: the same whatever the environment says."""

    path: Path = Path("/etc/molecule-approve/config.yaml")
    owner: int = 0


SYSTEM = SystemPlace()


class Places(NamedTuple):
    """The folders of one user.

    Attributes:
        state: kept for good: database, logs, tokens; 0700.
        runtime: gone with the login: the socket; 0700.
        system: the system's own settings.
    """

    state: Path
    runtime: Path
    system: SystemPlace = SYSTEM

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
    def replica(self) -> Path:
        """The id of the embedded server among those that share its database."""
        return self.state / "replica"

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


class RequesterCredential(NamedTuple):
    """What the embedded server leaves for its user: the workspace that asks, and its token."""

    workspace_id: str
    token: str


class Serving(NamedTuple):
    """Who serves just now.

    Attributes:
        pid: the process.
        url: the loopback address, with its port.
        socket: its Unix socket, wherever the folder of whoever looks may be; None where it does not say.
        shared: the address of its PostgreSQL database, without a password; empty for the SQLite file.
        policy: the policy file that it was told to read; empty where it looks into its state folder.
    """

    pid: int
    url: str
    socket: Path | None = None
    shared: str = ""
    policy: str = ""


def locate(environ: Mapping[str, str]) -> Places:
    """Where this user's files live, by the XDG base directory specification. Nothing is created.

    Without ``XDG_RUNTIME_DIR`` the socket lies in the state folder.

    Raises:
        ConfigError: there is no home folder, or no absolute path of one, and ``XDG_STATE_HOME`` names no folder either.
    """
    state_home = environ.get("XDG_STATE_HOME", "")
    above = Path(state_home) if state_home.startswith("/") else home(environ, _STATE_HINT) / ".local" / "state"
    state = above / "molecule-approve"
    runtime_home = environ.get("XDG_RUNTIME_DIR", "")
    runtime = Path(runtime_home) / "molecule-approve" if runtime_home.startswith("/") else state / "run"
    return Places(state, runtime, SYSTEM)


def home(environ: Mapping[str, str], hint: str = "set HOME to a folder of your own") -> Path:
    """This user's home folder.

    Raises:
        ConfigError: there is none, or its path is not absolute.
    """
    try:
        found = Path(environ["HOME"]) if environ.get("HOME") else Path(pwd.getpwuid(os.geteuid()).pw_dir)
    except KeyError:
        raise ConfigError(
            f"there is no home folder: HOME is not set, and user {os.geteuid()} is not in passwd", hint=hint
        ) from None
    if not found.is_absolute():
        raise ConfigError(f"the home folder {str(found)!r} is not an absolute path", hint=hint)
    return found


def make_private(folder: Path) -> None:
    """Create the folder 0700 if it is missing, and the missing ones above it likewise, whatever the umask; then check it.

    Raises:
        ConfigError: it cannot be made, or :func:`check_private` refuses it.
    """
    try:
        # Not `parents=True`: that leaves the folders above to the umask, and whoever may write those could swap this one.
        for above in (*reversed(folder.parents), folder):
            if not above.exists():
                above.mkdir(mode=0o700, exist_ok=True)
        check_private(folder)
    except OSError as exc:
        raise ConfigError(
            f"the folder {folder} cannot be made: {exc.strerror}",
            hint=owner_hint(_nearest(folder), "name other folders in XDG_STATE_HOME and XDG_RUNTIME_DIR"),
        ) from exc


def _nearest(path: Path) -> Path:
    """The deepest folder above that can be seen."""
    return next(above for above in path.parents if os.path.lexists(above))


def check_private(folder: Path) -> None:
    """Refuse a folder that others can look into, or that they could swap for another one.

    Raises:
        ConfigError: it is a link, no folder, another user's or open to others; or others may rename what lies above it.
        OSError: there is none, or it cannot be looked at.
    """
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode):
        raise ConfigError(
            f"{folder} is a link or not a folder", hint="remove it: what is private must not lie behind a link"
        )
    if found.st_uid != os.geteuid():
        raise ConfigError(
            f"the folder {folder} belongs to another user: its owner is {found.st_uid}, you are {os.geteuid()}",
            hint=owner_hint(folder, "name another one in XDG_STATE_HOME and XDG_RUNTIME_DIR"),
        )
    if found.st_mode & 0o077:
        raise ConfigError(f"the folder {folder} is open to other users", hint=f"chmod 700 {shlex.quote(str(folder))}")
    parent = Path(os.path.realpath(folder)).parent
    for above in (parent, *parent.parents):
        about = above.stat()
        # Further up only what this user could mend: a volume at / that all may write is the machine's matter.
        if lets_others_swap(about) and (above == parent or about.st_uid == os.geteuid()):
            raise ConfigError(
                f"other users may put another folder in the place of {folder}: they can write in {above}",
                hint=f"chmod go-w {shlex.quote(str(above))}, or name other folders in XDG_STATE_HOME and XDG_RUNTIME_DIR",
            )


def lets_others_swap(about: os.stat_result) -> bool:
    """Whether other users may put something else in the place of what lies in this folder."""
    # A group of one's own is nobody else; many systems give each user one, and let it write.
    others = about.st_mode & 0o002 or (about.st_mode & 0o020 and about.st_gid not in {os.getegid(), 0})
    # In a sticky folder only an entry's owner may rename it.
    return bool(others) and not about.st_mode & stat.S_ISVTX


def owner_hint(path: Path, otherwise: str) -> str:
    """What to do about a file or folder that cannot be used: what root made in this user's folder is to be given back."""
    me = os.geteuid()
    for one in (path, *path.parents):
        try:
            found, above = one.lstat(), one.parent.lstat()
        except OSError:  # it does not exist, or a folder of root's above hides it
            continue
        if found.st_uid != 0 or me == 0:
            break
        if above.st_uid == me:
            whole = one if stat.S_ISDIR(found.st_mode) else one.parent
            return f"it belongs to root, as after sudo: sudo chown -R {me} {shlex.quote(str(whole))}"
    return otherwise


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
        hint = _STATE_HINT if isinstance(exc, NotADirectoryError) else owner_hint(path, "it must be a file of your own")
        raise ConfigError(f"{path} cannot be read: {exc.strerror}", hint=hint) from exc
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
        raise ConfigError(
            f"{path} is open to other users",
            hint=f"chmod 600 {shlex.quote(str(path))}, and replace the token in it",
        )


def write_private(path: Path, data: bytes, *, over: bool = True) -> None:
    """Write the file 0600, whole or not at all, and durably; with ``over`` a file that is there already may be replaced.

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


def can_write(path: Path) -> bool:
    """Whether we may write this file, or make it in its folder."""
    return os.access(path if os.path.lexists(path) else path.parent, os.W_OK)


def recall_audit_log(state: Path) -> Path | None:
    """The audit log that was chosen by default when a request was first made here; None before.

    Raises:
        ConfigError: the file that says so is not the user's own.
    """
    data = read_private(state / _AUDIT_LOG)
    return Path(os.fsdecode(data.removesuffix(b"\n"))) if data else None


def remember_audit_log(state: Path, log: Path) -> None:
    """Keep the choice, once; where nothing can be kept, nothing else could be chosen there either."""
    with suppress(ConfigError, OSError):
        make_private(state)
        write_private(state / _AUDIT_LOG, os.fsencode(log) + b"\n", over=False)


def read_requester(places: Places) -> RequesterCredential | None:
    """The embedded server's workspace and token; None before its first start.

    Raises:
        ConfigError: the file is open to others, or is not valid.
    """
    data = read_private(places.requester)
    if data is None:
        return None
    try:
        found = json.loads(data)
        return RequesterCredential(str(found["workspace_id"]), str(found["token"]))
    except (ValueError, KeyError, TypeError) as exc:
        hint = "remove it: a server that runs puts it back within a second, and the next start makes a new one"
        raise ConfigError(f"{places.requester} is not valid", hint=hint) from exc


def who_serves(places: Places) -> Serving | None:
    """The embedded server that this user runs with this state; None where none runs. Changes nothing.

    Raises:
        ConfigError: the lock file is not the user's own.
    """
    said = read_serving(places)
    if said is None or not is_locked(places):
        return None
    return said


def read_serving(places: Places) -> Serving | None:
    """What the lock file says of who serves, or served until it was killed; None where it says nothing.

    Raises:
        ConfigError: the lock file is not the user's own.
    """
    try:
        found = json.loads(read_private(places.serving) or b"null")
        named = found.get("socket")
        place = None if named is None else Path(str(named))
        shared, policy = (str(found.get(key, "")) for key in ("shared", "policy"))
        return Serving(int(found["pid"]), str(found["url"]), place, shared, policy)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None  # it is starting: it holds the lock and has not said its address yet


def find_socket(places: Places) -> Path:
    """The Unix socket of the embedded server, which names it: it may have been started with another XDG_RUNTIME_DIR.

    Raises:
        ConfigError: the lock file is not the user's own; or none names a socket, and the usual path is too long for one.
    """
    said = read_serving(places)
    return places.socket if said is None or said.socket is None else said.socket


class LocalSocket(NamedTuple):
    """The embedded server's Unix socket as a path that is looked up at each use: a server that lost its folder moves."""

    places: Places

    def __fspath__(self) -> str:
        return str(find_socket(self.places))


def is_locked(places: Places) -> bool:
    """Whether somebody holds the lock of who serves."""
    try:
        handle = os.open(places.serving, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False
