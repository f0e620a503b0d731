"""``approve.locked`` where it matters: an agent's hook blocks, whatever its flags, its environment and its files say."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from molecule_approve import paths
from tests.cli.hook.hosts import call, event

if TYPE_CHECKING:
    from tests.callers import Caller

COMMAND = "terraform destroy -auto-approve"


@pytest.fixture
def system(home: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Writes the system's own settings; here they belong to whoever runs the tests."""
    path = home / "config.yaml"
    monkeypatch.setattr(paths, "SYSTEM", paths.SystemPlace(path, os.geteuid()))

    def write(text: str) -> Path:
        path.write_text(text)
        path.chmod(0o644)
        return path

    return write


def refused(caller: Caller, *options: str) -> str:
    """What a hook says on stderr that blocks and asks nobody."""
    told = call(caller, "claude-code", event("claude-code"), *options)
    assert told.code == 2
    assert json.loads(told.out)["hookSpecificOutput"]["permissionDecision"] == "deny"
    assert caller.records() == []
    return told.err


def test_another_platform_is_refused(caller: Caller, system: Callable[[str], Path]) -> None:
    """By an option and by a variable; where nothing else is said, the locked one is asked."""
    url = caller.desk.server.url
    requester = caller.desk.server.requester
    path = system(f"approve: {{locked: [platform_url], platform_url: '{url}'}}")
    assert f"PLATFORM_URL: another value than {path}, line 1: approve.platform_url" in refused(caller)
    caller.patch.delenv("PLATFORM_URL")
    assert "--platform-url: another value than" in refused(caller, "--platform-url", "http://127.0.0.1:9")
    caller.set(WORKSPACE_ID=requester.workspace_id, MOLECULE_TOKEN=requester.token)
    with caller.answering(COMMAND):
        assert call(caller, "claude-code", event("claude-code")).code == 0


def test_a_config_that_the_agent_can_write_is_refused(caller: Caller, system: Callable[[str], Path]) -> None:
    """Else its own rule would let every call pass."""
    caller.configure("approve: {hooks: [{tool: '*', then: pass}]}")
    assert call(caller, "claude-code", event("claude-code")).code == 0
    system("approve: {locked: [config]}")
    assert "config.yaml is refused, because this user can change /" in refused(caller)


def test_rules_of_the_agent_s_own_are_refused(caller: Caller, system: Callable[[str], Path]) -> None:
    """Where the system's are locked; without them, the system's decide."""
    caller.configure("approve: {hooks: [{tool: '*', then: pass}]}")
    system("approve: {locked: [hooks], hooks: [{tool: Bash, then: deny}]}")
    assert "approve.hooks: another value than" in refused(caller)
    caller.configure("approve: {}")
    assert "refuses this call; nobody was asked" in refused(caller)
