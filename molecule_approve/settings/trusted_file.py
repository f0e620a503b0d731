"""Reads config.yaml, server.yaml and the token file, if only their owner and root can write them; and what a file said.

``config_yaml`` parses the YAML.
"""

from __future__ import annotations

import os
import re
import shlex
import stat
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Literal, NamedTuple, overload

from molecule_approve.errors import ConfigError
from molecule_approve.paths import lets_others_swap

from .values import Sourced

LIMIT = 1 << 20
"""The largest size of such a file, in bytes."""


class Scalar(NamedTuple):
    """One value of config.yaml as it was written, and its line (from 1)."""

    text: str
    line: int


class ConfigFile(NamedTuple):
    """The parts of one config.yaml that this program reads.

    Attributes:
        roles: ``rbac.roles``, or None.
        allowed_actions: ``rbac.allowed_actions``: the actions of a role.
        approve: the scalars under ``approve:``, by key.
        headers: ``approve.headers``, by name.
        hooks: the entries of ``approve.hooks``, each with its keys, or None.
        locked: the entries of ``approve.locked``, or None.
        sections: all top-level keys, also those of the platform.
    """

    path: Path
    roles: tuple[Scalar, ...] | None = None
    allowed_actions: Mapping[str, frozenset[str]] | None = None
    approve: Mapping[str, Scalar] = MappingProxyType({})
    headers: Mapping[str, Scalar] | None = None
    hooks: tuple[Mapping[str, Scalar], ...] | None = None
    locked: tuple[Scalar, ...] | None = None
    sections: tuple[str, ...] = ()


class ServerFile(NamedTuple):
    """What one server.yaml says.

    Attributes:
        values: the scalars by key; those of a section with its name and a dot in front, such as ``openid.issuer``.
        lists: the lists, by such a key.
        groups: the claim's values of each group of ``openid.groups``, by the group's name.
    """

    path: Path
    values: Mapping[str, Scalar] = MappingProxyType({})
    lists: Mapping[str, tuple[Scalar, ...]] = MappingProxyType({})
    groups: Mapping[str, tuple[Scalar, ...]] = MappingProxyType({})


def source_of(path: Path, line: int, key: str) -> Sourced[None]:
    """The source of a value in a file; nothing is its value.

    The key is shown up to a colon or an equals sign: without a blank YAML takes ``name:secret`` for a key.
    """
    return Sourced(None, f"{path}, line {line}: {re.split('[:=]', key)[0]}", from_file=True)


def sourced(file: ConfigFile, key: str) -> Sourced[str] | None:
    """The text under ``approve:`` with its source; None if the file has no such key."""
    if key not in file.approve:
        return None
    return source_of(file.path, file.approve[key].line, f"approve.{key}").swap(file.approve[key].text)


class Trusted(NamedTuple):
    """A file that only its owner and root can write; that others can read it (``readable_by_all``) matters for a token."""

    data: bytes
    readable_by_all: bool


@overload
def read_trusted(path: Path, *, wanted: Literal[True]) -> Trusted: ...


@overload
def read_trusted(path: Path, *, wanted: bool) -> Trusted | None: ...


def read_trusted(path: Path, *, wanted: bool) -> Trusted | None:
    """The file, through links (Kubernetes mounts so): the target's owner and mode count. None if there is none.

    ``wanted``: it was configured, so it must exist.

    Raises:
        ConfigError: it must exist and does not, cannot be read, is not a regular file, is too large, or others can write it.
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
        raise ConfigError(f"{path} is larger than {LIMIT:,} bytes", hint="check the path")
    return Trusted(data, readable_by_all=bool(found.st_mode & stat.S_IROTH))


def read_kept(path: Path, *, wanted: bool) -> Trusted | None:
    """The same of a file in whose place nobody else can put another one: its folder, and that of a link's target, count.

    Raises:
        ConfigError: see :func:`read_trusted`; or others can write in such a folder.
    """
    found = read_trusted(path, wanted=wanted)
    for folder in [] if found is None else [path.parent, path.resolve().parent]:
        if lets_others_swap(folder.stat()):
            raise ConfigError(
                f"other users may put another file in the place of {path}: they can write in {folder}",
                hint=f"chmod go-w {shlex.quote(str(folder))}, or move the file into a folder that is only yours",
            )
    return found


def _open(path: Path, *, wanted: bool) -> int | None:
    try:
        # O_NONBLOCK: opening a pipe without a writer would block for ever.
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError) as exc:
        # A dangling link says that a file was meant to be here.
        if wanted or os.path.lexists(path):
            raise ConfigError(f"{path} does not exist", hint="create it, or configure another path") from exc
        return None
    except OSError as exc:
        raise _unreadable(path, exc) from exc


def _unreadable(path: Path, exc: OSError) -> ConfigError:
    return ConfigError(f"cannot read {path}: {exc.strerror}", hint="make it readable for this user")


def _refuse_untrusted(path: Path, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise ConfigError(f"{path} is not a regular file", hint="configure a file")
    if found.st_uid not in {os.geteuid(), 0}:
        raise ConfigError(f"{path} belongs to another user", hint=f"its owner must be you or root: chown root {path}")
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise ConfigError(f"other users can write {path}", hint=f"chmod go-w {path}")
