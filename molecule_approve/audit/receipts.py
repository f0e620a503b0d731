"""Receipts beside the log: each in a file that is named by its own hash, which the record ``granted`` holds.

They are kept as long as the folder is: as the log's archives, nothing removes them.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from molecule_approve.errors import AuditError
from molecule_approve.paths import write_private

from . import files

LIMIT = 1 << 20
"""The largest receipt that is read, in bytes."""


def receipt_path(log: Path, digest: str) -> Path:
    """Where the receipt with this SHA-256, in lower-case hex, is kept."""
    return files.private_path(log, "receipts") / f"{digest}.json"


def keep(log: Path, data: bytes) -> str:
    """Keep a receipt durably; its SHA-256.

    Raises:
        AuditError: it cannot be written.
    """
    digest = hashlib.sha256(data).hexdigest()
    path = receipt_path(log, digest)
    try:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        files.refuse_folder(path.parent)
        write_private(path, data)
        files.sync_folder(path.parent.parent)
    except OSError as exc:
        raise files.explained(exc, "given a receipt", log) from exc
    return digest


def find(log: Path, digest: str) -> bytes | None:
    """The receipt with this SHA-256; None if it is not there, or was changed.

    Raises:
        AuditError: it cannot be read.
    """
    try:
        handle = files.open_for_reading(receipt_path(log, digest))
    except AuditError as exc:
        if isinstance(exc.__cause__, FileNotFoundError):
            return None
        raise
    try:
        data = os.pread(handle, LIMIT + 1, 0)
    finally:
        os.close(handle)
    return data if hashlib.sha256(data).hexdigest() == digest else None
