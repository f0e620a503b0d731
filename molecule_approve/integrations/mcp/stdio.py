"""Runs an MCP server on this process's stdin and stdout until the client closes stdin, or a signal comes."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from io import TextIOWrapper
from typing import TYPE_CHECKING, Any

import anyio
from anyio.to_thread import run_sync
from mcp.server.stdio import stdio_server

if TYPE_CHECKING:
    from mcp.server import Server


def serve(server: Server[Any]) -> None:
    """Serve one client; what it left open is withdrawn when this returns.

    From here on stdout is the protocol's alone: what else this process prints there goes to stderr.
    """
    wire = os.dup(1)
    os.dup2(2, 1)
    incoming = TextIOWrapper(sys.stdin.buffer, "utf-8", "replace")
    # Never closed: a call that a stop has abandoned may still use it.
    outgoing = os.fdopen(wire, "w", encoding="utf-8", closefd=False)
    try:
        anyio.run(_serve, server, incoming, outgoing)
    except* BrokenPipeError:
        pass  # the client does not read any more


async def _serve(server: Server[Any], incoming: TextIOWrapper, outgoing: TextIOWrapper) -> None:
    with anyio.CancelScope() as scope:
        _cancel_on_signal(scope)
        async with stdio_server(_Abandoned(incoming), _Abandoned(outgoing)) as (requests, answers):
            await server.run(requests, answers, server.create_initialization_options())


def _cancel_on_signal(scope: anyio.CancelScope) -> None:
    """Stop at a signal; one that was ignored at the start stays ignored. Further ones do not disturb the withdrawals."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            asyncio.get_running_loop().add_signal_handler(number, scope.cancel)


class _Abandoned(anyio.AsyncFile[str]):
    """A standard stream. A stop abandons the call in progress: a client that neither writes nor reads cannot delay it."""

    async def readline(self) -> str:
        return await run_sync(self.wrapped.readline, abandon_on_cancel=True)

    async def write(self, text: str) -> int:
        return await run_sync(self.wrapped.write, text, abandon_on_cancel=True)

    async def flush(self) -> None:
        await run_sync(self.wrapped.flush, abandon_on_cancel=True)
