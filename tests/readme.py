"""Reads README.md for the tests: its text, its fenced blocks, and the blocks that bear a name. It judges nothing."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
TEXT = README.read_text(encoding="utf-8")

_NAMED = re.compile(r"^<!-- snippet: ([a-z-]+) -->\n```[a-z]+\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_BLOCK = re.compile(r"^```([a-z]+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)

SNIPPETS = dict(_NAMED.findall(TEXT))
"""What stands behind ``<!-- snippet: NAME -->``, by that name."""


def blocks(*languages: str) -> list[str]:
    """The fenced blocks in these languages."""
    return [block for language, block in _BLOCK.findall(TEXT) if language in languages]


def prose() -> str:
    """The page without its fenced blocks."""
    return _BLOCK.sub("", TEXT)
