"""What the tests of the examination share: a user's folders and environment, and findings by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from molecule_approve.doctor.checks import Check, Finding, Setup, carry_out
from molecule_approve.settings.resolve import Flags
from tests.integration.fake_platform import FakePlatform

if TYPE_CHECKING:
    from molecule_approve.paths import Places

Around = Callable[..., Setup]
"""Makes surroundings of variables, and of ``flags`` and ``at_terminal``."""


@pytest.fixture
def around(server_places: Places, tmp_path: Path) -> Around:
    """Setup of a user for whom only the named variables are set; the audit log is a file in a folder of its own."""

    def make(flags: Flags | None = None, *, at_terminal: bool = False, **environ: str) -> Setup:
        usual = {"CONFIGS_DIR": str(tmp_path), "AUDIT_LOG_PATH": str(tmp_path / "log" / "audit.jsonl")}
        return Setup(flags or Flags(), usual | environ, server_places, at_terminal)

    return make


@pytest.fixture
def fake() -> Iterator[FakePlatform]:
    """A faithful fake of the platform that runs."""
    running = FakePlatform().start()
    yield running
    running.stop()


def of_platform(platform: FakePlatform, **more: str) -> dict[str, str]:
    """The variables that name a platform."""
    named = {"PLATFORM_URL": platform.url, "WORKSPACE_ID": platform.workspace, "MOLECULE_TOKEN": platform.token}
    return named | more


def by_name(findings: Iterable[Finding]) -> dict[str, Finding]:
    """The findings by the name of their check; each name once."""
    found: dict[str, Finding] = {}
    for finding in findings:
        assert finding.check not in found
        found[finding.check] = finding
    return found


def found_by(checks: Iterable[tuple[str, Check]]) -> dict[str, Finding]:
    """What these checks find, by name."""
    return by_name(finding for name, check in checks for finding in carry_out(name, check))
