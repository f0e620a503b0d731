"""``hook install`` and ``hook uninstall``: our entry in a host's settings file, shown before it is written."""

from __future__ import annotations

import difflib
import json
import os
import sysconfig
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from molecule_approve.cli import options, output
from molecule_approve.cli.exits import Exit
from molecule_approve.cli.help import option
from molecule_approve.errors import ApprovalError, ConfigError, UsageError
from molecule_approve.safe_text import visible

if TYPE_CHECKING:
    from collections.abc import Iterable

    from molecule_approve.integrations.hook_files.interface import HostFile, InstalledCommand, Scope
    from molecule_approve.integrations.hook_files.settings_file import SettingsFile
    from molecule_approve.integrations.hook_files.survey import Whereabouts

HOSTS = "claude-code, codex, gemini, cursor, copilot"

HostArgument = Annotated[str, typer.Argument(metavar="HOST", help=f"One of {HOSTS}.")]
User = Annotated[bool, option("--user", None, "In your own settings, for all projects. The default.")]
Project = Annotated[bool, option("--project", None, "In the settings of this project.")]
Matcher = Annotated[
    str | None,
    option("--matcher", "PATTERN", "Which tools, in the host's own form; '' is all. The default: what can change things."),
]


@options.connected
def install(
    connection: options.ConnectionOptions,
    host: HostArgument,
    user: User = False,
    project: Project = False,
    matcher: Matcher = None,
    only_print: Annotated[bool, option("--print", None, "Only print a settings file with the hook in it.")] = False,
    yes: Annotated[
        bool, option("--yes", None, "Do not ask. Only for a hook that is new: a change needs a person at a terminal.")
    ] = False,
) -> int:
    """Install the hook in a host's settings file.

    The difference is shown first, and must be confirmed with y. All else in the file stays. The options of the connection
    become part of the hook's command.
    """
    from molecule_approve.integrations.hook_files.json_text import rewritten
    from molecule_approve.integrations.hook_files.settings_file import read

    file, where = host_file(host), here()
    scope = _scope(user=user, project=project)
    path, command = where.path(file, scope), _command(file, connection)
    if only_print:
        output.answer(rewritten("", file.installed({}, path, command, matcher)).rstrip("\n"))
        return Exit.OK
    found = read(path)
    wanted = file.installed(found.document, path, command, matcher)
    if json.dumps(wanted) == json.dumps(found.document):
        output.done(visible(f"already installed in {path}"))
    else:
        text = found.changed(wanted)
        _confirm(found, text, unasked=yes and not file.entries(found.document, path))
        found.write(text)
        output.done(visible(f"installed in {path}"))
    for sentence in _advice(file, where, scope):
        output.talk(f"{output.PROGRAM}: {visible(sentence)}")
    return Exit.OK


def uninstall(host: HostArgument, user: User = False, project: Project = False) -> int:
    """Remove the hook from a host's settings file.

    The difference is shown first, and must be confirmed with y at a terminal.
    """
    from molecule_approve.integrations.hook_files.settings_file import read

    file, where = host_file(host), here()
    path = where.path(file, _scope(user=user, project=project))
    found = read(path)
    if not file.entries(found.document, path):
        output.done(visible(f"not installed in {path}"))
        return Exit.OK
    left = file.removed(found.document, path)
    empty = left == file.blank
    text = "" if empty else found.changed(left)
    _confirm(found, text, unasked=False)
    if empty:
        found.remove()
    else:
        found.write(text)
    output.done(visible(f"removed from {path}"))
    return Exit.OK


def host_file(name: str) -> HostFile:
    """The host of this name.

    Raises:
        UsageError: there is none.
    """
    from molecule_approve.integrations.hook_files.registry import HOST_FILES

    if name not in HOST_FILES:
        raise UsageError(f"unknown host {name[:40]!r}", hint=f"one of {HOSTS}")
    return HOST_FILES[name]


def here() -> Whereabouts:
    """This user, and the project that we are in."""
    from molecule_approve.integrations.hook_files.survey import Whereabouts

    return Whereabouts.here(dict(os.environ), Path.cwd())


def own_program(schemes: Iterable[str] = (sysconfig.get_default_scheme(), "posix_user")) -> str:
    """The absolute path of this very installation's program.

    Raises:
        ConfigError: this package has none, or it cannot be executed.
    """
    for scheme in schemes:
        path = Path(sysconfig.get_path("scripts", scheme)) / output.PROGRAM
        if path.is_file() and os.access(path, os.X_OK):
            return str(path)
    raise ConfigError(
        f"this Python has no executable program {output.PROGRAM}, which the host could start",
        hint="install molecule-approve again, with pip, pipx or uv",
    )


def _scope(*, user: bool, project: bool) -> Scope:
    from molecule_approve.integrations.hook_files.interface import Scope

    if user and project:
        raise UsageError("--user and --project cannot be combined", hint="choose one of them")
    return Scope.PROJECT if project else Scope.USER


def _command(file: HostFile, connection: options.ConnectionOptions) -> InstalledCommand:
    """What the host is to start: with paths that are the same from every folder."""
    from molecule_approve.integrations.hook_files.interface import LIMIT, InstalledCommand
    from molecule_approve.settings.values import path_of

    words = ["hook", file.name, "--limit", str(LIMIT)]
    for key, value in connection._asdict().items():
        if value is not None:
            flag = f"--{key.replace('_', '-')}"
            given = os.path.abspath(path_of(value, flag)) if key in {"config", "audit_log"} else value  # noqa: PTH100 - links stay
            words += [flag, given]
    return InstalledCommand(own_program(), tuple(words))


def _confirm(found: SettingsFile, text: str, *, unasked: bool) -> None:
    """Show the difference and ask; return only if the person agrees, or need not be asked.

    Raises:
        UsageError: there is no terminal.
        ApprovalError: the person did not agree.
    """
    from molecule_approve.cli.decide import stoppable
    from molecule_approve.cli.prompt import ask

    before, after = found.text.splitlines(), text.splitlines()
    output.talk(f"{visible(str(found.path))}:")
    # Without the two lines of names: they begin like an order to a log reader, and would be shown as escapes.
    for line in islice(difflib.unified_diff(before, after, lineterm=""), 2, None):
        output.talk(visible(line))
    if unasked:
        return
    if not output.at_terminal():
        hint = "run this at a terminal; `hook install` takes --yes where no hook is installed yet"
        raise UsageError("there is no terminal to ask at, and nothing was written", hint=hint)
    with stoppable():
        if (ask("write this? [y/N]: ") or "").lower() not in {"y", "yes"}:
            raise ApprovalError("not confirmed: nothing was written")


def _advice(file: HostFile, where: Whereabouts, scope: Scope) -> Iterable[str]:
    """What the user must know or do, a sentence each."""
    from molecule_approve.integrations.hook_files.interface import Scope
    from molecule_approve.integrations.hook_files.survey import entries_of, host_version

    if scope is Scope.PROJECT:
        yield "the command is a path of this machine: commit the file only if it is the same for everybody"

    version = host_version(file, where.environ)
    lacks = {file.needs(found.entry, version) for found in entries_of(file, where) if found.entry is not None}
    yield from filter(None, (*lacks, file.gap, file.afterwards))
    yield f"try it: {output.PROGRAM} hook test {file.name}"
