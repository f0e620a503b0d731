"""``hook status``: where our hook is installed, and what it is worth there."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from molecule_approve.cli import options, output
from molecule_approve.cli.exits import Exit
from molecule_approve.integrations.hook_files.interface import dotted
from molecule_approve.integrations.hook_files.survey import faults_of
from molecule_approve.safe_text import visible

from .install import here

if TYPE_CHECKING:
    from collections.abc import Iterator

    from molecule_approve.integrations.hook_files.interface import HostFile
    from molecule_approve.integrations.hook_files.survey import Installed
    from molecule_approve.model import JsonValue


def status(json: options.Json = False) -> int:
    """Show where the hook is installed, for you and for this project.

    For each host: the settings file, the command and whether it can be started, the time limit, and whether the host
    blocks if the hook is lost: if it cannot start, is killed or is late.
    """
    from molecule_approve.integrations.hook_files.registry import HOST_FILES
    from molecule_approve.integrations.hook_files.survey import entries_of, host_version

    where = here()
    rows: list[JsonValue] = []
    for host in HOST_FILES.values():
        version, found = host_version(host, where.environ), entries_of(host, where)
        rows.append(_as_json(host, version, found))
        for line in () if json else _lines(host, version, found):
            output.answer(visible(line), foreign=True)
    if json:
        output.answer_json(rows)
    return Exit.OK


def _as_json(host: HostFile, version: tuple[int, ...] | None, found: list[Installed]) -> JsonValue:
    return {
        "host": host.name,
        "version": dotted(version) if version else None,
        "gap": host.gap or None,
        "installed": [_entry_as_json(one, version) for one in found],
    }


def _entry_as_json(found: Installed, version: tuple[int, ...] | None) -> JsonValue:
    entry, faults = found.entry, faults_of(found, version)
    place: dict[str, JsonValue] = {"scope": found.scope.value, "path": os.fsdecode(found.path)}
    told: list[JsonValue] = [*faults]
    if entry is None:
        return {**place, "faults": told}
    return {
        **place,
        "event": entry.event,
        "matcher": entry.matcher or None,
        "command": list(entry.words),
        "shell": entry.shell or None,
        "limit_seconds": entry.limit,
        "blocks_if_lost": _blocks_if_lost(found, version),
        "faults": told,
    }


def _lines(host: HostFile, version: tuple[int, ...] | None, found: list[Installed]) -> Iterator[str]:
    known = f" (version {dotted(version)})" if version else ""
    if not found:
        yield f"{host.name}{known}: not installed"
        return
    path = None
    for one in found:
        if one.path != path:
            path = one.path
            yield f"{host.name}{known}: {one.scope.value}, {path}"
        if one.entry is not None:
            yield f"  {one.entry.event}, tools: {one.entry.matcher or 'all'}, limit: {one.entry.limit:g} s"
            yield f"  command: {' '.join(one.entry.words)}"
            yield f"  if the hook is lost: {_when_lost(one, version)}"
        for fault in faults_of(one, version):
            yield f"  fault: {fault}"
    if host.gap:
        yield f"  {host.gap}"


def _blocks_if_lost(found: Installed, version: tuple[int, ...] | None) -> bool:
    return found.entry is not None and found.entry.blocks_if_lost and not found.host.needs(found.entry, version)


def _when_lost(found: Installed, version: tuple[int, ...] | None) -> str:
    if not _blocks_if_lost(found, version):
        return "THE TOOL RUNS"
    since = found.host.since
    return f"the tool is blocked, by version {dotted(since)} and later" if since and not version else "the tool is blocked"
