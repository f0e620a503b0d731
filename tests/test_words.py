"""The words of the package's texts: the riddles that were replaced once do not come back."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import molecule_approve

ROOT = Path(str(molecule_approve.__file__)).parent

RIDDLES = (
    r"what was approved is not what is asked",
    r"nothing vouches for",
    r"without an ending",
    r"cannot stand for",
    r"may expire the request after",
    r"may not be the platform",
    r"cannot be known what",
    r"leave \S+ away",
    r"text only behind",
    r"could not be told|nobody is left to tell",
    r"what stands in it as known",
    r"stands? there twice",
    r"no plain file",
    r"is ever cut off",
    r"interrupted: interrupted|interrupted by SIG|hung up by",
    r"taken back|take \S+ back|takes? back",
    r"was decided by that",
    r"(?<!there )\bis no (?!longer\b|more\b)",
    r"\bmend\b",
)


def riddles(text: str) -> Iterator[str]:
    """Each riddle in a Python file's string literals, docstrings included, with its line."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            words = " ".join(node.value.split())
            for riddle in RIDDLES:
                if found := re.search(riddle, words, re.IGNORECASE):
                    yield f"line {node.lineno}: {found[0]!r} in {words[:80]!r}"


PATHS = sorted(ROOT.rglob("*.py"))


@pytest.mark.parametrize("path", PATHS, ids=[str(path.relative_to(ROOT)) for path in PATHS])
def test_no_text_is_a_riddle(path: Path) -> None:
    """Messages, help and docstrings say what happened, why, and what to do."""
    assert list(riddles(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize("text", ["'x is no token'", 'f"{name}: leave it away"', '"""It is\n taken back."""'])
def test_a_riddle_is_found(text: str) -> None:
    """In plain strings, formatted ones and docstrings, also across two lines."""
    assert list(riddles(text))


def test_plain_words_pass() -> None:
    """Some negations are plain."""
    assert list(riddles("'there is no terminal; the job is no longer open'")) == []
