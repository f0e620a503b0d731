"""What is said of installed hooks: where they are, the host's version, and whether the host can fail open."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from molecule_approve.doctor.checks import Finding, Grade
from molecule_approve.doctor.hooks import checks
from molecule_approve.integrations.hook_files.interface import InstalledCommand, Scope
from molecule_approve.integrations.hook_files.registry import HOST_FILES
from molecule_approve.integrations.hook_files.survey import Whereabouts
from tests.doctor.conftest import found_by

OK, WARNING, SKIPPED = Grade.OK, Grade.WARNING, Grade.SKIPPED


@pytest.fixture
def where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Whereabouts:
    """A user in a project of theirs, with hosts that this test puts on the PATH."""
    project = tmp_path / "home" / "project"
    (project / ".git").mkdir(parents=True)
    (tmp_path / "bin").mkdir()
    monkeypatch.chdir(project)
    return Whereabouts({"HOME": str(tmp_path / "home"), "PATH": str(tmp_path / "bin")}, tmp_path / "home", project)


def script(path: Path, text: str) -> str:
    """An executable shell script."""
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def install(where: Whereabouts, name: str, version: str = "", scope: Scope = Scope.USER) -> Path:
    """Our hook in a host's file, with a program that can be started; and the host's own program, if it has a version."""
    folder, host = Path(where.environ["PATH"]), HOST_FILES[name]
    if version:
        script(folder / host.programs[0], f"echo {version}")
    path = where.path(host, scope)
    path.parent.mkdir(parents=True, exist_ok=True)
    command = InstalledCommand(script(folder / "molecule-approve", "exit 2"), ("hook", name))
    path.write_text(json.dumps(host.installed({}, path, command)))
    return path


def look(where: Whereabouts, name: str) -> Finding:
    """What is said of one host's hook."""
    return found_by(checks(where.environ))[f"machine.hooks.{name}"]


def test_without_a_hook_nothing_is_amiss(where: Whereabouts) -> None:
    """Every host has its line."""
    found = found_by(checks(where.environ))
    assert set(found) == {f"machine.hooks.{name}" for name in HOST_FILES}
    assert {(finding.result, finding.detail) for finding in found.values()} == {(SKIPPED, "no hook is installed")}


def test_a_hook_that_blocks_whatever_happens_is_ok(where: Whereabouts) -> None:
    """With the host's version, and both files if there are two."""
    user = install(where, "claude-code", "2.1.302")
    project = install(where, "claude-code", scope=Scope.PROJECT)
    finding = look(where, "claude-code")
    assert (finding.result, finding.advice) == (OK, "")
    assert finding.detail == (
        f"claude-code 2.1.302, hook in {user} (user), {project} (project); a hook that is lost blocks the tool"
    )


@pytest.mark.parametrize(
    ("version", "words"),
    [("2.1.294", "update to 2.1.295 or later"), ("", "of an unknown version, hook in ")],
)
def test_a_host_that_may_be_too_old_is_a_warning(where: Whereabouts, version: str, words: str) -> None:
    """It ignores the setting that blocks; an unknown version may be one of those."""
    install(where, "claude-code", version)
    finding = look(where, "claude-code")
    assert finding.result is WARNING
    assert words in finding.detail
    assert ("versions before 2.1.295 fail open" in finding.detail) == (version == "")
    assert "hook install claude-code" in finding.advice


def test_a_host_that_offers_nothing_is_a_warning(where: Whereabouts) -> None:
    """With its own sentence, once."""
    install(where, "gemini", "0.30.1")
    finding = look(where, "gemini")
    assert finding.result is WARNING
    assert finding.detail.endswith(f"(user); {HOST_FILES['gemini'].gap}")
    assert finding.advice == "keep the host's own permission rules strict"


def test_a_hook_without_the_setting_that_blocks_is_a_warning(where: Whereabouts) -> None:
    """Somebody removed it."""
    path = install(where, "claude-code", "2.1.302")
    path.write_text(path.read_text().replace('"onFailure": "block", ', ""))
    assert "it fails open: the host runs the tool if the hook cannot start" in look(where, "claude-code").detail


def test_a_hook_whose_program_is_gone_is_a_warning(where: Whereabouts) -> None:
    """The host cannot start it."""
    install(where, "copilot", "1.0.0")
    (Path(where.environ["PATH"]) / "molecule-approve").unlink()
    detail = look(where, "copilot").detail
    assert "does not exist" in detail
    assert detail.endswith(HOST_FILES["copilot"].gap)


def test_a_file_that_cannot_be_read_is_a_warning(where: Whereabouts) -> None:
    """Nobody knows what the host makes of it."""
    install(where, "claude-code", "2.1.302").write_text("{")
    finding = look(where, "claude-code")
    assert finding.result is WARNING
    assert "settings.json" in finding.detail


def test_a_folder_that_was_removed_has_no_project(where: Whereabouts) -> None:
    """The user's own hooks are found."""
    path = install(where, "claude-code", "2.1.302")
    gone = where.project / "gone"
    gone.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(gone)
        gone.rmdir()
        assert str(path) in look(where, "claude-code").detail


def test_no_home_folder_is_a_warning(where: Whereabouts) -> None:
    """A request may do without one, by XDG_STATE_HOME, where no hook can be looked for."""
    found = look(where._replace(environ={**where.environ, "HOME": "home/me"}), "codex")
    assert (found.result, found.advice) == (WARNING, "set HOME to a folder of your own")
    assert found.detail == "the home folder 'home/me' is not an absolute path"
