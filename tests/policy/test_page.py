"""docs/rules.md: its policy, its table and its commands, as they stand there."""

from __future__ import annotations

import hashlib
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from molecule_approve.policy.approval_rules import Match
from molecule_approve.settings import policy_yaml
from molecule_approve.settings.policy_yaml import parse_policy
from tests.pages import PAGES, SNIPPETS

if TYPE_CHECKING:
    from tests.callers import Caller

PAGE = PAGES["docs/rules.md"]


@pytest.fixture
def folder(caller: Caller, tmp_path: Path) -> Caller:
    """A caller in a folder with the page's files."""
    caller.patch.chdir(tmp_path)
    Path("policy.yaml").write_text(SNIPPETS["policy"])
    Path("cases.yaml").write_text(SNIPPETS["policy-cases"])
    return caller


def test_the_page_s_table_tests_its_policy(folder: Caller) -> None:
    """Each case is decided as it expects, and no other policy is needed."""
    lines = SNIPPETS["policy-test"].splitlines()
    outs = [folder.main(*shlex.split(line)[1:]) for line in lines]
    assert [(told.code, told.out) for told in outs] == [
        (0, "4 of 4 cases are decided as expected\n"),
        (0, "0 of 4 cases are decided otherwise\n"),
    ]


def test_the_page_s_explanation_is_what_the_program_says(folder: Caller) -> None:
    """Word by word."""
    told = folder.main(*shlex.split(SNIPPETS["policy-explain"])[1:])
    assert (told.code, told.out) == (0, SNIPPETS["policy-explained"])


def test_the_digest_is_of_the_text_on_the_page() -> None:
    """Anybody can compute it."""
    policy = parse_policy(SNIPPETS["policy"].encode(), Path("policy.yaml"))
    [rule] = (rule for rule in policy.rules if rule.name == "deploy")
    assert rule.digest(policy.groups) == hashlib.sha256(SNIPPETS["policy-digest"].rstrip("\n").encode()).hexdigest()


def test_the_page_names_every_key() -> None:
    """Those of a rule, of the defaults and of what matches."""
    keys = {"version", "groups", "defaults", "rules", "name", "match", "message", *policy_yaml._TERMS, *policy_yaml._MATCH}
    assert {key for key in keys if f"`{key}`" not in PAGE} == set()
    assert {name for name in Match.__slots__ if f"`{name}`" not in PAGE} == set()
