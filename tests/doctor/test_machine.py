"""What is said of this machine: completions in the places where shells look, hooks, CI."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from molecule_approve.doctor.checks import Finding, Grade, Setup
from molecule_approve.doctor.machine import checks
from tests.doctor.conftest import Around, found_by

OK, WARNING, SKIPPED = Grade.OK, Grade.WARNING, Grade.SKIPPED


def look(around: Setup) -> dict[str, Finding]:
    """What is said of the machine."""
    return {name.removeprefix("machine."): finding for name, finding in found_by(checks(around)).items()}


@pytest.fixture
def shells(tmp_path: Path) -> dict[str, str]:
    """Variables of a user with three shells and a home of their own."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("bash", "zsh", "fish"):
        (folder / name).write_text("#!/bin/sh\n")
        (folder / name).chmod(0o755)
    return {"PATH": str(folder), "HOME": str(tmp_path), "XDG_DATA_DIRS": str(tmp_path / "share"), "SHELL": "/bin/zsh"}


@pytest.mark.parametrize(
    ("shell", "place", "more"),
    [
        ("bash", ".local/share/bash-completion/completions/molecule-approve", {}),
        ("bash", "share/bash-completion/completions/molecule-approve.bash", {}),
        ("bash", "mine/completions/_molecule-approve", {"BASH_COMPLETION_USER_DIR": "mine"}),
        ("zsh", "share/zsh/site-functions/_molecule-approve", {}),
        ("zsh", "share/zsh/vendor-completions/_molecule-approve", {}),
        ("zsh", "mine/_molecule-approve", {"FPATH": ":mine:"}),
        ("fish", ".config/fish/completions/molecule-approve.fish", {}),
        ("fish", "mine/fish/completions/molecule-approve.fish", {"XDG_CONFIG_HOME": "mine"}),
        ("fish", "share/fish/vendor_completions.d/molecule-approve.fish", {}),
        ("fish", "mine/fish/vendor_completions.d/molecule-approve.fish", {"XDG_DATA_HOME": "mine"}),
    ],
)
def test_a_completion_is_found_where_its_shell_looks(
    around: Around, tmp_path: Path, shells: dict[str, str], shell: str, place: str, more: dict[str, str]
) -> None:
    """In the user's own places and in the system's; the others are not installed."""
    path = tmp_path / place
    path.parent.mkdir(parents=True)
    path.touch()
    own = {name: value.replace("mine", str(tmp_path / "mine")) for name, value in more.items()}
    found = look(around(**shells, **own))
    assert found[f"completions.{shell}"] == Finding(f"machine.completions.{shell}", OK, f"installed: {path}")
    assert {finding.result for name, finding in found.items() if name.startswith("comp")} >= {OK, SKIPPED}


def test_a_completion_that_is_missing_matters_for_ones_own_shell(
    around: Around, tmp_path: Path, shells: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The advice names the script and the first place; for a shell that is not there, there is none."""
    script = tmp_path / "venv" / "share" / "zsh" / "site-functions" / "_molecule-approve"
    script.parent.mkdir(parents=True)
    script.touch()
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "venv"))
    (tmp_path / "bin" / "fish").unlink()
    found = look(around(**shells))
    assert {name: found[f"completions.{name}"].result for name in ("bash", "zsh", "fish")} == {
        "bash": SKIPPED,
        "zsh": WARNING,
        "fish": SKIPPED,
    }
    place = tmp_path / ".local/share/zsh/site-functions/_molecule-approve"
    assert found["completions.zsh"].advice == f"link {script} to {place}"
    assert found["completions.bash"].advice.startswith("link the script in completions/ to ")
    assert found["completions.fish"].advice == ""
    assert found["completions.fish"].detail == "fish is not installed"


def test_a_ci_job_is_told_with_its_system(around: Around) -> None:
    """By name where it is known."""
    found = [look(around(**environ))["ci"] for environ in ({}, {"CI": "true"}, {"CI": "true", "GITHUB_ACTIONS": "true"})]
    assert {finding.result for finding in found} == {OK}
    assert found[0].detail == "this is not a CI job"
    assert found[1].detail.startswith("a CI job (CI is set): ")
    assert found[2].detail.startswith("a CI job (GitHub Actions): ")
