"""Arguments that make no sense, and the sentence that says how to write what was probably meant. Pure."""

from __future__ import annotations

import itertools
import shlex
from collections.abc import Iterator, Sequence
from typing import Any

import typer

from molecule_approve.errors import UsageError

from .output import PROGRAM

ArgumentsError: Any = typer.BadParameter.__base__
"""What typer raises for any arguments it cannot read; it names this class only in a private module."""

_ONE_WORD = "a duration is one word"

_LONGEST = 200
"""Characters of an action that a hint repeats."""


def explained(error: Any, argv: Sequence[str]) -> UsageError:  # noqa: ANN401 - see ArgumentsError
    """The ``ArgumentsError`` as ours, with what to do next; ``argv`` are the arguments after the program's name."""
    message, context = error.format_message(), error.ctx
    if context is None:  # an option at the end, without its value
        return UsageError(message, hint=f"see `{PROGRAM} --help`")
    see = f"see `{context.command_path} --help`"
    words = argv[len(context.command_path.split()) - 1 :]
    known = [found for found in context.command.params if found.param_type_name == "option"]
    options = {name: found for found in known for name in found.opts}
    if (option := _duration_in_two_words(words, options)) is not None:
        return UsageError(message, hint=f"{_ONE_WORD}: {option}")
    if context.command.name == "request" and not getattr(error, "possibilities", None):  # no mistyped option
        given, action = _parted(words, options)
        return _about_action(context.command_path, message, given, action) or UsageError(message, hint=see)
    return UsageError(message, hint=see)


def check_durations(command: Any, words: Sequence[str]) -> None:  # noqa: ANN401 - typer's own class
    """Refuse ``--timeout 5 minutes`` where ``minutes`` could be the action or the command.

    Raises:
        UsageError: one of these words is the unit of the number before it.
    """
    options = {name: found for found in command.params if found.param_type_name == "option" for name in found.opts}
    if (option := _duration_in_two_words(words, options)) is not None:
        raise UsageError(f"{_ONE_WORD}, and two were given", hint=f"write {option}; or -- before what is not an option")


def _duration_in_two_words(words: Sequence[str], options: dict[str, Any]) -> str | None:
    """``--timeout 5m``, where ``--timeout 5 minutes`` was written."""
    from molecule_approve.settings.durations import short_form

    for name, number, unit in zip(words, words[1:], words[2:], strict=False):
        if name in options and options[name].metavar == "TIME" and (short := short_form(f"{number} {unit}")):
            return f"{name} {short}"
    return None


def _about_action(path: str, message: str, given: Sequence[str], action: Sequence[str]) -> UsageError | None:
    """What to say where the action was several words, or began with a dash; None where the fault is another."""
    shown = " ".join([path, *map(shlex.quote, given), "--", _quoted(action)])
    if action and action[0].startswith("-"):
        return UsageError(message, hint=f"put -- before an action that starts with a dash: {shown}")
    if len(action) > 1:
        return UsageError(f"the action is one argument, and {len(action)} were given", hint=f"quote it: {shown}")
    return None


def _quoted(action: Sequence[str]) -> str:
    text = action[0] if len(action) == 1 else shlex.join(action)
    if len(text) > _LONGEST:
        return '"ACTION"'
    return shlex.quote(text) if set(text) & set('"$`\\!') else f'"{text}"'


def _parted(words: Sequence[str], options: dict[str, Any]) -> tuple[list[str], list[str]]:
    """The options of the command with their values, and all other words: the action, as it was meant."""
    given, action = list[str](), list[str]()
    left: Iterator[str] = iter(words)
    for word in left:
        option = options.get(word.partition("=")[0])
        if word == "--":
            action += left
        elif option is None:
            action.append(word)
        else:
            given += [word, *([] if option.is_flag or "=" in word else itertools.islice(left, 1))]
    return given, action
