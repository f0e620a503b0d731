"""Makes the completion scripts for bash, zsh and fish from the commands: ``python -m …completion FOLDER``.

``shells/`` has the scripts, this module fills in their tables. Typer's own scripts are not used: they run a ``$(…)`` in a
help text, and read variables whatever the arguments are. ``completing`` answers at run time.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup

from molecule_approve.safe_text import visible

from .app import app

FILES = ("molecule-approve.bash", "_molecule-approve", "molecule-approve.fish")
"""The names of the scripts, here and where they are installed."""

_SHELLS = Path(__file__).parent / "shells"
_WORD = re.compile(r"[A-Za-z0-9._-]+\Z")
_ASKED = {"--approval": "wait", "--workspace": "workspaces"}
_NEW_NAMES = frozenset({"approvers add", "requesters add", "workspaces add"})


@dataclass(frozen=True, slots=True)
class Option:
    """One option of a command: its spellings, and its help in one line.

    ``valued``: a value follows. It names a file (``is_path``), is one of the choices, or is what ``completing`` answers to
    the word ``asked``; without these, free text.
    """

    names: tuple[str, ...]
    help: str
    valued: bool = False
    is_path: bool = False
    choices: tuple[str, ...] = ()
    asked: str = ""


@dataclass(frozen=True, slots=True)
class Command:
    """One command, or a family of them.

    Attributes:
        place: its words, ``audit tail``; empty for the program itself.
        help: one line.
        wants: ``ids``, ``approvers``, ``requesters`` or ``workspaces`` (names), ``file``, ``command``, ``text``, or empty
            without an argument.
        subcommands: name and help of each command below it.
    """

    place: str
    help: str
    options: tuple[Option, ...]
    wants: str
    subcommands: tuple[tuple[str, str], ...]


# --- reading the commands ----------------------------------------------------------------------------------------------


def read(program: typer.Typer) -> list[Command]:
    """Every command of the program, families before their members.

    Raises:
        ValueError: a name or a value has a character that is special to a shell.
    """
    root = typer.main.get_command(program)
    with root.make_context("program", [], resilient_parsing=True) as context:
        return list(_walk(root, "", context))


def _walk(command: Any, place: str, context: Any) -> Iterator[Command]:  # noqa: ANN401 - typer's own classes
    names = command.list_commands(context) if isinstance(command, TyperGroup) else []
    below = [(_word(name), command.get_command(context, name)) for name in names]
    parameters = command.get_params(context)
    yield Command(
        place=place,
        help=_line(command.help),
        options=tuple(_option(found, context) for found in parameters if found.param_type_name == "option"),
        wants=next((_wants(found, place) for found in parameters if found.param_type_name == "argument"), ""),
        subcommands=tuple((name, _line(found.help)) for name, found in below),
    )
    for name, found in below:
        yield from _walk(found, f"{place} {name}".strip(), context)


def _wants(argument: Any, place: str) -> str:  # noqa: ANN401
    word = argument.metavar.strip("[]").split(" ")[0]
    if word == "NAME" and place not in _NEW_NAMES:
        return place.partition(" ")[0]  # of its family: approvers, requesters, workspaces
    return {"ID": "ids", "FILE": "file", "COMMAND": "command"}.get(word, "text")


def _option(option: Any, context: Any) -> Option:  # noqa: ANN401
    metavar = option.metavar or ""
    named = metavar.split("|") if "|" in metavar else [item.value for item in option.shell_complete(context, "")]
    return Option(
        names=tuple(_word(name) for name in [*option.opts, *option.secondary_opts]),
        help=_line(option.help),
        valued=not option.is_flag,
        is_path=metavar == "PATH",
        choices=tuple(_word(text) for text in named),
        asked=next((_ASKED[name] for name in option.opts if name in _ASKED), ""),
    )


def _word(text: str) -> str:
    """A name or a value: unquoted in the scripts, so no character may be special to a shell."""
    if not _WORD.match(text):
        raise ValueError(f"{text!r} cannot stand in a completion script")
    return text


def _line(text: str | None) -> str:
    """A help text's first paragraph on one line, made visible."""
    return visible(" ".join((text or "").strip().split("\n\n")[0].split()))


# --- writing the scripts -----------------------------------------------------------------------------------------------


def write(commands: Sequence[Command]) -> dict[str, str]:
    """The text of each script, by the name of its file."""
    tables: tuple[Callable[[Command], list[str]], ...] = (_for_bash, _for_zsh, _for_fish)
    return {
        name: _filled(name, "\n".join(line for command in commands for line in table(command)))
        for name, table in zip(FILES, tables, strict=True)
    }


def _filled(name: str, table: str) -> str:
    text = (_SHELLS / f"{name}.in").read_text("utf-8")
    before, _, after = text.partition("@TABLE@")
    return f"{before}{table}{after}"


def _for_bash(command: Command) -> list[str]:
    """Words in one string for each list; bash shows no help."""
    subcommands = [name for name, _ in command.subcommands]
    flags = [name for option in command.options for name in option.names]
    lists = {"subcommands": subcommands, "flags": flags, **_bare(command)}
    body = [f"{name}='{' '.join(words)}'" for name, words in lists.items() if words]
    return _branch(f"'{command.place}')", [*body, *_wanting("wants=", command), ";;"])


def _for_zsh(command: Command) -> list[str]:
    """Arrays of ``word:help``, as ``_describe`` reads them, and of words."""
    body = _block("subcommands=(", [_zsh_word(*found) for found in command.subcommands], ")")
    flags = [_zsh_word(name, option.help) for option in command.options for name in option.names]
    body += _block("flags=(", flags, ")")
    body += [f"{name}=({' '.join(words)})" for name, words in _bare(command).items() if words]
    return _branch(f"('{command.place}')", [*body, *_wanting("wants=", command), ";;"])


def _for_fish(command: Command) -> list[str]:
    """Lists of a word, a tab and its help, as fish shows them, and of words."""
    body = _fish_list("set subcommands", [_fish_word(*found) for found in command.subcommands])
    flags = [_fish_word(name, option.help) for option in command.options for name in option.names]
    body += _fish_list("set flags", flags)
    body += [f"set {name} {' '.join(words)}" for name, words in _bare(command).items() if words]
    return _branch(f"case '{command.place}'", [*body, *_wanting("set wants ", command)])


def _bare(command: Command) -> dict[str, list[str]]:
    """The lists of plain words, the same in every shell."""
    named = [(name, option) for option in command.options for name in option.names]
    return {
        "valued": [name for name, option in named if option.valued],
        "paths": [name for name, option in named if option.is_path],
        "choices": [f"{name}={text}" for name, option in named for text in option.choices],
        "asked": [f"{name}={option.asked}" for name, option in named if option.asked],
    }


def _wanting(assignment: str, command: Command) -> list[str]:
    return [f"{assignment}{command.wants}"] if command.wants else []


def _branch(head: str, body: Sequence[str]) -> list[str]:
    return [f"{' ' * 8}{head}", *(f"{' ' * 12}{line}" for line in body)]


def _block(head: str, words: Sequence[str], end: str) -> list[str]:
    return [head, *(f"    {word}" for word in words), end] if words else []


def _fish_list(head: str, words: Sequence[str]) -> list[str]:
    lines = [head, *(f"    {word}" for word in words)] if words else []
    return [f"{line} \\" for line in lines[:-1]] + lines[-1:]


def _zsh_word(name: str, text: str) -> str:
    # _describe ends the word at the first colon, and takes a backslash away.
    quoted = text.replace("\\", "\\\\").replace(":", "\\:").replace("'", "'\\''")
    return f"'{name}:{quoted}'"


def _fish_word(name: str, text: str) -> str:
    quoted = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"{name}\\t'{quoted}'"


def main(folder: Path) -> None:
    """Write the three scripts into a folder."""
    for name, text in write(read(app)).items():
        (folder / name).write_text(text, "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
