"""TLS under two threads: one reads while the other writes, and neither waits for the network in the other's way."""

from __future__ import annotations

import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import pytest

from molecule_approve.client.dial import Handle, dial, start_tls, tls_context
from molecule_approve.client.shared_tls import SharedTls
from molecule_approve.client.stream import open_stream
from molecule_approve.model import Endpoint, Secret
from molecule_approve.server.run import Running, ServePlan
from tests.certificates import new_pair
from tests.client.fakes import Peer, endpoint, soon

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from molecule_approve.paths import Places
    from tests.client.conftest import Certificate
    from tests.integration.raw_http import Channel

LARGE = 4 * 1024 * 1024
"""Bytes that fit into no buffer on the way."""


@contextmanager
def shared(certificate: Certificate, script: Callable[[ssl.SSLSocket], object]) -> Iterator[SharedTls]:
    """A connection to a peer with this script."""

    def talk(channel: Channel, _number: int) -> None:
        channel.sock = secure = certificate.server.wrap_socket(channel.sock, server_side=True)
        script(secure)

    grip = Handle()
    with Peer(talk) as peer:
        sock = start_tls(dial(endpoint(peer.url), soon(), grip), tls_context(), "localhost", soon(), grip)
        with closing(SharedTls(sock)) as found:
            yield found


def _receive(sock: SharedTls, size: int) -> int:
    received = 0
    while received < size:
        received += len(sock.recv(65_536))
    return received


def test_one_thread_writes_while_another_one_reads(trusted: Certificate) -> None:
    """More than fits on the way, in both directions, through a peer that sends back what it gets."""

    def echo(peer: ssl.SSLSocket) -> None:
        left = LARGE
        while left:
            data = peer.recv(65_536)
            peer.sendall(data)
            left -= len(data)

    with shared(trusted, echo) as sock, ThreadPoolExecutor(1) as reader:
        received = reader.submit(_receive, sock, LARGE)
        sock.sendall(b"x" * LARGE)
        assert received.result(30) == LARGE


def test_a_peer_that_says_or_takes_nothing_is_waited_for_as_long_as_said(trusted: Certificate) -> None:
    """Reading and writing end with a timeout each."""
    over = threading.Event()
    with shared(trusted, lambda _peer: over.wait(30)) as sock:
        sock.settimeout(0.01)
        with pytest.raises(TimeoutError):
            sock.recv(1)
        with pytest.raises(TimeoutError):
            sock.sendall(b"x" * LARGE * 4)
        over.set()


def test_a_shutdown_reaches_the_thread_that_reads(trusted: Certificate) -> None:
    """It reads the end, at once; afterwards the socket is good for nothing."""
    over = threading.Event()

    def greet(peer: ssl.SSLSocket) -> None:
        peer.sendall(b"hello")
        over.wait(30)

    with shared(trusted, greet) as sock, ThreadPoolExecutor(1) as reader:
        assert sock.recv(5) == b"hello"
        received = reader.submit(sock.recv, 1)
        sock.shutdown(socket.SHUT_RDWR)
        assert received.result(10) == b""
        sock.close()
        with pytest.raises(OSError, match="Bad file descriptor"):
            sock.recv(1)
        over.set()


@pytest.mark.soak
def test_no_handshake_of_a_stream_is_lost(server_places: Places, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the lock about one in twenty waited for ever: its request was lost below it."""
    pair = new_pair(tmp_path / "tls")
    monkeypatch.setenv("SSL_CERT_FILE", str(pair.cert))
    plan = ServePlan(server_places, tls_cert=pair.cert, tls_key=pair.key)
    with Running(plan) as server:
        where = Endpoint(server.url, server.requester.workspace_id, Secret(server.requester.token))
        for _ in range(200):
            open_stream(where, soon(), Handle()).close()
