"""addresses.py: which address may be used, which is this machine, which proxy serves it."""

from __future__ import annotations

import pytest

from molecule_approve.addresses import base_url, find_proxy, is_plain_http, is_this_machine
from molecule_approve.errors import UsageError


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
        ("ftp://host", "neither"),
        ("platform:8080", "neither"),
        ("host", "neither"),
        ("//host", "neither"),
        ("", "neither"),
        ("https://", "no host"),
        ("https:///path", "no host"),
        ("https:host", "no host"),
        ("https://-host", "no host"),
        ("https://ho!st", "no host"),
        ("https://a..b", "no host"),
        (f"https://{'a' * 254}", "no host"),
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
        ("https://höst", "beyond ASCII"),
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
        ("https://[::1", "cannot be understood"),
        ("https://[zz::1]", "understood|IP address"),
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
    assert proxy("https://a", HTTPS_PROXY="", ALL_PROXY="https://all:1") == "https://all:1"
    assert proxy("https://a") is None


def test_a_proxy_without_a_scheme_is_an_http_proxy() -> None:
    """The usual short writing."""
    assert proxy("https://a", https_proxy="proxy:3128") == "http://proxy:3128"


@pytest.mark.parametrize(
    "url", ["http://platform:8080", "http://localhost", "https://localhost:1", "https://127.0.0.1", "https://[::1]"]
)
def test_http_and_loopback_never_meet_a_proxy(url: str) -> None:
    """A proxy would read the token, or be asked for its own machine; not even a broken one is looked at."""
    assert proxy(url, HTTPS_PROXY="socks5://p", ALL_PROXY="http://p", HTTP_PROXY="http://p") is None


@pytest.mark.parametrize(
    "listed",
    [
        "*",
        "a.example.org",
        "example.org",
        ".example.org",
        "*.example.org",
        "x, example.org",
        "x example.org",
        "EXAMPLE.ORG",
        "a.example.org:8443",
        ",,example.org,",
    ],
)
def test_no_proxy_exempts_hosts_and_suffixes(listed: str) -> None:
    """The usual forms of an entry, with either spelling of the variable."""
    assert proxy("https://a.example.org:8443", HTTPS_PROXY="http://p", NO_PROXY=listed) is None
    assert proxy("https://a.example.org:8443", HTTPS_PROXY="http://p", no_proxy=listed) is None


@pytest.mark.parametrize(
    "listed",
    ["", ",", "ample.org", "b.example.org", "a.example.org:443", "org.", ".", "*.", "10.0.0.0/8", "a.example.org:9999999"],
)
def test_other_entries_exempt_nothing(listed: str) -> None:
    """Part of a label, another port, a network: no match."""
    assert proxy("https://a.example.org:8443", HTTPS_PROXY="http://p", NO_PROXY=listed) == "http://p"


@pytest.mark.parametrize(
    ("listed", "exempt"),
    [("[2001:db8::1]", True), ("[2001:db8::1]:443", True), ("[2001:db8::1]:80", False), ("2001:db8::1", True)],
)
def test_no_proxy_knows_ipv6(listed: str, *, exempt: bool) -> None:
    """In brackets with or without a port, or bare."""
    assert (proxy("https://[2001:db8::1]", HTTPS_PROXY="http://p", NO_PROXY=listed) is None) is exempt


@pytest.mark.parametrize(
    "text",
    [
        "socks5://u:hunter2@p",
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
