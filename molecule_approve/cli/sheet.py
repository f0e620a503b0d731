"""One request as people see it, wherever that is: labels and lines, with a margin that none of its own words can draw."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, TextIO

from molecule_approve.safe_text import json_line, visible, visible_lines

from .terminal import columns_of, rows

if TYPE_CHECKING:
    from molecule_approve.model import Approval


def parts(row: Approval) -> Iterator[tuple[str, str]]:
    """The whole request as labels and lines, all visible; a line without a label goes on with what stands above it."""
    yield "request", visible(row.id)
    yield "of", visible(row.workspace_id)
    yield "status", visible(row.status.value)
    yield "asked at", visible(row.created_at or "unknown")
    if row.expires_at:
        yield "expires", visible(row.expires_at)
    yield from asked(row.action, row.reason)
    for key, value in (row.context or {}).items():
        # The requester chose these words: without the label a key called "action" would look like ours.
        shown = visible(value) if isinstance(value, str) else json_line(value)
        yield "context", f"{visible(key)} = {shown}"


def asked(action: str, reason: str) -> Iterator[tuple[str, str]]:
    """What is asked, and why, line by line as it was written."""
    for label, text in (("action", action), ("reason", reason)):
        first, *rest = visible_lines(text)
        yield label, first
        for line in rest:
            yield "", line


def sheet(lines: Iterable[tuple[str, str]], stream: TextIO | None) -> list[str]:
    """The lines as rows for this stream: wrapped where it is shown in a window."""
    return list(rows(lines, columns_of(stream), stream))
