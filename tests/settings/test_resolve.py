"""config.py: where each setting came from."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from molecule_approve.errors import ApprovalError, ConfigError, UsageError
from molecule_approve.paths import recall_audit_log, remember_audit_log
from molecule_approve.policy.hook_rules import HookRule, Then
from molecule_approve.settings import resolve as resolve_module
from molecule_approve.settings.resolve import Flags, Settings
from molecule_approve.settings.values import Sourced, Transport

if TYPE_CHECKING:
    from molecule_approve.paths import Places

Resolve = Callable[..., Settings]
Written = Callable[[str], Flags]


# --- where a value comes from ------------------------------------------------------------------------------------------


def test_nothing_given_means_the_defaults(resolve: Resolve, places: Places) -> None:
    """The table of the command line's contract."""
    found = resolve()
    assert found.platform_url == Sourced("http://platform:8080", "default")
    assert found.workspace_id == Sourced("", "default")
    assert found.token == Sourced(None, "default")
    assert found.headers == Sourced({}, "default")
    assert found.timeout == Sourced(300.0, "default")
    assert found.poll_interval == Sourced(5.0, "default")
    assert found.transport == Sourced(Transport.AUTO, "default")
    assert found.audit_optional == Sourced(value=False)
    assert found.audit_rotate_at == Sourced(16 * 1024**2, "default")
    assert found.allow_http == Sourced(value=False)
    assert found.require_verified_approver == Sourced(value=False)
    assert found.approver_keys == Sourced(None, "default")
    assert found.roles == Sourced(("operator",), "default")
    assert found.allowed_actions == Sourced({}, "default")
    assert found.hooks == Sourced((), "default")
    assert found.proxy.value is None
    assert (found.local, found.unix_socket, found.config_path, found.warnings) == (False, None, None, ())
    assert found.requester_file == places.requester


EVERY = """\
approve:
  platform_url: https://file
  workspace_id: file-w
  timeout: 30
  poll_interval: 3
  transport: poll
  audit_log: /file.jsonl
  audit_rotate_at: 131072
  allow_http: true
  require_verified_approver: true
"""

ENVIRON = {
    "PLATFORM_URL": "https://env",
    "WORKSPACE_ID": "env-w",
    "APPROVAL_TIMEOUT": "20",
    "APPROVAL_POLL_INTERVAL": "2",
    "APPROVAL_USE_WEBSOCKET": "true",
    "AUDIT_LOG_PATH": "/env.jsonl",
    "AUDIT_LOG_ROTATE_AT": "never",
    "APPROVAL_ALLOW_HTTP": "false",
}

FLAGS: dict[str, Any] = {
    "platform_url": "https://flag",
    "workspace_id": "flag-w",
    "timeout": "10s",
    "poll_interval": "1",
    "transport": "auto",
    "audit_log": "/flag.jsonl",
}

SETTINGS = ["platform_url", "workspace_id", "timeout", "poll_interval", "transport", "audit_log"]


def test_the_file_goes_before_the_default(resolve: Resolve, written: Written) -> None:
    """Each value names file, line and key."""
    flags = written(EVERY)
    found = resolve(flags)
    assert [getattr(found, name).value for name in SETTINGS] == [
        "https://file", "file-w", 30.0, 3.0, Transport.POLL, Path("/file.jsonl"),
    ]  # fmt: skip
    assert found.allow_http.value is True
    assert found.require_verified_approver.value is True
    assert found.timeout.source == f"{flags.config}, line 4: approve.timeout"
    assert found.audit_rotate_at == Sourced(131_072, f"{flags.config}, line 8: approve.audit_rotate_at", from_file=True)
    assert found.config_path == Path(str(flags.config))


def test_the_environment_goes_before_the_file(resolve: Resolve, written: Written) -> None:
    """Each value names its variable."""
    found = resolve(written(EVERY), **ENVIRON)
    assert [(getattr(found, name).value, getattr(found, name).source) for name in SETTINGS] == [
        ("https://env", "PLATFORM_URL"),
        ("env-w", "WORKSPACE_ID"),
        (20.0, "APPROVAL_TIMEOUT"),
        (2.0, "APPROVAL_POLL_INTERVAL"),
        (Transport.WEBSOCKET, "APPROVAL_USE_WEBSOCKET"),
        (Path("/env.jsonl"), "AUDIT_LOG_PATH"),
    ]
    assert found.allow_http == Sourced(value=False, source="APPROVAL_ALLOW_HTTP")
    assert found.audit_rotate_at == Sourced(None, "AUDIT_LOG_ROTATE_AT")


def test_a_flag_goes_before_everything(resolve: Resolve, written: Written) -> None:
    """Each value names its flag."""
    flags = written(EVERY)._replace(**FLAGS, require_verified_approver=False)
    found = resolve(flags, **ENVIRON)
    assert [(getattr(found, name).value, getattr(found, name).source) for name in SETTINGS] == [
        ("https://flag", "--platform-url"),
        ("flag-w", "--workspace-id"),
        (10.0, "--timeout"),
        (1.0, "--poll-interval"),
        (Transport.AUTO, "--transport"),
        (Path("/flag.jsonl"), "--audit-log"),
    ]
    assert found.require_verified_approver == Sourced(value=False, source="--require-verified-approver")


def test_an_empty_workspace_in_the_environment_says_nothing(resolve: Resolve, written: Written) -> None:
    """Empty is its default."""
    assert resolve(written(EVERY), WORKSPACE_ID="").workspace_id.value == "file-w"


# --- bad values --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("PLATFORM_URL", "ftp://x"),
        ("PLATFORM_URL", ""),
        ("WORKSPACE_ID", "a/b"),
        ("MOLECULE_TOKEN", "a\nb"),
        ("MOLECULE_TOKEN", ""),
        ("CONFIGS_DIR", ""),
        ("APPROVAL_TIMEOUT", "5 parsecs"),
        ("APPROVAL_TIMEOUT", "0"),
        ("APPROVAL_TIMEOUT", "25h"),
        ("APPROVAL_TIMEOUT", ""),
        ("APPROVAL_POLL_INTERVAL", "0.5"),
        ("APPROVAL_USE_WEBSOCKET", "maybe"),
        ("APPROVAL_ALLOW_HTTP", "sure"),
        ("AUDIT_LOG_PATH", ""),
        ("AUDIT_LOG_PATH", "/a\nb"),
        ("AUDIT_LOG_ROTATE_AT", ""),
        ("AUDIT_LOG_ROTATE_AT", "big"),
        ("AUDIT_LOG_ROTATE_AT", "1K"),
        ("WORKSPACE_CONFIG_PATH", ""),
    ],
)
def test_a_bad_variable_is_a_usage_error_that_names_it(resolve: Resolve, variable: str, text: str) -> None:
    """Never a silent default."""
    with pytest.raises(UsageError, match=f"^{variable}: ") as caught:
        resolve(**{variable: text})
    assert caught.value.hint


@pytest.mark.parametrize(
    ("flag", "text"),
    [
        ("platform_url", "x"),
        ("platform_url", ""),
        ("workspace_id", ""),
        ("timeout", "1w"),
        ("poll_interval", "0"),
        ("transport", "true"),
        ("audit_log", ""),
        ("config", ""),
    ],
)
def test_a_bad_flag_is_a_usage_error_that_names_it(resolve: Resolve, flag: str, text: str) -> None:
    """As it is typed."""
    given: dict[str, Any] = {flag: text}
    with pytest.raises(UsageError, match=f"^--{flag.replace('_', '-')}: "):
        resolve(Flags(**given))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("approve:\n  timeout: 0\n", r"line 2: approve.timeout: '0' is out of range"),
        ("approve:\n  timeout: 1:30\n", r"line 2: approve.timeout: '1:30' is not a duration"),
        ("approve:\n  poll_interval: 1ms\n", r"line 2: approve.poll_interval"),
        ("approve:\n  platform_url: https://a:hunter2@b\n", r"line 2: approve.platform_url: the address has"),
        ("approve:\n  platform_url: ''\n", r"line 2: approve.platform_url: the value is empty"),
        ("approve:\n  workspace_id: ..\n", r"line 2: approve.workspace_id"),
        ("approve:\n  transport: carrier pigeon\n", r"line 2: approve.transport"),
        ("approve:\n  audit: maybe\n", r"line 2: approve.audit: 'maybe' is not required or optional"),
        ("approve:\n  audit_rotate_at: 1.5\n", r"line 2: approve.audit_rotate_at: '1.5' is not a size"),
        ("approve:\n  audit_rotate_at: 0\n", r"line 2: approve.audit_rotate_at: '0' is too small"),
        ("approve:\n  audit_rotate_at: false\n", r"line 2: approve.audit_rotate_at: is a boolean, not"),
        ("approve:\n  audit_log: audit.jsonl\n", r"line 2: approve.audit_log: the path is not absolute"),
        ("approve:\n  audit_log: log/audit.jsonl\n", r"line 2: approve.audit_log: the path is not absolute"),
        ("approve:\n  headers:\n    Cookie: hunter2\n", r"line 3: approve.headers.Cookie: this header cannot"),
        ("approve:\n  headers:\n    A: b\n    a: c\n", r"line 4: approve.headers.a: duplicate header"),
        ("approve:\n  headers:\n    A: ''\n", r"line 3: approve.headers.A: the header's value"),
        ("approve:\n  hooks:\n  - {tool: a, then: allow}\n", r"line 3: approve.hooks.then: 'allow' is not a decision"),
        ("approve:\n  hooks:\n  - {tool: ' ', then: ask}\n", r"line 3: approve.hooks.tool: the value is empty"),
        (
            "approve:\n  hooks:\n  - {tool: a, command: '', then: ask}\n",
            r"line 3: approve.hooks.command: the value is empty",
        ),
        ("rbac:\n  roles:\n  - operator\n  - root\n", r"line 4: rbac.roles: unknown role 'root'"),
        ("rbac:\n  roles: [Operator]\n", r"line 2: rbac.roles: unknown role 'Operator'"),
    ],
)
def test_a_bad_value_in_the_file_is_a_config_error(resolve: Resolve, written: Written, text: str, complaint: str) -> None:
    """It names file, line and key, and repeats no secret."""
    flags = written(text)
    with pytest.raises(ConfigError, match=complaint) as caught:
        resolve(flags)
    assert str(caught.value).startswith(str(flags.config))
    assert "hunter2" not in str(caught.value)
    assert caught.value.hint


# --- config.yaml's place -----------------------------------------------------------------------------------------------


def test_a_folder_stands_for_the_config_yaml_in_it(resolve: Resolve, tmp_path: Path) -> None:
    """Flag and variable name a folder or the file itself."""
    path = tmp_path / "config.yaml"
    path.write_text("approve: {timeout: 7}\n")
    path.chmod(0o644)
    for named in (tmp_path, path):
        assert resolve(Flags(config=str(named))).timeout.value == 7.0
        assert resolve(WORKSPACE_CONFIG_PATH=str(named)).timeout.value == 7.0
    assert resolve(Flags(config=str(path)), WORKSPACE_CONFIG_PATH="/nowhere").timeout.value == 7.0


def test_a_named_file_that_is_missing_stops_the_program(resolve: Resolve, tmp_path: Path) -> None:
    """Whether a folder or a file was named."""
    for named in (tmp_path, tmp_path / "none.yaml"):
        with pytest.raises(ConfigError, match="does not exist"):
            resolve(Flags(config=str(named)))
        with pytest.raises(ConfigError, match="does not exist"):
            resolve(WORKSPACE_CONFIG_PATH=str(named))


def test_a_file_that_others_can_write_stops_the_program(resolve: Resolve, written: Written) -> None:
    """It could give everybody every role."""
    flags = written(EVERY)
    Path(str(flags.config)).chmod(0o666)
    with pytest.raises(ConfigError, match="other users can write"):
        resolve(flags)


def test_an_empty_file_means_the_defaults(resolve: Resolve, written: Written) -> None:
    """It was read all the same."""
    found = resolve(written(""))
    assert found.timeout == Sourced(300.0)
    assert found.config_path is not None


def test_roles_headers_and_audit_come_from_the_file(resolve: Resolve, written: Written) -> None:
    """A role may be one that the same file defines; a header's value does not show."""
    flags = written(
        "rbac: {roles: [deployer, read-only], allowed_actions: {deployer: [approve]}}\n"
        "approve: {audit: optional, headers: {X-Molecule-Org-Id: acme-secret}, workspace_id: w,\n"
        "  platform_url: 'https://a'}\n",
    )
    found = resolve(flags)
    assert found.roles == Sourced(("deployer", "read-only"), f"{flags.config}: rbac.roles", from_file=True)
    assert found.allowed_actions.value == {"deployer": frozenset({"approve"})}
    assert found.audit_optional.value is True
    assert found.headers == Sourced({"X-Molecule-Org-Id": "acme-secret"}, f"{flags.config}: approve.headers", from_file=True)
    assert found.endpoint().headers == {"X-Molecule-Org-Id": "acme-secret"}
    assert "acme-secret" not in repr(found)


def test_hooks_come_from_the_file_in_their_order(resolve: Resolve, written: Written) -> None:
    """And from nowhere else: the agent chooses its environment."""
    flags = written('approve: {hooks: [{tool: Bash, command: "git *", then: pass}, {tool: "*", then: deny}]}\n')
    rules = (HookRule("Bash", "git *", Then.PASS), HookRule("*", None, Then.DENY))
    assert resolve(flags).hooks == Sourced(rules, f"{flags.config}: approve.hooks", from_file=True)
    assert resolve(written("approve: {audit: optional}\n")).hooks == Sourced(())


def test_roles_may_be_named_without_defining_any(resolve: Resolve, written: Written) -> None:
    """allowed_actions stays empty."""
    found = resolve(written("rbac: {roles: [admin]}\n"))
    assert (found.roles.value, found.allowed_actions.value) == (("admin",), {})


# --- the audit log -----------------------------------------------------------------------------------------------------


def test_the_system_s_audit_log_is_used_where_it_can_be_written(tmp_path: Path, places: Places) -> None:
    """The file if it is there, else its folder; nothing is created."""
    system = tmp_path / "log" / "audit.jsonl"
    assert resolve_module._default_audit_log(system, places) == places.audit_log
    assert not system.parent.exists()
    system.parent.mkdir()
    assert resolve_module._default_audit_log(system, places) == system
    assert not system.exists()
    system.touch()
    assert resolve_module._default_audit_log(system, places) == system


def test_a_default_that_was_used_stays(tmp_path: Path, places: Places) -> None:
    """Whatever can be written later: the other log knows nothing of the approvals that were used."""
    system = tmp_path / "log" / "audit.jsonl"
    remember_audit_log(places.state, places.audit_log)
    system.parent.mkdir()
    assert resolve_module._default_audit_log(system, places) == places.audit_log
    remember_audit_log(places.state, system)
    assert recall_audit_log(places.state) == places.audit_log


def test_a_system_log_that_leads_nowhere_is_not_used(tmp_path: Path, places: Places) -> None:
    """A dangling link cannot be written."""
    system = tmp_path / "audit.jsonl"
    system.symlink_to(tmp_path / "gone" / "x")
    assert resolve_module._default_audit_log(system, places) == places.audit_log


def test_the_audit_log_can_be_resolved_alone(places: Places, written: Written, resolve: Resolve) -> None:
    """A command that only reads the log does not fail over an address."""
    environ = {"PLATFORM_URL": "nonsense", "AUDIT_LOG_PATH": "/env.jsonl"}
    assert resolve_module.resolve_audit_log(Flags(), environ, places) == Sourced(Path("/env.jsonl"), "AUDIT_LOG_PATH")
    flags = written("approve: {audit_log: /file.jsonl}\n")
    assert resolve_module.resolve_audit_log(flags, {}, places).value == Path("/file.jsonl")
    assert resolve_module.resolve_audit_log(Flags(), {}, places) == resolve().audit_log


# --- the module itself -------------------------------------------------------------------------------------------------


def run_python(code: str, environ: Mapping[str, str]) -> str:
    """What a fresh interpreter prints."""
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**os.environ, **environ}, timeout=30
    ).stdout


def test_importing_it_loads_nothing_heavy() -> None:
    """It lies on the way to every POST."""
    heavy = ["yaml", "httpx", "asyncio", "urllib.request", "rich", "typer"]
    code = f"import sys, molecule_approve.settings.resolve; print([name for name in {heavy} if name in sys.modules])"
    assert run_python(code, {}) == "[]\n"


def test_yaml_is_loaded_only_where_there_is_a_file(tmp_path: Path) -> None:
    """Most runs have none."""
    code = (
        "import sys; from pathlib import Path\n"
        "from molecule_approve.settings import resolve; from molecule_approve.paths import Places\n"
        f"where = Places(Path({str(tmp_path)!r}), Path({str(tmp_path)!r}))\n"
        "for named in sys.argv[1:] or [None]:\n"
        "    resolve.resolve(resolve.Flags(config=named), {'CONFIGS_DIR': '/nowhere'}, where, at_terminal=True)\n"
        "print('yaml' in sys.modules)"
    )
    assert run_python(code, {}) == "False\n"
    (tmp_path / "config.yaml").write_text("")
    (tmp_path / "config.yaml").chmod(0o600)
    assert run_python(code.replace("sys.argv[1:]", f"[{str(tmp_path)!r}]"), {}) == "True\n"


def test_settings_cannot_be_changed(resolve: Resolve) -> None:
    """They are resolved once."""
    found = resolve()
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.local = True  # type: ignore[misc]  # that it cannot be assigned is the test


@pytest.mark.parametrize("variable", ["PLATFORM_URL", "APPROVAL_TIMEOUT", "WORKSPACE_ID", "WORKSPACE_CONFIG_PATH"])
@pytest.mark.parametrize("text", ["\x00", "\udc80", "\u202e", "x" * 100_000, "[", "%", "http://[", "//"])
def test_every_error_of_resolving_is_one_of_ours(resolve: Resolve, variable: str, text: str) -> None:
    """So that the one boundary can turn it into a sentence and a number."""
    with pytest.raises(ApprovalError) as caught:
        resolve(**{variable: text})
    assert caught.value.message
