"""Requests as a table for a window: one row each, cut to fit. ``pending``, ``pending --watch`` and ``status`` show it."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from molecule_approve.lifecycle import outcome_of
from molecule_approve.model import Outcome
from molecule_approve.safe_text import visible

from .pending_list import age, left, requester, seconds_left, workspace
from .sheet import one_line
from .terminal import cells, colours_wanted, cut, ellipsis, padded, painted, style_of, written

if TYPE_CHECKING:
    from molecule_approve.client.inbox import Waiting
    from molecule_approve.model import Approval

    from .terminal import StyledText

SOON = 60.0
"""Seconds left from which an open request stands out."""

ACTION_WIDTH = 20
"""Columns that an action needs; where the window has fewer left, another column goes."""

WIDEST = 24
"""Columns that any other column may take; how far the requests are may take more where the window has room."""


class TableColumn(NamedTuple):
    """One column: its heading, a text for each request, and the most columns of the window that it may take."""

    name: str
    texts: list[str]
    most: int = WIDEST

    @property
    def width(self) -> int:
        """Columns of the window that it takes, at least five: the times must not push the table to and fro."""
        return min(self.most, max(5, *(cells(text) for text in (self.name, *self.texts))))


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
        TableColumn("APPROVALS", [_encoded(_count(row)) for row in requests]),
        TableColumn("STATUS", [_encoded(text) for _, text in statuses]),
        TableColumn("WORKSPACE", [_encoded(workspace(one)) for one in rows]),
        TableColumn("REQUESTER", [_encoded(requester(row)) for row in requests]),
    ]
    columns.pop(5 if statuses else 4)
    if not any(_count(row) for row in requests):
        columns.pop(3)
    # What says least goes first where the window is narrow; the id stays, for `approve` needs it.
    for name in ("WORKSPACE", "REQUESTER", "AGE", "LEFT", "APPROVALS"):
        if sum(column.width + 2 for column in columns) + ACTION_WIDTH > width:
            columns = [column for column in columns if column.name != name]
    columns = _widened(columns, width, max(cells(one_line(row.action)) for row in requests))
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


def _widened(columns: list[TableColumn], width: int, action: int) -> list[TableColumn]:
    """The columns, where how far the requests are takes what the actions do not need, and at least as much as they get."""
    room = width - sum(column.width + 2 for column in columns if column.name != "APPROVALS") - 2
    most = max(WIDEST, min(room - ACTION_WIDTH, max(room - action, room // 2)))
    return [column._replace(most=most) if column.name == "APPROVALS" else column for column in columns]


def _count(row: Approval) -> str:
    """How far an open request is that needs more than anybody's approval."""
    if row.progress is None or row.progress.is_plain or outcome_of(row) is not Outcome.PENDING:
        return ""
    return visible(row.progress.sentence)


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
