"""Files that somebody else mounted for us (config.yaml, the token): opened with care, and what config.yaml held, as values.

What YAML means is config_yaml.py's matter, what a setting means is config.py's.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from molecule_approve.errors import ConfigError

LIMIT = 1 << 20
"""Bytes that such a file may have."""


class Scalar(NamedTuple):
    """One value of config.yaml as it was written, and the line it stands on (from 1)."""

    text: str
    line: int


class RoleName(NamedTuple):
    """A role that ``rbac.roles`` names, and its line."""

    name: str
    line: int


class ConfigFile(NamedTuple):
    """What one config.yaml says about this program.

    Attributes:
        roles: ``rbac.roles``, or None where it is not there.
        allowed_actions: ``rbac.allowed_actions``: for a role what it may do.
        approve: the scalars under ``approve:``, by key.
        headers: ``approve.headers``, by name.
        sections: the keys at the top, the platform's own included.

    """

    path: Path
    roles: tuple[RoleName, ...] | None = None
    allowed_actions: Mapping[str, frozenset[str]] | None = None
    approve: Mapping[str, Scalar] = MappingProxyType({})
    headers: Mapping[str, Scalar] | None = None
    sections: tuple[str, ...] = ()


class Trusted(NamedTuple):
    """A file that nobody but its owner and root can have written.

    Attributes:
        readable_by_all: others can read it, which matters for a token.

    """

    data: bytes
    readable_by_all: bool


def read_trusted(path: Path, *, wanted: bool) -> Trusted | None:
    """The file, through links (Kubernetes mounts so): the target's owner and mode count. None where there is none.

    Args:
        path: where it lies.
        wanted: somebody named it, so that it must be there.

    Raises:
        ConfigError: it is wanted and missing, cannot be read, is no regular file or too large, or others may write it.

    """
    handle = _open(path, wanted=wanted)
    if handle is None:
        return None
    try:
        found = os.fstat(handle)
        _refuse_untrusted(path, found)
        with open(handle, "rb", closefd=False) as file:
            data = file.read(LIMIT + 1)
    except OSError as exc:
        raise _unreadable(path, exc) from exc
    finally:
        os.close(handle)
    if len(data) > LIMIT:
        raise ConfigError(f"{path} is larger than {LIMIT:,} bytes", hint="is it the file that you meant?")
    return Trusted(data, readable_by_all=bool(found.st_mode & stat.S_IROTH))


def _open(path: Path, *, wanted: bool) -> int | None:
    try:
        # O_NONBLOCK: opening a pipe that nobody writes to would hang for ever.
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError) as exc:
        # A link that leads nowhere is there, and says that something should be.
        if wanted or os.path.lexists(path):
            raise ConfigError(f"{path} does not exist", hint="create it, or name another one") from exc
        return None
    except OSError as exc:
        raise _unreadable(path, exc) from exc


def _unreadable(path: Path, exc: OSError) -> ConfigError:
    return ConfigError(f"{path} cannot be read: {exc.strerror}", hint="make it readable for this user")


def _refuse_untrusted(path: Path, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise ConfigError(f"{path} is no regular file", hint="name a file")
    if found.st_uid not in {os.geteuid(), 0}:
        raise ConfigError(f"{path} belongs to another user", hint="it must belong to you or to root")
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise ConfigError(f"{path} can be written by other users", hint=f"chmod go-w {path}")
