"""A log's lines from its newest to its oldest, through all its files; archives are looked at only when they are reached."""

from __future__ import annotations

import os
import time
from collections.abc import Generator
from pathlib import Path

from molecule_approve.errors import AuditError

from . import files, lines, texts


def backwards(log: Path, unread: list[Path] | None = None) -> Generator[bytes, None, None]:
    """All whole lines without their newlines, the newest first; none where there is no log. Whoever stops early closes it.

    Args:
        log: the live file.
        unread: gets the archives that cannot be read and were left out, each before the lines of an older one.

    Raises:
        AuditError: a file cannot be read.

    """
    yield from live(log)
    yield from older(log, unread)


def live(log: Path) -> Generator[bytes, None, None]:
    """The lines of the live file alone, as :func:`backwards` gives them."""
    try:
        handle = files.open_for_reading(log)
    except AuditError as exc:
        if isinstance(exc.__cause__, FileNotFoundError):
            return
        raise
    try:
        for _, line in lines.backwards(handle, lines.finished_end(handle, os.fstat(handle).st_size)):
            yield line
    except OSError as exc:
        raise files.explained(exc, "read", log) from exc
    finally:
        os.close(handle)


def older(log: Path, unread: list[Path] | None = None) -> Generator[bytes, None, None]:
    """The lines of the archives alone, as :func:`backwards` gives them.

    One that cannot be read is left out: `audit verify` names it, and so does ``unread``.
    """
    from . import archives  # noqa: PLC0415 - most searches end in the live file, and completion has a budget

    unread = [] if unread is None else unread
    try:
        with archives.Snapshot(log) as snapshot:
            left = {found.path: _changed(found.path) for found in snapshot.unreadable}
            for piece in reversed(snapshot.pieces):
                if not piece.live:
                    unread.extend(_taken(left, _changed(piece.path)))
                    with snapshot.reading(piece) as text:
                        for _, line in lines.backwards(text, lines.finished_end(text, texts.size(text))):
                            yield line
            unread.extend(left)
    except OSError as exc:
        raise files.explained(exc, "read", log) from exc


def _taken(left: dict[Path, int], oldest: int) -> list[Path]:
    """Those that were not changed before; they are left no more."""
    taken = [path for path, changed in left.items() if changed >= oldest]
    for path in taken:
        del left[path]
    return taken


def _changed(path: Path) -> int:
    """When the file was written for the last time, which neither a new name nor compressing changes; now, if it is gone."""
    try:
        return path.lstat().st_mtime_ns
    except FileNotFoundError:
        return time.time_ns()
