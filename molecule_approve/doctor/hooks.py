"""Our hooks in the settings of agents' hosts: where they are, the host's version, and whether the host fails open."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from molecule_approve.errors import ConfigError
from molecule_approve.integrations.hook_files.interface import dotted
from molecule_approve.integrations.hook_files.registry import HOST_FILES
from molecule_approve.integrations.hook_files.survey import Whereabouts, entries_of, faults_of, host_version

from .checks import Check, Finding, Grade, failure

if TYPE_CHECKING:
    from molecule_approve.integrations.hook_files.interface import HostFile
    from molecule_approve.integrations.hook_files.survey import Installed


def checks(environ: Mapping[str, str]) -> Iterator[tuple[str, Check]]:
    """One check for each host whose settings are known."""
    for name, host in HOST_FILES.items():
        yield f"machine.hooks.{name}", partial(_hook, host, environ)


def _hook(host: HostFile, environ: Mapping[str, str]) -> Iterator[Finding]:
    check = f"machine.hooks.{host.name}"
    try:
        entries = entries_of(host, Whereabouts.here(environ, _folder()))
    except ConfigError as exc:  # no home folder; a request may do without one
        yield failure(check, exc, Grade.WARNING)
        return
    if not entries:
        yield Finding(check, Grade.SKIPPED, "no hook is installed")
        return
    version = host_version(host, environ)
    where = ", ".join(dict.fromkeys(f"{entry.path} ({entry.scope.value})" for entry in entries))
    detail = f"{host.name} {dotted(version) if version else 'of an unknown version'}, hook in {where}"
    faults = [*dict.fromkeys(fault for entry in entries for fault in _faults(entry, version))]
    if not faults and not host.gap:
        yield Finding(check, Grade.OK, f"{detail}; a hook that is lost blocks the tool")
        return
    again = f"see molecule-approve hook status; to install it again: molecule-approve hook install {host.name}"
    advice = again if faults else "keep the host's own permission rules strict"
    yield Finding(check, Grade.WARNING, "; ".join([detail, *faults, *filter(None, [host.gap])]), advice)


def _folder() -> Path:
    try:
        return Path.cwd()
    except OSError:  # it was removed
        return Path("/")


def _faults(found: Installed, version: tuple[int, ...] | None) -> Iterator[str]:
    """What is wrong with an entry, a sentence each; that the host may not know how to block is a fault too."""
    yield from faults_of(found, version)
    if found.entry is not None and not found.entry.blocks_if_lost:
        yield "it fails open: the host runs the tool if the hook cannot start or is killed"
    elif found.entry is not None and found.host.since and version is None:
        yield f"versions before {dotted(found.host.since)} fail open"
