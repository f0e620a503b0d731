"""server.yaml and the options of `serve`: what wins, what is refused, and where that is said."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_network
from pathlib import Path

import pytest

from molecule_approve.errors import ApprovalError, ConfigError, UsageError
from molecule_approve.model import Secret
from molecule_approve.settings.config_yaml import GROUPS, SERVER_KEYS, SERVER_LISTS
from molecule_approve.settings.server_settings import ServerFlags, ServerSettings, resolve_server

WHOLE = """\
host: 10.0.0.7
port: 8443
public_url: https://Approve.Example.org:443/approve/
tls_cert: tls/chain.pem
tls_key: /etc/ssl/private/approve.key
plain_http: false
trusted_proxies: [127.0.0.1, "2001:db8::/32"]
metrics_from: [10.0.0.0/8]
database: postgresql://molecule@db.example.org/approvals
self_approval: false
policy: rules.yaml
anonymous_requests: yes
log_format: json
session:
  lifetime: 8h
  idle: 1800
openid:
  issuer: https://login.example.org/realms/staff/
  client_id: molecule-approve
  client_secret_file: secret
  name_claim: email
  approvers: [alice@example.org]
  groups_claim: groups
  groups: {deployers: [team-a, team-b]}
  scopes: [openid, email, groups]
"""


@pytest.fixture
def file(tmp_path: Path) -> Callable[..., Path]:
    """Writes server.yaml."""

    def write(text: str, mode: int = 0o600) -> Path:
        path = tmp_path / "server.yaml"
        path.write_text(text)
        path.chmod(mode)
        return path

    return write


def _of(path: Path, **flags: object) -> ServerSettings:
    return resolve_server(ServerFlags(config=str(path), **flags), {})  # type: ignore[arg-type]  # the tests name them rightly


def test_a_whole_file_is_read(file: Callable[..., Path], tmp_path: Path) -> None:
    """Every key that there is; each value in its own form, with file, line and key as its source."""
    path = file(WHOLE)
    found = _of(path)
    assert (found.host.value, found.port.value) == ("10.0.0.7", 8443)
    assert found.public_url.value == "https://approve.example.org/approve"
    assert (found.tls_cert.value, found.tls_key.value) == (tmp_path / "tls/chain.pem", Path("/etc/ssl/private/approve.key"))
    assert found.trusted_proxies.value == (ip_network("127.0.0.1"), ip_network("2001:db8::/32"))
    assert found.metrics_from.value == (ip_network("10.0.0.0/8"),)
    assert found.database.value == Secret("postgresql://molecule@db.example.org/approvals")
    assert found.policy.value == path.parent / "rules.yaml"
    assert (found.self_approval.value, found.anonymous_requests.value, found.plain_http.value) == (False, True, False)
    assert (found.log_format.value, found.session_lifetime.value, found.session_idle.value) == ("json", 28_800.0, 1_800.0)
    openid = found.openid.value
    assert openid is not None
    assert openid.issuer == "https://login.example.org/realms/staff/"
    assert (openid.client_id, openid.secret_file) == ("molecule-approve", tmp_path / "secret")
    assert (openid.name_claim, openid.approvers) == ("email", ("alice@example.org",))
    assert (openid.groups_claim, openid.groups) == ("groups", {"deployers": ("team-a", "team-b")})
    assert openid.scopes == ("openid", "email", "groups")
    assert found.path == path
    assert found.sources()["port"] == f"{path}, line 2: port"
    assert found.sources()["openid"] == f"{path}, line 18: openid"
    assert found.sources()["openid.client_secret_file"] == f"{path}, line 20: openid.client_secret_file"
    for key in (*SERVER_KEYS, *SERVER_LISTS, GROUPS):
        assert f"{key.rpartition('.')[2]}:" in WHOLE


def test_without_a_file_and_options_everything_is_a_default(tmp_path: Path) -> None:
    """Nothing has a source."""
    found = resolve_server(ServerFlags(), {"WORKSPACE_CONFIG_PATH": str(tmp_path)})
    assert found.sources() == {}
    assert (found.host.value, found.port.value, found.public_url.value, found.path) == ("127.0.0.1", 8788, None, None)
    assert (found.trusted_proxies.value, found.openid.value, found.self_approval.value) == ((), None, None)


@pytest.mark.parametrize(("text", "own"), [("", False), ("self_approval: true\n", True)])
def test_where_others_can_sign_in_nobody_decides_their_own_requests(file: Callable[..., Path], text: str, own: bool) -> None:
    """Unless that is said: a provider's people are not counted before they come."""
    provider = "{issuer: 'https://login.example.org', client_id: x, client_secret_file: s, approvers: [a@example.org]}"
    assert _of(file(f"{text}openid: {provider}\n")).self_approval.value is own


def test_options_win_over_the_file(file: Callable[..., Path]) -> None:
    """One by one; a list as a whole."""
    path = file(WHOLE)
    found = _of(path, port=0, plain_http=True, trusted_proxies=("192.0.2.1",), tls_cert="here.pem", log_format="text")
    assert (found.port.value, found.port.source) == (0, "--port")
    assert (found.plain_http.value, found.plain_http.source) == (True, "--plain-http")
    assert (found.trusted_proxies.value, found.trusted_proxies.source) == ((ip_network("192.0.2.1"),), "--trusted-proxy")
    assert found.tls_cert.value == Path("here.pem")
    assert (found.log_format.value, found.host.value) == ("text", "10.0.0.7")


def test_the_file_is_found_by_option_variable_or_beside_config_yaml(file: Callable[..., Path], tmp_path: Path) -> None:
    """In this order; a folder stands for the file in it."""
    file("port: 1")
    other = tmp_path / "other.yaml"
    other.write_text("port: 2")
    environ = {"MOLECULE_SERVER_CONFIG": str(other), "WORKSPACE_CONFIG_PATH": str(tmp_path)}
    assert resolve_server(ServerFlags(config=str(tmp_path)), environ).port.value == 1
    assert resolve_server(ServerFlags(), environ).port.value == 2
    for place in (tmp_path, tmp_path / "config.yaml"):
        assert resolve_server(ServerFlags(), {"WORKSPACE_CONFIG_PATH": str(place)}).port.value == 1


def test_an_empty_file_says_nothing(file: Callable[..., Path]) -> None:
    """All its lines may be comments."""
    assert _of(file("# nothing yet\n")).sources() == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("prot: 1", "line 1: prot: unknown key"),
        ("port: 1\nport: 2", "line 2: port: duplicate key"),
        ("session:\n  lifetme: 1h", "line 2: session.lifetme: unknown key"),
        ("openid.issuer: https://x.example", "line 1: openid.issuer: unknown key"),
        ("session: 8h", "line 1: session: is text, not keys with values"),
        ("- port", "line 1: the file: is a list"),
        ("port: eighty", "line 1: port: is text, not a number"),
        ("port: 70000", "line 1: port: '70000' is not a port"),
        ("port: -1", "line 1: port: '-1' is not a port"),
        ("host:", "line 1: host: is empty, not text"),
        ("host: ''", "line 1: host: the value is empty"),
        ("plain_http: 'yes'", "line 1: plain_http: is text, not a boolean"),
        ("public_url: https://alice@x.example", "line 1: public_url: the address has a user or a password"),
        ("public_url: https://x.example/?a", "line 1: public_url: the address has a query or a fragment"),
        ("public_url: 'https://x.example/#a'", "line 1: public_url: the address has a query or a fragment"),
        ("public_url: ftp://x.example", "line 1: public_url: the address does not start with"),
        ("public_url: https://x.example/a/../b", "line 1: public_url: the address has an invalid path"),
        ("public_url: https://x.example:0", "line 1: public_url: the address has an invalid port"),
        ("public_url: 'https://[::1'", "line 1: public_url: the address is invalid"),
        ("trusted_proxies: 10.0.0.0/8", "line 1: trusted_proxies: is text, not a list"),
        ("trusted_proxies:\n- 10.0.0.0/8\n- 10.0.0.1/8", "line 3: trusted_proxies: '10.0.0.1/8' is not a network"),
        ("trusted_proxies: [proxy.example]", "line 1: trusted_proxies: 'proxy.example' is not a network"),
        ("trusted_proxies: [0.0.0.0/0]", "line 1: trusted_proxies: 0.0.0.0/0 is every address there is"),
        ("log_format: xml", "line 1: log_format: 'xml' is not a log format"),
        ("session: {idle: 1s}", "line 1: session.idle: '1s' is out of range"),
        ("database: mysql://x", "line 1: database: not the address of a database"),
        ("database: sqlite:///x.db", "line 1: database: not the address of a database"),
        ("database: 'postgresql://[x'", "line 1: database: not the address of a database"),
        ("openid: {client_id: x}", "line 1: openid: issuer is missing"),
        ("openid: {groups: {a: [b]}}", "line 1: openid: issuer is missing"),
        ("openid: {issuer: https://x.example}", "line 1: openid: client_id is missing"),
        ("openid: {client_id: x, issuer: https://x.example}", "line 1: openid: client_secret_file is missing"),
        (
            "openid: {client_id: x, issuer: http://x.example, client_secret_file: s, approvers: [a]}",
            "line 1: openid.issuer: the issuer must be an https:// address",
        ),
        (
            "openid: {client_id: x, issuer: https://x.example, client_secret_file: s}",
            "line 1: openid: it lists no approvers and no groups, so that nobody could sign in",
        ),
        (
            "openid: {client_id: x, issuer: https://x.example, client_secret_file: s, groups: {a: [b]}}",
            "line 1: openid: groups_claim is missing",
        ),
        ("openid: {groups: [a]}", "line 1: openid.groups: is a list, not keys with values"),
        ("openid: {groups: {a: b}}", "line 1: openid.groups.a: is text, not a list"),
        ("host: &h 1.2.3.4\npublic_url: *h", "line 1: public_url: aliases are not supported"),
        ("'", "invalid YAML"),
    ],
)
def test_a_mistake_names_file_line_and_key(file: Callable[..., Path], text: str, message: str) -> None:
    """And it is a mistake of the file's, not of the command line."""
    path = file(text)
    with pytest.raises(ConfigError) as caught:
        _of(path)
    assert caught.value.message.startswith(str(path))
    assert message in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_may_write_is_refused(file: Callable[..., Path], mode: int) -> None:
    """They would choose who may decide, and where it is kept."""
    path = file("port: 1", mode)
    with pytest.raises(ConfigError, match="other users can write"):
        _of(path)


def test_a_file_that_was_named_must_be_there(tmp_path: Path) -> None:
    """By the option or the variable."""
    with pytest.raises(ConfigError, match="does not exist"):
        _of(tmp_path / "none.yaml")
    with pytest.raises(ConfigError, match="does not exist"):
        resolve_server(ServerFlags(), {"MOLECULE_SERVER_CONFIG": str(tmp_path / "none.yaml")})


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (ServerFlags(public_url="https://a:b@x.example"), "--public-url: the address has a user or a password"),
        (ServerFlags(trusted_proxies=("127.0.0.1", "x")), "--trusted-proxy: 'x' is not a network"),
        (ServerFlags(log_format="xml"), "--log-format: 'xml' is not a log format"),
        (ServerFlags(config=""), "--config: the value is empty"),
    ],
)
def test_a_mistake_in_an_option_names_the_option(tmp_path: Path, flags: ServerFlags, message: str) -> None:
    """As a usage error."""
    with pytest.raises(UsageError) as caught:
        resolve_server(flags, {"WORKSPACE_CONFIG_PATH": str(tmp_path)})
    assert message in caught.value.message


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://molecule:s3cret@db.example.org/approvals",
        "postgres://molecule@db.example.org/approvals?sslmode=require&password=s3cret",
        "postgresql:///approvals?sslpassword=s3cret",
        "postgresql://molecule:s3?cret@db.example.org/approvals",
        "postgresql://molecule:s3#cret@db.example.org/approvals",
    ],
)
def test_a_password_of_the_database_is_kept_from_other_users(file: Callable[..., Path], address: str) -> None:
    """Not as an option, which `ps` shows, and not in a file that everybody can read; errors do not repeat it."""
    errors: list[ApprovalError] = []
    for path, flags in ((file("port: 1"), {"database": address}), (file(f"database: {address}", 0o644), {})):
        with pytest.raises(ApprovalError, match="the address has a password") as caught:
            _of(path, **flags)
        errors.append(caught.value)
    assert not any("s3" in f"{error.message} {error.hint}".replace(str(path), "") for error in errors)
    assert errors[1].hint.startswith("chmod o-r ")
    found = _of(file(f"database: {address}", 0o640)).database.value
    assert found == Secret(address)
    assert "s3cret" not in repr(found)


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://molecule:s3/cret@db.example.org:5432/approvals",
        "postgresql://molecule:1/s3cret@db.example.org:5432/approvals",
        "postgresql://s3@cret@db.example.org/approvals",
        "postgresql://db.example.org:s3cret/approvals",
    ],
)
def test_a_password_that_would_be_read_as_something_else_is_one(file: Callable[..., Path], address: str) -> None:
    """Its special characters are not written as %XX: it is kept from other users all the same, and never used or shown."""
    for text, mode, flags, message in (
        ("port: 1", 0o600, {"database": address}, "--database: the address may have a password, which every user"),
        (f"database: {address}", 0o644, {}, "line 1: database: the address may have a password, and every user"),
        (f"database: {address}", 0o600, {}, "line 1: database: the address has a port that is not a number, or an @"),
    ):
        path = file(text, mode)
        with pytest.raises(ApprovalError) as caught:
            _of(path, **flags)
        assert message in caught.value.message
        assert "cret" not in f"{caught.value.message} {caught.value.hint}".replace(str(path), "")
    assert "%XX" in caught.value.hint
