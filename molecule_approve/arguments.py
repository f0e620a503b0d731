"""Reads the arguments of a call of the Python API. They may be anything, so each is checked as it is read.

Every function raises UsageError, with the argument's name, for a value that it cannot read.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta

from .errors import UsageError

Given = Mapping[str, object]
"""The arguments of a call. They may be anything, so each is checked as it is read."""


def text(value: object, name: str) -> str:
    """The argument as text."""
    if not isinstance(value, str):
        raise UsageError(f"{name}= must be a str, not {type(value).__name__}", hint="convert it with str()")
    return value


def optional(given: Given, name: str) -> str | None:
    """The argument as text, or None."""
    return None if given[name] is None else text(given[name], name)


def path(given: Given, name: str) -> str | None:
    """The argument as a path; bytes are decoded as file names."""
    value = given[name]
    return os.fsdecode(value) if isinstance(value, (str, bytes, os.PathLike)) else optional(given, name)


def time(given: Given, name: str) -> str | None:
    """The argument as a duration, or None: seconds, text or a timedelta."""
    value = given[name]
    if isinstance(value, timedelta):
        value = value.total_seconds()
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        try:
            # Not str(), which writes small and large numbers with an exponent.
            return f"{value:.6f}".removesuffix(".000000")
        except OverflowError:
            raise UsageError(f"{name}= is too large a number of seconds", hint="pass fewer seconds") from None
    if value is None or isinstance(value, str):
        return value
    raise UsageError(
        f"{name}= must be a number of seconds or a text like 5m, not {type(value).__name__}", hint="pass one of these"
    )


def pairs(context: object) -> Iterator[tuple[str, str]]:
    """The context's entries; numbers become text."""
    if context is None:
        return
    if not isinstance(context, Mapping):
        raise UsageError(f"context= must be a mapping, not {type(context).__name__}", hint="pass a dict of str")
    for key, value in context.items():
        try:
            plain = str(value) if isinstance(value, (int, float)) else value
        except ValueError:  # Python writes no int of more than some thousand digits
            raise UsageError("a value of context= is too large a number", hint="pass it as a str") from None
        yield text(key, "a key of context"), text(plain, "a value of context")


def words(given: Given, name: str) -> list[str]:
    """The argument as a list of text; paths are decoded as file names."""
    value = given[name]
    if isinstance(value, (str, bytes)) or not isinstance(value, Sequence):
        raise UsageError(f"{name}= must be a list of str, not {type(value).__name__}", hint="pass one str for each word")
    words = [text(os.fspath(word) if isinstance(word, os.PathLike) else word, f"a word of {name}") for word in value]
    if found := next((word for word in words if "\0" in word), None):
        raise UsageError(f"a word of {name}= has a NUL: {found!r:.80}", hint="no program can be given one")
    return words


def switch(given: Given, name: str) -> bool | None:
    """The argument as a bool, or None."""
    value = given[name]
    if value is not None and not isinstance(value, bool):
        # A guess could turn the requirement off.
        raise UsageError(f"{name}= must be True, False or None, not {type(value).__name__}", hint="pass a bool")
    return value
