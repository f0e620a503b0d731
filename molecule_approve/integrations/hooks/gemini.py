"""Gemini CLI: ``BeforeTool``.

The contract is docs/hooks/reference.md of google-gemini/gemini-cli, and packages/core/src/hooks/hookRunner.ts and
hookAggregator.ts, read in November 2026.

JSON on stdout counts more than the exit code. Without any, 0 and 1 let the call through, 2 and more block it if something is
on stderr. A hook that is late, cannot be started or is killed by a signal lets it through, so SIGTERM is answered.
"""

from __future__ import annotations

from molecule_approve.safe_text import json_line

from . import event as read
from .interface import BLOCKED, HookAnswer, Host, ToolCall

_SHELLS = frozenset({"run_shell_command"})


class Gemini(Host):
    """The host."""

    name = "gemini"
    title = "Gemini CLI"
    default_limit = 60.0

    def parse(self, data: bytes) -> ToolCall:
        """The call; see the interface."""
        event = read.read(data)
        name = read.expect(event, "BeforeTool")
        return read.call_of(self.name, event, name, _SHELLS, server=read.as_text(event, "mcp_context"))

    def allow(self, call: ToolCall) -> HookAnswer:
        """Its own policy holds nevertheless."""
        del call
        return HookAnswer(json_line({"decision": "allow"}), "", 0)

    def deny(self, reason: str, call: ToolCall | None = None) -> HookAnswer:
        """The reason goes to the agent."""
        del call
        return HookAnswer(json_line({"decision": "deny", "reason": reason}), reason, BLOCKED)
