"""The list of commands: complete, true, and made without importing what it lists."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
import typer

from molecule_approve.cli.app import COMMANDS, app

if TYPE_CHECKING:
    from tests.callers import Caller


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_says_what_the_command_says_of_itself(caller: Caller, name: str) -> None:
    """Each sentence stands in the list and in the command's own help."""
    listed = " ".join(caller.main("--help").out.split())
    own = " ".join(caller.main(name, "--help").out.split())
    sentence = COMMANDS[name][1]
    assert f"{name} {sentence}" in listed
    assert sentence.rstrip(".") in own


def test_a_word_that_resembles_a_command_is_suggested(caller: Caller) -> None:
    """Without running it."""
    told = caller.main("statsu")
    assert told.code == 2
    assert "status" in told.err


def test_without_a_command_the_help_is_shown(caller: Caller) -> None:
    """On stderr and with 2, for nothing was done."""
    told = caller.main()
    assert (told.code, told.out) == (2, "")
    assert told.err == caller.main("--help").out


def test_the_commands_are_there_one_by_one(caller: Caller) -> None:
    """As a mapping: by name, all of them, and none that does not exist."""
    group = typer.main.get_command(app)
    commands = group.commands  # type: ignore[attr-defined]  # a group's
    assert list(commands) == list(commands.keys()) == list(COMMANDS)
    assert commands.get("request").name == "request"
    assert commands.get("please", "none") == "none"
    assert group.list_commands(None) == list(COMMANDS)  # type: ignore[attr-defined]  # a group's


def test_help_imports_no_command(caller: Caller) -> None:
    """Nor what the commands are made of."""
    script = (
        "import sys; from molecule_approve.cli.main import main; main(['--help']); "
        "print([n for n in sys.modules if n.startswith('molecule_approve')], file=sys.stderr)"
    )
    told = caller.run("-c", script, program=(sys.executable,))
    for name in ("request", "status", "decide", "serve", "audit", "approvers", "settings", "gate"):
        assert f"cli.{name}'" not in told.err
        assert f"molecule_approve.{name}'" not in told.err
