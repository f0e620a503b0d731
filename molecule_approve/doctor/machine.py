"""What is installed on this machine: completions for the shells, hooks of agents; and whether this is a CI job."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from molecule_approve.gate.compose import Origin, context_of
from molecule_approve.settings.resolve import in_ci

from . import hooks
from .checks import Check, Finding, Grade, Setup

_NAMES = {
    "bash": ("molecule-approve", "molecule-approve.bash", "_molecule-approve"),
    "zsh": ("_molecule-approve",),
    "fish": ("molecule-approve.fish",),
}
"""The names under which each shell loads a completion."""

_SHIPPED = {
    "bash": "share/bash-completion/completions/molecule-approve",
    "zsh": "share/zsh/site-functions/_molecule-approve",
    "fish": "share/fish/vendor_completions.d/molecule-approve.fish",
}
"""Where the wheel puts them, below the environment's folder."""


def checks(around: Setup) -> Iterator[tuple[str, Check]]:
    """The checks of this machine. A request works without all of it."""
    yield "machine.completions", partial(_completions, around.environ)
    yield from hooks.checks(around.environ)
    yield "machine.ci", partial(_ci, around.environ)


# --- completions -------------------------------------------------------------------------------------------------------


def _completions(environ: Mapping[str, str]) -> Iterator[Finding]:
    own = os.path.basename(environ.get("SHELL", ""))  # noqa: PTH119 - a name, not a file
    for shell, names in _NAMES.items():
        check = f"machine.completions.{shell}"
        places = [folder / name for folder in _folders(shell, environ) for name in names]
        found = next((path for path in places if path.is_file()), None)
        if found is not None:
            yield Finding(check, Grade.OK, f"installed: {found}")
        elif shutil.which(shell, path=environ.get("PATH")) is None:
            yield Finding(check, Grade.SKIPPED, f"{shell} is not installed")
        else:
            grade = Grade.WARNING if shell == own else Grade.SKIPPED
            yield Finding(
                check, grade, f"no completion for {shell} in its usual places", f"link {_script(shell)} to {places[0]}"
            )


def _script(shell: str) -> str:
    """The completion that was installed with the program; a checkout has it in its own folder."""
    path = Path(sys.prefix) / _SHIPPED[shell]
    return str(path) if path.is_file() else "the script in completions/"


def _folders(shell: str, environ: Mapping[str, str]) -> Iterator[Path]:
    """Where the shell looks, the user's own places first."""
    home = Path(environ.get("HOME") or "/")
    data = Path(environ.get("XDG_DATA_HOME") or home / ".local" / "share")
    shared = [data, *(Path(part) for part in (environ.get("XDG_DATA_DIRS") or "/usr/local/share:/usr/share").split(":"))]
    if shell == "bash":
        if environ.get("BASH_COMPLETION_USER_DIR"):
            yield from (Path(part) / "completions" for part in environ["BASH_COMPLETION_USER_DIR"].split(":"))
        yield from (folder / "bash-completion" / "completions" for folder in shared)
        yield Path("/etc/bash_completion.d")
    elif shell == "zsh":
        yield from (Path(part) for part in environ.get("FPATH", "").split(":") if part)
        yield from (folder / "zsh" / part for folder in shared for part in ("site-functions", "vendor-completions"))
    else:
        config = Path(environ.get("XDG_CONFIG_HOME") or home / ".config")
        yield config / "fish" / "completions"
        yield Path("/etc/fish/completions")
        yield from (folder / "fish" / "vendor_completions.d" for folder in shared)


# --- CI --------------------------------------------------------------------------------------------------------------


def _ci(environ: Mapping[str, str]) -> Iterator[Finding]:
    if not in_ci(environ):
        yield Finding("machine.ci", Grade.OK, "this is not a CI job")
        return
    job = context_of(Origin("", "", ""), environ, {}).get("ci")
    system = job.get("system") if isinstance(job, dict) else None
    detail = f"a CI job ({system or 'CI is set'}): no embedded server is looked for, and progress is shown in plain lines"
    yield Finding("machine.ci", Grade.OK, detail)
