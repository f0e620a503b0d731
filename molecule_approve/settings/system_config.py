"""The system's own settings, in a file that only root can write; and those of them that nobody else can change.

``approve.locked`` names them. Another value that an option, a variable or config.yaml gives is an error: ignoring it would
leave a user to wonder, and an agent to think that it asks somewhere else.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from molecule_approve.errors import ConfigError

from . import trusted_file

if TYPE_CHECKING:
    from molecule_approve.paths import SystemPlace

    from .trusted_file import ConfigFile
    from .values import Sourced

CONFIG = "config"
"""In ``approve.locked``: config.yaml must be a file that its reader cannot change."""

HOOKS = "hooks"

_STEPS = 1_000
"""The most parts of a path, links followed."""

_AUTHORITIES = ("SSL_CERT_FILE", "SSL_CERT_DIR")


class SystemConfig(NamedTuple):
    """The system's settings.

    Attributes:
        path: the file.
        file: its values; None if there is none.
        locked: the keys that nobody else can change.
    """

    path: Path
    file: ConfigFile | None = None
    locked: frozenset[str] = frozenset()

    def settle(self, key: str, found: Sourced[str] | None) -> Sourced[str] | None:
        """What counts for a key: what was found elsewhere, else what the system's file says.

        Raises:
            UsageError, ConfigError: the key is locked, and the two differ.
        """
        own = None if self.file is None else trusted_file.sourced(self.file, key)
        if own is None or (found is not None and key not in self.locked):
            return found
        if found is not None and found.value != own.value:
            raise found.refuse(*self._locks(own.source))
        return own

    def choose_hooks(self, file: ConfigFile | None) -> ConfigFile | None:
        """The file whose ``approve.hooks`` count.

        Raises:
            ConfigError: they are locked, and config.yaml has others.
        """
        if self.file is None or self.file.hooks is None:
            return file
        if file is None or file.hooks is None:
            return self.file
        if HOOKS not in self.locked:
            return file
        raise ConfigError(f"{file.path}: approve.hooks: {self._locks(str(self.path))[0]}", hint=self._locks("")[1])

    def check_config(self, path: Path) -> None:
        """Return if config.yaml may be used.

        Raises:
            ConfigError: ``locked`` demands that this user cannot change it, and this user can.
        """
        if CONFIG in self.locked and (open_to_us := changeable(path)) is not None:
            raise ConfigError(
                f"{path} is refused, because this user can change {open_to_us}, and {self.path} locks config",
                hint="let root own the file and each folder above it, and let nobody else write them",
            )

    def check_authorities(self, environ: Mapping[str, str]) -> None:
        """Return if no certificate authority of this user's own could speak for a locked platform.

        Raises:
            ConfigError: a variable names one.
        """
        for name in _AUTHORITIES if "platform_url" in self.locked else ():
            named = environ.get(name)
            if named and changeable(Path(named)) is not None:
                raise ConfigError(
                    f"{name}: this user can change {named}, and {self.path} locks the platform",
                    hint=f"unset {name}, and let root add the authority to the system's own",
                )

    def _locks(self, source: str) -> tuple[str, str]:
        return f"another value than {source}, which is locked", f"remove it here; only root can change {self.path}"


def read_system(place: SystemPlace) -> SystemConfig:
    """The system's settings.

    Raises:
        ConfigError: the file is not only root's, or not valid.
    """
    found = trusted_file.read_trusted(place.path, wanted=False)
    if found is None:
        return SystemConfig(place.path)
    refuse_others(place.path, place.owner)
    from . import config_yaml  # noqa: PLC0415 - as in read_config

    file = config_yaml.parse(found.data, place.path)
    _check(file)
    return SystemConfig(place.path, file, frozenset(name.text for name in file.locked or ()))


def _check(file: ConfigFile) -> None:
    if file.roles is not None or file.allowed_actions is not None or file.headers is not None:
        raise ConfigError(f"{file.path}: rbac: and approve.headers are not read here", hint="write them in config.yaml")
    has = {CONFIG, *file.approve, *((HOOKS,) if file.hooks is not None else ())}
    for name in file.locked or ():
        if name.text not in has:
            raise ConfigError(
                f"{file.path}, line {name.line}: approve.locked: {name.text[:40]} has no value in this file",
                hint=f"set approve.{name.text[:40]} there, or remove it from the list",
            )
        if name.text == "platform_url" and file.approve[name.text].text == "local":
            raise ConfigError(
                f"{file.path}, line {name.line}: approve.locked: platform_url: local cannot be locked, because the"
                " environment of each user says where that is",
                hint="write the address of a server that another user runs, such as http://127.0.0.1:8788",
            )


def refuse_others(path: Path, owner: int = 0) -> None:
    """Return if nobody but root and the owner can change what is read at the path: the file, a folder or a link on the way.

    Raises:
        ConfigError: others can, or it cannot be known.
    """
    for found in _way(path):
        try:
            about = found.lstat()
        except OSError as exc:
            raise ConfigError(f"cannot look at {found}: {exc.strerror}", hint=f"check the path {path}") from exc
        if about.st_uid not in {0, owner} or _by_others(about):
            raise ConfigError(
                f"{path} is not only root's: others can change {found}", hint=f"chown root {found}; chmod go-w {found}"
            )


def _by_others(about: os.stat_result) -> bool:
    """Whether more users than its owner can write it, by its mode or by an access control list.

    The bits of the group are the most that a list grants to anybody (acl(5)); and in some containers every user is in
    root's group.
    """
    return bool(about.st_mode & (stat.S_IWOTH | stat.S_IWGRP)) and not _only_owner_counts(about)


def _only_owner_counts(about: os.stat_result) -> bool:
    """A link's mode means nothing, and in a sticky folder only an entry's owner may replace it."""
    return stat.S_ISLNK(about.st_mode) or bool(stat.S_ISDIR(about.st_mode) and about.st_mode & stat.S_ISVTX)


def changeable(path: Path) -> Path | None:
    """What this user could change so that something else is read at the path: the file, or a folder or link on the way."""
    me = os.geteuid()
    for found in _way(path):
        try:
            about = found.lstat()
        except OSError:  # it is not there, or out of sight: nobody knows who could make it
            return found
        writable = not _only_owner_counts(about) and os.access(found, os.W_OK, effective_ids=True)
        if me in {0, about.st_uid} or writable:
            return found
    return None


def _way(path: Path) -> Iterator[Path]:
    """Each folder and link that the system passes on its way to the file; at the end the file."""
    left, here = [*reversed((Path.cwd() / path).parts)], Path("/")
    for _ in range(_STEPS):
        yield here
        if not left:
            return
        part = left.pop()
        following = {"/": Path("/"), "..": here.parent}.get(part, here / part)
        if os.path.islink(following):  # noqa: PTH114 - Path.is_symlink raises if the folder is closed to us
            yield following
            left += reversed(following.readlink().parts)
        else:
            here = following
    raise ConfigError(f"{path} leads through too many links", hint="name the file itself")
