"""Gemini CLI's settings.json: its docs/hooks/reference.md and packages/core/src/hooks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, ClassVar

from .interface import PROGRAM, HookEntry, HookRun, HostFile, InstalledCommand, JsonObject, json_object

if TYPE_CHECKING:
    from molecule_approve.model import JsonValue


class GeminiFile(HostFile):
    """A shell's text, and milliseconds; only its guard blocks where the hook is lost."""

    name = "gemini"
    programs = ("gemini",)
    folder = ".gemini"
    file = "settings.json"
    matchers: ClassVar[Mapping[str, str]] = {"BeforeTool": "^(run_shell_command|write_file|replace|mcp_.*)$"}
    default_limit = 60
    gap = "Gemini CLI runs the tool if the hook is late; it has no setting against that"

    def handler(self, command: InstalledCommand) -> JsonObject:
        """By the shell."""
        return {"type": "command", "command": command.shell, "name": PROGRAM, "timeout": command.limit * 1000}

    def read_limit(self, handler: JsonObject) -> JsonValue:
        """In milliseconds in the file."""
        found = handler.get("timeout")
        return found / 1000 if isinstance(found, int | float) else None

    def turned_off(self, document: JsonObject, handler: JsonObject) -> Iterator[str]:
        """``hooksConfig`` turns hooks off, all or by name."""
        config = document.get("hooksConfig")
        found = config if isinstance(config, dict) else {}
        if found.get("enabled") is False:
            yield "hooksConfig.enabled is false"
        disabled = found.get("disabled")
        if isinstance(disabled, list) and {handler.get("name"), handler.get("command")} & set(map(str, disabled)):
            yield "hooksConfig.disabled names it"

    def made_up(self, event: str, folder: str) -> JsonObject:
        """A call of the shell."""
        return {
            "session_id": "molecule-approve-hook-test",
            "transcript_path": f"{folder}/transcript.json",
            "cwd": folder,
            "hook_event_name": event,
            "timestamp": "2026-01-01T00:00:00.000Z",
            "tool_name": "run_shell_command",
            "tool_input": {"command": "molecule-approve-hook-test --not-a-command"},
        }

    def blocks(self, run: HookRun, entry: HookEntry) -> bool:
        """JSON wins over the exit code; text without JSON blocks from 2 on; a hook that says nothing lets all run."""
        del entry
        text = run.stdout.strip() or run.stderr.strip()
        found = json_object(text)
        if found:
            return found.get("decision") in {"deny", "block"}
        return bool(text) and run.code >= 2
