"""Connections whose clients have not shaken hands: they count, they make room, and they lock nobody out."""

from __future__ import annotations

import socket
import sqlite3
import ssl
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httpx
import pytest

from molecule_approve.server.limits import Limits
from molecule_approve.server.run import Running, ServePlan
from tests.certificates import KeyPair, new_pair
from tests.server.desk import PATIENCE

if TYPE_CHECKING:
    from molecule_approve.paths import Places


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> KeyPair:
    """A certificate that is good."""
    return new_pair(tmp_path_factory.mktemp("tls"))


@contextmanager
def served(pair: KeyPair, places: Places, connections: int) -> Iterator[Running]:
    """A server with TLS, which gives its clients all the time of the world, but not many connections."""
    few = replace(Limits(), connections=connections, head_time=600.0, database_patience=5.0)
    plan = ServePlan(places, tls_cert=pair.cert, tls_key=pair.key, limits=few, public_url="https://approve.example.org:8443")
    with Running(plan) as server:
        yield server


def dial(server: Running) -> socket.socket:
    """A connection on which nothing was said."""
    where = urlsplit(server.url)
    return socket.create_connection((where.hostname or "", where.port or 0), PATIENCE)


def ended(connection: socket.socket) -> bool:
    """Whether the server has closed it, or does so in time."""
    try:
        return connection.recv(1) == b""
    except ConnectionError:
        return True


def trusting(pair: KeyPair) -> ssl.SSLContext:
    """What a client trusts that knows this certificate alone."""
    return ssl.create_default_context(cafile=str(pair.cert))


def test_strangers_who_do_not_shake_hands_lock_nobody_out(server_places: Places, pair: KeyPair) -> None:
    """The one that has been silent longest makes room, at once; whoever shakes hands is served."""
    with served(pair, server_places, connections=60) as server, ExitStack() as stack:
        silent = [stack.enter_context(dial(server)) for _ in range(11)]
        assert ended(silent[0])
        assert httpx.get(f"{server.url}/health", verify=trusting(pair)).status_code == 200
        assert ended(silent[1])
        silent[-1].settimeout(0.2)
        with pytest.raises(TimeoutError):
            silent[-1].recv(1)


def test_who_gave_up_shaking_hands_counts_no_more(server_places: Places, pair: KeyPair) -> None:
    """Neither who left, nor who speaks no TLS: the one that is there stays."""
    with served(pair, server_places, connections=12) as server, dial(server) as silent:
        for said in (b"", b"GET / HTTP/1.1\r\n\r\n"):
            for _ in range(3):
                with dial(server) as brief:
                    brief.sendall(said)
                    brief.shutdown(socket.SHUT_WR)
                    while not ended(brief):  # TLS says goodbye
                        pass
        silent.settimeout(0.2)
        with pytest.raises(TimeoutError):
            silent.recv(1)


def test_where_all_are_busy_nobody_shakes_hands(server_places: Places, pair: KeyPair) -> None:
    """The next connection is closed, and no call is broken off for it."""
    with (
        served(pair, server_places, connections=6) as server,
        closing(_locked(server)) as holder,
        dial(server) as raw,
        trusting(pair).wrap_socket(raw, server_hostname="127.0.0.1") as busy,
    ):
        busy.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        while not busy.recv(65_536).endswith(b"}"):
            pass
        busy.sendall(_ask(server))
        with dial(server) as late:
            assert ended(late)
        holder.execute("ROLLBACK")
        assert busy.recv(12) == b"HTTP/1.1 201"


def _locked(server: Running) -> sqlite3.Connection:
    """The server's database, held, so that a call without a known credential takes its time."""
    holder = sqlite3.connect(server.places.database, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    return holder


def _ask(server: Running) -> bytes:
    path = f"/workspaces/{server.requester.workspace_id}/approvals"
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {server.requester.token}\r\n"
    return f'{head}Content-Length: 14\r\n\r\n{{"action":"a"}}'.encode()
