"""What can fail before the first call: one server for one state, on loopback, in private folders."""

from __future__ import annotations

import os
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from molecule_approve.errors import ConfigError, ServerError, UsageError
from molecule_approve.paths import Places, who_serves
from molecule_approve.server.run import Running, ServePlan
from molecule_approve.server.starting import address_to_bind, listen_tcp, prepared
from tests.integration.raw_http import PLAIN
from tests.server.desk import PATIENCE


def test_the_lock_says_who_serves_as_long_as_it_serves(server_places: Places) -> None:
    """A second server on the same state is refused, and told who runs."""
    with Running(ServePlan(server_places)) as server:
        found = who_serves(server_places)
        assert found is not None
        assert (found.pid, found.url) == (os.getpid(), server.url)
        with pytest.raises(ServerError, match=f"process {os.getpid()} at {server.url}"), Running(ServePlan(server_places)):
            pass
    assert who_serves(server_places) is None
    assert not server_places.socket.exists()


def test_a_server_that_is_just_starting_is_told_as_that(server_places: Places) -> None:
    """It holds the lock and has not said its address yet."""
    with Running(ServePlan(server_places)):
        server_places.serving.write_text("")
        with pytest.raises(ServerError, match="just starting"), Running(ServePlan(server_places)):
            pass


def test_whoever_only_looks_who_serves_does_not_keep_a_server_from_starting(server_places: Places) -> None:
    """Looking takes the lock for a moment."""
    with Running(ServePlan(server_places)):
        pass
    with ThreadPoolExecutor(1) as pool:
        looking = pool.submit(lambda: [who_serves(server_places) for _ in range(2_000)])
        for _ in range(3):
            with Running(ServePlan(server_places)) as server:
                assert server.url
        looking.result(PATIENCE)


def test_a_port_that_is_taken_is_told(server_places: Places, home: Path) -> None:
    """With a hint; nothing of the second server remains."""
    other = Places(home / "other", home / "other-run")
    with Running(ServePlan(server_places)) as server:
        port = int(server.url.rpartition(":")[2])
        with pytest.raises(ServerError, match=f"port {port}") as caught, Running(ServePlan(other, port=port)):
            pass
    assert "--port 0" in caught.value.hint
    assert not other.socket.exists()


@pytest.mark.parametrize(("host", "other"), [("127.0.0.1", "::1"), ("::1", "127.0.0.1")])
def test_both_loopback_addresses_are_ours(server_places: Places, host: str, other: str) -> None:
    """Whoever had the port of the other one would answer for http://localhost:PORT."""
    with Running(ServePlan(server_places, host)) as server:
        port = int(server.url.rpartition(":")[2])
        for name in ("127.0.0.1", "[::1]", "localhost"):
            assert httpx.get(f"http://{name}:{port}/health").status_code == 200
        with pytest.raises(ServerError, match=f"cannot listen on {other} port {port}: Address already in use"):
            listen_tcp(other, port, None)


def test_localhost_is_ours_where_all_addresses_are(server_places: Places) -> None:
    """On the wildcard of IPv4 it would be somebody else's by its IPv6 address."""
    with Running(ServePlan(server_places, "0.0.0.0", public_url="http://127.0.0.1:1", plain_http=True)) as server:
        port = server._server.sockets[0].getsockname()[1]
        with pytest.raises(ServerError, match=f"cannot listen on ::1 port {port}: Address already in use"):
            listen_tcp("::1", port, None)


def test_a_port_of_which_somebody_has_the_other_loopback_address_is_refused(server_places: Places) -> None:
    """It does not start; the message names the address, the hint says what would come of it."""
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as theirs:
        port = theirs.getsockname()[1]
        with pytest.raises(ServerError, match=f"cannot listen on ::1 port {port}") as caught:
            Running(ServePlan(server_places, port=port)).__enter__()
    assert f"would answer for http://localhost:{port}" in caught.value.hint
    assert who_serves(server_places) is None


def test_where_no_port_is_free_at_both_it_says_so() -> None:
    """With port 0 another one is tried as long as the second address has the chosen one taken; not for ever."""
    with pytest.raises(ServerError, match=r"no port that is free on both 127\.0\.0\.1 and 127\.0\.0\.1"):
        listen_tcp("127.0.0.1", 0, "127.0.0.1")


def test_where_the_machine_lacks_the_other_address_the_first_is_enough() -> None:
    """An address that is not this machine's is nobody's here; the port is another matter."""
    [alone] = listen_tcp("127.0.0.1", 0, "192.0.2.1")
    alone.close()


@pytest.mark.parametrize("port", [70_000, -1])
def test_a_port_that_is_none_is_told(port: int) -> None:
    """As an error of ours."""
    with pytest.raises(ServerError, match=f"cannot listen on 127.0.0.5 port {port}"):
        listen_tcp("127.0.0.5", port, None)


def test_a_folder_in_the_sockets_place_is_told(server_places: Places) -> None:
    """As an error of ours."""
    server_places.runtime.mkdir(mode=0o700)
    server_places.socket.mkdir()
    with pytest.raises(ServerError, match="socket"), Running(ServePlan(server_places)):
        pass


def test_a_socket_that_was_left_behind_is_taken_over(server_places: Places) -> None:
    """A killed server leaves its socket; whoever holds the lock may replace it."""
    server_places.runtime.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(server_places.socket))
    with Running(ServePlan(server_places)) as server:
        transport = httpx.HTTPTransport(verify=PLAIN, uds=str(server.places.socket))
        with httpx.Client(transport=transport, base_url="http://localhost") as client:
            assert client.get("/health").status_code == 200


def test_a_lock_file_that_is_a_link_is_refused(server_places: Places) -> None:
    """Nothing of ours lies behind a link."""
    server_places.state.mkdir(mode=0o700)
    server_places.serving.symlink_to(server_places.state / "elsewhere")
    with pytest.raises(ServerError, match=r"serve\.lock"), Running(ServePlan(server_places)):
        pass


def test_a_state_folder_open_to_others_is_refused(server_places: Places) -> None:
    """What lies in it could be changed by them."""
    server_places.state.mkdir(mode=0o755)
    server_places.state.chmod(0o755)
    with pytest.raises(ConfigError, match="open to other users"), Running(ServePlan(server_places)):
        pass


@pytest.mark.parametrize(("host", "address"), [("localhost", "127.0.0.1"), ("127.0.0.5", "127.0.0.5"), ("::1", "::1")])
def test_a_loopback_address_is_good(server_places: Places, host: str, address: str) -> None:
    """By each of its writings."""
    assert address_to_bind(ServePlan(server_places, host)) == address


PUBLIC = "https://approve.example.org"


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"host": "example.com"}, "--host: 'example.com' is not an address of this machine"),
        ({"host": ""}, "is not an address"),
        ({"host": "0.0.0.0"}, "without TLS tokens would cross the network unprotected"),
        ({"host": "192.168.1.7", "public_url": PUBLIC}, "without TLS tokens would cross the network unprotected"),
        ({"host": "::", "plain_http": True}, "--public-url is missing"),
        ({"host": "::", "tls_cert": Path("c"), "tls_key": Path("k")}, "--public-url is missing"),
        ({"tls_cert": Path("c")}, "--tls-cert: tls_key is missing"),
        ({"tls_key": Path("k")}, "--tls-key: tls_cert is missing"),
        ({"public_url": "http://approve.example.org"}, "--public-url: an http:// address"),
    ],
)
def test_what_would_be_reached_unprotected_is_refused(server_places: Places, more: dict[str, Any], message: str) -> None:
    """Each with the option that is wrong, or alone."""
    with pytest.raises(UsageError, match=message):
        address_to_bind(ServePlan(server_places, **more))


@pytest.mark.parametrize(
    "more",
    [
        {"host": "0.0.0.0", "plain_http": True, "public_url": PUBLIC},
        {"host": "0.0.0.0", "plain_http": True, "public_url": "http://approve.example.org"},
        {"host": "::", "tls_cert": Path("c"), "tls_key": Path("k"), "public_url": PUBLIC},
        {"public_url": "http://127.0.0.1:9999"},
        {"public_url": "http://localhost:9999/approve"},
    ],
)
def test_what_is_protected_or_allowed_is_good(server_places: Places, more: dict[str, Any]) -> None:
    """TLS here, or `--plain-http` with TLS elsewhere; loopback needs neither."""
    plan = ServePlan(server_places, **more)
    assert address_to_bind(plan) == plan.host


@pytest.mark.parametrize(
    ("sources", "kind", "named"),
    [
        ({}, UsageError, "--public-url"),
        ({"public_url": "server.yaml, line 1: public_url"}, ConfigError, "server.yaml, line 1: public_url"),
    ],
)
def test_a_public_path_of_our_own_is_refused_where_it_was_set(
    server_places: Places, sources: dict[str, str], kind: type[Exception], named: str
) -> None:
    """By the option, or by file, line and key."""
    plan = ServePlan(server_places, public_url=f"{PUBLIC}/ws", sources=sources)
    with pytest.raises(kind, match=f"^{named}: the path begins with ws"), prepared(plan):
        pass


def test_a_start_that_fails_is_told_to_whoever_started_it(server_places: Places) -> None:
    """A server in a thread fails before the thread begins."""
    server_places.state.mkdir(mode=0o700)
    server_places.database.mkdir()
    with pytest.raises(ServerError), Running(ServePlan(server_places)):
        pass
