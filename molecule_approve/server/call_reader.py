"""What a client sends, cut into calls: strict where two HTTP parsers may read two things. The only file with httptools."""

from __future__ import annotations

import re
from dataclasses import dataclass

import httptools

HEAD = 32_768
"""Bytes of a call's head."""

_HEAD_END = re.compile(rb"\n\r?\n")
_FIRST_LINE = re.compile(rb"(?!CONNECT)([A-Z-]+) (/[!\"$-~]*) HTTP/(1\.[01])\r\n")
"""The target is a path: a whole address has a host of its own beside that of the Host header, and some end it at a #."""

_ONCE = frozenset(
    (
        *(b"host", b"content-length", b"transfer-encoding", b"authorization"),
        *(b"idempotency-key", b"x-molecule-once", b"x-workspace-id", b"x-approval-id"),
    )
)
"""Headers of which one reader takes the first, and another one the last."""

_LONGEST_LENGTH = 20
"""Digits of a body's length."""


class MalformedCallError(Exception):
    """What came cannot be read as a call, or could be read as two different ones."""


@dataclass(slots=True)
class CallHead:
    """The head of a call.

    Attributes:
        target: path and query, as they came.
        headers: names in small letters.
        keeps: whether the connection may serve another call after this one.
        expects_continue: the client sends the body once it is told to.
        wants_socket: it is the handshake of a WebSocket. Every other wish for another protocol is ignored.
    """

    method: str
    target: bytes
    version: str
    headers: list[tuple[bytes, bytes]]
    keeps: bool
    expects_continue: bool
    wants_socket: bool

    def encode(self) -> bytes:
        """The head for another reader."""
        lines = [b"%b %b HTTP/1.1\r\n" % (self.method.encode("ascii"), self.target)]
        return b"".join((*lines, *(b"%b: %b\r\n" % header for header in self.headers), b"\r\n"))


class _Parts:
    """What httptools has found in one call. It does not refer to its parser, so that both are freed at once."""

    __slots__ = ("body", "ended", "headers")

    def __init__(self) -> None:
        self.headers: list[tuple[bytes, bytes]] = []
        self.body: list[bytes] = []
        self.ended = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value.rstrip(b" \t")))

    def on_body(self, piece: bytes) -> None:
        self.body.append(piece)

    def on_message_complete(self) -> None:
        self.ended = True


class CallReader:
    """Reads the calls of one connection: heads with :meth:`head`, and where ``more`` follows, bodies with :meth:`body`.

    httptools reads each call with a parser of its own, and gets no byte of the next one: it would go on with it.
    """

    more = False
    """Whether the body of the last head has not come to its end."""

    def __init__(self) -> None:
        self.rest = b""
        self._left: int | None = 0
        self._unused = 0
        self._parts = _Parts()
        self._parser: httptools.HttpRequestParser | None = None

    def receive(self, data: bytes) -> None:
        """Add what has come to the ``rest`` that is not read yet."""
        self.rest = self.rest + data if self.rest else data

    def head(self) -> CallHead | None:
        """Read the next head; None if it has not come as a whole.

        Raises:
            MalformedCallError: it is not accepted.
        """
        found = _HEAD_END.search(self.rest)
        end = len(self.rest) if found is None else found.end()
        if end > HEAD:
            raise MalformedCallError("the head is too long")
        if found is None:
            if self.rest[:1] < b"!":
                raise MalformedCallError("it does not begin with a request line")
            return None
        raw, self.rest = self.rest[:end], self.rest[end:]
        return self._parse(raw)

    def _parse(self, raw: bytes) -> CallHead:
        line = _FIRST_LINE.match(raw)
        if line is None or b"\n " in raw or b"\n\t" in raw:
            raise MalformedCallError("the request line is not accepted, or a header is folded over several lines")
        self._parts = _Parts()
        self._parser = httptools.HttpRequestParser(self._parts)
        self._feed(raw)
        # Trailers come where the headers came, and are found by that.
        headers, self._parts.headers = self._parts.headers, []
        fields = dict(headers)
        if len(fields) < len(headers):
            fields = _joined(headers)
        method, target, version = line.groups()
        options = _words(fields.get(b"connection"))
        upgrade = fields.get(b"upgrade", b"").lower() if b"upgrade" in options else None
        self._begin_body(fields, version, upgrade)
        return CallHead(
            method.decode("ascii"),
            target,
            version.decode("ascii"),
            headers,
            keeps=version == b"1.1" and b"close" not in options,
            expects_continue=self.more and version == b"1.1" and b"100-continue" in _words(fields.get(b"expect")),
            wants_socket=upgrade == b"websocket" and method == b"GET" and version == b"1.1",
        )

    def _begin_body(self, fields: dict[bytes, bytes], version: bytes, upgrade: bytes | None) -> None:
        """Find how long the body is; httptools must have found the same."""
        length, coding = fields.get(b"content-length"), fields.get(b"transfer-encoding")
        if b"host" not in fields and version == b"1.1":
            raise MalformedCallError("there is no Host header")
        if coding is not None and (length is not None or version != b"1.1" or coding.lower() != b"chunked"):
            raise MalformedCallError("the body's length is given twice, or in a way that is not known")
        if length is not None and (not length.isdigit() or len(length) > _LONGEST_LENGTH):
            raise MalformedCallError("the body's length is not a number")
        self._unused, self._left = 0, None if coding is not None else int(length or 0)
        more = self._left != 0
        # A handshake has no body, and httptools sees none where another protocol is wished for.
        sized = upgrade not in {None, b"websocket"} and coding is None
        if self._parts.ended is more and not sized:
            raise MalformedCallError("it is not certain whether there is a body")
        self.more = more

    def body(self) -> bytes:
        """Read what has come of the body.

        Raises:
            MalformedCallError: its chunks are not accepted.
        """
        if self._left is None:
            return self._chunks()
        piece, self.rest = self.rest[: self._left], self.rest[self._left :]
        self._left -= len(piece)
        self.more = self._left > 0
        return piece

    def _chunks(self) -> bytes:
        """Read line by line: the last byte of the body ends a line, and what follows it is the next call's."""
        data, parts, begin = self.rest, self._parts, 0
        while begin < len(data) and not parts.ended:
            end = data.find(b"\n", begin) + 1 or len(data)
            self._feed(data[begin:end])
            begin = end
        self.rest = data[begin:]
        piece = b"".join(parts.body)
        parts.body.clear()
        self._unused = 0 if piece else self._unused + begin
        if parts.headers or self._unused > HEAD:
            raise MalformedCallError("there are headers behind the body, or the chunks have too much beside the body")
        self.more = not parts.ended
        return piece

    def _feed(self, data: bytes) -> None:
        assert self._parser is not None  # noqa: S101 - it is made with the head
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass  # Whoever asks for another protocol has no body here.
        except httptools.HttpParserError as exc:
            raise MalformedCallError(str(exc)) from exc


def _joined(headers: list[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """The values by name, those of one name with commas."""
    fields: dict[bytes, bytes] = {}
    for name, value in headers:
        if name in fields and name in _ONCE:
            raise MalformedCallError(f"{name.decode('ascii')} is given twice")
        fields[name] = fields[name] + b"," + value if name in fields else value
    return fields


def _words(value: bytes | None) -> list[bytes]:
    return [] if value is None else [word.strip() for word in value.lower().split(b",")]
