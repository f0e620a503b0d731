"""config.py: where to ask, as whom, and that no token goes astray."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from molecule_approve.errors import ConfigError, UsageError
from molecule_approve.model import Endpoint, Secret
from molecule_approve.paths import LocalSocket, Places, write_private
from molecule_approve.settings import resolve as resolve_module
from molecule_approve.settings.resolve import Flags, Settings
from molecule_approve.settings.values import Sourced

Resolve = Callable[..., Settings]
Written = Callable[[str], Flags]


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
    assert found.warnings == (f"every user of this machine can read {tmp_path}/.auth_token",)


@pytest.mark.parametrize("text", ["", "\n", "  \nsecond", "two words\n", "t\x00", "ü"])
def test_a_token_file_without_a_token_is_a_config_error(resolve: Resolve, tmp_path: Path, text: str) -> None:
    """It is there, so it must hold one."""
    path = token_file(tmp_path, text)
    with pytest.raises(ConfigError, match=rf"^{path}: "):
        resolve(PLATFORM_URL="https://a")


def test_a_token_file_that_others_can_write_is_refused(resolve: Resolve, tmp_path: Path) -> None:
    """Somebody else's token would let somebody else's server answer."""
    token_file(tmp_path, "t", 0o662)
    with pytest.raises(ConfigError, match="other users can write"):
        resolve(PLATFORM_URL="https://a")


def test_a_bad_token_is_not_repeated(resolve: Resolve) -> None:
    """Not in the message, not in the hint, not in the chain of exceptions."""
    with pytest.raises(UsageError) as caught:
        resolve(MOLECULE_TOKEN="hunter2\n")
    error: BaseException = caught.value
    assert "hunter2" not in f"{error}{caught.value.hint}{error.__cause__}"


def test_the_approver_s_token_is_read_apart() -> None:
    """Unset is None, a bad one is an error that does not repeat it."""
    assert resolve_module.approver_token({}) is None
    assert resolve_module.approver_token({"MOLECULE_APPROVER_TOKEN": "abc"}) == Secret("abc")
    for text in ("", "hunter 2"):
        with pytest.raises(UsageError, match=r"^MOLECULE_APPROVER_TOKEN: ") as caught:
            resolve_module.approver_token({"MOLECULE_APPROVER_TOKEN": text})
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


def test_the_origin_is_the_handshakes_alone(resolve: Resolve, written: Written) -> None:
    """A configured Origin is no header of REST: the endpoint holds it apart."""
    flags = written("approve: {headers: {origin: 'https://canvas.example.com', X-Molecule-Org-Id: acme}}\n")
    found = resolve(flags, PLATFORM_URL="https://a", WORKSPACE_ID="w", MOLECULE_TOKEN="t").endpoint()
    assert (found.origin, found.headers) == ("https://canvas.example.com", {"X-Molecule-Org-Id": "acme"})


def test_a_platform_wants_a_workspace(resolve: Resolve) -> None:
    """At the moment of asking, not before: a log can be read without one."""
    found = resolve()
    with pytest.raises(UsageError, match="no workspace is set") as caught:
        resolve_module.require_workspace(found)
    assert "WORKSPACE_ID" in caught.value.hint
    with pytest.raises(UsageError):
        found.endpoint()
    resolve_module.require_workspace(resolve(WORKSPACE_ID="w"))


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
    assert found.endpoint() == Endpoint("http://localhost", "mine", Secret("local-token"), unix_socket=LocalSocket(places))
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
    assert found.warnings == ("WORKSPACE_ID is not used: the embedded server has its own workspace",)


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
    assert resolve_module.in_ci({"CI": text}) is ci
    assert not resolve_module.in_ci({})
