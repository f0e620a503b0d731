"""One request as people see it: labelled lines, the action first. No text from elsewhere can draw a label."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, TextIO

from molecule_approve.gate.command import parse
from molecule_approve.lifecycle import is_own, outcome_of
from molecule_approve.model import Outcome
from molecule_approve.safe_text import json_line, visible, visible_lines, visible_quoted

from .requester import PERSON, described, name
from .terminal import MARGIN, columns_of, rows

if TYPE_CHECKING:
    from molecule_approve.gate.command import Shown
    from molecule_approve.model import Approval, ApprovalProgress, JsonValue

    from .terminal import SheetLine

_HASH = re.compile(r"[0-9a-f]{64}")
_HASHED = re.compile(r"(.*) sha256:([0-9a-f]{64})")
_PRESENCES = {
    "signature": ", each signed",
    "required": ", each signed with a key that was touched",
    "verified": ", each signed with a key that verified the person",
}
_WARNINGS = frozenset({"not bound", "keeps", "drops", "remark"})


def request_lines(row: Approval, *, workspace_name: str = "", decide_as: str = "") -> Iterator[SheetLine]:
    """The whole request as labels and visible lines; a line without a label belongs to the label above it.

    ``decide_as`` is the name under which the reader would decide, where that is asked next.
    """
    yield from asked(row.action, row.reason)
    context = dict(row.context or {})
    yield "requester", visible(described(name(row), context)) or "unknown"
    yield "workspace", visible(f"{workspace_name} ({row.workspace_id})" if workspace_name else row.workspace_id)
    yield "", ""
    yield "Details", ""
    yield "request", visible(row.id)
    # Of a request that nobody decided, the platform's own status says "denied".
    yield "status", visible(row.status.value if outcome_of(row) is Outcome.FAILED else outcome_of(row).value)
    yield "asked at", visible(row.created_at or "unknown")
    if row.expires_at:
        yield "expires", visible(row.expires_at)
    yield from _counted(row)
    for key, value in context.items():
        if not (key in PERSON and isinstance(value, str) and value):  # the requester's row shows it
            yield _context_line(key, value)
    if decide_as:
        yield "", ""
        yield (
            "decide as",
            visible(decide_as) + (", who is also the requester" if is_own(row.requested_by, decide_as) else ""),
        )


def _counted(row: Approval) -> Iterator[SheetLine]:
    """What the request's rule wants, how far it is, and who decided; no count where one approval by anybody will do."""
    progress = row.progress
    if progress is not None and progress.rule is not None:
        yield "rule", visible(_rule(progress))
    if progress is None or progress.is_plain:
        return
    yield "approvals", visible(progress.sentence)
    for one in row.decisions:
        proof = f" ({one.proof})" if one.proof else ""
        comment = f": {one.comment}" if one.comment else ""
        yield one.decision.value, visible(f"by {one.by} at {one.at}{proof}{comment}")


def _rule(progress: ApprovalProgress) -> str:
    """The rule's name and what it wants: ``two, 2 approvals of dba, each with a comment``."""
    groups = [one.group or ", ".join(one.people) for one in progress.waiting_for]
    of = f" of {' or '.join(groups)}" if groups else ""
    presence, comment = _PRESENCES.get(progress.presence, ""), ", each with a comment" if progress.comment else ""
    return f"{progress.rule}, {progress.need} approval{'' if progress.need == 1 else 's'}{of}{presence}{comment}"


def _context_line(key: str, value: JsonValue) -> tuple[str, str]:
    match value:
        case {"log_id": str(log_id), "seq": int(seq), "hash": str(digest), **more} if (
            key == "audit_head" and _HASH.fullmatch(digest) and set(more) <= {"file"}
        ):
            return "audit log", f"record {seq} of {visible(log_id)}, {digest[:12]}…"
    # The requester chose these words: without the label a key called "action" would look like ours.
    shown = visible(value) if isinstance(value, str) else json_line(value)
    return "context", f"{visible(key)} = {shown}"


def asked(action: str, reason: str) -> Iterator[SheetLine]:
    """The action, and the reason if there is one, line by line as they were written; a command with its facts."""
    command = parse(action)
    yield from _paragraph("action", action) if command is None else _command(command)
    if reason:
        yield from _paragraph("reason", reason)


def _paragraph(label: str, text: str) -> Iterator[SheetLine]:
    first, *rest = visible_lines(text)
    yield label, first
    for line in rest:
        yield "", line


def _command(command: Shown) -> Iterator[SheetLine]:
    yield "command", visible_quoted(command.line), "bold"
    yield "", ""
    # Any requester can write such facts, so nothing here may sound as if we had looked.
    yield "The requester says", ""
    for label, value in command.facts:
        yield from _fact(label, value)
    yield "", ""


def _fact(label: str, value: str) -> Iterator[SheetLine]:
    if label == "digest":
        yield label, value.removeprefix("sha256:"), "dim"
        return
    if len(label) >= MARGIN:
        yield label, ""
        label = ""
    if hashed := _HASHED.fullmatch(value):
        yield label, visible_quoted(hashed[1])
        yield "  sha256", hashed[2], "dim"  # on a row of its own, which a window of 80 columns does not break
    else:
        yield label, visible_quoted(value), "warning" if label in _WARNINGS else ""


def one_line(action: str) -> str:
    """The action on one visible line, for lists; of a command the command alone, without its facts."""
    command = parse(action)
    return visible(action) if command is None else visible_quoted(command.line)


def sheet(lines: Iterable[SheetLine], stream: TextIO | None) -> list[str]:
    """The lines as rows for this stream: wrapped where it has a window."""
    return list(rows(lines, columns_of(stream), stream))
