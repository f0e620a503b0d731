"""Each recorded scenario of the real platform drives the real program to the verdict that it names, on both paths."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.program import PATHS
from tests.integration.replay import Replay, scenarios

if TYPE_CHECKING:
    from tests.integration.fake_platform import FakePlatform
    from tests.integration.program import World

NewWorld = Callable[["FakePlatform | None"], "World"]
_CODES = {"approved": 0, "denied": 77, "expired": 124, "pending": 124}
_SCENARIOS = [pytest.param(found, id=found["name"]) for found in scenarios()]


def _expected(scenario: dict[str, Any], path: str) -> tuple[int, str]:
    """The code and the outcome: an escalated request is still open, and polling sees no decision by event."""
    verdict = scenario["verdict"]
    if verdict.get("evidence") == "event" and path == "poll":
        return 125, "failed"
    if verdict["outcome"] == "pending":
        return 124, "timeout"
    return _CODES[verdict["outcome"]], verdict["outcome"]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("scenario", _SCENARIOS)
def test_a_recorded_scenario_comes_to_its_verdict(worlds: NewWorld, scenario: dict[str, Any], path: str) -> None:
    """What the real platform said leads to the verdict that the recording names."""
    replay = Replay(scenario)
    world = worlds(replay.platform)
    code, outcome = _expected(scenario, path)
    # Polling never learns how the crowded-out request ended; the platform knows better.
    world.cut_off = path == "poll" and scenario["verdict"].get("evidence") == "event"
    # No event tells of an expiry: it is found at the deadline.
    timeout = 2.0 if code in {124, 125} else 10.0
    # Its ten minutes are shorter than what the recorded request was to wait.
    sooner = ("--expires-in", "1") if outcome == "expired" else ()
    program = world.request(path, "--reason", replay.reason, *sooner, action=replay.action, timeout=timeout)
    world.await_waiting(path)
    replay.decide()
    facts = program.wait()
    assert (facts.code, facts.answer["outcome"]) == (code, outcome)
    name, is_verified = (scenario["verdict"]["decided_by"], False) if code in {0, 77} else (None, None)
    assert (facts.answer["decided_by"], facts.answer["decided_by_verified"]) == (name, is_verified)
    assert facts.answer["evidence"] == (scenario["verdict"].get("evidence", "rest") if code in {0, 77} else None)


@pytest.mark.parametrize("scenario", [s for s in _SCENARIOS if "crowded" not in str(s.id)])
def test_status_says_how_a_recorded_request_stands(worlds: NewWorld, scenario: dict[str, Any]) -> None:
    """``status ID`` reads the same row, and an escalated one is pending: 8."""
    replay = Replay(scenario)
    world = worlds(replay.platform)
    world.run("request", "--no-wait", "--json", "--reason", replay.reason, "--", replay.action, action=replay.action)
    replay.decide()
    facts = world.run("status", "--json", scenario["approval_id"])
    wanted = {**_CODES, "pending": 8}[scenario["verdict"]["outcome"]]
    assert (facts.code, facts.answer["outcome"]) == (wanted, scenario["verdict"]["outcome"])


def test_status_does_not_know_what_is_not_listed(worlds: NewWorld) -> None:
    """A request that fifty newer ones have pushed out of the list is unknown, not denied: 125."""
    scenario = next(found for found in scenarios() if "crowded" in found["name"])
    replay = Replay(scenario)
    world = worlds(replay.platform)
    world.run("request", "--no-wait", "--json", "--reason", replay.reason, "--", replay.action, action=replay.action)
    replay.decide()
    facts = world.run("status", "--json", scenario["approval_id"])
    assert (facts.code, facts.answer["error"]["kind"]) == (125, "unknown_approval")
