"""Connects to an endpoint, for REST and the event stream alike: TCP, a Unix socket, or a tunnel through a proxy.

httpx and websockets each dial with their own proxy rules and no limit on the whole. Here one deadline covers the look-up,
every address and the tunnel, and the proxy is chosen once.
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

from molecule_approve import signals
from molecule_approve.errors import ConfigError, CredentialError, PlatformError, UnavailableError

from . import unix

if TYPE_CHECKING:
    from molecule_approve.clock import Deadline
    from molecule_approve.model import Endpoint, Secret

    from .shared_tls import SharedTls

_HEAD_LIMIT = 16_384
_NO_SUCH_ADDRESS = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
_PROXY_HINT = "check HTTPS_PROXY, or add the platform to NO_PROXY"
_ONLY_HERE = "check that the platform is running; localhost means 127.0.0.1, for ::1 set PLATFORM_URL=http://[::1]:PORT"
_SHORTEST = 0.001
"""Seconds; a timeout of 0 would make the socket non-blocking."""

_Address = tuple[Any, Any, Any, Any, Any]
_AddressInfo = list[_Address]


def _unreachable(message: str, hint: str) -> UnavailableError:
    """The error of a connection that was not made: nothing was sent."""
    return UnavailableError(message, maybe_sent=False, hint=hint)


def _nothing() -> None:
    """Release nothing."""


class Handle:
    """What a call waits for, a look-up or a socket, so that another thread can interrupt it."""

    def __init__(self) -> None:
        self._release: Callable[[], object] = _nothing

    def hold(self, sock: socket.socket | SharedTls) -> None:
        """The call now waits for this socket."""
        self._release = partial(sock.shutdown, socket.SHUT_RDWR)

    def wait(self, done: threading.Event, seconds: float) -> None:
        """Wait until the event is set, the time has passed, or the wait is interrupted."""
        self._release = done.set
        done.wait(seconds)

    def break_off(self) -> None:
        """Make the call in progress fail at once. The next call is not affected."""
        with contextlib.suppress(OSError):  # it has ended by itself
            self._release()


def address_of(url: str) -> tuple[str, int]:
    """Host and port of a valid base address."""
    parts = urllib.parse.urlsplit(url)
    return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


def tls_context() -> ssl.SSLContext:
    """Trusts the system's certificate authorities (also SSL_CERT_FILE and SSL_CERT_DIR) and certifi's.

    Verification cannot be turned off. Some images have no authorities of their own.

    Raises:
        ConfigError: SSL_CERT_FILE or SSL_CERT_DIR is set and cannot be used, which OpenSSL would ignore.
    """
    import certifi  # noqa: PLC0415 - only https:// needs it

    _check_authorities(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))
    try:
        context = ssl.create_default_context()
    except OSError as exc:  # the file for TLS keys cannot be opened
        raise ConfigError(
            f"cannot write SSLKEYLOGFILE {os.environ.get('SSLKEYLOGFILE')}: {exc.strerror}",
            hint="correct or unset SSLKEYLOGFILE",
        ) from exc
    context.load_verify_locations(certifi.where())
    return context


def _check_authorities(file: str | None, folders: str | None) -> None:
    if file:
        alone = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        try:
            alone.load_verify_locations(file)
        except ssl.SSLError:  # it contains no certificate; the check below says so
            pass
        except OSError as exc:
            raise ConfigError(
                f"cannot read SSL_CERT_FILE {file}: {exc.strerror}", hint="correct or unset SSL_CERT_FILE"
            ) from exc
        if not alone.cert_store_stats()["x509"]:
            raise ConfigError(f"SSL_CERT_FILE {file} contains no PEM certificate", hint="correct or unset SSL_CERT_FILE")
    # A list of folders; some may be missing.
    if folders and not any(map(_holds_hashes, folders.split(os.pathsep))):
        raise ConfigError(
            f"SSL_CERT_DIR {folders} contains no usable certificate",
            hint="correct or unset SSL_CERT_DIR, or run `openssl rehash FOLDER`",
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
    grip: Handle,
    *,
    look_up: Callable[..., _AddressInfo] = socket.getaddrinfo,
) -> _AddressInfo:
    """Look up the addresses of a host, in a thread: the system's look-up has no timeout.

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
            with signals.held():
                threading.Thread(target=run, daemon=True).start()
        except RuntimeError as exc:
            raise _unreachable(
                f"cannot look up host {host!r}: {exc}", "the user's process limit may be reached (ulimit -u)"
            ) from exc
        grip.wait(done, deadline.left())
    if not found:
        raise _unreachable(f"looking up host {host!r} took too long", "check the network")
    if isinstance(found[0], Exception):
        raise _unreachable(f"host {host!r} not found", "check PLATFORM_URL and the network") from found[0]
    return found[0]


def own_address(port: int, usual: str = "127.0.0.1") -> _Address:
    """The address of ``localhost``: 127.0.0.1, or ::1 if the machine has no 127.0.0.1.

    There is no look-up and no second address to try: any user may listen on the same port of the other one.
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


def _connect(host: str, port: int, deadline: Deadline, grip: Handle) -> socket.socket:
    return connect_any(resolve(host, port, deadline, grip), host, port, deadline, grip)


def connect_any(addresses: _AddressInfo, host: str, port: int, deadline: Deadline, grip: Handle) -> socket.socket:
    """A connection to the first of a host's addresses that accepts one.

    Raises:
        UnavailableError: none does.
    """
    failure = OSError("the host has no address")
    for tried, address in enumerate(addresses):
        # An equal share of the time for each address, for one may never answer.
        try:
            return _connect_to(address, max(deadline.left() / (len(addresses) - tried), _SHORTEST), grip)
        except OSError as exc:
            failure = exc
            if isinstance(exc, ConnectionRefusedError) and address[4][0].startswith("127."):
                break  # any user may listen on the same port of the machine's other addresses
    why = "it does not answer" if isinstance(failure, TimeoutError) else failure.strerror or str(failure)
    raise _unreachable(
        f"cannot connect to {host}:{port}: {why}",
        _ONLY_HERE if host == "localhost" else "check that the platform is running, and PLATFORM_URL",
    ) from failure


def _connect_to(address: _Address, seconds: float, grip: Handle) -> socket.socket:
    family, kind, protocol, _, target = address
    # This can fail too: an IPv6 address on a machine without IPv6.
    sock = socket.socket(family, kind, protocol)
    with _closed_on_failure(sock):
        grip.hold(sock)
        sock.settimeout(seconds)
        sock.connect(target)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


@contextlib.contextmanager
def _closed_on_failure(sock: socket.socket) -> Iterator[None]:
    """Close the socket on any exception, a signal's too: nobody else knows it yet."""
    try:
        yield
    except BaseException:
        sock.close()
        raise


def _connect_unix(path: str, deadline: Deadline, grip: Handle) -> socket.socket:
    try:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with _closed_on_failure(sock):
            grip.hold(sock)
            sock.settimeout(max(deadline.left(), _SHORTEST))
            unix.connect_own(sock, path)
    except OSError as exc:
        raise _unreachable(
            f"cannot connect to the embedded server at {path}: {exc.strerror or exc}", "start it: molecule-approve serve"
        ) from exc
    return sock


def _read_head(sock: socket.socket, name: str, deadline: Deadline) -> bytes:
    head = b""
    # Byte by byte: what follows belongs to TLS and must stay in the socket.
    while not head.endswith(b"\r\n\r\n"):
        sock.settimeout(max(deadline.left(), _SHORTEST))
        byte = sock.recv(1)
        if not byte or len(head) >= _HEAD_LIMIT:
            raise _unreachable(f"the proxy {name} sent an invalid answer", _PROXY_HINT)
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
    """Return if the proxy opened the tunnel; raise its refusal otherwise."""
    first = head.split(b"\r\n", 1)[0].decode("latin-1")
    found = re.match(r"HTTP/1\.[01] ([1-5]\d\d)(?: |\Z)", first, re.ASCII)
    if found is not None and found[1].startswith("2"):
        return
    if found is not None and found[1] == "407":
        raise CredentialError(
            f"the proxy {name} rejects the credentials (407)",
            status=407,
            hint="set them in HTTPS_PROXY: http://user:password@host",
        )
    raise _unreachable(f"the proxy {name} refuses the connection: {first[:200]}", _PROXY_HINT)


def _tunnel(proxy: Secret, host: str, port: int, deadline: Deadline, grip: Handle) -> socket.socket:
    """A connection through a proxy's CONNECT (RFC 9110, 9.3.6)."""
    parts = urllib.parse.urlsplit(proxy.reveal())
    name = parts.netloc.rpartition("@")[2]  # never its password
    try:
        sock = _connect(*address_of(parts.geturl()), deadline, grip)
    except UnavailableError as exc:
        raise _unreachable(f"cannot reach the proxy {name}: {exc.message}", _PROXY_HINT) from exc
    try:
        with _closed_on_failure(sock):
            sock.settimeout(max(deadline.left(), _SHORTEST))
            sock.sendall(_connect_request(parts, host, port))
            _check_tunnel(_read_head(sock, name, deadline), name)
    except OSError as exc:
        raise _unreachable(f"the proxy {name} does not answer: {exc.strerror or exc}", _PROXY_HINT) from exc
    return sock


def dial(endpoint: Endpoint, deadline: Deadline, grip: Handle) -> socket.socket:
    """A connected socket to the endpoint, without TLS; the caller sets its timeout.

    Raises:
        UnavailableError: it cannot be reached within the deadline. No request was sent.
        CredentialError: the proxy rejects the credentials.
    """
    if endpoint.unix_socket is not None:
        return _connect_unix(os.fspath(endpoint.unix_socket), deadline, grip)
    host, port = address_of(endpoint.url)
    if endpoint.proxy is not None:
        return _tunnel(endpoint.proxy, host, port, deadline, grip)
    return _connect(host, port, deadline, grip)


def start_tls(sock: socket.socket, context: ssl.SSLContext, host: str, deadline: Deadline, grip: Handle) -> ssl.SSLSocket:
    """TLS over a connected socket, with the certificate checked against the host.

    Raises:
        PlatformError: the certificate is not trusted.
        UnavailableError: the handshake failed or took too long. No request was sent.
    """
    sock.settimeout(max(deadline.left(), _SHORTEST))
    # In two steps: the grip must know the new socket before the handshake blocks.
    secure = context.wrap_socket(sock, server_hostname=host, do_handshake_on_connect=False)
    grip.hold(secure)
    try:
        with _closed_on_failure(secure):
            secure.do_handshake()
    except ssl.SSLCertVerificationError as exc:
        raise PlatformError(
            f"the certificate of {host} is not trusted: {exc.verify_message}",
            hint="set SSL_CERT_FILE to your own certificate authority; verification cannot be turned off",
        ) from exc
    except OSError as exc:
        why = "it took too long" if isinstance(exc, TimeoutError) else exc.strerror or str(exc)
        raise _unreachable(
            f"the TLS handshake with {host} failed: {why}", "check PLATFORM_URL: it may need http://"
        ) from exc
    return secure
