"""survey.py: what is installed where, whether it can be started, and which version the host has."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from molecule_approve.errors import ConfigError
from molecule_approve.integrations.hook_files import survey as survey_module
from molecule_approve.integrations.hook_files.interface import HookEntry, InstalledCommand, Scope
from molecule_approve.integrations.hook_files.registry import HOST_FILES
from molecule_approve.integrations.hook_files.survey import (
    Whereabouts,
    entries_of,
    host_version,
    program_fault,
    survey,
)
from tests.users import become


def script(path: Path, text: str) -> Path:
    """An executable shell script."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def install(host: str, where: Whereabouts, scope: Scope) -> Path:
    """Our hook, installed."""
    path = where.path(HOST_FILES[host], scope)
    path.parent.mkdir(parents=True, exist_ok=True)
    command = InstalledCommand("/opt/molecule-approve", ("hook", host))
    path.write_text(json.dumps(HOST_FILES[host].installed({}, path, command)))
    return path


@pytest.fixture
def where(tmp_path: Path) -> Whereabouts:
    """A user's home with a project in it."""
    return Whereabouts({}, tmp_path, tmp_path / "project")


def test_the_project_is_the_repository_around_us(tmp_path: Path) -> None:
    """Else the folder itself; a worktree's .git is a file."""
    inner = tmp_path / "repository" / "src" / "deep"
    inner.mkdir(parents=True)
    environ = {"HOME": str(tmp_path)}
    assert Whereabouts.here(environ, inner) == Whereabouts(environ, tmp_path, inner)
    (tmp_path / "repository" / ".git").write_text("gitdir: elsewhere")
    assert Whereabouts.here(environ, inner).project == tmp_path / "repository"


def test_without_home_the_user_s_own_folder_counts(tmp_path: Path) -> None:
    """As the system knows it."""
    assert Whereabouts.here({}, tmp_path).home == Path("~").expanduser()


def test_a_home_folder_that_is_none_is_told(tmp_path: Path) -> None:
    """In the words of every other command, with HOME as the one way to name it."""
    with pytest.raises(ConfigError, match="'home/me' is not an absolute path") as caught:
        Whereabouts.here({"HOME": "home/me"}, tmp_path)
    assert caught.value.hint == "set HOME to a folder of your own"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become a user that is not in passwd")
def test_no_home_at_all_is_a_sentence(tmp_path: Path) -> None:
    """A container's user may have neither HOME nor an entry in passwd."""
    become(2_000_000_001)
    try:
        with pytest.raises(ConfigError, match="HOME is not set, and user 2000000001 is not in passwd"):
            Whereabouts.here({}, tmp_path)
    finally:
        become(0)


def test_every_entry_is_found_host_by_host(where: Whereabouts) -> None:
    """The user's before the project's; a file that cannot be read says so in its place."""
    assert survey(where) == []
    user = install("claude-code", where, Scope.USER)
    project = install("claude-code", where, Scope.PROJECT)
    broken = install("codex", where, Scope.USER)
    broken.write_text("{")
    found = survey(where)
    assert [(one.host.name, one.scope, one.path, one.entry is None) for one in found] == [
        ("claude-code", Scope.USER, user, False),
        ("claude-code", Scope.PROJECT, project, False),
        ("codex", Scope.USER, broken, True),
    ]
    assert "not plain JSON" in found[-1].trouble


def test_a_file_that_is_both_is_told_once(tmp_path: Path) -> None:
    """In the home folder, the project's settings are the user's own."""
    where = Whereabouts({}, tmp_path, tmp_path)
    install("claude-code", where, Scope.PROJECT)
    assert [one.scope for one in entries_of(HOST_FILES["claude-code"], where)] == [Scope.USER]


@pytest.mark.parametrize(
    ("host", "file"),
    [
        ("claude-code", ".claude/settings.json"),
        ("claude-code", "project/.claude/settings.json"),
        ("claude-code", "project/.claude/settings.local.json"),
        ("copilot", ".copilot/settings.json"),
        ("copilot", "project/.github/copilot/settings.json"),
        ("copilot", "project/.github/copilot/settings.local.json"),
    ],
)
def test_hooks_that_another_file_turns_off_are_a_fault(where: Whereabouts, host: str, file: str) -> None:
    """Whichever of the host's files says so; one that cannot be read says nothing."""
    install(host, where, Scope.USER)
    path = where.home / file
    path.parent.mkdir(parents=True, exist_ok=True)
    before = path.read_text() if path.exists() else "{}"
    path.write_text(json.dumps({**json.loads(before), "disableAllHooks": True}))
    (found,) = entries_of(HOST_FILES[host], where)
    assert found.entry is not None
    assert found.entry.faults == (f"disableAllHooks is true in {path}: it does not run",)
    if before == "{}":
        path.write_text("{ // no\n}")
        assert all(one.entry is None or one.entry.faults == () for one in entries_of(HOST_FILES[host], where))


def entry(program: str) -> HookEntry:
    """An entry that starts this program."""
    return HookEntry("PreToolUse", "", (program, "hook", "codex"), "", 600, blocks_if_lost=True)


def test_a_program_that_cannot_start_is_a_fault(tmp_path: Path) -> None:
    """It is missing, a folder, not executable, or named without its folder."""
    program = script(tmp_path / "molecule-approve", "exit 0")
    assert program_fault(entry(str(program))) == ""
    program.chmod(0o644)
    assert program_fault(entry(str(program))) == f"{program} is not executable"
    program.unlink()
    assert program_fault(entry(str(program))) == f"{program} does not exist, or this user cannot see it"
    program.mkdir()
    assert "does not exist" in program_fault(entry(str(program)))
    assert "not an absolute path" in program_fault(entry("molecule-approve"))


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("echo 2.1.302 '(Claude Code)'", (2, 1, 302)),
        ("echo codex-cli 0.155.1", (0, 155, 1)),
        ("echo unknown", None),
        ("exit 1", None),
    ],
)
def test_the_host_s_program_says_its_version(tmp_path: Path, text: str, version: tuple[int, ...] | None) -> None:
    """Whatever stands around it."""
    script(tmp_path / "claude", text)
    assert host_version(HOST_FILES["claude-code"], {"PATH": f"{tmp_path}:/bin"}) == version


def test_a_host_that_is_not_there_has_no_version(tmp_path: Path) -> None:
    """Nor one that cannot be started; the first name that there is counts."""
    assert host_version(HOST_FILES["cursor"], {"PATH": str(tmp_path)}) is None
    script(tmp_path / "cursor", "echo 3.21.16")
    assert host_version(HOST_FILES["cursor"], {"PATH": f"{tmp_path}:/bin"}) == (3, 21, 16)
    (tmp_path / "cursor").write_text("#!/nowhere/interpreter\n")
    assert host_version(HOST_FILES["cursor"], {"PATH": str(tmp_path)}) is None


def test_a_host_that_does_not_answer_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would hold up everything else."""
    monkeypatch.setattr(survey_module, "VERSION_LIMIT", 0.1)
    script(tmp_path / "claude", "exec sleep 60")
    assert host_version(HOST_FILES["claude-code"], {"PATH": f"{tmp_path}:/bin:/usr/bin"}) is None


@pytest.mark.parametrize(
    ("state", "fault"),
    [
        (None, "you have not trusted it"),
        ("", "you have not trusted it"),
        ("[hooks]\nstate = 1", "you have not trusted it"),
        ('[hooks.state."/elsewhere/hooks.json:pre_tool_use:0:0"]\nenabled = true', "you have not trusted it"),
        ('[hooks.state."PATH:pre_tool_use:0:0"]\nenabled = true\ntrusted_hash = "sha256:1"', None),
        ('[hooks.state."PATH:pre_tool_use:0:0"]\nenabled = false\ntrusted_hash = "sha256:1"', "it is turned off"),
        ("[hooks", "config.toml cannot be read"),
    ],
)
def test_a_hook_that_codex_skips_is_a_fault(where: Whereabouts, state: str | None, fault: str | None) -> None:
    """Until its user has trusted it in Codex's own window, which notes that in config.toml."""
    path = install("codex", where, Scope.USER)
    if state is not None:
        path.with_name("config.toml").write_text(state.replace("PATH", str(path)))
    (found,) = entries_of(HOST_FILES["codex"], where)
    assert found.entry is not None
    assert [one.startswith(fault or "?") or (fault or "?") in one for one in found.entry.faults] == [True] * bool(fault)
