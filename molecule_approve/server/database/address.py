"""The address of a PostgreSQL database: read, checked, and shown without its password."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from molecule_approve.database_url import is_misread
from molecule_approve.errors import UsageError

SCHEMES = ("postgresql", "postgres")
"""Both are read by PostgreSQL's own library."""

_EXAMPLE = "for example postgresql://approve@db.example.org/approve"

_DEFAULTS = {
    # Seconds for each host of the address.
    "connect_timeout": "5",
    # A machine that vanished without a word is noticed after about ten seconds, also on an idle connection.
    "keepalives": "1",
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",
    # After a failover one of several hosts takes decisions; a standby refuses them.
    "target_session_attrs": "read-write",
    "application_name": "molecule-approve",
}
"""What is not named in the address."""

_SECRET = ("password", "sslpassword")


@dataclass(frozen=True, slots=True)
class PostgresAddress:
    """Where a database is.

    Attributes:
        conninfo: for PostgreSQL's library; it may hold a password.
        shown: for people: without a password.
        has_password: whether a password is part of it.
    """

    conninfo: str = field(repr=False)
    shown: str
    has_password: bool = field(repr=False)


def parse(url: str) -> PostgresAddress:
    """Read ``postgresql://user@host/db?…``, with everything that PostgreSQL's own programs allow there.

    Raises:
        UsageError: it cannot be read as one. The message never holds the address, which may hold a password.
    """
    scheme = url.partition("://")[0]
    if scheme not in SCHEMES or "://" not in url:
        raise UsageError(_not_this(scheme), hint=_EXAMPLE)
    hint = f"{_EXAMPLE}; special characters are written as %XX"
    # Before anything of it is shown: what PostgreSQL's library takes for the host may be part of the password.
    if is_misread(url):
        raise UsageError("the database address has a port that is not a number, or an @ behind its user", hint=hint)
    try:
        given = {name: str(value) for name, value in conninfo_to_dict(url).items() if value is not None}
        conninfo = make_conninfo(**{**_DEFAULTS, **given, "client_encoding": "UTF8"})
    except psycopg.Error:
        # The library's own words hold parts of the address.
        raise UsageError("the database address cannot be read", hint=hint) from None
    # A service file may name what the address does not.
    if not given.get("dbname") and not given.get("service"):
        raise UsageError("the database address names no database", hint=_EXAMPLE)
    return PostgresAddress(conninfo, _shown(given), any(given.get(name) for name in _SECRET))


def _not_this(scheme: str) -> str:
    first, _, driver = scheme.partition("+")
    if first in SCHEMES and re.fullmatch(r"[a-z0-9_]{1,20}", driver):
        return f"the database address names the driver {driver}; leave it out"
    return "the database address does not start with postgresql://"


def _shown(given: dict[str, str]) -> str:
    user = f"{given['user']}@" if given.get("user") else ""
    name = given.get("dbname", "")
    hosts = (given.get("host") or given.get("hostaddr") or "").split(",")
    ports = given.get("port", "").split(",")
    if hosts[0].startswith("/"):
        return f"postgresql://{user}/{name}?host={hosts[0]}"
    ports = ports if len(ports) == len(hosts) else ports[:1] * len(hosts)
    places = [f"[{host}]" if ":" in host else host for host in hosts]
    listed = ",".join(f"{host}:{port}".rstrip(":") for host, port in zip(places, ports, strict=True))
    return f"postgresql://{user}{listed}/{name}"
