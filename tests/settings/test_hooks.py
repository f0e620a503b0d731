"""``approve.hooks``: read from one file, by file and line."""

from __future__ import annotations

from pathlib import Path

import pytest

from molecule_approve.errors import ConfigError
from molecule_approve.policy.hook_rules import HookRule, Then
from molecule_approve.settings.hooks import read_hooks
from molecule_approve.settings.trusted_file import ConfigFile, Scalar
from molecule_approve.settings.values import Sourced

PATH = Path("/configs/config.yaml")


def test_no_file_and_a_file_without_hooks_have_no_rules() -> None:
    """Then a person is asked about every call."""
    assert read_hooks(None) == read_hooks(ConfigFile(PATH)) == Sourced(())


def test_an_empty_list_has_a_source() -> None:
    """Somebody wrote it."""
    assert read_hooks(ConfigFile(PATH, hooks=())) == Sourced((), f"{PATH}: approve.hooks", from_file=True)


def test_each_entry_is_a_rule() -> None:
    """In the file's order."""
    entries = ({"tool": Scalar("a", 3), "then": Scalar("ask", 3)}, {"tool": Scalar("b", 4), "then": Scalar("pass", 4)})
    rules = (HookRule("a", None, Then.ASK), HookRule("b", None, Then.PASS))
    assert read_hooks(ConfigFile(PATH, hooks=entries)).value == rules


def test_an_unknown_decision_is_refused_with_its_line() -> None:
    """``allow`` would be a yes without a person."""
    entry = {"tool": Scalar("a", 3), "then": Scalar("allow", 4)}
    with pytest.raises(ConfigError, match=r"line 4: approve\.hooks\.then: 'allow' is not a decision") as caught:
        read_hooks(ConfigFile(PATH, hooks=(entry,)))
    assert caught.value.hint == "write pass, ask, deny"
