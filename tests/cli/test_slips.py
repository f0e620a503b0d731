"""The usual slips of a command line, and the form that the hint gives."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.callers import Caller

START = "molecule-approve request"


@pytest.mark.parametrize(
    ("argv", "hint"),
    [
        (("rm", "-rf", "x"), f'{START} -- "rm -rf x"'),
        (("--", "rm", "-rf", "x"), f'{START} -- "rm -rf x"'),
        (("rm", "-rf", "x", "--reason", "old"), f'{START} --reason old -- "rm -rf x"'),
        (
            ("--no-wait", "--reason=too old", "--", "rm", "my file"),
            f"{START} --no-wait '--reason=too old' -- \"rm 'my file'\"",
        ),
        (("echo", "$HOME"), f"{START} -- 'echo '\"'\"'$HOME'\"'\"''"),
        (("echo", "x" * 200), f'{START} -- "ACTION"'),
    ],
)
def test_an_action_of_several_words_is_shown_in_quotes(caller: Caller, argv: tuple[str, ...], hint: str) -> None:
    """With the options that were given; nothing is asked."""
    told = caller.main("request", *argv)
    assert (told.code, told.out, caller.records()) == (2, "", [])
    assert "the action is one argument, and " in told.err
    assert told.err.replace("\n  ", " ").rstrip().endswith(f"hint: quote it: {hint}")


def test_an_action_that_starts_with_a_dash_is_shown_behind_two(caller: Caller) -> None:
    """The message still says what was not understood."""
    told = caller.main("request", "-rf /")
    assert told.code == 2
    assert "No such option: -r" in told.err
    assert told.err.rstrip().endswith(f'hint: put -- before an action that starts with a dash: {START} -- "-rf /"')


def test_a_mistyped_option_is_no_action(caller: Caller) -> None:
    """The option that was meant is named instead."""
    told = caller.main("request", "--reasons", "x", "--", "y")
    assert told.code == 2
    assert "--reason" in told.err
    assert "quote it" not in told.err


def test_a_missing_action_is_a_plain_usage_error(caller: Caller) -> None:
    """With the way to the help."""
    told = caller.main("request", "--quiet")
    assert told.code == 2
    assert "Missing argument 'ACTION'" in told.err
    assert "see `molecule-approve request --help`" in told.err


@pytest.mark.parametrize(
    "argv",
    [
        ("request", "--timeout", "5", "minutes", "--", "drop it"),
        ("request", "drop it", "--timeout", "5", "minutes"),
        ("wait", "a1b2c3", "--timeout", "5", "min"),
        ("request", "--timeout", "5 minutes", "--", "drop it"),
        ("request", "--timeout", "5", "minutes"),
        ("request", "--for", "--timeout", "5", "minutes", "--", "true"),
        ("run", "--timeout", "5", "minutes", "--", "true"),
        ("run", "--timeout", "5", "m", "true"),
    ],
)
def test_a_duration_in_two_words_is_shown_as_one(caller: Caller, argv: tuple[str, ...]) -> None:
    """Whichever the unit's spelling, quoted or not."""
    told = caller.main(*argv)
    assert (told.code, caller.records()) == (2, [])
    assert "5m" in told.err.splitlines()[-1]


@pytest.mark.parametrize("words", [("--", "sleep", "--timeout", "5", "m"), ("sleep", "--timeout", "5", "m"), ("env", "m")])
def test_what_belongs_to_the_command_is_no_duration_of_ours(caller: Caller, words: tuple[str, ...]) -> None:
    """Its own options may look like ours."""
    told = caller.main("run", "--show", "--timeout", "5", *words)
    assert told.out.splitlines()[0] == " ".join(words).removeprefix("-- ")


def test_an_option_without_its_value_is_a_usage_error(caller: Caller) -> None:
    """2, with a hint, although the parser does not say of which command it is."""
    told = caller.main("request", "--timeout")
    assert told.code == 2
    assert "'--timeout' requires an argument" in told.err
    assert "hint: see `molecule-approve --help`" in told.err
