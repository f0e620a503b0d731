"""`hook status`: where the hook is installed, and what it is worth there."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from molecule_approve.integrations.hook_files.interface import InstalledCommand
from tests.callers import Told

Hook = Callable[..., Told]
PROGRAM = str(Path(sys.executable).parent / "molecule-approve")
Put = Callable[[str, str], None]


def rows(told: Told) -> dict[str, Any]:
    """The objects of --json, by host."""
    assert (told.code, told.err) == (0, "")
    return {row["host"]: row for row in json.loads(told.out)}


def test_every_host_has_its_line(hook: Hook) -> None:
    """Where nothing is installed, it says so."""
    told = hook("status")
    assert (told.code, told.err) == (0, "")
    assert told.out.splitlines() == [
        f"{host}: not installed" for host in ("claude-code", "codex", "gemini", "cursor", "copilot")
    ]


def test_an_entry_is_told_with_all_that_matters(hook: Hook, user: Path, host_program: Put) -> None:
    """Event, tools, limit, command, and what happens without the hook; the host's version."""
    host_program("claude", "2.1.302 (Claude Code)")
    hook("install", "claude-code", "--yes")
    hook("install", "codex", "--yes", "--matcher", "")
    lines = hook("status").out.splitlines()
    assert lines[:8] == [
        f"claude-code (version 2.1.302): user, {user}/.claude/settings.json",
        "  PreToolUse, tools: ^(Bash|Write|Edit|NotebookEdit|mcp__.*)$, limit: 3600 s",
        f"  command: {PROGRAM} hook claude-code --limit 3600",
        "  if the hook is lost: the tool is blocked",
        f"codex: user, {user}/.codex/hooks.json",
        "  PreToolUse, tools: all, limit: 3600 s",
        f"  command: {PROGRAM} hook codex --limit 3600",
        "  if the hook is lost: the tool is blocked",
    ]
    assert lines[8].startswith("  fault: you have not trusted it, and Codex skips it")
    assert lines[9].startswith("  Codex runs the tool if the hook is late")


def test_without_the_host_s_version_it_is_named_from_which_it_blocks(hook: Hook) -> None:
    """Claude Code blocks since 2.1.295."""
    hook("install", "claude-code", "--yes")
    assert "  if the hook is lost: the tool is blocked, by version 2.1.295 and later\n" in hook("status").out


def test_a_file_with_several_entries_is_named_once(hook: Hook, user: Path) -> None:
    """Cursor has one for each event."""
    hook("install", "cursor", "--yes")
    text = hook("status").out
    assert text.count(f"cursor: user, {user}/.cursor/hooks.json\n") == 1
    assert text.count("if the hook is lost: the tool is blocked") == 3


def test_faults_are_told(hook: Hook, user: Path, host_program: Put) -> None:
    """A program that is gone, a host that is too old, a limit that is too short, a file that cannot be read."""
    host_program("claude", "2.1.294")
    hook("install", "claude-code", "--yes")
    path = user / ".claude" / "settings.json"
    path.write_text(path.read_text().replace('"timeout": 3600', '"timeout": 60').replace(PROGRAM, "/gone/molecule-approve"))
    (user / ".gemini").mkdir()
    (user / ".gemini" / "settings.json").write_text("{ // no\n}")
    text = hook("status").out
    assert "  if the hook is lost: THE TOOL RUNS\n" in text
    assert "  fault: /gone/molecule-approve does not exist, or this user cannot see it\n" in text
    assert "  fault: this version runs the tool if the hook is lost: update to 2.1.295 or later\n" in text
    assert "  fault: the hook counts on 3600 s, the host ends it after 60 s\n" in text
    assert "settings.json, line 1: this is not plain JSON" in text
    found = rows(hook("status", "--json"))
    (entry,) = found["claude-code"]["installed"]
    assert entry["blocks_if_lost"] is False
    assert len(entry["faults"]) == 3
    assert [set(one) for one in found["gemini"]["installed"]] == [{"scope", "path", "faults"}]


def test_json_has_every_host(hook: Hook, user: Path, host_program: Put) -> None:
    """With the same keys whether anything is installed or not."""
    host_program("codex", "codex-cli 0.155.1")
    hook("install", "codex", "--yes", "--project")
    found = rows(hook("status", "--json"))
    assert list(found) == ["claude-code", "codex", "gemini", "cursor", "copilot"]
    assert found["claude-code"] == {"host": "claude-code", "version": None, "gap": None, "installed": []}
    assert found["codex"]["version"] == "0.155.1"
    assert "Codex runs the tool" in found["codex"]["gap"]
    assert found["codex"]["installed"] == [
        {
            "scope": "project",
            "path": f"{user}/project/.codex/hooks.json",
            "event": "PreToolUse",
            "matcher": "^(Bash|apply_patch|mcp__.*)$",
            "command": [PROGRAM, "hook", "codex", "--limit", "3600"],
            "shell": InstalledCommand(str(PROGRAM), ("hook", "codex", "--limit", "3600")).shell,
            "limit_seconds": 3600.0,
            "blocks_if_lost": True,
            "faults": ["you have not trusted it, and Codex skips it without a word: start codex and enter /hooks"],
        }
    ]


def test_text_from_a_file_moves_no_cursor(hook: Hook, user: Path) -> None:
    """A matcher is whatever somebody wrote."""
    hook("install", "codex", "--yes", "--matcher", "\x1b[2K")
    assert "\x1b" not in hook("status").out
