"""OpenAI Codex: ``PreToolUse``, as of 0.155.1.

The contract is https://developers.openai.com/codex/hooks.md, and codex-rs/hooks/src of openai/codex:
events/pre_tool_use.rs at commit 0082977c, engine/output_parser.rs at 0ea83813, engine/command_runner.rs at 85709635.

Only a denial with a reason, or exit code 2 with something on stderr, blocks. Whatever it does not expect makes the hook
"failed", and then the call is made: also ``allow``, ``ask``, an unknown field and any other exit code. So a yes is silence.
"""

from __future__ import annotations

from molecule_approve.safe_text import json_line

from . import event as read
from .interface import BLOCKED, HookAnswer, ToolCall

NAME = "codex"
_EVENT = "PreToolUse"
_SHELLS = frozenset({"Bash"})


class Codex:
    """The host."""

    name = NAME
    title = "OpenAI Codex"
    default_limit = 600.0

    def parse(self, data: bytes) -> ToolCall:
        """The call; see the interface. ``apply_patch`` has its patch in ``command``, which is not a command line."""
        event = read.read(data)
        name = read.expect(event, _EVENT)
        tool, arguments = read.text(event, "tool_name"), read.fields(event, "tool_input")
        return ToolCall(
            NAME,
            name,
            tool,
            arguments,
            read.command_of(tool, arguments, _SHELLS),
            session=read.text(event, "session_id"),
            folder=read.optional(event, "cwd"),
            call_id=read.optional(event, "tool_use_id"),
            agent=read.optional(event, "agent_id"),
        )

    def allow(self, call: ToolCall) -> HookAnswer:
        """Silence; its own rules and its sandbox hold nevertheless."""
        return self.leave(call)

    def leave(self, call: ToolCall) -> HookAnswer:
        """Silence."""
        del call
        return HookAnswer("", "", 0)

    def deny(self, reason: str, call: ToolCall | None = None) -> HookAnswer:
        """The reason goes to the agent."""
        del call
        said = {"hookEventName": _EVENT, "permissionDecision": "deny", "permissionDecisionReason": reason}
        return HookAnswer(json_line({"hookSpecificOutput": said}), reason, BLOCKED)
