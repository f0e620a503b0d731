"""Pure: which tool calls of an agent need a person. The first rule that matches counts; without one a person is asked."""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import StrEnum
from typing import NamedTuple

from .patterns import matches_pattern


class Then(StrEnum):
    """What a rule does with a call: leave it to the host's own rules, ask a person, or refuse it."""

    PASS = "pass"  # noqa: S105 - no password
    ASK = "ask"
    DENY = "deny"


class HookRule(NamedTuple):
    """One entry of ``approve.hooks``; in its patterns ``*`` stands for any characters, and nothing else is special.

    Attributes:
        tool: a pattern of the tool's whole name.
        command: a pattern of the whole command line; None for any call of the tool.
        then: what follows.
    """

    tool: str
    command: str | None
    then: Then


def decide(rules: Iterable[HookRule], tool: str, command: str | None) -> Then:
    """What the first matching rule says about a call; ``ask`` if none matches.

    Args:
        rules: in their order.
        tool: the tool's name.
        command: the command line if the tool is a shell, else None.
    """
    return next((rule.then for rule in rules if _matches(rule, tool, command)), Then.ASK)


def _matches(rule: HookRule, tool: str, command: str | None) -> bool:
    if not matches_pattern(rule.tool, tool):
        return False
    if rule.command is None:
        return True
    if command is None or (rule.then is Then.PASS and not is_plain(command)):
        return False
    return matches_pattern(rule.command, command)


_PLAIN = re.compile(r"[A-Za-z0-9 _.,:/=+@%~'\"-]+\Z")


def is_plain(command: str) -> bool:
    r"""Whether a command line runs one program with the words that are written there, in every shell.

    Only the characters of ``_PLAIN`` are: no ``; & |``, redirection, expansion (``$``, backquote, braces, globs), escape,
    line break, control or non-ASCII character, which some shell may take for one of those. A variable in front (``PAGER=…``)
    may run something else too. What the program does with its options, no pattern can know.
    """
    return _PLAIN.match(command) is not None and "=" not in command.lstrip(" ").split(" ", 1)[0]
