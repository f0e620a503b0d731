"""Claude Code's settings.json: https://code.claude.com/docs/en/hooks, as of 2.1.302."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar

from .interface import HookEntry, HookRun, HostFile, InstalledCommand, JsonObject, json_object


class ClaudeCodeFile(HostFile):
    """Exec form, and ``onFailure: block``."""

    name = "claude-code"
    programs = ("claude",)
    folder = ".claude"
    moved_by = "CLAUDE_CONFIG_DIR"
    file = "settings.json"
    since = (2, 1, 295)  # knows onFailure; older ones ignore it without a word
    # A matcher with other characters than letters and | is a regular expression that need not match the whole name.
    matchers: ClassVar[Mapping[str, str]] = {"PreToolUse": "^(Bash|Write|Edit|NotebookEdit|mcp__.*)$"}

    def handler(self, command: InstalledCommand) -> JsonObject:
        """Without a shell."""
        return {
            "type": "command",
            "command": command.program,
            "args": list(command.arguments),
            "timeout": command.limit,
            "onFailure": "block",
            "statusMessage": "waiting for a person's approval",
        }

    def blocks_if_lost(self, handler: JsonObject) -> bool:
        """``onFailure``."""
        return handler.get("onFailure") == "block"

    def switches(self, environ: Mapping[str, str], home: Path, project: Path) -> tuple[Path, ...]:
        """What a user sets for one project alone."""
        del environ, home
        return (project / ".claude" / "settings.local.json",)

    def faults(self, handler: JsonObject) -> Iterator[str]:
        """A handler that is not waited for cannot block."""
        if handler.get("async") is True:
            yield "async is true: it cannot block"
        if "if" in handler:
            yield "it has an if: calls that do not match it are not asked about"

    def made_up(self, event: str, folder: str) -> JsonObject:
        """A call of Bash."""
        return {
            "session_id": "molecule-approve-hook-test",
            "transcript_path": f"{folder}/transcript.jsonl",
            "cwd": folder,
            "permission_mode": "default",
            "hook_event_name": event,
            "tool_name": "Bash",
            "tool_input": {"command": "molecule-approve-hook-test --not-a-command", "description": "A made-up call"},
            "tool_use_id": "molecule-approve-hook-test",
        }

    def blocks(self, run: HookRun, entry: HookEntry) -> bool:
        """Exit code 2, or 0 with a deny; another end only with ``onFailure``."""
        if run.code == 0:
            decision = json_object(run.stdout).get("hookSpecificOutput")
            return isinstance(decision, dict) and decision.get("permissionDecision") == "deny"
        return run.code == 2 or entry.blocks_if_lost
