"""A server that runs: under its address, with quick answers, to a clean end."""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from molecule_approve.errors import ServerError
from molecule_approve.paths import Places, locate, read_requester, who_serves
from molecule_approve.server.run import Running, ServePlan
from tests.server.desk import PATIENCE, Desk, desk_of
from tests.server.serving import environment, serving

if TYPE_CHECKING:
    from tests.server.conftest import OpenDesk


def test_the_server_answers_under_the_address_it_was_given(open_desk: OpenDesk) -> None:
    """Also another loopback address than the usual one, and IPv6 where the machine has it."""
    desk = open_desk(host="127.0.0.5")
    assert desk.server.url.startswith("http://127.0.0.5:")
    assert desk.asker.get(desk.path).status_code == 200


def test_answers_do_not_wait_for_the_peers_acknowledgement(desk: Desk) -> None:
    """TCP_NODELAY is on at the server's end of a connection: without it each answer would take 40 ms more."""
    where = urlsplit(desk.server.url)
    with socket.create_connection((where.hostname or "", where.port or 0), PATIENCE) as client:
        client.sendall(f"GET /health HTTP/1.1\r\nHost: {where.netloc}\r\n\r\n".encode())
        assert client.recv(100).startswith(b"HTTP/1.1 200")
        with _other_end(client) as served:
            assert served.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1


def _other_end(client: socket.socket) -> socket.socket:
    """The server's socket of this connection, found among the process's own handles."""
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 - the names are all that is wanted
        with suppress(OSError), ExitStack() as stack:
            found = stack.enter_context(socket.socket(fileno=os.dup(int(name))))
            if found.family == socket.AF_INET and found.getpeername() == client.getsockname():
                stack.pop_all()
                return found
    raise AssertionError("the connection has no other end here")


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_it_cleanly_with_sockets_open_and_answers_held(home: Path, signum: signal.Signals) -> None:
    """0, in under three seconds; sockets get a close frame, held answers are given, the socket file is gone."""
    places = locate(environment(home))
    with serving(home) as (process, url), ExitStack() as stack:
        requester = read_requester(places)
        assert requester is not None
        headers = {"Authorization": f"Bearer {requester.token}", "X-Workspace-ID": requester.workspace_id}
        path = f"{url}/workspaces/{requester.workspace_id}/approvals"
        approval_id = httpx.post(path, headers=headers, json={"action": "a"}).json()["approval_id"]
        ws_url = url.replace("http", "ws") + "/ws"
        streams = [stack.enter_context(connect(ws_url, additional_headers=headers)) for _ in range(3)]
        idle = stack.enter_context(httpx.Client(base_url=url))
        idle.get("/health")
        where = urlsplit(url)
        held = stack.enter_context(socket.create_connection((where.hostname or "", where.port or 0), PATIENCE))
        held.sendall(_get(url, f"{urlsplit(path).path}/{approval_id}?wait=50", requester.token))
        # Answered on another connection after the held one was sent: the server has it in hand.
        assert idle.get("/health").status_code == 200
        began = time.monotonic()
        process.send_signal(signum)
        assert process.wait(PATIENCE) == 0
        assert time.monotonic() - began < 8
        assert json.loads(held.recv(65_536).partition(b"\r\n\r\n")[2])["status"] == "pending"
        for stream in streams:
            with pytest.raises(ConnectionClosed) as caught:
                stream.recv(PATIENCE)
            assert caught.value.rcvd is not None
            # "Service restart": come back.
            assert caught.value.rcvd.code == 1012
    assert not places.socket.exists()
    assert who_serves(places) is None


def test_refused_sockets_do_not_fill_the_terminal(home: Path) -> None:
    """Any web page can try to open one; what is refused is no fault of the server's."""
    with serving(home) as (process, url):
        for headers in ({}, {"Origin": "https://evil.example"}, {"Authorization": "Bearer wrong", "X-Workspace-ID": "w"}):
            with pytest.raises(InvalidStatus), connect(url.replace("http", "ws") + "/ws", additional_headers=headers):
                pass
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=PATIENCE)
    assert [line for line in err.splitlines() if not line.startswith("molecule-approve: ")] == []


def _get(url: str, path: str, token: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: {urlsplit(url).netloc}\r\nAuthorization: Bearer {token}\r\n\r\n".encode()


@pytest.mark.parametrize("farewell", [b"", b"\x88\x80\0\0\0\0"])
def test_a_stop_does_not_wait_for_a_socket_that_does_not_read(open_desk: OpenDesk, farewell: bytes) -> None:
    """Its connection is dropped after the time that a clean stop takes at most, also where it has said goodbye."""
    desk = open_desk(stop=0.2)
    with desk.lazy() as lazy:
        for _ in range(60):
            desk.ask("\u6f22" * 4_096, reason="\u6f22" * 16_384)
        lazy.sendall(farewell)
        desk.ask("something that is answered after the farewell has come")
        began = time.monotonic()
        desk.server.stop()
        assert time.monotonic() - began < 8
        desk.server.stop()


def test_a_server_that_fails_inside_stops_and_says_so(server_places: Places) -> None:
    """It does not go on without its timer: whoever runs it gets the error, the lock and the sockets are free again."""
    with Running(ServePlan(server_places)) as server, desk_of(server) as desk:
        desk.ask()
    with closing(sqlite3.connect(server_places.database)) as database, database:
        database.execute("UPDATE approvals SET expires = 'never'")
    with pytest.raises(ServerError, match="internal error"), Running(ServePlan(server_places)) as server:
        server.join()
    assert who_serves(server_places) is None
    assert not server_places.socket.exists()


def test_a_server_that_fails_before_it_serves_is_told_on_entry(server_places: Places) -> None:
    """What the start itself stumbles over reaches the `with`."""
    with Running(ServePlan(server_places)) as server, desk_of(server) as desk:
        desk.decide(desk.ask())
    with closing(sqlite3.connect(server_places.database)) as database, database:
        database.execute("UPDATE journal SET journaled = 0")
        database.execute("UPDATE approvals SET status = 'nonsense'")
    with pytest.raises(ValueError, match="nonsense"), Running(ServePlan(server_places)):
        pass
    assert not server_places.socket.exists()


def test_a_crowd_at_once_does_not_use_up_the_open_files(home: Path) -> None:
    """All that came while the server was held up are queued, on the Unix socket too, and few are accepted at a time."""
    with serving(home, through=("sh", "-c", 'ulimit -n 120; exec "$@"', "sh")) as (process, url), ExitStack() as stack:
        [private] = [path for path in home.rglob("*") if path.is_socket()]
        process.send_signal(signal.SIGSTOP)
        for family, address in ((socket.AF_UNIX, str(private)), (socket.AF_INET, ("127.0.0.1", urlsplit(url).port))):
            for _ in range(200):
                waiting = stack.enter_context(socket.socket(family))
                waiting.settimeout(PATIENCE)
                waiting.connect(address)
        process.send_signal(signal.SIGCONT)
        with socket.create_connection(("127.0.0.1", urlsplit(url).port or 0), PATIENCE) as last:
            last.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert last.recv(12) == b"HTTP/1.1 200"
        process.send_signal(signal.SIGTERM)
        assert "cannot accept connections" not in process.communicate(timeout=PATIENCE)[1]


_OUT_OF_THREADS = """
import asyncio, os, signal, threading
from dataclasses import replace
from molecule_approve.errors import ServerError
from molecule_approve.paths import locate
from molecule_approve.server import run
from molecule_approve.server.limits import Limits

def ready(server):
    threading.stack_size(1 << 46)  # more than a process can have: the system starts no thread, until the job has ended
    [job] = [task for task in asyncio.all_tasks() if task.get_coro().__name__ == "follow"]
    job.add_done_callback(lambda _: threading.stack_size(0))
    os.kill(os.getpid(), signal.SIGHUP)

plan = run.ServePlan(locate(os.environ), limits=replace(Limits(), check_interval=3600.0), read_policy=lambda: None)
try:
    run.serve(plan, ready)
except ServerError as exc:
    print(exc.message, exc.hint, sep="\\n")
"""


def test_a_server_that_gets_no_further_thread_says_so(home: Path) -> None:
    """Also long after its start, here where a signal lets it read its policy again."""
    command = [sys.executable, "-c", _OUT_OF_THREADS]
    told = subprocess.run(command, env=environment(home), capture_output=True, text=True, timeout=PATIENCE, check=False)
    hint = "the user's process limit may be reached (ulimit -u)"
    assert (told.stdout, told.stderr) == (f"the server cannot run: can't start new thread\n{hint}\n", "")
