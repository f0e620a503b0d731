"""What the tests of ``hook`` share: a user with a home folder, a project and nothing of our environment."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from molecule_approve.cli.main import main
from tests.callers import Told


@pytest.fixture
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's home folder; we are in a project in it."""
    for name in os.environ:
        if not name.startswith(("COV", "PYTEST", "LANG", "LC_")):
            monkeypatch.delenv(name)
    project = tmp_path / "project"
    (project / ".git").mkdir(parents=True)
    monkeypatch.chdir(project)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("TERM", "dumb")
    return tmp_path


@pytest.fixture
def hook(user: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Told]:
    """Runs a command of the family in this process."""

    def call(*argv: str) -> Told:
        capsys.readouterr()
        code = main(("hook", *argv))
        return Told(code, *capsys.readouterr())

    return call


@pytest.fixture
def host_program(user: Path) -> Callable[[str, str], None]:
    """Puts a host's own program on PATH, which says its version."""

    def put(name: str, version: str) -> None:
        path = user / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\necho '{version}'\n")
        path.chmod(0o755)

    return put
