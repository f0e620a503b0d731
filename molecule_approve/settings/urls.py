"""Pure: base addresses and proxies: which are valid, and which are of this machine.

No message repeats an address, which may hold a password.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from urllib.parse import SplitResult, urlsplit

from molecule_approve.errors import UsageError
from molecule_approve.model import Secret

_HOST = re.compile(r"(?=.{1,253}\Z)[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?)*\Z")
# A host whose last label is a number is read as an IPv4 address by getaddrinfo(3), in spellings that hide which one.
_NUMERIC = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)\Z")
_PATH = re.compile(r"[A-Za-z0-9._~/-]*\Z")
_HINT = "write it like https://platform.example.org"
_PUBLIC_HINT = "write it like https://approve.example.org, or https://example.org/approve"
_PROXY_HINT = "write it like http://proxy.example.org:3128"
PROXIES = ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")
"""The variables that may name a proxy, the first that is set."""

_PROXY_PORT = 1080
"""The default, as curl's."""


def base_url(text: str) -> str:
    """The address in its normal form: lower-case scheme and host, the port if there is one, no slash at the end.

    Raises:
        UsageError: another scheme than http and https, a user or password, a query, a fragment, an invalid host or port.
    """
    return _checked(text, _HINT, "remove it, and set the token in MOLECULE_TOKEN")


def public_url(text: str) -> str:
    """The address under which people and clients reach a server, in the form of its Host header: no default port.

    Raises:
        UsageError: as :func:`base_url`.
    """
    found = urlsplit(_checked(text, _PUBLIC_HINT, f"remove it: {_PUBLIC_HINT}"))
    usual = ":443" if found.scheme == "https" else ":80"
    return f"{found.scheme}://{found.netloc.removesuffix(usual)}{found.path}"


def _checked(text: str, hint: str, user_hint: str) -> str:
    parts = _split(text, hint)
    if "@" in parts.netloc:
        raise UsageError("the address has a user or a password", hint=user_hint)
    if "?" in text or "#" in text:
        raise UsageError("the address has a query or a fragment", hint=hint)
    if not _PATH.match(parts.path) or "//" in parts.path or {".", ".."} & set(parts.path.split("/")):
        raise UsageError("the address has an invalid path", hint=hint)
    return f"{parts.scheme}://{_authority(parts, hint)}{parts.path.rstrip('/')}"


def is_plain_http(url: str) -> bool:
    """Whether data sent there crosses a network unencrypted."""
    return url.startswith("http://") and not is_this_machine(url)


def is_this_machine(url: str) -> bool:
    """Whether the address is of this machine: ``localhost``, 127.0.0.0/8, ::1, or the unspecified address."""
    host = urlsplit(url).hostname or ""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
    address = getattr(address, "ipv4_mapped", None) or address
    return address.is_loopback or address.is_unspecified


def find_proxy(url: str, environ: Mapping[str, str]) -> Secret | None:
    """The environment's proxy for this address, by curl's rules; it may hold a password.

    Only for https://, and never for loopback: over http:// the proxy would read the token.

    Raises:
        UsageError: the proxy's address is invalid, or it is a SOCKS or TLS proxy.
    """
    if not url.startswith("https://") or is_this_machine(url) or _is_exempt(url, environ):
        return None
    for name in PROXIES:
        if environ.get(name):
            return Secret(_proxy_url(environ[name], name))
    return None


def _is_exempt(url: str, environ: Mapping[str, str]) -> bool:
    host = urlsplit(url).hostname or ""
    listed = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
    return listed == "*" or any(_covers(entry, host) for entry in re.split(r"[ \t,]+", listed.lower()))


def _covers(entry: str, host: str) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        name = entry.removesuffix(".").removeprefix(".")
        return name != "" and f".{host}".endswith(f".{name}")
    found = re.fullmatch(r"([0-9a-f.:]+)(?:/([0-9]{1,3}))?", entry)
    if found is None:
        return False
    bits = int(found[2] or 0) or address.max_prefixlen  # curl reads a network of 0 bits as one address
    try:
        return address in ipaddress.ip_network(f"{found[1]}/{bits}", strict=False)
    except ValueError:
        return False


def _proxy_url(text: str, name: str) -> str:
    scheme = text.partition("://")[0].lower() if "://" in text else "http"
    if scheme.startswith("socks"):
        raise UsageError(f"{name}: SOCKS proxies are not supported", hint=f"use an HTTP proxy: {_PROXY_HINT}")
    if scheme != "http":
        # Without TLS it would get its password in clear.
        raise UsageError(
            f"{name}: the proxy's address does not start with http://; TLS to a proxy is not supported",
            hint=f"{_PROXY_HINT}, if the proxy supports that; the connection to the platform is TLS in any case",
        )
    try:
        parts = _split(text if "://" in text else f"http://{text}", _PROXY_HINT)
        if parts.path.strip("/") or "?" in text or "#" in text:
            raise UsageError("the address has more than a host and a port", hint=_PROXY_HINT)
        user = parts.netloc.rpartition("@")[0]
        host = _authority(parts, _PROXY_HINT)
        return f"http://{user + '@' if user else ''}{host}{'' if parts.port else f':{_PROXY_PORT}'}"
    except UsageError as exc:
        raise UsageError(f"{name}: {exc.message}", hint=exc.hint) from None


def _split(text: str, hint: str) -> SplitResult:
    # Before urlsplit, which drops tabs and newlines silently.
    if not re.match(r"[!-~]*\Z", text) or "\\" in text:
        raise UsageError("the address has a blank, a control character or a non-ASCII character", hint=hint)
    try:
        parts = urlsplit(text)
    except ValueError:
        raise UsageError("the address is invalid", hint=hint) from None
    if parts.scheme not in {"http", "https"}:
        raise UsageError("the address does not start with https:// or http://", hint=hint)
    return parts


def _authority(parts: SplitResult, hint: str) -> str:
    try:
        port = parts.port
    except ValueError:
        port = 0
    if port == 0:
        raise UsageError("the address has an invalid port", hint=hint)
    host = parts.hostname or ""
    return _host(host, hint) + ("" if port is None else f":{port}")


def _host(host: str, hint: str) -> str:
    try:
        if ":" in host:
            return f"[{_no_zone(host)}]"
        if _NUMERIC.match(host):
            return str(ipaddress.IPv4Address(host))
    except ValueError:
        raise UsageError("the address has an invalid IP address", hint=hint) from None
    if not _HOST.match(host):
        raise UsageError("the address has an invalid host", hint=hint)
    return host


def _no_zone(host: str) -> ipaddress.IPv6Address:
    address = ipaddress.IPv6Address(host)
    if address.scope_id is not None:
        raise ValueError(host)
    return address
