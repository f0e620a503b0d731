"""Who sends a call: forged headers, trusted proxies, and by which key calls are counted."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING

import pytest

from molecule_approve.server.senders import Sender, sender_of
from tests.server.calling import called

if TYPE_CHECKING:
    from molecule_approve.server.calls import HttpCall

PROXIES = (ip_network("127.0.0.1"), ip_network("10.0.0.0/8"), ip_network("2001:db8::/32"))


def _found(call: HttpCall) -> Sender:
    return sender_of(call.scope, call.headers, PROXIES)


def _sender(client: str, *forwarded: str, header: str = "x-forwarded-for") -> Sender:
    headers = [(header.encode(), text.encode()) for text in forwarded]
    return _found(called(server=("10.0.0.1", 443), client=(client, 5000), headers=headers))


@pytest.mark.parametrize(
    ("client", "forwarded", "address"),
    [
        # Nobody of ours: what it says about itself is not read.
        ("203.0.113.5", ("127.0.0.1",), "203.0.113.5"),
        ("203.0.113.5", ("10.0.0.1, 127.0.0.1",), "203.0.113.5"),
        ("203.0.113.5", (), "203.0.113.5"),
        # One proxy: the last entry is its own, those before it are the client's word.
        ("127.0.0.1", ("203.0.113.5",), "203.0.113.5"),
        ("127.0.0.1", ("127.0.0.1, 203.0.113.5",), "203.0.113.5"),
        ("127.0.0.1", ("198.51.100.1", "203.0.113.5"), "203.0.113.5"),
        ("127.0.0.1", ("203.0.113.5:4711",), "203.0.113.5"),
        ("127.0.0.1", ("[2001:470::5]:4711",), "2001:470::5"),
        ("127.0.0.1", ("2001:470::5",), "2001:470::5"),
        ("::ffff:127.0.0.1", ("::ffff:203.0.113.5",), "203.0.113.5"),
        # Several proxies in a row, all of ours.
        ("127.0.0.1", ("198.51.100.1, 203.0.113.5, 10.1.1.1",), "203.0.113.5"),
        ("2001:db8::1", ("203.0.113.5, 10.1.1.1, 10.1.1.2",), "203.0.113.5"),
        ("127.0.0.1", ("10.1.1.1",), "10.1.1.1"),
        # What no proxy of ours writes ends the row.
        ("127.0.0.1", ("203.0.113.5, unknown",), "127.0.0.1"),
        ("127.0.0.1", ("203.0.113.5, unknown, 10.1.1.1",), "10.1.1.1"),
        ("127.0.0.1", ("",), "127.0.0.1"),
        ("127.0.0.1", (), "127.0.0.1"),
    ],
)
def test_the_word_of_trusted_proxies_counts_and_no_other(client: str, forwarded: tuple[str, ...], address: str) -> None:
    """The address is that of the first one, seen from here, who is no proxy of ours."""
    assert _sender(client, *forwarded).address == ip_address(address)


def test_a_program_of_this_machine_is_told_from_a_proxy_here() -> None:
    """By the header that proxies add: behind it may be anybody, also one who pretends to be here."""
    assert _sender("127.0.0.1").is_local
    assert _sender("::1").is_local
    assert not _sender("127.0.0.1", "203.0.113.5").is_local
    assert not _sender("127.0.0.1", "127.0.0.1").is_local
    assert not _sender("127.0.0.1", "unknown").is_local
    assert not _sender("203.0.113.5").is_local


@pytest.mark.parametrize("client", ["127.0.0.1", "127.0.0.2"], ids=["trusted", "not named"])
@pytest.mark.parametrize(
    "header", ["Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-IP"]
)
def test_a_proxy_here_that_tells_nothing_of_its_client_is_no_program_of_this_machine(client: str, header: str) -> None:
    """Also one that was not named, and that calls us by a name of our own: ``/metrics`` is not for its callers."""
    found = _sender(client, "", header=header.lower())
    assert (str(found.address), found.is_local) == (client, False)


def test_a_long_row_is_read_from_its_end_and_not_for_ever() -> None:
    """What a proxy of ours adds stands last."""
    assert _sender("127.0.0.1", ",".join(["10.0.0.1"] * 5_000)).address == ip_address("10.0.0.1")


def test_calls_are_counted_by_address_beyond_loopback() -> None:
    """One key for all of loopback, one for each IPv4 address, one for each IPv6 network of 64 bits."""
    assert {_sender(client).counted_as for client in ("127.0.0.1", "127.0.0.9", "::1")} == {"over TCP"}
    assert _sender("203.0.113.5").counted_as == "from 203.0.113.5"
    assert _sender("2001:470:1:2::5").counted_as == _sender("2001:470:1:2:ffff::6").counted_as
    assert _sender("2001:470:1:2::5").counted_as != _sender("2001:470:1:3::5").counted_as


def test_the_unix_socket_is_local_and_counted_apart() -> None:
    """Whatever a caller there says of proxies."""
    found = _found(called(server=("/run/x", None), client=None, headers=[(b"x-forwarded-for", b"203.0.113.5")]))
    assert (found.is_local, found.counted_as) == (True, "on the socket")


def test_who_has_gone_already_is_nobody_of_this_machine() -> None:
    """The system does not tell the address of a connection that has ended."""
    found = _found(called(server=("127.0.0.1", 1), client=None))
    assert (found.address, found.is_local, found.is_in(PROXIES)) == (None, False, False)


def test_an_address_is_in_a_network() -> None:
    """Of its own kind."""
    assert _sender("10.1.2.3").is_in(PROXIES)
    assert not _sender("203.0.113.5").is_in(PROXIES)
    assert not _sender("2001:470::5").is_in(PROXIES)
