"""Remembers the requests that a hook left open, so that the identical call finds its late approval.

One file a call, named by the call's fingerprint, holds a random text. The idempotency key of the call's request follows
from both, so that a file which an agent wrote, or copied from another call, cannot lead to another call's approval: what
the action does not show, such as the folder, counts too. Without the file the next call is a new request.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import time
import uuid
from pathlib import Path

from molecule_approve.errors import ConfigError
from molecule_approve.paths import make_private, read_private, write_private

KEPT = 86_400.0
"""Seconds for which a file is kept: much longer than a request of a hook stays open."""


class OpenCall:
    """The memory of one call.

    Attributes:
        key: the idempotency key of its request.
        is_known: whether an earlier attempt may have made that request.
    """

    def __init__(self, folder: Path, fingerprint: str) -> None:
        self._path = folder / fingerprint
        self._fingerprint = fingerprint
        found = self._read()
        self.is_known = found is not None
        self.key = self._key(found or self._new())

    def renew(self) -> None:
        """The request of the key has ended without a use; the next one gets a key of its own."""
        self.forget()
        self.is_known = False
        self.key = self._key(self._new())

    def forget(self) -> None:
        """The call has had its decision: the next identical one is a new request."""
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)

    def _key(self, salt: str) -> str:
        return hashlib.sha256(f"{self._fingerprint}:{salt}".encode()).hexdigest()

    def _read(self) -> str | None:
        """The text of the file; None where there is none that can be used."""
        with contextlib.suppress(ConfigError):
            found = (read_private(self._path) or b"").decode("ascii", "replace")
            if re.match(r"[0-9a-f]{32}\Z", found):
                return found
        return None

    def _new(self) -> str:
        salt = uuid.uuid4().hex
        with contextlib.suppress(ConfigError, OSError):  # a disk that is full costs the late approval, not this request
            make_private(self._path.parent)
            _prune(self._path.parent, time.time() - KEPT)
            write_private(self._path, salt.encode())
        return salt


def _prune(folder: Path, before: float) -> None:
    for path in folder.iterdir():
        with contextlib.suppress(FileNotFoundError):  # another hook was faster
            if path.lstat().st_mtime < before:
                path.unlink()
