"""The file of approvers' keys that only root can write: what it says holds, whatever this user does."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from molecule_approve.errors import UsageError

from . import trusted_file, values
from .system_config import refuse_others


class ApproverKeys(NamedTuple):
    """Where the file is, and the user who must own it and all that is above it: root."""

    path: Path
    owner: int = 0

    def read(self) -> bytes:
        """The file.

        Raises:
            ConfigError: it cannot be read, or others than its owner could have written it.
        """
        refuse_others(self.path, self.owner)
        return trusted_file.read_trusted(self.path, wanted=True).data


def absolute(text: str) -> Path:
    """A path that means the same file in every folder, and for every user."""
    if not text.startswith("/"):
        raise UsageError(f"{text[:200]!r} is not an absolute path", hint="start it with a slash")
    return values.path(text)
