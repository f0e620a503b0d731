"""The words of ASGI, through which the server under us passes calls on, and the headers of a call."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

CONNECTION = "molecule.connection"
"""The key of a call's connection in ``scope["state"]``."""


class Headers:
    """The headers of a call by their names in lower case. One name may stand there several times."""

    __slots__ = ("_values",)

    def __init__(self, pairs: Iterable[tuple[bytes, bytes]]) -> None:
        self._values: dict[str, list[str]] = {}
        for name, value in pairs:
            self._values.setdefault(name.decode("latin-1"), []).append(value.decode("latin-1"))

    def get(self, name: str) -> str | None:
        """The first value, or None; the name in any case."""
        found = self._values.get(name.lower())
        return None if found is None else found[0]

    def all(self, name: str) -> list[str]:
        """Every value; the name in any case."""
        return self._values.get(name.lower(), [])

    def has_any(self, names: frozenset[str]) -> bool:
        """Whether one of the names, in lower case, is there."""
        return not names.isdisjoint(self._values)
