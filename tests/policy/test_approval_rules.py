"""Rules: a table of cases, by the rules themselves and as `policy explain` tells them; and what no table shows."""

from __future__ import annotations

import json
import time
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from molecule_approve.cli.main import main
from molecule_approve.errors import ConfigError
from molecule_approve.gate.command import BoundCommand, BoundFile, FileRole
from molecule_approve.policy.approval_rules import AskedRequest, Demand, Match, PossibleApprover, Refusal
from molecule_approve.policy.command_words import CommandWords, RuleError, bound_text
from molecule_approve.policy.requirement import Requirement
from molecule_approve.settings.policy_cases import parse_cases
from molecule_approve.settings.policy_yaml import parse_policy
from tests.watching import unwatched

if TYPE_CHECKING:
    from molecule_approve.policy.approval_rules import Policy
    from molecule_approve.settings.policy_cases import CaseTable, PolicyCase

HERE = Path(__file__).parent
CASES = HERE / "cases.yaml"
LINES = [number for number, line in enumerate(CASES.read_text().splitlines(), 1) if line.startswith("- ")]
IDS = [f"line {line}" for line in LINES]


@cache
@unwatched()  # the parser's own tests run all of it
def table() -> CaseTable:
    """The table. To read it takes long, so the processes that only collect tests do not."""
    return parse_cases(CASES.read_bytes(), CASES)


@cache
def cases() -> dict[int, PolicyCase]:
    """Its cases by their lines."""
    return {case.line: case for case in table().cases}


@cache
def table_policy() -> Policy:
    """The policy that it is about."""
    return parse_policy((HERE / "policy.yaml").read_bytes(), HERE / "policy.yaml")


def policy_of(*rules: str, head: str = "", groups: tuple[str, ...] = ()) -> Policy:
    """A policy of these rules."""
    lines = "".join(f"- {rule}\n" for rule in rules)
    return parse_policy(f"version: 1\n{head}\nrules:\n{lines}".encode(), Path("policy.yaml"), groups)


def asking(action: str, requester: str | None = None, **context: Any) -> AskedRequest:  # noqa: ANN401 - JSON
    """A request in the workspace infra."""
    return AskedRequest(action, "", "infra", "id-1", requester, context)


ANA, BO, CY = (PossibleApprover(name) for name in ("ana", "bo", "cy"))

# --- the table


def test_the_table_is_a_large_one() -> None:
    """At least 200 cases, each on a line of its own, each rule among them, and each outcome."""
    assert list(cases()) == LINES
    assert len(LINES) >= 200
    expected = [case.expected for case in table().cases]
    assert {one.rule for one in expected} == {rule.name for rule in (*table_policy().rules, table_policy().defaults)}
    assert {str(one.outcome) for one in expected} == {"ask", "deny", "refuse"}


@pytest.mark.parametrize("line", LINES, ids=IDS)
def test_a_case_is_judged_as_it_should_be(line: int) -> None:
    """The rule, how many of whom, the presence; a denial's message; or why it is refused."""
    case, people = cases()[line], table().people or ()
    expected = case.expected
    if expected.outcome == "refuse":
        with pytest.raises(RuleError) as raised:
            table_policy().judge(case.asked, people, self_approval=False)
        assert (raised.value.rule, str(raised.value)) == (expected.rule, expected.message)
        return
    judged = table_policy().judge(case.asked, people, self_approval=False)
    assert judged.rule.name == expected.rule
    if expected.outcome == "deny":
        assert judged == Refusal(judged.rule, expected.message or "")
        return
    assert isinstance(judged, Demand)
    needs = judged.requirement
    assert needs.eligible is not None
    assert tuple(sorted(one.name for one in needs.eligible)) == expected.approvers
    assert (needs.approvals, needs.presence.value) == (expected.approvals, expected.presence)


@pytest.mark.usefixtures("untraced")
@pytest.mark.parametrize("line", LINES, ids=IDS)
def test_a_case_is_explained_as_it_is_judged(line: int, capsys: pytest.CaptureFixture[str]) -> None:
    """`policy explain` comes to the same, by the same file."""
    case = cases()[line]
    assert main([*_words(case)]) == 0
    found = json.loads(capsys.readouterr().out)
    expected = case.expected
    assert (found["rule"], found["outcome"]) == (expected.rule, expected.outcome)
    if expected.outcome != "ask":
        assert found["message"] == expected.message
        return
    assert tuple(sorted(one["name"] for one in found["approvers"])) == expected.approvers
    assert (found["approvals"], found["presence"]) == (expected.approvals, expected.presence)


def _words(case: PolicyCase) -> list[str]:
    asked, context = case.asked, dict(case.asked.context)
    ci = context.pop("ci", {})
    assert isinstance(ci, dict)
    pairs = [*context.items(), *((f"ci.{key}", value) for key, value in ci.items())]
    words = ["policy", "explain", "--json", "--policy", str(HERE / "policy.yaml"), "--workspace", asked.workspace]
    words += [] if asked.requester is None else ["--as", asked.requester]
    words += [word for key, value in pairs for word in ("--context", f"{key}={value}")]
    return [*words, "--", asked.action]


# --- commands


def command(*words: str, path: str = "/usr/bin/psql", **secrets: str) -> str:
    """The action that `run` requests."""
    files = (BoundFile(FileRole.PROGRAM, path, "0" * 64),)
    return BoundCommand(words, files, "/srv", "host", "ana (uid 1)", secrets=secrets).text


@pytest.mark.parametrize(
    ("words", "fits"),
    [
        (("psql", "-c", "DROP TABLE x"), True),
        (("/opt/psql", "-c", 'DROP it\'s "x"'), True),
        (("A=psql", "-c", "DROP"), True),
        (("psql", "-c", "SELECT"), False),
        (("psql", "-cDROP"), False),
        (("psql", "-c", "DROP", "x"), False),
    ],
)
def test_the_words_are_those_of_a_real_command(words: tuple[str, ...], fits: bool) -> None:
    """As `run` quotes them; the program by the word that was typed, by its path and by its name."""
    for pattern in ("psql", "/usr/bin/psql", words[0]):
        policy = policy_of(f'{{name: x, match: {{command: ["{pattern}", -c, "DROP*"]}}}}')
        assert (policy.find(asking(command(*words))).name == "x") is fits


@pytest.mark.parametrize(
    ("words", "secrets"),
    [
        (("psql", "-c", "hidden word"), {"PASSWORD": "hidden word"}),
        (("psql", "-c", "a\x1bb"), {}),
        (("psql", "\u202eb"), {}),
    ],
)
def test_words_that_are_not_shown_refuse(words: tuple[str, ...], secrets: dict[str, str]) -> None:
    """A requester could hide by them what the rule looks for; a rule that looks at something else first is not evaluated."""
    policy = policy_of('{name: x, match: {command: [psql, "*"]}, outcome: deny, message: not here}', "{name: all}")
    action = command(*words, **secrets)
    with pytest.raises(RuleError, match="rule x looks at the command's words, and some of them are not shown"):
        policy.judge(asking(action), [ANA], self_approval=True)
    other = policy_of('{name: x, match: {workspace: other, command: [psql, "*"]}}', "{name: all}")
    assert other.find(asking(action)).name == "all"


def test_a_program_whose_path_is_not_shown_refuses() -> None:
    """Its name could be the one that the rule looks for."""
    action = bound_text(("./x",), "/usr/bin/psql").replace("/usr/bin/psql", "$'/tmp/a\\x1b'")
    with pytest.raises(RuleError, match="some of them are not shown"):
        policy_of('{name: x, match: {command: [psql, "*"]}}').find(asking(action))


@pytest.mark.parametrize(("pattern", "fits"), [("infra", True), ("id-*", True), ("id", False), ("Infra", False)])
def test_a_workspace_is_known_by_its_name_and_its_id(pattern: str, fits: bool) -> None:
    """A rule may name either, as a pattern."""
    assert (policy_of(f"{{name: x, match: {{workspace: '{pattern}'}}}}").find(asking("deploy")).name == "x") is fits


@pytest.mark.parametrize("word", ["x$", "foo$'bar", "it's $", "a\"$'b", "$", "$'", "'$'", "$'a'"])
def test_a_dollar_in_a_word_hides_nothing(word: str) -> None:
    """Many a regular expression ends with one: a rule about another program does not refuse it."""
    policy = policy_of('{name: never, match: {command: [psql, "*"]}, outcome: deny, message: m}', "{name: all}")
    assert policy.find(asking(command("grep", word, path="/usr/bin/grep"))).name == "all"
    for action in (command("grep", word, "x", path="/bin/grep"), bound_text(("grep", word, "x"), "/bin/grep")):
        assert CommandWords(action).fit(("grep", word, "x"), "rule")


@pytest.mark.parametrize("word", ["a\tb", "a\nb", "a\xa0b", "\u202eb", "a\x1bb"])
def test_a_word_that_is_not_shown_is_explained_as_it_is_judged(word: str) -> None:
    """`policy explain --run` and tables of cases come to the same refusal as the server."""
    for action in (command("psql", word), bound_text(("psql", word), "/usr/bin/psql")):
        with pytest.raises(RuleError, match="some of them are not shown"):
            CommandWords(action).fit(("psql", "*"), "rule")


def test_a_text_that_stands_for_a_command_is_matched_as_one() -> None:
    """What tables and `policy explain --run` make of words."""
    for words in (("psql", "-c", "it's"), ("psql",)):
        assert CommandWords(bound_text(words, "/usr/bin/psql")).fit(words, "x")
        assert CommandWords(bound_text(words, "/usr/bin/psql")).fit(("/usr/bin/psql", *words[1:]), "x")


# --- regular expressions


@pytest.mark.parametrize("pattern", ["(a*)*b", "(a|a)*b", "(.*)*(.*)*(.*)*x", "a?" * 40 + "a{40}b", "(x+x+)+y"])
def test_a_pathological_expression_takes_linear_time(pattern: str) -> None:
    """Each would take centuries where an engine goes back."""
    policy = policy_of(f"{{name: x, match: {{action_regex: '{pattern}'}}}}")
    began = time.monotonic()
    assert policy.find(asking("a" * 4_096)).name == "defaults"
    assert time.monotonic() - began < 1.0


def test_patterns_with_many_stars_take_linear_time() -> None:
    """As the expressions."""
    policy = policy_of(f"{{name: x, match: {{action: '{'*a' * 400}b'}}}}")
    began = time.monotonic()
    assert policy.find(asking("a" * 4_096)).name == "defaults"
    assert time.monotonic() - began < 1.0


def test_an_action_that_no_expression_can_look_at_refuses() -> None:
    """It is never taken for one that does not match."""
    policy = policy_of("{name: x, match: {action_regex: 'a+'}}")
    with pytest.raises(RuleError, match="rule x looks at the action, which cannot be compared"):
        policy.find(asking("a\ud800"))


def test_an_expression_sees_all_lines() -> None:
    """Its dot matches a line break too, as a star does: the action of `run` has several lines."""
    for match in ("{action_regex: 'psql.*digest.*'}", "{action: 'psql*digest*'}"):
        assert policy_of(f"{{name: x, match: {match}}}").find(asking(command("psql"))).name == "x"


# --- who


def test_nobody_is_eligible_by_the_name_of_a_group() -> None:
    """A server of before may have an approver called like one."""
    policy = policy_of('{name: x, approvers: ["group:dba", bo], approvals: 1}', head="groups: {dba: [ana]}")
    judged = policy.judge(asking("x"), [PossibleApprover("group:dba"), BO], self_approval=False)
    assert isinstance(judged, Demand)
    assert judged.requirement.eligible == (("bo", ()),)


def test_a_person_is_eligible_by_name_or_by_groups() -> None:
    """The groups are kept, of the policy and of the provider; a name in the rule makes them unimportant."""
    rule = "{name: x, approvers: [cy, 'group:dba', 'group:ops'], approvals: 2}"
    policy = policy_of(rule, head="groups: {dba: [Ana, bo]}", groups=("ops", "devs"))
    people = [PossibleApprover("ana", frozenset({"ops"})), PossibleApprover("CY", frozenset({"ops"})), BO]
    people += [PossibleApprover("di", frozenset({"devs", "dba"})), PossibleApprover("eva", frozenset({"ops"}))]
    judged = policy.judge(asking("x"), people, self_approval=True)
    assert isinstance(judged, Demand)
    assert judged.requirement.eligible == (("ana", ("dba", "ops")), ("CY", ()), ("bo", ("dba",)), ("eva", ("ops",)))
    assert Requirement.of_json(json.loads(json.dumps(judged.requirement.as_json()))) == judged.requirement


@pytest.mark.parametrize(
    ("rule", "own", "able"),
    [("", False, 1), ("", True, 2), ("self_approval: true,", False, 2), ("self_approval: false,", True, 1)],
)
def test_the_rule_decides_about_self_approval_before_the_server(rule: str, own: bool, able: int) -> None:
    """The requester counts only if they agree that it may; in any spelling of the name."""
    policy = policy_of(f"{{name: x, {rule} approvals: 2}}")
    if able == 2:
        judged = policy.judge(asking("x", "ANA"), [ANA, BO], self_approval=own)
        assert isinstance(judged, Demand)
        assert judged.requirement.eligible is None
        return
    with pytest.raises(RuleError, match="rule x asks for 2 approvals, and only 1 person could give one"):
        policy.judge(asking("x", "ANA"), [ANA, BO], self_approval=own)


def test_the_digest_is_of_the_rule_and_its_people() -> None:
    """It changes with what the rule says and with a group that it names; not with its place or with another group."""

    def digest(rule: str, head: str) -> str:
        policy = policy_of(rule, head=head)
        return policy.rules[0].digest(policy.groups)

    rule, groups = "{name: x, approvers: ['group:dba']}", "groups: {dba: [ana], ops: [bo]}"
    same = digest(rule, groups)
    assert digest(rule, f"# a comment\n{groups.replace('ops: [bo]', 'ops: [bo, cy]')}") == same
    for other in (groups.replace("ana", "ana, cy"), f"{groups}\ndefaults: {{comment: required}}"):
        assert digest(rule, other) != same
    assert digest(rule.replace("x", "y"), groups) != same


# --- rules that never decide


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("", "match: {action: x}"),
        ("match: {action: '*'}", "match: {action: x}"),
        ("match: {action: '*'}", ""),
        ("match: {action: 'a*c'}", "match: {action: 'ab*bc'}"),
        ("match: {workspace: 'p*'}", "match: {workspace: prod, requester: ci}"),
        ("match: {requester: '*'}", "match: {requester: ci}"),
        ("match: {ci: {repository: 'acme/*'}}", "match: {ci: {repository: acme/app, ref: x}}"),
        ("match: {context: {env: '*'}}", "match: {context: {env: prod, more: x}}"),
        ("match: {action_regex: 'a+'}", "match: {action_regex: 'a+', action: a}"),
        ("match: {command: [psql, '*']}", "match: {command: [psql, -c, x]}"),
        ("match: {command: [psql, '*']}", "match: {command: [psql, -c, '*']}"),
        ("match: {command: ['*', -c]}", "match: {command: [psql, -c]}"),
    ],
)
def test_a_rule_that_covers_a_later_one_is_seen(first: str, second: str) -> None:
    """The later one would never decide; the other way round both do."""
    assert _match(first).covers(_match(second))
    if (first, second) != ("match: {action: '*'}", ""):  # they say the same
        assert not _match(second).covers(_match(first))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("match: {action: 'a*'}", "match: {action: '*'}"),
        ("match: {action: 'ab'}", "match: {action: 'a*'}"),
        ("match: {requester: '*'}", ""),
        ("match: {ci: {ref: '*'}}", "match: {ci: {repository: '*'}}"),
        ("match: {context: {env: '*'}}", "match: {context: {other: x}}"),
        ("match: {action_regex: '.*'}", "match: {action: x}"),
        ("match: {command: ['*']}", ""),
        ("match: {command: ['*', -c]}", "match: {command: [psql, '*']}"),
        ("match: {command: [psql, '*']}", "match: {command: [git, '*']}"),
        ("match: {command: [psql, -c]}", "match: {command: [psql, -c, '*']}"),
    ],
)
def test_a_rule_that_leaves_something_does_not_cover(first: str, second: str) -> None:
    """A star matches neither a requester without a name nor a job without a branch."""
    assert not _match(first).covers(_match(second))


def _match(text: str) -> Match:
    return policy_of(f"{{name: x, {text}}}").rules[0].match


def test_a_denial_hides_what_asks_wherever_it_stands() -> None:
    """What asks hides no denial; the denials are tried first."""
    deny = "outcome: deny, message: not here"
    policy = policy_of(
        "{name: all, match: {action: 'a*'}}", f"{{name: some, match: {{action: 'ab*'}}, {deny}}}", "{name: z}"
    )
    assert policy.find(asking("abc")).name == "some"
    assert [rule.name for rule in policy.in_order()] == ["some", "all", "z"]
    for rules in (("{name: x}", f"{{name: y, {deny}}}"), (f"{{name: x, {deny}}}", "{name: y, match: {action: a}}")):
        with pytest.raises(ConfigError, match="never decides"):
            policy_of(*rules)
    with pytest.raises(ConfigError, match="rule y never decides: x, line 4"):
        policy_of(f"{{name: x, match: {{action: 'a*'}}, {deny}}}", f"{{name: y, match: {{action: a}}, {deny}}}")
