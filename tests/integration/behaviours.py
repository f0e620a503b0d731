"""How a platform breaks: small functions that a test hands to the fake platform, one a way of breaking."""

from __future__ import annotations

import contextlib
import functools
import json
import threading
import zlib
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tests.integration.fake_words import error, event, says
from tests.integration.raw_http import CLOSE, Channel, PeerGoneError, Reply, frame, read_frame

if TYPE_CHECKING:
    from tests.integration.fake_platform import Behaviour, Exchange
    from tests.integration.ledger import Row

FIRST = range(1, 2)
_MEBIBYTE = 1 << 20
_PACKING = threading.Lock()
_JSON = ("Content-Type", "application/json; charset=utf-8")


def after(number: int) -> range:
    """Every call behind that many."""
    return range(number + 1, 1_000_000)


# --- any route ---------------------------------------------------------------------------------------------------------


def status(code: int, text: str = "made to fail", *headers: tuple[str, str]) -> Behaviour:
    """Answer with this status, and do nothing."""
    return lambda _: error(code, text).having(*headers)


def answers(body: bytes, code: int = 200, *headers: tuple[str, str]) -> Behaviour:
    """Answer with these bytes, and do nothing."""
    return lambda _: Reply(code, body, headers or (_JSON,))


def hold(exchange: Exchange) -> None:
    """Never answer, and do nothing."""
    exchange.channel.wait_for_end()


def drop(exchange: Exchange) -> None:
    """Hang up abruptly, and do nothing."""
    exchange.channel.reset()


def act_then_drop(exchange: Exchange) -> None:
    """Do it, and hang up before the answer: a 201 that is lost."""
    exchange.default()
    exchange.channel.reset()


def act_then_hold(exchange: Exchange) -> None:
    """Do it, and never answer."""
    exchange.default()
    exchange.channel.wait_for_end()


def act_once_looked_for(exchange: Exchange) -> None:
    """Do it only after somebody has looked for it in vain, and never answer."""
    exchange.platform.await_count("list", 2)
    exchange.default()
    exchange.channel.wait_for_end()


def act_then(code: int, body: bytes, *headers: tuple[str, str]) -> Behaviour:
    """Do it, and answer something else."""

    def behave(exchange: Exchange) -> Reply:
        exchange.default()
        return Reply(code, body, headers or (_JSON,))

    return behave


def act_as(code: int) -> Behaviour:
    """Do it, and give the right answer under another status."""

    def behave(exchange: Exchange) -> Reply:
        reply = exchange.default()
        assert reply is not None
        return replace(reply, status=code)

    return behave


def drip(seconds: float) -> Behaviour:
    """Do it, and send the answer byte by byte with this pause between two."""

    def behave(exchange: Exchange) -> None:
        reply = exchange.default()
        assert reply is not None
        pause = threading.Event()
        for byte in reply.encode():
            exchange.channel.send(bytes([byte]))
            pause.wait(seconds)

    return behave


def endless(exchange: Exchange) -> None:
    """Do it, and send an answer that never ends."""
    exchange.default()
    code = 201 if exchange.route == "submit" else 200
    exchange.channel.send(Reply(code, b"", (_JSON, ("Transfer-Encoding", "chunked"))).head())
    chunk = b"10000\r\n" + b"[" + b" " * 65_535 + b"\r\n"
    with contextlib.suppress(PeerGoneError):
        while True:
            exchange.channel.send(chunk)


@functools.cache
def _packed(size: int) -> bytes:
    """That many zeros, packed as gzip (wbits 31), in a hurry."""
    packer = zlib.compressobj(level=1, wbits=31)
    return b"".join([*(packer.compress(bytes(_MEBIBYTE)) for _ in range(size // _MEBIBYTE)), packer.flush()])


def bomb(size: int = 160 * _MEBIBYTE) -> Behaviour:
    """Do it, and answer with a few bytes that unpack to very many."""

    def behave(exchange: Exchange) -> Reply:
        exchange.default()
        code = 201 if exchange.route == "submit" else 200
        with _PACKING:  # made once, and not by several tests at once
            packed = _packed(size)
        return Reply(code, packed, (_JSON, ("Content-Encoding", "gzip")))

    return behave


def redirect(code: int, target: str) -> Behaviour:
    """Send the caller elsewhere."""
    return lambda _: Reply(code, b"", (("Location", target),))


# --- the list ----------------------------------------------------------------------------------------------------------


def rows_changed(change: Callable[[list[dict[str, Any]]], object]) -> Behaviour:
    """List the rows after this change to the list, which stays as it was in the database."""

    def behave(exchange: Exchange) -> Reply:
        reply = exchange.default()
        assert reply is not None
        rows = json.loads(reply.body)
        changed = change(rows)
        return says(200, rows if changed is None else changed)

    return behave


def each_row(**fields: object) -> Behaviour:
    """List every row with these fields instead of its own."""
    return rows_changed(lambda rows: [row | fields for row in rows])


def without_field(name: str) -> Behaviour:
    """List every row without this field."""
    return rows_changed(lambda rows: [{key: value for key, value in row.items() if key != name} for row in rows])


def clock_moved(days: int) -> Behaviour:
    """Answer with a Date that far off."""

    def behave(exchange: Exchange) -> Reply | None:
        reply = exchange.default()
        year = 2026 + days // 365
        return None if reply is None else reply.having(("Date", f"Thu, 01 Jan {year} 00:00:00 GMT"))

    return behave


# --- the connection ----------------------------------------------------------------------------------------------------


def silent(channel: Channel, number: int) -> bool:
    """Accept, and never say or read anything that matters."""
    channel.wait_for_end()
    return True


def cut_first(channel: Channel, number: int) -> bool:
    """Cut the first connection before a byte is read, and serve the others."""
    if number > 1:
        return False
    channel.reset()
    return True


def cut_in_request(channel: Channel, number: int) -> bool:
    """Cut the first connection in the middle of its request, and serve the others."""
    if number > 1:
        return False
    channel.read(40)
    channel.reset()
    return True


# --- the socket --------------------------------------------------------------------------------------------------------


def close_at_once(exchange: Exchange) -> None:
    """Open the WebSocket and close it cleanly: a close frame, the client's, the end of the connection."""
    exchange.upgrade()
    exchange.channel.send(frame((1000).to_bytes(2, "big"), CLOSE))
    read_frame(exchange.channel)


def close_and_linger(exchange: Exchange) -> None:
    """Open the WebSocket, send a close frame, and never end the connection."""
    exchange.upgrade()
    exchange.channel.send(frame((1000).to_bytes(2, "big"), CLOSE))
    exchange.channel.wait_for_end()


def cut_at_once(exchange: Exchange) -> None:
    """Open the WebSocket and cut it."""
    exchange.upgrade()
    exchange.channel.reset()


def deaf(exchange: Exchange) -> None:
    """Open the WebSocket and never send anything: half-open."""
    exchange.upgrade()
    exchange.channel.wait_for_end()


def dripping_socket(seconds: float) -> Behaviour:
    """Open the WebSocket so slowly that the handshake never ends in time."""

    def behave(exchange: Exchange) -> None:
        pause = threading.Event()
        for byte in b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nX-Padding: " + b"x" * 4096:
            exchange.channel.send(bytes([byte]))
            pause.wait(seconds)

    return behave


def wrong_accept(exchange: Exchange) -> None:
    """Answer the handshake with a key that is not the answer to it."""
    lines = ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Accept: no"]
    exchange.channel.send("\r\n".join([*lines, "", ""]).encode())
    exchange.channel.wait_for_end()


def frames(make: Callable[[Row, str], list[str | bytes]]) -> Behaviour:
    """Open the WebSocket, send these messages about the oldest request, and go on faithfully."""

    def behave(exchange: Exchange) -> None:
        exchange.upgrade()
        platform = exchange.platform
        for message in make(platform.rows[0], platform.workspace):
            data = message.encode() if isinstance(message, str) else message
            exchange.channel.send(frame(data))
        platform.listen(exchange.channel, platform.workspace)

    return behave


def huge_frame(exchange: Exchange) -> None:
    """Open the WebSocket and send one message of 64 MiB."""
    exchange.upgrade()
    with contextlib.suppress(PeerGoneError):
        exchange.channel.send(frame(b" " * (64 * _MEBIBYTE)))
    exchange.platform.listen(exchange.channel, exchange.platform.workspace)


def approved_event(row: Row, workspace: str, **fields: Any) -> str:  # noqa: ANN401 - any JSON value
    """An event that says that a request was approved."""
    payload = {"approval_id": row.id, "decided_by": "mallory", "decision": "approved"} | fields
    return event("APPROVAL_APPROVED", workspace, payload)
