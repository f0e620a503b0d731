"""Pure: text from elsewhere made visible, so that it can move no cursor, hide nothing and give no order to a log reader.

All that did not come from this program passes here before a terminal, a log or a page shows it.
"""

from __future__ import annotations

import json
import re
import shlex
import unicodedata
from typing import Any

# Invisible although their category is no Cc, Cf, Zl or Zp (Unicode's Default_Ignorable_Code_Point, and two blanks).
_BLANK = frozenset({0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x180B, 0x180C, 0x180D, 0x180F, 0x2800, 0x3164, 0xFFA0})
_VARIATION = (range(0xFE00, 0xFE10), range(0xE0100, 0xE01F0))
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_PLAIN = re.compile(r"[ -~]*\Z")

# Orders to log readers. At the start of a line: `::` (GitHub, Gitea and Forgejo Actions, behind blanks too), `---`, `+++`,
# `~~~` and `^^^` (Buildkite), `@@@` (Buildbot's annotations). Anywhere: `##[` (GitHub, Azure), `##vso[` (Azure),
# `##teamcity[`, `##octopus[`, `##myget[` and their like, `section_start:` and `section_end:` (GitLab), `travis_fold:` and
# `travis_time:`. Those that begin with a control character (Jenkins' notes, Buildkite's links) are escaped as such.
_ORDER_AT_START = re.compile(r"\A(?:\s*:(?=:)|-(?=--(?!\S))|\+(?=\+\+(?!\S))|~(?=~~(?!\S))|\^(?=\^\^)|@(?=@@))")
_ORDER_ANYWHERE = re.compile(
    r"#(?=#[\w.-]*\[)|(?<=section_start):|(?<=section_end):|(?<=travis_fold):|(?<=travis_time):", re.IGNORECASE | re.ASCII
)

_OF_ORDERS = ("##", "section_", "travis_")
"""Each of the orders that may stand anywhere has one of these in it."""

_ESCAPE = re.compile(r"\\[\\nrtxuU]")
"""What could be an escape of ours."""

_SHELL_QUOTES = re.compile(r"""\$'(?:\\.|[^'\\])*'|"[^"]*"|'[^']*'""")


def is_hidden(character: str) -> bool:
    """Whether a person looking at a screen could miss or be misled by this character."""
    code = ord(character)
    if 0x20 <= code < 0x7F:
        return False
    if code in _BLANK or any(code in span for span in _VARIATION):
        return True
    category = unicodedata.category(character)
    # A space that is none of ours (no-break, thin, ideographic) makes two texts look alike.
    return category in _HIDDEN or category == "Zs"


def _escape(character: str) -> str:
    code = ord(character)
    named = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}.get(character)
    if named is not None:
        return named
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def _may_order(text: str) -> bool:
    """Whether it is worth searching for an order that may stand anywhere: most texts have none, and the search is slow."""
    small = text.lower()
    return any(part in small for part in _OF_ORDERS)


def _mark(match: re.Match[str]) -> str:
    return match.group(0)[:-1] + _escape(match.group(0)[-1])


def visible(text: str) -> str:
    """The text on one line, with every hidden character written as an escape and no order for a log reader left.

    Two texts never look alike: where an escape is written, or stands in the text, each of its backslashes is doubled.
    """
    doubled = text.replace("\\", "\\\\")
    shown = doubled if _PLAIN.match(doubled) else "".join(_escape(c) if is_hidden(c) else c for c in doubled)
    shown = _ORDER_AT_START.sub(_mark, shown)
    if _may_order(shown):
        shown = _ORDER_ANYWHERE.sub(_mark, shown)
    return text if shown == doubled and not _ESCAPE.search(text) else shown


def visible_lines(text: str) -> list[str]:
    """The text line by line as it was written, each line made visible: for a place that shows long texts whole."""
    return [visible(line) for line in text.split("\n")]


def quoted(word: str) -> str:
    """The word as a shell would read it, on one line; ``$'…'`` where a character in it cannot be seen."""
    if not any(is_hidden(character) for character in word):
        return shlex.quote(word)
    return f"$'{''.join(map(_shell_escaped, word))}'"


def _shell_escaped(character: str) -> str:
    if character in "\\'":
        return f"\\{character}"
    if not is_hidden(character):
        return character
    code = ord(character)
    if code < 0x80:
        return {"\n": "\\n", "\t": "\\t", "\r": "\\r"}.get(character, f"\\x{code:02x}")
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def has_escapes(text: str) -> bool:
    """Whether a word of this line, of words as :func:`quoted` writes them, has characters that are not shown as they are."""
    return any(found[0].startswith("$") for found in _SHELL_QUOTES.finditer(text))


def visible_quoted(text: str) -> str:
    """Words in quotes of a shell, as they are: what is copied is the same command. Hidden characters as in ``visible``.

    An order for a log reader is broken by an escape within ``$'…'``, elsewhere by quotes that a shell takes for nothing.
    """
    if any(map(is_hidden, text)):
        return visible(text)
    escaping = [found.span() for found in _SHELL_QUOTES.finditer(text) if found[0].startswith("$")]

    def broken(order: re.Match[str]) -> str:
        inside = any(start < order.start() < end for start, end in escaping)
        return _mark(order) if inside else f"{order[0][:-1]}''{order[0][-1]}''"

    return _ORDER_AT_START.sub(broken, _ORDER_ANYWHERE.sub(broken, text))


def visible_json(line: str) -> str:
    """A line that is JSON already, made visible by JSON's own escapes: it means the same."""
    shown = line if _PLAIN.match(line) else "".join(_json_escape(c) if is_hidden(c) else c for c in line)
    return _ORDER_ANYWHERE.sub(lambda match: _json_escape(match.group(0)), shown) if _may_order(shown) else shown


def _json_escape(character: str) -> str:
    return json.dumps(character)[1:-1] if character > "\x7f" else f"\\u{ord(character):04x}"


def json_line(value: Any) -> str:  # noqa: ANN401 - whatever json can write
    """The value as one line of ASCII JSON that no terminal and no log reader obeys, and that means the same."""
    return visible_json(json.dumps(value, ensure_ascii=True, separators=(", ", ": "), allow_nan=False))
