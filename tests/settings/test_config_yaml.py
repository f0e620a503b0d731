"""config_yaml.py: strict reading of config.yaml."""

from __future__ import annotations

from pathlib import Path

import pytest

from molecule_approve.errors import ConfigError
from molecule_approve.settings.config_yaml import APPROVE_KEYS, parse
from molecule_approve.settings.trusted_file import ConfigFile, Scalar

PATH = Path("/configs/config.yaml")


def read(text: str) -> ConfigFile:
    """What the text says."""
    return parse(text.encode(), PATH)


def test_a_whole_file_is_read() -> None:
    """Every key of ours arrives as it is written, with its line."""
    found = read(
        """\
name: the platform's own
rbac:
  roles: [operator, deployer]
  allowed_actions:
    deployer: [approve, memory.read]
    idle: []
approve:
  platform_url: https://platform.example.org
  workspace_id: "007"
  timeout: 0300
  poll_interval: 1m
  transport: poll
  audit_log: /var/log/a.jsonl
  audit: optional
  audit_rotate_at: 1048576
  headers:
    X-Molecule-Org-Id: acme
  allow_http: yes
  require_verified_approver: false
  approver_keys: /etc/molecule-approve/approvers.keys
  hooks:
  - {tool: Bash, command: "git status*", then: pass}
  - tool: "*"
    then: deny
  locked: [platform_url, config]
""",
    )
    assert found.path == PATH
    assert found.roles == (Scalar("operator", 3), Scalar("deployer", 3))
    assert found.allowed_actions == {"deployer": frozenset({"approve", "memory.read"}), "idle": frozenset()}
    assert found.approve == {
        "platform_url": Scalar("https://platform.example.org", 8),
        "workspace_id": Scalar("007", 9),
        "timeout": Scalar("0300", 10),
        "poll_interval": Scalar("1m", 11),
        "transport": Scalar("poll", 12),
        "audit_log": Scalar("/var/log/a.jsonl", 13),
        "audit": Scalar("optional", 14),
        "audit_rotate_at": Scalar("1048576", 15),
        "allow_http": Scalar("yes", 18),
        "require_verified_approver": Scalar("false", 19),
        "approver_keys": Scalar("/etc/molecule-approve/approvers.keys", 20),
    }
    assert set(found.approve) == set(APPROVE_KEYS)
    assert found.headers == {"X-Molecule-Org-Id": Scalar("acme", 17)}
    assert found.hooks == (
        {"tool": Scalar("Bash", 22), "command": Scalar("git status*", 22), "then": Scalar("pass", 22)},
        {"tool": Scalar("*", 23), "then": Scalar("deny", 24)},
    )
    assert found.locked == (Scalar("platform_url", 25), Scalar("config", 25))


@pytest.mark.parametrize("text", ["", "\n", "# nothing\n", "---\n", "--- # nothing\n...\n", "\ufeff"])
def test_an_empty_file_says_nothing(text: str) -> None:
    """The defaults hold."""
    assert read(text) == ConfigFile(PATH)


def test_the_platform_s_own_keys_are_not_judged() -> None:
    """Whatever stands there, with tags, anchors, aliases, merges and odd keys."""
    found = read(
        """\
base: &base {timeout: no, when: 2026-01-01}
tools:
  - <<: *base
    x: !!python/object:os.system {}
  - *base
1: one
? [a, b]
: complex
loop: &loop [*loop]
approve: {timeout: 5}
""",
    )
    assert found == ConfigFile(PATH, approve={"timeout": Scalar("5", 10)}, sections=("base", "tools", "loop", "approve"))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        # no YAML
        ("a: b: c\n", r"line 1: invalid YAML"),
        ("a:\n\t- b\n", r"line 2: invalid YAML"),
        ("a: [1,\nb: 2\n", r"line \d: invalid YAML"),
        ("a: *nowhere\n", r"line 1: invalid YAML: found undefined alias"),
        ("a: 1\n---\nb: 2\n", r"line 2: invalid YAML"),
        ("a: '\x00'", r"is not text"),
        ("%YAML 1." + "9" * 5000 + "\n---\na: 1\n", r"too deeply nested"),
        ('a: "\\UFFFFFFFF"\n', r"too deeply nested"),
        ("[" * 600, r"too deeply nested"),
        # no mapping
        ("null\n", r"line 1: the file: is empty, not keys"),
        ("[rbac]\n", r"line 1: the file: is a list, not keys"),
        ("just words\n", r"line 1: the file: is text, not keys"),
        # doubled keys, wherever they stand
        ("rbac: {roles: [operator]}\nrbac: {roles: [admin]}\n", r"line 2: rbac: duplicate key"),
        ("approve:\n  timeout: 1\n  timeout: 2\n", r"line 3: timeout: duplicate key"),
        ("other:\n  - {a: 1, b: 2, a: 3}\n", r"line 2: a: duplicate key"),
        # merges that could hide one of our keys
        ("x: &x {rbac: {roles: [read-only]}}\n<<: *x\n", r"line 2: <<: merge keys"),
        ("x: &x {roles: [read-only]}\nrbac:\n  <<: *x\n", r"line 3: rbac: a key is a merge"),
        # unknown keys
        ("rbac: {role: [operator]}\n", r"line 1: rbac.role: unknown key"),
        ("approve:\n  timeuot: 5\n", r"line 2: approve.timeuot: unknown key"),
        ("approve:\n  token: abc\n", r"line 2: approve.token: unknown key"),
        # wrong types
        ("rbac:\n", r"line 1: rbac: is empty, not keys"),
        ("rbac:\nroles: [read-only]\n", r"line 1: rbac: is empty"),
        ("approve: [timeout]\n", r"approve: is a list, not keys"),
        ("approve: text\n", r"approve: is text, not keys"),
        ("approve: {no: 5}\n", r"approve: a key is a boolean, not text"),
        ("approve: {1: 5}\n", r"approve: a key is a number, not text"),
        ("approve: {[a]: 5}\n", r"approve: a key is a list, not text"),
        ("rbac: {roles: operator}\n", r"rbac.roles: is text, not a list"),
        ("rbac: {roles: }\n", r"rbac.roles: is empty, not a list"),
        ("rbac: {roles: {operator: true}}\n", r"rbac.roles: is a mapping, not a list"),
        ("rbac:\n  roles:\n    - operator\n    - no\n", r"line 4: rbac.roles: is a boolean, not text"),
        ("rbac: {roles: [1]}\n", r"rbac.roles: is a number, not text"),
        ("rbac: {roles: [[operator]]}\n", r"rbac.roles: is a list, not text"),
        ("rbac: {roles: [2026-01-01]}\n", r"rbac.roles: is of another type, not text"),
        ("rbac: {roles: [!!binary aGk=]}\n", r"rbac.roles: is of another type, not text"),
        ("rbac: {roles: ['']}\n", r"rbac.roles: '' is not a name"),
        ("rbac: {roles: ['a b']}\n", r"rbac.roles: 'a b' is not a name"),
        ('rbac: {roles: ["\\ud800"]}\n', "rbac.roles: has a zero byte or half a character"),
        ("rbac: {allowed_actions: [approve]}\n", r"rbac.allowed_actions: is a list, not keys"),
        ("rbac: {allowed_actions: {on: [approve]}}\n", r"rbac.allowed_actions: a key is a boolean"),
        ("rbac: {allowed_actions: {'a b': [approve]}}\n", r"rbac.allowed_actions: 'a b' is not a name"),
        ("rbac: {allowed_actions: {a: approve}}\n", r"rbac.allowed_actions.a: is text, not a list"),
        ("rbac: {allowed_actions: {a: }}\n", r"rbac.allowed_actions.a: is empty, not a list"),
        ("rbac: {allowed_actions: {a: [yes]}}\n", r"rbac.allowed_actions.a: is a boolean, not text"),
        ("approve: {timeout: no}\n", r"approve.timeout: is a boolean, not a number or text"),
        ("approve: {timeout: }\n", r"approve.timeout: is empty, not a number or text"),
        ("approve: {timeout: [5]}\n", r"approve.timeout: is a list, not a number or text"),
        ("approve: {platform_url: no}\n", r"approve.platform_url: is a boolean, not text"),
        ("approve: {workspace_id: 007}\n", r"approve.workspace_id: is a number, not text"),
        ("approve: {audit: off}\n", r"approve.audit: is a boolean, not text"),
        ("approve: {audit_log: 2026-01-01}\n", r"approve.audit_log: is of another type, not text"),
        ("approve: {allow_http: 'true'}\n", r"approve.allow_http: is text, not a boolean"),
        ("approve: {allow_http: 1}\n", r"approve.allow_http: is a number, not a boolean"),
        ("approve: {require_verified_approver: }\n", r"approve.require_verified_approver: is empty, not a boolean"),
        ("approve: {headers: [a]}\n", r"approve.headers: is a list, not keys"),
        ("approve: {headers: {X-Org: 12}}\n", r"approve.headers.X-Org: is a number, not text"),
        ("approve: {headers: {X-Org: {a: b}}}\n", r"approve.headers.X-Org: is a mapping, not text"),
        ("approve: {hooks: {tool: Bash, then: ask}}\n", r"approve.hooks: is a mapping, not a list"),
        ("approve: {hooks: [Bash]}\n", r"approve.hooks: is text, not keys with values"),
        ("approve: {hooks: [{tool: Bash}]}\n", r"approve.hooks: an entry without then:"),
        ("approve: {hooks: [{then: pass}]}\n", r"approve.hooks: an entry without tool:"),
        ("approve: {hooks: [{tool: Bash, then: ask, when: now}]}\n", r"approve.hooks.when: unknown key"),
        ("approve: {hooks: [{tool: Bash, then: no}]}\n", r"approve.hooks.then: is a boolean, not text"),
        ("approve: {hooks: [{tool: [Bash], then: ask}]}\n", r"approve.hooks.tool: is a list, not text"),
        # aliases
        ("approve: {hooks: [&a {tool: Bash, then: ask}, *a]}\n", r"approve.hooks: aliases are not supported"),
        ("approve: {timeout: &t 5, poll_interval: *t}\n", r"approve.poll_interval: aliases are not supported"),
        ("rbac: {allowed_actions: {a: &a [approve], b: *a}}\n", r"rbac.allowed_actions.b: aliases"),
        ("rbac: &r {allowed_actions: *r}\n", r"rbac.allowed_actions: aliases"),
    ],
)
def test_a_broken_file_is_refused_with_its_place(text: str, complaint: str) -> None:
    """File, line and key stand in the message, and a hint says how to go on."""
    with pytest.raises(ConfigError, match=complaint) as caught:
        read(text)
    assert caught.value.message.startswith(str(PATH))
    assert caught.value.hint


@pytest.mark.parametrize(
    "text",
    [
        "approve:\n  headers:\n    X-Key: *c4n4ry\n",
        "approve:\n  headers:\n    X-Key: !c4n4ry!x a\n",
        "approve:\n  headers:\n    X-Key: &c4n4ry a\n    X-Other: &c4n4ry b\n",
        "approve:\n  headers: {X-Key:c4n4ry}\n",
        "approve:\n  headers: {X-Key=c4n4ry}\n",
        "approve:\n  headers: {X-Key:c4n4ry, X-Key:c4n4ry}\n",
        "approve: {platform_url:https://user:c4n4ry@platform.example}\n",
    ],
)
def test_a_secret_that_is_written_wrong_is_not_told(text: str) -> None:
    """Where YAML takes it for an alias, an anchor, a tag, or a part of the key."""
    with pytest.raises(ConfigError) as found:
        read(text)
    assert "c4n4ry" not in found.value.message + found.value.hint
    assert ", line " in found.value.message


def test_bytes_that_are_no_text_are_refused() -> None:
    """Latin-1 is no UTF-8."""
    with pytest.raises(ConfigError, match="is not text"):
        parse("a: ü".encode("latin-1"), PATH)


def test_a_number_where_text_belongs_is_told_about_quotes() -> None:
    """The likeliest mend is the hint."""
    with pytest.raises(ConfigError) as caught:
        read("approve: {workspace_id: 12}\n")
    assert caught.value.hint == "put it in quotes"


def test_a_bomb_of_aliases_does_not_unfold() -> None:
    """Nine levels of ten aliases each are looked at in no time, and refused where they are ours."""
    levels = ["a0: &a0 [x]"] + [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 10)]
    bomb = "\n".join(levels)
    assert read(bomb) == ConfigFile(PATH, sections=tuple(f"a{i}" for i in range(10)))
    with pytest.raises(ConfigError, match="is a list, not text"):
        read(bomb + "\nrbac: {roles: *a9}\n")


def test_an_empty_list_of_roles_is_no_default() -> None:
    """No roles is what was said."""
    assert read("rbac: {roles: []}\n").roles == ()


def test_a_boolean_in_quotes_is_told_its_two_words() -> None:
    """The hint says what to write, not the name of a type."""
    with pytest.raises(ConfigError) as caught:
        read("approve: {allow_http: 'true'}\n")
    assert caught.value.hint == "write true or false"
