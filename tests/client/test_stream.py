"""The event stream, against peers that speak it well and badly."""

from __future__ import annotations

import gc
import logging
import socket
import threading
import time
import uuid
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import pytest

from molecule_approve.client.dial import Handle
from molecule_approve.client.rest import RestPlatform
from molecule_approve.client.stream import MESSAGE_LIMIT, Stream, open_stream, origin_of
from molecule_approve.errors import (
    ApprovalError,
    CredentialError,
    DisconnectedError,
    PlatformError,
    RejectedError,
    UnavailableError,
)
from molecule_approve.model import Endpoint, Secret, Status
from tests.callers import until
from tests.client.fakes import OURS, WORKSPACE, Peer, endpoint, soon
from tests.client.fakes import request as asked
from tests.integration.behaviours import close_and_linger, close_at_once, cut_at_once, deaf, dripping_socket, wrong_accept
from tests.integration.fake_words import event
from tests.integration.raw_http import TEXT, Channel, Reply, Request, frame, read_request, switching

if TYPE_CHECKING:
    from molecule_approve.server.run import Running
    from tests.client.conftest import Certificate
    from tests.integration.fake_platform import Behaviour, FakePlatform

BINARY, PONG = 2, 10
APPROVED = event("APPROVAL_APPROVED", WORKSPACE, {"approval_id": OURS, "decision": "approved", "decided_by": "alice"})
FLAT = f'{{"event": "APPROVAL_DECIDED", "approval_id": "{OURS}", "status": "denied", "decided_by": "bob"}}'


def saying(*frames: bytes, seen: list[Request] | None = None) -> Callable[[Channel, int], None]:
    """Open the WebSocket, send these frames, and listen."""

    def script(channel: Channel, _number: int) -> None:
        request = read_request(channel)
        if seen is not None:
            seen.append(request)
        channel.send(switching(request.headers["sec-websocket-key"]) + b"".join(frames))
        channel.wait_for_end()

    return script


@contextmanager
def listening(peer: Peer, **fields: object) -> Iterator[Stream]:
    """A stream from the peer."""
    with closing(open_stream(endpoint(peer.url, **fields), soon(), Handle())) as stream:
        yield stream


def hear_the_end(stream: Stream) -> None:
    """Listen in short turns, as the wait does: an end is told at the latest when a turn is over."""
    for _ in range(50):
        stream.next(0.1)


def whose(platform: FakePlatform) -> Endpoint:
    """The fake platform's workspace."""
    return Endpoint(platform.url, platform.workspace, Secret(platform.token))


# --- what is said and heard --------------------------------------------------------------------------------------------


def test_the_handshake_as_it_goes_out() -> None:
    """Workspace, token and configured headers go out; no Origin, no extension, and the path is /ws."""
    seen: list[Request] = []
    with Peer(saying(seen=seen)) as peer, listening(peer, headers={"X-Molecule-Org-Id": "org"}):
        pass
    (request,) = seen
    assert (request.method, request.path) == ("GET", "/ws")
    wanted = {"authorization": "Bearer the-token", "x-workspace-id": WORKSPACE, "x-molecule-org-id": "org"}
    assert wanted.items() <= request.headers.items()
    assert not {"origin", "sec-websocket-extensions"} & set(request.headers)


def test_without_a_token_there_is_no_credential() -> None:
    """Nothing is made up where no token is configured."""
    seen: list[Request] = []
    with Peer(saying(seen=seen)) as peer, listening(peer, token=None):
        pass
    assert "authorization" not in seen[0].headers


@pytest.mark.parametrize("kind", [TEXT, BINARY])
def test_an_event_of_the_platform(kind: int) -> None:
    """The platform's own dialect is understood, in text and in binary messages."""
    with Peer(saying(frame(APPROVED.encode(), kind))) as peer, listening(peer) as stream:
        heard = stream.next(5.0)
    assert heard is not None
    assert (heard.approval_id, heard.status, heard.decided_by, heard.native) == (OURS, Status.APPROVED, "alice", True)


def test_an_event_of_the_earlier_dialect() -> None:
    """The flat dialect is understood."""
    with Peer(saying(frame(FLAT.encode()))) as peer, listening(peer) as stream:
        heard = stream.next(5.0)
    assert heard is not None
    assert (heard.approval_id, heard.status, heard.native) == (OURS, Status.DENIED, False)


def test_what_is_no_approvals_event_is_passed_over() -> None:
    """Garbage, bad UTF-8 and other events are skipped, and the next good one is heard."""
    noise = [b"what?", b"\xff\xfe", b"[]", b'{"event": "AGENT_CARD_UPDATED", "payload": {}}', b""]
    frames = [frame(data, kind) for data in noise for kind in (TEXT, BINARY)]
    with Peer(saying(*frames, frame(APPROVED.encode()))) as peer, listening(peer) as stream:
        heard = stream.next(5.0)
    assert heard is not None
    assert heard.approval_id == OURS


def test_silence_ends_with_the_time() -> None:
    """Where nothing is said, the answer is None after that time, and the stream goes on."""
    with Peer(saying()) as peer, listening(peer) as stream:
        began = time.monotonic()
        assert stream.next(0.1) is None
        assert stream.next(0.0) is None
        assert 0.05 <= time.monotonic() - began < 8


def test_noise_does_not_prolong_it() -> None:
    """A stream that never stops saying other things keeps nobody longer than the time."""

    def script(channel: Channel, _number: int) -> None:
        channel.send(switching(read_request(channel).headers["sec-websocket-key"]))
        while True:
            channel.send(frame(b"noise") * 100)

    with Peer(script) as peer, listening(peer) as stream:
        began = time.monotonic()
        assert stream.next(0.2) is None
        until(lambda: stream._connection.recv_messages.frames.qsize() > 0)
        assert stream.next(0.0) is None
        assert time.monotonic() - began < 8


def test_a_message_of_just_the_limit() -> None:
    """A message of a megabyte is taken, and one byte more ends the stream."""
    padded = APPROVED.encode().ljust(MESSAGE_LIMIT)
    with Peer(saying(frame(padded))) as peer, listening(peer) as stream:
        assert stream.next(5.0) is not None
    with Peer(saying(frame(padded + b" "))) as peer, listening(peer) as stream, pytest.raises(DisconnectedError):
        hear_the_end(stream)


# --- how it ends -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", [close_at_once, close_and_linger, cut_at_once])
def test_every_end_is_the_same(platform: FakePlatform, end: Behaviour) -> None:
    """A clean close, one whose connection lingers and a cut are the end of the stream, and no news."""
    platform.on("socket", end)
    began = time.monotonic()
    with closing(open_stream(whose(platform), soon(), Handle())) as stream, pytest.raises(DisconnectedError, match="ended"):
        hear_the_end(stream)
    assert time.monotonic() - began < 5


def test_a_goodbye_from_the_platform(platform: FakePlatform) -> None:
    """What was said before the goodbye is heard, and then the end."""
    row = platform.add(platform.workspace, {"action": "x"})
    with closing(open_stream(whose(platform), soon(), Handle())) as stream:
        platform.await_socket()
        platform.decide(row)
        platform.say_goodbye()
        heard = stream.next(5.0)
        with pytest.raises(DisconnectedError):
            stream.next(5.0)
    assert heard is not None
    assert heard.approval_id == row.id


@pytest.mark.parametrize("bad", [b"\x83\x00", b"\x81\x80\x00\x00\x00\x00", b"\xf1\x00", b"\x80\x00"])
def test_frames_that_break_the_protocol_end_it(bad: bytes) -> None:
    """An unknown opcode, a masked frame, reserved bits and a loose continuation end the stream."""
    with Peer(saying(bad)) as peer, listening(peer) as stream, pytest.raises(DisconnectedError):
        hear_the_end(stream)


def test_a_half_open_stream_is_found_by_its_pings(platform: FakePlatform, capfd: pytest.CaptureFixture[str]) -> None:
    """A peer that answers no ping has gone; that is the end of the stream, and nothing is written to stderr."""
    platform.on("socket", deaf)
    with closing(open_stream(whose(platform), soon(), Handle(), ping=0.1)) as stream:
        began = time.monotonic()
        with pytest.raises(DisconnectedError):
            stream.next(10.0)
        assert 0.15 <= time.monotonic() - began < 8
        keepalive = stream._connection.keepalive_thread
        assert keepalive is not None
    keepalive.join(5)
    assert capfd.readouterr().err == ""
    assert not logging.getLogger("molecule_approve.client.stream").propagate


def test_a_peer_that_answers_pings_is_there(platform: FakePlatform) -> None:
    """A silent peer that answers our pings keeps the stream."""
    with closing(open_stream(whose(platform), soon(), Handle(), ping=0.5)) as stream:
        assert stream.next(1.3) is None


def test_another_thread_lets_go_of_it() -> None:
    """Closing from another thread ends a wait for events at once."""
    with Peer(saying()) as peer, listening(peer) as stream:
        thread = threading.Thread(target=stream.close)
        began = time.monotonic()
        thread.start()
        with pytest.raises(DisconnectedError):
            stream.next(20.0)
        thread.join()
        assert time.monotonic() - began < 8


def test_another_thread_breaks_it_off() -> None:
    """The grip by which it was opened ends a wait for events at once."""
    grip = Handle()
    with Peer(saying()) as peer, closing(open_stream(endpoint(peer.url), soon(), grip)) as stream:
        thread = threading.Thread(target=grip.break_off)
        began = time.monotonic()
        thread.start()
        with pytest.raises(DisconnectedError):
            stream.next(20.0)
        thread.join()
        assert time.monotonic() - began < 8


def test_letting_go_twice_does_nothing() -> None:
    """Closing is for everybody who holds it."""
    with Peer(saying()) as peer, listening(peer) as stream:
        stream.close()
        stream.close()
        with pytest.raises(DisconnectedError):
            stream.next(1.0)


# --- how it does not begin ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "headers", "kind", "after"),
    [
        (401, (), CredentialError, None),
        (403, (), CredentialError, None),
        (404, (), RejectedError, None),
        (408, (), UnavailableError, None),
        (400, (), RejectedError, None),
        (302, (("Location", "http://127.0.0.1:1/"),), RejectedError, None),
        (429, (("Retry-After", "7"),), UnavailableError, 7.0),
        (429, (("Retry-After", "7"), ("Retry-After", "9")), UnavailableError, None),
        (429, (), UnavailableError, None),
        (500, (), UnavailableError, None),
        (503, (("Retry-After", "soon"),), UnavailableError, None),
    ],
)
def test_a_stream_that_is_refused(
    platform: FakePlatform, status: int, headers: tuple[tuple[str, str], ...], kind: type[ApprovalError], after: float | None
) -> None:
    """Each status of the handshake is told apart: no token, no stream here, or not now."""
    platform.on("socket", lambda _: Reply(status, b"no", headers))
    with pytest.raises(kind, match=str(status)) as caught:
        open_stream(whose(platform), soon(), Handle())
    assert type(caught.value) is kind
    assert getattr(caught.value, "retry_after", None) == after
    assert getattr(caught.value, "status", None) == status


def test_a_redirect_is_not_followed() -> None:
    """A redirect of the handshake is no stream, and nobody else sees the token."""
    with Peer(saying()) as elsewhere:
        moved = Reply(307, b"", (("Location", f"{elsewhere.url}/ws"),)).encode()

        def script(channel: Channel, _number: int) -> None:
            read_request(channel)
            channel.send(moved)

        with Peer(script) as peer, pytest.raises(RejectedError):
            open_stream(endpoint(peer.url), soon(), Handle())
        assert elsewhere.connections == 0


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nbad header\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
        b"HTTP/1.1 101 x\r\nX: " + b"y" * 100_000 + b"\r\n\r\n",
    ],
)
def test_a_handshake_of_garbage(data: bytes) -> None:
    """What is no handshake is an outage of the stream: the wait polls and tries again."""

    def script(channel: Channel, _number: int) -> None:
        read_request(channel)
        channel.send(data)

    with Peer(script) as peer, pytest.raises((UnavailableError, RejectedError)):
        open_stream(endpoint(peer.url), soon(), Handle())


def test_a_key_that_does_not_answer_ours(platform: FakePlatform) -> None:
    """A handshake that does not prove that it read ours is none."""
    platform.on("socket", wrong_accept)
    with pytest.raises(UnavailableError):
        open_stream(whose(platform), soon(), Handle())


@pytest.mark.parametrize("slow", [dripping_socket(0.02), lambda exchange: exchange.channel.wait_for_end()])
def test_a_handshake_that_takes_too_long(platform: FakePlatform, slow: Behaviour) -> None:
    """A silent or dripping handshake has the time that there is, and no more."""
    platform.on("socket", slow)
    began = time.monotonic()
    with pytest.raises(UnavailableError, match="in time"):
        open_stream(whose(platform), soon(0.3), Handle())
    assert time.monotonic() - began < 8


def test_nobody_there() -> None:
    """A refused connection is an outage."""
    with pytest.raises(UnavailableError, match="cannot connect"):
        open_stream(endpoint("http://127.0.0.1:1"), soon(), Handle())


def test_a_wrong_token(platform: FakePlatform) -> None:
    """The platform's socket takes only the workspace's own token."""
    with pytest.raises(CredentialError) as caught:
        open_stream(Endpoint(platform.url, platform.workspace, Secret(platform.admin)), soon(), Handle())
    assert "own" in caught.value.hint


EARLY = {
    "a balancer's 408": b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    "a balancer's 503": b"HTTP/1.0 503 Service Unavailable\r\nContent-Type: text/html\r\n\r\n<html>no server</html>",
    "a 101": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    "two answers": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" * 2,
    "a frame": frame(b"hello"),
}


@pytest.mark.parametrize("data", EARLY.values(), ids=EARLY)
@pytest.mark.parametrize("ends", [True, False])
def test_an_answer_before_the_question(data: bytes, ends: bool) -> None:
    """What a peer says before the handshake was sent is an outage of the stream, and no fault of the program."""

    def script(channel: Channel, _number: int) -> None:
        channel.send(data)
        if not ends:
            channel.wait_for_end()

    with Peer(script) as peer:
        for _ in range(20):  # sometimes it is read before our handshake is written, sometimes after
            with pytest.raises((UnavailableError, RejectedError)):
                open_stream(endpoint(peer.url), soon(0.2), Handle()).close()


# What an earlier test left to be collected would be collected here, and is no matter of this one.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
def test_threads_that_cannot_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system has no thread left there is no stream, its socket is closed, and the wait goes on by reading."""
    start, here, gone = threading.Thread.start, threading.current_thread(), threading.Event()

    def refuse(thread: threading.Thread) -> None:
        if threading.current_thread() is here:
            raise RuntimeError("can't start new thread")
        start(thread)

    def script(channel: Channel, _number: int) -> None:
        channel.wait_for_end()
        gone.set()

    with Peer(script) as peer:
        with monkeypatch.context() as patched:
            patched.setattr(threading.Thread, "start", refuse)
            with pytest.raises(UnavailableError, match="thread"):
                open_stream(endpoint(peer.url), soon(), Handle())
        assert gone.wait(5)
    with warnings.catch_warnings(action="ignore"):  # the library's own half-made connection
        gc.collect()


# --- Origin ------------------------------------------------------------------------------------------------------------


def picky(origin: str, seen: list[Request]) -> Callable[[Channel, int], None]:
    """A platform whose CORS_ORIGINS names one origin, as the real one answers: 403 without it."""

    def script(channel: Channel, _number: int) -> None:
        request = read_request(channel)
        seen.append(request)
        if request.headers.get("origin") != origin:
            channel.send(Reply(403, b"Forbidden\n", (("Content-Type", "text/plain; charset=utf-8"),)).encode())
            return
        channel.send(switching(request.headers["sec-websocket-key"]))
        channel.wait_for_end()

    return script


def test_a_platform_that_wants_its_own_origin() -> None:
    """After a 403 the handshake is tried once more, with the origin of the platform's address."""
    seen: list[Request] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        origin = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with Peer(picky(origin, seen), listener) as peer, listening(peer):
            pass
    assert [request.headers.get("origin") for request in seen] == [None, origin]


def test_a_platform_that_wants_another_origin() -> None:
    """The origin that is configured is sent at once; where it is refused as well, the message names CORS_ORIGINS."""
    seen: list[Request] = []
    with Peer(picky("https://canvas.example.com", seen)) as peer:
        with listening(peer, origin="https://canvas.example.com"):
            pass
        assert len(seen) == 1
        for origin, tries in ((None, 2), ("https://other.example.com", 1)):
            seen.clear()
            with pytest.raises(CredentialError, match="CORS_ORIGINS") as caught:
                open_stream(endpoint(peer.url, origin=origin), soon(), Handle())
            assert (len(seen), caught.value.status) == (tries, 403)
            assert "approve.headers" in caught.value.hint


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("http://localhost:8080", "http://localhost:8080"),
        ("https://Molecule.Example.com/base", "https://molecule.example.com"),
        ("https://example.com:443", "https://example.com"),
        ("http://example.com:80", "http://example.com"),
        ("http://example.com:443", "http://example.com:443"),
        ("http://[::1]:8080", "http://[::1]:8080"),
    ],
)
def test_the_origin_of_an_address(url: str, origin: str) -> None:
    """Scheme, host and a port that is not the usual one, as a browser names its page."""
    assert origin_of(url) == origin


# --- TLS and the embedded server ---------------------------------------------------------------------------------------


def test_a_stream_over_tls(trusted: Certificate) -> None:
    """wss:// works with a certificate that is trusted."""

    def script(channel: Channel, number: int) -> None:
        channel.sock = trusted.server.wrap_socket(channel.sock, server_side=True)
        saying(frame(APPROVED.encode()))(channel, number)

    with Peer(script) as peer:
        where = endpoint(f"https://localhost:{peer.port}")
        with closing(open_stream(where, soon(), Handle())) as stream:
            assert stream.next(5.0) is not None


def test_a_stream_over_tls_that_nobody_vouches_for(certificate: Certificate) -> None:
    """An untrusted certificate gets no token, and is final."""

    def script(channel: Channel, _number: int) -> None:
        channel.sock = certificate.server.wrap_socket(channel.sock, server_side=True)

    with Peer(script) as peer, pytest.raises(PlatformError, match="not trusted"):
        open_stream(endpoint(f"https://localhost:{peer.port}"), soon(), Handle())


@pytest.mark.parametrize("unix", [False, True])
def test_the_embedded_servers_stream(live_server: Running, unix: bool) -> None:
    """The embedded server is heard over loopback and over its socket."""
    asker = live_server.requester
    path = str(live_server.places.socket) if unix else None
    where = Endpoint(live_server.url, asker.workspace_id, Secret(asker.token), unix_socket=path)
    with closing(open_stream(where, soon(), Handle())) as stream, closing(RestPlatform(where)) as rest:
        found = rest.submit(asked(workspace_id=asker.workspace_id), soon())
        heard = stream.next(5.0)
    assert heard is not None
    assert (heard.name, heard.approval_id) == ("APPROVAL_REQUESTED", found.approval_id)


def test_the_embedded_server_is_told_which_request_is_waited_for(live_server: Running) -> None:
    """Once it is known, the stream hears of that request alone; the platform is never told."""
    asker = live_server.requester
    where = Endpoint(live_server.url, asker.workspace_id, Secret(asker.token))
    with closing(RestPlatform(where)) as rest, closing(RestPlatform(where)) as stranger:
        unknown = stranger.watch(soon(), "an id that would be refused")
        ours = rest.submit(asked(workspace_id=asker.workspace_id), soon())
        stream = rest.watch(soon(), ours.approval_id)
        other = rest.submit(asked(workspace_id=asker.workspace_id, task_id=str(uuid.uuid4())), soon())
        for one in (other, ours):
            rest.withdraw(one, soon())
        heard = stream.next(5.0)
        assert heard is not None
        assert (heard.name, heard.approval_id) == ("APPROVAL_WITHDRAWN", ours.approval_id)
        everything = [unknown.next(5.0) for _ in range(3)]
        assert [one.name for one in everything if one is not None] == ["APPROVAL_REQUESTED"] * 2 + ["APPROVAL_WITHDRAWN"]
        unknown.close()
