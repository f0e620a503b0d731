"""A desk of one's own: an embedded server on which nobody else asks, and an approver at it; and a log of one's own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.callers import ended
from tests.server.desk import desk_of

if TYPE_CHECKING:
    from pathlib import Path

    from molecule_approve.server.run import Running
    from tests.callers import Caller


COMMAND_LINE = r"./deploy.sh main.tf disk.img $'a\nb\\c' '''#''#[error]x' 'eu west'"
"""The command of ``running``: its backslashes as a shell reads them, and no order for a log reader."""


@pytest.fixture
def own(caller: Caller, live_server: Running) -> Iterator[Caller]:
    """A caller at a server of their own, by its address, as the workspace that asks."""
    requester = live_server.requester
    caller.set(PLATFORM_URL=live_server.url, WORKSPACE_ID=requester.workspace_id, MOLECULE_TOKEN=requester.token)
    with desk_of(live_server) as desk:
        yield replace(caller, desk=desk)


@pytest.fixture
def seated(own: Caller) -> Caller:
    """The same caller with alice's token."""
    own.set(MOLECULE_APPROVER_TOKEN=own.desk.decider.headers["Authorization"].removeprefix("Bearer "))
    return own


@pytest.fixture
def running(seated: Caller) -> Iterator[str]:
    """A request that ``run`` made and waits for: a script, files, words in all kinds of quotes, variables."""
    script = seated.folder / "deploy.sh"
    script.write_text("#!/bin/sh\nexit 0\n")
    script.chmod(0o755)
    (seated.folder / "main.tf").write_text("region")
    with (seated.folder / "disk.img").open("wb") as disk:
        disk.truncate((1 << 30) + 1)
    seated.set(NO_COLOR="1")
    env = {**os.environ, "BASH_ENV": "/e", "LD_LIBRARY_PATH": "/opt/lib"}
    words = ("./deploy.sh", "main.tf", "disk.img", "a\nb\\c", "##[error]x", "eu west")
    process = seated.start(
        "run", "--timeout", "60", "--keep-env", "LD_LIBRARY_PATH", "--", *words, cwd=seated.folder, env=env
    )
    yield seated.requested()
    process.terminate()
    ended(process)


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The configured audit log, in an environment where nothing else is configured."""
    for name in ("CI", "NO_COLOR", "FORCE_COLOR", "PLATFORM_URL", "WORKSPACE_CONFIG_PATH", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LANG", "C.UTF-8")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("AUDIT_LOG_PATH", str(tmp_path / "log" / "audit.jsonl"))
    return tmp_path / "log" / "audit.jsonl"
