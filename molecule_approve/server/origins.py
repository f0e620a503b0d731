"""Refuses calls that a browser makes for other pages, by Host, Origin and Sec-Fetch-*, whatever their credential."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from molecule_approve.errors import UsageError

from .calls import CalledAddress
from .openid.steps import RETURN
from .refusals import refused

if TYPE_CHECKING:
    from .calls import HttpCall
    from .plan import Network
    from .refusals import RefusedError
    from .senders import Sender

_AUTHORITY = re.compile(r"(?P<name>\[[0-9a-f:]+\]|[^:\[\]]+)(?::[1-9][0-9]{0,4})?")

_OWN = frozenset({"same-origin", "none"})
"""The allowed values of Sec-Fetch-Site: the call comes from our page, or from the person (address bar, bookmark)."""

_DOCUMENTS = re.compile(rf"/|/history|/sessions|/requests/[^/]+|{RETURN}")
"""The addresses of the page, to which links from elsewhere, and providers, may lead: it holds no data."""

FIRST_SEGMENTS = frozenset(
    {"workspaces", "approvals", "desk", "requests", "history", "sessions", "static", "ws", "health", "healthz", "readyz"}
) | {"metrics", "openapi.json"}
"""What the paths of our own routes begin with."""

_PROBES = frozenset({"/healthz", "/readyz"})
"""Routes that say nothing which a foreign page must not learn: probes call a machine by its number."""


@dataclass(frozen=True, slots=True)
class PublicAddress:
    """The public address. ``authorities``: the Host headers that name it; ``base``: its path, without a slash at the end."""

    origin: str
    authorities: frozenset[str]
    base: str

    @classmethod
    def of(cls, url: str) -> PublicAddress:
        """The parts of a public URL.

        Raises:
            UsageError: its path begins like one of ours, so that it cannot be told whether a proxy has removed it.
        """
        parts = urlsplit(url)
        base = parts.path.rstrip("/")
        if base.split("/")[1:2] and base.split("/")[1] in FIRST_SEGMENTS:
            raise UsageError(
                f"the path begins with {base.split('/')[1]}, like paths of the server itself",
                hint="choose another path, such as /approve",
            )
        usual = ":443" if parts.scheme == "https" else ":80"
        authority = parts.netloc.removesuffix(usual)
        spelt = {authority} if re.search(r":[0-9]+\Z", authority) else {authority, authority + usual}
        return cls(f"{parts.scheme}://{authority}", frozenset(spelt), base)


@dataclass(frozen=True, slots=True)
class Addresses:
    """The addresses of this server.

    Attributes:
        names: its names for programs of this machine, with any port: behind ``ssh -L`` it differs, and DNS rebinding shows
            in the name.
        public: its address for everybody else; None if it has none.
        scrapers: the networks that may read ``/metrics``, under any name.
    """

    names: frozenset[str]
    public: PublicAddress | None = None
    scrapers: tuple[Network, ...] = ()

    @classmethod
    def of(cls, host: str, public_url: str | None = None, scrapers: tuple[Network, ...] = ()) -> Addresses:
        """The usual names of this machine, the loopback address that it listens on, and the public address.

        Raises:
            UsageError: see :meth:`PublicAddress.of`.
        """
        public = None if public_url is None else PublicAddress.of(public_url)
        shown = f"[{host}]" if ":" in host else host
        own = {shown} if ip_address(host).is_loopback else set()
        return cls(frozenset({*own, "127.0.0.1", "localhost", "[::1]"}), public, scrapers)

    def without_base(self, path: str) -> str:
        """The call's path without the public path, which not every proxy removes."""
        base = "" if self.public is None else self.public.base
        if not base or not f"{path}/".startswith(f"{base}/"):
            return path
        return path[len(base) :] or "/"

    def check(self, call: HttpCall) -> None:
        """Refuse what a browser sends for another page: a rebound host name, a foreign Origin, a cross-site call.

        Afterwards the call says which of our addresses was called.

        Raises:
            RefusedError: 421 for the name, 403 for the rest.
        """
        path, sender = call.path, call.sender
        if path in _PROBES or (path == "/metrics" and not sender.is_local and sender.is_in(self.scrapers)):
            return
        called = call.called = self._called(call, sender)
        # Our own page has our name and port; a page on another port of this machine is foreign.
        if any(found.lower() != called.origin for found in call.headers.all("origin")):
            raise refused(403, "calls from other web pages are refused (Origin header)", "wrong_origin")
        # If there are two headers, both must be allowed. Another port of this machine is "same-site", which is not.
        if not set(call.headers.all("sec-fetch-site")) <= _OWN and not _follows_a_link(call):
            raise refused(403, "calls from other web sites are refused (Sec-Fetch-Site header)", "wrong_site")

    def _called(self, call: HttpCall, sender: Sender) -> CalledAddress:
        hosts = call.headers.all("host")
        host = hosts[0].lower() if len(hosts) == 1 else ""
        if self.public is not None and host in self.public.authorities:
            return CalledAddress(self.public.origin, self.public.base, is_public=True)
        found = _AUTHORITY.fullmatch(host)
        # A proxy that calls us by a name of our own has not passed on which name its client called.
        if found is None or found["name"] not in self.names or not sender.is_local:
            raise self._wrong_host(call, proxied=sender.proxied)
        return CalledAddress(f"{_scheme(call)}://{host}")

    @property
    def home(self) -> str | None:
        """The public address of the page; None if there is none."""
        return None if self.public is None else f"{self.public.origin}{self.public.base}/"

    def to_open(self, call: HttpCall) -> str:
        """The address to open instead of the one that was called: the public one, or that of the socket which was called."""
        if self.home is not None:
            return self.home
        host, port = call.scope.get("server") or ("", None)
        if port is None:  # the Unix socket
            return f"{_scheme(call)}://localhost/"
        name = "localhost" if host in {"127.0.0.1", "::1"} else host
        return f"{_scheme(call)}://{name}:{port}/"

    def _wrong_host(self, call: HttpCall, *, proxied: bool) -> RefusedError:
        passing = "; the proxy must pass on the Host header that it gets" if proxied else ""
        return refused(421, f"the Host header does not name this server; open {self.to_open(call)}{passing}", "wrong_host")


def _scheme(call: HttpCall) -> str:
    return "https" if call.scope.get("scheme") in {"https", "wss"} else "http"


def _follows_a_link(call: HttpCall) -> bool:
    """Whether a person follows a link to the page in a tab; the page itself holds no data."""
    headers = call.headers
    return (
        call.method == "GET"
        and _DOCUMENTS.fullmatch(call.path) is not None
        and headers.all("sec-fetch-mode") == ["navigate"]
        and headers.all("sec-fetch-dest") == ["document"]
    )


def wants_page(call: HttpCall) -> bool:
    """Whether a browser loads a document, which a person will read."""
    return call.method == "GET" and "text/html" in (call.headers.get("accept") or "")
