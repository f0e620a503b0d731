"""The journal: records appended durably under a lock, one after the other, and found again from the end of the log.

How a line looks is `record.py`'s business, what ties lines together `chain.py`'s, which files there are `files.py`'s and
`archives.py`'s, whose turn it is `locking.py`'s, how one record is written while the lock is held `writing.py`'s, and how a
full log becomes an archive `rotation.py`'s.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from molecule_approve import clock as clocks
from molecule_approve.errors import AuditError, UsedError

from . import chain_end, files, locking, sealing, search
from .read import history, lines
from .record import Record, writings
from .writing import Writer, newest_memory

if TYPE_CHECKING:
    from molecule_approve.model import JsonValue, Secret

    from .chain import Head
    from .chain_end import ChainEnd
    from .read.archives import Unreadable
    from .seal import SealKey
    from .search import FoundRequest

Pause = Callable[[float], None]

ROTATE_AT = 16 * 1024 * 1024
"""Bytes at which a log becomes an archive, unless the user wants another size."""

TOGETHER = 64
"""The most records of one fsync: all of them are lost if the machine stops before it, and the lock is held meanwhile."""


class Journal:
    """One audit log on the disk. Threads may share it; each append is a file lock of its own.

    Args:
        path: the live file.
        limit: bytes at which it becomes an archive; None for never.
        secrets: texts that no record may hold.
        now: the time for records of the journal's own, in their format.
        mounts: the system's table of mounted file systems.
        on_wait: is told in one sentence that the log's lock is waited for, once for each wait of more than two seconds.
    """

    def __init__(
        self,
        path: Path,
        *,
        limit: int | None = ROTATE_AT,
        secrets: Sequence[Secret] = (),
        now: Callable[[], str] = clocks.utc_now,
        mounts: Path = files.MOUNTS,
        on_wait: Callable[[str], None] = locking.nobody,
    ) -> None:
        self.path = path
        self._limit = limit
        self._secrets = tuple(secrets)
        self._on_wait = on_wait
        self._writer = Writer(path, secrets=self._secrets, now=now, mounts=mounts)

    @property
    def place(self) -> str:
        """SHA-256, in lower-case hex, of the live file's path: whether a log was kept here, without telling where."""
        return hashlib.sha256(os.fsencode(os.path.realpath(self.path))).hexdigest()

    def append(self, record: Record, *, patience: float, pause: Pause = time.sleep) -> Head:
        """Write the record durably, against a kill and a power cut; return its place in the chain.

        Raises:
            AuditError: it could not be written, or it may not be durable; or the lock was not free
                within ``patience`` seconds.
            Interrupted: whatever ``pause`` raises while the lock is waited for; nothing was written.
        """
        with self._locked(patience, pause):
            return self._write(record)

    def append_all(self, records: Sequence[Record], *, patience: float) -> list[Head]:
        """Write the records durably with one fsync, in their order; the places of those that are written.

        They are fewer if a failure came after the first record, or if there are more than :data:`TOGETHER`; none of the
        others is in the log.

        Raises:
            AuditError: as for :meth:`append`; no record may be taken as written.
        """
        with self._locked(patience):
            self._rotate_when_full()
            return self._writer.write(records[:TOGETHER])

    def grant(self, record: Record, *, approval_id: str, patience: float, pause: Pause = time.sleep) -> Head:
        """Write the record of an approval, unless this log holds one for the same id: an approval is redeemed once.

        Raises:
            UsedError: the approval was used already; nothing was written.
            AuditError, Interrupted: as for :meth:`append`.
        """
        with self._locked(patience, pause):
            used = self._earlier_grant(approval_id)
            if used is not None:
                raise UsedError(
                    f"the approval {approval_id} was already redeemed, at {used.get('timestamp')} "
                    f"by the request with trace {used.get('trace_id')}",
                    hint="an approval can be redeemed once: send a new request",
                )
            return self._write(record)

    def rotate(self, *, patience: float) -> Path | None:
        """Make the live file an archive; its name, or None where it holds no record.

        Raises:
            AuditError: it cannot be done now, or not at all.
        """
        from . import rotation  # noqa: PLC0415 - completion and most appends need it not

        with self._locked(patience):
            return rotation.rotate(self.path)

    def init(self, record: Record, *, new_key: bool, patience: float) -> SealKey:
        """Begin to seal; the record says so, and is the first that is sealed. The first key is returned, and stored nowhere.

        With ``new_key`` also where the log is sealed already, or its key was lost.

        Raises:
            AuditError: it is sealed already, or the log cannot be written.
        """
        with self._locked(patience):
            key = self._writer.begin_sealing(new_key=new_key)
            self._write(record)
            return key

    def head(self) -> Head | None:
        """The head of the log, or the remembered head if the log is gone or behind; None before the first record.

        Raises:
            AuditError: the log is there and cannot be read.
        """
        remembered = files.recall(self.path)
        with history.live_file(self.path) as live, closing(history.older(self.path, live)) as older:
            newest = () if live is None else (line for _, line in lines.backwards(live))
            return chain_end.find(chain_end.LiveFile(there=True, inode=0, size=0), newest, older, remembered).head

    def end(self) -> ChainEnd:
        """The record that the next one follows, and the damage that it would have to report. Nothing is written.

        Raises:
            AuditError: the log is there and cannot be read, or it is sealed and its key cannot be used.
        """
        sealed = sealing.recall(self.path)
        memory = newest_memory(files.recall(self.path), sealed)  # first: a log that grows meanwhile is ahead of it
        unread: list[Unreadable] = []
        with history.live_file(self.path) as live, closing(history.older(self.path, live, unread)) as older:
            found = None if live is None else os.fstat(live)
            about = chain_end.LiveFile(found is not None, found.st_ino if found else 0, found.st_size if found else 0)
            newest = () if live is None else (line for _, line in lines.backwards(live))
            end = chain_end.find(about, newest, older, memory)
        if end.sealed and sealed is None:
            raise sealing.lost(self.path)
        return chain_end.with_unreadable(end, [one.path.name for one in unread])

    def find(self, approval_id: str) -> FoundRequest | None:
        """What was asked under this id, by the newest chained record that says so; None where the log does not know it.

        Raises:
            AuditError: the log is there and cannot be read.
        """
        with closing(history.backwards(self.path)) as newest:
            return search.request(newest, writings(approval_id, self._secrets))

    def has_asked(self, approval_id: str, asked_sha256: str | None = None) -> bool:
        """Whether just this was asked under this id, by its hash (``asked_sha256``); without one, whether a hash is known.

        Raises:
            AuditError: the log is there and cannot be read.
        """
        with closing(history.backwards(self.path)) as newest:
            return search.asks_for(newest, writings(approval_id, self._secrets), asked_sha256)

    def keep_receipt(self, data: bytes) -> str:
        """Keep a receipt beside the log, durably; its SHA-256.

        Raises:
            AuditError: it cannot be written.
        """
        from . import receipts  # noqa: PLC0415 - most logs have none

        return receipts.keep(self.path, data)

    def recent_ids(self, limit: int, *, ended: bool = False) -> list[str]:
        """Ids of approvals that were requested lately, at most ``limit``, the newest first, each once.

        They are as in the log; with ``ended`` also those with an outcome in it.

        Raises:
            AuditError: the log is there and cannot be read.
        """
        with closing(history.backwards(self.path)) as newest:
            return search.recent_ids(newest, limit, ended=ended)

    @contextmanager
    def _locked(self, patience: float, pause: Pause = time.sleep) -> Iterator[None]:
        try:
            with locking.locked(self.path, patience=patience, pause=pause, clock=clocks.boottime, tell=self._on_wait):
                yield
        except OSError as exc:
            raise files.explained(exc, "written", self.path) from exc

    def _earlier_grant(self, approval_id: str) -> Mapping[str, JsonValue] | None:
        found, unread = lines.twice(lambda: self._look_for_grant(approval_id))
        if found is None and unread:
            # The grant may be in it. An approval is redeemed once, so doubt means no.
            raise AuditError(
                f"cannot tell whether the approval {approval_id} was already redeemed: cannot read {unread[0].path}",
                hint="run `molecule-approve audit verify` for details",
            )
        return found

    def _look_for_grant(self, approval_id: str) -> tuple[Mapping[str, JsonValue] | None, list[Unreadable]]:
        """The grant, and the archives that could not be searched."""
        unread: list[Unreadable] = []
        with closing(history.backwards(self.path, unread)) as newest:
            return search.earlier_grant(newest, writings(approval_id, self._secrets)), unread

    def _write(self, record: Record) -> Head:
        self._rotate_when_full()
        return self._writer.write([record])[0]

    def _rotate_when_full(self) -> None:
        found = files.status(self.path)
        full = found is not None and self._limit is not None and found.st_size >= self._limit
        is_begun = files.exists(files.next_path(self.path)) or (found is not None and found.st_nlink > 1)
        if not full and not is_begun:
            return
        from . import rotation  # noqa: PLC0415 - most appends need it not

        # A log that cannot be rotated (no hard links, a folder that we may not write) is no reason to lose a record.
        with suppress(AuditError, OSError):
            rotation.finish(self.path)
            if full:
                rotation.rotate(self.path)
