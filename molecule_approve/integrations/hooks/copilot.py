"""GitHub Copilot CLI: ``preToolUse``, and ``PreToolUse`` with snake_case fields.

The contract is that of github/docs, content/copilot/reference/hooks-reference.md, at commit 05da5bc3 (November 2026).

Any exit code but 0 denies, even beside a yes on stdout. A hook that is late is ignored, and then the call may be made: so
its end must come before the host's limit. Copilot also starts the hooks in ``.claude/settings.json``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from molecule_approve.safe_text import json_line

from . import event as read
from .interface import BLOCKED, HookAnswer, Host, ToolCall

if TYPE_CHECKING:
    from molecule_approve.model import JsonValue

    from .event import Fields

NAME = "copilot"
LIMIT = 30.0
"""Seconds: its default, which holds unless its own settings say otherwise."""

_SHELLS = frozenset({"bash", "powershell", "Bash"})
_CAMEL = "preToolUse"


class Copilot(Host):
    """The host."""

    name = NAME
    title = "GitHub Copilot CLI"
    default_limit = LIMIT

    def parse(self, data: bytes) -> ToolCall:
        """The call; see the interface."""
        return call_of(read.read(data))

    def allow(self, call: ToolCall) -> HookAnswer:
        """Its own prompt is skipped."""
        del call
        return HookAnswer(json_line({"permissionDecision": "allow"}), "", 0)

    def deny(self, reason: str, call: ToolCall | None = None) -> HookAnswer:
        """The reason goes to the agent."""
        del call
        said = {"permissionDecision": "deny", "permissionDecisionReason": reason}
        return HookAnswer(json_line(said), reason, BLOCKED)


def is_ours(event: Fields) -> bool:
    """Whether this event, which a hook of Claude Code got, is Copilot's: by field names that Claude Code does not use."""
    return "toolName" in event or ("timestamp" in event and "transcript_path" not in event)


def call_of(event: Fields) -> ToolCall:
    """The call of an event in one of the two forms; see the interface."""
    if "toolName" in event:
        return _call(_CAMEL, read.text(event, "toolName"), event.get("toolArgs"), read.text(event, "sessionId"), event)
    name = read.expect(event, read.PRE_TOOL_USE)
    return _call(name, read.text(event, "tool_name"), event.get("tool_input"), read.text(event, "session_id"), event)


def _call(name: str, tool: str, given: JsonValue, session: str, event: Fields) -> ToolCall:
    # They are documented as of any type; a text is the JSON of an object.
    arguments = read.parsed_object(given, "the tool's arguments") if isinstance(given, str) else given
    arguments = read.fields({"arguments": arguments}, "arguments")
    command = read.command_of(tool, arguments, _SHELLS)
    return ToolCall(NAME, name, tool, arguments, command, session, read.optional(event, "cwd"))
