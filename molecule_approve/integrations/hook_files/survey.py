"""What is installed: our hooks in the files of all hosts, for one user and one project; and the hosts' versions."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tomllib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from molecule_approve.errors import ConfigError
from molecule_approve.paths import home

from .interface import Scope
from .registry import HOST_FILES
from .settings_file import read

if TYPE_CHECKING:
    from .interface import HookEntry, HostFile, JsonObject

VERSION_LIMIT = 10.0
"""Seconds that a host's program may take to say its version."""


class Whereabouts(NamedTuple):
    """For whom to look: the environment, the home folder, and the project's folder."""

    environ: Mapping[str, str]
    home: Path
    project: Path

    @classmethod
    def here(cls, environ: Mapping[str, str], folder: Path) -> Whereabouts:
        """This user, and the project that the folder belongs to: the nearest folder above with ``.git``, else itself.

        Raises:
            ConfigError: this user has no home folder.
        """
        above = (folder, *folder.parents)
        return cls(environ, home(environ), next((found for found in above if (found / ".git").exists()), folder))

    def path(self, host: HostFile, scope: Scope) -> Path:
        """The host's file."""
        return host.path(scope, self.environ, self.home, self.project)


class Installed(NamedTuple):
    """One entry of ours, or a file that cannot be read.

    Attributes:
        entry: the entry; None if the file cannot be read.
        trouble: why it cannot be read; else empty.
    """

    host: HostFile
    scope: Scope
    path: Path
    entry: HookEntry | None
    trouble: str = ""


def survey(where: Whereabouts) -> list[Installed]:
    """Every entry of ours, host by host, and every file that may hold one and cannot be read."""
    return [found for host in HOST_FILES.values() for found in entries_of(host, where)]


def entries_of(host: HostFile, where: Whereabouts) -> list[Installed]:
    """The same for one host."""
    found: list[Installed] = []
    # In the home folder the project's file may be the user's own.
    places = {where.path(host, scope): scope for scope in reversed(Scope)}
    others = _readable(*places, *host.switches(where.environ, where.home, where.project))
    for path, scope in reversed(places.items()):
        try:
            found += [
                Installed(host, scope, path, _with_trust(host, entry, path, where))
                for entry in host.entries(read(path).document, path, others)
            ]
        except ConfigError as exc:
            found.append(Installed(host, scope, path, None, exc.message))
    return found


def _with_trust(host: HostFile, entry: HookEntry, path: Path, where: Whereabouts) -> HookEntry:
    """The entry; that the host skips it because the user does not trust it is a fault of it."""
    file = host.trust_file(where.environ, where.home)
    if file is None:
        return entry
    try:
        text = file.read_text(encoding="utf-8") if file.exists() else ""
        why = host.untrusted(tomllib.loads(text), path, entry.event)
    except (OSError, ValueError) as exc:
        why = f"{file} cannot be read, so nobody knows whether you trust the hook: {exc}"
    return entry._replace(faults=(*entry.faults, *filter(None, (why,))))


def _readable(*paths: Path) -> dict[Path, JsonObject]:
    """The values of those files that can be read; hosts that allow comments may have others."""
    found = {}
    for path in paths:
        with suppress(ConfigError):
            found[path] = read(path).document
    return found


def program_fault(entry: HookEntry) -> str:
    """Why the entry's program cannot be started, as a sentence; empty if it can."""
    program = entry.program
    if not program.startswith("/"):
        return f"{program} is not an absolute path: the host may find another program, or none"
    if not os.path.isfile(program):  # noqa: PTH113 - Path.is_file raises if a folder above is closed to us
        return f"{program} does not exist, or this user cannot see it"
    return "" if os.access(program, os.X_OK) else f"{program} is not executable"


def faults_of(found: Installed, version: tuple[int, ...] | None) -> list[str]:
    """What is wrong with an entry, a sentence each, the host's own version included."""
    if found.entry is None:
        return [found.trouble]
    return [*filter(None, (program_fault(found.entry), found.host.needs(found.entry, version))), *found.entry.faults]


def host_version(host: HostFile, environ: Mapping[str, str]) -> tuple[int, ...] | None:
    """The version that the host's own program states; None if it is not on PATH, or does not say."""
    search = environ.get("PATH", os.defpath)
    program = next((found for name in host.programs if (found := shutil.which(name, path=search))), None)
    if program is None:
        return None
    try:
        said = subprocess.run(  # noqa: S603 - the host's own program, as the user would start it
            [program, "--version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=VERSION_LIMIT,
            env=dict(environ),
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    version = re.search(rb"(\d+)\.(\d+)\.(\d+)", said.stdout)
    return None if version is None else tuple(int(part) for part in version.groups())
