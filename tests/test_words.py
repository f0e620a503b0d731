"""The words of the package's texts and of the pages: the wording that was replaced once does not come back."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import molecule_approve
from tests.pages import PAGES, prose

pytestmark = pytest.mark.usefixtures("untraced")  # it runs nothing of the package

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

REPLACED = (
    r"\bquestions?\b",
    r"\baskers?\b|\bwho asked\b",
    r"\bdeciders?\b",
    r"\bdesks?\b",
    r"\btaking \S+ back\b|\btakes? \S+ \S+ back\b",
    r"\bendings?\b",
    r"\brulings?\b",
    r"\btrails?\b",
    r"\bused up\b",
)
"""What the pages call by another word: request, requester, approver, inbox, withdraw, outcome, record, redeem."""

_GENERATED = re.compile(r"<!-- generated: .*?<!-- end -->", re.DOTALL)
_CODE = re.compile(r"`[^`\n]+`")


def found_in(words: str, patterns: tuple[str, ...]) -> Iterator[str]:
    """What each pattern finds in a text without line breaks."""
    for pattern in patterns:
        for found in re.finditer(pattern, words, re.IGNORECASE):
            yield f"{found[0]!r} in {words[max(0, found.start() - 40) : found.end() + 40]!r}"


def riddles(text: str) -> Iterator[str]:
    """Each riddle in a Python file's string literals, docstrings included, with its line."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            for found in found_in(" ".join(node.value.split()), RIDDLES):
                yield f"line {node.lineno}: {found}"


def old_words(page: str) -> Iterator[str]:
    """Each riddle and each replaced word in what people wrote of a page: not in its blocks, code and generated parts."""
    written = _CODE.sub("", prose(_GENERATED.sub("", page)))
    yield from found_in(" ".join(written.split()), RIDDLES + REPLACED)


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


@pytest.mark.parametrize("page", PAGES)
def test_no_page_has_an_old_word(page: str) -> None:
    """README.md, CONTRIBUTING.md and docs/ use one word for one thing."""
    assert list(old_words(PAGES[page])) == []


@pytest.mark.parametrize(
    "text", ["a trail of\nrecords", "an audit\ntrail", "The question stands.", "It takes the request\nback."]
)
def test_an_old_word_in_a_page_is_found(text: str) -> None:
    """Also where a line ends between its words."""
    assert list(old_words(text))


@pytest.mark.parametrize(
    "text",
    ["```sh\necho trail\n```\n", "`ENDINGS` of it", "<!-- generated: help -->\na question\n<!-- end -->", "Ask a person."],
)
def test_code_and_generated_parts_of_a_page_pass(text: str) -> None:
    """Names of the code are its own, and the help is judged where it is written."""
    assert list(old_words(text)) == []
