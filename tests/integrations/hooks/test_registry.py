"""Every host: its recorded events are understood, its answers have its form, and nothing else is an event."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from molecule_approve.errors import HookEventError
from molecule_approve.integrations.hooks.interface import ToolCall
from molecule_approve.integrations.hooks.registry import HOSTS
from tests.cli.hook.hosts import ALLOWED, COMMAND, FIXTURES, NAMES, RECORDED, denial, mutations


def parsed(path: str) -> ToolCall:
    """The call of a recorded event."""
    return HOSTS[path.split("/", maxsplit=1)[0]].parse((FIXTURES / path).read_bytes())


def test_the_hosts_are_these() -> None:
    """By the names that the tests go through."""
    assert tuple(HOSTS) == NAMES
    assert {path.parts[-3] for path in RECORDED} == set(NAMES)
    assert [host.default_limit for host in HOSTS.values()] == [600.0, 600.0, 60.0, 60.0, 30.0]
    assert [name for name, host in HOSTS.items() if host.name != name or not host.title] == []


@pytest.mark.parametrize("path", [str(path.relative_to(FIXTURES)) for path in RECORDED if path.name == "shell.json"])
def test_a_command_is_read_as_it_is(path: str) -> None:
    """And whose it is, in each version."""
    host, call = path.partition("/")[0], parsed(path)
    assert (call.host, call.command, call.arguments["command"]) == (host, COMMAND, COMMAND)
    assert call.session
    assert call.folder == "/home/dev/shop"


@pytest.mark.parametrize(
    ("path", "call"),
    [
        (
            "claude-code/2.1.317/mcp.json",
            ToolCall(
                "claude-code",
                "PreToolUse",
                "mcp__memory__delete_entities",
                {"entityNames": ["orders", "customers"]},
                None,
                "0b6b2f4e-6a53-4f0e-9f3e-1d8c5a0f9b11",
                "/home/dev/shop",
                "toolu_01B7",
                "agent-7",
            ),
        ),
        (
            "claude-code/2.1.317/from-copilot.json",
            ToolCall("copilot", "PreToolUse", "Bash", {"command": COMMAND}, COMMAND, "f1d2", "/home/dev/shop"),
        ),
        (
            "codex/0.155.1/patch.json",
            ToolCall(
                "codex",
                "PreToolUse",
                "apply_patch",
                {"command": "*** Begin Patch\n*** Update File: main.tf\n-a = 1\n+a = 2\n*** End Patch"},
                None,
                "019a2c1e-7f1b-7c52-8d52-6f6d0b7e1c11",
                "/home/dev/shop",
                "call_9Ab",
                "worker-1",
            ),
        ),
        (
            "gemini/2026-11/mcp.json",
            ToolCall(
                "gemini",
                "BeforeTool",
                "mcp_memory_delete_entities",
                {"entityNames": ["orders"]},
                None,
                "9f2e",
                "/home/dev/shop",
                server='{"server_name": "memory", "tool_name": "delete_entities", '
                '"command": "npx", "args": ["memory-server"]}',
            ),
        ),
        (
            "cursor/3.21.16/shell.json",
            ToolCall(
                "cursor",
                "beforeShellExecution",
                "Shell",
                {"command": COMMAND, "sandbox": False},
                COMMAND,
                "6c8d0a52-1d7e-4a0a-9a57-6f6f2d3c9b11",
                "/home/dev/shop",
            ),
        ),
        (
            "cursor/3.21.16/mcp.json",
            ToolCall(
                "cursor",
                "beforeMCPExecution",
                "MCP:delete_entities",
                {"entityNames": ["orders"]},
                None,
                "6c8d0a52-1d7e-4a0a-9a57-6f6f2d3c9b11",
                "/home/dev/shop",
                server="https://mcp.example.org/memory",
            ),
        ),
        (
            "cursor/3.21.16/tool.json",
            ToolCall(
                "cursor",
                "preToolUse",
                "Shell",
                {"command": COMMAND},
                COMMAND,
                "6c8d0a52-1d7e-4a0a-9a57-6f6f2d3c9b11",
                "/home/dev/shop/infra",
                "tool_1",
            ),
        ),
        (
            "copilot/1.0.83/text-arguments.json",
            ToolCall(
                "copilot",
                "preToolUse",
                "create",
                {"path": "/home/dev/shop/a", "file_text": "x"},
                None,
                "f1d2",
                "/home/dev/shop",
            ),
        ),
        (
            "copilot/1.0.83/shell-snake.json",
            ToolCall("copilot", "PreToolUse", "Bash", {"command": COMMAND}, COMMAND, "f1d2", "/home/dev/shop"),
        ),
    ],
)
def test_a_recorded_event_is_read(path: str, call: ToolCall) -> None:
    """Each field where the contract has it."""
    assert parsed(path) == call


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: "/".join(path.parts[-3:]))
def test_the_three_answers_have_the_hosts_form(path: Path) -> None:
    """A yes, no opinion, and a no with exit code 2 and a reason on both streams."""
    host = HOSTS[path.parts[-3]]
    call = host.parse(path.read_bytes())
    assert host.allow(call) == (_line(ALLOWED[call.host]), "", 0)
    assert host.leave(call) == ("" if host.name == "codex" else "{}", "", 0)
    for answer, form in ((host.deny("because", call), call.host), (host.deny("because"), host.name)):
        assert (answer.stderr, answer.code) == ("because", 2)
        assert denial(form, json.loads(answer.stdout)) == "because"


def _line(said: dict[str, Any] | None) -> str:
    return "" if said is None else json.dumps(said)


def test_the_mark_in_front_of_cursors_events_on_windows_is_ignored() -> None:
    """It is no JSON, and says only that UTF-8 follows."""
    (path,) = (FIXTURES / "cursor").glob("*/shell.json")
    assert HOSTS["cursor"].parse(b"\xef\xbb\xbf" + path.read_bytes()).command == COMMAND


@pytest.mark.parametrize(
    ("path", "change", "complaint"),
    [
        ("claude-code/2.1.317/shell.json", {"hook_event_name": "PostToolUse"}, "the event 'PostToolUse'"),
        ("claude-code/2.1.317/shell.json", {"tool_name": 7}, "tool_name is missing, empty or not text"),
        ("claude-code/2.1.317/shell.json", {"tool_name": " "}, "tool_name is missing, empty or not text"),
        ("claude-code/2.1.317/shell.json", {"tool_input": {}}, "command is missing, empty or not text"),
        ("claude-code/2.1.317/shell.json", {"tool_input": {"command": ["a", "b"]}}, "command is missing, empty or not"),
        ("claude-code/2.1.317/shell.json", {"tool_input": "ls"}, "tool_input is missing or not an object"),
        ("claude-code/2.1.317/shell.json", {"session_id": ""}, "session_id is missing"),
        ("claude-code/2.1.317/shell.json", {"cwd": 5}, "cwd is not text"),
        ("codex/0.155.1/shell.json", {"tool_input": None}, "tool_input is missing or not an object"),
        ("codex/0.155.1/shell.json", {"hook_event_name": "PermissionRequest"}, "install it for PreToolUse"),
        ("gemini/2026-11/shell.json", {"hook_event_name": "AfterTool"}, "the event 'AfterTool'"),
        ("gemini/2026-11/shell.json", {"tool_input": []}, "tool_input is missing or not an object"),
        ("cursor/3.21.16/shell.json", {"command": ""}, "command is missing, empty or not text"),
        (
            "cursor/3.21.16/shell.json",
            {"hook_event_name": "stop"},
            "beforeShellExecution or beforeMCPExecution or preToolUse",
        ),
        ("cursor/3.21.16/mcp.json", {"tool_input": "{"}, "the tool's input is not valid JSON"),
        ("cursor/3.21.16/mcp.json", {"tool_input": "[]"}, "the tool's input is not a JSON object"),
        ("cursor/3.21.16/tool.json", {"tool_input": 1}, "tool_input is missing or not an object"),
        ("copilot/1.0.83/shell.json", {"toolArgs": "ls"}, "the tool's arguments is not valid JSON"),
        ("copilot/1.0.83/shell.json", {"toolArgs": None}, "arguments is missing or not an object"),
        ("copilot/1.0.83/shell.json", {"sessionId": None}, "sessionId is missing"),
        ("copilot/1.0.83/shell-snake.json", {"hook_event_name": "Stop"}, "the event 'Stop'"),
    ],
)
def test_an_event_of_another_form_is_refused(path: str, change: dict[str, Any], complaint: str) -> None:
    """With the field that is not as the contract says."""
    event = {**json.loads((FIXTURES / path).read_bytes()), **change}
    with pytest.raises(HookEventError) as caught:
        HOSTS[path.split("/", maxsplit=1)[0]].parse(json.dumps(event).encode())
    assert complaint in f"{caught.value.message} ({caught.value.hint})"


@pytest.mark.parametrize("roots", [None, [], "x", [7], {"a": 1}])
def test_cursor_without_a_folder(roots: object) -> None:
    """What its list of folders holds does not matter; none is known then."""
    event = {**json.loads((FIXTURES / "cursor/3.21.16/shell.json").read_bytes()), "workspace_roots": roots}
    assert HOSTS["cursor"].parse(json.dumps(event).encode()).folder == ""


# --- whatever stands on stdin ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", NAMES)
def test_whatever_stands_on_stdin_is_a_call_or_is_refused(host: str) -> None:
    """A call has a tool, a session and arguments to show; all else is refused, and no other error leaves the parser."""
    calls = 0
    for data in mutations(13, RECORDED):
        try:
            call = HOSTS[host].parse(data)
        except HookEventError:
            continue
        calls += 1
        assert call.tool.strip()
        assert call.session.strip()
        assert isinstance(call.arguments, dict)
        assert call.command is None or call.command == call.arguments["command"]
    assert calls
