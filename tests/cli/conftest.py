"""A desk of one's own: an embedded server on which nobody else asks, and an approver at it; and a log of one's own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.server.desk import desk_of

if TYPE_CHECKING:
    from pathlib import Path

    from molecule_approve.server.run import Running
    from tests.callers import Caller


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
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The configured audit log, in an environment where nothing else is configured."""
    for name in ("CI", "NO_COLOR", "FORCE_COLOR", "PLATFORM_URL", "WORKSPACE_CONFIG_PATH", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("AUDIT_LOG_PATH", str(tmp_path / "log" / "audit.jsonl"))
    return tmp_path / "log" / "audit.jsonl"
