"""``hook test``: starts what is installed as its host would, and looks whether the host would block."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from molecule_approve.cli import output
from molecule_approve.cli.exits import Exit
from molecule_approve.cli.serve import server_extra
from molecule_approve.errors import ConfigError
from molecule_approve.integrations.hook_files.interface import HookRun, line_of
from molecule_approve.safe_text import visible

from .install import HostArgument, here, host_file

if TYPE_CHECKING:
    from molecule_approve.integrations.hook_files.interface import HookEntry, HostFile
    from molecule_approve.integrations.hook_files.survey import Installed

    from .denying_gate import DenyingGate, Surroundings

PATIENCE = 60.0
"""Seconds that a hook may take in a test; its gate answers at once."""


def test(host: HostArgument) -> int:
    """Start the installed hook as its host does, and see it block.

    Three made-up calls: a person denies, the configuration cannot be read, the hook is killed. Exits with 0 only if all are
    blocked that this host can block. Nothing reaches your own platform or audit log.
    """
    from molecule_approve.integrations.hook_files.survey import entries_of, host_version

    file, where = host_file(host), here()
    found = entries_of(file, where)
    if not found:
        raise ConfigError(
            f"the hook is not installed for {file.name}", hint=f"install it: {output.PROGRAM} hook install {file.name}"
        )
    version = host_version(file, where.environ)
    all_blocked = True
    with _gate() as gate:
        for one in found:
            for blocked, line in _results(one, version, gate):
                output.answer(visible(f"{one.scope.value}, {line}"), foreign=True)
                all_blocked = all_blocked and blocked
    return Exit.OK if all_blocked else Exit.FAILED


def _results(found: Installed, version: tuple[int, ...] | None, gate: DenyingGate) -> Iterator[tuple[bool, str]]:
    """Whether each made-up call is blocked, or cannot be on this host; and the sentence about it."""
    host, entry = found.host, found.entry
    if entry is None:
        yield False, f"NOT TESTED: {found.trouble}"
        return
    if host.needs(entry, version):
        entry = entry._replace(blocks_if_lost=False)
    for blocked, line in _trials(host, entry, gate):
        yield blocked, f"{entry.event}: {line}"


@contextmanager
def _gate() -> Iterator[DenyingGate]:
    with server_extra():
        from .denying_gate import denying_gate
    # Not the usual temporary folder, whose path may be too long for a socket's.
    with tempfile.TemporaryDirectory(prefix="ma.", dir="/tmp") as folder, denying_gate(Path(folder)) as gate:
        yield gate


def _trials(host: HostFile, entry: HookEntry, gate: DenyingGate) -> Iterator[tuple[bool, str]]:
    asked = gate.asked
    run = _run(host, entry, gate.surroundings)
    blocked = host.blocks(run, entry)
    why = "" if gate.asked > asked else f", but nobody was asked: {_first_line(run)}"
    yield blocked, f"a person denies: {_word(blocked)}{why}"

    unreadable = str(gate.folder / "nowhere" / "config.yaml")
    broken = gate.surroundings._replace(
        variables={**gate.surroundings.variables, "WORKSPACE_CONFIG_PATH": unreadable},
        options={**gate.surroundings.options, "--config": unreadable},
    )
    run = _run(host, entry, broken)
    blocked = host.blocks(run, entry)
    yield blocked, f"the configuration cannot be read: {_word(blocked)}"

    blocked = host.blocks(_run(host, entry, gate.surroundings, kill=True), entry)
    yield blocked, f"the hook is killed: {_word(blocked)}"


def _word(blocked: bool) -> str:
    return "blocked" if blocked else "THE TOOL RUNS"


def _first_line(run: HookRun) -> str:
    return next(iter(run.stderr.splitlines()), f"exit code {run.code}, and nothing on stderr")


def _run(host: HostFile, entry: HookEntry, around: Surroundings, *, kill: bool = False) -> HookRun:
    """Start the entry's command as the host does, give it a made-up event, and wait for its end."""
    folder = str(Path.cwd())
    event = json.dumps(host.made_up(entry.event, folder))
    command = redirected(entry, around.options)
    try:
        process = subprocess.Popen(  # noqa: S603 - what the user installed, as the host starts it
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **around.variables},
            cwd=folder,
            text=True,
            errors="replace",
            start_new_session=True,  # a shell's children are killed with it
        )
    except OSError as exc:
        return HookRun(-1, "", f"{command[0]}: {exc.strerror}")
    with process:
        if kill:
            _kill(process, entry.program)
        try:
            out, err = process.communicate(event, PATIENCE)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            out, err = "", f"it did not end within {PATIENCE:g} s"
            process.wait()
    return HookRun(process.returncode, out, err)


def _kill(process: subprocess.Popen[str], program: str) -> None:
    """Kill the hook itself, as the system does that has no memory left; a shell around it lives on."""
    end = time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < end:
        for pid in _family(process.pid):
            with contextlib.suppress(OSError):
                if os.fsencode(program) in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"):
                    os.kill(pid, signal.SIGKILL)
                    return
        time.sleep(0.001)


def _family(pid: int) -> Iterator[int]:
    """A process and all that descend from it."""
    yield pid
    with contextlib.suppress(OSError):
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            yield from _family(int(child))


def redirected(entry: HookEntry, values: Mapping[str, str]) -> list[str]:
    """What the host starts, with these values for the options that the command has already."""
    words, shell = list(entry.words), line_of(entry.shell)
    for place, word in enumerate(words[:-1]):
        if word in values:
            shell = shell.replace(f"{word} {shlex.quote(words[place + 1])}", f"{word} {shlex.quote(values[word])}")
            words[place + 1] = values[word]
    return ["/bin/sh", "-c", shell] if entry.shell else words
