"""The words of a proof: what verifying the audit log came to, for a person. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from molecule_approve.safe_text import visible

if TYPE_CHECKING:
    from molecule_approve.audit.chain import Report


def proof(report: Report) -> list[str]:
    """What verifying came to, one sentence a line, the verdict first."""
    head = report.head
    records = _count(report.covered, "record")
    others = f", {_count(report.uncovered, 'other line')} that nothing vouches for" if report.uncovered else ""
    if report.whole and head is None:
        said = [f"whole: no records yet{others}"]
    elif report.whole and head is not None:
        said = [f"whole: {records}, {report.first} to {head.seq}{others}"]
    else:
        said = [
            f"not whole, at {_count(report.breaks, 'place')}: {records}{others}",
            f"the first is {visible(str(report.first_break))}",
        ]
    said.extend(f"missing: {_range(first, last)}" for first, last in report.gaps)
    if report.unfinished:
        said.append("the last line is not finished; the next record closes it")
    if head is not None:
        said.append(f"head: {visible(head.log_id)} {head.seq}:{head.hash}")
    return said


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _range(first: int, last: int) -> str:
    return f"record {first}" if first == last else f"records {first} to {last}"
