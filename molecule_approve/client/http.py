"""One HTTP exchange with an endpoint under one deadline; peer.py says whose answer it is. The only file with httpx and h11.

Each exchange has its own connection: one request, one answer. So no bytes of another exchange, and no unrequested ones, can
be taken for the answer: if bytes come before the request or after the answer, the connection is closed and they are not
used.

httpx alone limits each step but not the whole, reuses connections, has its own proxy rules and decodes without limit. So it
gets our transport: one deadline, our dialling, and bodies read raw up to a limit. Redirects, cookies and .netrc are not
used: a token goes only to the address that it was configured for.
"""

from __future__ import annotations

import contextlib
import email.utils
import re
import sys
import typing
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC
from http.cookiejar import CookieJar, DefaultCookiePolicy

from molecule_approve.clock import Deadline
from molecule_approve.errors import PlatformError, ProtocolError, UnavailableError
from molecule_approve.wire import unexpected

from . import dial

if typing.TYPE_CHECKING:
    import socket
    import ssl

    from molecule_approve.model import Endpoint


@contextlib.contextmanager
def _without_click() -> Iterator[None]:
    """Import httpx as if click were not installed.

    With click, httpx imports its own command line, and with it rich and pygments: a third of our start-up for nothing.
    """
    if "click" in sys.modules:
        yield  # the caller's program has imported it already
        return
    sys.modules["click"] = None  # type: ignore[assignment]  # this is how the import system is told "not there"
    try:
        yield
    finally:
        del sys.modules["click"]


with _without_click():
    import h11
    import httpx

_CHUNK = 65_536
_FAREWELL = 0.1
"""Seconds to wait for the end of the connection after the answer; the request said ``Connection: close``."""

Dialer = Callable[["Endpoint", Deadline, dial.Handle], "socket.socket"]


class _UnaskedError(Exception):
    """Unrequested bytes: before the request, or after the answer (``asked``)."""

    def __init__(self, *, asked: bool) -> None:
        super().__init__()
        self.asked = asked


class Answer(typing.NamedTuple):
    """An answer: the status, the headers (names in lower case) and the whole body; and whether a token was sent."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    token_sent: bool = True

    @property
    def is_json(self) -> bool:
        """Whether the body is declared as JSON. The platform's 404 for an unknown route is plain text."""
        return bool(self.body) and self.headers.get("content-type", "").split(";")[0].strip().lower() == "application/json"


def retry_after(value: str | None, now: float) -> float | None:
    """Seconds from a Retry-After header (RFC 9110, 10.2.3): a number, or a date; None if it is neither."""
    if value is None:
        return None
    if re.fullmatch(r"[0-9]{1,9}", value.strip()):
        return float(value)
    try:
        moment = email.utils.parsedate_to_datetime(value)
    except (ValueError, TypeError, OverflowError):
        return None
    # A date without a zone is UTC, not the local zone of this machine.
    return max(0.0, (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp() - now)


class _CheckedSocket:
    """A connection for one exchange; every operation ends at the exchange's deadline. ``ended`` by the other side."""

    def __init__(self, sock: socket.socket, deadline: Deadline) -> None:
        self._sock = sock
        self._deadline = deadline
        self.ended = False

    def _begin(self) -> None:
        left = self._deadline.left()
        if left <= 0:
            raise UnavailableError("the platform took too long to answer", slow=True, hint="check its load and the network")
        self._sock.settimeout(left)

    def _hears(self, seconds: float) -> bool:
        """Whether anything comes within that time; notes the end of the connection."""
        self._sock.settimeout(seconds)
        try:
            found = self._sock.recv(1)
        except OSError:  # nothing came (over TLS: nothing but its own records), or nothing can come any more
            return False
        self.ended = not found
        return bool(found)

    def ask(self, data: bytes) -> None:
        """Send the request, over a connection on which nothing has come yet."""
        if self._hears(0.0):
            raise _UnaskedError(asked=False)
        if self.ended:
            raise UnavailableError(
                "the platform closed the connection before the request",
                maybe_sent=False,
                hint="it may be restarting",
            )
        self._begin()
        try:
            self._sock.sendall(data)
        except TimeoutError as exc:
            raise UnavailableError(
                "the platform did not accept the request in time", slow=True, hint="check its load"
            ) from exc
        except OSError:
            return  # a server may refuse a request before it has read it whole, and its answer says why

    def read(self) -> bytes:
        """The next bytes of the answer; empty at the end of the connection."""
        self._begin()
        try:
            data = self._sock.recv(_CHUNK)
        except TimeoutError as exc:
            raise UnavailableError("the platform did not answer in time", slow=True, hint="check its load") from exc
        except OSError as exc:
            raise _broken_off() from exc
        self.ended = not data
        return data

    def finish(self, rest: bytes) -> None:
        """Check that the connection ends with the answer; ``rest`` is what was read beyond it."""
        if rest or (not self.ended and self._hears(min(_FAREWELL, self._deadline.left()))):
            raise _UnaskedError(asked=True)


def _broken_off() -> UnavailableError:
    return UnavailableError("the platform broke off the connection", hint="it may be restarting")


class _H11Transport(httpx.BaseTransport):
    """httpx's transport: for each request a connection of its own, with h11 over it.

    Attributes:
        deadline: of the exchange in progress.
        limit: the most bytes of its answer.
        grip: what it waits for.
    """

    def __init__(self, endpoint: Endpoint, dialer: Dialer) -> None:
        self.deadline = Deadline(0.0)
        self.limit = 0
        self.grip = dial.Handle()
        self._endpoint = endpoint
        self._dialer = dialer
        self._tls: ssl.SSLContext | None = None

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.scheme == "https" and self._tls is None:
            self._tls = dial.tls_context()  # once, and before connecting: it is slow, and may fail
        with contextlib.ExitStack() as sockets:
            try:
                sock = sockets.enter_context(contextlib.closing(self._dialer(self._endpoint, self.deadline, self.grip)))
                if self._tls is not None:
                    host, _ = dial.address_of(self._endpoint.url)
                    sock = dial.start_tls(sock, self._tls, host, self.deadline, self.grip)
                    sockets.enter_context(contextlib.closing(sock))
            except PlatformError as exc:
                exc.maybe_sent = False  # nothing was sent
                raise
            return self._talk(_CheckedSocket(sock, self.deadline), request)

    def _talk(self, line: _CheckedSocket, request: httpx.Request) -> httpx.Response:
        connection = h11.Connection(h11.CLIENT)
        asking = h11.Request(method=request.method, target=request.url.raw_path, headers=request.headers.raw)
        content = h11.Data(data=request.read())
        line.ask(b"".join(connection.send(event) or b"" for event in (asking, content, h11.EndOfMessage())))
        try:
            response = self._receive(line, connection)
        except h11.RemoteProtocolError as exc:
            if line.ended:
                raise _broken_off() from exc
            raise ProtocolError(
                f"the server at {self._endpoint.url} does not speak HTTP", hint="check the port in PLATFORM_URL"
            ) from exc
        line.finish(connection.trailing_data[0])
        return response

    def _receive(self, line: _CheckedSocket, connection: h11.Connection) -> httpx.Response:
        status, headers, body = 0, httpx.Headers(), bytearray()
        while not isinstance(event := connection.next_event(), h11.EndOfMessage):
            if event is h11.NEED_DATA:
                connection.receive_data(line.read())
            elif isinstance(event, h11.Response):
                status, headers = event.status_code, httpx.Headers(event.headers.raw_items())
                _refuse_compression(headers)
            elif isinstance(event, h11.Data):  # what is left is "100 Continue" and its like
                body += event.data
                if len(body) > self.limit:
                    raise unexpected(f"the answer is longer than {self.limit} bytes")
        return httpx.Response(status, headers=headers, stream=httpx.ByteStream(bytes(body)))


def _refuse_compression(headers: httpx.Headers) -> None:
    if headers.get("content-encoding", "identity") != "identity":
        raise unexpected("the answer is compressed, although the request refused that")


class Http:
    """Exchanges with one endpoint, one at a time."""

    def __init__(self, endpoint: Endpoint, *, dialer: Dialer = dial.dial) -> None:
        headers = {
            # httpx would decode a host in Punycode, and fail if it is not valid.
            "Host": httpx.URL(endpoint.url).netloc.decode("ascii"),
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "Cache-Control": "no-cache",
            "Connection": "close",
            **endpoint.headers,
        }
        if endpoint.token is not None:
            headers["Authorization"] = f"Bearer {endpoint.token.reveal()}"
        self._transport = _H11Transport(endpoint, dialer)
        # Whether the last connection had unrequested bytes: then no exchange is repeated for that.
        self._unasked = False
        # With a transport given, httpx builds no TLS context and reads no proxies of its own.
        self._client = httpx.Client(
            transport=self._transport,
            base_url=endpoint.url,
            headers=headers,
            trust_env=False,
            follow_redirects=False,
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
        )

    def exchange(
        self,
        method: str,
        path: str,
        deadline: Deadline,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        limit: int,
        repeatable: bool | None = None,
    ) -> Answer:
        """Send one request and read its whole answer, of at most ``limit`` bytes, before the deadline.

        After unrequested bytes it is repeated once over another connection, if the request is ``repeatable``: by
        default, if it is a GET. ``path`` is below the endpoint's address, with its query; ``body`` is JSON, or None.

        Raises:
            UnavailableError: there was no whole answer in time; ``maybe_sent`` says whether the request may have arrived.
            ProtocolError: the answer is not HTTP, was not requested, is larger than the limit, or is compressed.
        """
        self._transport.deadline, self._transport.limit = deadline, limit
        wanted = dict(headers or {})
        if body is not None:
            wanted["Content-Type"] = "application/json"
        again = method == "GET" if repeatable is None else repeatable
        while True:
            try:
                with self._client.stream(method, path, content=body, headers=wanted) as response:
                    self._unasked = False
                    body = b"".join(response.iter_raw())
                    return Answer(response.status_code, response.headers, body, "Authorization" in self._client.headers)
            except _UnaskedError as exc:
                twice, self._unasked = self._unasked, True
                if twice or (exc.asked and not again):
                    break
        raise ProtocolError(
            f"{self._endpoint_url} sent bytes that answer no request; they were not used",
            hint="check the proxy in between, and PLATFORM_URL",
        )

    @property
    def _endpoint_url(self) -> str:
        return str(self._client.base_url).rstrip("/")

    def interrupt(self) -> None:
        """Make the exchange in progress fail at once; for another thread."""
        self._transport.grip.break_off()

    def close(self) -> None:
        """Close the client; each exchange has closed its own connection."""
        self._client.close()
