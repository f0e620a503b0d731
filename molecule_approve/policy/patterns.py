"""Pure: patterns in rules. ``*`` stands for any characters, and nothing else is special."""

from __future__ import annotations


def matches_pattern(pattern: str, text: str) -> bool:
    """Whether the pattern matches the whole text.

    In time proportional to the text, which an agent chooses: a regular expression with several ``.*`` could take hours.
    """
    first, *others = pattern.split("*")
    if not others:
        return text == pattern
    *middle, last = others
    if len(text) < len(first) + len(last) or not (text.startswith(first) and text.endswith(last)):
        return False
    at, end = len(first), len(text) - len(last)
    for part in middle:
        found = text.find(part, at, end)
        if found < 0:
            return False
        at = found + len(part)
    return True


def covers(pattern: str | None, other: str | None) -> bool:
    """Whether the pattern matches whatever the other one matches; None, in the place of either, matches everything.

    A star of the other pattern is a character of its text here, which only a star can match.
    """
    if pattern is None:
        return True
    return matches_pattern(pattern, "*" if other is None else other)


def matches_words(patterns: tuple[str, ...], words: tuple[str, ...]) -> bool:
    """Whether each word is matched by the pattern in its place; a last ``*`` stands for any number of words."""
    if patterns[-1:] == ("*",):
        patterns, words = patterns[:-1], words[: len(patterns) - 1]
    return len(patterns) == len(words) and all(map(matches_pattern, patterns, words))
