"""The agents' own programs: where they are, how they run without a person, and what each does when its hook is lost."""

from __future__ import annotations

import functools
import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from molecule_approve.integrations.hook_files.interface import InstalledCommand, Scope
from molecule_approve.integrations.hook_files.registry import HOST_FILES
from tests.integration.fake_model import FakeModel

FOLDERS = "HOSTS_PATH"
"""The variable with further folders in which the hosts' programs may be, written as PATH is."""

_PATH = os.pathsep.join(filter(None, (os.environ.get(FOLDERS), os.environ.get("PATH", os.defpath))))

PATIENCE = 100.0
"""Seconds that a host's program may take; on an idle machine it takes one to four."""

LOST = {
    "missing": "",
    "crashed": "#!/bin/sh\nexit 1\n",
    "killed": "#!/bin/sh\nkill -KILL $$\n",
    "late": "#!/bin/sh\nexec sleep 15\n",
}
"""The ways to lose a hook, each as the program that stands in the place of ours; there is none where it is missing."""

Files = Mapping[str, Any]
"""Settings files in the home folder: text, or a value to write as JSON."""


class Host(NamedTuple):
    """One agent's program.

    Attributes:
        name: as in ``molecule-approve hook NAME``.
        program: the program's name.
        arguments: so that it runs once without a person, and asks nobody for leave of its own accord.
        environ: the variables that lead it to the model at this address.
        files: the settings files that do so.
        fails_open: in which ways of losing the hook the command runs nevertheless,
        measured: with this version.
        blocks_since: older versions run the command in all of them.

    """

    name: str
    program: str
    arguments: tuple[str, ...]
    environ: Callable[[str], dict[str, str]]
    files: Callable[[str], Files]
    fails_open: frozenset[str]
    measured: str
    blocks_since: tuple[int, ...] = ()

    @property
    def path(self) -> str | None:
        """Where the program is, if it is installed."""
        return shutil.which(self.program, path=_PATH)

    def runs_without(self, loss: str, version: str) -> bool:
        """Whether the command runs though the hook was lost in this way."""
        return loss in self.fails_open or _numbers(version) < self.blocks_since


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in version.split("."))


@functools.cache
def version_of(path: str) -> str:
    """What ``--version`` says."""
    with_path = {"PATH": os.environ.get("PATH", os.defpath), "HOME": "/nonexistent"}
    said = subprocess.run([path, "--version"], env=with_path, capture_output=True, text=True, timeout=PATIENCE, check=True)
    found = re.search(r"\d+\.\d+\.\d+", said.stdout)
    assert found, said.stdout
    return found[0]


def _codex_config(url: str) -> str:
    provider = f'name = "fake"\nbase_url = "{url}/v1"\nwire_api = "responses"\nenv_key = "OPENAI_API_KEY"'
    top = 'model = "fake"\nmodel_provider = "fake"\ncheck_for_update_on_startup = false'
    return f"{top}\n[analytics]\nenabled = false\n[model_providers.fake]\n{provider}\n"


_GEMINI_SETTINGS = {
    "security": {"auth": {"selectedType": "gemini-api-key"}},
    "privacy": {"usageStatisticsEnabled": False},
    "general": {"enableAutoUpdate": False},
}

HOSTS = (
    Host(
        name="claude-code",
        program="claude",
        arguments=("--allowedTools", "Bash", "-p", "go on"),
        environ=lambda url: {
            "ANTHROPIC_BASE_URL": url,
            "ANTHROPIC_API_KEY": "fake",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "DISABLE_AUTOUPDATER": "1",
        },
        files=lambda _: {},
        fails_open=frozenset(),
        measured="2.1.332",
        blocks_since=(2, 1, 295),
    ),
    Host(
        name="codex",
        program="codex",
        # A hook that its user has not trusted in the program's own window is not run.
        arguments=(
            *("exec", "--skip-git-repo-check", "--sandbox", "danger-full-access"),
            *("--dangerously-bypass-hook-trust", "go on"),
        ),
        environ=lambda _: {"OPENAI_API_KEY": "fake"},
        files=lambda url: {".codex/config.toml": _codex_config(url)},
        fails_open=frozenset({"late"}),
        measured="0.171.0",
    ),
    Host(
        name="gemini",
        program="gemini",
        arguments=("--model", "gemini-2.5-flash", "--yolo", "-p", "go on"),
        environ=lambda url: {
            "GOOGLE_GEMINI_BASE_URL": url,
            "GEMINI_API_KEY": "fake",
            "GEMINI_CLI_TRUST_WORKSPACE": "true",
        },
        files=lambda _: {".gemini/settings.json": _GEMINI_SETTINGS},
        fails_open=frozenset({"late"}),
        measured="0.61.0",
    ),
    Host(
        name="copilot",
        program="copilot",
        arguments=("--allow-all-tools", "-p", "go on"),
        environ=lambda url: {
            "COPILOT_PROVIDER_BASE_URL": url,
            "COPILOT_PROVIDER_TYPE": "anthropic",
            "COPILOT_PROVIDER_API_KEY": "fake",
            "COPILOT_MODEL": "claude-sonnet-4",
            "COPILOT_OFFLINE": "true",
            "COPILOT_AUTO_UPDATE": "false",
        },
        files=lambda _: {},
        fails_open=frozenset({"late"}),
        measured="1.0.102",
    ),
)


class Agent:
    """A host's program with a home and a project of its own, and a model that asks for a command which leaves a trace.

    Args:
        host: whose program.
        folder: where home and project are made.
        environ: the variables that it starts with, besides those that lead it to the model.
        times: how often the model asks for the command.

    Attributes:
        command: what the model asks for.
        output: what the program said, once it has run.

    """

    def __init__(self, host: Host, folder: Path, environ: Mapping[str, str], times: int = 1) -> None:
        self._host = host
        self._home, self._project, self._trace = (folder / name for name in ("home", "project", "trace"))
        self._home.mkdir()
        self._project.mkdir()
        self.command = f"echo ran >>{self._trace}"
        self._model = FakeModel(self.command, times)
        self._environ = {**environ, "HOME": str(self._home), **host.environ(self._model.url)}
        self._write(host.files(self._model.url))
        self.output = ""

    def hook(self, program: Path, limit: int = 60) -> None:
        """Have the host start this program as its hook, by the entry that `hook install` writes for it."""
        file = HOST_FILES[self._host.name]
        path = file.path(Scope.USER, self._environ, self._home, self._project)
        before = json.loads(path.read_text()) if path.exists() else {}
        command = InstalledCommand(str(program), ("hook", file.name, "--limit", str(limit)), limit)
        self._write({str(path): file.installed(before, path, command)})

    def _write(self, files: Files) -> None:
        for name, content in files.items():
            path = self._home / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content if isinstance(content, str) else json.dumps(content))

    def run(self) -> None:
        """Let it run to its end."""
        assert self._host.path is not None
        with subprocess.Popen(
            [self._host.path, *self._host.arguments],
            cwd=self._project,
            env=self._environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        ) as process:
            try:
                self.output = process.communicate(timeout=PATIENCE)[0]
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                raise
        assert process.returncode == 0, self.output

    def close(self) -> None:
        """End the model."""
        self._model.close()

    @property
    def runs(self) -> int:
        """How often the command ran."""
        return len(self._trace.read_text().splitlines()) if self._trace.exists() else 0

    @property
    def results(self) -> list[str]:
        """What the model was told of each call that it asked for."""
        return self._model.results
