"""Writes records durably while the log's lock is held: each line is built once, and written until it is all there."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from molecule_approve.errors import AuditError

from . import chain_end, files, sealing
from .chain import OPENING, START, Head, link_of
from .files import Memory, on_network_filesystem
from .read import history, lines
from .record import LINE_LIMIT, Record, RecordAction, RecordOutcome, encode, make_record
from .seal import KEY_BYTES, SealKey, from_text
from .sealing import Sealing

if TYPE_CHECKING:
    from molecule_approve.model import JsonValue, Secret

    from .chain_end import ChainEnd
    from .read.archives import Unreadable

ATTEMPTS = 20
"""How often a record is written again because somebody renamed the file, or wrote half a line, in that very moment."""


_FEW = OPENING - 1
"""Lines that are written before the file's name is looked at again: so many may stand twice where two files meet."""


class _PlannedLine(NamedTuple):
    """One line, and what is remembered then. When it is written again, it is the same bytes."""

    line: bytes
    head: Head
    sealing: Sealing | None


class _Tail(NamedTuple):
    """Lines just written: how many are in the log for sure, how many follow in the file, whether the system refused one."""

    sure: int
    more: int
    failed: bool


class _Stored(NamedTuple):
    """How many lines are durable and in the log, the status of its file, and whether the system refused the next one."""

    lines: int
    status: os.stat_result
    failed: bool


class _LogState(NamedTuple):
    """The log before the record: where its chain goes on, its size, what is torn off, and the state of its seals."""

    end: ChainEnd
    size: int
    torn: dict[str, JsonValue]
    sealing: Sealing | None


class Writer:
    """Writes records; the lock is the caller's business. See :class:`~.journal.Journal` for the arguments."""

    def __init__(self, path: Path, *, secrets: Sequence[Secret], now: Callable[[], str], mounts: Path) -> None:
        self._path = path
        self._secrets = secrets
        self._now = now
        self._mounts = mounts
        self._lost = False

    def write(self, records: Sequence[Record]) -> list[Head]:
        """Write them durably, against a kill and a power cut, with one fsync; the heads of those that are.

        A failure after the first record ends the list; of the records that follow none is acknowledged.

        Raises:
            AuditError: the first one could not be written, or they may not be durable.
            OSError: the system refuses.
        """
        if self._lost:
            raise AuditError(f"the audit log {self._path} lost data: fsync failed", hint="check the disk, then try again")
        plans = self._planned(records)
        for plan in plans[: -len(records)]:  # what is said about the log itself comes first, and by itself
            self._write_lines([plan])
        return [plan.head for plan in self._write_lines(plans[-len(records) :])]

    def begin_sealing(self, *, new_key: bool) -> SealKey:
        """Make the key of the next record, which is sealed from then on, as all after it.

        With ``new_key`` also where the log is sealed already, or its key was lost or damaged.

        Raises:
            AuditError: it is sealed already, or its id is none of ours; or as for :meth:`write`.
            OSError: the system refuses.
        """
        found = lines.twice(lambda: self._look(None if new_key else sealing.recall(self._path)))
        if not new_key and (found.sealing is not None or found.end.sealed):
            raise AuditError(f"the audit log {self._path} is sealed already", hint="pass --new-key to create a new key")
        before = found.end.head or Head(_new_log_id(), 0, START)
        key = SealKey(before.log_id, before.seq + 1, os.urandom(KEY_BYTES))
        try:
            from_text(key.to_text())
        except ValueError as exc:
            raise AuditError(f"the audit log {self._path} cannot be sealed: another program chose its log_id") from exc
        sealing.store(self._path, Sealing(before, key))
        return key

    # --- what to write -------------------------------------------------------------------------------------------------

    def _planned(self, records: Sequence[Record]) -> list[_PlannedLine]:
        found = lines.twice(lambda: self._look(sealing.recall(self._path)))
        if found.end.sealed and found.sealing is None:
            raise sealing.lost(self._path)
        first, *others = records
        if found.size == 0:
            first = self._with_file_system(first)
        trouble = found.torn | found.end.damage
        recovery = [self._recovery(first, trouble)] if trouble else []
        return list(self._encoded([*recovery, first, *others], found.end.head, found.sealing))

    def _look(self, sealed: Sealing | None) -> _LogState:
        there = files.exists(self._path)
        memory = newest_memory(files.recall(self._path), sealed)
        handle = files.open_for_writing(self._path)
        try:
            status = os.fstat(handle)
            end = lines.finished_end(handle, status.st_size)
            unread: list[Unreadable] = []
            with closing(history.older(self._path, handle, unread)) as older:
                live = chain_end.LiveFile(there, status.st_ino, status.st_size)
                found = chain_end.find(live, _lines(handle, end, status.st_size), older, memory)
            if memory is None and unread and found.head is not None:
                # Nothing remembers the head, and the file that may hold it is newer than what was found: to go on from
                # there would give numbers twice.
                name = unread[0].path.name
                raise AuditError(
                    f"the audit log {self._path} cannot be continued: cannot read {name}, which holds its end",
                    hint="make it readable, or move all archives away to start a new log",
                )
            found = chain_end.with_unreadable(found, [one.path.name for one in unread])
            return _LogState(found, status.st_size, _torn(handle, end, status.st_size), sealed)
        finally:
            os.close(handle)

    def _with_file_system(self, record: Record) -> Record:
        kind = on_network_filesystem(self._path, mounts=self._mounts)
        return record if kind is None else replace(record, extras={**record.extras, "network_filesystem": kind})

    def _recovery(self, record: Record, extras: Mapping[str, JsonValue]) -> Record:
        return make_record(
            RecordAction.RECOVER,
            RecordOutcome.SUCCESS,
            timestamp=self._now(),
            workspace_id=record.workspace_id,
            resource=self._path.name,
            trace_id=record.trace_id,
            extras=extras,
        )

    def _encoded(self, records: Sequence[Record], last: Head | None, sealed: Sealing | None) -> Iterator[_PlannedLine]:
        head = last or (Head(_new_log_id(), 0, START) if sealed is None else sealed.head)
        key = None if sealed is None else sealed.key.at(head.seq + 1)
        for record in records:
            line = encode(
                record,
                log_id=head.log_id,
                seq=head.seq + 1,
                prev=head.hash,
                secrets=self._secrets,
                key=None if key is None else key.key,
            )
            head = Head(head.log_id, head.seq + 1, hashlib.sha256(line).hexdigest())
            key = None if key is None else key.at(key.seq + 1)
            yield _PlannedLine(line + b"\n", head, None if key is None else Sealing(head, key))

    # --- writing it ----------------------------------------------------------------------------------------------------

    def _write_lines(self, plans: Sequence[_PlannedLine]) -> Sequence[_PlannedLine]:
        """Write the lines until they are in the log, or until the system refuses one after others; those that are there."""
        done = 0
        for _ in range(ATTEMPTS):
            try:
                stored = self._try_to_write([plan.line for plan in plans[done:]])
            except (AuditError, OSError):
                if done == 0:
                    raise
                break
            if stored is not None:
                done += stored.lines
                self._remember(plans[done - 1], stored.status)
                if done == len(plans) or stored.failed:
                    return plans[:done]
        if done == 0:
            raise AuditError(
                f"the audit log {self._path} cannot be written: "
                "another program keeps renaming it or adding unfinished lines",
                hint="find out which other program writes to it",
            )
        return plans[:done]

    def _try_to_write(self, planned: Sequence[bytes]) -> _Stored | None:
        """Write each line in one call, and sync them; None if none of them is in the log."""
        handle = files.open_for_writing(self._path)
        try:
            size = os.fstat(handle).st_size
            is_torn = size > 0 and os.pread(handle, 1, size - 1) != b"\n"
            if size == 0:
                files.sync_folder(self._path.parent)
            tail = self._append(handle, [b"\n" + planned[0], *planned[1:]] if is_torn else planned)
            if tail.sure + tail.more == 0:
                return None
            self._sync(handle)
            # What was written to a file that was renamed before may be read by nobody: it is written again.
            count = tail.sure + tail.more if files.is_named(handle, self._path) else tail.sure
            return _Stored(count, os.fstat(handle), tail.failed) if count else None
        finally:
            os.close(handle)

    def _append(self, handle: int, planned: Sequence[bytes]) -> _Tail:
        """Append the lines, up to one that is not whole.

        Raises:
            OSError: the system refuses the first one.
        """
        sure = whole = 0
        try:
            for line in planned:
                if whole == _FEW:
                    if not files.is_named(handle, self._path):
                        break
                    sure, whole = sure + whole, 0
                if not _written(handle, line):
                    break
                whole += 1
        except OSError:
            if sure + whole == 0:
                raise
            return _Tail(sure, whole, failed=True)
        return _Tail(sure, whole, failed=False)

    def _sync(self, handle: int) -> None:
        try:
            os.fsync(handle)
        except OSError:
            # The kernel may have dropped what it could not write; a second fsync would succeed and mean nothing.
            self._lost = True
            raise

    def _remember(self, plan: _PlannedLine, stored: os.stat_result) -> None:
        if plan.sealing is not None:
            sealing.store(self._path, plan.sealing)  # first: it is the one that forgets
        # The record is durable; that it is not remembered (a disk just full) only means that the log is ahead.
        with suppress(AuditError):
            files.remember(self._path, Memory(plan.head, stored.st_ino, stored.st_size, plan.sealing is not None))


def _written(handle: int, line: bytes) -> bool:
    """Append the bytes; False where only a part fitted, or where they follow half a line of a writer without our lock."""
    written = os.write(handle, line)
    start = os.lseek(handle, 0, os.SEEK_CUR) - written  # with O_APPEND, only the write itself knows where it went
    if written < len(line) and not _completed(handle, line, start, written):
        return False
    return start == 0 or line.startswith(b"\n") or os.pread(handle, 1, start - 1) == b"\n"


def _completed(handle: int, line: bytes, start: int, written: int) -> bool:
    """Whether only the newline was missing, and is there now: such a line is a record, and must not be written again."""
    if written < len(line) - 1:
        return False
    os.write(handle, b"\n")
    return os.pread(handle, len(line), start) == line


def newest_memory(memory: Memory | None, sealed: Sealing | None) -> Memory | None:
    """What is remembered, by the head's file or by the seals' state, which is durable and written first."""
    if sealed is None or sealed.head.seq == 0:
        return memory
    if memory is None or memory.head.log_id != sealed.head.log_id:
        return Memory(sealed.head, sealed=True)
    if memory.head.seq >= sealed.head.seq:
        return memory
    return memory._replace(head=sealed.head, sealed=True)


def _lines(handle: int, end: int, size: int) -> Iterator[bytes]:
    """The file's lines, the newest first, with a last one that lacks nothing but its newline."""
    if 0 < size - end < LINE_LIMIT:
        line = os.pread(handle, size - end, end)
        if link_of(line) is not None:
            yield line
    for _, line in lines.backwards(handle):
        yield line


def _torn(handle: int, end: int, size: int) -> dict[str, JsonValue]:
    if end == size:
        return {}
    return {
        "reason": "torn_line",
        "offset": end,
        "length": size - end,
        "digest": lines.digest(handle, end, size),
    }


def _new_log_id() -> str:
    """A random UUID (RFC 9562, version 4). The uuid module would cost completion three milliseconds of imports."""
    raw = bytearray(os.urandom(16))
    raw[6] = raw[6] & 0x0F | 0x40
    raw[8] = raw[8] & 0x3F | 0x80
    text = raw.hex()
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))
