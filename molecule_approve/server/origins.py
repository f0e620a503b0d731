"""Refuses calls that a browser makes for other pages, by Host, Origin and Sec-Fetch-*, whatever their credential."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .openid.steps import RETURN
from .refusals import refused

if TYPE_CHECKING:
    from starlette.requests import HTTPConnection

_AUTHORITY = re.compile(r"(?P<name>\[[0-9a-f:]+\]|[^:\[\]]+)(?::[1-9][0-9]{0,4})?")

_OWN = frozenset({"same-origin", "none"})
"""The allowed values of Sec-Fetch-Site: the call comes from our page, or from the person (address bar, bookmark)."""


_PAGES = frozenset({"/", RETURN})
"""The paths of the page: a link, or the provider of a sign-in, may lead there."""


@dataclass(frozen=True, slots=True)
class Addresses:
    """The host names of this server, with any port: behind ``ssh -L`` it differs, and DNS rebinding shows in the name."""

    names: frozenset[str]

    @classmethod
    def of(cls, host: str) -> Addresses:
        """Every usual name of this loopback address."""
        shown = f"[{host}]" if ":" in host else host
        return cls(frozenset({shown, "127.0.0.1", "localhost", "[::1]"}))

    def check(self, connection: HTTPConnection) -> None:
        """Refuse what a browser sends for another page: a rebound host name, a foreign Origin, a cross-site call.

        Raises:
            RefusedError: 421 for the name, 403 for the rest.
        """
        hosts = connection.headers.getlist("host")
        found = _AUTHORITY.fullmatch(hosts[0].lower()) if len(hosts) == 1 else None
        if found is None or found["name"] not in self.names:
            raise refused(421, "the Host header does not name this server; open http://localhost:PORT", "wrong_host")
        # Our own page has our name and port; a page on another port of this machine is foreign.
        own = f"http://{hosts[0].lower()}"
        if any(origin.lower() != own for origin in connection.headers.getlist("origin")):
            raise refused(403, "calls from other web pages are refused (Origin header)", "wrong_origin")
        # If there are two headers, both must be allowed. Another port of this machine is "same-site", which is not.
        if not set(connection.headers.getlist("sec-fetch-site")) <= _OWN and not _follows_a_link(connection):
            raise refused(403, "calls from other web sites are refused (Sec-Fetch-Site header)", "wrong_site")


def _follows_a_link(connection: HTTPConnection) -> bool:
    """Whether a person follows a link to the page in a tab; the page itself holds no data."""
    scope, headers = connection.scope, connection.headers
    return (
        scope["type"] == "http"
        and scope["method"] == "GET"
        and scope["path"] in _PAGES
        and headers.getlist("sec-fetch-mode") == ["navigate"]
        and headers.getlist("sec-fetch-dest") == ["document"]
    )


def over_tcp(connection: HTTPConnection) -> bool:
    """Whether the call comes over TCP, not on the Unix socket."""
    # uvicorn gives a port for TCP only.
    server = connection.scope.get("server")
    return server is None or server[1] is not None
