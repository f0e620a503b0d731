"""One manual page from one command, in the man(7) language; what stands in it comes from the command itself."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import version
from typing import Any

from molecule_approve.cli.help import examples

DATE = "2026-11-28"
"""The date of the pages, which the language demands; a release changes it."""

_PLACEHOLDER = re.compile(r"[A-Z][A-Z:=]*\Z|[a-z]+(\|[a-z]+)+\Z")
Rows = Sequence[tuple[str, str]]


def page(words: tuple[str, ...], command: Any, exits: Rows, environment: Rows) -> str:  # noqa: ANN401 - typer's own class has no public name
    """The text of the page.

    Args:
        words: the program's name and those that lead to the command.
        command: the command.
        exits: its exit codes, and when.
        environment: variables and what they mean; empty where the program's own page is enough.

    """
    context = command.make_context(words[0], [], resilient_parsing=True)
    return "\n".join(_lines(words, command, context, exits, environment)) + "\n"


def _lines(words: tuple[str, ...], command: Any, context: Any, exits: Rows, environment: Rows) -> Iterator[str]:  # noqa: ANN401
    about = _paragraphs(command.help)
    name = "-".join(words)
    summary = re.split("[;:]", about[0])[0].rstrip(".")
    yield f'.TH {name.upper()} 1 "{DATE}" "{words[0]} {version(words[0])}" "User Commands"'
    yield ".SH NAME"
    yield f"{name} \\- {_text(summary[0].lower() + summary[1:])}"
    yield ".SH SYNOPSIS"
    yield f".B {_bare(' '.join(words))}"
    pieces = command.collect_usage_pieces(context)
    yield " ".join(f"[\\fI{piece[1:-1]}\\fR]" if piece[0] == "[" else f"\\fI{piece}\\fR" for piece in pieces)
    yield ".SH DESCRIPTION"
    yield from _joined(map(_text, about), ".PP")
    parameters = command.get_params(context)
    for title, kind in (("ARGUMENTS", "argument"), ("OPTIONS", "option")):
        rows = [found.get_help_record(context) for found in parameters if found.param_type_name == kind]
        yield from _table(title, [(label.strip("[]{}"), meaning) for label, meaning in rows])
    below = {found: _paragraphs(command.commands[found].help)[0] for found in getattr(command, "commands", ())}
    yield from _table("COMMANDS", [(f"{name}-{found}(1)", meaning) for found, meaning in below.items()])
    yield from _table("EXIT STATUS", exits)
    yield from _table("ENVIRONMENT", environment)
    yield from _section("EXAMPLES", [".nf", *map(_text, examples(command.epilog)), ".fi"])
    above = ["-".join(words[:count]) for count in range(1, len(words))]
    if above:
        yield from _section("SEE ALSO", [", ".join(f"\\fB{_bare(found)}\\fR(1)" for found in above)])


def _table(title: str, rows: Rows) -> Iterator[str]:
    """A section of terms and what they mean; none without rows."""
    if rows:
        yield from _section(title, [line for term, meaning in rows for line in (".TP", _term(term), _text(meaning))])


def _section(title: str, lines: Iterable[str]) -> Iterator[str]:
    yield f".SH {title}"
    yield from lines


def _joined(texts: Iterable[str], between: str) -> Iterator[str]:
    for number, text in enumerate(texts):
        if number:
            yield between
        yield text


def _paragraphs(text: str) -> list[str]:
    return [" ".join(part.split()) for part in text.strip().split("\n\n")]


def _term(text: str) -> str:
    """A label: what is typed in bold, what stands for something else in italics."""
    return " ".join(f"\\f{'I' if _PLACEHOLDER.match(word) else 'B'}{_bare(word)}\\fR" for word in text.split())


def _text(text: str) -> str:
    """Running text on one line: code in bold, links without their target, nothing that roff would take for its own."""
    text = re.sub(r"\[([^]]+)\]\([^)]+\)", r"\1", text)
    plain = re.sub(r"`([^`]+)`", lambda code: f"\\fB{_bare(code[1])}\\fR", text.replace("\\", "\\e").replace("-", "\\-"))
    return plain if plain[:1] not in {".", "'"} else f"\\&{plain}"


def _bare(text: str) -> str:
    return re.sub(r"(?<!\\)-", r"\\-", text)
