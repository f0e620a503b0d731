"""Pure: puts a changed value into the JSON text that it was read from. What did not change keeps every byte."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from molecule_approve.model import JsonValue

_BLANKS = " \t\r\n"
_BLANK = re.compile(rf"[{_BLANKS}]*")
_INDENT = re.compile(r"\{[ \t\r]*\n([ \t]+)\S")
_DECODER = json.JSONDecoder()


class _Style(NamedTuple):
    """How the text is laid out: one step of indentation, and the end of a line."""

    indent: str
    newline: str


class _Written(NamedTuple):
    """A member of an object or an item of an array as it is written; the key of an item is empty."""

    key: str
    value: str


def rewritten(text: str, value: JsonValue) -> str:
    """The text with this value in it.

    Args:
        text: valid JSON, or only blanks.
        value: what is to be in it. An object or array that differs from the text's is laid out anew, with the text's own
            indentation; each part of it that does not differ is copied.
    """
    body = text.strip(_BLANKS)
    found = _INDENT.match(body)
    style = _Style(found[1] if found else "  ", "\r\n" if "\r\n" in text else "\n")
    if not body:
        return _render(value, "", 0, style) + style.newline
    before, _, after = text.partition(body)
    return before + _render(value, body, 0, style) + after


def _render(value: JsonValue, source: str, level: int, style: _Style) -> str:
    # As text, because to Python True is 1 and 1.0 is 1.
    if source and json.dumps(json.loads(source)) == json.dumps(value):
        return source
    if not isinstance(value, dict | list) or not value or _is_short(value):
        return json.dumps(value, ensure_ascii=False)
    old = list(_parts(source)) if source[:1] == ("{" if isinstance(value, dict) else "[") else []
    if isinstance(value, dict):
        opening, closing, parts = "{", "}", _members(value, old, level + 1, style)
    else:
        opening, closing, parts = "[", "]", _items(value, old, level + 1, style)
    inner = style.newline + style.indent * (level + 1)
    return f"{opening}{inner}{f',{inner}'.join(parts)}{style.newline}{style.indent * level}{closing}"


def _is_short(value: dict[str, JsonValue] | list[JsonValue]) -> bool:
    """Whether it is a list of words: shown in one line."""
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _members(value: dict[str, JsonValue], old: list[_Written], level: int, style: _Style) -> Iterator[str]:
    sources = {json.loads(source.key): source for source in old}
    for key, member in value.items():
        source = sources.get(key, _Written(json.dumps(key, ensure_ascii=False), ""))
        yield f"{source.key}: {_render(member, source.value, level, style)}"


def _items(value: list[JsonValue], old: list[_Written], level: int, style: _Style) -> Iterator[str]:
    same = {json.dumps(json.loads(source.value)): source.value for source in old}
    for place, item in enumerate(value):
        nearest = old[place].value if place < len(old) else ""
        yield _render(item, same.get(json.dumps(item), nearest), level, style)


def _parts(source: str) -> Iterator[_Written]:
    """The members or items of an object or array."""
    at = _skip(source, 1)
    while source[at] not in "]}":
        key = ""
        if source[0] == "{":
            _, end = _DECODER.raw_decode(source, at)
            key, at = source[at:end], _skip(source, _skip(source, end) + 1)  # behind the colon
        _, end = _DECODER.raw_decode(source, at)
        yield _Written(key, source[at:end])
        at = _skip(source, end)
        if source[at] == ",":
            at = _skip(source, at + 1)


def _skip(text: str, at: int) -> int:
    found = _BLANK.match(text, at)
    return found.end() if found else at
