"""Codex's hooks.json: https://developers.openai.com/codex/hooks.md, and codex-rs/hooks at 0.155.1."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from .interface import HookEntry, HookRun, HostFile, InstalledCommand, JsonObject, json_object

if TYPE_CHECKING:
    from molecule_approve.model import JsonValue


class CodexFile(HostFile):
    """A shell's text; only its guard blocks where the hook is lost."""

    name = "codex"
    programs = ("codex",)
    folder = ".codex"
    moved_by = "CODEX_HOME"
    file = "hooks.json"
    matchers: ClassVar[Mapping[str, str]] = {"PreToolUse": "^(Bash|apply_patch|mcp__.*)$"}
    gap = "Codex runs the tool if the hook is late; it has no setting against that"
    afterwards = "Codex skips the hook until you trust it: start codex and enter /hooks. Do so again after each change"

    def trust_file(self, environ: Mapping[str, str], home: Path) -> Path | None:
        """The user's, also for a project's hooks."""
        return self.user_folder(environ, home) / "config.toml"

    def untrusted(self, trust: Mapping[str, JsonValue], path: Path, event: str) -> str:
        """By what Codex writes after ``/hooks``, measured with 0.171.0; whether its hash still fits only Codex can tell."""
        hooks = trust.get("hooks")
        states = hooks.get("state") if isinstance(hooks, dict) else None
        place = f"{path}:{re.sub('(?<=[a-z])(?=[A-Z])', '_', event).lower()}:"
        found = [state for key, state in (states if isinstance(states, dict) else {}).items() if key.startswith(place)]
        if not found:
            return "you have not trusted it, and Codex skips it without a word: start codex and enter /hooks"
        if all(isinstance(state, dict) and state.get("enabled") is False for state in found):
            return "it is turned off: start codex and enter /hooks"
        return ""

    def handler(self, command: InstalledCommand) -> JsonObject:
        """By the shell."""
        return {
            "type": "command",
            "command": command.shell,
            "timeout": command.limit,
            "statusMessage": "waiting for a person's approval",
        }

    def made_up(self, event: str, folder: str) -> JsonObject:
        """A call of Bash."""
        return {
            "session_id": "molecule-approve-hook-test",
            "turn_id": "molecule-approve-hook-test",
            "transcript_path": None,
            "cwd": folder,
            "hook_event_name": event,
            "model": "none",
            "permission_mode": "default",
            "tool_name": "Bash",
            "tool_input": {"command": "molecule-approve-hook-test --not-a-command"},
            "tool_use_id": "molecule-approve-hook-test",
        }

    def blocks(self, run: HookRun, entry: HookEntry) -> bool:
        """Exit code 2 with text on stderr, or 0 with a deny that has a reason and no unknown field."""
        del entry
        if run.code == 2:
            return bool(run.stderr.strip())
        output = json_object(run.stdout)
        decision = output.get("hookSpecificOutput")
        if run.code != 0 or set(output) != {"hookSpecificOutput"} or not isinstance(decision, dict):
            return False
        reason = decision.get("permissionDecisionReason")
        known = {"hookEventName", "permissionDecision", "permissionDecisionReason"}
        return decision.get("permissionDecision") == "deny" and set(decision) <= known and bool(str(reason or "").strip())
