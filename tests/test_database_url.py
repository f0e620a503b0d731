"""The address of a PostgreSQL database: where its password is, and when part of it would be taken for something else."""

from __future__ import annotations

import pytest

from molecule_approve.database_url import has_password, is_misread


@pytest.mark.parametrize(
    ("url", "has"),
    [
        ("postgresql://u:pw@h/db", True),
        ("postgresql://u:p/w@h/db", False),
        ("postgresql://u:p?w@h/db", True),
        ("postgresql://u:p#w@h/db", True),
        ("postgresql:u:pw@h/db", True),
        ("postgresql://h/db?password=pw", True),
        ("postgresql://h/db?a=#&sslpassword=pw", True),
        ("postgresql://u@h:5432/db?user=a:b@c", False),
        ("postgresql:///db", False),
    ],
)
def test_a_password_is_found_where_postgresql_finds_it(url: str, has: bool) -> None:
    """A question mark or a hash sign does not end it; a slash does, and then the address is misread."""
    assert has_password(url) is has


@pytest.mark.parametrize(
    ("url", "misread"),
    [
        ("postgresql://u:p/w@h/db", True),
        ("postgresql://u:1/w@h/db", True),
        ("postgresql://u:p@w@h/db", True),
        ("postgresql://u:p@w,x@h/db", True),
        ("postgresql://u@h:5a/db", True),
        ("postgresql://u@h1:5,h2:a/db", True),
        ("postgresql://u:p%2Fw%40x@h:5432/db", False),
        ("postgresql://u:p@h1:5,[::1]:6,[::2],h3:/db", False),
        ("postgresql://%2Frun%2Fpg/db?user=a@b", False),
        ("postgresql:///db?host=/run/postgresql", False),
    ],
)
def test_part_of_a_password_is_not_taken_for_a_place(url: str, misread: bool) -> None:
    """A port is a number, and an @ stands only behind the user or among the parameters."""
    assert is_misread(url) is misread
