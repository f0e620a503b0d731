"""Pure: reads events, and the form of them that several hosts share.

Every function raises HookEventError for what is not as the contract says, whoever sent it.
"""

from __future__ import annotations

import codecs
import json
from typing import TYPE_CHECKING

from molecule_approve.errors import HookEventError
from molecule_approve.safe_text import json_line
from molecule_approve.strict_json import StrictJsonError, loads

from .interface import ToolCall

if TYPE_CHECKING:
    from collections.abc import Mapping

    from molecule_approve.model import JsonValue

Fields = dict[str, "JsonValue"]
"""An event, or the arguments of a tool."""

PRE_TOOL_USE = "PreToolUse"
"""Claude Code's event, which other hosts took over."""


def read(data: bytes) -> Fields:
    """The event's object; a byte order mark in front is ignored."""
    if not data.strip():
        raise HookEventError("there is no event on stdin", hint="this command is started by the agent's program")
    return parsed_object(data.removeprefix(codecs.BOM_UTF8), "the event on stdin")


def parsed_object(data: bytes | str, what: str) -> Fields:
    """The object of a JSON text."""
    try:
        found = loads(data)
    except StrictJsonError as exc:
        raise HookEventError(f"{what} is not valid JSON: {exc}") from None
    if not isinstance(found, dict):
        raise HookEventError(f"{what} is not a JSON object")
    return found


def text(event: Mapping[str, JsonValue], name: str) -> str:
    """A field that must be text, and not empty."""
    found = event.get(name)
    if not isinstance(found, str) or not found.strip():
        raise HookEventError(f"the event's {name} is missing, empty or not text")
    return found


def optional(event: Mapping[str, JsonValue], name: str) -> str:
    """A field that must be text, or missing or null; then it is empty."""
    found = event.get(name)
    if found is None:
        return ""
    if not isinstance(found, str):
        raise HookEventError(f"the event's {name} is not text")
    return found


def as_text(event: Mapping[str, JsonValue], name: str) -> str:
    """A field of any type as JSON, for a person to read; empty if it is missing or null."""
    found = event.get(name)
    return "" if found is None else json.dumps(found, ensure_ascii=False)


def fields(event: Mapping[str, JsonValue], name: str) -> Fields:
    """A field that must be an object, such as a tool's arguments."""
    found = event.get(name)
    if not isinstance(found, dict):
        raise HookEventError(f"the event's {name} is missing or not an object")
    return found


def expect(event: Mapping[str, JsonValue], *names: str) -> str:
    """The event's name, which must be one of these.

    Raises:
        HookEventError: it is another one; a hook that is installed for it would block what it does not know.
    """
    found = text(event, "hook_event_name")
    if found not in names:
        raise HookEventError(
            f"this hook does not answer the event {found[:80]!r}", hint=f"install it for {' or '.join(names)}"
        )
    return found


def call_of(host: str, event: Fields, name: str, shells: frozenset[str], **more: str) -> ToolCall:
    """The call of an event of this name, in the form that several hosts share; ``more`` are further fields of it."""
    tool, arguments = text(event, "tool_name"), fields(event, "tool_input")
    command, session = command_of(tool, arguments, shells), text(event, "session_id")
    return ToolCall(host, name, tool, arguments, command, session, folder=optional(event, "cwd"), **more)


def pre_tool_use(host: str, event: Fields, shells: frozenset[str]) -> ToolCall:
    """The call of a ``PreToolUse`` event."""
    name = expect(event, PRE_TOOL_USE)
    ids = {"call_id": optional(event, "tool_use_id"), "agent": optional(event, "agent_id")}
    return call_of(host, event, name, shells, **ids)


def decision(word: str, reason: str) -> str:
    """The answer to a ``PreToolUse`` event."""
    found = {"hookEventName": PRE_TOOL_USE, "permissionDecision": word, "permissionDecisionReason": reason}
    return json_line({"hookSpecificOutput": found})


def command_of(tool: str, arguments: Mapping[str, JsonValue], shells: frozenset[str]) -> str | None:
    """The command line if the tool is a shell, else None."""
    return text(arguments, "command") if tool in shells else None
