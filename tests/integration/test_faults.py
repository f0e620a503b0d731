"""Every row of the fault table, with the program as a real process.

One test an example of the design; its rows run side by side, because they mostly wait. The rows of an example take turns
with the two paths; `make soak` meets each row on each of its paths, and starts all programs, which are forked otherwise.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tests.integration.faults import BEFORE_THE_PATH, EXAMPLES, SOCKET_ONLY, TABLE
from tests.integration.program import PATHS

if TYPE_CHECKING:
    from tests.integration.fake_platform import FakePlatform
    from tests.integration.fault import Fault
    from tests.integration.program import World

_WANTED = [example for examples in EXAMPLES.values() for example in examples]
_SIDE_BY_SIDE = 4
_MEMORY = ("endless", "compressed bombs")
"""Examples whose programs are started: a fork begins with the memory of the process that it comes from."""


def _meet(world: World, fault: Fault, path: str) -> str:
    """Let one row happen; what is wrong with its end, or nothing."""
    world.cut_off = fault.cut_off
    try:
        fault.arrange(world)
        program = fault.start(world, path, fault)
        fault.act(world, path, program)
        facts = program.wait()
        found = facts.ending[-1]["outcome"] if facts.ending else None
        assert (facts.code, found) == (fault.code, fault.ending), f"{facts.stdout!r} {facts.stderr!r}"
        fault.check(world, facts)
    except Exception as exc:  # noqa: BLE001 - whatever it was, it is shown beside the other rows' failures
        return f"{fault.id}, {path}: {type(exc).__name__}: {exc}"
    return ""


def _everywhere(example: str) -> list[tuple[Fault, str]]:
    """Each row of the example on each of its paths."""
    return [(fault, path) for fault in TABLE for path in fault.paths if fault.example == example]


def _in_turn(example: str) -> list[tuple[Fault, str]]:
    """Each row of the example on one of its paths, the next row on the next; both paths of a row that is alone."""
    rows = [fault for fault in TABLE if fault.example == example]
    if len(rows) == 1:
        return _everywhere(example)
    return [(fault, fault.paths[number % len(fault.paths)]) for number, fault in enumerate(rows)]


def _all_wrong(worlds: Callable[[FakePlatform | None], World], rows: list[tuple[Fault, str]]) -> list[str]:
    """What is wrong with the ends of these rows."""
    with ThreadPoolExecutor(_SIDE_BY_SIDE) as pool:
        return [found for found in pool.map(lambda row: _meet(worlds(None), *row), rows) if found]


@pytest.mark.parametrize(
    "example", [pytest.param(example, marks=[pytest.mark.started] if example in _MEMORY else []) for example in _WANTED]
)
def test_what_breaks_comes_to_the_end_that_the_table_says(
    worlds: Callable[[FakePlatform | None], World], example: str
) -> None:
    """The exit code and the ending record are the table's; the invariants are checked afterwards by the fixture."""
    assert _all_wrong(worlds, _in_turn(example)) == []


@pytest.mark.soak
@pytest.mark.started
@pytest.mark.parametrize("example", _WANTED)
def test_it_comes_to_the_same_end_when_every_program_is_started(
    worlds: Callable[[FakePlatform | None], World], example: str
) -> None:
    """On each path of a row: what loading does, or leaves behind, changes no end; nor does a start that takes its time."""
    assert _all_wrong(worlds, _everywhere(example)) == []


def test_every_example_of_the_design_has_a_row() -> None:
    """An example of the design's fault table without a row here is a promise that nobody checks."""
    assert {fault.example for fault in TABLE} == set(_WANTED)


def test_every_example_is_met_on_both_paths() -> None:
    """Each example has a row that meets it on the socket here and one on polling, where both can meet it at all."""
    for path in PATHS:
        met = {example for example in _WANTED if path in {taken for _, taken in _in_turn(example)}}
        assert set(_WANTED) - BEFORE_THE_PATH - (SOCKET_ONLY if path == "poll" else set()) <= met


def test_every_row_is_met() -> None:
    """Taking turns leaves no row to the soak alone."""
    assert {fault.id for fault in TABLE} == {fault.id for example in _WANTED for fault, _ in _in_turn(example)}


def test_every_row_has_a_name_of_its_own() -> None:
    """Two rows of one name would be told apart by nobody who reads a failure."""
    names = [fault.id for fault in TABLE]
    assert sorted(names) == sorted(set(names))
