"""Pure: a tool call as the text of a request, complete and readable; and as the key of a call that is tried again."""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from molecule_approve.model import JsonValue

    from .interface import ToolCall

ADVISORY = frozenset({"description", "timeout"})
"""Arguments of a shell that an agent words anew for the same call."""


def describe(call: ToolCall) -> str:
    """The action: the command of a shell, else the tool's name and every argument on lines of its own."""
    if call.command is not None:
        return call.command
    return "\n".join(
        [_name(call.tool), *(line for name in call.arguments for line in _argument(name, call.arguments[name]))]
    )


def _argument(name: str, value: JsonValue) -> list[str]:
    r"""One argument: JSON, or the lines of a text, each behind a bar, so that no line can be taken for another argument."""
    if isinstance(value, str) and "\n" in value:
        return [f"  {_name(name)}:", *(f"    | {line}" for line in value.split("\n"))]
    return [f"  {_name(name)}: {_json(value)}"]


def _name(name: str) -> str:
    return name if re.match(r"[\w.-]+\Z", name) else _json(name)


def _json(value: JsonValue) -> str:
    return json.dumps(value, ensure_ascii=False)


def context_of(call: ToolCall) -> dict[str, JsonValue]:
    """What the approver sees beside the action: who calls, and what of a shell's arguments the command does not show."""
    found: dict[str, JsonValue] = {
        "agent": f"{call.host}, subagent {call.agent}" if call.agent else call.host,
        "session": call.session,
        "tool": call.tool,
        "tool_use_id": call.call_id,
        "mcp_server": call.server,
        "folder": call.folder,
        **(_beside_the_command(call.arguments) if call.command is not None else {}),
    }
    return {name: value for name, value in found.items() if value}


def _beside_the_command(arguments: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """A shell's other arguments: the agent's own words, and the rest."""
    others = {name: value for name, value in arguments.items() if name != "command"}
    said = others.pop("description") if isinstance(others.get("description"), str) else None
    return {"description": said, "arguments": _json(others) if others else None}


def fingerprint(call: ToolCall, workspace_id: str) -> str:
    """The same for the identical call in the same session and folder, and for no other.

    A shell's advisory arguments do not count. Another tool's do: a ticket's description is what is approved.
    """
    ignored = ADVISORY if call.command is not None else frozenset[str]()
    arguments = {name: value for name, value in call.arguments.items() if name not in ignored}
    parts: JsonValue = [workspace_id, call.host, call.session, call.tool, call.server, call.folder, arguments]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
