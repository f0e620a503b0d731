"""One HTTP exchange with an endpoint, bounded as a whole. The only file that imports httpx; what it means is rest.py's.

httpx bounds each step but never the whole, builds a TLS context even for http://, has its own rules for proxies and
decodes without limit. So it gets a transport of ours: one deadline over every step, our way of dialling, and bodies read
raw and capped. Redirects, cookies and .netrc have no place here: a token goes to the address that it was configured for.
"""

from __future__ import annotations

import contextlib
import email.utils
import re
import select
import sys
import typing
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC
from http.cookiejar import CookieJar, DefaultCookiePolicy

from molecule_approve.clock import Deadline
from molecule_approve.errors import PlatformError, ProtocolError, UnavailableError

from . import dial

if typing.TYPE_CHECKING:
    import socket
    import ssl

    from molecule_approve.model import Endpoint


@contextlib.contextmanager
def _without_click() -> Iterator[None]:
    """Import httpx as if click were not installed.

    httpx imports its own command line when it finds click (which uvicorn brings), and with it rich and pygments: a third
    of our start-up for something that we never call. httpx is built to go without.
    """
    if "click" in sys.modules:
        yield  # the program that uses our API has paid for it already
        return
    sys.modules["click"] = None  # type: ignore[assignment]  # this is how the import system is told "not there"
    try:
        yield
    finally:
        del sys.modules["click"]


with _without_click():
    import httpcore
    import httpx

_NEVER = Deadline(0.0)
# What httpcore and h11 say where the connection ended too early; everything else that they refuse is no HTTP.
_BROKEN_OFF = ("disconnected", "closed connection")


class Answer(typing.NamedTuple):
    """What came back: the status, the headers (names in lower case) and the whole body."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def is_json(self) -> bool:
        """Whether there is a body that says it is JSON. The platform's own 404 for an unknown route is plain text."""
        return bool(self.body) and self.headers.get("content-type", "").split(";")[0].strip().lower() == "application/json"


def retry_after(value: str | None, now: float) -> float | None:
    """Seconds from a Retry-After header (RFC 9110, 10.2.3): a number, or a date; None where it is neither."""
    if value is None:
        return None
    if re.fullmatch(r"[0-9]{1,9}", value.strip()):
        return float(value)
    try:
        moment = email.utils.parsedate_to_datetime(value)
    except (ValueError, TypeError, OverflowError):
        return None
    # A date without a zone is UTC: nothing else can be meant, and the local one is the caller's, not the platform's.
    return max(0.0, (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp() - now)


class _Stream(httpcore.NetworkStream):
    """A socket whose every operation ends at the line's current deadline."""

    def __init__(self, sock: socket.socket, line: _Backend) -> None:
        self._sock = sock
        self._line = line

    def _begin(self) -> None:
        left = self._line.deadline.left()
        if left <= 0:
            raise UnavailableError("the platform took too long to answer", hint="is it overloaded, or is the network slow?")
        self._sock.settimeout(left)

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        self._begin()
        try:
            return self._sock.recv(max_bytes)
        except TimeoutError as exc:
            raise UnavailableError("the platform did not answer in time", hint="is it overloaded?") from exc
        except OSError as exc:
            raise httpcore.ReadError(str(exc)) from exc

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._begin()
        if not buffer:  # httpcore ends a request by writing nothing: that would swallow a reset that our reading is to see
            return
        try:
            self._sock.sendall(buffer)
        except TimeoutError as exc:
            raise UnavailableError("the platform did not take our request in time", hint="is it overloaded?") from exc
        except OSError as exc:
            # httpcore goes on to read here: a server may refuse a request before it has read it whole.
            raise httpcore.WriteError(str(exc)) from exc

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        self._sock = dial.start_tls(self._sock, ssl_context, server_hostname or "", self._line.deadline, self._line.grip)
        return self

    def get_extra_info(self, info: str) -> typing.Any:  # noqa: ANN401 - httpcore's signature
        if info == "is_readable":  # asked before a connection is used again: readable means that it was closed
            poller = select.poll()  # select.select fails in a program that has a thousand files open
            poller.register(self._sock, select.POLLIN)
            return bool(poller.poll(0))
        return None

    def close(self) -> None:
        self._sock.close()


class _Backend(httpcore.NetworkBackend):
    """Dials for httpcore, our way.

    Attributes:
        deadline: of the exchange in progress.
        grip: what that exchange waits for.

    """

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self.deadline = _NEVER
        self.grip = dial.Grip()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        # The endpoint says it all: its socket, its proxy, its address; httpcore's host and port are the same ones.
        return _Stream(dial.dial(self._endpoint, self.deadline, self.grip), self)


class _Body(httpx.SyncByteStream):
    def __init__(self, parts: typing.Iterable[bytes]) -> None:
        self._parts = parts

    def __iter__(self) -> Iterator[bytes]:
        yield from self._parts

    def close(self) -> None:
        typing.cast("typing.Any", self._parts).close()


class _Transport(httpx.BaseTransport):
    """httpx's transport with our backend under it."""

    def __init__(self, backend: _Backend, tls: ssl.SSLContext | None) -> None:
        self._pool = httpcore.ConnectionPool(
            ssl_context=tls, network_backend=backend, max_connections=1, max_keepalive_connections=1
        )

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        url = request.url
        answer = self._pool.handle_request(
            httpcore.Request(
                request.method,
                httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
                headers=request.headers.raw,
                content=request.stream,
            )
        )
        parts = typing.cast("Iterable[bytes]", answer.stream)
        return httpx.Response(answer.status, headers=answer.headers, stream=_Body(parts))

    def close(self) -> None:
        self._pool.close()


class Http:
    """A line to one endpoint, over which one exchange at a time takes place."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._backend = _Backend(endpoint)
        self._client: httpx.Client | None = None

    def _open(self) -> httpx.Client:
        if self._client is None:
            tls = dial.tls_context() if self._endpoint.url.startswith("https://") else None
            headers = {"Accept": "application/json", "Accept-Encoding": "identity", **self._endpoint.headers}
            if self._endpoint.token is not None:
                headers["Authorization"] = f"Bearer {self._endpoint.token.reveal()}"
            # With a transport given, httpx builds no TLS context and reads no proxies of its own.
            self._client = httpx.Client(
                transport=_Transport(self._backend, tls),
                base_url=self._endpoint.url,
                headers=headers,
                trust_env=False,
                follow_redirects=False,
                cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
            )
        return self._client

    def exchange(
        self,
        method: str,
        path: str,
        deadline: Deadline,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        limit: int,
    ) -> Answer:
        """Send one request and read its whole answer, of at most ``limit`` bytes.

        Raises:
            UnavailableError: there was no whole answer in time; ``maybe_sent`` says whether the request may have arrived.
            ProtocolError: what came back is no HTTP, is larger than the limit, or is compressed although we refuse that.

        """
        self._backend.deadline = deadline
        wanted = dict(headers or {})
        if body is not None:
            wanted["Content-Type"] = "application/json"
        try:
            with self._open().stream(method, path, content=body, headers=wanted) as response:
                return Answer(response.status_code, response.headers, _read(response, limit))
        except (httpcore.NetworkError, httpcore.RemoteProtocolError) as exc:
            self.close()
            raise self._meaning(exc) from exc
        except BaseException:
            self.close()  # an exchange that was broken off leaves a line on which the next answer would be the wrong one
            raise

    def _meaning(self, failure: Exception) -> PlatformError:
        broken_off = isinstance(failure, httpcore.NetworkError) or any(word in str(failure) for word in _BROKEN_OFF)
        if broken_off:
            return UnavailableError("the platform broke off the connection", hint="is it being restarted?")
        return ProtocolError(
            f"what answers at {self._endpoint.url} does not speak HTTP", hint="check the port in PLATFORM_URL"
        )

    @property
    def is_fresh(self) -> bool:
        """Whether the next exchange opens a connection of its own, so that none can have gone stale."""
        return self._client is None

    def interrupt(self) -> None:
        """Make the exchange in progress fail at once; for another thread."""
        self._backend.grip.break_off()

    def close(self) -> None:
        """Let go of the connection; the next exchange opens a new one."""
        client, self._client = self._client, None
        if client is not None:
            with contextlib.suppress(Exception):
                client.close()


def _read(response: httpx.Response, limit: int) -> bytes:
    if response.headers.get("content-encoding", "identity") != "identity":
        raise ProtocolError(
            "the answer is compressed, which was not asked for", hint="what answers there may not be the platform"
        )
    body = bytearray()
    for part in response.iter_raw():
        body += part
        if len(body) > limit:
            raise ProtocolError(
                f"the answer is longer than {limit} bytes", hint="what answers there may not be the platform"
            )
    return bytes(body)
