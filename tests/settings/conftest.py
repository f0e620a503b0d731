"""What the tests of the settings share: a user's folders, an environment, a config.yaml, a server that runs."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from molecule_approve.paths import Places, write_private
from molecule_approve.settings import resolve as resolve_module
from molecule_approve.settings.resolve import Flags, Settings

SERVING = """
import fcntl, sys
file = open(sys.argv[1])
fcntl.flock(file, fcntl.LOCK_EX)
print("locked", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def places(tmp_path: Path) -> Places:
    """Folders of a user who never ran a server."""
    found = Places(tmp_path / "state", tmp_path / "run")
    for folder in (found.state, found.runtime):
        folder.mkdir(mode=0o700)
    return found


@pytest.fixture
def resolve(tmp_path: Path, places: Places) -> Callable[..., Settings]:
    """``resolve`` with an environment whose /configs is an empty folder, and no terminal."""

    def call(flags: Flags | None = None, *, at_terminal: bool = False, **environ: str) -> Settings:
        return resolve_module.resolve(
            flags or Flags(), {"CONFIGS_DIR": str(tmp_path), **environ}, places, at_terminal=at_terminal
        )

    return call


@pytest.fixture
def written(tmp_path: Path) -> Callable[[str], Flags]:
    """Writes a config.yaml and gives the flag that names it."""

    def write(text: str) -> Flags:
        path = tmp_path / "mine.yaml"
        path.write_text(text)
        path.chmod(0o600)
        return Flags(config=str(path))

    return write


@pytest.fixture
def requester(places: Places) -> None:
    """What an embedded server leaves at its first start."""
    write_private(places.requester, json.dumps({"workspace_id": "mine", "token": "local-token"}).encode())


@pytest.fixture
def serving(places: Places, requester: None) -> Iterator[int]:
    """Another process that holds the embedded server's lock; its pid."""
    text = json.dumps({"pid": 4711, "url": "http://127.0.0.1:8788"})
    write_private(places.serving, text.encode())
    with subprocess.Popen(
        [sys.executable, "-c", SERVING, str(places.serving)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == b"locked\n"
            yield 4711
        finally:
            process.terminate()
