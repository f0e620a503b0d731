"""Help: groups, examples, `-h`, and `help COMMAND`."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
import typer

from molecule_approve.cli.app import app
from molecule_approve.cli.help import examples

if TYPE_CHECKING:
    from tests.callers import Caller


def _all(command: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:  # noqa: ANN401 - typer's own
    yield words, command
    for name in getattr(command, "commands", ()):
        yield from _all(command.commands[name], (*words, name))


EVERY = list(_all(typer.main.get_command(app)))


@pytest.mark.parametrize(("words", "command"), EVERY, ids=[" ".join(words) or "the program" for words, _ in EVERY])
def test_every_command_has_an_example_that_names_it(caller: Caller, words: tuple[str, ...], command: typer.Typer) -> None:
    """It stands in the help as it is typed, on one line, however narrow the window is."""
    caller.set(COLUMNS="40")
    found = examples(getattr(command, "epilog", None))
    assert found
    assert any(shlex.join(("molecule-approve", *words)) in line for line in found)
    shown = caller.main(*words, "--help").out
    assert [line for line in found if f"\n  {line}\n" not in shown] == []


def test_options_stand_in_groups(caller: Caller) -> None:
    """In the order in which a reader wants them, each with its options."""
    shown = caller.main("request", "--help").out
    titles = [line for line in shown.splitlines() if line.endswith(":") and not line.startswith(" ")]
    assert titles == [
        "Arguments:",
        "What to ask:",
        "What to run:",
        "Waiting:",
        "Output:",
        "Connection:",
        "Options:",
        "Examples:",
    ]
    places = [shown.index(text) for text in ("\nWaiting:", "\n  --no-wait", "\nOutput:", "\n  --json")]
    assert places == sorted(places)
    assert "exit 8 (pending)" in " ".join(shown.split())


@pytest.mark.parametrize("words", [(), ("pending",), ("audit", "verify")])
def test_help_is_there_in_three_ways(caller: Caller, words: tuple[str, ...]) -> None:
    """``-h``, ``--help`` and ``help COMMAND`` say the same."""
    told = caller.main("help", *words)
    assert told.code == 0
    assert told.out == caller.main(*words, "-h").out == caller.main(*words, "--help").out


@pytest.mark.parametrize("words", [("please",), ("pending", "please")])
def test_help_of_no_command_is_an_error(caller: Caller, words: tuple[str, ...]) -> None:
    """Whether a command or a family was named before it."""
    told = caller.main("help", *words)
    assert (told.code, told.out) == (2, "")
    assert f"no such command: {' '.join(words)}" in told.err


@pytest.mark.parametrize("family", ["audit", "approvers"])
def test_a_family_without_a_command_shows_its_help(caller: Caller, family: str) -> None:
    """On stderr and with 2."""
    told = caller.main(family)
    assert (told.code, told.out) == (2, "")
    assert told.err == caller.main(family, "--help").out
