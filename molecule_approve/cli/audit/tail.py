"""``audit tail``: what was asked and decided, as it happens."""

from __future__ import annotations

import select
import sys
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from molecule_approve.audit.record import EventType, RecordOutcome
from molecule_approve.cli import options, output
from molecule_approve.cli.exits import Exit
from molecule_approve.cli.help import FILTERS, option
from molecule_approve.errors import DeliveryError, UsageError
from molecule_approve.safe_text import visible, visible_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from molecule_approve.audit.read.follow import FollowItem

AS_MUCH = 65_536
"""Bytes that are collected before they are written; at the latest they are when there is nothing more to read."""

_OUTCOMES = (
    *("granted", "denied", "timeout", "withdrawn", "failure", "initiated", "requested", "resumed", "observed"),
    *("started", "finished", "refused"),
)
_ALSO = {"approved": "granted", "expired": "timeout", "timed out": "timeout"}
"""The words of verdicts, for those of records: who looks for what was approved means what the log calls granted."""

_WORDS = 20
"""Event types that an error names at most: other tools may have written any number of them."""


def _outcomes() -> list[str]:
    return list(_OUTCOMES)


def _outcome(word: str | None) -> str | None:
    """The log's word for this one.

    Raises:
        UsageError: no record has such an outcome.
    """
    found = word if word is None else _ALSO.get(word, word)
    if found is not None and found not in set(RecordOutcome):
        words = ", ".join((*RecordOutcome, *_ALSO))
        raise UsageError(f"--outcome: no record has the outcome {word!r}", hint=f"one of: {words}")
    return found


def _event_types() -> list[str]:
    return list(EventType)


def _unknown(path: Path, event_type: str | None) -> UsageError | None:
    """What is wrong with an event type that is none of ours, and that no other tool wrote into this log; else None.

    Raises:
        AuditError: the log cannot be read.
    """
    if event_type is None or event_type in set(EventType):
        return None
    from molecule_approve.audit import search
    from molecule_approve.audit.read import history

    with closing(history.backwards(path)) as newest:
        found = search.event_types(newest, event_type)
    if event_type in found:
        return None
    words = [*EventType, *sorted(found - set(EventType))]
    listed = ", ".join(words[:_WORDS]) + (", …" if len(words) > _WORDS else "")
    return UsageError(f"--event-type: no record has the event type {event_type!r}", hint=f"one of: {listed}")


def tail(
    count: Annotated[
        int | None,
        typer.Option("-n", "--lines", min=0, metavar="COUNT", help="Number of records. [default: 10; with --since: all]"),
    ] = None,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Keep printing records as they are added.")] = False,
    outcome: Annotated[
        str | None,
        option(
            "--outcome",
            "WORD",
            "Only records with this outcome: granted (or approved), denied, …",
            FILTERS,
            autocompletion=_outcomes,
        ),
    ] = None,
    event_type: Annotated[
        str | None,
        option(
            "--event-type", "WORD", "Only records of this type: approval, rbac, audit.", FILTERS, autocompletion=_event_types
        ),
    ] = None,
    actor: Annotated[
        str | None,
        option("--actor", "NAME", "Only records of this person or workspace.", FILTERS),
    ] = None,
    trace: Annotated[
        str | None,
        option("--trace", "ID", "Only records of this request: its trace id, or the beginning of it.", FILTERS),
    ] = None,
    since: Annotated[
        str | None,
        option("--since", "WHEN", "Only records of the last 2h or 1d, or since 2026-04-27T10:00:00Z.", FILTERS),
    ] = None,
    json: Annotated[bool, option("--json", None, "Print the log's own lines, also at a terminal.")] = False,
    config: options.Config = None,
    audit_log: options.AuditLog = None,
) -> int:
    """Show the last records of the audit log and its archives; in a pipe, the log's own lines."""
    from molecule_approve.audit.read import follow as following
    from molecule_approve.cli.durations import parse_moment

    from .filters import Filters

    first = None if since is None else parse_moment(since, "--since", datetime.now(UTC))
    filters = Filters(_outcome(outcome), event_type, trace, actor, first)
    choice = following.Selection(
        10 if count is None and since is None else count, filters.wanted, None if since is None else filters.is_too_old
    )
    path = options.audit_log_path(config, audit_log)
    printer = _Printer(_rendering(json=json))
    try:
        if follow:
            unknown = _unknown(path, event_type)
            if unknown is not None:  # another tool may begin to write it
                output.complain(unknown, "warning: ")
            printer.show(following.follow(path, choice, printer.pause))
        else:
            printer.show(following.last_lines(path, choice))
            unknown = None if printer.has_shown else _unknown(path, event_type)
            if unknown is not None:
                raise unknown
            if outcome is not None and count != 0 and not printer.has_shown:
                others = filters != Filters(filters.outcome)
                output.say(visible(f"no record{' that fits the other filters' if others else ''} has the outcome {outcome}"))
        printer.flush()
    except _ReaderGoneError:
        return Exit.OK
    return Exit.OK


class _ReaderGoneError(Exception):
    """A reader that closes the pipe early is not an error."""


class _Printer:
    """Writes what is shown, many lines at once while there are many, and each at once when it is alone."""

    def __init__(self, rendered: Callable[[bytes], bytes]) -> None:
        self.has_shown = False
        self._rendered = rendered
        self._waiting = bytearray()

    def show(self, shown: Iterator[FollowItem]) -> None:
        from molecule_approve.audit.read.follow import Notice

        for item in shown:
            if isinstance(item, Notice):
                self.flush()
                output.say(f"{visible(item.text)}")
                continue
            self.has_shown = True
            self._waiting += self._rendered(item.data)
            if len(self._waiting) >= AS_MUCH:
                self.flush()

    def flush(self) -> None:
        data, self._waiting = bytes(self._waiting), bytearray()
        if not data:
            return
        try:
            output.raw_bytes(data)
        except DeliveryError as exc:
            if isinstance(exc.__cause__, BrokenPipeError):
                raise _ReaderGoneError from exc
            raise

    def pause(self, seconds: float, descriptor: int | None) -> None:
        """Wait, or until the descriptor can be read. Ends if our reader is gone, which a quiet log would not show."""
        self.flush()
        poll = select.poll()
        reader = sys.stdout.fileno()
        poll.register(reader, 0)  # POLLERR and POLLHUP are always reported
        if descriptor is not None:
            poll.register(descriptor, select.POLLIN)
        if any(ready == reader for ready, _ in poll.poll(seconds * 1000)):
            raise _ReaderGoneError


def _rendering(*, json: bool) -> Callable[[bytes], bytes]:
    """How a line is shown: unchanged in a pipe; on a terminal as a row, or with control characters made visible."""
    if not output.is_terminal(sys.stdout):
        return bytes
    return _visible_line if json else _tabulated()


def _visible_line(line: bytes) -> bytes:
    return _encoded(visible_json(line.rstrip(b"\n").decode("utf-8", "backslashreplace")))


def _encoded(text: str) -> bytes:
    return f"{text}\n".encode(sys.stdout.encoding, "backslashreplace")


def _tabulated() -> Callable[[bytes], bytes]:
    from molecule_approve.cli.terminal import colours_wanted, painted, size_of

    from .table import Table

    table, coloured = Table(sys.stdout.encoding), colours_wanted()

    def tabulated(line: bytes) -> bytes:
        return b"".join(_encoded(painted(row, coloured=coloured)) for row in table.rows(line, size_of(sys.stdout).columns))

    return tabulated
