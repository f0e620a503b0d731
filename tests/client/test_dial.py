"""Reaching an endpoint: addresses, sockets, proxies and TLS, each within its time."""

from __future__ import annotations

import base64
import json
import re
import resource
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from molecule_approve.client.dial import Handle, address_of, connect_any, dial, own_address, resolve, start_tls, tls_context
from molecule_approve.errors import ConfigError, CredentialError, PlatformError, UnavailableError
from molecule_approve.model import Secret
from molecule_approve.paths import LocalSocket, Places, write_private
from tests.callers import takers
from tests.client.fakes import Peer, endpoint, soon

if TYPE_CHECKING:
    import ssl

    from tests.client.conftest import Certificate
    from tests.integration.raw_http import Channel


def hello(channel: Channel, _number: int) -> None:
    """Say hello, and stay until the other side goes."""
    channel.send(b"hello")
    channel.wait_for_end()


def silent(channel: Channel, _number: int) -> None:
    """Accept, and say nothing."""
    channel.wait_for_end()


@contextmanager
def black_hole() -> Iterator[int]:
    """A port whose backlog is full: it neither takes a connection nor refuses one."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        fillers = []
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(address)
            fillers.append(filler)
        yield address[1]
        for filler in fillers:
            filler.close()


@contextmanager
def within(least: float) -> Iterator[None]:
    """The block takes this many seconds, and less than eight on any machine; what would keep it keeps it for ten or more."""
    began = time.monotonic()
    yield
    assert least <= time.monotonic() - began < 8


def _break_when(grip: Handle, when: threading.Event) -> None:
    assert when.wait(5)
    grip.break_off()


def breaks_off(grip: Handle, when: threading.Event) -> threading.Thread:
    """Break off as soon as the peer has seen us."""
    thread = threading.Thread(target=_break_when, args=(grip, when), daemon=True)
    thread.start()
    return thread


# --- addresses ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://platform:8080", ("platform", 8080)),
        ("http://platform", ("platform", 80)),
        ("https://platform", ("platform", 443)),
        ("https://[::1]:9", ("::1", 9)),
    ],
)
def test_the_address_of_a_url(url: str, address: tuple[str, int]) -> None:
    """Host and port come from the base address, the port from its scheme where none is given."""
    assert address_of(url) == address


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_tcp(host: str) -> None:
    """A listening port is reached by address and by name, and small writes go out at once."""
    with Peer(hello) as peer, dial(endpoint(f"http://{host}:{peer.port}"), soon(), Handle()) as sock:
        assert sock.recv(5) == b"hello"
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0


def test_ipv6() -> None:
    """An IPv6 address in brackets is reached; a machine without IPv6 says so in our words."""
    try:
        listener = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        with pytest.raises(UnavailableError, match="cannot connect to ::1:9"):
            dial(endpoint("http://[::1]:9"), soon(), Handle())
        return
    with Peer(hello, listener) as peer, dial(endpoint(f"http://[::1]:{peer.port}"), soon(), Handle()) as sock:
        assert sock.recv(5) == b"hello"


def test_a_port_that_refuses() -> None:
    """A refused connection is an outage in which nothing was sent, and the message names the address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(UnavailableError, match=f"cannot connect to 127.0.0.1:{port}: Connection refused") as caught:
        dial(endpoint(f"http://127.0.0.1:{port}"), soon(), Handle())
    assert not caught.value.maybe_sent


def test_a_port_that_swallows_everything() -> None:
    """A black hole costs the time that there is, and no more."""
    with black_hole() as port, within(0.2), pytest.raises(UnavailableError, match="it does not answer"):
        dial(endpoint(f"http://127.0.0.1:{port}"), soon(0.2), Handle())


def test_several_addresses_share_the_time() -> None:
    """Where a name has several addresses, one that swallows everything leaves time for the next."""
    with black_hole() as port, Peer(hello) as peer, within(0.2):
        found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", where)) for where in (port, peer.port)]
        with connect_any(found, "platform", 80, soon(0.5), Handle()) as sock:
            assert sock.getpeername()[1] == peer.port


def test_after_a_refusal_on_this_machine_no_other_address_is_tried() -> None:
    """Any user may listen on the same port of another loopback address; only a host elsewhere has others of its own."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        free = listener.getsockname()[1]
    with Peer(hello) as peer:
        found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", where)) for where in (free, peer.port)]
        with pytest.raises(UnavailableError, match="Connection refused"):
            connect_any(found, "platform", 80, soon(), Handle())
        assert peer.connections == 0


@pytest.mark.parametrize("host", ["localhost", "platform.localhost"])
def test_localhost_is_one_address(host: str) -> None:
    """127.0.0.1, without a look-up: whoever has the same port of ::1 hears nothing, though the first one refuses."""
    with Peer(hello, socket.create_server(("::1", 0), family=socket.AF_INET6)) as theirs:
        where = f"http://{host}:{theirs.port}"
        with pytest.raises(UnavailableError, match="Connection refused"):
            dial(endpoint(where), soon(), Handle())
        assert theirs.connections == 0
        with Peer(hello, socket.create_server(("127.0.0.1", theirs.port))), dial(endpoint(where), soon(), Handle()) as sock:
            assert sock.getpeername() == ("127.0.0.1", theirs.port)


def test_localhost_is_the_other_address_only_where_the_machine_has_no_first() -> None:
    """An address that cannot be had here stands for it on a machine without IPv4; any other failure changes nothing."""
    assert own_address(80, "192.0.2.1")[4][0] == "::1"
    assert own_address(80)[4] == ("127.0.0.1", 80)
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, limit[1]))
    try:
        assert own_address(80)[4] == ("127.0.0.1", 80)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limit)


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a" * 64 + ".invalid", "a..invalid"])
def test_a_name_that_is_none(host: str) -> None:
    """A name without an address, or that can have none, is an outage in which nothing was sent."""
    with pytest.raises(UnavailableError, match=r"not found|looking up host") as caught:
        dial(endpoint(f"http://{host}:80"), soon(10), Handle())
    assert not caught.value.maybe_sent


def test_a_look_up_that_takes_too_long() -> None:
    """A look-up that hangs is left behind when the time is over; its thread takes no signal of ours then."""
    answered = threading.Event()
    left: list[int] = []

    def hang(*_: object, **__: object) -> list[tuple[Any, Any, Any, Any, Any]]:
        left.append(threading.get_native_id())
        answered.wait(10)
        return []

    with within(0.2), pytest.raises(UnavailableError, match="took too long") as caught:
        resolve("platform", 80, soon(0.2), Handle(), look_up=hang)
    assert not {*left}.intersection(takers())
    answered.set()
    assert left
    assert not caught.value.maybe_sent


# --- a Unix socket -----------------------------------------------------------------------------------------------------


def test_a_unix_socket(tmp_path: Path) -> None:
    """The embedded server is reached over its socket, whatever the address says."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "socket"))
    listener.listen()
    where = endpoint("http://localhost", unix_socket=str(tmp_path / "socket"))
    with Peer(hello, listener), dial(where, soon(), Handle()) as sock:
        assert sock.recv(5) == b"hello"


def test_the_socket_of_a_server_that_moved(tmp_path: Path) -> None:
    """Where the lock file names another socket since the last connection, the next one goes there."""
    places = Places(tmp_path, tmp_path / "run")
    where = endpoint("http://localhost", unix_socket=LocalSocket(places))
    for name in ("before", "after"):
        write_private(places.serving, json.dumps({"pid": 1, "url": "", "socket": str(tmp_path / name)}).encode())
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(tmp_path / name))
        listener.listen()
        with Peer(hello, listener), dial(where, soon(), Handle()) as sock:
            assert sock.recv(5) == b"hello"


@pytest.mark.parametrize("name", ["nobody", "x" * 200])
def test_a_unix_socket_that_is_not_there(tmp_path: Path, name: str) -> None:
    """A missing or impossible socket says how to start the server."""
    with pytest.raises(UnavailableError, match="cannot connect to the embedded server") as caught:
        dial(endpoint("http://localhost", unix_socket=str(tmp_path / name)), soon(), Handle())
    assert "serve" in caught.value.hint


def test_a_process_without_room_for_a_socket(tmp_path: Path) -> None:
    """A process that may open nothing more meets an outage, and a wait goes on over it."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, limit[1]))
    try:
        with pytest.raises(UnavailableError, match="Too many open files"):
            dial(endpoint("http://localhost", unix_socket=str(tmp_path / "s")), soon(), Handle())
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limit)


# --- proxies -----------------------------------------------------------------------------------------------------------


def proxying(answer: bytes, heads: list[bytes]) -> Callable[[Channel, int], None]:
    """A proxy that notes what it is asked, answers this, and then speaks as the target."""

    def script(channel: Channel, _number: int) -> None:
        heads.append(channel.read_until(b"\r\n\r\n"))
        channel.send(answer)
        channel.wait_for_end()

    return script


def through(peer: Peer, url: str = "https://platform.invalid", user: str = "") -> socket.socket:
    """Dial through the proxy."""
    return dial(endpoint(url, proxy=Secret(f"http://{user}127.0.0.1:{peer.port}")), soon(2), Handle())


def test_a_tunnel_through_a_proxy() -> None:
    """The proxy is asked for the target, whose first bytes stay in the socket; the name is not looked up here."""
    heads: list[bytes] = []
    with Peer(proxying(b"HTTP/1.1 200 OK\r\nVia: us\r\n\r\nhello", heads)) as peer, through(peer) as sock:
        assert sock.recv(5) == b"hello"
    assert heads == [b"CONNECT platform.invalid:443 HTTP/1.1\r\nHost: platform.invalid:443\r\n\r\n"]


def test_a_tunnel_to_an_ipv6_address() -> None:
    """An IPv6 target stands in brackets."""
    heads: list[bytes] = []
    with Peer(proxying(b"HTTP/1.0 200\r\n\r\n", heads)) as peer, through(peer, "https://[2001:db8::1]:8443"):
        pass
    assert heads[0].startswith(b"CONNECT [2001:db8::1]:8443 HTTP/1.1\r\nHost: [2001:db8::1]:8443\r\n")


@pytest.mark.parametrize(("user", "pair"), [("me:p%40ss@", b"me:p@ss"), ("me@", b"me:")])
def test_the_proxys_credentials(user: str, pair: bytes) -> None:
    """User and password of the proxy's address go to the proxy, decoded, and nothing else of ours does."""
    heads: list[bytes] = []
    with Peer(proxying(b"HTTP/1.1 200 OK\r\n\r\n", heads)) as peer, through(peer, user=user):
        pass
    assert b"Proxy-Authorization: Basic " + base64.b64encode(pair) in heads[0]
    assert b"the-token" not in heads[0]


def test_a_proxy_that_wants_credentials() -> None:
    """A 407 will be said again: it is final, and the hint says where credentials go."""
    with (
        Peer(proxying(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", [])) as peer,
        pytest.raises(CredentialError) as caught,
    ):
        through(peer)
    assert (caught.value.status, "HTTPS_PROXY" in caught.value.hint) == (407, True)
    assert re.match(r"the proxy 127\.0\.0\.1:\d+ rejects", caught.value.message)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 502 Bad Gateway\r\n\r\n",
        b"HTTP/1.1 " + b"2" * 5000 + b" OK\r\n\r\n",
        b"HTTP/1.1\r\n\r\n",
        b"SSH-2.0-OpenSSH 200 OK\r\n\r\n",
        b"\r\n\r\n",
    ],
)
def test_a_proxy_that_refuses(answer: bytes) -> None:
    """Any other answer than a 2xx in HTTP is an outage in which nothing was sent."""
    with Peer(proxying(answer, [])) as peer, pytest.raises(UnavailableError, match="refuses the connection") as caught:
        through(peer)
    assert not caught.value.maybe_sent
    assert re.match(r"the proxy 127\.0\.0\.1:\d+ refuses", caught.value.message)


def test_a_proxy_that_babbles() -> None:
    """A head without an end is read up to a limit."""
    with Peer(proxying(b"x" * 20_000, [])) as peer, pytest.raises(UnavailableError, match="sent an invalid answer"):
        through(peer)


def test_a_proxy_that_hangs_up() -> None:
    """A proxy that closes the connection gave no answer."""
    with (
        Peer(lambda channel, _: channel.read_until(b"\r\n\r\n")) as peer,
        pytest.raises(UnavailableError, match="sent an invalid answer"),
    ):
        through(peer)


def test_a_proxy_that_says_nothing() -> None:
    """A silent proxy costs the time that there is, and no more."""
    with Peer(silent) as peer, within(0.2), pytest.raises(UnavailableError, match=f":{peer.port} does not answer"):
        dial(endpoint("https://platform.invalid", proxy=Secret(f"http://127.0.0.1:{peer.port}")), soon(0.2), Handle())


@pytest.mark.parametrize("address", ["127.0.0.1:1", "proxy.invalid:3128"])
def test_a_dead_proxy_is_named_without_its_password(address: str) -> None:
    """It is the proxy that cannot be reached, and its variable that the hint speaks of."""
    with pytest.raises(UnavailableError, match=f"^cannot reach the proxy {address}: ") as caught:
        dial(endpoint("https://platform.invalid", proxy=Secret(f"http://me:hush@{address}")), soon(), Handle())
    assert not caught.value.maybe_sent
    assert "HTTPS_PROXY" in caught.value.hint
    assert "hush" not in caught.value.message + caught.value.hint


# --- TLS ---------------------------------------------------------------------------------------------------------------


def greeting(server: ssl.SSLContext) -> Callable[[Channel, int], None]:
    """Speak TLS and say hello."""

    def script(channel: Channel, _number: int) -> None:
        channel.sock = server.wrap_socket(channel.sock, server_side=True)
        hello(channel, 1)

    return script


def secured(peer: Peer, host: str = "localhost", seconds: float = 5.0, grip: Handle | None = None) -> ssl.SSLSocket:
    """Dial and begin TLS."""
    held = grip or Handle()
    return start_tls(dial(endpoint(peer.url), soon(), held), tls_context(), host, soon(seconds), held)


def test_a_certificate_of_ones_own_authority(trusted: Certificate) -> None:
    """A certificate that SSL_CERT_FILE names is trusted."""
    with Peer(greeting(trusted.server)) as peer, secured(peer) as sock:
        assert sock.recv(5) == b"hello"


_NO_CERTIFICATE = "SSL_CERT_FILE {file} contains no PEM certificate"


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (None, "cannot read SSL_CERT_FILE {file}: No such file"),
        ("", _NO_CERTIFICATE),
        ("not a certificate\n", _NO_CERTIFICATE),
        (
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            "SSL_CERT_FILE {file} contains no PEM certificate",
        ),
    ],
)
def test_a_file_of_authorities_that_cannot_be_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None, complaint: str
) -> None:
    """It is named with its path before anybody is called; OpenSSL would pass over it in silence."""
    file = tmp_path / "authorities.pem"
    if content is not None:
        file.write_text(content)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    with pytest.raises(ConfigError, match=f"^{complaint.format(file=file)}") as caught:
        tls_context()
    assert "SSL_CERT_FILE" in caught.value.hint


def test_a_file_for_keys_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable is named with its path, and it is no fault of the program."""
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "gone" / "keys"))
    with pytest.raises(ConfigError, match=f"^cannot write SSLKEYLOGFILE {tmp_path}/gone/keys"):
        tls_context()


def test_a_look_up_without_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system has no thread left, a name cannot be looked up: worth another try, and nothing was sent."""

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(UnavailableError, match="cannot look up host 'platform': can't start new thread") as caught:
        resolve("platform", 80, soon(), Handle())
    assert not caught.value.maybe_sent


def test_a_folder_of_authorities(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, certificate: Certificate) -> None:
    """Of several one with certificates is enough; they count under the names by which OpenSSL finds them."""
    folder = tmp_path / "authorities"
    folder.mkdir()
    (folder / "mine.pem").write_bytes(certificate.file.read_bytes())
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.setenv("SSL_CERT_DIR", f"/nowhere::{folder}")
    with pytest.raises(ConfigError, match=f"^SSL_CERT_DIR /nowhere::{folder} contains no usable certificate") as caught:
        tls_context()
    assert "rehash" in caught.value.hint
    subprocess.run(["openssl", "rehash", folder], check=True, capture_output=True)
    with Peer(greeting(certificate.server)) as peer, secured(peer) as sock:
        assert sock.recv(5) == b"hello"


def test_a_certificate_that_nobody_vouches_for(certificate: Certificate) -> None:
    """A certificate that is not trusted is final: another try would not help."""
    with Peer(greeting(certificate.server)) as peer, pytest.raises(PlatformError, match="not trusted") as caught:
        secured(peer)
    assert not isinstance(caught.value, UnavailableError)
    assert "SSL_CERT_FILE" in caught.value.hint


def test_a_certificate_for_somebody_else(trusted: Certificate) -> None:
    """A trusted certificate for another name is refused."""
    with Peer(greeting(trusted.server)) as peer, pytest.raises(PlatformError, match=r"platform\.invalid is not trusted"):
        secured(peer, "platform.invalid")


def test_a_server_without_tls() -> None:
    """A server that answers in plain text is an outage, with a hint at the scheme."""
    with (
        Peer(lambda channel, _: channel.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as peer,
        pytest.raises(UnavailableError, match="TLS handshake with localhost failed") as caught,
    ):
        secured(peer)
    assert "http://" in caught.value.hint


def test_a_handshake_that_is_never_answered() -> None:
    """A silent server costs the time that there is, and no more."""
    with Peer(silent) as peer, within(0.2), pytest.raises(UnavailableError, match="it took too long"):
        secured(peer, seconds=0.2)


# --- breaking off ------------------------------------------------------------------------------------------------------


def test_a_connection_that_is_broken_off() -> None:
    """Another thread ends a connection to a black hole, long before its time is over."""
    grip, done, deadline = Handle(), threading.Event(), soon(60)
    with black_hole() as port:
        grip_thread = threading.Thread(target=_break_until, args=(grip, done), daemon=True)
        grip_thread.start()
        # The system may call such a socket connected; then the first byte fails.
        with pytest.raises((UnavailableError, OSError)), dial(endpoint(f"http://127.0.0.1:{port}"), deadline, grip) as sock:
            sock.sendall(b"x")
        done.set()
        grip_thread.join()
    assert deadline.left() > 30


def _break_until(grip: Handle, done: threading.Event) -> None:
    while not done.wait(0.05):
        grip.break_off()


def test_a_handshake_that_is_broken_off() -> None:
    """Another thread ends a TLS handshake at once."""
    seen = threading.Event()

    def script(channel: Channel, _number: int) -> None:
        channel.read(5)
        seen.set()
        channel.wait_for_end()

    grip = Handle()
    with Peer(script) as peer, within(0):
        thread = breaks_off(grip, seen)
        with pytest.raises(UnavailableError, match="TLS handshake"):
            secured(peer, seconds=10, grip=grip)
        thread.join()


def test_a_look_up_that_is_broken_off() -> None:
    """Another thread ends the wait for a look-up at once."""
    grip, answered = Handle(), threading.Event()

    def hang(*_: object, **__: object) -> list[tuple[Any, Any, Any, Any, Any]]:
        answered.wait(10)
        return []

    thread = threading.Thread(target=_break_until, args=(grip, done := threading.Event()), daemon=True)
    thread.start()
    with within(0), pytest.raises(UnavailableError, match="looking up"):
        resolve("platform", 80, soon(10), grip, look_up=hang)
    done.set()
    answered.set()
    thread.join()


def test_breaking_off_nothing_does_nothing() -> None:
    """Where nothing is waited for any more, there is nothing to break."""
    grip = Handle()
    grip.break_off()
    with Peer(hello) as peer:
        with dial(endpoint(peer.url), soon(), grip) as sock:
            assert sock.recv(5) == b"hello"
        grip.break_off()
        with dial(endpoint(peer.url), soon(), grip) as sock:
            assert sock.recv(5) == b"hello"
