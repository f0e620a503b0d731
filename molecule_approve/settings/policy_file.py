"""Finds and reads the policy of a server, or of a command that looks at one."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from molecule_approve.errors import ConfigError

from . import trusted_file

if TYPE_CHECKING:
    from molecule_approve.policy.approval_rules import Policy

    from .server_settings import ServerSettings

FILE_NAME = "policy.yaml"


def provider_groups(settings: ServerSettings) -> Collection[str]:
    """The groups whose members the OpenID provider of server.yaml names."""
    openid = settings.openid.value
    return () if openid is None else openid.groups


def server_policy(settings: ServerSettings, state: Path) -> Policy | None:
    """The policy of the server with these settings: the file that they name, else policy.yaml in its state folder.

    None if they name none, and there is none. It is read anew each time.

    Raises:
        ConfigError: it is missing, others can write it, or it is invalid, with file, line and key.
    """
    named, groups = settings.policy, provider_groups(settings)
    path = named.value or state / FILE_NAME
    try:
        found = trusted_file.read_kept(path, wanted=named.value is not None)
    except ConfigError as exc:
        if named.value is None:
            raise
        raise ConfigError(f"{named.source}: {exc.message}", hint=exc.hint) from exc
    return None if found is None else _parsed(found, path, groups)


def read_policy(path: Path, groups: Collection[str] = (), *, wanted: bool) -> Policy | None:
    """The policy of a file that only its owner and root can write or replace; see :func:`server_policy`."""
    found = trusted_file.read_kept(path, wanted=wanted)
    return None if found is None else _parsed(found, path, groups)


def _parsed(found: trusted_file.Trusted, path: Path, groups: Collection[str]) -> Policy:
    from .policy_yaml import parse_policy  # noqa: PLC0415 - most servers have no policy

    return parse_policy(found.data, path, groups)
