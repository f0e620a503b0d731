"""What verifying the audit log found, as sentences for a person and as JSON. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from molecule_approve.audit.verify.report import Source
from molecule_approve.safe_text import visible

if TYPE_CHECKING:
    from molecule_approve.audit.chain import Gap
    from molecule_approve.audit.export.check import ExportReport
    from molecule_approve.audit.report.executions import ExecutionCount
    from molecule_approve.audit.report.open_requests import OpenCount
    from molecule_approve.audit.verify.run import VerifyResult
    from molecule_approve.model import JsonValue

NAMED = 10
"""Open requests, commands and odd starts that are listed for a person; JSON has more."""

ArchiveName = Callable[[int, int], str]
"""The name that an archive of ours with these records would have."""


def result_lines(result: VerifyResult, archive_name: ArchiveName | None = None) -> list[str]:
    """What verifying found, one sentence per line, the result first.

    ``archive_name`` says how missing archives are named; None for one file by itself.
    """
    said = [_verdict(result)]
    if result.report.first_break is not None:
        said.append(f"first damage: {visible(str(result.report.first_break))}")
    said += _what_is_missing(result, archive_name)
    said += [f"cannot be checked: {visible(one.reason)}" for one in result.unreadable]
    said += _about_files(result, alone=archive_name is None)
    said += _about_heads(result)
    said += _about_seals(result)
    said += _about_open_requests(result)
    said += _about_commands(result.executions)
    said += _about_receipts(result)
    head = result.report.head
    if head is not None:
        said.append(f"head: {visible(head.log_id)} {head.seq}:{head.hash}")
    return said


def result_json(result: VerifyResult) -> dict[str, JsonValue]:
    """The same as one JSON object."""
    report = result.report
    return {
        "whole": result.whole,
        "log_id": None if report.head is None else report.head.log_id,
        "files": [{**file._asdict(), "compressed": file.name in result.compressed} for file in report.files],
        "records": report.covered,
        "other_lines": report.uncovered,
        "doubled": report.doubled,
        "first": report.first,
        "head": None if report.head is None else dict(report.head._asdict()),
        "breaks": report.breaks,
        "first_break": None if report.first_break is None else report.first_break._asdict(),
        "gaps": [_gap(gap) for gap in report.gaps if not gap.is_between_files],
        "missing_archives": [_gap(gap) for gap in report.gaps if gap.is_between_files],
        "unreadable": [{"name": one.path.name, "reason": one.reason} for one in result.unreadable],
        "open_requests": _counted(result.open),
        "not_awaited_requests": _counted(result.not_awaited),
        "open_commands": _counted(result.executions.open),
        "odd_starts": _odd_starts(result.executions),
        "seal": {"records": report.sealed, "sealed_from": report.sealed_from, "checked_from": result.checked_from},
        "receipts": {"named": result.receipts.named, "missing": list(result.receipts.missing)},
        "expected": [
            {"seq": one.head.seq, "hash": one.head.hash, "source": one.head.source.value, "met": one.met}
            for one in report.expected
        ],
        "unfinished": report.unfinished,
    }


def export_json(report: ExportReport) -> dict[str, JsonValue]:
    """What checking an export found, as one JSON object."""
    return {
        "whole": report.whole,
        "log_id": report.log_id or None,
        "trace_id": report.trace_id or None,
        "records": list(report.records),
        "complete": report.complete,
        "head": None if report.head is None else dict(report.head._asdict()),
        "faults": list(report.faults),
        "fault_count": report.fault_count,
        "expected": [{"seq": one.seq, "hash": one.hash, "met": one.met} for one in report.expected],
        "odd_starts": _odd_starts(report.executions),
        "seal": {"sealed": list(report.sealed), "checked": list(report.seal_checked)},
        "receipts": {"included": list(report.receipts), "missing": list(report.missing_receipts)},
    }


def _verdict(result: VerifyResult) -> str:
    report = result.report
    others = f", {_count(report.uncovered, 'unchained line')} (written by other tools)" if report.uncovered else ""
    records = _count(report.covered, "record")
    if report.breaks:
        return f"not whole, at {_count(report.breaks, 'place')}: {records}{others}"
    if result.unreadable:
        return f"not whole, because some archives cannot be read: {records}{others}"
    if report.head is None:
        return f"whole: no records yet{others}"
    return f"whole: {records}, {report.first} to {report.head.seq}{others}"


def _what_is_missing(result: VerifyResult, archive_name: ArchiveName | None) -> Iterator[str]:
    for gap in result.report.gaps:
        what = _range(gap.first, gap.last)
        if not gap.is_between_files:
            yield f"missing: {what}"
            continue
        where = f"between {visible(gap.after)} and" if gap.after else "before"
        name = f"; as one archive its name would be {visible(archive_name(gap.first, gap.last))}" if archive_name else ""
        yield f"missing archive: {what}, {where} {visible(gap.before)}{name}"
        if not gap.after and not result.unreadable:  # else it may be in one of those
            yield f"if you removed them on purpose, pass --from {gap.last + 1}"


def _about_files(result: VerifyResult, *, alone: bool) -> Iterator[str]:
    report = result.report
    if alone and report.head is not None:
        yield (f"only this file was verified, not what comes before record {report.first} or after record {report.head.seq}")
    elif len(report.files) > 1:
        yield f"in {len(report.files)} files: {', '.join(visible(file.name) for file in report.files)}"
    if report.doubled:
        yield f"{_count(report.doubled, 'record')} in two files where they meet (not an error)"
    if report.unfinished:
        yield "the last line is unfinished (not an error): the next record closes it"


def _about_heads(result: VerifyResult) -> Iterator[str]:
    for one in result.report.expected:
        if one.met is False:
            yield f"head not found: {one.head.seq}:{one.head.hash} ({one.head.source.value})"
    met = sum(one.met is True and one.head.source is not Source.REMEMBERED for one in result.report.expected)
    if met:
        yield f"heads found that are known from elsewhere: {met}"


def _about_seals(result: VerifyResult) -> Iterator[str]:
    report, checked = result.report, result.checked_from
    if report.sealed_from is None:
        if checked is not None:
            yield "no records are sealed"
        return
    said = "not checked: pass --seal-key-file to check them" if checked is None else f"checked from record {checked} on"
    yield f"sealed: {_count(report.sealed, 'record')}, from {report.sealed_from} on; seals {said}"


def _about_open_requests(result: VerifyResult) -> Iterator[str]:
    for what, found in (("still open", result.open), ("not awaited", result.not_awaited)):
        if found.total:
            yield f"{what} (not an error): {_count(found.total, 'request')}: {_named(found)}"


def _about_receipts(result: VerifyResult) -> Iterator[str]:
    if result.receipts.missing:
        numbers = ", ".join(map(str, result.receipts.missing[:NAMED]))
        more = ", …" if len(result.receipts.missing) > NAMED else ""
        yield f"warning: receipts that are gone or were changed, of records {numbers}{more}"


def _about_commands(found: ExecutionCount) -> Iterator[str]:
    """Starts that do not fit are no damage of the log, but somebody should look at them."""
    if found.open.total:
        yield f"no recorded end (not an error): {_count(found.open.total, 'command')}: {_named(found.open)}"
    for odd in found.first_odd[:NAMED]:
        yield f"warning: {odd} (trace {visible(odd.trace_id)})"
    if found.odd > NAMED:
        yield f"warning: {_count(found.odd - NAMED, 'such start')} more"


def _named(found: OpenCount) -> str:
    names = ", ".join(f"{visible(one.trace_id)} (record {one.seq})" for one in found.first[:NAMED])
    return names + (", …" if found.total > NAMED else "")


def _counted(found: OpenCount) -> JsonValue:
    return {"count": found.total, "traces": [{"trace_id": one.trace_id, "seq": one.seq} for one in found.first]}


def _odd_starts(found: ExecutionCount) -> JsonValue:
    starts: list[JsonValue] = [
        {"trace_id": one.trace_id, "seq": one.seq, "fault": one.fault.value} for one in found.first_odd
    ]
    return {"count": found.odd, "records": starts}


def _gap(gap: Gap) -> JsonValue:
    return {"first": gap.first, "last": gap.last, "after": gap.after or None, "before": gap.before or None}


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _range(first: int, last: int) -> str:
    return f"record {first}" if first == last else f"records {first} to {last}"
