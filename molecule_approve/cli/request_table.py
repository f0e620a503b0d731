"""Requests as a table for a window: one row each, cut to fit. ``pending``, ``pending --watch`` and ``status`` show it."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from molecule_approve.model import Outcome
from molecule_approve.safe_text import visible

from .pending_list import age, left, requester, seconds_left, workspace
from .sheet import one_line
from .terminal import cells, colours_wanted, cut, ellipsis, padded, painted, style_of, written

if TYPE_CHECKING:
    from molecule_approve.client.inbox import Waiting

    from .terminal import StyledText

SOON = 60.0
"""Seconds left from which an open request stands out."""

ACTION_WIDTH = 20
"""Columns that an action needs; where the window has fewer left, another column goes."""

WIDEST = 24
"""Columns that any other column may take."""


class TableColumn(NamedTuple):
    """One column: its heading, and a text for each request."""

    name: str
    texts: list[str]

    @property
    def width(self) -> int:
        """Columns of the window that it takes, at least five: the times must not push the table to and fro."""
        return min(WIDEST, max(5, *(cells(text) for text in (self.name, *self.texts))))


def request_table(
    rows: Sequence[Waiting], now: datetime, width: int, statuses: Sequence[tuple[Outcome, str]] = ()
) -> list[str]:
    """A heading and a line for each request (there is one at least), none wider than the window, whatever the terminal.

    Times count from ``now``. ``statuses`` say how the requests stand, each also as visible text; without them all are open,
    and their workspaces are shown.
    """
    requests = [one.approval for one in rows]
    outcomes = [outcome for outcome, _ in statuses] or [Outcome.PENDING] * len(rows)
    is_open = [outcome is Outcome.PENDING for outcome in outcomes]
    columns = [
        TableColumn("ID", [visible(row.id)[:8] for row in requests]),
        TableColumn("AGE", [age(row, now) for row in requests]),
        TableColumn("LEFT", [left(row, now) if pending else "-" for row, pending in zip(requests, is_open, strict=True)]),
        TableColumn("STATUS", [_encoded(text) for _, text in statuses]),
        TableColumn("WORKSPACE", [_encoded(workspace(one)) for one in rows]),
        TableColumn("REQUESTER", [_encoded(requester(row)) for row in requests]),
    ]
    columns.pop(4 if statuses else 3)
    # What says least goes first where the window is narrow; the id stays, for `approve` needs it.
    for name in ("WORKSPACE", "REQUESTER", "AGE", "LEFT"):
        if sum(column.width + 2 for column in columns) + ACTION_WIDTH > width:
            columns = [column for column in columns if column.name != name]
    coloured = colours_wanted()
    heading = [*(_cell(column.name, column) for column in columns), "ACTION"]
    lines = [painted(_fitted([(text, "dim") for text in heading], width), coloured=coloured)]
    for number, row in enumerate(requests):
        seconds = seconds_left(row, now)
        soon = "warning" if is_open[number] and seconds is not None and seconds < SOON else ""
        status = soon if is_open[number] else style_of(outcomes[number])
        texts = [(_cell(one.texts[number], one), status if one.name == "STATUS" else soon) for one in columns]
        lines.append(painted(_fitted([*texts, (_encoded(one_line(row.action)), soon)], width), coloured=coloured))
    return lines


def _encoded(text: str) -> str:
    return written(text, sys.stdout)


def _cell(text: str, column: TableColumn) -> str:
    return f"{padded(text, column.width, ellipsis(sys.stdout))}  "


def _fitted(texts: Iterable[StyledText], width: int) -> Iterable[StyledText]:
    """The texts, as much of them as fits however wide the terminal takes a character for."""
    for text, style in texts:
        shown = cut(text, width, ellipsis(sys.stdout), strict=True)
        width -= cells(shown, strict=True)
        yield shown, style
