"""The event stream over a WebSocket. The only file that imports websockets; its events are hints, never verdicts.

The library's ``connect`` follows redirects with our headers and has its own proxy rules; its reconnecting iterator gives up
on 401 and does not pause after a clean close. So the socket is dialled here, and ``reconnect`` connects again.
"""

from __future__ import annotations

import contextlib
import logging
import time
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidStatus
from websockets.protocol import State
from websockets.sync.client import ClientConnection
from websockets.uri import parse_uri

from molecule_approve import signals
from molecule_approve.clock import Deadline
from molecule_approve.errors import ApprovalError, CredentialError, DisconnectedError, RejectedError, UnavailableError
from molecule_approve.wire import REQUEST_HEADER, Event, read_event

from . import dial
from .http import retry_after
from .shared_tls import SharedTls

if TYPE_CHECKING:
    import socket

    from websockets.http11 import Response

    from molecule_approve.model import Endpoint

MESSAGE_LIMIT = 1024 * 1024
"""The most bytes of one message; a longer one ends the stream, and the wait reads instead."""

PING = 20.0
"""Seconds between pings, and for the answer to one: finds half-open connections. The platform never pings."""

# The library logs a traceback when a ping is not answered; without this it would reach stderr.
_LOG = logging.getLogger(__name__)
_LOG.addHandler(logging.NullHandler())
_LOG.propagate = False


class Stream:
    """An open stream; see the contract's Subscription."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection

    def next(self, timeout: float) -> Event | None:
        """The next event about a request, or None after that many seconds; see the contract."""
        end = Deadline.after(timeout)
        while True:
            try:
                message = self._connection.recv(timeout=end.left(), decode=False)  # the wire module checks the text
            except TimeoutError:
                if self._connection.state is not State.OPEN:
                    # The platform has said goodbye but keeps the connection, for whose end the library would wait.
                    raise DisconnectedError("the event stream ended", hint="reading continues") from None
                return None
            except Exception as exc:
                # A clean close and a fault of the library end it alike; neither says anything about the request.
                raise DisconnectedError("the event stream ended", hint="reading continues") from exc
            event = read_event(message)
            if event is not None:
                return event
            if end.passed():
                return None

    def close(self) -> None:
        """Close the socket at once, without a closing handshake. Also for another thread."""
        # The library's threads end by themselves; waiting for them would delay the exit.
        with contextlib.suppress(Exception):
            self._connection.close_socket()


def open_stream(
    endpoint: Endpoint,
    deadline: Deadline,
    grip: dial.Handle,
    *,
    ping: float = PING,
    approval_id: str | None = None,
) -> Stream:
    """Open the event stream; ``ping`` are the seconds between pings, and for the answer to one.

    With an id the embedded server sends the events of this request alone.

    The deadline is for all of it; the grip lets another thread interrupt it.

    Raises:
        CredentialError: the stream rejects the token (it accepts only the workspace's own); REST may accept it.
        RejectedError: there is no stream at this address.
        UnavailableError: it cannot be reached, is overloaded or too slow.
    """
    try:
        return _open(endpoint, _headers(endpoint, endpoint.origin, approval_id), deadline, grip, ping)
    except CredentialError as exc:
        if exc.status != 403 or endpoint.origin is not None:
            raise
    # A platform with CORS_ORIGINS set refuses a handshake without an Origin.
    return _open(endpoint, _headers(endpoint, origin_of(endpoint.url), approval_id), deadline, grip, ping)


def origin_of(url: str) -> str:
    """The origin of the address (RFC 6454): scheme, host, and the port if it is not the default."""
    parts = urlsplit(url)
    usual = {"http": ":80", "https": ":443"}.get(parts.scheme, "")
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2].lower().removesuffix(usual)}"


def _headers(endpoint: Endpoint, origin: str | None, approval_id: str | None) -> dict[str, str]:
    headers = {**endpoint.headers, "X-Workspace-ID": endpoint.workspace_id}
    if origin is not None:
        headers["Origin"] = origin
    if approval_id is not None:
        headers[REQUEST_HEADER] = approval_id
    if endpoint.token is not None:
        headers["Authorization"] = f"Bearer {endpoint.token.reveal()}"
    return headers


def _open(endpoint: Endpoint, headers: dict[str, str], deadline: Deadline, grip: dial.Handle, ping: float) -> Stream:
    uri = parse_uri("ws" + endpoint.url.removeprefix("http") + "/ws")
    tls = dial.tls_context() if uri.secure else None
    sock: socket.socket = dial.dial(endpoint, deadline, grip)
    if tls is not None:
        shared = SharedTls(dial.start_tls(sock, tls, uri.host, deadline, grip))
        grip.hold(shared)
        sock = cast("socket.socket", shared)  # all of it that the library uses
    sock.settimeout(None)
    # No extensions: compression costs memory and hides the size of a message.
    protocol = ClientProtocol(uri, max_size=MESSAGE_LIMIT, logger=_LOG)
    let_go = sock.close
    try:
        with signals.held():  # it starts a thread
            connection = ClientConnection(sock, protocol, ping_interval=ping, ping_timeout=ping, close_timeout=0.2)
        let_go = connection.close_socket
        connection.__enter__()  # newer releases warn without it; it does nothing else
        _shake_hands(connection, headers, deadline)
        with signals.held():
            connection.start_keepalive()
    except BaseException as exc:
        with contextlib.suppress(Exception):
            let_go()
        if isinstance(exc, Exception) and not isinstance(exc, ApprovalError):
            # An answer before our handshake, or a thread that cannot be started.
            raise UnavailableError(f"cannot open the event stream: {exc!r}") from exc
        raise
    return Stream(connection)


def _shake_hands(connection: ClientConnection, headers: dict[str, str], deadline: Deadline) -> None:
    try:
        connection.handshake(headers, timeout=max(deadline.left(), 0.001))
    except TimeoutError as exc:
        raise UnavailableError("the event stream did not answer in time") from exc
    except InvalidStatus as exc:
        raise _refused(exc.response, headers.get("Origin")) from exc


def _refused(response: Response, origin: str | None) -> ApprovalError:
    status = response.status_code
    if status == 403 and origin is not None:
        return CredentialError(
            f"the event stream rejects the handshake (403), also with Origin {origin}, which may be missing in CORS_ORIGINS",
            status=status,
            hint="set approve.headers: {Origin: ...} in config.yaml to an address in the platform's CORS_ORIGINS",
        )
    if status in {401, 403}:
        return CredentialError(
            f"the event stream rejects the token ({status})", status=status, hint="it accepts only the workspace's own token"
        )
    if status in {408, 425, 429} or status >= 500:
        said = response.headers.get_all("Retry-After")  # `get` raises if the header came twice
        wait = retry_after(", ".join(said) or None, time.time())
        return UnavailableError(f"the event stream answered {status}", status=status, retry_after=wait)
    return RejectedError(f"the platform has no event stream at this address ({status})", status=status)
