"""Reads README.md, CONTRIBUTING.md and docs/ for the tests: texts, fenced blocks, named blocks. It judges nothing."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGES = {
    str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
    for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")))
}
"""The text of every page, by its path in the project."""

TEXT = "\n".join(PAGES.values())

_NAMED = re.compile(r"^<!-- snippet: ([a-z-]+) -->\n```[a-z]+\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_BLOCK = re.compile(r"^ *```([a-z]+)\n(.*?)^ *```$", re.DOTALL | re.MULTILINE)

NAMED = _NAMED.findall(TEXT)
"""Each ``<!-- snippet: NAME -->`` and the block behind it, in the order of the pages."""

SNIPPETS = dict(NAMED)
"""The same by name."""


def blocks(*languages: str) -> list[str]:
    """The fenced blocks in these languages."""
    return [block for language, block in _BLOCK.findall(TEXT) if language in languages]


def prose(text: str = TEXT) -> str:
    """The text without its fenced blocks."""
    return _BLOCK.sub("", text)
