"""GitHub Copilot CLI's hooks folder: https://docs.github.com/en/copilot/reference/hooks-reference, as of November 2026."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from .interface import PROGRAM, HookEntry, HookRun, HostFile, InstalledCommand, JsonObject, Scope, json_object

if TYPE_CHECKING:
    from molecule_approve.model import JsonValue

_HARMLESS = "view|grep|rg|glob|ask_user|update_todo|report_intent"
"""Tools that only read or talk. MCP tools have no common beginning: so all others are asked about."""


class CopilotFile(HostFile):
    """Exec form, in a file of our own. A crash blocks by itself; a hook that is late lets the tool run."""

    name = "copilot"
    programs = ("copilot",)
    folder = ".copilot"
    moved_by = "COPILOT_HOME"
    file = f"hooks/{PROGRAM}.json"
    matchers: ClassVar[Mapping[str, str]] = {"preToolUse": f"^(?!({_HARMLESS})$).*"}
    grouped = False
    blank: ClassVar[JsonObject] = {"version": 1, "hooks": {}}
    default_limit = 30
    gap = "Copilot runs the tool if the hook is late; it has no setting against that"

    def path(self, scope: Scope, environ: Mapping[str, str], home: Path, project: Path) -> Path:
        """A project's are beside what else belongs to GitHub."""
        return project / ".github" / self.file if scope is Scope.PROJECT else super().path(scope, environ, home, project)

    def switches(self, environ: Mapping[str, str], home: Path, project: Path) -> tuple[Path, ...]:
        """Its settings, which are no hook files."""
        folder = project / ".github" / "copilot"
        return self.user_folder(environ, home) / "settings.json", folder / "settings.json", folder / "settings.local.json"

    def handler(self, command: InstalledCommand) -> JsonObject:
        """Without a shell."""
        return {
            "type": "command",
            "exec": command.program,
            "args": list(command.arguments),
            "timeoutSec": command.limit,
        }

    def read_limit(self, handler: JsonObject) -> JsonValue:
        """In seconds, by one of two names."""
        return handler.get("timeoutSec", handler.get("timeout"))

    def blocks_if_lost(self, handler: JsonObject) -> bool:
        """Whatever the entry says."""
        del handler
        return True

    def made_up(self, event: str, folder: str) -> JsonObject:
        """A call of bash."""
        del event
        return {
            "sessionId": "molecule-approve-hook-test",
            "timestamp": 1_767_225_600_000,
            "cwd": folder,
            "toolName": "bash",
            "toolArgs": {"command": "molecule-approve-hook-test --not-a-command", "description": "A made-up call"},
        }

    def blocks(self, run: HookRun, entry: HookEntry) -> bool:
        """Every exit code but 0, or 0 with a deny behind the progress lines."""
        del entry
        lines = [line for line in run.stdout.splitlines() if json_object(line).get("type") != "progress"]
        return run.code != 0 or json_object("\n".join(lines)).get("permissionDecision") == "deny"
