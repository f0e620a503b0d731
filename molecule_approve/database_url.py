"""Pure: the address of a PostgreSQL database, split as PostgreSQL's library does it; other readers of URLs differ."""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import parse_qs

_PORT = re.compile(r"(?:\[[^\]]*\]?|[^:]*)(?::[0-9]*)?\Z")
"""One host and its port. A bracket that is not closed is refused by the library."""


class _UrlPieces(NamedTuple):
    """``user``: with what follows its colon; ``place``: hosts, ports and the name of the database."""

    user: str
    place: str
    parameters: str


def _split(url: str) -> _UrlPieces:
    rest = url.partition(":")[2].removeprefix("//")
    # The user ends at the first @, if that stands before the first slash; neither ? nor # ends it.
    user, at, behind = rest.partition("@")
    if not at or "/" in user:
        user, behind = "", rest
    place, _, parameters = behind.partition("?")
    return _UrlPieces(user, place, parameters)


def has_password(url: str) -> bool:
    """Whether there is a password before the host, or among the parameters."""
    user, _, parameters = _split(url)
    return ":" in user or bool({"password", "sslpassword"} & parse_qs(parameters).keys())


def is_misread(url: str) -> bool:
    """Whether a port is not a number, or an @ stands in a host or a database's name.

    So PostgreSQL's library reads a password with special characters: part of it becomes a host, a port or a name, and
    these are shown to people.
    """
    place = _split(url).place
    hosts = place.partition("/")[0].split(",")
    return "@" in place or not all(_PORT.match(host) for host in hosts)
