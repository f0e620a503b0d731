"""One bounded exchange: what is sent, what is taken, and how it ends."""

from __future__ import annotations

import contextlib
import gzip
import http
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from molecule_approve.client.http import Answer, Http, retry_after
from molecule_approve.errors import CredentialError, PlatformError, ProtocolError, UnavailableError
from molecule_approve.model import Secret
from tests.client.fakes import Peer, endpoint, soon
from tests.integration.raw_http import Channel, PeerGoneError, Reply, Request, read_request

if TYPE_CHECKING:
    from tests.client.conftest import Certificate

LIMIT = 1024 * 1024
OK = Reply(200, b"{}", (("Content-Type", "application/json"),))


def answering(reply: Reply | bytes, seen: list[Request] | None = None) -> Callable[[Channel, int], None]:
    """Answer every request with this."""
    data = reply if isinstance(reply, bytes) else reply.encode()

    def script(channel: Channel, _number: int) -> None:
        while True:
            request = read_request(channel)
            if seen is not None:
                seen.append(request)
            channel.send(data)

    return script


def once(data: bytes) -> Callable[[Channel, int], None]:
    """Answer one request with these bytes, and hang up."""

    def script(channel: Channel, _number: int) -> None:
        read_request(channel)
        channel.send(data)

    return script


def exchange(peer: Peer, method: str = "GET", path: str = "/x", *, seconds: float = 5.0, limit: int = LIMIT) -> Answer:
    """One exchange on a line of its own."""
    with closing(Http(endpoint(peer.url))) as line:
        return line.exchange(method, path, soon(seconds), limit=limit)


def dripping(data: bytes) -> Callable[[Channel, int], None]:
    """Answer a byte every 20 ms."""

    def script(channel: Channel, _number: int) -> None:
        read_request(channel)
        pause = threading.Event()
        for byte in data:
            channel.send(bytes([byte]))
            pause.wait(0.02)

    return script


# --- what is sent ------------------------------------------------------------------------------------------------------


def test_a_request_as_it_goes_out() -> None:
    """The token, the configured headers and the body go out; compression is refused beforehand."""
    seen: list[Request] = []
    with Peer(answering(OK, seen)) as peer:
        where = endpoint(peer.url, headers={"X-Molecule-Org-Id": "org"})
        with closing(Http(where)) as line:
            answer = line.exchange("POST", "/a/b", soon(), body=b'{"x":1}', headers={"Idempotency-Key": "k"}, limit=LIMIT)
    (request,) = seen
    assert (answer.status, answer.body, answer.is_json) == (200, b"{}", True)
    assert (request.method, request.path, request.body) == ("POST", "/a/b", b'{"x":1}')
    wanted = {
        "authorization": "Bearer the-token",
        "x-molecule-org-id": "org",
        "idempotency-key": "k",
        "content-type": "application/json",
        "accept-encoding": "identity",
        "accept": "application/json",
    }
    assert wanted.items() <= request.headers.items()


def test_without_a_token_there_is_no_credential() -> None:
    """Nothing is made up where no token is configured, and a GET has no body."""
    seen: list[Request] = []
    with Peer(answering(OK, seen)) as peer, closing(Http(endpoint(peer.url, token=None))) as line:
        line.exchange("GET", "/", soon(), limit=LIMIT)
    assert not {"authorization", "content-type", "content-length"} & set(seen[0].headers)


def test_every_exchange_has_a_connection_of_its_own() -> None:
    """Nothing that is left of one exchange can reach the next, and the peer is told so."""
    seen: list[Request] = []
    with Peer(answering(OK, seen)) as peer, closing(Http(endpoint(peer.url))) as line:
        line.exchange("GET", "/", soon(), limit=LIMIT)
        line.exchange("GET", "/", soon(), limit=LIMIT)
        assert peer.connections == 2
    assert [request.headers["connection"] for request in seen] == ["close", "close"]


def test_no_cookie_is_kept() -> None:
    """A cookie that the answer sets is not sent with the next request."""
    seen: list[Request] = []
    reply = OK.having(("Set-Cookie", "session=1; Path=/"))
    with Peer(answering(reply, seen)) as peer, closing(Http(endpoint(peer.url))) as line:
        line.exchange("GET", "/", soon(), limit=LIMIT)
        line.exchange("GET", "/", soon(), limit=LIMIT)
    assert [request.headers.get("cookie") for request in seen] == [None, None]


def test_the_environment_changes_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither a proxy of the environment nor a .netrc has a say: config has decided."""
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login me password hush\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    seen: list[Request] = []
    with Peer(answering(OK, seen)) as peer, closing(Http(endpoint(peer.url, token=None))) as line:
        line.exchange("GET", "/", soon(), limit=LIMIT)
    assert "authorization" not in seen[0].headers


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(status: int) -> None:
    """A redirect is an answer like any other, and the token goes nowhere else."""
    with Peer(answering(OK)) as elsewhere, Peer(answering(Reply(status, b"", (("Location", elsewhere.url),)))) as peer:
        assert exchange(peer).status == status
        assert (peer.connections, elsewhere.connections) == (1, 0)


# --- time --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [OK.encode(), Reply(200, b"x" * 500).encode()[:20] + b"X-Pad: " + b"x" * 500])
def test_dripping_bytes_do_not_prolong_it(data: bytes) -> None:
    """An answer that comes byte by byte, headers or body, has the same time as any."""
    began = time.monotonic()
    with Peer(dripping(data)) as peer, pytest.raises(UnavailableError, match=r"in time|too long") as caught:
        exchange(peer, seconds=0.3)
    assert caught.value.slow
    assert 0.25 <= time.monotonic() - began < 8


def test_a_dripping_body_does_not_prolong_it() -> None:
    """A body that comes byte by byte after its headers has the same time as any."""
    head = Reply(200, b"x" * 500).head()

    def script(channel: Channel, _number: int) -> None:
        read_request(channel)
        channel.send(head)
        pause = threading.Event()
        for _ in range(500):
            channel.send(b"x")
            pause.wait(0.02)

    began = time.monotonic()
    with Peer(script) as peer, pytest.raises(UnavailableError):
        exchange(peer, seconds=0.3)
    assert 0.25 <= time.monotonic() - began < 8


def test_a_prelude_is_passed_over() -> None:
    """The answer is what comes after "100 Continue"."""
    with Peer(once(b"HTTP/1.1 100 Continue\r\n\r\n" + OK.encode())) as peer:
        answer = exchange(peer)
    assert (answer.status, answer.body) == (200, b"{}")


def test_an_endless_prelude_does_not_prolong_it() -> None:
    """A server that says "100 Continue" for ever has the same time as any."""

    def script(channel: Channel, _number: int) -> None:
        read_request(channel)
        pause = threading.Event()
        while not pause.wait(0.005):
            channel.send(b"HTTP/1.1 100 Continue\r\n\r\n")

    with Peer(script) as peer, pytest.raises(UnavailableError, match=r"in time|too long") as caught:
        exchange(peer, seconds=0.3)
    assert caught.value.slow


def test_a_server_that_does_not_read() -> None:
    """A request that nobody takes ends with the time."""
    gate = threading.Event()
    with Peer(lambda _channel, _number: gate.wait(5)) as peer, closing(Http(endpoint(peer.url))) as line:
        with pytest.raises(UnavailableError, match="did not accept the request"):
            line.exchange("POST", "/", soon(1), body=b"x" * 20_000_000, limit=LIMIT)
        gate.set()


def test_time_that_is_over_sends_nothing() -> None:
    """An exchange without time fails before a byte goes out, also where the connection is there already."""
    ours, theirs = socket.socketpair()
    with closing(theirs), closing(Http(endpoint("http://peer"), dialer=lambda *_: ours)) as line:
        with pytest.raises(UnavailableError, match="too long"):
            line.exchange("GET", "/", soon(-1.0), limit=LIMIT)
        assert theirs.recv(1) == b""


# --- size --------------------------------------------------------------------------------------------------------------


def test_an_answer_of_just_the_limit() -> None:
    """The limit itself is allowed, one byte more is not."""
    with Peer(answering(Reply(200, b"x" * 1000))) as peer:
        assert len(exchange(peer, limit=1000).body) == 1000
        with pytest.raises(ProtocolError, match="longer than 999 bytes"):
            exchange(peer, limit=999)


def test_an_endless_answer() -> None:
    """A body without an end is read up to the limit."""

    def script(channel: Channel, _number: int) -> None:
        read_request(channel)
        channel.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            channel.send(b"10000\r\n" + b"x" * 65_536 + b"\r\n")

    with Peer(script) as peer, pytest.raises(ProtocolError, match=f"longer than {LIMIT} bytes"):
        exchange(peer)


def test_an_endless_head() -> None:
    """Headers without an end are no HTTP."""
    head = b"HTTP/1.1 200 OK\r\nX-Pad: "
    with Peer(once(head + b"x" * 500_000)) as peer, pytest.raises(ProtocolError, match="does not speak HTTP"):
        exchange(peer)


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "gzip, gzip"])
def test_a_compressed_answer_is_refused(encoding: str) -> None:
    """What we did not ask for is not unpacked, so no few bytes become very many."""
    reply = Reply(200, gzip.compress(bytes(1_000_000)), (("Content-Encoding", encoding),))
    with Peer(answering(reply)) as peer, pytest.raises(ProtocolError, match="compressed"):
        exchange(peer)


def test_an_answer_that_says_it_is_not_compressed() -> None:
    """``identity`` is what we asked for."""
    with Peer(answering(OK.having(("Content-Encoding", "identity")))) as peer:
        assert exchange(peer).body == b"{}"


# --- what is no answer -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"HTTP/1.1 two hundred\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nbad header\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
def test_what_is_no_http(data: bytes) -> None:
    """Garbage is told as such, with a hint at the port: another try would not help."""
    with Peer(once(data)) as peer, pytest.raises(ProtocolError, match="does not speak HTTP") as caught:
        exchange(peer)
    assert "port" in caught.value.hint


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nConte",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
    ],
)
def test_a_connection_that_ends_too_early(data: bytes) -> None:
    """A connection that closes before the whole answer came is an outage, and the request may have arrived."""
    with Peer(once(data)) as peer, pytest.raises(UnavailableError, match="broke off") as caught:
        exchange(peer)
    assert caught.value.maybe_sent


@pytest.mark.parametrize("size", [10_000_000, 0])
def test_a_connection_that_is_reset(size: int) -> None:
    """An abrupt end is one as well, while the body is written or the answer awaited, and the next exchange works."""

    def script(channel: Channel, number: int) -> None:
        if number == 1:
            channel.read_until(b"\r\n\r\n")
            channel.reset()
        answering(OK)(channel, number)

    with Peer(script) as peer, closing(Http(endpoint(peer.url))) as line:
        with pytest.raises(UnavailableError, match="broke off"):
            line.exchange("POST", "/", soon(), body=b"x" * size, limit=LIMIT)
        assert line.exchange("GET", "/", soon(), limit=LIMIT).status == 200


def test_an_answer_before_the_whole_request_was_read() -> None:
    """A server that refuses a body early and hangs up is understood."""

    def script(channel: Channel, _number: int) -> None:
        channel.read_until(b"\r\n\r\n")
        channel.send(Reply(413).encode())
        channel.wait_for_end()

    with Peer(script) as peer, closing(Http(endpoint(peer.url))) as line:
        assert line.exchange("POST", "/", soon(), body=b"x" * 100_000, limit=LIMIT).status == 413


def test_nobody_there() -> None:
    """A refused connection is an outage in which nothing was sent."""
    with closing(Http(endpoint("http://127.0.0.1:1"))) as line, pytest.raises(UnavailableError) as caught:
        line.exchange("GET", "/", soon(), limit=LIMIT)
    assert not caught.value.maybe_sent


def test_a_proxy_that_wants_credentials() -> None:
    """Nothing was sent to anybody behind it."""
    with Peer(once(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")) as peer:
        where = endpoint("https://platform.invalid", proxy=Secret(peer.url))
        with closing(Http(where)) as line, pytest.raises(CredentialError, match="407") as caught:
            line.exchange("POST", "/", soon(), body=b"{}", limit=LIMIT)
    assert not caught.value.maybe_sent


@pytest.mark.parametrize("host", ["xn--zz.localhost", "xn--.localhost"])
def test_a_host_that_is_no_punycode(host: str) -> None:
    """A name that only looks like one beyond ASCII is used as it is."""
    with Peer(answering(OK)) as peer, closing(Http(endpoint(f"http://{host}:{peer.port}"))) as line:
        assert line.exchange("GET", "/", soon(), limit=LIMIT).status == 200


def test_a_connection_that_is_closed_before_we_ask() -> None:
    """A peer that hangs up at once was asked nothing, so asking again is safe."""
    ours, theirs = socket.socketpair()
    theirs.close()
    with (
        closing(Http(endpoint("http://peer"), dialer=lambda *_: ours)) as line,
        pytest.raises(UnavailableError, match="before the request") as caught,
    ):
        line.exchange("POST", "/", soon(), body=b"{}", limit=LIMIT)
    assert not caught.value.maybe_sent


# --- bytes that nobody asked for ---------------------------------------------------------------------------------------


class Lines:
    """Dials socket pairs, over which something stands from the start; each peer answers ``OK`` once and hangs up."""

    def __init__(self, *waiting: bytes) -> None:
        self.dialled = 0
        self.asked: list[bytes] = []
        self._waiting = waiting
        self._threads: list[threading.Thread] = []

    def __call__(self, *_: object) -> socket.socket:
        ours, theirs = socket.socketpair()
        theirs.sendall(self._waiting[self.dialled] if self.dialled < len(self._waiting) else b"")
        self.dialled += 1
        self._threads.append(threading.Thread(target=self._answer, args=(theirs,), daemon=True))
        self._threads[-1].start()
        return ours

    def _answer(self, theirs: socket.socket) -> None:
        with closing(theirs), contextlib.suppress(ConnectionError):  # hung up on, with what it had said unread
            self.asked.append(theirs.recv(65_536))
            theirs.sendall(OK.encode())

    def requests(self) -> list[bytes]:
        """What the peers were asked, once all of them have ended."""
        for thread in self._threads:
            thread.join(5)
        return [data for data in self.asked if data]


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_bytes_before_the_request_are_not_its_answer(method: str) -> None:
    """A connection that says something before it is asked is never asked anything; another one is."""
    dialer = Lines(Reply(200, b"early").encode())
    with closing(Http(endpoint("http://peer"), dialer=dialer)) as line:
        assert line.exchange(method, "/", soon(), limit=LIMIT).body == b"{}"
    assert (dialer.dialled, len(dialer.requests())) == (2, 1)


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_bytes_before_the_request_twice_are_a_fault(method: str) -> None:
    """Where the second connection speaks first, too, nothing was asked and nothing is believed."""
    dialer = Lines(b"x", b"H")
    with closing(Http(endpoint("http://peer"), dialer=dialer)) as line, pytest.raises(ProtocolError, match="no request"):
        line.exchange(method, "/", soon(), limit=LIMIT)
    assert (dialer.dialled, dialer.requests()) == (2, [])


@pytest.mark.parametrize("apart", [False, True], ids=["at once", "later"])
def test_bytes_after_the_answer_make_it_incredible(apart: bool) -> None:
    """An answer that something follows may be an older one that came early: a read is done again, once."""

    def script(channel: Channel, number: int) -> None:
        read_request(channel)
        channel.send(OK.encode() + (b"" if apart or number > 1 else OK.encode()))
        if apart and number == 1:
            channel.send(OK.encode())

    with Peer(script) as peer, closing(Http(endpoint(peer.url))) as line:
        assert line.exchange("GET", "/", soon(), limit=LIMIT).status == 200
        assert peer.connections == 2


@pytest.mark.parametrize(("method", "repeatable", "times"), [("GET", None, 2), ("POST", None, 1), ("POST", True, 2)])
def test_doubled_answers_are_never_believed(method: str, repeatable: bool | None, times: int) -> None:
    """Where the fault stays it is told, and what changes something is sent once."""
    with (
        Peer(once(OK.encode() * 2)) as peer,
        closing(Http(endpoint(peer.url))) as line,
        pytest.raises(ProtocolError, match="answer no request"),
    ):
        line.exchange(method, "/", soon(), limit=LIMIT, repeatable=repeatable)
    assert peer.connections == times


def test_a_peer_that_stays_on_the_line() -> None:
    """A peer that keeps the connection although we asked it not to delays the answer by a tenth of a second, no more."""
    gone = threading.Event()

    def script(channel: Channel, _number: int) -> None:
        read_request(channel)
        channel.send(OK.encode())
        channel.wait_for_end()
        gone.set()

    with Peer(script) as peer:
        assert exchange(peer).status == 200
        assert gone.wait(5)


# --- breaking off ------------------------------------------------------------------------------------------------------


def test_another_thread_breaks_an_exchange_off() -> None:
    """An exchange that waits for its answer fails at once, and the line works again afterwards."""
    arrived = threading.Event()

    def script(channel: Channel, number: int) -> None:
        read_request(channel)
        arrived.set()
        if number > 1:
            channel.send(OK.encode())
        channel.wait_for_end()

    with Peer(script) as peer, closing(Http(endpoint(peer.url))) as line:

        def break_off() -> None:
            assert arrived.wait(5)
            line.interrupt()

        thread = threading.Thread(target=break_off)
        thread.start()
        began = time.monotonic()
        with pytest.raises(UnavailableError):
            line.exchange("GET", "/", soon(20), limit=LIMIT)
        assert time.monotonic() - began < 8
        thread.join()
        assert line.exchange("GET", "/", soon(), limit=LIMIT).status == 200


def test_breaking_off_between_exchanges_harms_nothing() -> None:
    """Without an exchange in progress the next one opens a new connection."""
    with Peer(answering(OK)) as peer, closing(Http(endpoint(peer.url))) as line:
        line.interrupt()
        line.exchange("GET", "/", soon(), limit=LIMIT)
        line.interrupt()
        assert line.exchange("GET", "/", soon(), limit=LIMIT).status == 200


# --- TLS ---------------------------------------------------------------------------------------------------------------


def test_an_exchange_over_tls(trusted: Certificate) -> None:
    """https:// works, and over a second connection as well."""

    def script(channel: Channel, number: int) -> None:
        channel.sock = trusted.server.wrap_socket(channel.sock, server_side=True)
        answering(OK)(channel, number)

    with Peer(script) as peer, closing(Http(endpoint(f"https://localhost:{peer.port}"))) as line:
        assert line.exchange("GET", "/", soon(), limit=LIMIT).body == b"{}"
        assert line.exchange("GET", "/", soon(), limit=LIMIT).body == b"{}"
        assert peer.connections == 2


def test_a_host_in_punycode_is_named_as_it_is(certificate: Certificate) -> None:
    """TLS asks for the very name that was configured: decoded and encoded again, "ß" would become "ss"."""
    named: list[str | None] = []
    certificate.server.sni_callback = lambda _sock, name, _context: named.append(name)

    def script(channel: Channel, _number: int) -> None:
        channel.sock = certificate.server.wrap_socket(channel.sock, server_side=True)

    with Peer(script) as peer, closing(Http(endpoint(f"https://xn--strae-oqa.localhost:{peer.port}"))) as line:
        with pytest.raises(PlatformError, match=r"xn--strae-oqa\.localhost is not trusted") as caught:
            line.exchange("POST", "/", soon(), body=b"{}", limit=LIMIT)
        assert not caught.value.maybe_sent
    certificate.server.sni_callback = None
    assert named == ["xn--strae-oqa.localhost"]


def test_an_untrusted_certificate_gets_no_token(certificate: Certificate) -> None:
    """Where the certificate is not trusted, nothing of the request goes out."""
    got: list[bytes] = []

    def script(channel: Channel, _number: int) -> None:
        channel.sock = certificate.server.wrap_socket(channel.sock, server_side=True)
        got.append(channel.read(1))

    with (
        Peer(script) as peer,
        closing(Http(endpoint(f"https://localhost:{peer.port}"))) as line,
        pytest.raises(PlatformError, match="not trusted"),
    ):
        line.exchange("GET", "/", soon(), limit=LIMIT)
    assert got == []


# --- what is loaded ----------------------------------------------------------------------------------------------------


def run_python(code: str) -> str:
    """What a fresh interpreter prints."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)
    return done.stdout.strip()


def test_httpx_is_loaded_without_its_command_line() -> None:
    """Importing the client loads no click, rich or pygments although they are installed, and click can be imported after."""
    code = (
        "import importlib.util, sys, molecule_approve.client.http;"
        "print([n for n in ('click', 'rich', 'pygments', 'asyncio', 'websockets') if n in sys.modules],"
        "importlib.util.find_spec('click') is not None)"
    )
    assert run_python(code) == "[] True"


def test_a_click_that_is_loaded_already_stays() -> None:
    """A program that has imported click before keeps it."""
    code = "import click, sys, molecule_approve.client.http; print(sys.modules['click'] is click)"
    assert run_python(code) == "True"


def test_http_builds_no_tls_context() -> None:
    """For http:// neither an SSL context nor certifi costs anything."""
    with Peer(answering(OK)) as peer:
        code = (
            "import ssl, sys\n"
            "class Dear(ssl.SSLContext):\n"
            "    def __new__(cls, *args): raise AssertionError('a context was built')\n"
            "ssl.SSLContext = Dear\n"
            "from molecule_approve.client.http import Http\n"
            "from molecule_approve.clock import Deadline\n"
            "from molecule_approve.model import Endpoint\n"
            f"print(Http(Endpoint('{peer.url}', 'w')).exchange('GET', '/', Deadline.after(5), limit=99).status,"
            " 'certifi' in sys.modules)"
        )
        assert run_python(code).split()[0] == "200"


# --- headers -----------------------------------------------------------------------------------------------------------

NOON = 1_777_636_800.0  # Fri, 01 May 2026 12:00:00 UTC


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("0", 0.0),
        ("120", 120.0),
        (" 7 ", 7.0),
        ("-1", None),
        ("1.5", None),
        ("1, 2", None),
        ("", None),
        ("soon", None),
        ("٣", None),
        ("9999999999", None),
        ("Fri, 01 May 2026 12:00:30 GMT", 30.0),
        ("Fri, 01 May 2026 12:00:30 -0000", 30.0),
        ("Fri, 01 May 2026 13:00:30 +0100", 30.0),
        ("Fri, 01 May 2026 11:00:00 GMT", 0.0),
        ("Fri, 99 May 2026 12:00:30 GMT", None),
    ],
)
def test_retry_after(value: str | None, seconds: float | None) -> None:
    """Seconds or a date are understood, a moment in the past is now, and everything else is nothing."""
    assert retry_after(value, NOON) == seconds


@pytest.mark.parametrize(
    ("kind", "is_json"),
    [
        ("application/json", True),
        ("Application/JSON; charset=utf-8", True),
        ("text/plain", False),
        ("application/json-seq", False),
        (None, False),
    ],
)
def test_what_says_that_it_is_json(kind: str | None, is_json: bool) -> None:
    """Only the header says whether a body is JSON; the platform's 404 for an unknown route is plain text."""
    headers = {} if kind is None else {"content-type": kind}
    assert Answer(http.HTTPStatus.OK, headers, b"{}").is_json is is_json
    assert not Answer(http.HTTPStatus.OK, headers, b"").is_json


def test_a_peer_that_is_gone_is_no_test_failure() -> None:
    """The fake peer ends quietly when we hang up in the middle of its answer."""
    went = threading.Event()

    def script(channel: Channel, _number: int) -> None:
        read_request(channel)
        try:
            while True:
                channel.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9999999999\r\n\r\n" + b"x" * 1_000_000)
        except PeerGoneError:
            went.set()

    with Peer(script) as peer:
        with pytest.raises(ProtocolError):
            exchange(peer, limit=10)
        assert went.wait(5)
