"""Where a call comes from, as far as browsers say it: names that were rebound, foreign pages, other sites."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest

from molecule_approve.server.browsers import Addresses

if TYPE_CHECKING:
    from tests.server.desk import Desk


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "localhost:1", "molecule-approve"])
def test_a_foreign_host_name_is_refused(desk: Desk, host: str) -> None:
    """A name that was rebound to loopback reaches nothing, with whatever token."""
    answer = desk.asker.get(desk.path, headers={"Host": host})
    assert (answer.status_code, answer.json()["code"]) == (421, "wrong_host")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "LOCALHOST"])
def test_every_usual_name_of_the_server_is_good(desk: Desk, host: str) -> None:
    """With its port."""
    port = desk.server.url.rpartition(":")[2]
    assert desk.asker.get(desk.path, headers={"Host": f"{host}:{port}"}).status_code == 200


def test_the_usual_port_may_be_left_out() -> None:
    """As clients do with the port of http://; with any other port they never do."""
    assert "localhost" in Addresses.of("127.0.0.1", 80).hosts
    assert Addresses.of("::1", 8788).hosts == {"[::1]:8788", "127.0.0.1:8788", "localhost:8788"}


def test_a_foreign_origin_is_refused(desk: Desk) -> None:
    """A web page elsewhere can do nothing here; our own address can."""
    for origin, status in (("https://evil.example", 403), ("null", 403), (desk.server.url, 200)):
        assert desk.asker.get(desk.path, headers={"Origin": origin}).status_code == status


def test_the_unix_socket_serves_the_same(desk: Desk) -> None:
    """REST over the socket in the runtime folder, under the name `localhost`; another name is refused there, too."""
    transport = httpx.HTTPTransport(uds=str(desk.server.places.socket))
    with httpx.Client(transport=transport, base_url="http://localhost", headers=desk.asker.headers) as client:
        assert client.get(desk.path).json() == []
        assert client.get(desk.path, headers={"Host": "evil.example"}).status_code == 421
    assert desk.server.places.runtime.stat().st_mode & 0o777 == 0o700
    assert desk.server.places.socket.stat().st_mode & 0o777 == 0o600
