"""How lines of the audit log look on a terminal: a table that fits the window, one row a line. Pure.

Every word from the log is made visible. Times are in UTC, as in the log, so that rows can be compared with other logs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple

from molecule_approve.audit.chain import link_of
from molecule_approve.audit.record import RecordAction, RecordOutcome, decode, moment, text_in
from molecule_approve.cli.requester import person, short, short_job
from molecule_approve.cli.sheet import one_line
from molecule_approve.cli.terminal import cells, padded
from molecule_approve.safe_text import visible

from .commands import execution_outcome, style_of_record

if TYPE_CHECKING:
    from molecule_approve.cli.terminal import StyledText
    from molecule_approve.model import JsonValue

UNCHAINED = "(unchained) "
"""Precedes the text of an unchained line, besides its question mark."""

_MARK, _OUTCOME = 2, 9
_GAP = "  "


class Layout(NamedTuple):
    """Columns of each field; a field of 0 columns is left out, and the action has the rest."""

    time: int
    action: int
    who: int
    trace: int


# From this width of the window on: the time, who, and the trace.
_LAYOUTS = ((120, 20, 24, 8), (100, 14, 20, 8), (80, 14, 12, 8), (60, 8, 10, 0), (36, 8, 0, 0), (0, 0, 0, 0))
_TIMES = {20: "%Y-%m-%d %H:%M:%SZ", 14: "%m-%d %H:%M:%S", 8: "%H:%M:%S"}
_TIME_HEADS = {20: "TIME (UTC)", 14: "TIME (UTC)", 8: "TIME UTC"}


def layout(width: int) -> Layout:
    """What a window of so many columns has room for."""
    time, who, trace = next(row[1:] for row in _LAYOUTS if width >= row[0])
    taken = _MARK + sum(columns + len(_GAP) for columns in (time, _OUTCOME, who, trace) if columns)
    return Layout(time, max(1, width - taken), who, trace)


class Table:
    """Rows, and a header wherever the window's width has changed; what the encoding cannot show is spelled first."""

    def __init__(self, encoding: str) -> None:
        self._encoding = encoding
        self._ellipsis = "\N{HORIZONTAL ELLIPSIS}"
        if self._spelled(self._ellipsis) != self._ellipsis:
            self._ellipsis = "~"
        self._width: int | None = None

    def rows(self, line: bytes, width: int) -> Iterator[list[StyledText]]:
        """The row of a line, after the header if it is due; none is wider than the window."""
        if width != self._width:
            self._width = width
            yield self._header(layout(width))
        fields = decode(line)
        if fields is None:
            text = visible(line.rstrip(b"\n").decode("utf-8", "backslashreplace"))
            yield [("? ", "dim"), (self._fit(UNCHAINED + text, width - _MARK).rstrip(), "dim")]
        else:
            yield self._row(fields, layout(width), chained=link_of(line.rstrip(b"\n")) is not None)

    def _header(self, room: Layout) -> list[StyledText]:
        names = (_TIME_HEADS.get(room.time, ""), "OUTCOME", "ACTION", "WHO", "TRACE")
        widths = (room.time, _OUTCOME, room.action, room.who, room.trace)
        text = _GAP.join(self._fit(name, columns) for name, columns in zip(names, widths, strict=True) if columns)
        return [(f"{'':{_MARK}}{text}".rstrip(), "bold")]

    def _row(self, fields: Mapping[str, JsonValue], room: Layout, *, chained: bool) -> list[StyledText]:
        outcome = _word(fields, "outcome")
        text = f"{'' if chained else UNCHAINED}{_subject(fields)}{_action(fields)}"
        texts = [
            [(self._fit(_time(fields, room.time), room.time), "dim")],
            [(self._fit(outcome, _OUTCOME), style_of_record(fields) if chained else "dim")],
            self._action(text, _details(fields), room.action, "" if chained else "dim"),
            [(self._who(fields, room.who), "" if chained else "dim")],
            [(self._fit(_word(fields, "trace_id"), room.trace, ellipsis=False), "dim")],
        ]
        wanted = (room.time, _OUTCOME, room.action, room.who, room.trace)
        pieces: list[StyledText] = [("  " if chained else "? ", "dim")]
        for cell, columns in zip(texts, wanted, strict=True):
            pieces += [*cell, (_GAP, "")] if columns else []
        *others, (last, style), _ = pieces
        return [*others, (last.rstrip(), style)]

    def _action(self, text: str, details: str, columns: int, style: str) -> list[StyledText]:
        """What was asked, and in what room is left why."""
        size = self._size(text)
        if not details or size + len(_GAP) + 1 >= columns:
            return [(self._fit(text, columns), style)]
        return [(self._spelled(text), style), (_GAP + self._fit(details, columns - size - len(_GAP)), "dim")]

    def _who(self, fields: Mapping[str, JsonValue], columns: int) -> str:
        """Who asked, and else who caused it. That a name is not verified is never cut off."""
        asks = fields.get("outcome") == RecordOutcome.INITIATED
        name = (_requester(fields) if asks else "") or _word(fields, "actor")
        if fields.get("decided_by_verified") is not False or not columns:
            return self._fit(name, columns)
        mark = " (unverified)" if columns >= 20 else " ?"
        room = columns - len(mark)
        return self._fit(self._fit(name, min(room, self._size(name))) + mark, columns)

    def _size(self, text: str) -> int:
        return cells(self._spelled(text))

    def _spelled(self, text: str) -> str:
        return text if text.isascii() else text.encode(self._encoding, "backslashreplace").decode(self._encoding)

    def _fit(self, text: str, columns: int, *, ellipsis: bool = True) -> str:
        """The text in exactly so many columns: filled with blanks, or cut."""
        return padded(self._spelled(text), columns, self._ellipsis if ellipsis else "")


def _word(fields: Mapping[str, JsonValue], name: str) -> str:
    value = fields.get(name)
    return "-" if value is None else visible(str(value))


def _time(fields: Mapping[str, JsonValue], columns: int) -> str:
    found = moment(fields.get("timestamp"))
    return _word(fields, "timestamp") if found is None or not columns else f"{found:{_TIMES[columns]}}"


def _subject(fields: Mapping[str, JsonValue]) -> str:
    """Nothing for the usual records of a request, whose outcomes are clear; otherwise what kind of record it is."""
    event, action = _word(fields, "event_type"), _word(fields, "action")
    return "" if (event, action) in _PLAIN else f"{event}/{action}: "


_PLAIN = {("approval", "approve"), ("approval", "execute"), ("-", "-")}


def _action(fields: Mapping[str, JsonValue]) -> str:
    action = fields.get("resource")
    return one_line(action) if isinstance(action, str) else _word(fields, "resource")


def _requester(fields: Mapping[str, JsonValue]) -> str:
    """The CI job that asked, or the person; empty if the record does not say."""
    context = fields.get("context")
    return visible(short_job(context) or person(context))


def _asked(fields: Mapping[str, JsonValue]) -> str:
    """Who asked: the name of the credential, and what the requester claims to be."""
    context = fields.get("context")
    name, claimed = text_in(fields, "requested_by"), short_job(context) or person(context)
    if not name:
        return f"says it runs as {visible(claimed)}" if claimed else ""
    return f"asked by {visible(short(name, context, claimed))}"


def _details(fields: Mapping[str, JsonValue]) -> str:
    parts = [f"it was {_word(fields, 'observed_outcome')}"] if fields.get("observed_outcome") else []
    if (fields.get("action"), fields.get("outcome")) == (RecordAction.EXECUTE, RecordOutcome.FINISHED):
        parts.append(f"it {execution_outcome(fields)}")
    parts += [_word(fields, name) for name in ("reason_text", "comment", "reason", "error") if fields.get(name)]
    # The requester has a column of its own; a server's log has them only beside the decision.
    if fields.get("outcome") != RecordOutcome.INITIATED and (asked := _asked(fields)):
        parts.append(asked)
    if fields.get("approval_id") is not None:
        parts.append(f"approval {_word(fields, 'approval_id')[:8]}")
    return "; ".join(parts)
