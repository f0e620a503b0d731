"""policy_cases.py: a table of cases, every mistake in one, and what a case finds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from molecule_approve.errors import ConfigError
from molecule_approve.policy.approval_rules import AskedRequest, PossibleApprover
from molecule_approve.policy.command_words import bound_text
from molecule_approve.policy.explanation import Explanation, PolicyOutcome
from molecule_approve.policy.requirement import Eligible
from molecule_approve.proofs.presence import Presence
from molecule_approve.settings.policy_cases import CaseTable, ExpectedOutcome, parse_cases

if TYPE_CHECKING:
    from molecule_approve.model import JsonValue

PATH = Path("/etc/cases.yaml")

WHOLE = """\
policy: policy.yaml
people:
  ana: [ops, dev]
  bo: []
self_approval: yes
cases:
- action: drop it
  requester: ci
  workspace: infra
  context: {env: prod, ci: {repository: acme/app, ref: refs/heads/main}}
  expect:
    rule: two
    outcome: ask
    message: ""
    approvals: 2
    approvers: [ana, bo]
    presence: required
- command: [psql, -c, "DROP TABLE x"]
  context: {env: dev}
"""


def read(text: str) -> CaseTable:
    """What the text says."""
    return parse_cases(text.encode(), PATH)


def test_a_whole_table_is_read() -> None:
    """Every key arrives; what is not said is empty."""
    table = read(WHOLE)
    first, second = table.cases
    assert (table.policy, table.self_approval) == (Path("/etc/policy.yaml"), True)
    assert table.people == (PossibleApprover("ana", frozenset({"ops", "dev"})), PossibleApprover("bo"))
    assert table.provider_groups == {"ops", "dev"}
    context: dict[str, JsonValue] = {"env": "prod", "ci": {"repository": "acme/app", "ref": "refs/heads/main"}}
    assert first.asked == AskedRequest("drop it", "", "infra", "infra", "ci", context)
    assert first.expected == ExpectedOutcome("two", PolicyOutcome.ASK, "", 2, ("ana", "bo"), "required")
    assert second.asked == AskedRequest(bound_text(("psql", "-c", "DROP TABLE x"), "psql"), "", "", "", None, {"env": "dev"})
    assert (second.expected, first.line, second.line) == (ExpectedOutcome(), 7, 18)


@pytest.mark.parametrize(("text", "own"), [("", None), ("self_approval: no\n", False), ("self_approval: true\n", True)])
def test_what_a_table_does_not_say_is_not_known(text: str, own: bool | None) -> None:
    """Neither who is an approver, nor whether the server allows to approve one's own request."""
    table = read(f"{text}cases: [{{action: x}}]")
    assert (table.people, table.provider_groups, table.self_approval) == (None, frozenset(), own)


CASE = "cases:\n- action: x\n  "

MISTAKES = {
    "policies": [("policies: x\ncases: []", 1, "unknown key")],
    "policy": [(f"policy: 7\n{CASE}", 1, "is a number, not text")],
    "self_approval": [(f"self_approval: maybe\n{CASE}", 1, "is text, not a boolean")],
    "people": [
        (f"people: [ana]\n{CASE}", 1, "is a list, not keys with values"),
        (f"people:\n  ana: []\n  Ana: []\n{CASE}", 3, "ana and Ana are one person"),
    ],
    "people.ana": [(f"people:\n  ana: ops\n{CASE}", 2, "is text, not a list")],
    "cases": [
        ("cases: []", 1, "there are none"),
        ("policy: x", 1, "there are none"),
        ("cases: x", 1, "is text, not a list"),
        ("cases:\n- x", 2, "is text, not keys with values"),
    ],
    "cases.actions": [("cases:\n- actions: x", 2, "unknown key")],
    "cases.action": [
        ("cases:\n- {}", 2, "is missing"),
        ("cases:\n- {action: x, command: [x]}", 2, "is missing, or beside a command"),
        ("cases:\n- action: 7", 2, "is a number, not text"),
    ],
    "cases.command": [("cases:\n- command: []", 2, "has no words"), ("cases:\n- command: [git, 7]", 2, "is a number")],
    "cases.requester": [(f"{CASE}requester: [x]", 3, "is a list, not text")],
    "cases.context": [(f"{CASE}context: x", 3, "is text, not keys with values")],
    "cases.context.env": [(f"{CASE}context: {{env: no}}", 3, "is a boolean, not text")],
    "cases.context.ci.branch": [(f"{CASE}context: {{ci: {{branch: x}}}}", 3, "unknown key")],
    "cases.expect.rules": [(f"{CASE}expect: {{rules: x}}", 3, "unknown key")],
    "cases.expect.outcome": [(f"{CASE}expect: {{outcome: allow}}", 3, "'allow' cannot be expected")],
    "cases.expect.approvals": [
        (f"{CASE}expect: {{approvals: 1.5}}", 3, "'1.5' cannot be expected"),
        (f"{CASE}expect: {{approvals: two}}", 3, "is text, not a number"),
    ],
    "cases.expect.approvers": [(f"{CASE}expect: {{approvers: ana}}", 3, "is text, not a list")],
}


@pytest.mark.parametrize(
    ("key", "text", "line", "why"), [(key, *mistake) for key, mistakes in MISTAKES.items() for mistake in mistakes]
)
def test_a_mistake_is_told_with_file_line_and_key(key: str, text: str, line: int, why: str) -> None:
    """And a hint: a case that is passed over proves nothing."""
    with pytest.raises(ConfigError) as raised:
        read(text)
    assert raised.value.message.startswith(f"/etc/cases.yaml, line {line}: {key}: ")
    assert why in raised.value.message
    assert raised.value.hint


def test_an_empty_table_is_refused() -> None:
    """It would be a test that cannot fail."""
    with pytest.raises(ConfigError, match="is empty"):
        read("")


FOUND = Explanation(
    "two", 3, (), PolicyOutcome.ASK, approvals=2, approvers=(Eligible("bo"), Eligible("ana")), presence=Presence.REQUIRED
)


@pytest.mark.parametrize(
    ("expected", "difference"),
    [
        (ExpectedOutcome(rule="one"), "rule is two, not one"),
        (ExpectedOutcome(outcome=PolicyOutcome.DENY), "outcome is ask, not deny"),
        (ExpectedOutcome(message="x"), "message is empty, not x"),
        (ExpectedOutcome(approvals=1), "approvals is 2, not 1"),
        (ExpectedOutcome(approvers=("bo",)), "approvers is ana, bo, not bo"),
        (ExpectedOutcome(approvers=()), "approvers is ana, bo, not empty"),
        (ExpectedOutcome(presence="none"), "presence is required, not none"),
    ],
)
def test_a_difference_is_told(expected: ExpectedOutcome, difference: str) -> None:
    """What is, and what was expected."""
    assert expected.differences(FOUND) == [difference]


def test_what_is_as_expected_or_not_said_is_no_difference() -> None:
    """Approvers in any order."""
    assert ExpectedOutcome().differences(FOUND) == []
    whole = ExpectedOutcome("two", PolicyOutcome.ASK, "", 2, ("ana", "bo"), "required")
    assert whole.differences(FOUND) == []
