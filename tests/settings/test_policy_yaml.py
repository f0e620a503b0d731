"""policy_yaml.py: a whole policy, and every mistake in one with file, line and key."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from molecule_approve.errors import ConfigError
from molecule_approve.policy.approval_rules import ApprovalRule, Match, NamedPerson
from molecule_approve.proofs.presence import Presence
from molecule_approve.settings.policy_file import read_policy
from molecule_approve.settings.policy_yaml import parse_policy

if TYPE_CHECKING:
    from molecule_approve.policy.approval_rules import Policy

PATH = Path("/etc/policy.yaml")


def read(text: str, groups: tuple[str, ...] = ()) -> Policy:
    """What the text says."""
    return parse_policy(text.encode(), PATH, groups)


WHOLE = """\
version: 1
groups:
  dba: [ana, bo]
defaults:
  outcome: ask
  approvers: ["group:dba", "user:Cy", "group:ops"]
  approvals: 2
  presence: signature
  reason: required
  comment: required
  expires_in: 30m
  self_approval: false
rules:
- name: everything
  match:
    action: "a*"
    action_regex: "a+b"
    command: [psql, "*"]
    workspace: infra
    requester: "*-bot"
    ci: {repository: acme/app, ref: "refs/heads/*"}
    context: {env: prod, more: "x*"}
  outcome: ask
  approvers: [ana, di]
  approvals: 1
  presence: none
  expires_in: 90
  self_approval: yes
- name: never
  outcome: deny
  match: {action: b}
  message: not here
"""


def test_a_whole_policy_is_read() -> None:
    """Every key arrives; a rule takes over what it does not say from the defaults."""
    policy = read(WHOLE, ("ops",))
    defaults = ApprovalRule(
        "defaults",
        approvers=("group:dba", "Cy", "group:ops"),
        approvals=2,
        presence=Presence.SIGNATURE,
        reason=True,
        comment=True,
        expires_in=1_800.0,
        self_approval=False,
        line=5,
    )
    assert policy.defaults == defaults
    everything, never = policy.rules
    context = (("env", "prod"), ("more", "x*"))
    assert everything.match == Match("a*", "a+b", ("psql", "*"), "infra", "*-bot", "acme/app", "refs/heads/*", context)
    assert (everything.approvers, everything.approvals, everything.presence) == (("ana", "di"), 1, Presence.NONE)
    assert (everything.reason, everything.comment, everything.expires_in, everything.self_approval) == (
        True,
        True,
        90.0,
        True,
    )
    assert (never.deny, never.message, never.match, never.line) == (True, "not here", Match("b"), 29)
    assert policy.groups == {"dba": ("ana", "bo")}
    assert policy.named == (
        NamedPerson("ana", 3, "groups.dba"),
        NamedPerson("bo", 3, "groups.dba"),
        NamedPerson("Cy", 6, "defaults.approvers"),
        NamedPerson("ana", 24, "rules.approvers"),
        NamedPerson("di", 24, "rules.approvers"),
    )
    assert policy.source(3, "groups.dba") == "/etc/policy.yaml, line 3: groups.dba"


def test_the_shortest_policy_changes_nothing() -> None:
    """Any approver, one approval."""
    assert read("version: 1\n").defaults == ApprovalRule("defaults")


RULE = "version: 1\nrules:\n- "

MISTAKES = {
    # the file
    "version": [
        ("{}", 1, "is missing"),
        ("version: 2", 1, "is not 1"),
        ("version: '1'", 1, "is text, not a number"),
        ("rules: []", 1, "is missing"),
    ],
    "the file": [("[]", 1, "is a list, not keys with values"), ("1: x", 1, "a key is a number, not text")],
    "rule": [("version: 1\nrule:\n- x", 2, "unknown key")],
    "rules": [
        ("version: 1\nrules: {}", 2, "is a mapping, not a list"),
        ("version: 1\nrules: [x]", 2, "is text, not keys with values"),
        (f"{RULE}match: {{action: x}}", 3, "a rule without a name"),
        ("version: 1\nrules:", 2, "is empty, not a list"),
    ],
    # groups
    "groups": [
        ("version: 1\ngroups: [x]", 2, "is a list, not keys with values"),
        ("version: 1\ngroups: {a b: [x]}", 2, "'a b' is not a name"),
        ("version: 1\ngroups:\n  1: [x]", 3, "a key is a number, not text"),
    ],
    "groups.dba": [
        ("version: 1\ngroups: {dba: ana}", 2, "is text, not a list"),
        ("version: 1\ngroups:\n  dba: [ana, 7]", 3, "is a number, not text"),
        ("version: 1\ngroups:\n  dba: [no]", 3, "is a boolean, not text"),
        ("version: 1\ngroups:\n  dba:\n  - group:ops", 4, "'group:ops' is not the name of a person"),
        ("version: 1\ngroups: {dba: ['user:ana']}", 2, "'user:ana' is not the name of a person"),
        ("version: 1\ngroups: {dba: [' ']}", 2, "' ' is not the name of a person"),
    ],
    # what a rule may have
    "rules.names": [(f"{RULE}name: x\n  names: y", 4, "unknown key")],
    "rules.name": [
        (f"{RULE}name: a b", 3, "'a b' is not a name"),
        (f"{RULE}name: 7", 3, "is a number, not text"),
        (f"{RULE}name: defaults", 3, "defaults is the name of what no rule matches"),
        (f"{RULE}{{name: x, match: {{action: a}}}}\n- name: x\n  match: {{action: b}}", 4, "there are two rules x"),
    ],
    "rules.outcome": [
        (f"{RULE}name: x\n  outcome: allow", 4, "'allow' is not an outcome"),
        (f"{RULE}name: x\n  outcome: true", 4, "is a boolean, not text"),
    ],
    "rules.message": [
        (f'{RULE}{{name: x, outcome: deny, message: "a \\ud800"}}', 3, "has a zero byte or half a character"),
        (f"{RULE}name: x\n  message: y", 4, "a rule has one only if it denies"),
        (f"{RULE}name: x\n  message: ''", 4, "a rule has one only if it denies"),
        (f"{RULE}name: x\n  outcome: deny", 3, "a rule that denies needs one"),
        (f"{RULE}name: x\n  outcome: deny\n  message: ' '", 5, "a rule that denies needs one"),
        (f"{RULE}name: x\n  message: [y]", 4, "is a list, not text"),
    ],
    "rules.approvers": [
        (f"{RULE}name: x\n  approvers: ana", 4, "is text, not a list"),
        (f"{RULE}name: x\n  approvers: []", 4, "is empty, so that nobody could approve"),
        (f"{RULE}name: x\n  approvers:\n  - ana\n  - group:dba", 6, "there is no group 'dba'"),
        (f"{RULE}name: x\n  approvers: ['user:group:dba']", 4, "'group:dba' is not the name of a person"),
        (f"{RULE}name: x\n  approvers: ['user:']", 4, "'' is not the name of a person"),
        (f"{RULE}name: x\n  approvers: [7]", 4, "is a number, not text"),
    ],
    "rules.approvals": [
        (f"{RULE}name: x\n  outcome: deny\n  message: y\n  approvals: 2", 6, "a rule that denies does not ask"),
        (f"{RULE}name: x\n  approvals: 0", 4, "'0' is not a number of approvals"),
        (f"{RULE}name: x\n  approvals: 101", 4, "'101' is not a number of approvals"),
        (f"{RULE}name: x\n  approvals: 1.5", 4, "'1.5' is not a number of approvals"),
        (f"{RULE}name: x\n  approvals: two", 4, "is text, not a number"),
        (
            f"{RULE}name: x\n  approvals: 3\n  approvers: [ana, ANA, bo]",
            4,
            "asks for 3 approvals, and only 2 people could give",
        ),
        (f"groups: {{dba: []}}\n{RULE}name: x\n  approvers: ['group:dba']", 4, "asks for an approval, and nobody could"),
    ],
    "rules.presence": [
        (f"{RULE}name: x\n  presence: touched", 4, "'touched' is not a presence"),
        (f"{RULE}name: x\n  presence: yes", 4, "is a boolean, not text"),
    ],
    "rules.reason": [(f"{RULE}name: x\n  reason: optional", 4, "'optional' is not required")],
    "rules.comment": [(f"{RULE}name: x\n  comment: wanted", 4, "'wanted' is not required")],
    "rules.expires_in": [
        (f"{RULE}name: x\n  expires_in: soon", 4, "'soon' is not a duration"),
        (f"{RULE}name: x\n  expires_in: 0", 4, "'0' is out of range"),
        (f"{RULE}name: x\n  expires_in: 31d", 4, "'31d' is out of range"),
    ],
    "rules.self_approval": [(f"{RULE}name: x\n  self_approval: maybe", 4, "is text, not a boolean")],
    # what it matches
    "rules.match": [
        (f"{RULE}name: x\n  match: y", 4, "is text, not keys with values"),
        (f"{RULE}{{name: a}}\n- name: b\n  match: {{action: y}}", 5, "rule b never decides: a, line 3, matches whatever"),
    ],
    "rules.match.actions": [(f"{RULE}name: x\n  match:\n    actions: y", 5, "unknown key")],
    "rules.match.action": [(f"{RULE}name: x\n  match: {{action: 7}}", 4, "is a number, not text")],
    "rules.match.workspace": [(f"{RULE}name: x\n  match: {{workspace: [a]}}", 4, "is a list, not text")],
    "rules.match.requester": [(f"{RULE}name: x\n  match: {{requester: }}", 4, "is empty, not text")],
    "rules.match.action_regex": [
        (f"{RULE}name: x\n  match: {{action_regex: '('}}", 4, "is not a regular expression: missing )"),
        (f"{RULE}name: x\n  match: {{action_regex: '(?=a)'}}", 4, "is not a regular expression: invalid perl operator"),
        (f"{RULE}name: x\n  match: {{action_regex: '(a)\\1'}}", 4, "is not a regular expression: invalid escape"),
        (
            f"{RULE}name: x\n  match: {{action_regex: 'a{{1001}}'}}",
            4,
            "is not a regular expression: invalid repetition size",
        ),
    ],
    "rules.match.command": [
        (f"{RULE}name: x\n  match: {{command: psql}}", 4, "is text, not a list"),
        (f"{RULE}name: x\n  match: {{command: []}}", 4, "has no words"),
        (f"{RULE}name: x\n  match: {{command: [git, 7]}}", 4, "is a number, not text"),
    ],
    "rules.match.ci": [
        (f"{RULE}name: x\n  match: {{ci: github}}", 4, "is text, not keys with values"),
        (f"{RULE}name: x\n  match: {{ci: {{}}}}", 4, "is empty, so that it matches all"),
    ],
    "rules.match.context.ci": [(f"{RULE}name: x\n  match: {{context: {{ci: '*'}}}}", 4, "can never match")],
    "rules.match.context.audit_head": [(f"{RULE}name: x\n  match: {{context: {{audit_head: x}}}}", 4, "can never match")],
    "rules.match.ci.branch": [(f"{RULE}name: x\n  match: {{ci: {{branch: x}}}}", 4, "unknown key")],
    "rules.match.ref": [(f"{RULE}name: x\n  match: {{ci: {{ref: 7}}}}", 4, "is a number, not text")],
    "rules.match.context": [
        (f"{RULE}name: x\n  match: {{context: {{}}}}", 4, "is empty, so that it matches all"),
        (f'{RULE}{{name: x, match: {{context: {{"\\0": x}}}}}}', 3, "has a zero byte or half a character"),
        (f"{RULE}name: x\n  match: {{context: [env]}}", 4, "is a list, not keys with values"),
        (f"{RULE}name: x\n  match: {{context: {{env: yes}}}}", 4, "is a boolean, not text"),
        (f"{RULE}name: x\n  match: {{context: {{env: {{a: b}}}}}}", 4, "is a mapping, not text"),
    ],
    # the defaults
    "defaults": [("version: 1\ndefaults: [x]", 2, "is a list, not keys with values")],
    "defaults.match": [("version: 1\ndefaults:\n  match: {action: x}", 3, "unknown key")],
    "defaults.outcome": [
        ("version: 1\ndefaults: {outcome: allow}", 2, "'allow' is not an outcome"),
        ("version: 1\ndefaults: {outcome: deny}", 2, "'deny' is not an outcome"),
    ],
    "defaults.approvers": [("version: 1\ndefaults:\n  approvers: ['group:x']", 3, "there is no group 'x'")],
    "defaults.approvals": [("version: 1\ndefaults: {approvals: 2, approvers: [ana]}", 2, "only 1 person could give one")],
    # what YAML itself allows
    "a": [("version: 1\ngroups:\n  a: [x]\n  a: [y]", 4, "duplicate key")],
    "groups.a": [('version: 1\ngroups: {a: ["b\\0"]}', 2, "has a zero byte or half a character")],
    "groups.b": [("version: 1\ngroups:\n  a: &x [ana]\n  b: *x", 3, "aliases are not supported")],
}


@pytest.mark.parametrize(
    ("key", "text", "line", "why"), [(key, *mistake) for key, mistakes in MISTAKES.items() for mistake in mistakes]
)
def test_a_mistake_is_told_with_file_line_and_key(key: str, text: str, line: int, why: str) -> None:
    """And a hint; nothing that is wrong is passed over."""
    with pytest.raises(ConfigError) as raised:
        read(text)
    assert raised.value.message.startswith(f"/etc/policy.yaml, line {line}: {key}: ")
    assert why in raised.value.message
    assert raised.value.hint


def test_a_closed_schema_knows_no_other_keys() -> None:
    """At each level, an unknown key is refused, with those that there are."""
    for text, known in (
        ("version: 1\nx: 1", "defaults, groups, rules, version"),
        (
            "version: 1\ndefaults: {name: x}",
            "approvals, approvers, comment, expires_in, outcome, presence, reason, self_approval",
        ),
        (f"{RULE}{{name: x, match: {{ci: {{x: y}}}}}}", "ref, repository"),
        (f"{RULE}{{name: x, match: {{x: y}}}}", "action, action_regex, ci, command, context, requester, workspace"),
    ):
        with pytest.raises(ConfigError) as raised:
            read(text)
        assert raised.value.hint == f"known keys: {known}"


def test_people_of_a_provider_are_not_counted() -> None:
    """How many its groups have is not known."""
    assert read(f"{RULE}{{name: x, approvers: ['group:ops'], approvals: 9}}", ("ops",)).rules[0].approvals == 9


def test_an_empty_file_and_one_that_is_not_yaml_are_refused() -> None:
    """An empty policy could be one that was cut off."""
    for text, why in (("", "is empty"), ("# nothing\n", "is empty"), ("a: [", "line 1: invalid YAML")):
        with pytest.raises(ConfigError, match=why):
            read(text)


def test_without_the_engine_an_expression_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hint says what to install; other rules need no engine."""
    monkeypatch.setitem(sys.modules, "re2", None)
    with pytest.raises(ConfigError, match=r"line 3: rules\.match\.action_regex: needs the library google-re2") as raised:
        read(f"{RULE}{{name: x, match: {{action_regex: a}}}}")
    assert "molecule-approve[rules]" in raised.value.hint
    assert read(f"{RULE}{{name: x, match: {{action: a}}}}").rules


def test_only_a_file_that_others_cannot_write_is_taken(tmp_path: Path) -> None:
    """One that is missing is none, unless it was named."""
    path = tmp_path / "policy.yaml"
    assert read_policy(path, wanted=False) is None
    with pytest.raises(ConfigError, match="does not exist"):
        read_policy(path, wanted=True)
    path.write_text("version: 1\n")
    assert read_policy(path, wanted=False) == parse_policy(b"version: 1\n", path)
    for mode in (0o620, 0o602):
        path.chmod(mode)
        with pytest.raises(ConfigError, match="other users can write"):
            read_policy(path, wanted=False)
