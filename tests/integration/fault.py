"""One row of the fault table, and the small acts that many rows share; the rows stand in faults_*.py."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.integration.program import PATHS, Program, World

if TYPE_CHECKING:
    from tests.integration.facts import Facts
    from tests.integration.fake_platform import Behaviour

Arrange = Callable[[World], object]
Act = Callable[[World, str, Program], object]
Check = Callable[[World, "Facts"], object]


def nothing(*_: object) -> None:
    """Nothing to set up, to do or to look at."""


def start_request(world: World, path: str, fault: Fault) -> Program:
    """Start the program as most rows do."""
    return world.request(path, *fault.options, timeout=fault.timeout)


@dataclass(frozen=True, slots=True)
class Fault:
    """One way in which the world breaks, and what must come of it.

    Attributes:
        id: a name of its own.
        example: the words of safety.md's fault table that it covers.
        code: the exit code.
        ending: the outcome of the ending record; None where nothing may have been recorded as an ending.
        paths: on which of the two paths.
        arrange: sets the peer and the environment up.
        act: what happens while the program runs.
        check: what else must hold.
        start: starts the program.
        timeout: seconds that the program is given.
        options: further options for ``request``.
        cut_off: the platform does not tell the truth at the end, so the checker does not compare with its rows.

    """

    id: str
    example: str
    code: int
    ending: str | None
    paths: tuple[str, ...] = PATHS
    arrange: Arrange = nothing
    act: Act = nothing
    check: Check = nothing
    start: Callable[[World, str, Fault], Program] = start_request
    timeout: float = 10.0
    options: tuple[str, ...] = ()
    cut_off: bool = False


# --- arrangements --------------------------------------------------


def breaks(route: str, how: Behaviour, calls: range | None = None) -> Arrange:
    """Break a route of the platform."""
    return lambda world: world.platform.on(route, how, calls or range(1, 1_000_000))


# --- acts --------------------------------------------------------------------------------------------------------------


def approve(world: World, path: str, _: Program) -> None:
    """Once the program waits, alice approves."""
    world.await_waiting(path)
    world.platform.decide(world.platform.rows[0])


def approve_soon(world: World, path: str, program: Program) -> None:
    """Once the program has read the list, alice approves: for a socket that nobody will ever hear."""
    approve(world, "poll", program)


def approve_unseen(world: World, path: str, _: Program) -> None:
    """As soon as the request is held, alice approves."""
    world.platform.decide(world.platform.await_rows())


def deny(world: World, path: str, _: Program) -> None:
    """Once the program waits, bob denies."""
    world.await_waiting(path)
    world.platform.decide(world.platform.rows[0], "denied", "bob")


# --- checks ------------------------------------------------------------------------------------------------------------


def asked(times: int) -> Check:
    """The platform holds so many requests."""

    def check(world: World, facts: Facts) -> None:
        assert len(world.platform.rows) == times

    return check


def posted(times: int) -> Check:
    """The program posted so often."""

    def check(world: World, facts: Facts) -> None:
        assert world.platform.count("submit") == times

    return check


def names(*words: str) -> Check:
    """The error's message or hint names these."""

    def check(world: World, facts: Facts) -> None:
        said = json.dumps(facts.answer.get("error")).lower() + facts.stderr.decode().lower()
        assert [word for word in words if word.lower() not in said] == [], said

    return check


def within(seconds: float) -> Check:
    """It ended before that many seconds were over: long before its own time was, however slow the machine."""

    def check(world: World, facts: Facts) -> None:
        assert facts.seconds < seconds

    return check


def both(*checks: Check) -> Check:
    """All of them."""

    def check(world: World, facts: Facts) -> None:
        for one in checks:
            one(world, facts)

    return check
