"""What Claude Code says and hears, on a transport of the Claude Agent SDK."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

from claude_agent_sdk import ClaudeAgentOptions, ClaudeSDKClient, Transport

from molecule_approve.integrations.claude_agent_sdk import approval_hooks, can_use_tool
from tests.callers import PATIENCE


class ClaudeCode(Transport):
    """What Claude Code says and hears: it knows its hooks, and asks when a test lets it."""

    def __init__(self, *, honours_on_failure: bool = True) -> None:
        self.hooks: Any = None
        self._honours = honours_on_failure
        self._sent: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        self._heard: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def connect(self) -> None:
        """Nothing starts."""

    async def write(self, data: str) -> None:
        """Hear a message; `initialize` is answered at once."""
        message = json.loads(data)
        if message["type"] == "control_request":
            self.hooks = message["request"].get("hooks")
            answer = {"hook_on_failure_supported": self._honours}
            response = {"subtype": "success", "request_id": message["request_id"], "response": answer}
            self._sent.put_nowait({"type": "control_response", "response": response})
        else:
            self._heard.put_nowait(message["response"])

    async def read_messages(self) -> AsyncIterator[dict[str, Any]]:
        """What it says."""
        while (message := await self._sent.get()) is not None:
            yield message

    async def close(self) -> None:
        """Say nothing more."""
        self._sent.put_nowait(None)

    def is_ready(self) -> bool:
        """Always."""
        return True

    async def end_input(self) -> None:
        """Nothing more is heard."""

    def ask(self, **request: object) -> None:
        """Send a control request."""
        self._sent.put_nowait({"type": "control_request", "request_id": "r-1", "request": request})

    def cancel(self) -> None:
        """Take the request back."""
        self._sent.put_nowait({"type": "control_cancel_request", "request_id": "r-1"})

    async def answer(self) -> dict[str, Any]:
        """What the SDK answers."""
        return await asyncio.wait_for(self._heard.get(), PATIENCE)


def hooking(claude: ClaudeCode, matcher: str | None = None, **options: Any) -> ClaudeSDKClient:  # noqa: ANN401 - also what makes no sense
    """The SDK with our hook."""
    return ClaudeSDKClient(ClaudeAgentOptions(hooks=approval_hooks(matcher, **options)), claude)


def permitting(claude: ClaudeCode, **options: Any) -> ClaudeSDKClient:  # noqa: ANN401 - as above
    """The SDK with our callback."""
    return ClaudeSDKClient(ClaudeAgentOptions(can_use_tool=can_use_tool(**options)), claude)


def conversation(client_at: Callable[..., ClaudeSDKClient], options: dict[str, Any], **request: object) -> dict[str, Any]:
    """The SDK's answer to one control request."""

    async def main() -> dict[str, Any]:
        claude = ClaudeCode()
        client = client_at(claude, **options)
        await client.connect()
        claude.ask(**request)
        try:
            return await claude.answer()
        finally:
            await client.disconnect()

    return asyncio.run(main())
