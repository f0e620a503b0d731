"""Verifies a log on the disk: reads its files, examines them (in several processes if it is worth it), and joins them.

What is examined is `chain.py`'s business, what it comes to `verify/report.py`'s.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple, Protocol

from molecule_approve.audit import files, receipts, sealing
from molecule_approve.audit.chain import LONGEST, Stretch, examine
from molecule_approve.audit.read import archives, texts
from molecule_approve.audit.read.archives import LogFile, Unreadable
from molecule_approve.audit.report.executions import ExecutionCount, ExecutionRecord, Executions, executions_in
from molecule_approve.audit.report.open_requests import OpenChanges, OpenCount, OpenRequests, changes_in
from molecule_approve.audit.report.receipts import NamedReceipt, ReceiptCount, receipts_in
from molecule_approve.audit.seal import Keys, SealKey
from molecule_approve.errors import AuditError

from . import parallel
from .report import ExpectedHead, Report, Source, Verification

if TYPE_CHECKING:
    from molecule_approve.audit.read.texts import Text

BLOCK = 512 << 10
"""Bytes that are read and examined at once."""

PART = 4 << 20
"""Bytes that one process takes on at once."""

LARGE = 8 << 20
"""Bytes from which on several processes are worth it."""

OnProgress = Callable[[int, int], None]
"""Called with how many bytes are done, and of how many."""


class VerifyOptions(NamedTuple):
    """What the log has to meet, besides its own chain: heads that are known from elsewhere, and seal keys of this log.

    ``begins`` is the first record that is asked for: those before it were removed on purpose.
    """

    expected: Sequence[ExpectedHead] = ()
    keys: Sequence[SealKey] = ()
    begins: int = 1


_DEFAULTS = VerifyOptions()


def _ignore(_done: int, _total: int) -> None:
    """The progress that nobody watches."""


class VerifyResult(NamedTuple):
    """The result of verifying.

    Attributes:
        report: what the chain and the heads show.
        compressed: names of the files that are compressed.
        unreadable: archives that could not be checked.
        checked_from: the first record whose seal was checked; None without a key.
        open: open requests.
        not_awaited: those of them that were asked without waiting, which are not counted among the others.
        executions: commands without a recorded end, and starts that do not fit what was approved. Neither is damage.
        receipts: those that the records name. One that is missing is not damage of the log: old ones may be moved away.
    """

    report: Report
    compressed: frozenset[str]
    unreadable: tuple[Unreadable, ...]
    checked_from: int | None
    open: OpenCount
    not_awaited: OpenCount
    executions: ExecutionCount
    receipts: ReceiptCount = ReceiptCount()

    @property
    def whole(self) -> bool:
        """Whether everything could be checked, and every record is exactly what was written."""
        return self.report.whole and not self.unreadable


def verify_log(path: Path, options: VerifyOptions = _DEFAULTS, watch: OnProgress = _ignore) -> VerifyResult:
    """Check a whole log, with all its archives, against its chain and what is remembered beside it.

    Raises:
        AuditError: there is no log and never was one, or the live file or the folder cannot be read, or a key is another
            log's.
    """
    heads = [*_remembered(path), *options.expected]  # first: the log may grow meanwhile, and must not seem to be behind
    with archives.Snapshot(path) as snapshot:
        if not (snapshot.files or snapshot.unreadable or heads):
            os.close(files.open_for_reading(path))  # says that it is not there
        named: list[NamedReceipt] = []
        verification = Verification(heads, begins=options.begins)
        result = _verify(snapshot, verification, options, watch, snapshot.unreadable, named)
    missing = dict.fromkeys(one.seq for one in named if receipts.find(path, one.sha256) is None)
    return result._replace(receipts=ReceiptCount(len(set(named)), tuple(missing)))


def verify_file(path: Path, options: VerifyOptions = _DEFAULTS, watch: OnProgress = _ignore) -> VerifyResult:
    """Check one file by itself, wherever its records begin: an archive that was copied elsewhere, compressed or not.

    Raises:
        AuditError: it cannot be read, or a key is another log's.
    """
    return _verify(_OneFile(path), Verification(options.expected, begins=None), options, watch, (), [])


class _Files(Protocol):
    @property
    def files(self) -> tuple[LogFile, ...]: ...

    def reading(self, file: LogFile) -> AbstractContextManager[Text]: ...

    def streaming(self, file: LogFile) -> AbstractContextManager[BinaryIO]: ...


class _OneFile:
    """A file by itself, in the manner of a snapshot."""

    def __init__(self, path: Path) -> None:
        self.files = (LogFile(path, None, (0, 0), live=True),)

    def reading(self, file: LogFile) -> AbstractContextManager[Text]:
        return archives.text_of(file.path)

    def streaming(self, file: LogFile) -> AbstractContextManager[BinaryIO]:
        return archives.stream_of(file.path)


class _Part(NamedTuple):
    """Whole lines of one file, and how many bytes of work they are; an end of -1 is the end of what is unpacked."""

    file: LogFile
    start: int
    end: int
    weight: int


class _BlockResult(NamedTuple):
    """What one block of whole lines shows."""

    stretch: Stretch
    requests: OpenChanges
    executions: tuple[ExecutionRecord, ...]
    receipts: tuple[NamedReceipt, ...]


class _PartResult(NamedTuple):
    """The result of one part; ``trouble`` says why it could not be read to its end."""

    stretches: list[_BlockResult]
    trouble: str


def _remembered(path: Path) -> list[ExpectedHead]:
    memory = files.recall(path)
    heads = [] if memory is None else [memory.head]
    with suppress(AuditError):  # the key's file is the writer's alone; who only reads the log does not need it
        state = sealing.recall(path)
        heads += [] if state is None or state.head.seq == 0 else [state.head]
    return [ExpectedHead(head.seq, head.hash, head.log_id, Source.REMEMBERED) for head in dict.fromkeys(heads)]


def _verify(
    found: _Files,
    verification: Verification,
    options: VerifyOptions,
    watch: OnProgress,
    unreadable: Sequence[Unreadable],
    named: list[NamedReceipt],
) -> VerifyResult:
    """What the files show; the receipts that they name are added to ``named``."""
    keys = Keys(options.keys) if options.keys else None
    plan = [_parts(found, file) for file in found.files]
    parts = [part for some in plan for part in some]
    results = _results(found, parts, verification.watched, keys)
    open_requests, executions, troubles = OpenRequests(), Executions(), list(unreadable)
    done, total = 0, sum(part.weight for part in parts)
    for file, some in zip(found.files, plan, strict=True):
        verification.begin(file.path.name)
        for part in some:
            stretches, trouble = next(results)
            if trouble and file.live:
                raise AuditError(trouble)
            if trouble:
                troubles.append(Unreadable(file.path, trouble))
            for block in stretches:
                verification.add(block.stretch)
                open_requests.add(block.requests)
                executions.add(block.executions)
                named += block.receipts
            done += part.weight
            watch(done, total)
    report = verification.finish()
    _check_keys(keys, report, found.files)
    return VerifyResult(
        report=report,
        compressed=frozenset(file.path.name for file in found.files if texts.is_compressed(file.path)),
        unreadable=tuple(dict(zip((one.path for one in troubles), troubles, strict=True)).values()),
        checked_from=None if keys is None else keys.first,
        open=open_requests.counted(awaited=True),
        not_awaited=open_requests.counted(awaited=False),
        executions=executions.counted(complete=_is_complete(report) and not troubles),
    )


def _is_complete(report: Report) -> bool:
    """Whether no record since the log's first is missing."""
    return report.head is not None and report.covered == report.head.seq


def _check_keys(keys: Keys | None, report: Report, log_files: Sequence[LogFile]) -> None:
    if keys is None or report.head is None:
        return
    known = {report.head.log_id, *(file.first.log_id for file in log_files if file.first is not None)}
    if keys.log_id not in known:
        raise AuditError(
            f"the seal key belongs to log {keys.log_id}, but this is log {report.head.log_id}",
            hint="pass the key that `audit init --seal` printed for this log",
        )


def _parts(found: _Files, file: LogFile) -> list[_Part]:
    if texts.is_compressed(file.path):
        return [_Part(file, 0, -1, PART)]
    with found.reading(file) as text:
        return [_Part(file, start, end, end - start) for start, end in _cut(text, texts.size(text))]


def _cut(text: Text, size: int) -> Iterator[tuple[int, int]]:
    """Where a file's parts begin and end: at ends of lines."""
    start = 0
    while start < size:
        end = _after_newline(text, start + PART - 1, size) if size - start > PART else size
        yield start, end
        start = end


def _after_newline(text: Text, at: int, size: int) -> int:
    """The offset just after the first newline from there on, or the file's size."""
    while at < size and (block := texts.pread(text, 65_536, at)):
        place = block.find(b"\n")
        if place >= 0:
            return at + place + 1
        at += len(block)
    return size


def _results(found: _Files, parts: Sequence[_Part], watched: frozenset[int], keys: Keys | None) -> Iterator[_PartResult]:
    def work(number: int) -> _PartResult:
        return _examine_part(found, parts[number], watched, keys)

    if sum(part.weight for part in parts) > LARGE and (processes := parallel.workers()) > 1:
        return parallel.in_order(len(parts), work, processes)
    return map(work, range(len(parts)))


def _examine_part(found: _Files, part: _Part, watched: frozenset[int], keys: Keys | None) -> _PartResult:
    stretches: list[_BlockResult] = []
    try:
        for block in _blocks(_unpacked(found, part.file) if part.end < 0 else _read(found, part)):
            lines = block.split(b"\n")
            unfinished = lines[-1] != b""
            if not unfinished:
                lines.pop()
            stretch, others = examine(lines, watched, keys, unfinished=unfinished)
            requests, executions = changes_in(lines, others), executions_in(lines, others)
            stretches.append(_BlockResult(stretch, requests, executions, receipts_in(lines, others)))
    except AuditError as exc:
        # What a damaged archive unpacks to need not be what was packed: nothing in it says anything about the log.
        return _PartResult([] if part.end < 0 else stretches, exc.message)
    except OSError as exc:
        return _PartResult(stretches, files.explained(exc, "read", part.file.path).message)
    return _PartResult(stretches, "")


def _unpacked(found: _Files, file: LogFile) -> Iterator[bytes]:
    with found.streaming(file) as stream:
        yield from iter(lambda: stream.read(BLOCK), b"")


def _read(found: _Files, part: _Part) -> Iterator[bytes]:
    with found.reading(part.file) as text:
        at = part.start
        while at < part.end:
            data = texts.pread(text, min(BLOCK, part.end - at), at)
            if not data:
                raise AuditError(f"the audit log {part.file.path} shrank while it was being read", hint="try again")
            at += len(data)
            yield data


def _blocks(data: Iterable[bytes]) -> Iterator[bytes]:
    """The same text in blocks of whole lines. A line that is too long to be ours becomes a short one."""
    rest = b""
    for more in data:
        text = rest + more
        cut = text.rfind(b"\n") + 1
        rest = text[cut:]
        if len(rest) > LONGEST:
            rest = b"\0"  # what follows up to the newline must not look like a record
        if cut:
            yield text[:cut]
    if rest:
        yield rest
