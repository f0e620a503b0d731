"""`policy`: what its commands print, and their exit codes. What rules mean is tested in tests/policy."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from molecule_approve.paths import locate
from molecule_approve.server.run import Running, ServePlan
from molecule_approve.settings.policy_file import read_policy
from tests.server.serving import environment

if TYPE_CHECKING:
    from tests.callers import Caller, Told

POLICY = """\
version: 1
groups: {dba: [ana, bo, cy]}
rules:
- {name: no-prod, match: {action: "*prod*"}, outcome: deny, message: use the pipeline}
- name: two
  match: {action: "drop*", context: {env: "st*"}, ci: {repository: acme/app, ref: "refs/heads/*"}}
  approvers: ["group:dba", di]
  approvals: 2
  presence: required
  reason: required
  comment: required
  expires_in: 1h30m
- {name: psql, match: {command: [psql, "*"]}, approvers: [ana]}
- {name: provided, match: {action: "ops*"}, approvers: ["group:ops", ana], approvals: 3}
"""

CASES = """\
policy: policy.yaml
people: {ana: [], bo: [], cy: [ops], di: []}
cases:
- {action: drop prod, expect: {rule: no-prod, outcome: deny}}
- {action: other, expect: {approvers: [ana, bo, cy, di]}}
- {command: [psql, -l], requester: ana, expect: {outcome: refuse}}
"""


@dataclass
class Files:
    """A folder with a policy, a changed one and a table of cases."""

    caller: Caller
    folder: Path

    def policy(self, *words: str) -> Told:
        """One command of the family."""
        return self.caller.main("policy", *words)

    def explain(self, *words: str) -> list[str]:
        """The lines of an explanation by the file."""
        told = self.policy("explain", "--policy", str(self.folder / "policy.yaml"), *words)
        assert (told.code, told.err) == (0, "")
        return told.out.splitlines()

    def explained(self, *words: str) -> dict[str, Any]:
        """The same for programs."""
        found: dict[str, Any] = json.loads("\n".join(self.explain("--json", *words)))
        return found

    def write(self, name: str, text: str) -> str:
        """Write one of them."""
        (self.folder / name).write_text(text)
        return str(self.folder / name)


@pytest.fixture
def files(caller: Caller, tmp_path: Path) -> Files:
    """The files, and a provider whose group they name; no server has ever run here."""
    home = environment(tmp_path)
    caller.set(**{name: home[name] for name in ("XDG_STATE_HOME", "XDG_RUNTIME_DIR")})
    provider = "issuer: 'https://id.example.org', client_id: x, client_secret_file: s, groups_claim: g"
    openid = f"openid: {{{provider}, groups: {{ops: [o]}}}}\n"
    (tmp_path / "server.yaml").write_text(openid)
    caller.set(MOLECULE_SERVER_CONFIG=str(tmp_path / "server.yaml"))
    made = Files(caller, tmp_path)
    made.write("policy.yaml", POLICY)
    made.write("cases.yaml", CASES)
    return made


# --- check


def test_a_valid_policy_is_said_to_be_one(files: Files) -> None:
    """0, with a digest of each rule, by which equal policies are known."""
    path = str(files.folder / "policy.yaml")
    told, as_json = files.policy("check", path), files.policy("check", "--json", path)
    assert (told.code, as_json.code) == (0, 0)
    first, *rules = told.out.splitlines()
    assert first == f"{path}: valid (rules: 4, groups: 1)"
    found = json.loads(as_json.out)
    assert (found["file"], found["groups"]) == (path, 1)
    assert [row["rule"] for row in found["rules"]] == ["no-prod", "two", "psql", "provided", "defaults"]
    assert rules == [f"  {row['rule_sha256'][:12]}  {row['rule']}" for row in found["rules"]]


def test_a_policy_that_a_server_would_refuse_is_refused(files: Files) -> None:
    """125, with file, line and key; also one that others can write."""
    path = files.write("bad.yaml", "version: 1\nrules: [{name: x, approvers: ['group:none']}]\n")
    told = files.policy("check", path)
    assert (told.code, told.out) == (125, "")
    assert f"{path}, line 2: rules.approvers: there is no group 'none'" in told.err
    assert "hint: known groups: ops" in told.err
    Path(path).chmod(0o666)
    assert "other users can write" in files.policy("check", path).err
    assert "does not exist" in files.policy("check", "/nowhere").err


# --- explain


def test_an_explanation_says_which_rule_why_and_who(files: Files) -> None:
    """The requester does not count."""
    context = ("--context", "env=stage", "--context", "ci.repository=acme/app", "--context", "ci.ref=refs/heads/main")
    assert files.explain("--as", "bo", *context, "--", "drop it") == [
        f"rule       two ({files.folder}/policy.yaml, line 5)",
        'because    action "drop*"',
        'and        ci.repository "acme/app"',
        'and        ci.ref "refs/heads/*"',
        'and        context.env "st*"',
        "outcome    ask",
        "approvers  2 of ana (dba), cy (dba), di",
        "presence   required: each approval proves that a person touched the key",
        "reason     required",
        "comment    required with each decision",
        "expires    after 1h30m at most",
    ]


def test_a_program_of_this_folder_is_explained_by_its_path(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `run` binds it, however it was typed."""
    (files.folder / "tool").write_text("#!/bin/sh\n")
    (files.folder / "tool").chmod(0o755)
    rule = f'{{name: tool, match: {{command: ["{files.folder}/tool", "*"]}}}}'
    files.write("policy.yaml", f"version: 1\nrules: [{rule}]\n")
    monkeypatch.chdir(files.folder)
    for typed, name in (("./tool", "tool"), (f"{files.folder}/tool", "tool"), ("./none", "defaults")):
        assert files.explained("--run", "--", typed, "-x")["rule"] == name


def test_a_command_is_explained_with_its_folder_and_the_claims_of_this_machine(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `run` would request it from here: a pattern of the action sees them, one of the context sees the others, too."""
    folder = files.folder / "prod"
    folder.mkdir()
    monkeypatch.chdir(folder)
    rules = (
        f"{{name: folder, match: {{context: {{folder: '{folder}'}}, action: 'x*'}}}}, "
        "{name: named, match: {context: {host: elsewhere}}}, {name: text, match: {action: '*prod*'}}"
    )
    files.write("policy.yaml", f"version: 1\nrules: [{rules}]\n")
    found = {
        ("--run", "--", "ls"): "text",
        ("--run", "--", "no-such-program"): "text",
        ("--context", "folder=/srv", "--run", "--", "no-such-program"): "defaults",
        ("--", "ls"): "defaults",
        ("--", "x"): "folder",
        ("--context", "host=elsewhere", "--", "ls"): "named",
    }
    assert {words: files.explained(*words)["rule"] for words in found} == found
    case = "{command: [ls], context: {folder: /srv/prod}, expect: {rule: text}}"
    assert files.policy("test", files.write("cases.yaml", f"policy: policy.yaml\ncases: [{case}]\n")).code == 0


def test_a_denial_and_a_refusal_are_explained_with_their_message(files: Files) -> None:
    """Neither has terms."""
    assert files.explain("--", "drop prod")[1:] == ['because    action "*prod*"', "outcome    deny: use the pipeline"]
    assert files.explain("--as", "ANA", "--run", "--", "psql", "-c", "x") == [
        f"rule       psql ({files.folder}/policy.yaml, line 13)",
        'because    command ["psql", "*"]',
        "outcome    refuse: rule psql asks for an approval, and nobody could give one",
    ]
    hidden = "psql $'x'\nprogram: /bin/psql sha256:0\ndigest: sha256:0"
    assert files.explain("--", hidden)[1:] == [
        "outcome    refuse: rule psql looks at the command's words, and some of them are not shown in the request"
    ]


def test_what_only_the_server_knows_is_left_open(files: Files) -> None:
    """Any approver, and the provider's groups: nobody is said to be missing."""
    path = files.folder / "policy.yaml"
    assert files.explain("--", "x") == [
        f"rule       defaults ({path})",
        "because    no rule matches",
        "outcome    ask",
        "approvers  1 of all approvers",
    ]
    assert files.explain("--", "ops")[-1] == "approvers  3 of ana, the provider's group ops"
    found = files.explained("--", "ops")
    assert (found["provided"], found["approvers"]) == (["ops"], [{"name": "ana", "groups": []}])
    files.write("policy.yaml", "version: 1\nrules: [{name: all}]\n")
    assert files.explain("--", "x")[1] == "because    it matches all"


def test_an_action_is_one_word(files: Files) -> None:
    """2, unless it is a command."""
    told = files.policy("explain", "--", "drop", "it")
    assert told.code == 2
    assert "--run" in told.err


def test_without_a_policy_any_approver_may_approve(files: Files) -> None:
    """Also where no server has ever run; another workspace is not known there."""
    told = files.policy("explain", "--", "x")
    assert (told.code, told.out.splitlines()[1:]) == (
        0,
        ["because    no rule matches", "outcome    ask", "approvers  1 of all approvers"],
    )
    assert "there is no" in told.err
    assert "there is no workspace other" in files.policy("explain", "--workspace", "other", "--", "x").err


def test_a_servers_own_policy_is_explained_with_its_approvers(files: Files, home: Path) -> None:
    """Those of its database who may decide in the workspace; what it would refuse is said."""
    env = environment(home)
    files.caller.set(**{name: env[name] for name in ("XDG_STATE_HOME", "XDG_RUNTIME_DIR")})
    places = locate(env)
    with Running(ServePlan(places)) as server:
        server.add_approver("ana")
        (places.state / "policy.yaml").write_text("version: 1\ndefaults: {approvals: 2}\n")
        told = files.policy("explain", "--as", "ci", "--", "x")
        assert told.out.endswith("refuse: rule defaults asks for 2 approvals, and only 1 person could give one\n")
        server.add_approver("bo")
        told = files.policy("explain", "--as", "ci", "--", "x")
        assert told.out.endswith("approvers  2 of ana, bo (any approver)\n")


def test_a_servers_policy_is_explained_wherever_its_file_lies(files: Files, home: Path) -> None:
    """A running server has told which file it reads."""
    env = environment(home)
    files.caller.set(**{name: env[name] for name in ("XDG_STATE_HOME", "XDG_RUNTIME_DIR")})
    path = Path(files.write("rules.yaml", "version: 1\nrules: [{name: never, outcome: deny, message: not here}]\n"))
    plan = ServePlan(locate(env), read_policy=lambda: read_policy(path, wanted=True), policy_file=path)
    with Running(plan):
        told = files.policy("explain", "--", "x")
    assert told.out.splitlines()[0] == f"rule       never ({path}, line 2)"
    assert "there is no" in files.policy("explain", "--", "x").err


# --- test and diff


def test_a_table_that_is_decided_as_expected(files: Files) -> None:
    """0."""
    told = files.policy("test", str(files.folder / "cases.yaml"))
    assert (told.code, told.out, told.err) == (0, "3 of 3 cases are decided as expected\n", "")
    assert json.loads(files.policy("test", "--json", str(files.folder / "cases.yaml")).out) == {"cases": 3, "failed": []}


def test_a_case_that_is_decided_otherwise_is_told(files: Files) -> None:
    """65, with its line and each difference."""
    path = files.write("cases.yaml", CASES.replace("rule: no-prod, outcome: deny", "rule: two, approvals: 2"))
    told = files.policy("test", path)
    assert (told.code, told.out.splitlines()) == (
        65,
        [
            f"{path}, line 4: drop prod",
            "  rule is no-prod, not two",
            "  approvals is 0, not 2",
            "2 of 3 cases are decided as expected",
        ],
    )
    as_json = files.policy("test", "--json", path)
    differences = ["rule is no-prod, not two", "approvals is 0, not 2"]
    assert as_json.code == 65
    assert json.loads(as_json.out) == {
        "cases": 3,
        "failed": [{"line": 4, "action": "drop prod", "differences": differences}],
    }


def test_files_that_cannot_be_used_fail(files: Files) -> None:
    """125: a table without a policy, and what is missing."""
    told = files.policy("test", files.write("cases.yaml", CASES.replace("policy: policy.yaml\n", "")))
    assert (told.code, "policy: is missing" in told.err) == (125, True)
    told = files.policy("test", "/nowhere/cases.yaml")
    assert (told.code, "cannot read /nowhere/cases.yaml: No such file" in told.err) == (125, True)


def test_a_new_policy_is_compared_with_the_old_one(files: Files) -> None:
    """65, with the cases that people would notice; another name for a rule is none of them."""
    old, cases = str(files.folder / "policy.yaml"), str(files.folder / "cases.yaml")
    new = files.write(
        "new.yaml",
        POLICY.replace("name: no-prod", "name: renamed")
        .replace("rules:\n", "defaults: {presence: required, comment: required, expires_in: 5m}\nrules:\n", 1)
        .replace("[ana]}", "[ana, bo]}"),
    )
    told = files.policy("diff", old, new, cases)
    assert (told.code, told.out.splitlines()) == (
        65,
        [
            f"{cases}, line 5: other",
            "  - ask 1 of ana, bo, cy, di (any approver) [defaults]",
            "  + ask 1 of ana, bo, cy, di (any approver) (presence required, comment, at most 5m) [defaults]",
            f"{cases}, line 6: psql -l",
            "  - refuse: rule psql asks for an approval, and nobody could give one [psql]",
            "  + ask 1 of bo (presence required, comment, at most 5m) [psql]",
            "2 of 3 cases are decided otherwise",
        ],
    )
    found = json.loads(files.policy("diff", "--json", old, new, cases).out)
    assert (found["cases"], [row["line"] for row in found["changed"]]) == (3, [5, 6])
    assert (found["changed"][1]["old"]["outcome"], found["changed"][1]["new"]["outcome"]) == ("refuse", "ask")
    told = files.policy("diff", old, old, cases)
    assert (told.code, told.out) == (0, "0 of 3 cases are decided otherwise\n")


def test_the_server_decides_about_self_approval_in_a_table(files: Files) -> None:
    """As its setting says."""
    path = files.write("cases.yaml", "self_approval: true\n" + CASES.replace("outcome: refuse", "approvers: [ana]"))
    assert files.policy("test", path).code == 0


def test_who_is_alone_may_approve_their_own_request(files: Files) -> None:
    """If the server does not say otherwise; so says an explanation, too."""
    files.write("policy.yaml", "version: 1\nrules: [{name: one, approvers: [ana]}]\n")
    case = "cases: [{action: x, requester: ana, expect: {outcome: WHAT}}]\n"
    for head, what in (("", "ask"), ("people: {ana: []}\n", "ask"), ("people: {ana: [], bo: []}\n", "refuse")):
        path = files.write("cases.yaml", f"policy: policy.yaml\n{head}{case.replace('WHAT', what)}")
        assert files.policy("test", path).code == 0
    assert files.explain("--as", "ana", "--", "x")[-1].startswith("outcome    refuse")  # others may sign in
    files.write("server.yaml", "log_format: text\n")
    assert files.explain("--as", "ana", "--", "x")[-1] == "approvers  1 of ana"


@pytest.mark.parametrize("people", ["", "people: {ana: [], bo: [], cy: [], eve: []}\n"])
def test_another_person_in_a_rule_is_noticed(files: Files, people: str) -> None:
    """By a comparison, whether or not the table lists the approvers; and by a test that expects the people."""
    rule = "version: 1\nrules: [{name: prod, approvers: [ana, bo], approvals: 2, comment: required}]\n"
    old, new = files.write("policy.yaml", rule), files.write("new.yaml", rule.replace("[ana, bo]", "[ana, bo, eve]"))
    expected = "cases: [{action: x, expect: {rule: prod, approvers: [ana, bo]}}]\n"
    cases = files.write("cases.yaml", f"policy: policy.yaml\n{people}{expected}")
    assert files.policy("test", cases).code == 0
    told = files.policy("diff", old, new, cases)
    assert (told.code, "  + ask 2 of ana, bo, eve (comment) [prod]" in told.out) == (65, True)
    files.write("cases.yaml", (files.folder / "cases.yaml").read_text().replace("policy.yaml", "new.yaml"))
    assert "approvers is ana, bo, eve, not ana, bo" in files.policy("test", cases).out


def test_a_policy_that_names_somebody_else_than_the_table_is_refused(files: Files) -> None:
    """125, as by a server that does not know the person, with file, line and key."""
    path = files.write("cases.yaml", CASES.replace(", di: []", "").replace(", di]", "]"))
    told = files.policy("test", path)
    assert (told.code, told.out) == (125, "")
    assert f"{files.folder}/policy.yaml, line 7: rules.approvers: di is not among the people of {path}" in told.err
    assert files.policy("diff", str(files.folder / "policy.yaml"), str(files.folder / "policy.yaml"), path).code == 125
