"""The program on real pipes: the SDK's client starts it as hosts do, and raw lines show what it writes and how it ends."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import signal
import subprocess
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tests.callers import PATIENCE, let_pass, until
from tests.forks import PROGRAM

from .agent import Agent, cancelled

if TYPE_CHECKING:
    from tests.callers import Caller

_HELLO = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "raw", "version": "1"}}

# As the program does it; what goes wrong is printed, by somebody who does not know whose stdout is.
_STRAY = """
import os
from molecule_approve import wiring
from molecule_approve.integrations.mcp.server import make_server
from molecule_approve.integrations.mcp.stdio import serve
from molecule_approve.paths import locate
from molecule_approve.settings.resolve import Flags, resolve
environ = wiring.environment()
settings = resolve(Flags(), environ, locate(environ), at_terminal=False)
serve(make_server(settings, "1", lambda sentence: os.write(1, f"stray {sentence}\\n".encode())))
"""


class RawClient:
    """Writes and reads the protocol's lines itself."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self._id = 0

    def tell(self, method: str, **params: object) -> None:
        """Send a notification."""
        self._send({"method": method, "params": params})

    def ask(self, method: str, **params: object) -> dict[str, Any]:
        """Send a request, and return its result; every line that comes is one of the protocol's."""
        self._id += 1
        self._send({"id": self._id, "method": method, "params": params})
        assert self.process.stdout is not None
        while (message := json.loads(self.process.stdout.readline())).get("id") != self._id:
            assert message["jsonrpc"] == "2.0"
        result: dict[str, Any] = message["result"]
        return result

    def request(self, action: str) -> str:
        """Request an approval that nobody waits for; its id."""
        given = {"action": action, "reason": "", "wait_seconds": 0}
        return str(self.ask("tools/call", name="request_approval", arguments=given)["structuredContent"]["id"])

    def is_full(self) -> bool:
        """Whether the pipe from the server holds much, and takes no more for a while."""
        before = self._unread()
        let_pass(0.2)
        return before > 50_000 and self._unread() == before

    def _unread(self) -> int:
        assert self.process.stdout is not None
        count = fcntl.ioctl(self.process.stdout, termios.FIONREAD, bytes(4))
        return int.from_bytes(count, sys.byteorder)

    def _send(self, message: dict[str, object]) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
        self.process.stdin.flush()


@contextmanager
def raw(caller: Caller, *argv: str, program: tuple[str, ...] = PROGRAM) -> Iterator[RawClient]:
    """A raw client, which has said hello."""
    with caller.start(*argv, program=program, stdin=subprocess.PIPE) as process:
        try:
            client = RawClient(process)
            assert client.ask("initialize", **_HELLO)["serverInfo"]["name"] == "molecule-approve"
            client.tell("notifications/initialized")
            yield client
        finally:
            process.kill()


@pytest.mark.measured
def test_a_host_starts_it_and_leaves(caller: Caller) -> None:
    """An approval, a cancelled wait, and an open request that is withdrawn once the host closes stdin; a silent stderr."""
    from mcp import Client, StdioServerParameters
    from mcp.client.stdio import stdio_client

    parameters = StdioServerParameters(command=sys.executable, args=[*PROGRAM[1:], "mcp"], env=dict(os.environ))
    errors = caller.folder / "stderr"
    # By default 2 s until SIGTERM, and 2 more until SIGKILL, which a busy machine may need for itself.
    caller.patch.setattr("mcp.client.stdio.PROCESS_TERMINATION_TIMEOUT", PATIENCE)

    async def main() -> str:
        with errors.open("w") as stderr:
            async with Client(stdio_client(parameters, errlog=stderr)) as client:
                agent = Agent(client)
                with caller.answering("drop it"):
                    report = await agent.request("drop it", wait=15)
                assert (report["allowed"], report["approved_action"]) == (True, "drop it")
                asked = await agent.request("drop nothing")
                await cancelled(caller, lambda: agent.wait(asked["id"]))
                assert (await agent.wait(asked["id"]))["message"] == "withdrawn: the call was cancelled"
                return str((await agent.request("drop more"))["id"])

    left = asyncio.run(main())
    assert caller.desk.one(left)["decided_by"] == "withdrawn"
    assert caller.records()[-1]["reason"] == "the MCP client went away"
    assert errors.read_text() == ""


@pytest.mark.measured
def test_a_signal_ends_it_in_order(caller: Caller) -> None:
    """With 0, after the withdrawals, though stdin is open; a signal that was ignored at the start stays ignored."""
    with raw(caller, "mcp", program=("sh", "-c", 'trap "" HUP; exec "$0" "$@"', *PROGRAM)) as client:
        approval_id = client.request("drop it")
        client.process.send_signal(signal.SIGHUP)
        assert client.ask("ping") == {}
        client.process.send_signal(signal.SIGINT)
        assert client.process.wait(PATIENCE) == 0
        assert client.process.stderr is not None
        assert client.process.stderr.read() == ""
    assert caller.desk.one(approval_id)["decided_by"] == "withdrawn"


@pytest.mark.measured
def test_a_client_that_does_not_read_any_more_has_gone_away(caller: Caller) -> None:
    """What it left open is withdrawn, and the program ends with 0."""
    with raw(caller, "mcp") as client:
        approval_id = client.request("drop it")
        assert client.process.stdout is not None
        client.process.stdout.close()
        client._send({"id": 99, "method": "ping"})
        assert client.process.wait(PATIENCE) == 0
    assert caller.desk.one(approval_id)["decided_by"] == "withdrawn"


def test_a_client_that_only_writes_delays_no_end(caller: Caller) -> None:
    """The pipe to it is full, so the program is in the middle of a write when SIGTERM comes."""
    with raw(caller, "mcp") as client:
        approval_id = client.request("drop it")
        for number in range(100):
            client._send({"id": 1000 + number, "method": "tools/list"})
        until(client.is_full)
        client.process.terminate()
        assert client.process.wait(PATIENCE) == 0
    assert caller.desk.one(approval_id)["decided_by"] == "withdrawn"


def test_what_is_printed_on_stdout_does_not_get_among_the_answers(caller: Caller) -> None:
    """It goes to stderr."""
    caller.set(PLATFORM_URL="http://127.0.0.1:9", WORKSPACE_ID="w", APPROVAL_TIMEOUT="1")
    with raw(caller, "-c", _STRAY, program=(sys.executable,)) as client:
        assert client.request("drop it") == "None"
        assert client.process.stdin is not None
        client.process.stdin.close()
        assert client.process.wait(PATIENCE) == 0
        assert client.process.stderr is not None
        assert "stray warning: " in client.process.stderr.read()
