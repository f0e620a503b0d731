"""TLS of the server itself: the certificate at the start, its successors, and what speaks no TLS."""

from __future__ import annotations

import socket
import ssl
import subprocess
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httpx
import pytest
from websockets.sync.client import connect

from molecule_approve.errors import ServerError
from molecule_approve.server.limits import Limits
from molecule_approve.server.run import Running, ServePlan
from molecule_approve.server.tls import Certificate
from tests.callers import until
from tests.certificates import KeyPair, new_pair
from tests.integration.raw_http import PLAIN
from tests.server.desk import PATIENCE

if TYPE_CHECKING:
    from molecule_approve.paths import Places


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for certificates."""
    return tmp_path_factory.mktemp("tls")


@pytest.fixture(scope="module")
def pair(folder: Path) -> KeyPair:
    """A certificate that is good."""
    return new_pair(folder)


def _client(pair: KeyPair) -> ssl.SSLContext:
    """What a client trusts that knows this certificate alone."""
    return ssl.create_default_context(cafile=str(pair.cert))


def _served(pair: KeyPair, places: Places, **limits: float) -> ServePlan:
    few = replace(Limits(), **limits)  # type: ignore[arg-type]  # the tests name them rightly
    return ServePlan(places, tls_cert=pair.cert, tls_key=pair.key, limits=few, public_url="https://approve.example.org:8443")


def test_it_serves_rest_and_sockets_over_tls(server_places: Places, pair: KeyPair) -> None:
    """With the address that says so; TLS 1.1 is refused, and plain HTTP gets no answer."""
    with Running(_served(pair, server_places)) as server:
        where = urlsplit(server.url)
        assert where.scheme == "https"
        assert httpx.get(f"{server.url}/health", verify=_client(pair)).status_code == 200
        headers = {"Authorization": f"Bearer {server.requester.token}", "X-Workspace-ID": server.requester.workspace_id}
        with connect(f"wss://{where.netloc}/ws", ssl=_client(pair), additional_headers=headers) as stream:
            assert stream.ping().wait(PATIENCE)
        with pytest.raises(httpx.HTTPError):
            httpx.get(f"http://{where.netloc}/health", timeout=PATIENCE)
        old = _client(pair)
        with pytest.warns(DeprecationWarning, match="TLSv1_1"):
            old.maximum_version = ssl.TLSVersion.TLSv1_1
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{server.url}/health", verify=old)


def test_the_unix_socket_speaks_no_tls(server_places: Places, pair: KeyPair) -> None:
    """It is this user's alone, and its clients know no certificate; one that is restored is like it."""
    with Running(_served(pair, server_places, check_interval=0.05)) as server:
        transport = httpx.HTTPTransport(verify=PLAIN, uds=str(server_places.socket))
        with httpx.Client(transport=transport, base_url="http://localhost") as client:
            assert client.get("/health").status_code == 200
            before = server_places.socket.stat().st_ino
            server_places.socket.unlink()
            until(lambda: server_places.socket.exists() and server_places.socket.stat().st_ino != before, "restored")
        assert server.requester.token
        transport = httpx.HTTPTransport(verify=PLAIN, uds=str(server_places.socket))
        with httpx.Client(transport=transport, base_url="http://localhost") as client:
            assert client.get("/health").status_code == 200


def test_a_new_certificate_is_used_without_a_restart(server_places: Places, tmp_path: Path, pair: KeyPair) -> None:
    """By new connections, as soon as both files are there; what is wrong with them is told, and the old one stays."""
    told: list[str] = []
    own = KeyPair(tmp_path / "live.crt", tmp_path / "live.key")
    _put(own, pair)
    plan = replace(_served(own, server_places, check_interval=0.05), warn=told.append)
    with Running(plan) as server:
        assert _shown(server.url) == _of(pair)
        own.cert.write_text("no certificate")
        until(lambda: told, "a sentence about it")
        assert "the certificate that was read before stays in use" in told[0]
        assert _shown(server.url) == _of(pair)
        newer = new_pair(tmp_path, "newer")
        _put(own, newer)
        until(lambda: _shown(server.url) == _of(newer), "the new one")


def _put(own: KeyPair, other: KeyPair) -> None:
    for target, source in zip(own, other, strict=True):
        new = target.with_suffix(".new")
        new.write_bytes(source.read_bytes())
        new.chmod(0o600)
        new.replace(target)


def _of(pair: KeyPair) -> str:
    return pair.cert.read_text().strip()


def _shown(url: str) -> str:
    where = urlsplit(url)
    return ssl.get_server_certificate((where.hostname or "", where.port or 0)).strip()


def test_a_client_that_does_not_shake_hands_is_dropped(server_places: Places, pair: KeyPair) -> None:
    """After the time for the head of a call, not after uvicorn's minute."""
    with Running(_served(pair, server_places, head_time=0.2)) as server:
        where = urlsplit(server.url)
        with socket.create_connection((where.hostname or "", where.port or 0), PATIENCE) as silent:
            assert silent.recv(1) == b""


def test_a_file_that_is_missing_for_a_moment_changes_nothing(folder: Path, tmp_path: Path) -> None:
    """It is being replaced."""
    own = KeyPair(tmp_path / "live.crt", tmp_path / "live.key")
    _put(own, new_pair(folder, "moved"))
    certificate = Certificate(*own)
    own.key.unlink()
    assert not certificate.refresh()


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o620, 0o601])
def test_a_key_that_others_can_read_is_refused(tmp_path: Path, pair: KeyPair, mode: int) -> None:
    """Whoever has it can pass for this server; a group may read it."""
    own = KeyPair(tmp_path / "live.crt", tmp_path / "live.key")
    _put(own, pair)
    own.key.chmod(mode)
    with pytest.raises(ServerError, match="only its owner and group can read") as caught:
        Certificate(*own)
    assert caught.value.hint == f"chmod 600 {own.key}"
    own.key.chmod(0o640)
    Certificate(*own)


def test_a_key_of_another_certificate_is_told(server_places: Places, folder: Path, pair: KeyPair) -> None:
    """By both paths, and by where the setting comes from."""
    other = new_pair(folder, "other")
    with pytest.raises(ServerError, match=rf"{pair.cert} with the key {other.key}: the key belongs to another certificate"):
        Certificate(pair.cert, other.key)
    plan = replace(_served(pair, server_places), tls_key=other.key, sources={"tls_cert": "server.yaml, line 3: tls_cert"})
    for sources, named in ((plan.sources, "server.yaml, line 3: tls_cert"), ({}, "--tls-cert")):
        with pytest.raises(ServerError, match=f"^{named}: cannot use the certificate") as caught:
            Running(replace(plan, sources=sources)).__enter__()
        assert caught.value.hint


@pytest.mark.parametrize(
    ("begin", "end", "why"),
    [("20200101000000Z", "20200102000000Z", "expired"), ("20980101000000Z", "20991231000000Z", "not yet valid")],
)
def test_a_certificate_out_of_its_time_is_refused(tmp_path: Path, begin: str, end: str, why: str) -> None:
    """At the start, because every client would refuse it."""
    with pytest.raises(ServerError, match=f"clients would refuse the certificate .*: certificate .*{why}"):
        Certificate(*new_pair(tmp_path, begin=begin, end=end))


@pytest.mark.parametrize(
    ("host", "told"), [("approve.example.org", 0), ("[::1]", 1), ("127.0.0.1", 0), ("other.example.org", 1)]
)
def test_a_certificate_for_another_host_is_told(server_places: Places, pair: KeyPair, host: str, told: int) -> None:
    """It serves all the same: a name may be missing by design behind a proxy, which is not told at all."""
    warned: list[str] = []
    plan = replace(_served(pair, server_places), public_url=f"https://{host}", warn=warned.append)
    for proxies in ((), (ip_network("10.0.0.0/8"),)):
        with Running(replace(plan, trusted_proxies=proxies)):
            pass
    assert len(warned) == told
    assert all(f"is not for {host.strip('[]')}, the host of the public address" in sentence for sentence in warned)


def test_files_that_are_none_are_told(tmp_path: Path, pair: KeyPair) -> None:
    """Missing ones, and what is no PEM."""
    with pytest.raises(ServerError, match="cannot read the key"):
        Certificate(pair.cert, tmp_path / "none")
    with pytest.raises(ServerError, match="cannot read the certificate"):
        Certificate(tmp_path / "none", pair.key)
    text = tmp_path / "text"
    text.write_text("text")
    with pytest.raises(ServerError, match="a file is not in PEM format"):
        Certificate(text, pair.key)


def test_an_encrypted_key_is_refused(tmp_path: Path, pair: KeyPair) -> None:
    """Nobody is asked for a password, which nobody could give at night."""
    locked = tmp_path / "locked.key"
    command = ["openssl", "pkey", "-in", str(pair.key), "-aes256", "-passout", "pass:secret", "-out", str(locked)]
    subprocess.run(command, check=True, capture_output=True)
    locked.chmod(0o600)
    with pytest.raises(ServerError, match=f"the key {locked} is encrypted"):
        Certificate(pair.cert, locked)
