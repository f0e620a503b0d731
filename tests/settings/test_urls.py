"""addresses.py: which address may be used, which is this machine, which proxy serves it."""

from __future__ import annotations

import base64
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator

import pytest

from molecule_approve.errors import UsageError
from molecule_approve.settings.urls import base_url, find_proxy, is_plain_http, is_this_machine


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("https://platform.example.org", "https://platform.example.org"),
        ("https://platform.example.org/", "https://platform.example.org"),
        ("HTTPS://Platform.Example.ORG:8443///"[:-2], "https://platform.example.org:8443"),
        ("http://platform:8080", "http://platform:8080"),
        ("http://my_service.internal/api/v1/", "http://my_service.internal/api/v1"),
        ("http://127.0.0.1:80", "http://127.0.0.1:80"),
        ("http://[::1]:8788", "http://[::1]:8788"),
        ("http://[0:0::1]", "http://[::1]"),
        ("https://host:", "https://host"),
        ("https://a/~x/.well-known", "https://a/~x/.well-known"),
    ],
)
def test_a_good_address_is_brought_to_its_plain_form(text: str, plain: str) -> None:
    """Lower-case scheme and host, no slash at the end, a path kept."""
    assert base_url(text) == plain


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("ftp://host", "does not start with"),
        ("platform:8080", "does not start with"),
        ("host", "does not start with"),
        ("//host", "does not start with"),
        ("", "does not start with"),
        ("https://", "invalid host"),
        ("https:///path", "invalid host"),
        ("https:host", "invalid host"),
        ("https://-host", "invalid host"),
        ("https://ho!st", "invalid host"),
        ("https://a..b", "invalid host"),
        (f"https://{'a' * 254}", "invalid host"),
        ("https://host:0", "port"),
        ("https://host:65536", "port"),
        ("https://host:abc", "port"),
        ("https://alice:hunter2@host", "password"),
        ("https://alice@host", "password"),
        ("https://@host", "password"),
        ("https://host/?a=hunter2", "query"),
        ("https://host/#hunter2", "query"),
        ("https://host?", "query"),
        ("https://host/a b", "blank"),
        ("https://host/\n", "blank"),
        ("\thttps://host", "blank"),
        ("https://h\x00st", "blank"),
        ("https://höst", "non-ASCII"),
        ("https://host\\@evil", "control"),
        ("https://host/a/../b", "path"),
        ("https://host/./b", "path"),
        ("https://host//b", "path"),
        ("https://host/%2e%2e", "path"),
        ("https://host/a;b", "path"),
        ("https://127.1", "IP address"),
        ("https://0x7f000001", "IP address"),
        ("https://2130706433", "IP address"),
        ("https://300.1.1.1", "IP address"),
        ("https://[fe80::1%25eth0]", "IP address"),
        ("https://[::1%lo]", "IP address"),
        ("https://[::1", "is invalid"),
        ("https://[zz::1]", "invalid"),
    ],
)
def test_a_bad_address_is_refused_without_repeating_it(text: str, complaint: str) -> None:
    """One sentence says what is wrong, and no password in it is shown."""
    with pytest.raises(UsageError, match=complaint) as caught:
        base_url(text)
    assert "hunter2" not in caught.value.message + caught.value.hint
    assert caught.value.hint


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost",
        "http://localhost:1",
        "http://a.localhost",
        "http://127.0.0.1",
        "http://127.9.9.9:3",
        "http://[::1]:5",
        "http://[::ffff:127.0.0.1]",
        "http://0.0.0.0",
        "http://[::]",
    ],
)
def test_these_addresses_are_this_machine(url: str) -> None:
    """Loopback in each spelling, and "any address", which leads to loopback."""
    assert is_this_machine(url)
    assert not is_plain_http(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://platform:8080",
        "http://10.0.0.1",
        "http://[2001:db8::1]",
        "http://localhost.example.org",
        "http://128.0.0.1",
        "http://[::ffff:10.0.0.1]",
        "http://notlocalhost",
    ],
)
def test_these_addresses_are_not(url: str) -> None:
    """What is sent to them over http:// crosses a network."""
    assert not is_this_machine(url)
    assert is_plain_http(url)


def test_https_is_never_plain() -> None:
    """Only http:// is."""
    assert not is_plain_http("https://platform.example.org")


def proxy(url: str, **environ: str) -> str | None:
    """What find_proxy names, opened."""
    found = find_proxy(url, environ)
    return None if found is None else found.reveal()


@pytest.mark.parametrize("name", ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"])
def test_each_usual_variable_names_a_proxy(name: str) -> None:
    """https:// goes through it, credentials included, and they do not show."""
    found = find_proxy("https://a.example.org", {name: "http://u:hunter2@proxy:3128/"})
    assert found is not None
    assert found.reveal() == "http://u:hunter2@proxy:3128"
    assert "hunter2" not in f"{found!r}{found}"


def test_a_special_variable_goes_before_a_general_one() -> None:
    """HTTPS_PROXY before ALL_PROXY, and an empty one says nothing."""
    assert proxy("https://a", ALL_PROXY="http://all:1", HTTPS_PROXY="http://one:1") == "http://one:1"
    assert proxy("https://a", HTTPS_PROXY="", ALL_PROXY="http://all:1") == "http://all:1"
    assert proxy("https://a") is None


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("proxy:3128", "http://proxy:3128"),
        ("proxy", "http://proxy:1080"),
        ("HTTP://Proxy/", "http://proxy:1080"),
        ("u:hunter2@proxy", "http://u:hunter2@proxy:1080"),
        ("http://[::1]", "http://[::1]:1080"),
    ],
)
def test_a_proxy_may_be_written_shortly(text: str, plain: str) -> None:
    """Without a scheme it is an HTTP proxy, without a port at curl's."""
    assert proxy("https://a", https_proxy=text) == plain


@pytest.mark.parametrize(
    "url", ["http://platform:8080", "http://localhost", "https://localhost:1", "https://127.0.0.1", "https://[::1]"]
)
def test_http_and_loopback_never_meet_a_proxy(url: str) -> None:
    """A proxy would read the token, or be asked for its own machine; not even a broken one is looked at."""
    assert proxy(url, HTTPS_PROXY="socks5://p", ALL_PROXY="http://p", HTTP_PROXY="http://p") is None


_NAME, _FOUR, _SIX = "https://a.example.org", "https://10.1.2.3", "https://[2001:db8::1]"
# What no_proxy holds, the address, and whether it then goes without the proxy.
EXEMPT = [
    ("*", _NAME, True),
    (" * ", _NAME, False),
    ("x,*", _NAME, False),
    ("a.example.org", _NAME, True),
    ("a.example.org", "https://a.example.org:8443", True),
    ("A.Example.ORG", _NAME, True),
    ("example.org", _NAME, True),
    (".example.org", _NAME, True),
    (".example.org", "https://example.org", True),
    ("org", _NAME, True),
    ("example.org.", _NAME, True),
    (".example.org.", _NAME, True),
    ("..example.org", _NAME, False),
    ("example.org..", _NAME, False),
    ("*.example.org", _NAME, False),
    ("ample.org", _NAME, False),
    ("b.example.org", _NAME, False),
    ("x.a.example.org", _NAME, False),
    (".", _NAME, False),
    (",", _NAME, False),
    ("a.example.org:443", _NAME, False),
    ("https://a.example.org", _NAME, False),
    ("x,example.org", _NAME, True),
    ("x , example.org", _NAME, True),
    ("x example.org", _NAME, True),
    ("x\texample.org y", _NAME, True),
    (",,example.org,", _NAME, True),
    ("x;example.org", _NAME, False),
    ("x\nexample.org", _NAME, False),
    ("10.1.2.3", _FOUR, True),
    ("10.0.0.0/8", _FOUR, True),
    ("10.1.2.3/8", _FOUR, True),
    ("10.1.2.2/31", _FOUR, True),
    ("10.1.2.1/31", _FOUR, False),
    ("10.1.3.0/24", _FOUR, False),
    ("10.1.2.3/32", _FOUR, True),
    ("10.1.2.3/33", _FOUR, False),
    ("10.1.2.3/255.0.0.0", _FOUR, False),
    ("10.1.2.3/0", _FOUR, True),
    ("0.0.0.0/0", _FOUR, False),
    ("10/8", _FOUR, False),
    ("10.*", _FOUR, False),
    ("1.2.3", _FOUR, False),
    (".1.2.3", _FOUR, False),
    ("10.1.2.3.", _FOUR, False),
    ("10.1.2.3:443", _FOUR, False),
    ("10.0.0.0/8", _NAME, False),
    ("10.0.0.0/8", "https://10.example.org", False),
    ("x,192.168.0.0/16,10.0.0.0/8", _FOUR, True),
    ("2001:db8::1", _SIX, True),
    ("[2001:db8::1]:443", _SIX, False),
    ("2001:db9::/32", _SIX, False),
    ("10.0.0.0/8", _SIX, False),
]
# Networks of IPv6: curl's manual has them, and some of its versions compare the letters.
EXEMPT_SIX = [
    ("2001:db8::/32", _SIX, True),
    ("2001:DB8:0::1", _SIX, True),
    ("2001:db8::1/129", _SIX, False),
    ("2001:db8::1/0", _SIX, True),
    ("::/0", _SIX, False),
]
# Which variable counts: what is set, and whose proxy is taken.
CHOICES: list[tuple[dict[str, str], str | None]] = [
    ({"https_proxy": "one", "HTTPS_PROXY": "two"}, "one"),
    ({"HTTPS_PROXY": "one", "all_proxy": "two"}, "one"),
    ({"all_proxy": "one", "ALL_PROXY": "two"}, "one"),
    ({"ALL_PROXY": "one"}, "one"),
    ({"https_proxy": "", "HTTPS_PROXY": "one"}, "one"),
    ({"https_proxy": "", "HTTPS_PROXY": "", "all_proxy": "one"}, "one"),
    ({"http_proxy": "one", "HTTP_PROXY": "two"}, None),
    ({"Https_Proxy": "one"}, None),
    ({"https_proxy": "one", "no_proxy": "x", "NO_PROXY": "*"}, "one"),
    ({"https_proxy": "one", "no_proxy": "*", "NO_PROXY": "x"}, None),
    ({"https_proxy": "one", "no_proxy": "", "NO_PROXY": "*"}, None),
    ({"https_proxy": "one", "No_Proxy": "*"}, "one"),
    ({}, None),
]


def _environ(names: dict[str, str], port: int) -> dict[str, str]:
    """The variables, each proxy told by its user."""
    return {
        name: f"http://{value}@127.0.0.1:{port}" if value and not name.lower().startswith("no") else value
        for name, value in names.items()
    }


@pytest.mark.parametrize(("listed", "url", "exempt"), [*EXEMPT, *EXEMPT_SIX])
def test_no_proxy_exempts_names_suffixes_and_networks(listed: str, url: str, *, exempt: bool) -> None:
    """Each form of an entry that is one, and those that are none; with either spelling of the variable."""
    for name in ("no_proxy", "NO_PROXY"):
        assert (proxy(url, https_proxy="http://p", **{name: listed}) is None) is exempt


@pytest.mark.parametrize(("names", "whose"), CHOICES)
def test_one_variable_counts(names: dict[str, str], whose: str | None) -> None:
    """Small letters before capitals, the special one before the general one; an empty one is none."""
    assert proxy(_NAME, **_environ(names, 3128)) == (None if whose is None else f"http://{whose}@127.0.0.1:3128")


class Curl:
    """The real curl, and a listener that is proxy and platform to it: which of them it wanted is in its first bytes."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(10)
        self.port: int = self.listener.getsockname()[1]

    def asks(self, url: str, environ: dict[str, str]) -> str | None:
        """Whose proxy is asked for this address, or None if the address itself is called."""
        # Nothing is looked up and nothing leaves this machine: a direct call comes here too.
        command = [self.path, "-q", "-s", "--max-time", "10", "--connect-to", f"::127.0.0.1:{self.port}", url]
        with subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL):
            connection, _ = self.listener.accept()
            with connection:
                head = connection.recv(4096)
        if head.startswith(b"\x16"):  # TLS begins
            return None
        user = re.search(rb"Proxy-Authorization: Basic (\S+)", head)
        assert head.startswith(b"CONNECT "), head
        assert user, head
        return base64.b64decode(user[1]).decode().partition(":")[0]


@pytest.fixture(scope="module")
def curl() -> Iterator[Curl]:
    """One that knows networks in no_proxy."""
    path = shutil.which("curl")
    if path is None:
        pytest.skip("no curl on this machine: apt-get install curl")
    told = subprocess.run([path, "--version"], capture_output=True, text=True, check=True).stdout
    version = re.match(r"curl (\d+)\.(\d+)", told)
    assert version
    if (int(version[1]), int(version[2])) < (7, 86):
        pytest.skip("this curl is older than 7.86 and knows no networks in no_proxy")
    found = Curl(path)
    yield found
    found.listener.close()


def test_the_rules_are_curls(curl: Curl) -> None:
    """The same proxy for the same variables and addresses, by each row of the tables above."""
    rows = [
        *(({"https_proxy": "one", "no_proxy": listed}, url) for listed, url, _ in EXEMPT),
        *((names, _NAME) for names, _ in CHOICES),
    ]
    for names, url in rows:
        environ = _environ(names, curl.port)
        whose = curl.asks(url, environ)
        assert (names, url, proxy(url, **environ)) == (names, url, whose and f"http://{whose}@127.0.0.1:{curl.port}")


def test_curls_own_port_of_a_proxy(curl: Curl) -> None:
    """Where the address names none."""
    environ = {"https_proxy": "127.9.8.7"}
    told = subprocess.run([curl.path, "-q", "-sS", _NAME], env=environ, capture_output=True, text=True, check=False).stderr
    assert "127.9.8.7 port 1080" in told
    assert proxy(_NAME, **environ) == "http://127.9.8.7:1080"


@pytest.mark.parametrize("scheme", ["socks", "socks4", "socks4a", "socks5", "SOCKS5H"])
def test_a_socks_proxy_is_named_as_unsupported(scheme: str) -> None:
    """By the word that whoever set it knows it by."""
    with pytest.raises(UsageError, match=r"^all_proxy: SOCKS proxies are not supported$") as caught:
        proxy("https://a", all_proxy=f"{scheme}://u:hunter2@p:1080")
    assert "http://" in caught.value.hint


def test_tls_to_a_proxy_is_refused() -> None:
    """It would be spoken to in clear, and its password with it."""
    with pytest.raises(UsageError, match=r"^HTTPS_PROXY: .*TLS to a proxy is not supported$") as caught:
        proxy("https://a", HTTPS_PROXY="https://u:hunter2@p:443")
    assert "http://" in caught.value.hint
    assert "hunter2" not in caught.value.message + caught.value.hint


@pytest.mark.parametrize(
    "text",
    [
        "socks5://u:hunter2@p",
        "https://u:hunter2@p",
        "ftp://u:hunter2@p",
        "//u:hunter2@p",
        "http://",
        "http://p:0",
        "http://p/path",
        "http://p?hunter2",
        "http://p#x",
        "http://p q",
        "http://u:hunter2@p:x",
        "http://[::1",
    ],
)
def test_a_proxy_that_cannot_be_used_is_an_error(text: str) -> None:
    """It names the variable, not the address; going without the proxy would be a silent default."""
    with pytest.raises(UsageError, match=r"^HTTPS_PROXY: ") as caught:
        proxy("https://a", HTTPS_PROXY=text)
    assert "hunter2" not in caught.value.message + caught.value.hint
    assert caught.value.__cause__ is None
