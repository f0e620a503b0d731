"""Claude Code: ``PreToolUse``, as of 2.1.317.

The contract is https://code.claude.com/docs/en/hooks and the changelog, read in November 2026.

Exit code 2 blocks, and so does a denial on stdout with exit code 0; before 2.1.90 both together did not always, so each is
right by itself. Any other exit code, a crash and a timeout let the call through, unless the hook's entry has
``"onFailure": "block"`` (since 2.1.295; ignored before).
"""

from __future__ import annotations

from . import copilot
from . import event as read
from .interface import BLOCKED, HookAnswer, Host, ToolCall

_SHELLS = frozenset({"Bash", "PowerShell"})
_COPILOT = copilot.Copilot()


class ClaudeCode(Host):
    """The host; Copilot, which reads its settings too, is answered in Copilot's form."""

    name = "claude-code"
    title = "Claude Code"
    default_limit = 600.0

    def parse(self, data: bytes) -> ToolCall:
        """The call; see the interface."""
        event = read.read(data)
        if copilot.is_ours(event):
            return copilot.call_of(event)
        return read.pre_tool_use(self.name, event, _SHELLS)

    def allow(self, call: ToolCall) -> HookAnswer:
        """Its own prompt is skipped; its own rules to deny or to ask hold nevertheless."""
        if call.host == copilot.NAME:
            return _COPILOT.allow(call)
        return HookAnswer(read.decision("allow", "approved by a person"), "", 0)

    def deny(self, reason: str, call: ToolCall | None = None) -> HookAnswer:
        """The reason goes to the agent."""
        if call is not None and call.host == copilot.NAME:
            return _COPILOT.deny(reason, call)
        return HookAnswer(read.decision("deny", reason), reason, BLOCKED)
