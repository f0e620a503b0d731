"""The state of a sealed log, in a small private file: the key of the next record, and none before it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import NamedTuple

from molecule_approve.errors import AuditError

from . import files
from .chain import Head
from .seal import SealKey

_AGAIN = "run `molecule-approve audit init --seal --new-key` for a new key; existing seals stay valid"


class Sealing(NamedTuple):
    """The writer's state of a sealed log: its last record, and the key of the record after it.

    Before the first record the head has ``seq`` 0 and no hash.
    """

    head: Head
    key: SealKey


def state_path(log: Path) -> Path:
    """The file that holds the key of the log's next record."""
    return files.private_path(log, "seal")


def recall(log: Path) -> Sealing | None:
    """The state; None where the log is not sealed.

    Raises:
        AuditError: it cannot be read or is damaged: a sealed log must not continue without seals.
    """
    path = state_path(log)
    if not files.exists(path):
        return None
    handle = files.open_for_writing(path, appending=False)  # as for writing: it must belong to this user
    try:
        data = os.pread(handle, files.SECTOR, 0)
    finally:
        os.close(handle)
    try:
        found = json.loads(data)
        head = Head(str(found["log_id"]), int(found["seq"]), str(found["hash"]))
        state = Sealing(head, SealKey(head.log_id, head.seq + 1, bytes.fromhex(found["key"])))
        if found["check"] == files.checksum(*state.head, state.key.key):
            return state
    except (ValueError, KeyError, TypeError, OverflowError):
        pass
    raise AuditError(f"the key of the sealed audit log {log} is damaged: {path}", hint=_AGAIN)


def lost(log: Path) -> AuditError:
    """The error for a sealed log whose state is missing."""
    return AuditError(f"the audit log {log} is sealed, but its key file is missing: {state_path(log)}", hint=_AGAIN)


def store(log: Path, state: Sealing) -> None:
    """Write the state durably over the one before, which erases the key in it.

    Raises:
        AuditError: it cannot be written.
    """
    path = state_path(log)
    check = files.checksum(*state.head, state.key.key)
    text = json.dumps({**state.head._asdict(), "key": state.key.key.hex(), "check": check})
    is_new = not files.exists(path)
    handle = files.open_for_writing(path, appending=False)
    try:
        # In place and in one call, as the remembered head: a new file each time would leave the old key on the disk.
        os.pwrite(handle, text.ljust(files.SECTOR - 1).encode() + b"\n", 0)
        os.fsync(handle)
        if is_new:
            files.sync_folder(path.parent)
    except OSError as exc:
        raise files.explained(exc, "sealed", path) from exc
    finally:
        os.close(handle)
