"""The event stream over a WebSocket. The only file that imports websockets; its events are hints, never verdicts.

The library's own ``connect`` follows redirects with our headers and has its own rules for proxies, and its reconnecting
iterator gives up on 401 and does not pause after a clean close; so the socket is ours, and reconnecting is the wait's.
"""

from __future__ import annotations

import contextlib
import logging
import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidStatus
from websockets.protocol import State
from websockets.sync.client import ClientConnection
from websockets.uri import parse_uri

from molecule_approve.clock import Deadline
from molecule_approve.errors import ApprovalError, CredentialError, DisconnectedError, RejectedError, UnavailableError
from molecule_approve.wire import Event, read_event

from . import dial
from .http import retry_after

if TYPE_CHECKING:
    from websockets.http11 import Response

    from molecule_approve.model import Endpoint

MESSAGE_LIMIT = 1024 * 1024
"""Bytes that one message may have; a longer one ends the stream, and the wait goes on by reading."""

PING = 20.0
"""Seconds between our pings, and for an answer to one: how a half-open connection is found. The platform never pings."""

# The library logs a traceback when a ping is not answered; without this it would come out on the user's stderr.
_LOG = logging.getLogger(__name__)
_LOG.addHandler(logging.NullHandler())
_LOG.propagate = False


class Stream:
    """An open stream; see the contract's Subscription."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection

    def next(self, timeout: float) -> Event | None:
        """The next approval's event, or None after that many seconds; see the contract."""
        end = Deadline.after(timeout)
        while True:
            try:
                message = self._connection.recv(timeout=end.left(), decode=False)  # the wire module checks the text
            except TimeoutError:
                if self._connection.state is not State.OPEN:
                    # It said goodbye and keeps the connection: the library would wait for the end of that for ever.
                    raise DisconnectedError("the event stream ended", hint="the wait goes on by reading") from None
                return None
            except Exception as exc:
                # A clean close ends it like any other, and so does a fault of the library: it is no news of the request.
                raise DisconnectedError("the event stream ended", hint="the wait goes on by reading") from exc
            event = read_event(message)
            if event is not None:
                return event
            if end.passed():
                return None

    def close(self) -> None:
        """Let go of the socket at once; the platform needs no farewell. Also for another thread."""
        # The library's threads end by themselves; waiting for them would stand between the decision and the exit.
        with contextlib.suppress(Exception):
            self._connection.close_socket()


def open_stream(endpoint: Endpoint, deadline: Deadline, grip: dial.Grip, *, ping: float = PING) -> Stream:
    """Connect and shake hands.

    Args:
        endpoint: whose stream.
        deadline: of all of it.
        grip: by which another thread can break it off.
        ping: seconds between our pings, and for an answer to one.

    Raises:
        CredentialError: the stream does not take our token (it takes only the workspace's own); REST may.
        RejectedError: there is no stream here.
        UnavailableError: it is away, overloaded or too slow.

    """
    try:
        return _open(endpoint, endpoint.origin, deadline, grip, ping)
    except CredentialError as exc:
        if exc.status != 403 or endpoint.origin is not None:
            raise
    # A platform whose CORS_ORIGINS is set refuses a handshake without Origin like one with a foreign one.
    return _open(endpoint, origin_of(endpoint.url), deadline, grip, ping)


def origin_of(url: str) -> str:
    """The address as a browser's page there would name itself (RFC 6454): scheme, host, and a port that is not the usual."""
    parts = urlsplit(url)
    usual = {"http": ":80", "https": ":443"}.get(parts.scheme, "")
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2].lower().removesuffix(usual)}"


def _open(endpoint: Endpoint, origin: str | None, deadline: Deadline, grip: dial.Grip, ping: float) -> Stream:
    uri = parse_uri("ws" + endpoint.url.removeprefix("http") + "/ws")
    tls = dial.tls_context() if uri.secure else None
    sock = dial.dial(endpoint, deadline, grip)
    if tls is not None:
        sock = dial.start_tls(sock, tls, uri.host, deadline, grip)
    sock.settimeout(None)
    # No extensions: compression costs memory and hides the size of a message. No Origin at first: a foreign one gets 403.
    protocol = ClientProtocol(uri, max_size=MESSAGE_LIMIT, logger=_LOG)
    let_go = sock.close
    try:
        connection = ClientConnection(sock, protocol, ping_interval=ping, ping_timeout=ping, close_timeout=0.2)
        let_go = connection.close_socket
        connection.__enter__()  # newer releases warn without it; it does nothing else
        _shake_hands(connection, endpoint, origin, deadline)
        connection.start_keepalive()
    except BaseException as exc:
        with contextlib.suppress(Exception):
            let_go()
        if isinstance(exc, Exception) and not isinstance(exc, ApprovalError):
            # What the library says to an answer that came before our question, or of a thread that cannot be started.
            raise UnavailableError(f"the event stream could not be opened: {exc!r}") from exc
        raise
    return Stream(connection)


def _shake_hands(connection: ClientConnection, endpoint: Endpoint, origin: str | None, deadline: Deadline) -> None:
    headers = {**endpoint.headers, "X-Workspace-ID": endpoint.workspace_id}
    if origin is not None:
        headers["Origin"] = origin
    if endpoint.token is not None:
        headers["Authorization"] = f"Bearer {endpoint.token.reveal()}"
    try:
        connection.handshake(headers, timeout=max(deadline.left(), 0.001))
    except TimeoutError as exc:
        raise UnavailableError("the event stream did not answer in time") from exc
    except InvalidStatus as exc:
        raise _refused(exc.response, origin) from exc


def _refused(response: Response, origin: str | None) -> ApprovalError:
    status = response.status_code
    if status == 403 and origin is not None:
        return CredentialError(
            f"the event stream does not take us (403), also with Origin {origin}: is that in the platform's CORS_ORIGINS?",
            status=status,
            hint="set approve.headers: {Origin: ...} in config.yaml to an address that CORS_ORIGINS names",
        )
    if status in {401, 403}:
        return CredentialError(
            f"the event stream does not take our token ({status})", status=status, hint="it takes only the workspace's own"
        )
    if status in {408, 425, 429} or status >= 500:
        said = response.headers.get_all("Retry-After")  # `get` raises where the header came twice
        wait = retry_after(", ".join(said) or None, time.time())
        return UnavailableError(f"the event stream answered {status}", status=status, retry_after=wait)
    return RejectedError(f"there is no event stream here ({status})", status=status)
