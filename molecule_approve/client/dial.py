"""One way to reach an endpoint, for REST and the event stream alike: TCP, a Unix socket, or a tunnel through a proxy.

httpx and websockets each have their own way, with other rules for proxies and no bound on the whole; here one deadline
covers the look-up of the name, every address and the tunnel, and one decision says which proxy is used.
"""

from __future__ import annotations

import base64
import contextlib
import errno
import os
import re
import socket
import ssl
import threading
import urllib.parse
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from molecule_approve.errors import ConfigError, CredentialError, PlatformError, UnavailableError

from . import unix

if TYPE_CHECKING:
    from molecule_approve.clock import Deadline
    from molecule_approve.model import Endpoint, Secret

_HEAD_LIMIT = 16_384
_NO_SUCH_ADDRESS = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
_PROXY_HINT = "check HTTPS_PROXY, or name the platform in NO_PROXY"
_ONLY_HERE = (
    "is the platform running? localhost is read as 127.0.0.1; one that listens on ::1 alone is named http://[::1]:PORT"
)
_SHORTEST = 0.001
"""Seconds: a timeout of 0 would mean "do not block" to a socket, which is something else."""

_Address = tuple[Any, Any, Any, Any, Any]
_AddressInfo = list[_Address]


def _nothing() -> None:
    """Nothing is waited for."""


class Grip:
    """What a call waits for right now, so that another thread can break it off: a look-up, or a socket."""

    def __init__(self) -> None:
        self._release: Callable[[], object] = _nothing

    def hold(self, sock: socket.socket) -> None:
        """From now on the call waits for this socket."""
        self._release = partial(sock.shutdown, socket.SHUT_RDWR)

    def wait(self, done: threading.Event, seconds: float) -> None:
        """Wait until something is done, or the time is over, or we are broken off."""
        self._release = done.set
        done.wait(seconds)

    def break_off(self) -> None:
        """Make what is waited for fail at once. The next call is not affected."""
        with contextlib.suppress(OSError):  # it has ended by itself
            self._release()


def address_of(url: str) -> tuple[str, int]:
    """Host and port of a base address that config has checked."""
    parts = urllib.parse.urlsplit(url)
    return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


def tls_context() -> ssl.SSLContext:
    """What TLS trusts: the system's authorities (SSL_CERT_FILE and SSL_CERT_DIR included) and certifi's.

    There is no switch to turn verification off. The system's store alone would fail in an image that ships none.

    Raises:
        ConfigError: SSL_CERT_FILE or SSL_CERT_DIR is set and cannot be used; OpenSSL would pass over that in silence.

    """
    import certifi  # noqa: PLC0415 - only https:// needs it

    _check_authorities(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))
    try:
        context = ssl.create_default_context()
    except OSError as exc:  # it opens the file that TLS's keys are to be logged into
        raise ConfigError(
            f"SSLKEYLOGFILE names {os.environ.get('SSLKEYLOGFILE')}, which cannot be written: {exc.strerror}",
            hint="correct or unset SSLKEYLOGFILE",
        ) from exc
    context.load_verify_locations(certifi.where())
    return context


def _check_authorities(file: str | None, folders: str | None) -> None:
    if file:
        alone = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        try:
            alone.load_verify_locations(file)
        except ssl.SSLError:  # it holds nothing at all; below it is told apart from one that holds something else
            pass
        except OSError as exc:
            raise ConfigError(
                f"SSL_CERT_FILE names {file}, which cannot be read: {exc.strerror}", hint="correct or unset SSL_CERT_FILE"
            ) from exc
        if not alone.cert_store_stats()["x509"]:
            raise ConfigError(
                f"SSL_CERT_FILE names {file}, which holds no certificate in PEM", hint="correct or unset SSL_CERT_FILE"
            )
    # A list, of which some may be missing: the folders of several systems are usual in one.
    if folders and not any(map(_holds_hashes, folders.split(os.pathsep))):
        raise ConfigError(
            f"SSL_CERT_DIR names {folders}, where no certificate is found",
            hint="correct or unset it; `openssl rehash FOLDER` gives certificates the names by which they are found",
        )


def _holds_hashes(folder: str) -> bool:
    try:
        return folder != "" and any(re.fullmatch(r"[0-9a-f]{8}\.[0-9]+", file.name) for file in Path(folder).iterdir())
    except OSError:
        return False


def resolve(
    host: str,
    port: int,
    deadline: Deadline,
    grip: Grip,
    *,
    look_up: Callable[..., _AddressInfo] = socket.getaddrinfo,
) -> _AddressInfo:
    """The addresses of a host. The system's look-up knows no timeout, so it runs in a thread that may be left behind.

    Raises:
        UnavailableError: there is none, or the look-up took too long.

    """
    found: list[_AddressInfo | Exception] = []
    done = threading.Event()

    def run() -> None:
        try:
            found.append(look_up(host, port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as exc:  # UnicodeError: a label that is empty or too long
            found.append(exc)
        done.set()

    if host == "localhost" or host.endswith(".localhost"):
        return [own_address(port)]
    if _is_literal(host):
        run()
    else:
        try:
            threading.Thread(target=run, daemon=True).start()
        except RuntimeError as exc:
            raise UnavailableError(
                f"the host {host!r} cannot be looked up: {exc}",
                maybe_sent=False,
                hint="this user's limit of processes is reached (ulimit -u)",
            ) from exc
        grip.wait(done, deadline.left())
    if not found:
        raise UnavailableError(f"looking up the host {host!r} took too long", maybe_sent=False, hint="is the network up?")
    if isinstance(found[0], Exception):
        raise UnavailableError(
            f"there is no host {host!r}", maybe_sent=False, hint="check PLATFORM_URL and the network"
        ) from found[0]
    return found[0]


def own_address(port: int, usual: str = "127.0.0.1") -> _Address:
    """What ``localhost`` is: 127.0.0.1, and ::1 only where the machine has no 127.0.0.1.

    No look-up is asked, and there is no second one to go on to: any user may listen on the port of the one that is free.
    """
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind((usual, 0))
    except OSError as exc:
        if exc.errno in _NO_SUCH_ADDRESS:
            return (socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("::1", port, 0, 0))
    return (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (usual, port))


def _is_literal(host: str) -> bool:
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, host)
        except OSError:
            continue
        return True
    return False


def _connect(host: str, port: int, deadline: Deadline, grip: Grip) -> socket.socket:
    return connect_any(resolve(host, port, deadline, grip), host, port, deadline, grip)


def connect_any(addresses: _AddressInfo, host: str, port: int, deadline: Deadline, grip: Grip) -> socket.socket:
    """A connection to the first of a host's addresses that takes one.

    Raises:
        UnavailableError: none does.

    """
    failure = OSError("it has no address")
    for tried, address in enumerate(addresses):
        # An equal share of the time for each address: one that swallows everything must not starve the next.
        try:
            return _connect_to(address, max(deadline.left() / (len(addresses) - tried), _SHORTEST), grip)
        except OSError as exc:
            failure = exc
            if isinstance(exc, ConnectionRefusedError) and address[4][0].startswith("127."):
                break  # any user of this machine may listen on the same port of its other addresses
    why = "it does not answer" if isinstance(failure, TimeoutError) else failure.strerror or str(failure)
    raise UnavailableError(
        f"no connection to {host}:{port}: {why}",
        maybe_sent=False,
        hint=_ONLY_HERE if host == "localhost" else "is the platform running, and is PLATFORM_URL right?",
    ) from failure


def _connect_to(address: _Address, seconds: float, grip: Grip) -> socket.socket:
    family, kind, protocol, _, target = address
    # Making the socket can fail as well: a name may have an IPv6 address on a machine without IPv6.
    sock = socket.socket(family, kind, protocol)
    with _closed_on_failure(sock):
        grip.hold(sock)
        sock.settimeout(seconds)
        sock.connect(target)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


@contextlib.contextmanager
def _closed_on_failure(sock: socket.socket) -> Iterator[None]:
    """Also when a signal breaks in: nobody else knows the socket yet."""
    try:
        yield
    except BaseException:
        sock.close()
        raise


def _connect_unix(path: str, deadline: Deadline, grip: Grip) -> socket.socket:
    try:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with _closed_on_failure(sock):
            grip.hold(sock)
            sock.settimeout(max(deadline.left(), _SHORTEST))
            unix.connect_own(sock, path)
    except OSError as exc:
        raise UnavailableError(
            f"the embedded server is not there: {path}: {exc.strerror or exc}",
            maybe_sent=False,
            hint="start it: molecule-approve serve",
        ) from exc
    return sock


def _read_head(sock: socket.socket, name: str, deadline: Deadline) -> bytes:
    head = b""
    # Byte by byte: what follows the head belongs to TLS, and must stay in the socket.
    while not head.endswith(b"\r\n\r\n"):
        sock.settimeout(max(deadline.left(), _SHORTEST))
        byte = sock.recv(1)
        if not byte or len(head) >= _HEAD_LIMIT:
            raise UnavailableError(
                f"the proxy {name} gave no answer that can be understood", maybe_sent=False, hint=_PROXY_HINT
            )
        head += byte
    return head


def _connect_request(proxy: urllib.parse.SplitResult, host: str, port: int) -> bytes:
    target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}"]
    if proxy.username is not None:
        pair = f"{urllib.parse.unquote(proxy.username)}:{urllib.parse.unquote(proxy.password or '')}"
        lines.append(f"Proxy-Authorization: Basic {base64.b64encode(pair.encode()).decode()}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def _check_tunnel(head: bytes, name: str) -> None:
    """Whether the proxy opened the tunnel; what it says instead is an error of ours."""
    first = head.split(b"\r\n", 1)[0].decode("latin-1")
    found = re.match(r"HTTP/1\.[01] ([1-5]\d\d)(?: |\Z)", first, re.ASCII)
    if found is not None and found[1].startswith("2"):
        return
    if found is not None and found[1] == "407":
        raise CredentialError(
            f"the proxy {name} wants other credentials (407)",
            status=407,
            hint="put them into HTTPS_PROXY: http://user:password@host",
        )
    raise UnavailableError(f"the proxy {name} refuses the tunnel: {first[:200]}", maybe_sent=False, hint=_PROXY_HINT)


def _tunnel(proxy: Secret, host: str, port: int, deadline: Deadline, grip: Grip) -> socket.socket:
    """A connection through a proxy's CONNECT (RFC 9110, 9.3.6)."""
    parts = urllib.parse.urlsplit(proxy.reveal())
    name = parts.netloc.rpartition("@")[2]  # never its password
    try:
        sock = _connect(*address_of(parts.geturl()), deadline, grip)
    except UnavailableError as exc:
        raise UnavailableError(
            f"the proxy {name} cannot be reached: {exc.message}", maybe_sent=False, hint=_PROXY_HINT
        ) from exc
    try:
        with _closed_on_failure(sock):
            sock.settimeout(max(deadline.left(), _SHORTEST))
            sock.sendall(_connect_request(parts, host, port))
            _check_tunnel(_read_head(sock, name, deadline), name)
    except OSError as exc:
        raise UnavailableError(
            f"the proxy {name} does not answer: {exc.strerror or exc}", maybe_sent=False, hint=_PROXY_HINT
        ) from exc
    return sock


def dial(endpoint: Endpoint, deadline: Deadline, grip: Grip) -> socket.socket:
    """A connected socket to the endpoint, TLS not begun; its timeout is to be set by whoever uses it.

    Raises:
        UnavailableError: it cannot be reached within the deadline. Nothing of a request was sent.
        CredentialError: the proxy wants other credentials.

    """
    if endpoint.unix_socket is not None:
        return _connect_unix(os.fspath(endpoint.unix_socket), deadline, grip)
    host, port = address_of(endpoint.url)
    if endpoint.proxy is not None:
        return _tunnel(endpoint.proxy, host, port, deadline, grip)
    return _connect(host, port, deadline, grip)


def start_tls(sock: socket.socket, context: ssl.SSLContext, host: str, deadline: Deadline, grip: Grip) -> ssl.SSLSocket:
    """TLS over a connected socket, the certificate checked against the host.

    Raises:
        PlatformError: the certificate is not trusted; another try would not help.
        UnavailableError: the handshake failed or took too long. Nothing of a request was sent.

    """
    sock.settimeout(max(deadline.left(), _SHORTEST))
    # In two steps: wrapping moves the connection into another socket, which the grip must know before it waits.
    secure = context.wrap_socket(sock, server_hostname=host, do_handshake_on_connect=False)
    grip.hold(secure)
    try:
        with _closed_on_failure(secure):
            secure.do_handshake()
    except ssl.SSLCertVerificationError as exc:
        raise PlatformError(
            f"the certificate of {host} is not trusted: {exc.verify_message}",
            hint="name your own authority in SSL_CERT_FILE; verification cannot be turned off",
        ) from exc
    except OSError as exc:
        why = "it took too long" if isinstance(exc, TimeoutError) else exc.strerror or str(exc)
        raise UnavailableError(
            f"no TLS with {host}: {why}", maybe_sent=False, hint="does PLATFORM_URL want http://?"
        ) from exc
    return secure
