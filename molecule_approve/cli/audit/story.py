"""``audit show``, ``audit stats`` and ``audit export``: what the log says, and one request's records to take away."""

from __future__ import annotations

import math
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from molecule_approve.cli import options, output
from molecule_approve.cli.exits import Exit
from molecule_approve.errors import AuditError, DeliveryError, UsageError
from molecule_approve.paths import write_private
from molecule_approve.safe_text import json_line, visible

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from molecule_approve.audit.chain import Head
    from molecule_approve.audit.export.check import ExportReport
    from molecule_approve.audit.read.archives import Snapshot, Unreadable
    from molecule_approve.audit.report.story import Fit, Gathered, StoryRecord
    from molecule_approve.cli.pieces import StyledText

_EVERY = 1_000
"""Lines after which it is told how far the reading is."""

LISTED = 10
"""Requests that are named where an id is not unique."""

Trace = Annotated[
    str,
    typer.Argument(
        metavar="TRACE",
        help="The request's trace id, approval id or task id, or at least six characters of its beginning.",
        show_default=False,
    ),
]


def show(trace: Trace, json: options.Json = False, config: options.Config = None, audit_log: options.AuditLog = None) -> int:
    """Tell one request's whole story, as the log has it. It does not verify: verify does."""
    from molecule_approve.audit.report.story import Story

    from .story_view import story_json, story_lines

    with _history(options.audit_log_path(config, audit_log)) as history:
        story = Story(history.gathered(trace).entries)
        lacking = history.lacking(story.entries)
    _tell(json_line(story_json(story)) if json else "\n".join(map(_folding(), story_lines(story))))
    if lacking:
        raise _lacks(lacking)
    return Exit.OK


def stats(
    since: Annotated[
        str | None,
        typer.Option("--since", metavar="WHEN", help="Requests that began then or later: 2h, 1d, 2026-04-27T10:00:00Z."),
    ] = None,
    until: Annotated[
        str | None, typer.Option("--until", metavar="WHEN", help="Requests that began before: the same forms.")
    ] = None,
    json: options.Json = False,
    config: options.Config = None,
    audit_log: options.AuditLog = None,
) -> int:
    """Count the requests by outcome and approver, and how long decisions took. It does not verify: verify does."""
    from molecule_approve.audit.report.stats import statistics
    from molecule_approve.cli.durations import parse_moment

    from .meter import meter
    from .stats_view import statistics_json, statistics_lines
    from .story_view import UNPROVED

    now = datetime.now(UTC)
    first = None if since is None else parse_moment(since, "--since", now)
    last = None if until is None else parse_moment(until, "--until", now)
    with _history(options.audit_log_path(config, audit_log)) as history:
        history.complain()
        with meter("counting") as watch:
            found = statistics(history.forwards(watch), first, last)
    if json:
        _tell(json_line(statistics_json(found, first, last)))
    else:
        _tell("\n".join(statistics_lines(found, _width(), UNPROVED, blocks=_draws_blocks())))
    return Exit.OK


def export(
    trace: Trace,
    target: Annotated[
        str | None,
        typer.Option("--output", "-o", metavar="PATH", help="A file that does not exist yet. [stdout]"),
    ] = None,
    complete: Annotated[
        bool,
        typer.Option("--complete", help="Add every line up to the log's head: a proof, and other requests' texts."),
    ] = False,
    config: options.Config = None,
    audit_log: options.AuditLog = None,
) -> int:
    """Write one request's records with what proves them, as JSON that verify FILE checks on any machine."""
    path = options.audit_log_path(config, audit_log)
    text, report = _exported(path, trace, complete=complete)
    if target is None:
        output.answer(text)
    else:
        _keep(Path(target), f"{text}\n".encode())
    if report.whole:
        return Exit.OK
    output.talk(f"{output.PROGRAM}: warning: the log is damaged here, and so the export is not whole: {report.faults[0]}")
    return Exit.NOT_WHOLE


def _exported(path: Path, trace: str, *, complete: bool) -> tuple[str, ExportReport]:
    from molecule_approve.audit.export.build import build, check, stretch
    from molecule_approve.audit.files import recall
    from molecule_approve.clock import utc_now

    memory = recall(path)  # first: the log may grow meanwhile, and must not seem to be behind
    with _history(path) as history:
        entries, head = history.gathered(trace)
        first = next((entry.link for entry in entries if entry.link is not None), None)
        head = _head(head)
        chain = stretch(history.snapshot.backwards(), first, head) if complete and first is not None else None
        remembered = None if memory is None else memory.head
        text = json_line(build(entries, head, exported_at=utc_now(), remembered=remembered, chain=chain))
        report = check(text.encode())
        # Where records are missing that may stand in what cannot be read, nothing shows that the log is damaged.
        lacking = history.lacking(entries) if report.whole else history.snapshot.unreadable
    if lacking:
        raise _lacks(lacking)
    return text, report


def _head(head: Head | None) -> Head:
    if head is None:
        raise AuditError("nothing can be exported: the log has no chained record", hint="`audit show` shows its lines")
    return head


# --- the log -------------------------------------------------------------------------------------------------------------


class _History(NamedTuple):
    """All files of a log."""

    path: Path
    snapshot: Snapshot

    def gathered(self, text: str) -> Gathered:
        """The records of the one request that an id means.

        Raises:
            UsageError: the id is too short, or means several.
            AuditError: there is none, or the log cannot be read.

        """
        from molecule_approve.audit.read import search_blocks
        from molecule_approve.audit.report.story import gather, which

        newest = partial(search_blocks.backwards, self.snapshot)
        if len(text) < options.SHORTEST_ID:
            raise UsageError(
                f"{text!r} is too short for an id", hint=f"give at least {options.SHORTEST_ID} characters of its beginning"
            )
        fits = which(newest, text)
        if len(fits) > 1:
            raise UsageError(f"{text[:80]!r} may mean {len(fits)} requests: {_listed(fits)}", hint="give a whole trace id")
        if not fits:
            self.complain()
            raise AuditError(
                f"the audit log {self.path} holds no request {text[:80]!r}",
                hint="is it the right log? see --audit-log; `audit tail` shows trace ids",
            )
        return gather(newest, fits[0].trace_id)

    def lacking(self, entries: Sequence[StoryRecord]) -> Sequence[Unreadable]:
        """The archives that cannot be read and may hold more of a request: not those that were written before it began."""
        from molecule_approve.audit.record import moment
        from molecule_approve.audit.report.story import is_beginning

        times = [moment(entry.fields.get("timestamp")) for entry in entries if is_beginning(entry)]
        began = times[0].timestamp() if times and times[0] is not None else 0.0
        return [one for one in self.snapshot.unreadable if _changed(one.path) >= began]

    def forwards(self, watch: Callable[[int, int], None]) -> Iterator[bytes]:
        """All lines, the oldest first; ``watch`` is told now and then how many bytes of the files are done, and of how many.

        Of a compressed file its own bytes are counted, which are done before its text is.
        """
        sizes = {piece.path: _size(piece.path) for piece in self.snapshot.pieces}
        before, done, now = 0, 0, None
        for number, (piece, line) in enumerate(self.snapshot.forwards()):
            if piece is not now:
                before, done, now = before + (sizes[now.path] if now else 0), 0, piece
            done += len(line)
            if number % _EVERY == 0:
                watch(before + min(done, sizes[piece.path]), sum(sizes.values()))
            yield line

    def complain(self) -> None:
        """Say what could not be read, and so is not in what is told."""
        for piece in self.snapshot.unreadable:
            output.talk(f"{output.PROGRAM}: warning: left out: {visible(piece.reason)}")


def _lacks(unreadable: Sequence[Unreadable]) -> AuditError:
    return AuditError(
        f"records that belong here may stand in what cannot be read: {'; '.join(one.reason for one in unreadable)}",
        hint="put a readable copy there; `audit verify` says which records it has to hold",
    )


def _size(path: Path) -> int:
    """In bytes; 0 where it has just got another name."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _changed(path: Path) -> float:
    """When it was written for the last time, which compressing does not change; for ever after, if it has another name."""
    try:
        return path.lstat().st_mtime
    except FileNotFoundError:
        return math.inf


def _listed(fits: list[Fit]) -> str:
    shown = [fit.trace_id if fit.name == "trace_id" else f"{fit.trace_id} ({fit.name} {fit.id})" for fit in fits[:LISTED]]
    return ", ".join(shown) + (", …" if len(fits) > LISTED else "")


@contextmanager
def _history(path: Path) -> Iterator[_History]:
    from molecule_approve.audit import files
    from molecule_approve.audit.read.archives import Snapshot

    try:
        with Snapshot(path) as snapshot:
            if not snapshot.pieces and not snapshot.unreadable:
                os.close(files.open_for_reading(path))  # says that it is not there
            yield _History(path, snapshot)
    except OSError as exc:
        raise files.explained(exc, "read", path) from exc


# --- telling -------------------------------------------------------------------------------------------------------------


def _tell(text: str) -> None:
    """The answer; a reader who has had enough is no error."""
    try:
        output.answer(text)
    except DeliveryError as exc:
        if not isinstance(exc.__cause__, BrokenPipeError):
            raise


def _rendering() -> Callable[[Iterable[StyledText]], str]:
    """How pieces of a line become text: with colours where somebody sees them."""
    from molecule_approve.cli.pieces import painted
    from molecule_approve.cli.window import colours_wanted

    coloured = colours_wanted(sys.stdout)
    return lambda pieces: painted(pieces, coloured=coloured).rstrip()


def _folding() -> Callable[[Iterable[StyledText]], str]:
    """The same for lines that hold text from elsewhere, whole: in rows of the window, if there is one."""
    from molecule_approve.cli.window import folded

    render = _rendering()
    return lambda pieces: folded(render(pieces), sys.stdout)


def _width() -> int:
    """The window's columns; 80 where there is none."""
    return max(30, shutil.get_terminal_size().columns) if output.is_terminal(sys.stdout) else 80


def _draws_blocks() -> bool:
    return (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"


# --- keeping -------------------------------------------------------------------------------------------------------------


def _keep(path: Path, data: bytes) -> None:
    """Write the file 0600, whole or not at all, and over no other.

    Raises:
        UsageError: something of that name is there.
        DeliveryError: it cannot be written.

    """
    try:
        write_private(path, data, over=False)
    except FileExistsError as exc:
        raise UsageError(
            f"--output: {str(path)!r} is there already", hint="nothing is overwritten: name another file"
        ) from exc
    except OSError as exc:
        raise DeliveryError(f"{path} cannot be written: {exc.strerror}", hint="name a file in a folder of yours") from exc
