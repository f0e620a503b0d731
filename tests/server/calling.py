"""A call without a connection: what a handler or a check gets of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from molecule_approve.server.calls import HttpCall

if TYPE_CHECKING:
    from molecule_approve.server.asgi import Message


def called(**scope: Any) -> HttpCall:  # noqa: ANN401 - ASGI's
    """The call of this scope; its caller sends nothing, and has gone when something is sent."""
    return HttpCall(
        {"type": "http", "method": "GET", "path": "/", "headers": [], "query_string": b"", **scope}, _gone, _send
    )


async def _gone() -> Message:
    return {"type": "http.disconnect"}


async def _send(_message: Message) -> None:
    raise OSError
