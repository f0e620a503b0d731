"""The address of a PostgreSQL database: what is read there, what is refused, and that no password is shown."""

from __future__ import annotations

import pytest

pytest.importorskip("psycopg")

from psycopg.conninfo import conninfo_to_dict

from molecule_approve.errors import UsageError
from molecule_approve.server.database.address import parse

READ = {
    "postgresql://u@h:5/db": ({"user": "u", "host": "h", "port": "5", "dbname": "db"}, "postgresql://u@h:5/db"),
    "postgres://h/db": ({"host": "h", "dbname": "db"}, "postgresql://h/db"),
    "postgresql:///db?host=/run/postgresql": ({"host": "/run/postgresql"}, "postgresql:///db?host=/run/postgresql"),
    "postgresql://one,two/db": ({"host": "one,two"}, "postgresql://one,two/db"),
    "postgresql://one:1,two:2/db": ({"port": "1,2"}, "postgresql://one:1,two:2/db"),
    "postgresql://[::1]:5/db": ({"host": "::1"}, "postgresql://[::1]:5/db"),
    "postgresql://u:s3cret@h/db?sslmode=verify-full": (
        {"password": "s3cret", "sslmode": "verify-full"},
        "postgresql://u@h/db",
    ),
    "postgresql://h/db?connect_timeout=2": ({"connect_timeout": "2"}, "postgresql://h/db"),
    "postgresql://h/db?target_session_attrs=any": ({"target_session_attrs": "any"}, "postgresql://h/db"),
    "postgresql:///?service=approve": ({"service": "approve"}, "postgresql:///"),
}

REFUSED = {
    "mysql://h/db": "does not start with postgresql://",
    "h/db": "does not start with postgresql://",
    "postgresql:h": "does not start with postgresql://",
    "postgresql+psycopg2://h/db": "names the driver psycopg2",
    "postgresql://u@h": "names no database",
    "postgresql://u:s3cret%zz@h/db": "cannot be read",
    "postgresql://u:s3cret@h/db?nonsense=1": "cannot be read",
    "postgresql://u:s3cret@[::1/db": "cannot be read",
    "postgresql+u:s3cret": "does not start with postgresql://",
    # PostgreSQL's library takes part of these passwords for a host, a port or the name of the database.
    "postgresql://u:sek/s3cret@127.0.0.1:1/x": "a port that is not a number, or an @ behind its user",
    "postgresql://u:1/s3cret@127.0.0.1:1/x": "a port that is not a number, or an @ behind its user",
    "postgresql://u:p@s3cret@127.0.0.1:1/x": "a port that is not a number, or an @ behind its user",
    "postgresql://u:p@s/s3cret@127.0.0.1:1/x": "a port that is not a number, or an @ behind its user",
    "postgresql://h,u:s3cret/x": "a port that is not a number, or an @ behind its user",
}


@pytest.mark.parametrize("url", READ)
def test_an_address_is_read_as_postgresql_reads_it(url: str) -> None:
    """Everything that its own programs allow counts, and what is shown to people holds no password."""
    expected, shown = READ[url]
    found = parse(url)
    assert expected.items() <= conninfo_to_dict(found.conninfo).items()
    assert found.shown == shown
    assert "s3cret" not in repr(found)


def test_a_silent_peer_is_noticed_and_a_standby_is_passed_by() -> None:
    """What an address does not say is set so that a dead machine and a failover are noticed."""
    found = conninfo_to_dict(parse("postgresql://h/db").conninfo)
    names = ("connect_timeout", "keepalives_idle", "tcp_user_timeout", "target_session_attrs", "client_encoding")
    assert [found[name] for name in names] == ["5", "5", "10000", "read-write", "UTF8"]


@pytest.mark.parametrize(
    ("url", "has"),
    [("postgresql://u:pw@h/db", True), ("postgresql://h/db?password=pw", True), ("postgresql://u@h/db", False)],
)
def test_a_password_is_noticed(url: str, has: bool) -> None:
    """Wherever it stands: a command line with one is refused elsewhere."""
    assert parse(url).has_password is has


@pytest.mark.parametrize("url", REFUSED)
def test_another_address_is_refused_without_its_password(url: str) -> None:
    """The sentence says what is wrong, and neither it nor its cause holds the password."""
    with pytest.raises(UsageError, match=REFUSED[url]) as caught:
        parse(url)
    assert "s3cret" not in f"{caught.value} {caught.value.hint} {caught.value.__cause__}"
