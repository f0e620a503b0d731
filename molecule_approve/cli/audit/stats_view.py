"""What a log's statistics look like: lines for a person that fit the window, and one JSON object. Pure."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from molecule_approve.audit.report.stats import BOUNDS, OPEN, OUTCOMES, CommandStatistics, RequestSums, Statistics, Waits
from molecule_approve.cli.terminal import cells, cut
from molecule_approve.safe_text import visible

from .story_view import span

if TYPE_CHECKING:
    from molecule_approve.model import JsonValue

SHOWN = 20
"""Approvers and workspaces that people are shown; the JSON object has all."""

_STEPS = ("< 10 s", "< 30 s", "< 1 min", "< 5 min", "< 15 min", "< 1 h", "< 1 day", "longer")
_EIGHTHS = " ▏▎▍▌▋▊▉█"
_LONGEST_BAR = 40
_CUT = "..."  # in every encoding three columns; where an ellipsis becomes an escape, lines would be too long


def statistics_lines(found: Statistics, width: int, remark: str, *, blocks: bool) -> Iterator[str]:
    """The statistics for a person, and the remark; no line is longer than ``width`` columns, if these are at least 30.

    Bars are drawn with block characters if there are ``blocks``, otherwise with ``#``.
    """
    yield f"requests     {found.requests}" + _between(found.first, found.last, width)
    rows = [(_outcome(word), count) for word, count in found.outcomes.items() if count]
    yield from _shares(rows, found.requests)
    if found.approvers:
        yield from ("", "decided by")
        yield from _table([_approver(one) for one in found.approvers], width)
    if found.requesters:
        yield from ("", "requested by")
        yield from _table([_sums(one) for one in found.requesters], width)
    if len(found.workspaces) > 1:
        yield from ("", "by workspace")
        yield from _table([_sums(one) for one in found.workspaces], width)
    if found.waits is not None:
        yield from ("", *_waits(found.waits, width, blocks=blocks))
    if found.transports:
        counts = ", ".join(f"{visible(name)} {count}" for name, count in found.transports.items())
        yield from ("", cut(f"transport    {counts}", width, _CUT))
    yield from _commands(found.commands)
    yield ""
    for text in (*_remarks(found), remark):
        yield from textwrap.wrap(text, width, subsequent_indent="  ", break_on_hyphens=False)


def statistics_json(found: Statistics, since: datetime | None, until: datetime | None) -> JsonValue:
    """All of it as one object; times of decisions in seconds."""
    waits = found.waits
    return {
        "since": _moment(since),
        "until": _moment(until),
        "first": _moment(found.first),
        "last": _moment(found.last),
        "requests": found.requests,
        "open": found.outcomes[OPEN],
        "outcomes": _outcomes_json(found.outcomes),
        "commands": {"started": found.commands.started, **found.commands._asdict()},
        "undelivered": found.undelivered,
        "approvers": [one._asdict() for one in found.approvers],
        "requesters": [_sums_json("name", one) for one in found.requesters],
        "self_approved": found.self_approved,
        "workspaces": [_sums_json("id", one) for one in found.workspaces],
        "waited_seconds": None if waits is None else _waits_json(waits),
        "transports": dict(found.transports),
        "records": found.records,
        "unvouched_lines": found.unchained,
        "undated_requests": found.undated,
        "verified": False,
    }


def _sums_json(key: str, found: RequestSums) -> JsonValue:
    return {key: found.name, "requests": found.requests, "outcomes": _outcomes_json(found.outcomes)}


def _outcomes_json(outcomes: Mapping[str, int]) -> JsonValue:
    return {str(word): count for word, count in outcomes.items()}


def _waits_json(waits: Waits) -> JsonValue:
    bounds: list[float | None] = [*BOUNDS, None]
    return {
        "decisions": waits.decisions,
        "min": waits.minimum,
        "median": waits.median,
        "p90": waits.p90,
        "p99": waits.p99,
        "max": waits.maximum,
        "histogram": [{"below": bound, "count": count} for bound, count in zip(bounds, waits.steps, strict=True)],
    }


def _moment(when: datetime | None) -> str | None:
    return None if when is None else f"{when:%Y-%m-%dT%H:%M:%S.%f}Z"


def _between(first: datetime | None, last: datetime | None, width: int) -> str:
    """From when to when, where there is room."""
    if first is None or last is None:
        return ""
    for form in ("%Y-%m-%d %H:%M:%SZ", "%Y-%m-%d"):
        text = f", {first:{form}} to {last:{form}}"
        if len(text) + 20 <= width:
            return text
    return ""


def _outcome(word: str) -> str:
    return _OUTCOMES.get(word, str(word))


_OUTCOMES = {
    "granted": "approved",
    "timeout": "timed out",
    "failure": "no verdict",
    "not_permitted": "not permitted",
    "not_awaited": "not awaited (decisions are in the server's log)",
}


def _shares(rows: Sequence[tuple[str, int]], total: int) -> Iterator[str]:
    digits = len(str(total))
    for name, count in rows:
        yield f"  {name:<14} {count:>{digits}}  {100 * count / total:5.1f} %"


def _approver(one: tuple[str, bool, int, int]) -> tuple[str, str]:
    name, verified, granted, denied = one
    return (visible(name) or "-", f"approved {granted}, denied {denied}" + ("" if verified else " (name not verified)"))


def _sums(found: RequestSums) -> tuple[str, str]:
    parts = [f"{_outcome(word)} {found.outcomes[word]}" for word in OUTCOMES if found.outcomes[word]]
    return visible(found.name) or "-", f"{found.requests}: {', '.join(parts)}"


def _table(rows: Sequence[tuple[str, str]], width: int) -> Iterator[str]:
    """Two columns; the first is cut where the window is narrow, the second is not read without it."""
    shown = rows[:SHOWN]
    room = max(8, width - 4 - max(len(text) for _, text in shown))
    first = min(room, max(cells(name) for name, _ in shown))
    for name, text in shown:
        kept = cut(name, first, _CUT)
        yield cut(f"  {kept}{' ' * (first - cells(kept))}  {text}", width, _CUT)
    if len(rows) > SHOWN:
        yield f"  and {len(rows) - SHOWN} more"


def _commands(found: CommandStatistics) -> Iterator[str]:
    if any(found):
        yield from ("", f"commands     {found.started} started")
        rows = zip(("exited with 0", "ended otherwise", "no recorded end", "not started"), found, strict=True)
        yield from (f"  {name:<15}  {count}" for name, count in rows if count)


def _waits(waits: Waits, width: int, *, blocks: bool) -> Iterator[str]:
    yield f"waited for a decision ({waits.decisions})"
    sums = (("min", waits.minimum), ("median", waits.median), ("p90", waits.p90), ("p99", waits.p99), ("max", waits.maximum))
    one_line = "  " + ", ".join(f"{name} {span(seconds)}" for name, seconds in sums)
    yield from [one_line] if len(one_line) <= width else [f"  {name:<8} {span(seconds)}" for name, seconds in sums]
    digits = len(str(waits.decisions))
    room = max(1, min(_LONGEST_BAR, width - 14 - digits))
    most = max(waits.steps)
    used = [place for place, count in enumerate(waits.steps) if count]
    for name, count in zip(_STEPS[: used[-1] + 1], waits.steps, strict=False):
        yield f"  {name:<8}  {count:>{digits}}  {bar(count, most, room, blocks=blocks)}".rstrip()


def bar(count: int, most: int, room: int, *, blocks: bool) -> str:
    """A bar as long as its share of the longest; what is not nothing is seen."""
    if count == 0:
        return ""
    if not blocks:
        return "#" * max(1, round(room * count / most))
    eighths = max(1, round(8 * room * count / most))
    return _EIGHTHS[8] * (eighths // 8) + _EIGHTHS[eighths % 8].strip()


def _remarks(found: Statistics) -> Iterator[str]:
    """What stands out, and what was not counted, below all that was."""
    if found.self_approved:
        yield f"requests that their requesters approved themselves: {found.self_approved}"
    if found.undelivered:
        yield f"approvals in the log that could not be delivered: {found.undelivered}"
    if found.undated:
        yield f"requests without a readable time (not in any period): {found.undated}"
    if found.unchained:
        yield f"unchained lines (written by other tools; not counted): {found.unchained}"
