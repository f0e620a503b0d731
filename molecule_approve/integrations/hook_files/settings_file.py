"""Reads a host's settings file and replaces it whole, with its mode, its owner and the link that leads to it."""

from __future__ import annotations

import os
import secrets
import stat
from contextlib import suppress
from json import JSONDecodeError
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from molecule_approve.errors import ConfigError
from molecule_approve.strict_json import StrictJsonError, loads

from .json_text import rewritten

if TYPE_CHECKING:
    from .interface import JsonObject

_LIMIT = 1 << 24
"""The largest size of such a file, in bytes."""


class SettingsFile(NamedTuple):
    """A settings file as it was read.

    Attributes:
        data: its bytes; None if there is no file.
        document: its value; empty if there is no file, or nothing in it.
    """

    path: Path
    data: bytes | None
    document: JsonObject

    @property
    def text(self) -> str:
        """Its text."""
        return (self.data or b"").decode()

    def changed(self, document: JsonObject) -> str:
        """Its text with this value, laid out as before."""
        return rewritten(self.text, document)

    def write(self, text: str) -> None:
        """Replace the file, whole or not at all; make it and its folders if there are none.

        Raises:
            ConfigError: it was changed since it was read, or cannot be written.
        """
        target = Path(os.path.realpath(self.path))
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            new = _written_beside(target, text.encode())
            try:
                self._refuse_changed()
                new.replace(target)
            finally:
                new.unlink(missing_ok=True)
        except OSError as exc:
            raise ConfigError(f"cannot write {self.path}: {exc.strerror}", hint="make it writable for this user") from exc

    def remove(self) -> None:
        """Remove the file; a link that leads to it stays, and leads to an empty object.

        Raises:
            ConfigError: it was changed since it was read, or cannot be removed.
        """
        if self.path.is_symlink():
            self.write("{}\n")
            return
        self._refuse_changed()
        try:
            self.path.unlink()
        except OSError as exc:
            raise ConfigError(f"cannot remove {self.path}: {exc.strerror}", hint="remove it yourself") from exc

    def _refuse_changed(self) -> None:
        if _bytes_of(self.path) != self.data:
            raise ConfigError(f"{self.path} was changed in the meantime; nothing was written", hint="try again")


def read(path: Path) -> SettingsFile:
    """The file, through links.

    Raises:
        ConfigError: it cannot be read, or is not one JSON object: comments, a trailing comma, a duplicate key.
    """
    data = _bytes_of(path)
    if data is None or not data.strip():
        return SettingsFile(path, data, {})
    try:
        document = loads(data)
    except StrictJsonError as exc:
        cause = exc.__cause__
        line = f", line {cause.lineno}" if isinstance(cause, JSONDecodeError) else ""
        raise _not_plain(path, f"{line}: this is not plain JSON ({exc})") from exc
    if not isinstance(document, dict):
        raise _not_plain(path, ": this is not a JSON object")
    return SettingsFile(path, data, document)


def _not_plain(path: Path, why: str) -> ConfigError:
    hint = "remove comments and trailing commas, or add the hook yourself: --print shows it"
    return ConfigError(f"{path}{why}; the file is left as it is", hint=hint)


def _bytes_of(path: Path) -> bytes | None:
    """All of the file; None if there is none, or a link leads to none."""
    try:
        # O_NONBLOCK: opening a pipe without a writer would block for ever.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as file:
            # Replacing /dev/null, to which some link what they do not want, would harm everybody.
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise ConfigError(f"{path} is not a regular file", hint="remove it")
            data = file.read(_LIMIT + 1)
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise ConfigError(f"cannot read {path}: {exc.strerror}", hint="make it a file that you can read") from exc
    if len(data) > _LIMIT:
        raise ConfigError(f"{path} is larger than {_LIMIT:,} bytes", hint="check the path")
    return data


def _written_beside(target: Path, data: bytes) -> Path:
    """A new file in the same folder, on disk, with the target's mode and owner; without a target, as the umask says."""
    new = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        with os.fdopen(handle, "wb") as file:
            with suppress(FileNotFoundError):
                _take_after(handle, target.stat())
            file.write(data)
            file.flush()
            os.fsync(handle)
    except BaseException:
        new.unlink(missing_ok=True)
        raise
    return new


def _take_after(handle: int, old: os.stat_result) -> None:
    with suppress(PermissionError):  # only root can give a file away
        os.fchown(handle, old.st_uid, old.st_gid)
    os.fchmod(handle, old.st_mode & 0o7777)
