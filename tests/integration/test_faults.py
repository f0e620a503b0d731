"""Every row of the fault table, on each of its paths, with the program as a real process."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.integration.faults import BEFORE_THE_PATH, EXAMPLES, SOCKET_ONLY, TABLE
from tests.integration.program import PATHS

if TYPE_CHECKING:
    from tests.integration.fault import Fault
    from tests.integration.program import World

_CASES = [pytest.param(fault, path, id=f"{fault.id}-{path}") for fault in TABLE for path in fault.paths]


@pytest.mark.parametrize(("fault", "path"), _CASES)
def test_what_breaks_comes_to_the_end_that_the_table_says(world: World, fault: Fault, path: str) -> None:
    """The exit code and the ending record are the table's; the invariants are checked afterwards by the fixture."""
    world.cut_off = fault.cut_off
    fault.arrange(world)
    program = fault.start(world, path, fault)
    fault.act(world, path, program)
    facts = program.wait()
    found = facts.ending[-1]["outcome"] if facts.ending else None
    assert (facts.code, found) == (fault.code, fault.ending), facts
    fault.check(world, facts)


def test_every_example_of_the_design_has_a_row() -> None:
    """An example of the design's fault table without a row here is a promise that nobody checks."""
    wanted = {example for examples in EXAMPLES.values() for example in examples}
    assert {fault.example for fault in TABLE} == wanted


def test_every_example_is_met_on_both_paths() -> None:
    """Each example has a row on the socket and one on polling, where both can meet it at all."""
    wanted = {example for examples in EXAMPLES.values() for example in examples} - BEFORE_THE_PATH
    for path in PATHS:
        met = {fault.example for fault in TABLE if path in fault.paths}
        assert wanted - (SOCKET_ONLY if path == "poll" else set()) <= met


def test_every_row_has_a_name_of_its_own() -> None:
    """Two rows of one name would be told apart by nobody who reads a failure."""
    names = [fault.id for fault in TABLE]
    assert sorted(names) == sorted(set(names))
