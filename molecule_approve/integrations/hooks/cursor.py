"""Cursor: ``beforeShellExecution``, ``beforeMCPExecution`` and ``preToolUse``, as of 3.21.

The contract is https://cursor.com/docs/hooks, read in November 2026; older versions spell the messages in camelCase.

Exit code 2 blocks. A crash, a timeout and bad JSON let the call through, unless the hook's entry has ``"failClosed": true``.
One call of a tool may fire two of the events: install the hook for one of them, or a person is asked twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from molecule_approve.safe_text import json_line

from . import event as read
from .interface import BLOCKED, HookAnswer, Host, ToolCall

if TYPE_CHECKING:
    from .event import Fields

SHELL = "Shell"
"""Its own name for the shell as a tool; ``beforeShellExecution`` names none."""

_SHELL_EVENT, _MCP_EVENT, _TOOL_EVENT = "beforeShellExecution", "beforeMCPExecution", "preToolUse"


class Cursor(Host):
    """The host."""

    name = "cursor"
    title = "Cursor"
    default_limit = 60.0

    def parse(self, data: bytes) -> ToolCall:
        """The call; see the interface."""
        event = read.read(data)
        name = read.expect(event, _SHELL_EVENT, _MCP_EVENT, _TOOL_EVENT)
        tool = SHELL if name == _SHELL_EVENT else read.text(event, "tool_name")
        if name == _MCP_EVENT:  # a server may call its tool as Cursor calls one of its own, and a rule means one of them
            tool = f"MCP:{tool}"
        arguments = _arguments(name, event)
        return ToolCall(
            self.name,
            name,
            tool,
            arguments,
            None if name == _MCP_EVENT else read.command_of(tool, arguments, frozenset({SHELL})),
            session=read.text(event, "conversation_id"),
            folder=read.optional(event, "cwd") or _root(event),
            call_id=read.optional(event, "tool_use_id"),
            server=(read.optional(event, "url") or read.optional(event, "command")) if name == _MCP_EVENT else "",
        )

    def allow(self, call: ToolCall) -> HookAnswer:
        """Its own list of allowed commands holds nevertheless."""
        del call
        return HookAnswer(json_line({"permission": "allow"}), "", 0)

    def deny(self, reason: str, call: ToolCall | None = None) -> HookAnswer:
        """The reason goes to the user and to the agent."""
        del call
        messages = dict.fromkeys(("user_message", "agent_message", "userMessage", "agentMessage"), reason)
        return HookAnswer(json_line({"permission": "deny", **messages}), reason, BLOCKED)


def _arguments(name: str, event: Fields) -> Fields:
    if name == _SHELL_EVENT:
        return {key: event[key] for key in ("command", "sandbox") if key in event}
    given = event.get("tool_input")
    if isinstance(given, str):  # the JSON of an object
        return read.parsed_object(given, "the tool's input")
    return read.fields(event, "tool_input")


def _root(event: Fields) -> str:
    """The first folder of the workspace, where a command without a folder runs."""
    roots = event.get("workspace_roots")
    return roots[0] if isinstance(roots, list) and roots and isinstance(roots[0], str) else ""
