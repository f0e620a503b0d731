"""Which tool calls of an agent need a person: the first rule that matches, and what no pattern lets pass."""

from __future__ import annotations

import pytest

from molecule_approve.policy.hook_rules import HookRule, Then, decide, is_plain
from molecule_approve.policy.patterns import matches_pattern

STATUS = HookRule("Bash", "git status*", Then.PASS)


def test_without_a_rule_a_person_is_asked() -> None:
    """What the host sends to the hook needs one."""
    assert decide((), "Bash", "ls") is Then.ASK
    assert decide((STATUS,), "Bash", "ls") is Then.ASK
    assert decide((STATUS,), "Write", None) is Then.ASK


def test_the_first_rule_that_matches_counts() -> None:
    """Whatever stands behind it."""
    rules = (STATUS, HookRule("Bash", None, Then.DENY), HookRule("*", None, Then.PASS))
    assert decide(rules, "Bash", "git status") is Then.PASS
    assert decide(rules, "Bash", "git push") is Then.DENY
    assert decide(rules, "Read", None) is Then.PASS


def test_a_command_pattern_is_about_shells_only() -> None:
    """A tool without a command line matches none, not even ``*``."""
    assert decide((HookRule("*", "*", Then.PASS),), "Write", None) is Then.ASK


def test_a_rule_without_a_command_is_about_every_call() -> None:
    """Who passes a whole tool means it."""
    assert decide((HookRule("Bash", None, Then.PASS),), "Bash", "a; b") is Then.PASS


@pytest.mark.parametrize(
    "command",
    [
        "git status; rm -rf /",
        "git status && rm x",
        "git status || rm x",
        "git status & rm x",
        "git status | sh",
        "git status $(rm x)",
        "git status `rm x`",
        "git status ${x:-$(rm x)}",
        "git status $HOME",
        "git status\nrm x",
        "git status\rrm x",
        "git status \\\nrm x",
        "git status \\n",
        "git status > /etc/passwd",
        "git status >> x",
        "git status < x",
        "git status <(rm x)",
        "git status 2>&1",
        "git status {a,b}",
        "git status *",
        "git status ?",
        "git status [ab]",
        "git status (x)",
        "git status !x",
        "git status #x",
        "git status ^x",
        "git status %PATH^%",
        "git status\x00",
        "git status\x0b",
        "git status\x85rm x",
        "git status\u2028rm x",
        "git status \u201crm\u201d",
        "git status \u202e",
        "git status\trm",
    ],
)
def test_no_pattern_lets_more_than_one_plain_command_pass(command: str) -> None:
    """A shell reads more out of these than one program and its words."""
    assert not is_plain(command)
    assert decide((STATUS, HookRule("*", "*", Then.PASS)), "Bash", command) is Then.ASK


@pytest.mark.parametrize("command", ["PAGER=x git status", "a=b", "=x git status", "'A=1' git status", "  A=b git status"])
def test_a_variable_in_front_is_not_plain(command: str) -> None:
    """It may run another program."""
    assert decide((HookRule("*", "*", Then.PASS),), "Bash", command) is Then.ASK


@pytest.mark.parametrize("command", ["git status", "git status --short 'a b' \"c\" --x=y HEAD~1 a@b.c ./d:e,f+g"])
def test_a_plain_command_passes(command: str) -> None:
    """One program and its words."""
    assert decide((STATUS,), "Bash", command) is Then.PASS


def test_other_rules_match_any_command_line() -> None:
    """What is to be refused or asked about may be written in any way."""
    for then in (Then.ASK, Then.DENY):
        assert decide((HookRule("Bash", "rm *", then), HookRule("*", None, Then.PASS)), "Bash", "rm a; rm b") is then


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [
        ("git status", "git status", True),
        ("git status", "git status -s", False),
        ("git status*", "git status", True),
        ("git status*", " git status", False),
        ("*", "", True),
        ("a*a", "a", False),
        ("a*a", "aa", True),
        ("a*b*c", "a-b-c", True),
        ("a*b*c", "a-c-b", False),
        ("ab*bc", "abc", False),
        ("a*bc*c", "abc", False),
        ("*bb*bb*", "bbb", False),
        ("*bb*bb*", "bbbb", True),
        ("mcp__memory__*", "mcp__memory__x", True),
        ("Bash", "bash", False),
        ("a.c", "abc", False),
        ("[ab]", "a", False),
        ("a?", "ab", False),
        ("**", "x", True),
    ],
)
def test_a_pattern_matches_the_whole_text(pattern: str, text: str, *, matches: bool) -> None:
    """``*`` stands for any characters, and nothing else is special."""
    assert matches_pattern(pattern, text) is matches


def test_a_long_command_is_matched_at_once() -> None:
    """An agent chooses the text: a pattern with many stars must not take hours over it."""
    assert not matches_pattern("*a" * 40 + "b", "a" * 1_000_000)
