"""A public address: its name, port and path, behind a proxy or not, and what still works on this machine."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from molecule_approve.errors import UsageError
from molecule_approve.paths import Places, who_serves
from molecule_approve.server.app import route_specs
from molecule_approve.server.limits import Limits
from molecule_approve.server.origins import FIRST_SEGMENTS, PublicAddress
from molecule_approve.server.run import Running, ServePlan
from tests.integration.raw_http import PLAIN
from tests.server.desk import PATIENCE, Desk, desk_of
from tests.server.test_sweep import unborn

if TYPE_CHECKING:
    from websockets.sync.connection import Connection

SECURE = "https://approve.example.org"
CLIENT = {"X-Forwarded-For": "203.0.113.5"}


@contextmanager
def _public(places: Places, url: str, **limits: int) -> Iterator[Desk]:
    """A server behind a proxy of this machine."""
    few = replace(Limits(), **limits)
    plan = ServePlan(places, public_url=url, trusted_proxies=(ip_network("127.0.0.0/8"),), limits=few, plain_http=True)
    with Running(plan) as server, desk_of(server) as desk:
        yield desk


@pytest.fixture(scope="module")
def public_desk() -> Iterator[Desk]:
    """One server for the tests whom others' requests do not disturb."""
    with TemporaryDirectory(prefix="ma-") as folder:
        places = Places(Path(folder) / "state", Path(folder) / "run")
        with _public(places, f"{SECURE}/approve") as desk:
            yield desk


def _through(desk: Desk, path: str, host: str = "approve.example.org", **headers: str) -> httpx.Response:
    """What the proxy passes on."""
    return desk.asker.get(path, headers={"Host": host, **CLIENT, **headers})


@pytest.mark.parametrize("host", ["approve.example.org", "APPROVE.example.org", "approve.example.org:443"])
def test_the_public_name_is_good(public_desk: Desk, host: str) -> None:
    """In any case, and with the port that https has anyway."""
    assert _through(public_desk, public_desk.path, host).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        *("approve.example.org:8788", "approve.example.org:80", "approve.example.org.", "x.approve.example.org"),
        *("127.0.0.1", "localhost", "localhost:8788", "evil.example", "approve.example.org@evil.example", ""),
    ],
)
def test_through_the_proxy_no_other_name_is_good(public_desk: Desk, host: str) -> None:
    """Not even a name of this machine: then the proxy has not passed on what its client called."""
    answer = _through(public_desk, public_desk.path, host)
    assert (answer.status_code, answer.json()["code"]) == (421, "wrong_host")
    assert "open https://approve.example.org/approve/; the proxy must pass on" in answer.json()["error"]


@pytest.mark.parametrize("name", ["X-Forwarded-Host", "Forwarded", "X-Forwarded-Proto", "X-Host", "X-Original-Host"])
def test_no_header_speaks_for_the_host(public_desk: Desk, name: str) -> None:
    """A rebound page may set any header, and proxies let them pass."""
    forged = {name: "approve.example.org", "Forwarded": "host=approve.example.org;proto=https"}
    assert _through(public_desk, public_desk.path, "evil.example", **forged).status_code == 421


def test_programs_of_this_machine_still_reach_it(public_desk: Desk) -> None:
    """By its usual names, on loopback and on the Unix socket, under the paths without the public one."""
    assert public_desk.asker.get(public_desk.path).status_code == 200
    transport = httpx.HTTPTransport(verify=PLAIN, uds=str(public_desk.server.places.socket))
    with httpx.Client(transport=transport, base_url="http://localhost", headers=public_desk.asker.headers) as client:
        assert client.get(public_desk.path).status_code == 200
        assert client.post(public_desk.path, json={"action": "a"}).headers["location"].startswith("/workspaces/")
        assert client.get(public_desk.path, headers={"Host": "evil.example"}).status_code == 421


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        (SECURE, 200),
        ("http://approve.example.org", 403),
        ("https://approve.example.org:8443", 403),
        ("https://evil.example", 403),
        ("http://localhost:8788", 403),
        ("null", 403),
    ],
)
def test_the_page_is_ours_under_the_public_origin(public_desk: Desk, origin: str, status: int) -> None:
    """Whatever the proxy speaks with us."""
    assert _through(public_desk, public_desk.path, Origin=origin).status_code == status


@pytest.mark.parametrize("prefix", ["", "/approve"])
def test_a_sub_path_is_served_whether_the_proxy_removes_it_or_not(public_desk: Desk, prefix: str) -> None:
    """REST with its Location, the page with its base, its files, and the event stream."""
    host = {"Host": "approve.example.org", **CLIENT}
    made = public_desk.asker.post(f"{prefix}{public_desk.path}", json={"action": "a"}, headers=host)
    assert made.headers["location"] == f"/approve{public_desk.path}/{made.json()['approval_id']}"
    page = _through(public_desk, f"{prefix}/requests/{made.json()['approval_id']}")
    assert '<base href="/approve/">' in page.text
    assert "connect-src 'self' wss://approve.example.org;" in page.headers["content-security-policy"]
    assert _through(public_desk, f"{prefix}/static/inbox.js").status_code == 200
    headers = {"Authorization": f"Bearer {public_desk.server.requester.token}", "X-Workspace-ID": public_desk.workspace_id}
    with _stream(public_desk, f"ws://approve.example.org{prefix}/ws", {**headers, **CLIENT}):
        pass
    with pytest.raises(InvalidStatus, match="421"), _stream(public_desk, f"ws://evil.example{prefix}/ws", headers):
        pass


def _stream(desk: Desk, url: str, headers: dict[str, str]) -> Connection:
    """An event stream as the proxy passes it on, with the host of this address."""
    where = urlsplit(desk.server.url)
    reached = socket.create_connection((where.hostname or "", where.port or 0), PATIENCE)
    return connect(url, sock=reached, additional_headers=headers, compression=None, close_timeout=1)


def test_the_page_itself_is_below_the_path_with_and_without_a_slash(public_desk: Desk) -> None:
    """Its base says where its files are; a path that only begins like it is another one."""
    assert _through(public_desk, "/approve").text == _through(public_desk, "/approve/").text
    assert _through(public_desk, "/approvex").status_code == 404
    assert _through(public_desk, "/approve/nothing").text == "404 page not found"


def test_a_person_at_a_wrong_address_gets_a_page(public_desk: Desk) -> None:
    """With a link to the right one, and nothing of the wrong one; programs get JSON."""
    page = _through(public_desk, "/approve/", "evil.example", Accept="text/html,application/xhtml+xml,*/*;q=0.8")
    assert json.loads(_through(public_desk, "/", "evil.example").text)["code"] == "wrong_host"
    assert (page.status_code, page.headers["content-type"]) == (421, "text/html; charset=utf-8")
    assert '<a href="https://approve.example.org/approve/">' in page.text
    assert "evil" not in page.text
    assert "script-src" not in page.headers["content-security-policy"]
    assert "default-src 'none'" in page.headers["content-security-policy"]


def test_links_and_the_lock_file_name_the_public_address(server_places: Places) -> None:
    """That is what people open."""
    with _public(server_places, f"{SECURE}:8443/approve") as desk:
        found = who_serves(server_places)
        assert found is not None
        assert found.url == f"{SECURE}:8443/approve"
        assert _through(desk, desk.path, "approve.example.org:8443").status_code == 200
        assert _through(desk, desk.path).status_code == 421


@pytest.mark.parametrize("host", ["[2001:db8::7]:8443", "[2001:DB8::7]:8443"])
def test_the_public_address_may_be_a_number(server_places: Places, host: str) -> None:
    """With or without a port, as in any URL."""
    with _public(server_places, "https://[2001:db8::7]:8443") as desk:
        assert _through(desk, desk.path, host).status_code == 200
        assert _through(desk, desk.path, host, Origin="https://[2001:db8::7]:8443").status_code == 200
        assert _through(desk, desk.path, "[2001:db8::7]").status_code == 421


def test_failed_logins_count_for_each_client_behind_the_proxy(server_places: Places) -> None:
    """Who guesses locks out nobody else, and what it says of itself before the proxy's own word changes nothing."""
    with _public(server_places, SECURE, failed_login_rate=2, unauthenticated_rate=2) as desk, desk.client("wrong") as guess:

        def status(forwarded: str, path: str = desk.path) -> int:
            headers = {"Host": "approve.example.org", "X-Forwarded-For": forwarded}
            return guess.get(path, headers=headers).status_code

        assert [status("203.0.113.5") for _ in range(3)] == [401, 401, 429]
        assert [status(f"198.51.100.{number}, 203.0.113.5") for number in range(3)] == [429, 429, 429]
        assert [status("203.0.113.6") for _ in range(3)] == [401, 401, 429]
        assert [guess.get(desk.path).status_code for _ in range(3)] == [401, 401, 429]
        with desk.client(None) as stranger:
            headers = {"Host": "approve.example.org", **CLIENT}
            assert [stranger.get("/health", headers=headers).status_code for _ in range(3)] == [200, 200, 429]
            assert stranger.get("/health").status_code == 200


def test_a_path_that_begins_like_our_own_is_refused() -> None:
    """Nobody could tell whether the proxy has removed it."""
    for segment in sorted(FIRST_SEGMENTS):
        with pytest.raises(UsageError, match=f"begins with {segment}"):
            PublicAddress.of(f"{SECURE}/{segment}/x")
    own = {route.path.split("/")[1] for route in route_specs(unborn())} - {""}
    assert own | {"ws", "openapi.json"} <= FIRST_SEGMENTS


def _own_address() -> str:
    """An address of this machine beyond loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        try:
            asked.connect(("203.0.113.1", 9))  # nothing is sent
        except OSError:
            pytest.skip("this machine has no address beyond loopback")
        return str(asked.getsockname()[0])


def test_beyond_loopback_callers_are_told_apart(server_places: Places) -> None:
    """Under the public name alone, each with its own rate; this machine's names and its numbers are for loopback."""
    limits = replace(Limits(), unauthenticated_rate=2)
    plan = ServePlan(server_places, "0.0.0.0", public_url="http://approve.example.org", plain_http=True, limits=limits)
    with Running(plan) as server, httpx.Client(trust_env=False) as caller:
        port, own = urlsplit(server.url).port, _own_address()

        def status(address: str, host: str, path: str = "/health") -> int:
            forged = {"X-Forwarded-For": "127.0.0.1"} if address == own else {}
            headers = {"Host": host, **forged}
            return caller.get(f"http://{address}:{port}{path}", headers=headers).status_code

        assert [status(own, name) for name in ("localhost", "127.0.0.1", own, f"0.0.0.0:{port}")] == [421] * 4
        assert [status(own, "approve.example.org") for _ in range(3)] == [200, 200, 429]
        assert [status("127.0.0.1", f"localhost:{port}") for _ in range(3)] == [200, 200, 429]
        assert [status(own, "approve.example.org", path) for path in ("/metrics", "/readyz")] == [403, 200]
        assert status("127.0.0.1", f"localhost:{port}", "/metrics") == 403
