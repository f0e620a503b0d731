"""OpenAI Codex: ``PreToolUse``, as of 0.155.1.

The contract is https://developers.openai.com/codex/hooks.md, and codex-rs/hooks/src of openai/codex:
events/pre_tool_use.rs at commit 0082977c, engine/output_parser.rs at 0ea83813, engine/command_runner.rs at 85709635.

Only a denial with a reason, or exit code 2 with something on stderr, blocks. Whatever it does not expect makes the hook
"failed", and then the call is made: also ``allow``, ``ask``, an unknown field and any other exit code. So a yes is silence.
"""

from __future__ import annotations

from . import event as read
from .interface import BLOCKED, HookAnswer, Host, ToolCall

_SHELLS = frozenset({"Bash"})


class Codex(Host):
    """The host."""

    name = "codex"
    title = "OpenAI Codex"
    default_limit = 600.0

    def parse(self, data: bytes) -> ToolCall:
        """The call; see the interface. ``apply_patch`` has its patch in ``command``, which is not a command line."""
        return read.pre_tool_use(self.name, read.read(data), _SHELLS)

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
        return HookAnswer(read.decision("deny", reason), reason, BLOCKED)
