"""Pure: reads the fields of an event. What is not as the contract says is a HookEventError, whoever sent it."""

from __future__ import annotations

import codecs
import json
from typing import TYPE_CHECKING

from molecule_approve.errors import HookEventError
from molecule_approve.strict_json import StrictJsonError, loads

if TYPE_CHECKING:
    from collections.abc import Mapping

    from molecule_approve.model import JsonValue

Fields = dict[str, "JsonValue"]
"""An event, or the arguments of a tool."""


def read(data: bytes) -> Fields:
    """The event's object; a byte order mark in front is ignored.

    Raises:
        HookEventError: it is not one JSON object.

    """
    if not data.strip():
        raise HookEventError("there is no event on stdin", hint="this command is started by the agent's program")
    return parsed_object(data.removeprefix(codecs.BOM_UTF8), "the event on stdin")


def parsed_object(data: bytes | str, what: str) -> Fields:
    """The object of a JSON text.

    Raises:
        HookEventError: it is something else.

    """
    try:
        found = loads(data)
    except StrictJsonError as exc:
        raise HookEventError(f"{what} is not valid JSON: {exc}") from None
    if not isinstance(found, dict):
        raise HookEventError(f"{what} is not a JSON object")
    return found


def text(event: Mapping[str, JsonValue], name: str) -> str:
    """A field that must be text, and not empty.

    Raises:
        HookEventError: it is missing, or something else.

    """
    found = event.get(name)
    if not isinstance(found, str) or not found.strip():
        raise HookEventError(f"the event's {name} is missing, empty or not text")
    return found


def optional(event: Mapping[str, JsonValue], name: str) -> str:
    """A field that may be missing or null; then it is empty.

    Raises:
        HookEventError: it is something other than text.

    """
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
    """A field that must be an object, such as a tool's arguments.

    Raises:
        HookEventError: it is missing, or something else.

    """
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


def command_of(tool: str, arguments: Mapping[str, JsonValue], shells: frozenset[str]) -> str | None:
    """The command line if the tool is a shell, else None.

    Raises:
        HookEventError: a shell without a command line.

    """
    return text(arguments, "command") if tool in shells else None
