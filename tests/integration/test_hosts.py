"""The agents' own programs against a model that asks for a shell command: does it run? Only after an approval.

They speak to a fake model on loopback, and need no account. Where a program is not installed its tests are skipped.
What a host does when the hook itself is lost is the host's: the last tests write down what it really does.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.integration.hosts import FOLDERS, HOSTS, LOST, Agent, Host, version_of

if TYPE_CHECKING:
    from tests.callers import Caller

pytestmark = pytest.mark.timeout(240)

NewAgent = Callable[..., Agent]


def _installed(host: Host, *case: str) -> object:
    """The case, skipped where the host's program is not installed."""
    reason = f"{host.program} is not installed: put it on PATH, or its folder into {FOLDERS}"
    name = "-".join([host.name, *case])
    return pytest.param(host, *case, id=name, marks=pytest.mark.skipif(host.path is None, reason=reason))


each_host = pytest.mark.parametrize("host", [_installed(host) for host in HOSTS])


@pytest.fixture
def agent(host: Host, caller: Caller) -> Iterator[NewAgent]:
    """Makes the host's agent, with the environment of the caller and nothing of ours."""
    made: list[Agent] = []

    def make(times: int = 1) -> Agent:
        # As late as possible: a test may set variables first.
        environ = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
        made.append(Agent(host, caller.folder, environ, times))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """Our program, by a path of its own."""
    path = tmp_path / "molecule-approve"
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m molecule_approve "$@"\n')
    path.chmod(0o755)
    return path


@each_host
def test_without_a_hook_the_command_runs(agent: NewAgent) -> None:
    """The host asks nobody of its own accord here: what stops the command below is the hook."""
    found = agent()
    found.run()
    assert (found.runs, len(found.results)) == (1, 1)


@each_host
def test_a_denied_command_does_not_run(agent: NewAgent, program: Path, caller: Caller) -> None:
    """The model is told that a person has denied it."""
    found = agent()
    found.hook(program)
    with caller.answering(found.command, "denied"):
        found.run()
    assert found.runs == 0
    assert "denied by alice" in found.results[0]


@each_host
def test_an_approved_command_runs_once(agent: NewAgent, program: Path, caller: Caller) -> None:
    """After alice's approval, through a real server."""
    found = agent()
    found.hook(program)
    with caller.answering(found.command, "approved"):
        found.run()
    assert (found.runs, len(found.results)) == (1, 1)


@each_host
def test_a_command_that_nobody_decides_about_does_not_run(agent: NewAgent, program: Path) -> None:
    """The hook ends before the host gives it up, which would let the command run."""
    found = agent()
    found.hook(program, limit=10)
    found.run()
    assert found.runs == 0
    assert "nobody has decided yet" in found.results[0]


@each_host
def test_a_hook_with_broken_settings_blocks(agent: NewAgent, program: Path, caller: Caller) -> None:
    """Our own failure is a no in every host's form."""
    caller.configure("approve: {")
    found = agent()
    found.hook(program)
    found.run()
    assert found.runs == 0
    assert "nothing was approved" in found.results[0]


@pytest.mark.parametrize(("host", "loss"), [_installed(host, loss) for host in HOSTS for loss in LOST])
def test_a_lost_hook(host: Host, loss: str, agent: NewAgent, tmp_path: Path) -> None:
    """A hook that is missing, crashes, is killed or late: what the host does then, as it was measured."""
    found, stand_in = agent(), tmp_path / "lost"
    if LOST[loss]:
        stand_in.write_text(LOST[loss])
        stand_in.chmod(0o755)
    found.hook(stand_in, limit=2)
    found.run()
    assert host.path is not None
    version = version_of(host.path)
    assert found.runs == host.runs_without(loss, version), f"{host.name} {version} differs from {host.measured}"
