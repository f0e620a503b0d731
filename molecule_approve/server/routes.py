"""Finds the handler of a call by its method and path."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .calls import Handler


@dataclass(frozen=True, slots=True)
class RouteSpec:
    """One route. The handler's docstring is its summary in ``/openapi.json``; ``shown`` says whether it is listed there."""

    method: str
    path: str
    handler: Handler
    statuses: tuple[int, ...]
    shown: bool = True


class Routes:
    """Routes by method and number of segments, of which few are alike; segments in braces are parameters.

    As on the platform, a path that is known under another method only is unknown.
    """

    def __init__(self, routes: Iterable[RouteSpec], unknown: Handler) -> None:
        self._unknown = unknown
        self._known: dict[tuple[str, int], list[tuple[list[str], Handler]]] = {}
        for route in routes:
            segments = route.path.split("/")
            self._known.setdefault((route.method, len(segments)), []).append((segments, route.handler))

    def find(self, method: str, path: str) -> tuple[Handler, dict[str, str]]:
        """The handler, and the values of the path's parameters."""
        given = path.split("/")
        # No id has a NUL, and PostgreSQL refuses a statement with one: that would look like a database that is away.
        if "\0" not in path:
            for segments, handler in self._known.get(("GET" if method == "HEAD" else method, len(given)), ()):
                found = _fitted(segments, given)
                if found is not None:
                    return handler, found
        return self._unknown, {}


def _fitted(segments: list[str], given: list[str]) -> dict[str, str] | None:
    found = {}
    for segment, text in zip(segments, given, strict=True):
        if text and segment.startswith("{"):
            found[segment[1:-1]] = text
        elif segment != text:
            return None
    return found
