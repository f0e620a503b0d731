"""What was given: options, environment, config.yaml and the system's file, as texts. The first that has a setting wins."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from molecule_approve.errors import ConfigError

from . import trusted_file, values
from .values import Sourced

if TYPE_CHECKING:
    from .system_config import SystemConfig

CONFIGS = "/configs"
"""The folder of config.yaml, unless another one is named."""

T = TypeVar("T")


class Given:
    """What was given.

    Args:
        flags: the options of the command line, by key; None for an option that was not given.
        environ: the environment.
        file: config.yaml, or None.
        system: the system's own file.
    """

    def __init__(
        self, flags: object, environ: Mapping[str, str], file: trusted_file.ConfigFile | None, system: SystemConfig
    ) -> None:
        self._flags = flags
        self.environ = environ
        self._file = file
        self._system = system

    def find(self, key: str, variable: str | None) -> Sourced[str] | None:
        """The text of one setting. The key names both the option (with dashes) and the key under ``approve:``.

        Raises:
            UsageError, ConfigError: it is locked, and given with another value.
        """
        return self._system.settle(key, self._chosen(key, variable))

    def _chosen(self, key: str, variable: str | None) -> Sourced[str] | None:
        flag = getattr(self._flags, key, None)
        if flag is not None:
            return Sourced(str(flag), f"--{key.replace('_', '-')}")
        if variable is not None and variable in self.environ:
            return Sourced(self.environ[variable], variable)
        return None if self._file is None else trusted_file.sourced(self._file, key)

    def setting(self, key: str, variable: str | None, reader: Callable[[str], T], *, default: T) -> Sourced[T]:
        """The setting as the reader parses it, or its default."""
        found = self.find(key, variable)
        return Sourced(default) if found is None else values.read(found, reader)


def read_config(flags: object, environ: Mapping[str, str], system: SystemConfig) -> trusted_file.ConfigFile | None:
    """config.yaml; None if none is configured and there is none in the default folder.

    Raises:
        UsageError, ConfigError: it cannot be used, or must not be.
    """
    named = Given(flags, environ, None, system).find("config", "WORKSPACE_CONFIG_PATH")
    path = Path(CONFIGS) if named is None else values.read(named, values.path).value
    if os.path.isdir(path):  # noqa: PTH112 - Path.is_dir raises if a folder above is closed to us; opening the file reports that
        path /= "config.yaml"
    found = trusted_file.read_trusted(path, wanted=named is not None)
    if found is None:
        return None
    from . import config_yaml  # noqa: PLC0415 - PyYAML costs start-up time, and most runs read no file

    file = config_yaml.parse(found.data, path)
    if file.locked is not None:
        raise ConfigError(
            f"{path}: approve.locked has no effect here: whoever can write this file could remove it",
            hint=f"write it in {system.path}, which must belong to root",
        )
    system.check_config(path)
    return file
