"""config.py: where each setting came from."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from molecule_approve import config
from molecule_approve.config import Flags, Settings, Sourced, Transport
from molecule_approve.errors import ApprovalError, ConfigError, UsageError
from molecule_approve.model import Endpoint, Secret
from molecule_approve.places import Places, write_private

SERVING = """
import fcntl, sys
file = open(sys.argv[1])
fcntl.flock(file, fcntl.LOCK_EX)
print("locked", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def places(tmp_path: Path) -> Places:
    """Folders of a user who never ran a server."""
    found = Places(tmp_path / "state", tmp_path / "run")
    for folder in (found.state, found.runtime):
        folder.mkdir(mode=0o700)
    return found


@pytest.fixture
def resolve(tmp_path: Path, places: Places) -> Callable[..., Settings]:
    """``resolve`` with an environment whose /configs is an empty folder, and no terminal."""

    def call(flags: Flags | None = None, *, at_terminal: bool = False, **environ: str) -> Settings:
        return config.resolve(flags or Flags(), {"CONFIGS_DIR": str(tmp_path), **environ}, places, at_terminal=at_terminal)

    return call


@pytest.fixture
def written(tmp_path: Path) -> Callable[[str], Flags]:
    """Writes a config.yaml and gives the flag that names it."""

    def write(text: str) -> Flags:
        path = tmp_path / "mine.yaml"
        path.write_text(text)
        path.chmod(0o600)
        return Flags(config=str(path))

    return write


@pytest.fixture
def requester(places: Places) -> None:
    """What an embedded server leaves at its first start."""
    write_private(places.requester, json.dumps({"workspace_id": "mine", "token": "local-token"}).encode())


@pytest.fixture
def serving(places: Places, requester: None) -> Iterator[int]:
    """Another process that holds the embedded server's lock; its pid."""
    text = json.dumps({"pid": 4711, "url": "http://127.0.0.1:8788"})
    write_private(places.serving, text.encode())
    with subprocess.Popen(
        [sys.executable, "-c", SERVING, str(places.serving)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"locked\n"
        yield 4711
        process.terminate()


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
    assert found.allow_http == Sourced(value=False)
    assert found.require_verified_approver == Sourced(value=False)
    assert found.roles == Sourced(("operator",), "default")
    assert found.allowed_actions == Sourced({}, "default")
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


def test_a_flag_goes_before_everything(resolve: Resolve, written: Written) -> None:
    """Each value names its flag."""
    flags = dataclasses.replace(written(EVERY), **FLAGS, require_verified_approver=False)
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
        ("approve:\n  platform_url: https://a:hunter2@b\n", r"line 2: approve.platform_url: the address holds"),
        ("approve:\n  platform_url: ''\n", r"line 2: approve.platform_url: is empty"),
        ("approve:\n  workspace_id: ..\n", r"line 2: approve.workspace_id"),
        ("approve:\n  transport: carrier pigeon\n", r"line 2: approve.transport"),
        ("approve:\n  audit: maybe\n", r"line 2: approve.audit: 'maybe' is neither"),
        ("approve:\n  audit_log: audit.jsonl\n", r"line 2: approve.audit_log: the path is not absolute"),
        ("approve:\n  audit_log: ~/audit.jsonl\n", r"line 2: approve.audit_log: the path is not absolute"),
        ("approve:\n  headers:\n    Cookie: hunter2\n", r"line 3: approve.headers.Cookie: this header cannot"),
        ("approve:\n  headers:\n    A: b\n    a: c\n", r"line 4: approve.headers.a: the header stands there twice"),
        ("approve:\n  headers:\n    A: ''\n", r"line 3: approve.headers.A: the header's value"),
        ("rbac:\n  roles:\n  - operator\n  - root\n", r"line 4: rbac.roles: 'root' is no known role"),
        ("rbac:\n  roles: [Operator]\n", r"line 2: rbac.roles: 'Operator' is no known role"),
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
    with pytest.raises(ConfigError, match="written by other users"):
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


def test_roles_may_be_named_without_defining_any(resolve: Resolve, written: Written) -> None:
    """allowed_actions stays empty."""
    found = resolve(written("rbac: {roles: [admin]}\n"))
    assert (found.roles.value, found.allowed_actions.value) == (("admin",), {})


# --- the token ---------------------------------------------------------------------------------------------------------


def token_file(folder: Path, text: str, mode: int = 0o600) -> Path:
    """A token mounted the way the platform does."""
    path = folder / ".auth_token"
    path.write_text(text)
    path.chmod(mode)
    return path


def test_the_token_comes_from_the_environment_or_from_the_file(resolve: Resolve, tmp_path: Path) -> None:
    """The environment goes first; of the file the first line counts."""
    path = token_file(tmp_path, "from-file\r\nsecond line\n")
    found = resolve(PLATFORM_URL="https://a")
    assert found.token == Sourced(Secret("from-file"), str(path), from_file=True)
    assert found.warnings == ()
    found = resolve(PLATFORM_URL="https://a", MOLECULE_TOKEN="from-env")
    assert found.token == Sourced(Secret("from-env"), "MOLECULE_TOKEN")
    assert "from-env" not in repr(found)


def test_the_token_may_be_a_link(resolve: Resolve, tmp_path: Path) -> None:
    """Kubernetes mounts it so, readable by all: read, with a warning."""
    data = tmp_path / "..data"
    data.mkdir()
    target = token_file(data, "mounted", 0o644)
    (tmp_path / ".auth_token").symlink_to(target)
    found = resolve(PLATFORM_URL="https://a")
    assert found.token.value == Secret("mounted")
    assert found.warnings == (f"{tmp_path}/.auth_token can be read by every user of this machine",)


@pytest.mark.parametrize("text", ["", "\n", "  \nsecond", "two words\n", "t\x00", "ü"])
def test_a_token_file_without_a_token_is_a_config_error(resolve: Resolve, tmp_path: Path, text: str) -> None:
    """It is there, so it must hold one."""
    path = token_file(tmp_path, text)
    with pytest.raises(ConfigError, match=rf"^{path}: "):
        resolve(PLATFORM_URL="https://a")


def test_a_token_file_that_others_can_write_is_refused(resolve: Resolve, tmp_path: Path) -> None:
    """Somebody else's token would let somebody else's server answer."""
    token_file(tmp_path, "t", 0o662)
    with pytest.raises(ConfigError, match="written by other users"):
        resolve(PLATFORM_URL="https://a")


def test_a_bad_token_is_not_repeated(resolve: Resolve) -> None:
    """Not in the message, not in the hint, not in the chain of exceptions."""
    with pytest.raises(UsageError) as caught:
        resolve(MOLECULE_TOKEN="hunter2\n")
    error: BaseException = caught.value
    assert "hunter2" not in f"{error}{caught.value.hint}{error.__cause__}"


def test_the_approver_s_token_is_read_apart() -> None:
    """Unset is None, a bad one is an error that does not repeat it."""
    assert config.approver_token({}) is None
    assert config.approver_token({"MOLECULE_APPROVER_TOKEN": "abc"}) == Secret("abc")
    for text in ("", "hunter 2"):
        with pytest.raises(UsageError, match=r"^MOLECULE_APPROVER_TOKEN: ") as caught:
            config.approver_token({"MOLECULE_APPROVER_TOKEN": text})
        assert "hunter" not in str(caught.value)


# --- http:// -----------------------------------------------------------------------------------------------------------


def test_the_built_in_address_takes_the_token_with_a_warning(resolve: Resolve) -> None:
    """It alone needs no leave; without a token there is nothing to warn about."""
    found = resolve(MOLECULE_TOKEN="t", WORKSPACE_ID="w")
    assert found.warnings == ("the token crosses the network unencrypted, to http://platform:8080",)
    assert found.endpoint().token == Secret("t")
    assert resolve(PLATFORM_URL="http://platform:8080/", MOLECULE_TOKEN="t").warnings == found.warnings


@pytest.mark.parametrize("url", ["http://platform.example.org", "http://10.1.2.3:8080", "http://platform:8081"])
def test_another_http_address_takes_no_token_without_leave(resolve: Resolve, written: Written, url: str) -> None:
    """The kind of error follows the address's source; the hint names the way out."""
    with pytest.raises(UsageError, match=r"^PLATFORM_URL: the token would cross") as caught:
        resolve(PLATFORM_URL=url, MOLECULE_TOKEN="t")
    assert "APPROVAL_ALLOW_HTTP" in caught.value.hint
    with pytest.raises(UsageError, match=r"^--platform-url: the token would cross"):
        resolve(Flags(platform_url=url), MOLECULE_TOKEN="t")
    with pytest.raises(ConfigError, match=r"line 2: approve.platform_url: the token would cross"):
        resolve(written(f"approve:\n  platform_url: {url}\n"), MOLECULE_TOKEN="t")


def test_leave_is_given_in_the_environment_or_in_the_file(resolve: Resolve, written: Written) -> None:
    """Then it is a warning."""
    there = {"PLATFORM_URL": "http://a.example.org", "MOLECULE_TOKEN": "t"}
    for found in (resolve(**there, APPROVAL_ALLOW_HTTP="1"), resolve(written("approve: {allow_http: true}"), **there)):
        assert found.warnings == ("the token crosses the network unencrypted, to http://a.example.org",)


@pytest.mark.parametrize("url", ["http://localhost:8788", "http://127.0.0.1:1", "http://[::1]:1", "https://a.example.org"])
def test_loopback_and_https_need_no_leave(resolve: Resolve, url: str) -> None:
    """Nothing crosses a network in the clear."""
    assert resolve(PLATFORM_URL=url, MOLECULE_TOKEN="t").warnings == ()


def test_an_approver_s_token_obeys_the_same_rule(resolve: Resolve) -> None:
    """Without a token of the workspace's the address was fine until now."""
    found = resolve(PLATFORM_URL="http://a.example.org", WORKSPACE_ID="w")
    assert found.endpoint() == Endpoint("http://a.example.org", "w")
    with pytest.raises(UsageError, match="would cross the network"):
        found.endpoint(Secret("approver"))


# --- the endpoint ------------------------------------------------------------------------------------------------------


def test_an_endpoint_holds_all_that_a_client_needs(resolve: Resolve) -> None:
    """Address, workspace, token and proxy; an approver's token takes the workspace's place."""
    found = resolve(PLATFORM_URL="https://a/", WORKSPACE_ID="w", MOLECULE_TOKEN="t", HTTPS_PROXY="http://p:1")
    assert found.endpoint() == Endpoint("https://a", "w", Secret("t"), proxy=Secret("http://p:1"))
    assert found.endpoint(Secret("a")).token == Secret("a")
    assert found.proxy.source == "the environment"


def test_a_bad_proxy_is_a_usage_error(resolve: Resolve) -> None:
    """Going without it would be a silent default."""
    with pytest.raises(UsageError, match=r"^ALL_PROXY: "):
        resolve(PLATFORM_URL="https://a", ALL_PROXY="socks5h://p")


def test_a_platform_wants_a_workspace(resolve: Resolve) -> None:
    """At the moment of asking, not before: a log can be read without one."""
    found = resolve()
    with pytest.raises(UsageError, match="no workspace is named") as caught:
        config.require_workspace(found)
    assert "WORKSPACE_ID" in caught.value.hint
    with pytest.raises(UsageError):
        found.endpoint()
    config.require_workspace(resolve(WORKSPACE_ID="w"))


# --- the embedded server -----------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("requester")
def test_local_is_the_embedded_server_s_socket(resolve: Resolve, written: Written, places: Places, tmp_path: Path) -> None:
    """Its own workspace and token; no configured token, header or proxy ever goes there."""
    token_file(tmp_path, "platform-token")
    flags = written("approve: {headers: {X-Molecule-Org-Id: acme}}\n")
    found = resolve(flags, PLATFORM_URL="local", MOLECULE_TOKEN="platform-token", ALL_PROXY="http://p")
    assert found.local
    assert found.platform_url == Sourced("http://localhost", "PLATFORM_URL")
    assert found.workspace_id == Sourced("mine", str(places.requester), from_file=True)
    assert found.endpoint() == Endpoint("http://localhost", "mine", Secret("local-token"), unix_socket=str(places.socket))
    assert found.warnings == ()


@pytest.mark.usefixtures("requester")
def test_local_may_stand_wherever_an_address_may(resolve: Resolve, written: Written) -> None:
    """Flag and file too."""
    assert resolve(Flags(platform_url="local")).local
    assert resolve(written("approve: {platform_url: local}\n")).local


@pytest.mark.usefixtures("requester")
def test_a_workspace_that_is_not_used_is_told(resolve: Resolve) -> None:
    """The embedded server has its own; naming that one is no mistake."""
    assert resolve(PLATFORM_URL="local", WORKSPACE_ID="mine").warnings == ()
    found = resolve(PLATFORM_URL="local", WORKSPACE_ID="other")
    assert found.workspace_id.value == "mine"
    assert found.warnings == ("WORKSPACE_ID is not used: the embedded server has a workspace of its own",)


def test_local_without_a_server_says_how_to_start_one(resolve: Resolve, places: Places) -> None:
    """At the moment of asking: `serve` itself resolves its settings before there is one."""
    found = resolve(PLATFORM_URL="local")
    with pytest.raises(ConfigError, match=str(places.requester)) as caught:
        found.endpoint()
    assert "molecule-approve serve" in caught.value.hint


@pytest.mark.parametrize("text", ['{"workspace_id": "../x", "token": "t"}', '{"workspace_id": "w", "token": "a b"}', "[]"])
def test_a_damaged_requester_file_is_a_config_error(resolve: Resolve, places: Places, text: str) -> None:
    """What stands in it becomes an address and a header."""
    write_private(places.requester, text.encode())
    with pytest.raises(ConfigError, match=str(places.requester)):
        resolve(PLATFORM_URL="local")


def test_a_running_server_is_found_at_a_terminal(resolve: Resolve, serving: int) -> None:
    """Only there, only if no address was given, and never in CI; the configured token stays here."""
    found = resolve(at_terminal=True, MOLECULE_TOKEN="platform-token")
    assert found.local
    assert str(serving) in found.platform_url.source
    assert found.endpoint().token == Secret("local-token")
    assert not resolve(at_terminal=False).local
    assert not resolve(at_terminal=True, CI="true").local
    assert resolve(at_terminal=True, CI="0").local
    assert not resolve(at_terminal=True, PLATFORM_URL="https://a").local


@pytest.mark.usefixtures("requester")
def test_a_server_that_stopped_is_not_found(resolve: Resolve, places: Places) -> None:
    """Its lock file stays, its lock does not."""
    write_private(places.serving, b'{"pid": 1, "url": "http://127.0.0.1:1"}')
    assert not resolve(at_terminal=True).local


@pytest.mark.parametrize(
    ("text", "ci"), [("", False), ("0", False), ("false", False), ("False", False), ("1", True), ("true", True), ("x", True)]
)
def test_ci_is_what_is_neither_empty_nor_zero_nor_false(text: str, *, ci: bool) -> None:
    """And unset is not."""
    assert config.in_ci({"CI": text}) is ci
    assert not config.in_ci({})


# --- the audit log -----------------------------------------------------------------------------------------------------


def test_the_system_s_audit_log_is_used_where_it_can_be_written(tmp_path: Path, places: Places) -> None:
    """The file if it is there, else its folder; nothing is created."""
    system = tmp_path / "log" / "audit.jsonl"
    assert config._default_audit_log(system, places) == places.audit_log
    assert not system.parent.exists()
    system.parent.mkdir()
    assert config._default_audit_log(system, places) == system
    assert not system.exists()
    system.touch()
    assert config._default_audit_log(system, places) == system


def test_a_system_log_that_leads_nowhere_is_not_used(tmp_path: Path, places: Places) -> None:
    """A dangling link cannot be written."""
    system = tmp_path / "audit.jsonl"
    system.symlink_to(tmp_path / "gone" / "x")
    assert config._default_audit_log(system, places) == places.audit_log


def test_the_audit_log_can_be_resolved_alone(places: Places, written: Written, resolve: Resolve) -> None:
    """A command that only reads the log does not fail over an address."""
    environ = {"PLATFORM_URL": "nonsense", "AUDIT_LOG_PATH": "/env.jsonl"}
    assert config.resolve_audit_log(Flags(), environ, places) == Sourced(Path("/env.jsonl"), "AUDIT_LOG_PATH")
    flags = written("approve: {audit_log: /file.jsonl}\n")
    assert config.resolve_audit_log(flags, {}, places).value == Path("/file.jsonl")
    assert config.resolve_audit_log(Flags(), {}, places) == resolve().audit_log


# --- the module itself -------------------------------------------------------------------------------------------------


def run_python(code: str, environ: Mapping[str, str]) -> str:
    """What a fresh interpreter prints."""
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**os.environ, **environ}, timeout=30
    ).stdout


def test_importing_it_loads_nothing_heavy() -> None:
    """It lies on the way to every POST."""
    heavy = ["yaml", "httpx", "asyncio", "urllib.request", "rich", "typer"]
    code = f"import sys, molecule_approve.config; print([name for name in {heavy} if name in sys.modules])"
    assert run_python(code, {}) == "[]\n"


def test_yaml_is_loaded_only_where_there_is_a_file(tmp_path: Path) -> None:
    """Most runs have none."""
    code = (
        "import sys; from pathlib import Path; from molecule_approve import config, places\n"
        f"where = places.Places(Path({str(tmp_path)!r}), Path({str(tmp_path)!r}))\n"
        "for named in sys.argv[1:] or [None]:\n"
        "    config.resolve(config.Flags(config=named), {'CONFIGS_DIR': '/nowhere'}, where, at_terminal=True)\n"
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
