"""``audit show``, ``audit stats`` and ``audit export``: what the log says, and one request's records to take away."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from molecule_approve.cli import options, output
from molecule_approve.cli.exits import Exit
from molecule_approve.cli.help import FILTERS, option
from molecule_approve.cli.new_file import write_new
from molecule_approve.errors import AuditError, DeliveryError, UsageError
from molecule_approve.safe_text import json_line, visible

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from molecule_approve.audit.export.check import ExportReport
    from molecule_approve.audit.read.archives import Snapshot, Unreadable
    from molecule_approve.audit.report.story import IdMatch, RequestRecords
    from molecule_approve.cli.terminal import StyledText

_EVERY = 1_000
"""Lines between two reports of progress."""

LISTED = 10
"""Requests that are named where an id is not unique."""

Trace = Annotated[
    str,
    typer.Argument(
        metavar="TRACE",
        help="The id of the request, its trace id or task id, or at least six characters of the beginning.",
        show_default=False,
    ),
]


def show(trace: Trace, json: options.Json = False, config: options.Config = None, audit_log: options.AuditLog = None) -> int:
    """Show one request: its records, what happened, and how it ended. Verifies nothing."""
    from molecule_approve.audit.report.story import Story

    from .story_view import story_json, story_lines

    gathered, unread = _gathered(options.audit_log_path(config, audit_log), trace)
    story = Story(gathered.entries)
    _print(json_line(story_json(story)) if json else "\n".join(map(_folding(), story_lines(story))))
    if unread:
        raise _lacks(unread)
    return Exit.OK


def stats(
    since: Annotated[
        str | None,
        option("--since", "WHEN", "Only requests of the last 2h or 1d, or since 2026-04-27T10:00:00Z.", FILTERS),
    ] = None,
    until: Annotated[
        str | None,
        option("--until", "WHEN", "Only requests older than 2h or 1d, or before 2026-04-27T10:00:00Z.", FILTERS),
    ] = None,
    json: options.Json = False,
    config: options.Config = None,
    audit_log: options.AuditLog = None,
) -> int:
    """Count requests by outcome and approver, and show how long decisions took. Verifies nothing."""
    from molecule_approve.audit.report.stats import statistics
    from molecule_approve.cli.durations import parse_moment

    from .meter import meter
    from .stats_view import statistics_json, statistics_lines
    from .story_view import NOT_VERIFIED

    now = datetime.now(UTC)
    first = None if since is None else parse_moment(since, "--since", now)
    last = None if until is None else parse_moment(until, "--until", now)
    with _snapshot(options.audit_log_path(config, audit_log)) as snapshot:
        _warn_unread(snapshot.unreadable)
        with meter("counting") as watch:
            found = statistics(_forwards(snapshot, watch), first, last)
    if json:
        _print(json_line(statistics_json(found, first, last)))
    else:
        _print("\n".join(statistics_lines(found, _width(), NOT_VERIFIED, blocks=_draws_blocks())))
    return Exit.OK


def export(
    trace: Trace,
    target: Annotated[
        str | None,
        typer.Option(
            "--output", "-o", metavar="PATH", help="Write to this file, which must not exist yet. [default: stdout]"
        ),
    ] = None,
    complete: Annotated[
        bool,
        option("--complete", None, "Include every line up to the log's head. Those lines contain other requests."),
    ] = False,
    config: options.Config = None,
    audit_log: options.AuditLog = None,
) -> int:
    """Export one request's records as JSON evidence, which verify FILE checks on any machine."""
    path = options.audit_log_path(config, audit_log)
    text, report = _exported(path, trace, complete=complete)
    if target is None:
        output.answer(text)
    else:
        write_new(Path(target), f"{text}\n".encode())
    if report.whole:
        return Exit.OK
    output.say(f"warning: the export is not whole, because the log is damaged: {report.faults[0]}")
    return Exit.NOT_WHOLE


def _exported(path: Path, trace: str, *, complete: bool) -> tuple[str, ExportReport]:
    from molecule_approve.audit.export.build import build, stretch
    from molecule_approve.audit.export.check import check
    from molecule_approve.audit.files import recall
    from molecule_approve.audit.read import history
    from molecule_approve.audit.receipts import find
    from molecule_approve.audit.report.receipts import receipts_in
    from molecule_approve.clock import utc_now

    memory = recall(path)  # first: the log may grow meanwhile, and must not seem to be behind
    (entries, head), unread = _gathered(path, trace)
    first = next((entry.link for entry in entries if entry.link is not None), None)
    if head is None:
        raise AuditError("cannot export: the audit log has no chained records", hint="`audit show` prints its lines")
    chain = None
    if complete and first is not None:
        with contextlib.closing(history.backwards(path)) as newest:
            chain = stretch(newest, first, head)
    remembered = None if memory is None else memory.head
    named = [one.sha256 for one in receipts_in([entry.line for entry in entries])]
    receipts = {digest: data for digest in named if (data := find(path, digest)) is not None}
    text = json_line(build(entries, head, exported_at=utc_now(), remembered=remembered, chain=chain, receipts=receipts))
    # Missing records may be in an archive that cannot be read: that is not damage.
    if unread:
        raise _lacks(unread)
    return text, check(text.encode())


# --- the log -------------------------------------------------------------------------------------------------------------


def _gathered(path: Path, text: str) -> tuple[RequestRecords, list[Unreadable]]:
    """The records of the one request that an id means, and the archives that cannot be read and may hold more of them.

    Raises:
        UsageError: the id is too short, or means several.
        AuditError: there is none, or the log cannot be read.
    """
    from molecule_approve.audit import files
    from molecule_approve.audit.read import archives, history
    from molecule_approve.audit.record import moment
    from molecule_approve.audit.report.story import gather, is_beginning, matching_requests

    if not archives.names(path):
        os.close(files.open_for_reading(path))  # raises where there is no log
    if len(text) < options.SHORTEST_ID:
        raise UsageError(f"the id {text!r} is too short", hint=f"pass its first {options.SHORTEST_ID} characters or more")
    unread: list[Unreadable] = []
    fits = matching_requests(lambda words: history.backwards(path, unread, words), text)
    if len(fits) > 1:
        raise UsageError(f"{text[:80]!r} matches {len(fits)} requests: {_listed(fits)}", hint="pass a full trace id")
    if not fits:
        _warn_unread(unread)
        raise AuditError(
            f"the audit log {path} has no request {text[:80]!r}",
            hint="check --audit-log; `molecule-approve audit tail` shows trace ids",
        )
    unread = []
    gathered = gather(lambda words: history.backwards(path, unread, words), fits[0].trace_id)
    # What was last written before the request began holds nothing of it.
    times = [moment(entry.fields.get("timestamp")) for entry in gathered.entries if is_beginning(entry)]
    began = times[0].timestamp() if times and times[0] is not None else 0.0
    return gathered, [one for one in unread if history.changed_at(one.path) >= began * 1e9]


def _forwards(snapshot: Snapshot, watch: Callable[[int, int], None]) -> Iterator[bytes]:
    """All lines, the oldest first; ``watch`` is called now and then with how many bytes are done, and of how many.

    Of a compressed file its own bytes are counted, which are done before its text is.
    """
    sizes = {file.path: _size(file.path) for file in snapshot.files}
    before, done, now = 0, 0, None
    for number, (file, line) in enumerate(snapshot.forwards()):
        if file is not now:
            before, done, now = before + (sizes[now.path] if now else 0), 0, file
        done += len(line)
        if number % _EVERY == 0:
            watch(before + min(done, sizes[file.path]), sum(sizes.values()))
        yield line


def _warn_unread(unread: Sequence[Unreadable]) -> None:
    for archive in unread:
        output.say(f"warning: skipped: {visible(archive.reason)}")


def _lacks(unreadable: Sequence[Unreadable]) -> AuditError:
    return AuditError(
        f"records of this request may be missing: {'; '.join(one.reason for one in unreadable)}",
        hint="replace the file with a readable copy; `molecule-approve audit verify` says which records it must contain",
    )


def _size(path: Path) -> int:
    """In bytes; 0 where it has just got another name."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _listed(fits: list[IdMatch]) -> str:
    shown = [fit.trace_id if fit.name == "trace_id" else f"{fit.trace_id} ({fit.name} {fit.id})" for fit in fits[:LISTED]]
    return ", ".join(shown) + (", …" if len(fits) > LISTED else "")


@contextmanager
def _snapshot(path: Path) -> Iterator[Snapshot]:
    from molecule_approve.audit import files
    from molecule_approve.audit.read import archives

    try:
        with archives.Snapshot(path) as snapshot:
            if not snapshot.files and not snapshot.unreadable:
                os.close(files.open_for_reading(path))  # raises where there is no log
            yield snapshot
    except OSError as exc:
        raise files.explained(exc, "read", path) from exc


# --- telling -------------------------------------------------------------------------------------------------------------


def _print(text: str) -> None:
    """Print the answer; a reader that closes the pipe early is not an error."""
    try:
        output.answer(text)
    except DeliveryError as exc:
        if not isinstance(exc.__cause__, BrokenPipeError):
            raise


def _folding() -> Callable[[Iterable[StyledText]], str]:
    """How pieces of a line become text: in colours where somebody sees them, and in rows of the window, if there is one."""
    from molecule_approve.cli.terminal import colours_wanted, folded, painted

    coloured = colours_wanted(sys.stdout)
    return lambda pieces: folded(painted(pieces, coloured=coloured).rstrip(), sys.stdout)


def _width() -> int:
    """The window's columns, 30 at least; 80 where there is none."""
    from molecule_approve.cli.terminal import columns_of

    return max(30, columns_of(sys.stdout) or 80)


def _draws_blocks() -> bool:
    return (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
