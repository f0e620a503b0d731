"""One way to reach an endpoint, for REST and the event stream alike: TCP, a Unix socket, or a tunnel through a proxy.

httpx and websockets each have their own way, with other rules for proxies and no bound on the whole; here one deadline
covers the look-up of the name, every address and the tunnel, and one decision says which proxy is used.
"""

from __future__ import annotations

import base64
import socket
import ssl
import threading
import urllib.parse
from typing import TYPE_CHECKING, Any

from molecule_approve.errors import PlatformError, UnavailableError

if TYPE_CHECKING:
    from molecule_approve.clock import Deadline
    from molecule_approve.model import Endpoint, Secret

_HEAD_LIMIT = 16_384
_AddressInfo = list[tuple[Any, Any, Any, Any, Any]]


def address_of(url: str) -> tuple[str, int]:
    """Host and port of a base address that config has checked."""
    parts = urllib.parse.urlsplit(url)
    return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


def tls_context() -> ssl.SSLContext:
    """What TLS trusts: the system's authorities (SSL_CERT_FILE and SSL_CERT_DIR included) and certifi's.

    There is no switch to turn verification off. The system's store alone would fail in an image that ships none.
    """
    import certifi  # noqa: PLC0415 - only https:// needs it

    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    return context


def resolve(host: str, port: int, deadline: Deadline) -> _AddressInfo:
    """The addresses of a host. The system's look-up knows no timeout, so it runs in a thread that may be left behind.

    Raises:
        UnavailableError: there is none, or the look-up took too long.

    """
    found: list[_AddressInfo | OSError] = []

    def look_up() -> None:
        try:
            found.append(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except OSError as exc:
            found.append(exc)

    if _is_literal(host):
        look_up()
    else:
        thread = threading.Thread(target=look_up, daemon=True)
        thread.start()
        thread.join(deadline.left())
    if not found:
        raise UnavailableError(f"looking up the host {host!r} took too long", maybe_sent=False, hint="is the network up?")
    if isinstance(found[0], OSError):
        raise UnavailableError(
            f"there is no host {host!r}", maybe_sent=False, hint="check PLATFORM_URL and the network"
        ) from found[0]
    return found[0]


def _is_literal(host: str) -> bool:
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, host)
        except OSError:
            continue
        return True
    return False


def _connect(host: str, port: int, deadline: Deadline) -> socket.socket:
    failure: OSError | None = None
    addresses = resolve(host, port, deadline)
    for tried, (family, kind, protocol, _, address) in enumerate(addresses):
        sock = socket.socket(family, kind, protocol)
        try:
            # An equal share of the time for each address: one that swallows everything must not starve the next.
            sock.settimeout(max(deadline.left() / (len(addresses) - tried), 0.001))
            sock.connect(address)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as exc:
            sock.close()
            failure = exc
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    why = "it does not answer" if isinstance(failure, TimeoutError) else (failure and failure.strerror) or "no address"
    raise UnavailableError(
        f"no connection to {host}:{port}: {why}",
        maybe_sent=False,
        hint="is the platform running, and is PLATFORM_URL right?",
    ) from failure


def _connect_unix(path: str, deadline: Deadline) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.settimeout(max(deadline.left(), 0.001))
        sock.connect(path)
    except OSError as exc:
        sock.close()
        raise UnavailableError(
            f"the embedded server is not there: {exc.strerror or exc}",
            maybe_sent=False,
            hint="start it: molecule-approve serve",
        ) from exc
    except BaseException:
        sock.close()
        raise
    return sock


def _read_head(sock: socket.socket, deadline: Deadline) -> bytes:
    head = b""
    # Byte by byte: what follows the head belongs to TLS, and must stay in the socket.
    while not head.endswith(b"\r\n\r\n"):
        sock.settimeout(max(deadline.left(), 0.001))
        byte = sock.recv(1)
        if not byte or len(head) >= _HEAD_LIMIT:
            raise UnavailableError("the proxy gave no answer that can be understood", maybe_sent=False)
        head += byte
    return head


def _tunnel(proxy: Secret, host: str, port: int, deadline: Deadline) -> socket.socket:
    """A connection through a proxy's CONNECT (RFC 9110, 9.3.6)."""
    parts = urllib.parse.urlsplit(proxy.reveal())
    sock = _connect(parts.hostname or "", parts.port or 80, deadline)
    target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}"]
    if parts.username is not None:
        pair = f"{urllib.parse.unquote(parts.username)}:{urllib.parse.unquote(parts.password or '')}"
        lines.append(f"Proxy-Authorization: Basic {base64.b64encode(pair.encode()).decode()}")
    try:
        sock.settimeout(max(deadline.left(), 0.001))
        sock.sendall(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))
        status = _read_head(sock, deadline).split(b"\r\n", 1)[0].split(b" ")
        if len(status) < 2 or not (status[1].isdigit() and 200 <= int(status[1]) < 300):
            answer = b" ".join(status[1:]).decode("latin-1")
            raise UnavailableError(f"the proxy refuses the tunnel: {answer[:200]}", maybe_sent=False)
    except OSError as exc:
        sock.close()
        raise UnavailableError(f"the proxy does not answer: {exc.strerror or exc}", maybe_sent=False) from exc
    except BaseException:
        sock.close()
        raise
    return sock


def dial(endpoint: Endpoint, deadline: Deadline) -> socket.socket:
    """A connected socket to the endpoint, TLS not begun; its timeout is to be set by whoever uses it.

    Raises:
        UnavailableError: it cannot be reached within the deadline. Nothing of a request was sent.

    """
    if endpoint.unix_socket is not None:
        return _connect_unix(endpoint.unix_socket, deadline)
    host, port = address_of(endpoint.url)
    if endpoint.proxy is not None:
        return _tunnel(endpoint.proxy, host, port, deadline)
    return _connect(host, port, deadline)


def start_tls(sock: socket.socket, context: ssl.SSLContext, host: str, deadline: Deadline) -> ssl.SSLSocket:
    """TLS over a connected socket, the certificate checked against the host.

    Raises:
        PlatformError: the certificate is not trusted; another try would not help.
        UnavailableError: the handshake failed or took too long. Nothing of a request was sent.

    """
    try:
        sock.settimeout(max(deadline.left(), 0.001))
        return context.wrap_socket(sock, server_hostname=host)
    except ssl.SSLCertVerificationError as exc:
        sock.close()
        raise PlatformError(
            f"the certificate of {host} is not trusted: {exc.verify_message}",
            hint="name your own authority in SSL_CERT_FILE; verification cannot be turned off",
        ) from exc
    except OSError as exc:
        sock.close()
        why = "it took too long" if isinstance(exc, TimeoutError) else exc.strerror or str(exc)
        raise UnavailableError(
            f"no TLS with {host}: {why}", maybe_sent=False, hint="does PLATFORM_URL want http://?"
        ) from exc
    except BaseException:
        sock.close()
        raise
