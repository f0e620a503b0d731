"""safe_text.py: text from elsewhere, made visible."""

from __future__ import annotations

import itertools
import json
import random
import re
import subprocess
import sys
import unicodedata

import pytest

from molecule_approve.safe_text import (
    has_escapes,
    is_hidden,
    json_line,
    quoted,
    visible,
    visible_json,
    visible_lines,
    visible_quoted,
)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", ""),
        ("deploy to production ~", "deploy to production ~"),
        ("über 日本 🚀 ñ", "über 日本 🚀 ñ"),
        ("a\nb\r\tc", "a\\nb\\r\\tc"),
        ("\x1b[31mred\x07", "\\x1b[31mred\\x07"),
        ("\x9b31m\x7f", "\\x9b31m\\x7f"),
        ("\x00", "\\x00"),
        ("a\u202eb\u2066c", "a\\u202eb\\u2066c"),
        ("a\u200bb\ufeff", "a\\u200bb\\ufeff"),
        ("a\u00a0b\u3000c\u2009", "a\\xa0b\\u3000c\\u2009"),
        ("a\u2028b\u2029", "a\\u2028b\\u2029"),
        ("\ud800", "\\ud800"),
        ("\ue000\U000e0041\U0010ffff", "\\ue000\\U000e0041\\U0010ffff"),
        ("a\ufe0f\U000e0101", "a\\ufe0f\\U000e0101"),
        ("\u3164\u2800\u115f", "\\u3164\\u2800\\u115f"),
    ],
)
def test_what_is_hidden_becomes_an_escape(text: str, shown: str) -> None:
    """Plain letters of any script stay as they are."""
    assert visible(text) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("find . -exec rm {} \\;", "find . -exec rm {} \\;"),
        ("C:\\Program Files", "C:\\Program Files"),
        ("a\\nb", "a\\\\nb"),
        ("a\nb", "a\\nb"),
        ("a\\tb", "a\\\\tb"),
        ("C:\\Users\\bob", "C:\\\\Users\\\\bob"),
        ("\\d\n", "\\\\d\\n"),
        ("\\\\server", "\\\\\\\\server"),
        ("\\##[x", "\\\\\\x23#[x"),
        ("\\", "\\"),
    ],
)
def test_an_escape_and_a_text_that_looks_like_one_differ(text: str, shown: str) -> None:
    """Backslashes are doubled where one of them could be read as an escape of ours, and only there."""
    assert visible(text) == shown


def _read(shown: str) -> str:
    """The text that was made visible: what somebody who knows the rule reads."""
    if not re.search(r"\\[\\nrtxuU]", shown):
        return shown
    escape = re.compile(r"\\(?:([\\nrt])|x(..)|u(....)|U(........))")
    named = {"\\": "\\", "n": "\n", "r": "\r", "t": "\t"}
    return escape.sub(lambda m: named[m[1]] if m[1] else chr(int(m[2] or m[3] or m[4], 16)), shown)


@pytest.mark.usefixtures("untraced")
def test_no_two_texts_look_alike() -> None:
    """Every text of up to five of the characters that matter can be read back from what is shown of it."""
    for length in range(6):
        for letters in itertools.product("\\nx2\n#[:", repeat=length):
            text = "".join(letters)
            assert _read(visible(text)) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("::set-output name=x::y", "\\x3a:set-output name=x::y"),
        ("  ::error::x", "  \\x3a:error::x"),
        ("a::b", "a::b"),
        (":a", ":a"),
        ("##[group]x ##[error]", "\\x23#[group]x \\x23#[error]"),
        ("##vso[task.complete]", "\\x23#vso[task.complete]"),
        ("##VSO[task.complete]", "\\x23#VSO[task.complete]"),
        ("### title", "### title"),
        ("section_start:1:x", "section_start\\x3a1:x"),
        ("SECTION_END:1:x", "SECTION_END\\x3a1:x"),
        ("\n::error::", "\\n::error::"),
        ("###[x", "#\\x23#[x"),
        ("##teamcity[buildStop]", "\\x23#teamcity[buildStop]"),
        ("x ##octopus[setVariable]", "x \\x23#octopus[setVariable]"),
        ("##myget[x]", "\\x23#myget[x]"),
        ("## title [x]", "## title [x]"),
        ("travis_fold:start:x", "travis_fold\\x3astart:x"),
        ("x travis_time:end", "x travis_time\\x3aend"),
        ("--- section", "\\x2d-- section"),
        ("+++ section", "\\x2b++ section"),
        ("~~~ section", "\\x7e~~ section"),
        ("^^^ +++", "\\x5e^^ +++"),
        ("--- a", "\\x2d-- a"),
        ("---", "\\x2d--"),
        ("----", "----"),
        ("a --- b", "a --- b"),
        ("@@@BUILD_STEP x@@@", "\\x40@@BUILD_STEP x@@@"),
        ("\x1b[8mha:AAAA", "\\x1b[8mha:AAAA"),
    ],
)
def test_no_order_for_a_log_reader_is_left(text: str, shown: str) -> None:
    """GitHub, Azure, GitLab, TeamCity, Octopus, Travis, Buildkite, Buildbot and Jenkins read such words as commands."""
    assert visible(text) == shown


@pytest.mark.usefixtures("untraced")
@pytest.mark.parametrize(
    "order", ["::error::x", "--- x", "##[error]x", "x##vso[y]", "section_start:1", "travis_fold:y", "###[z]"]
)
@pytest.mark.parametrize("more", ["", " ", "'", "\n", "\\n", "'\n", '"'])
def test_quoted_words_stay_the_same_words_and_give_no_order(order: str, more: str) -> None:
    """A shell reads what is shown as what was meant, whatever the quotes; nothing that a log reader obeys is left."""
    words = [order, f"{order}{more}", f"{more}{order}{more}"]
    shown = visible_quoted(" ".join(map(quoted, words)))
    assert visible(shown).replace("\\\\", "\\") == shown
    echo = subprocess.run(["bash", "-c", f"printf '%s\\0' {shown}"], capture_output=True, text=True, check=True)
    assert echo.stdout == "".join(f"{word}\0" for word in words)


def test_a_line_of_words_has_escapes_where_a_character_is_hidden_and_nowhere_else() -> None:
    """Whatever quotes, backslashes and dollars stand in the words beside."""
    pick = random.Random(7)
    for _ in range(2_000):
        words = ["".join(pick.choices("$'\"\\a b", k=pick.randint(0, 6))) for _ in range(3)]
        assert not has_escapes(" ".join(map(quoted, words))), words
        words[pick.randrange(3)] += "\t"
        assert has_escapes(" ".join(map(quoted, words))), words


def test_quoted_words_without_orders_are_shown_as_they_are() -> None:
    """With their backslashes; only a hidden character, which quoted words do not have, is an escape."""
    assert visible_quoted(r"echo $'a\nb' 'c\n' \x41") == r"echo $'a\nb' 'c\n' \x41"
    assert visible_quoted("$'a\\nb\u202e'") == r"$'a\\nb\u202e'"


@pytest.mark.usefixtures("untraced")
def test_no_character_at_all_gets_through_unseen() -> None:
    """All of Unicode: what is left is no control, format, surrogate, private, unassigned or odd space character."""
    shown = visible("".join(map(chr, range(sys.maxunicode + 1))))
    categories = set(map(unicodedata.category, set(shown) - {" "}))
    assert categories.isdisjoint({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Zs"})


@pytest.mark.parametrize("character", list("aZ ~!é日"))
def test_what_can_be_seen_is_not_hidden(character: str) -> None:
    """Printable ASCII and letters."""
    assert not is_hidden(character)


def test_long_texts_keep_their_lines() -> None:
    """Each line is made visible by itself, orders at its start included."""
    assert visible_lines("a\n::b\r\n\x1b") == ["a", "\\x3a:b\\r", "\\x1b"]


@pytest.mark.parametrize(
    "value",
    [
        "::x",
        "##[x",
        "##vso[",
        "section_start:",
        "##teamcity[x",
        "travis_fold:x",
        "\x7f\x1b\u202e\u00a0é",
        {"##[a": ["section_end:"]},
        {"a": 1, "b": None},
        "\ud800",
        1.5,
    ],
)
def test_a_json_line_means_the_same_and_orders_nothing(value: object) -> None:
    """One line of printable ASCII that reads back to the same value."""
    line = json_line(value)
    assert json.loads(line) == value
    assert line.isascii()
    assert line.isprintable()
    assert "##" not in line
    assert "section_start:" not in line
    assert "section_end:" not in line
    assert "travis_fold:" not in line


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ('{"a": "x\\ny"}', '{"a": "x\\ny"}'),
        ('{"a": "\u202e\U000e0041\x7f##[x"}', '{"a": "\\u202e\\udb40\\udc41\\u007f\\u0023#[x"}'),
        ('{"a": "section_end:"}', '{"a": "section_end\\u003a"}'),
    ],
)
def test_a_line_that_is_json_stays_that_json(line: str, shown: str) -> None:
    """Its own escapes are left alone, and what is hidden becomes one of JSON's."""
    assert visible_json(line) == shown
    assert json.loads(shown) == json.loads(line)


def test_a_json_line_is_spaced_for_people() -> None:
    """After commas and colons."""
    assert json_line({"a": [1, 2]}) == '{"a": [1, 2]}'


def test_a_json_line_refuses_what_is_no_json() -> None:
    """NaN would be read by nobody."""
    with pytest.raises(ValueError, match="not JSON compliant"):
        json_line(float("nan"))
