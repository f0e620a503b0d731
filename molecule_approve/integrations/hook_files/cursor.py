"""Cursor's hooks.json: https://cursor.com/docs/hooks, as of 3.21.16."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from .interface import HookEntry, HookRun, HostFile, InstalledCommand, JsonObject, json_object


class CursorFile(HostFile):
    """A shell's text, and ``failClosed``."""

    name = "cursor"
    programs = ("cursor-agent", "cursor")
    folder = ".cursor"
    file = "hooks.json"
    # preToolUse fires for the shell and for MCP, too: without its matcher each such call would be asked about twice.
    matchers: ClassVar[Mapping[str, str]] = {
        "beforeShellExecution": "",
        "beforeMCPExecution": "",
        "preToolUse": "Write|Delete",
    }
    grouped = False
    blank: ClassVar[JsonObject] = {"version": 1, "hooks": {}}
    default_limit = 60

    def handler(self, command: InstalledCommand) -> JsonObject:
        """By the shell."""
        return {"command": command.shell, "timeout": command.limit, "failClosed": True}

    def blocks_if_lost(self, handler: JsonObject) -> bool:
        """``failClosed``, or the guard."""
        return handler.get("failClosed") is True or super().blocks_if_lost(handler)

    def made_up(self, event: str, folder: str) -> JsonObject:
        """A shell command, a call of an MCP server, or a file to write."""
        common: JsonObject = {
            "conversation_id": "molecule-approve-hook-test",
            "generation_id": "molecule-approve-hook-test",
            "hook_event_name": event,
            "workspace_roots": [folder],
        }
        if event == "beforeMCPExecution":
            return {**common, "tool_name": "molecule_approve_hook_test", "tool_input": "{}", "url": "http://127.0.0.1:9"}
        if event == "preToolUse":
            tool: JsonObject = {"tool_name": "Write", "tool_input": {"file_path": f"{folder}/molecule-approve-hook-test"}}
            return {**common, **tool, "tool_use_id": "molecule-approve-hook-test", "cwd": folder}
        return {**common, "command": "molecule-approve-hook-test --not-a-command", "cwd": folder}

    def blocks(self, run: HookRun, entry: HookEntry) -> bool:
        """Exit code 2, or 0 with a deny; another end only with ``failClosed``."""
        if run.code == 0 and (found := json_object(run.stdout)):
            return found.get("permission") == "deny"
        return run.code == 2 or entry.blocks_if_lost
