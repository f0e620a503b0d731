"""The audit log's lock in somebody else's hands."""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from molecule_approve.audit.files import lock_path

if TYPE_CHECKING:
    from collections.abc import Iterator

    from molecule_approve.paths import Places


@contextmanager
def log_held(places: Places) -> Iterator[None]:
    """Nothing can be journaled inside this block."""
    lock_path(places.server_log).parent.mkdir(mode=0o700, exist_ok=True)
    handle = os.open(lock_path(places.server_log), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
