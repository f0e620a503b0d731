"""What a client sends, cut into calls; in whatever pieces it comes."""

from __future__ import annotations

from random import Random

import h11
import pytest

from molecule_approve.server.call_reader import HEAD, CallHead, CallReader, MalformedCallError

START = b"POST /x?y HTTP/1.1\r\nHost: localhost\r\n"
GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
CHUNKED = START + b"Transfer-Encoding: chunked\r\n\r\n"


def served(data: bytes, step: int = 0) -> list[tuple[str, bytes, bytes]]:
    """Method, target and body of each whole call; the bytes come in pieces of this length."""
    reader, found = CallReader(), list[tuple[str, bytes, bytes]]()
    pieces = [data[at : at + step] for at in range(0, len(data), step)] if step else [data]
    for piece in pieces:
        reader.receive(piece)
        while reader.rest:
            if reader.more:
                method, target, body = found.pop()
                found.append((method, target, body + reader.body()))
                continue
            head = reader.head()
            if head is None:
                break
            found.append((head.method, head.target, b""))
    assert not reader.more
    return found


@pytest.mark.parametrize("step", [0, 1, 2, 3, 7])
def test_calls_are_the_same_in_whatever_pieces_they_come(step: int) -> None:
    """A body of known length, one in chunks, and none; one behind the other."""
    sized = START + b"Content-Length: 4\r\n\r\na\r\nb"
    chunks = CHUNKED + b"3;name=value\r\na\r\n\r\n1\r\nb\r\n0\r\n\r\n"
    expected = [("POST", b"/x?y", b"a\r\nb"), ("GET", b"/", b""), ("POST", b"/x?y", b"a\r\nb"), ("GET", b"/", b"")]
    assert served(sized + GET + chunks + GET, step) == expected


@pytest.mark.parametrize(
    ("line", "keeps"),
    [
        (b"", True),
        (b"Connection: keep-alive\r\n", True),
        (b"Connection: close\r\n", False),
        (b"Connection: x\r\nConnection: Close\r\n", False),
    ],
)
def test_a_call_says_whether_another_may_follow(line: bytes, keeps: bool) -> None:
    """Whatever the letter case, and in whichever line."""
    reader = CallReader()
    reader.receive(b"GET / HTTP/1.1\r\nHost: localhost\r\n" + line + b"\r\n")
    head = reader.head()
    assert head is not None
    assert head.keeps is keeps


def head_of(data: bytes) -> CallHead:
    """The head of the first call."""
    reader = CallReader()
    reader.receive(data)
    head = reader.head()
    assert head is not None
    return head


@pytest.mark.parametrize(
    ("raw", "call"),
    [
        (START + b"Content-Length: 01\r\n\r\na", ("POST", b"/x?y", b"a")),
        (START + b"Content-Length: \t1 \r\n\r\na", ("POST", b"/x?y", b"a")),
        (START + b"Content_Length: 1\r\n\r\n", ("POST", b"/x?y", b"")),
        (GET.replace(b"\r\n\r\n", b"\r\nContent-Length: 1\r\n\r\na"), ("GET", b"/", b"a")),
        (START + b"Expect: a-rabbit\r\nContent-Length: 1\r\n\r\na", ("POST", b"/x?y", b"a")),
        (START + b"X: \x80\xff\r\n\r\n", ("POST", b"/x?y", b"")),
        (START + b"X:\r\n" * 5_000 + b"\r\n", ("POST", b"/x?y", b"")),
        (GET.replace(b"localhost", b""), ("GET", b"/", b"")),
        (CHUNKED + b"0" * 30 + b"1\r\na\r\n" + b"0" * 30 + b"\r\n\r\n", ("POST", b"/x?y", b"a")),
        (CHUNKED + b'1;a="b";c\r\na\r\n0;d\r\n\r\n', ("POST", b"/x?y", b"a")),
    ],
)
def test_what_is_unusual_but_means_one_thing_is_served(raw: bytes, call: tuple[str, bytes, bytes]) -> None:
    """As nginx does, too: zeros before a length, an expectation that nobody knows (RFC 9110, 10.1.1), an unknown name."""
    assert served(raw + GET) == [call, ("GET", b"/", b"")]
    assert served(raw + GET, 1) == [call, ("GET", b"/", b"")]


def test_the_body_of_a_call_that_wishes_for_another_protocol_is_its_own() -> None:
    """Java's client asks for HTTP/2 so with every call; the wish is ignored (RFC 9110, 7.8)."""
    wish = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n"
    call = START + wish + b"Content-Length: 1\r\n\r\na"
    for step in (0, 1):
        assert served(call + GET, step) == [("POST", b"/x?y", b"a"), ("GET", b"/", b"")]


@pytest.mark.parametrize(
    ("method", "version", "lines", "wants"),
    [
        (b"GET", b"1.1", b"Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n", True),
        (b"GET", b"1.1", b"Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 0\r\n", True),
        (b"GET", b"1.0", b"Connection: Upgrade\r\nUpgrade: websocket\r\n", False),
        (b"GET", b"1.1", b"Upgrade: websocket\r\n", False),
        (b"GET", b"1.1", b"Connection: Upgrade\r\nUpgrade: websocket, h2c\r\n", False),
        (b"POST", b"1.1", b"Connection: Upgrade\r\nUpgrade: websocket\r\n", False),
        (b"HEAD", b"1.1", b"Connection: Upgrade\r\nUpgrade: websocket\r\n", False),
    ],
)
def test_what_is_a_handshake(method: bytes, version: bytes, lines: bytes, wants: bool) -> None:
    """A GET of HTTP/1.1 (RFC 6455, 4.1; RFC 9110, 7.8) with both headers; else it is an ordinary call."""
    assert head_of(method + b" /ws HTTP/" + version + b"\r\nHost: localhost\r\n" + lines + b"\r\n").wants_socket is wants


@pytest.mark.parametrize(
    ("version", "lines", "expects"),
    [
        (b"1.1", b"Content-Length: 1\r\nExpect: 100-Continue\r\n", True),
        (b"1.1", b"Expect: 100-continue\r\n", False),
        (b"1.0", b"Content-Length: 1\r\nExpect: 100-continue\r\n", False),
        (b"1.1", b"Content-Length: 1\r\nExpect: a-rabbit\r\n", False),
    ],
)
def test_who_waits_to_be_told_to_go_on(version: bytes, lines: bytes, expects: bool) -> None:
    """Whoever has a body to send, by HTTP/1.1, and says so."""
    head = head_of(b"POST / HTTP/" + version + b"\r\nHost: localhost\r\n" + lines + b"\r\n")
    assert head.expects_continue is expects


def test_an_older_client_has_one_call() -> None:
    """HTTP/1.0 needs no Host, and its connection is not kept, as by nginx towards its servers."""
    assert head_of(b"GET / HTTP/1.0\r\n\r\n").headers == []
    assert not head_of(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").keeps


REFUSED = {
    "a line break first": b"\r\n" + GET,
    "a control character first": b"\x16\x03\x01",
    "a head without end": START + b"X: " + b"y" * HEAD,
    "HTTP/0.9": b"GET /\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/1.2": b"GET / HTTP/1.2\r\nHost: localhost\r\n\r\n",
    "a method in small letters": b"get / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "an unknown method": b"BREW / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "CONNECT": b"CONNECT /x HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a target with a fragment": b"GET /a#b HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a query with a fragment": b"GET /a?b#c HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a whole address": b"GET http://localhost/ HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "no target": b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a control character in the target": b"GET /\x7f HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "two blanks": b"GET  / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a target with a blank": b"GET /a b HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a target that is not ASCII": b"GET /\xc3\xa4 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a bare line feed": b"GET / HTTP/1.1\nHost: localhost\n\n",
    "a bare line feed in the headers": b"GET / HTTP/1.1\r\nHost: localhost\nX: y\r\n\r\n",
    "a bare carriage return": b"GET / HTTP/1.1\r\nHost: localhost\r\nX: a\rb\r\n\r\n",
    "a NUL": b"GET / HTTP/1.1\r\nHost: localhost\r\nX: a\0b\r\n\r\n",
    "a control character": b"GET / HTTP/1.1\r\nHost: localhost\r\nX: a\x01b\r\n\r\n",
    "no Host": b"GET / HTTP/1.1\r\n\r\n",
    "two Hosts": b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n",
    "two workspaces": START + b"X-Workspace-ID: a\r\nx-workspace-id: b\r\n\r\n",
    "two requests": START + b"X-Approval-ID: a\r\nX-Approval-ID: b\r\n\r\n",
    "once twice": START + b"X-Molecule-Once: a\r\nX-Molecule-Once: b\r\n\r\n",
    "a fold before the first header": b"GET / HTTP/1.1\r\n Host: localhost\r\n\r\n",
    "a fold": START + b"X: a\r\n\tb\r\n\r\n",
    "a line of blanks": START + b" \r\n\r\n",
    "a carriage return too many": START + b"X: a\r\r\n\r\n",
    "a line feed at the end": START + b"X: a\r\n\n",
    "a delete character": START + b"X: \x7f\r\n\r\n",
    "a name that is not ASCII": START + b"X\x80: a\r\n\r\n",
    "a name with a tab": START + b"Content-Length\t: 1\r\n\r\na",
    "a name with a NUL": START + b"Content-Length\0: 1\r\n\r\na",
    "a blank before the colon": START + b"X : y\r\n\r\n",
    "no name": START + b": y\r\n\r\n",
    "no colon": START + b"x\r\n\r\n",
    "a length with a sign": START + b"Content-Length: +1\r\n\r\na",
    "a negative length": START + b"Content-Length: -0\r\n\r\n",
    "a length with an underscore": START + b"Content-Length: 1_0\r\n\r\n",
    "a length in another script": START + b"Content-Length: \xd9\xa1\r\n\r\na",
    "a quoted length": START + b'Content-Length: "1"\r\n\r\na',
    "a length behind a vertical tab": START + b"Content-Length: \x0b1\r\n\r\na",
    "a length twice in one line": START + b"Content-Length: 1, 1\r\n\r\na",
    "a length twice": START + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\na",
    "a length in hex": START + b"Content-Length: 0x1\r\n\r\na",
    "a length beyond any": START + b"Content-Length: 184467440737095516160\r\n\r\na",
    "a length of many zeros": START + b"Content-Length: 000000000000000000000\r\n\r\n",
    "an empty length": START + b"Content-Length:\r\n\r\n",
    "a length and chunks": START + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\na",
    "another coding": START + b"Transfer-Encoding: gzip, chunked\r\n\r\n",
    "no coding": START + b"Transfer-Encoding:\r\n\r\n",
    "chunks twice": START + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks behind a comma": START + b"Transfer-Encoding: , chunked\r\n\r\n0\r\n\r\n",
    "chunks with a parameter": START + b"Transfer-Encoding: chunked;a=b\r\n\r\n0\r\n\r\n",
    "identity": START + b"Transfer-Encoding: identity\r\n\r\n",
    "chunks of an older client": CHUNKED.replace(b"HTTP/1.1", b"HTTP/1.0") + b"0\r\n\r\n",
    "chunks before another protocol": START + b"Connection: upgrade\r\nUpgrade: h2c\r\nTransfer-Encoding: chunked\r\n\r\n",
    "a handshake with a body": START + b"Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 1\r\n\r\na",
    "a chunk's size in no hex": CHUNKED + b"g\r\n",
    "a chunk's size with a sign": CHUNKED + b"+1\r\na\r\n0\r\n\r\n",
    "a chunk's size with a minus": CHUNKED + b"-1\r\na\r\n0\r\n\r\n",
    "a chunk's size with 0x": CHUNKED + b"0x1\r\na\r\n0\r\n\r\n",
    "a chunk's size with an underscore": CHUNKED + b"1_\r\na\r\n0\r\n\r\n",
    "a chunk's size behind a blank": CHUNKED + b" 1\r\na\r\n0\r\n\r\n",
    "a chunk's size before a blank": CHUNKED + b"1 \r\na\r\n0\r\n\r\n",
    "no size of a chunk": CHUNKED + b"\r\na\r\n0\r\n\r\n",
    "a bare line feed behind a size": CHUNKED + b"1\na\r\n0\r\n\r\n",
    "a bare line feed behind a chunk": CHUNKED + b"1\r\na\n0\r\n\r\n",
    "a bare line feed in an extension": CHUNKED + b"1;a\nb\r\na\r\n0\r\n\r\n",
    "a line break in a quoted extension": CHUNKED + b'1;a="\r\n"\r\na\r\n0\r\n\r\n',
    "a bare line feed at the end of chunks": CHUNKED + b"1\r\na\r\n0\r\n\n",
    "a bare carriage return behind a size": CHUNKED + b"1\ra\r\n0\r\n\r\n",
    "a NUL in an extension": CHUNKED + b"1;a=\0\r\na\r\n0\r\n\r\n",
    "a length behind the body": CHUNKED + b"0\r\nContent-Length: 1\r\n\r\n",
    "a line break behind the body": CHUNKED + b"0\r\n\r\n\r\n" + GET,
    "a chunk's size beyond any": CHUNKED + b"11111111111111111\r\n",
    "a chunk that is longer than it says": CHUNKED + b"1\r\nab\r\n0\r\n\r\n",
    "a header behind the body": CHUNKED + b"1\r\na\r\n0\r\nX: y\r\n\r\n",
    "chunks with endless extensions": CHUNKED + b"1;" + b"x" * 2 * HEAD,
}


@pytest.mark.parametrize("step", [0, 1])
@pytest.mark.parametrize("kind", REFUSED)
def test_what_two_readers_could_read_in_two_ways_is_refused(kind: str, step: int) -> None:
    """Whole, and byte by byte."""
    data = REFUSED[kind]
    with pytest.raises(MalformedCallError):
        served(data, step if len(data) < HEAD else step * 999)


def test_the_longest_head_is_taken_and_no_longer_one() -> None:
    """One byte more is refused."""
    fill = HEAD - len(START) - len(b"X: \r\n\r\n")
    assert served(START + b"X: " + b"y" * fill + b"\r\n\r\n") == [("POST", b"/x?y", b"")]
    with pytest.raises(MalformedCallError, match="too long"):
        served(START + b"X: " + b"y" * (fill + 1) + b"\r\n\r\n")


SEEDS = (
    GET,
    GET.replace(b"1.1", b"1.0"),
    START + b"Content-Length: 5\r\n\r\nabcde",
    START + b"Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 3\r\n\r\nabc",
    CHUNKED + b"5;a=b\r\nabcde\r\n0\r\n\r\n",
)

PATCHES = (
    *(
        b"\r\n",
        b"\n",
        b"\r",
        b" ",
        b"\t",
        b":",
        b",",
        b";",
        b"0",
        b"5",
        b"\0",
        b"\x0b",
        b"\x80",
        b"+",
        b"_",
        b"#",
        b"\r\n\r\n",
    ),
    *(
        b"Content-Length: 3\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"chunked",
        b"Host: b\r\n",
        b"HTTP/1.0",
        b"Connection: close\r\n",
    ),
)


def broken(random: Random) -> bytes:
    """Up to three calls, of which a few bytes are others, missing, or too many."""
    data = b"".join(random.choice(SEEDS) for _ in range(random.randint(1, 3)))
    for _ in range(random.randint(1, 4)):
        at = random.randrange(len(data))
        data = data[:at] + random.choice((b"", *PATCHES)) + data[at + random.choice((0, 0, 1, 5)) :]
    return data


def whole_calls(data: bytes, step: int) -> tuple[list[tuple[str, bytes, bytes]], bool]:
    """What is served of it before something is refused or missing; and whether something was refused."""
    reader, found, keeps = CallReader(), list[tuple[str, bytes, bytes]](), True
    call = ("", b"", b"")
    try:
        for at in range(0, len(data), step):
            reader.receive(data[at : at + step])
            while reader.rest:
                if reader.more:
                    call = (*call[:2], call[2] + reader.body())
                elif (head := reader.head()) is not None:
                    call, keeps = (head.method, head.target, b""), head.keeps
                else:
                    break
                if not reader.more:
                    found.append(call)
                    if not keeps:
                        return found, False
    except MalformedCallError:
        return found, True
    return found, False


def as_h11_reads_them(data: bytes) -> list[tuple[str, bytes, bytes]]:
    """The whole calls that another strict reader finds."""
    connection, found = h11.Connection(h11.SERVER), list[tuple[str, bytes, bytes]]()
    connection.receive_data(data)
    call = ("", b"", b"")
    while True:
        try:
            event = connection.next_event()
        except h11.RemoteProtocolError:
            return found
        if isinstance(event, h11.Request):
            call = (event.method.decode(), event.target, b"")
        elif isinstance(event, h11.Data):
            call = (*call[:2], call[2] + bytes(event.data))
        elif isinstance(event, h11.EndOfMessage):
            found.append(call)
            connection.send(h11.Response(status_code=200, headers=[("content-length", "0")]))
            connection.send(h11.EndOfMessage())
            if connection.our_state is not h11.DONE:
                return found
            connection.start_next_cycle()
        else:
            return found


@pytest.mark.usefixtures("untraced")
@pytest.mark.parametrize("seed", range(4))
def test_whatever_is_served_another_reader_reads_as_well(seed: int) -> None:
    """No call is served that h11 sees elsewhere or not at all, and none that depends on the pieces in which it comes."""
    random = Random(seed)
    for _ in range(500):
        data = broken(random)
        calls, is_refused = whole_calls(data, len(data))
        assert whole_calls(data, 1) == whole_calls(data, 7) == (calls, is_refused)
        assert as_h11_reads_them(data)[: len(calls)] == calls
