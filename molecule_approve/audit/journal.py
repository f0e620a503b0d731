"""The journal: records appended durably under a lock, one after the other, and found again from the end of the log.

How a line looks is `record.py`'s business, what ties lines together `chain.py`'s, which files there are `files.py`'s.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from molecule_approve import clock as clocks
from molecule_approve.errors import AuditError, UsedError

from . import files, lines, search
from .chain import START, Head, Link, Report, link_of, verify
from .files import on_network_filesystem
from .record import LINE_LIMIT, EventType, Record, RecordAction, RecordOutcome, encode, mask
from .search import FoundRequest

if TYPE_CHECKING:
    from molecule_approve.model import JsonValue, Secret

__all__ = ["FoundRequest", "Head", "Journal", "on_network_filesystem"]

Pause = Callable[[float], None]

ATTEMPTS = 20
"""How often a record is written again because somebody renamed the file, or wrote half a line, in that very moment."""


class Journal:
    """One audit log on the disk. Threads may share it; each append is a file lock of its own."""

    def __init__(
        self,
        path: Path,
        *,
        secrets: Sequence[Secret] = (),
        now: Callable[[], str] = clocks.utc_now,
        clock: clocks.Clock = clocks.boottime,
        mounts: Path = files.MOUNTS,
    ) -> None:
        self.path = path
        self._secrets = tuple(secrets)
        self._now = now
        self._clock = clock
        self._mounts = mounts
        self._lost = False

    def append(self, record: Record, *, patience: float, pause: Pause = time.sleep) -> Head:
        """Write the record so that neither a kill nor a power cut can take it back; its place in the chain.

        Raises:
            AuditError: it could not be written, or it cannot be told whether it is durable; or the lock was not free
                within ``patience`` seconds.
            Interrupted: whatever ``pause`` raises while the lock is waited for; nothing was written.

        """
        with self._held(patience, pause):
            return self._write(record)

    def grant(self, record: Record, *, approval_id: str, patience: float, pause: Pause = time.sleep) -> Head:
        """Write the record of an approval, unless this log holds one for the same id: one yes, one 0.

        Raises:
            UsedError: the approval was used already; nothing was written.
            AuditError, Interrupted: as for :meth:`append`.

        """
        with self._held(patience, pause):
            used = self._earlier_grant(approval_id)
            if used is not None:
                raise UsedError(
                    f"the approval {approval_id} was used already, at {used.get('timestamp')} "
                    f"by the request with trace {used.get('trace_id')}",
                    hint="an approval opens one gate once: ask again",
                )
            return self._write(record)

    def head(self) -> Head | None:
        """The head of the log as it stands, or as it is remembered where the log is gone or behind; None before the first.

        Raises:
            AuditError: the log is there and cannot be read.

        """
        remembered = files.recall(self.path)
        if self._is_missing():
            return remembered
        with self._opened() as (handle, end):
            return _tip(_links(handle, end), remembered)[0]

    def find(self, approval_id: str) -> FoundRequest | None:
        """What was asked under this id, by the newest chained record that says so; None where the log does not know it.

        Raises:
            AuditError: the log is there and cannot be read.

        """
        if self._is_missing():
            return None
        with self._opened() as (handle, end):
            return search.request(handle, end, mask(approval_id, self._secrets))

    def recent_ids(self, limit: int, *, ended: bool = False) -> list[str]:
        """Ids of approvals that were requested lately, the newest first, each once; text as it stands in the log.

        Args:
            limit: how many at most.
            ended: also those whose ending stands in this log.

        Raises:
            AuditError: the log is there and cannot be read.

        """
        if self._is_missing():
            return []
        with self._opened() as (handle, end):
            return search.recent_ids(handle, end, limit, ended=ended)

    def verify(self) -> Report:
        """Check the whole log against its chain and against the head that is remembered beside it.

        Raises:
            AuditError: there is no log and never was one, or it cannot be read.

        """
        remembered = files.recall(self.path)  # first: the log may grow meanwhile, and must not seem to be behind
        if remembered is not None and self._is_missing():
            return verify((), remembered)
        handle = files.open_for_reading(self.path)
        try:
            with os.fdopen(handle, "rb") as file:
                return verify(lines.forwards(file), remembered)
        except OSError as exc:
            raise files.explained(exc, "read", self.path) from exc

    @contextmanager
    def _held(self, patience: float, pause: Pause) -> Iterator[None]:
        try:
            with files.held(self.path, patience=patience, pause=pause, clock=self._clock):
                yield
        except OSError as exc:
            raise files.explained(exc, "written", self.path) from exc

    def _is_missing(self) -> bool:
        try:
            self.path.lstat()
        except FileNotFoundError:
            return True
        except OSError as exc:  # a folder above that we may not enter: nobody knows whether there is a log
            raise files.explained(exc, "read", self.path) from exc
        return False

    @contextmanager
    def _opened(self) -> Iterator[tuple[int, int]]:
        """A handle for reading, and the end of what is finished in it."""
        handle = files.open_for_reading(self.path)
        try:
            yield handle, lines.finished_end(handle, os.fstat(handle).st_size)
        except OSError as exc:
            raise files.explained(exc, "read", self.path) from exc
        finally:
            os.close(handle)

    def _earlier_grant(self, approval_id: str) -> Mapping[str, JsonValue] | None:
        if self._is_missing():
            return None
        with self._opened() as (handle, end):
            return search.earlier_grant(handle, end, mask(approval_id, self._secrets))

    def _write(self, record: Record) -> Head:
        if self._lost:
            raise AuditError(
                f"the audit log {self.path} lost data before: fsync failed", hint="look at the disk, then try again"
            )
        batch, head = self._planned(record)
        for _ in range(ATTEMPTS):
            if self._stored(batch):
                # The record is durable; that it is not remembered (a disk just full) only means that the log is ahead.
                with suppress(AuditError):
                    files.remember(self.path, head)
                return head
        raise AuditError(
            f"the audit log {self.path} cannot be written: it is renamed, or half a line is added, again and again",
            hint="look which other program writes it",
        )

    def _planned(self, record: Record) -> tuple[bytes, Head]:
        """What to write, and the head that follows. Decided once: when it is written again, it is the same bytes."""
        handle = files.open_for_writing(self.path)
        try:
            size = os.fstat(handle).st_size
            end = lines.finished_end(handle, size)
            remembered = files.recall(self.path)
            tip, contradiction = _tip(_links(handle, end, size), remembered)
            extras = _torn(handle, end, size) | _damage(remembered, contradiction)
        finally:
            os.close(handle)
        if size == 0:
            record = self._with_file_system(record)
        batch = [record]
        if extras:
            batch.insert(0, self._recovery(record, extras))
        return self._encoded(batch, tip)

    def _with_file_system(self, record: Record) -> Record:
        kind = on_network_filesystem(self.path, mounts=self._mounts)
        return record if kind is None else replace(record, extras={**record.extras, "network_filesystem": kind})

    def _recovery(self, record: Record, extras: Mapping[str, JsonValue]) -> Record:
        return Record(
            timestamp=self._now(),
            event_type=EventType.AUDIT,
            workspace_id=record.workspace_id,
            actor=record.workspace_id,
            action=RecordAction.RECOVER,
            resource=self.path.name,
            outcome=RecordOutcome.SUCCESS,
            trace_id=record.trace_id,
            extras=extras,
        )

    def _encoded(self, batch: Sequence[Record], tip: Head | None) -> tuple[bytes, Head]:
        head = tip or Head(_new_log_id(), 0, START)
        data = b""
        for record in batch:
            line = encode(record, log_id=head.log_id, seq=head.seq + 1, prev=head.hash, secrets=self._secrets)
            head = Head(head.log_id, head.seq + 1, hashlib.sha256(line).hexdigest())
            data += line + b"\n"
        return data, head

    def _stored(self, batch: bytes) -> bool:
        """Write the lines in one call and make them durable; whether they stand, whole, in the file of that name."""
        handle = files.open_for_writing(self.path)
        try:
            size = os.fstat(handle).st_size
            if size == 0:
                files.sync_folder(self.path.parent)
            elif os.pread(handle, 1, size - 1) != b"\n":
                batch = b"\n" + batch
            if not _written(handle, batch):
                return False
            self._sync(handle)
            return files.is_named(handle, self.path)
        finally:
            os.close(handle)

    def _sync(self, handle: int) -> None:
        try:
            os.fsync(handle)
        except OSError:
            # The kernel may have dropped what it could not write; a second fsync would succeed and mean nothing.
            self._lost = True
            raise


def _written(handle: int, batch: bytes) -> bool:
    """Append the bytes; False where only a part fitted, or where they follow half a line of a writer without our lock."""
    written = os.write(handle, batch)
    if written < len(batch):
        return False
    start = os.lseek(handle, 0, os.SEEK_CUR) - written  # with O_APPEND, only the write itself knows where it went
    return start == 0 or batch.startswith(b"\n") or os.pread(handle, 1, start - 1) == b"\n"


def _links(handle: int, end: int, size: int = 0) -> Iterator[Link]:
    """The links of the log, the newest first; with a size, a last line that lacks nothing but its newline is one, too."""
    if 0 < size - end < LINE_LIMIT:
        link = link_of(os.pread(handle, size - end, end))
        if link is not None:
            yield link
    for _, line in lines.backwards(handle, end):
        link = link_of(line)
        if link is not None:
            yield link


def _tip(links: Iterator[Link], remembered: Head | None) -> tuple[Head | None, Link | None]:
    """What the next record follows, and the record that contradicts the remembered head, where one does.

    The log's own end, if the remembered head is in the log. A log that does not hold it was cut, changed or replaced: then
    the remembered head goes on, so that the gap stays for everybody to see.
    """
    newest = None
    for link in links:
        newest = newest or link.head
        if remembered is None or link.head == remembered:
            return newest, None
        if link.log_id != remembered.log_id or link.seq <= remembered.seq:
            return remembered, link
    # An empty file goes on from what is remembered. One that begins after it (rotated, and the memory is old) is ahead.
    return newest or remembered, None


def _torn(handle: int, end: int, size: int) -> dict[str, JsonValue]:
    if end == size:
        return {}
    return {
        "reason": "torn_line",
        "offset": end,
        "length": size - end,
        "digest": lines.digest(handle, end, size),
    }


def _damage(remembered: Head | None, contradiction: Link | None) -> dict[str, JsonValue]:
    if remembered is None or contradiction is None:
        return {}
    return {
        "reason": "damaged",
        "remembered_seq": remembered.seq,
        "remembered_hash": remembered.hash,
        "found_log_id": contradiction.log_id,
        "found_seq": contradiction.seq,
        "found_hash": contradiction.hash,
    }


def _new_log_id() -> str:
    """A random UUID (RFC 9562, version 4). The uuid module would cost completion three milliseconds of imports."""
    raw = bytearray(os.urandom(16))
    raw[6] = raw[6] & 0x0F | 0x40
    raw[8] = raw[8] & 0x3F | 0x80
    text = raw.hex()
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))
