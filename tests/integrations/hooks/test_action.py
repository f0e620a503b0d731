"""A tool call as the text of a request, and as the key of a call that is tried again."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from molecule_approve.integrations.hooks.action import context_of, describe, fingerprint
from molecule_approve.integrations.hooks.interface import ToolCall

if TYPE_CHECKING:
    from molecule_approve.model import JsonValue

SHELL = ToolCall("claude-code", "PreToolUse", "Bash", {"command": "ls"}, "ls", "s", "/f")
WRITE = ToolCall("claude-code", "PreToolUse", "Write", {"file_path": "/a", "content": "x"}, None, "s", "/f")


def test_a_shells_action_is_its_command() -> None:
    """As it will be run, with every blank."""
    assert describe(replace(SHELL, command=" a\n b ")) == " a\n b "


def test_another_tools_action_names_every_argument() -> None:
    """The tool, then one argument a line, in the order of the call."""
    arguments: dict[str, JsonValue]
    arguments = {"file_path": "/a b", "replace_all": True, "edits": [{"old": "é", "new": None}], "n": 1.5}
    assert describe(replace(WRITE, tool="Edit", arguments=arguments)) == (
        'Edit\n  file_path: "/a b"\n  replace_all: true\n  edits: [{"old": "é", "new": null}]\n  n: 1.5'
    )


def test_a_tool_without_arguments_is_its_name() -> None:
    """Alone."""
    assert describe(replace(WRITE, arguments={})) == "Write"


def test_a_text_of_several_lines_is_shown_line_by_line() -> None:
    """Each behind a bar, so that none can be taken for another argument."""
    arguments = {"content": 'x\n  file_path: "/etc/passwd"\n', "file_path": "/a"}
    assert describe(replace(WRITE, arguments=arguments)) == (
        'Write\n  content:\n    | x\n    |   file_path: "/etc/passwd"\n    | \n  file_path: "/a"'
    )


def test_names_cannot_pass_for_something_else() -> None:
    """A name of other characters is quoted."""
    assert describe(replace(WRITE, tool="a\nb", arguments={'c: "d"\n': 1})) == '"a\\nb"\n  "c: \\"d\\"\\n": 1'


def test_two_calls_never_look_alike() -> None:
    """Whichever way their texts are cut into lines and arguments."""
    texts = ["a", "a\n", "\na", 'a"', "a\n    | b", '"a"', "", "a\\nb", "a\nb"]
    shown = {describe(replace(WRITE, arguments={"x": text})) for text in texts}
    shown |= {describe(replace(WRITE, arguments={"x": "a", "y": text})) for text in texts}
    assert len(shown) == 2 * len(texts)


def test_the_context_says_who_calls() -> None:
    """What is not known is left out."""
    assert context_of(SHELL) == {"agent": "claude-code", "session": "s", "tool": "Bash", "folder": "/f"}
    call = replace(SHELL, call_id="c", agent="a1", server="https://s")
    assert context_of(call) == {
        "agent": "claude-code, subagent a1",
        "session": "s",
        "tool": "Bash",
        "tool_use_id": "c",
        "mcp_server": "https://s",
        "folder": "/f",
    }


def test_the_context_has_a_shells_other_arguments() -> None:
    """The agent's own words by themselves; a description that is no text stays an argument."""
    call = replace(SHELL, arguments={"command": "ls", "description": "List", "run_in_background": True})
    assert context_of(call)["description"] == "List"
    assert context_of(call)["arguments"] == '{"run_in_background": true}'
    odd = context_of(replace(SHELL, arguments={"command": "ls", "description": ["x"]}))
    assert ("description" in odd, odd["arguments"]) == (False, '{"description": ["x"]}')


def test_another_tools_arguments_stand_in_the_action_alone() -> None:
    """Also its description, which is no comment there."""
    assert "description" not in context_of(replace(WRITE, arguments={"description": "x"}))
    assert "arguments" not in context_of(WRITE)


def test_a_shells_advisory_arguments_make_no_other_call() -> None:
    """An agent words them anew each time; the order of arguments means nothing either."""
    one = replace(SHELL, arguments={"command": "ls", "a": 1, "description": "x", "timeout": 5}, call_id="1", agent="a")
    other = replace(SHELL, arguments={"timeout": 9, "a": 1, "command": "ls"}, call_id="2")
    assert fingerprint(one, "w") == fingerprint(other, "w")


@pytest.mark.parametrize(
    "other",
    [
        replace(SHELL, session="t"),
        replace(SHELL, folder="/g"),
        replace(SHELL, host="codex"),
        replace(SHELL, tool="PowerShell"),
        replace(SHELL, server="x"),
        replace(SHELL, arguments={"command": "ls "}),
        replace(SHELL, arguments={"command": "ls", "dangerouslyDisableSandbox": True}),
    ],
)
def test_another_call_has_another_fingerprint(other: ToolCall) -> None:
    """Whatever of it differs."""
    assert fingerprint(other, "w") != fingerprint(SHELL, "w")


def test_another_workspace_has_another_fingerprint() -> None:
    """Its approvers are others."""
    assert fingerprint(SHELL, "w") != fingerprint(SHELL, "v")


def test_another_tools_description_makes_another_call() -> None:
    """A ticket's description is what is approved."""
    call = replace(WRITE, arguments={"description": "x"})
    assert fingerprint(call, "w") != fingerprint(replace(WRITE, arguments={"description": "y"}), "w")
