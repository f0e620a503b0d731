"""What browsers say about where a call comes from (Host, Origin, Sec-Fetch-*), and which of it is refused.

Who calls is no matter here: a page from elsewhere is refused with whatever credential.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .refusals import refused

if TYPE_CHECKING:
    from starlette.requests import HTTPConnection

_AUTHORITY = re.compile(r"(?P<name>\[[0-9a-f:]+\]|[^:\[\]]+)(?::[1-9][0-9]{0,4})?")

_OWN = frozenset({"same-origin", "none"})
"""What Sec-Fetch-Site may say: our own page calls, or the person did (typed the address, took a bookmark)."""


@dataclass(frozen=True, slots=True)
class Addresses:
    """The names under which this server answers.

    With whatever port: behind ``ssh -L`` it is another one than ours, and a name that was rebound is told by the name.
    """

    names: frozenset[str]

    @classmethod
    def of(cls, host: str) -> Addresses:
        """Every usual name of this loopback address."""
        shown = f"[{host}]" if ":" in host else host
        return cls(frozenset({shown, "127.0.0.1", "localhost", "[::1]"}))

    def check(self, connection: HTTPConnection) -> None:
        """Refuse what a browser sends for another page: a name rebound to loopback, a foreign Origin, another site's call.

        Raises:
            RefusedError: 421 for the name, 403 for the rest.

        """
        hosts = connection.headers.getlist("host")
        found = _AUTHORITY.fullmatch(hosts[0].lower()) if len(hosts) == 1 else None
        if found is None or found["name"] not in self.names:
            raise refused(421, "the Host header names another server", "wrong_host")
        # A page that is ours has our name and port; the page of another port of this machine is foreign.
        own = f"http://{hosts[0].lower()}"
        if any(origin.lower() != own for origin in connection.headers.getlist("origin")):
            raise refused(403, "calls from other web pages are refused", "wrong_origin")
        # Of two headers the worse one counts. Another port of this machine is "same-site", and no friend either.
        if not set(connection.headers.getlist("sec-fetch-site")) <= _OWN and not _follows_a_link(connection):
            raise refused(403, "calls from other web sites are refused", "wrong_site")


def _follows_a_link(connection: HTTPConnection) -> bool:
    """Whether a person goes to the page from somewhere else, in a tab: the page itself holds no data."""
    scope, headers = connection.scope, connection.headers
    return (
        scope["type"] == "http"
        and scope["method"] == "GET"
        and scope["path"] == "/"
        and headers.getlist("sec-fetch-mode") == ["navigate"]
        and headers.getlist("sec-fetch-dest") == ["document"]
    )


def over_tcp(connection: HTTPConnection) -> bool:
    """Whether the call comes over TCP, and not on the private socket."""
    # uvicorn gives a port for TCP alone.
    server = connection.scope.get("server")
    return server is None or server[1] is not None
