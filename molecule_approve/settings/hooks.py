"""Reads ``approve.hooks`` of config.yaml: which tool calls of an agent need a person."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from molecule_approve.policy.hook_rules import HookRule, Then

from .values import Sourced

if TYPE_CHECKING:
    from .trusted_file import ConfigFile, Scalar


Rules = tuple[HookRule, ...]
"""The entries, in their order."""


def read_hooks(file: ConfigFile | None) -> Sourced[Rules]:
    """The rules of a file; none if it has none.

    Raises:
        ConfigError: a pattern is empty, or ``then`` is an unknown word.
    """
    if file is None or file.hooks is None:
        return Sourced(())
    source = Sourced(None, f"{file.path}: approve.hooks", from_file=True)
    return source.swap(tuple(_rule(file, entry) for entry in file.hooks))


def _rule(file: ConfigFile, entry: Mapping[str, Scalar]) -> HookRule:
    for key, scalar in entry.items():
        source = Sourced(None, f"{file.path}, line {scalar.line}: approve.hooks.{key}", from_file=True)
        if not scalar.text.strip():
            raise source.refuse("the value is empty", "write a pattern; * stands for any characters")
        if key == "then" and scalar.text not in set(Then):
            raise source.refuse(f"{scalar.text[:40]!r} is not a decision", f"write {', '.join(Then)}")
    command = entry.get("command")
    return HookRule(entry["tool"].text, None if command is None else command.text, Then(entry["then"].text))
