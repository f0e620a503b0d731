"""Reads the client's secret, from a file that only the server's user can read."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from molecule_approve.errors import ConfigError

_LONGEST = 4_096


def read_secret(path: Path) -> str:
    """The secret: the file's one line.

    A link is followed, as Kubernetes mounts secrets; owner and mode of the target count.

    Raises:
        ConfigError: it cannot be read, is another user's or open to others, or holds no secret.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(handle, "rb") as file:
            _refuse_open(path, os.fstat(handle))
            data = file.read(_LONGEST + 1)
    except OSError as exc:
        raise ConfigError(f"{path} cannot be read: {exc.strerror}", hint="check its path, owner and mode") from exc
    text = data.decode("utf-8", "replace").strip()
    if not text or len(data) > _LONGEST or not text.isascii() or not text.isprintable():
        raise ConfigError(
            f"{path} does not hold a secret",
            hint="it must hold the client's secret alone, in one line",
        )
    return text


def _refuse_open(path: Path, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode) or found.st_uid not in {os.geteuid(), 0}:
        raise ConfigError(
            f"{path} is not a file of your own",
            hint="it must belong to the server's user or to root",
        )
    # A group may read what belongs to root: so Kubernetes gives a secret to a container's user.
    allowed = 0o040 if found.st_uid == 0 != os.geteuid() else 0
    if found.st_mode & 0o077 & ~allowed:
        raise ConfigError(
            f"{path} is open to other users",
            hint=f"chmod 600 {path}, and replace the secret at the provider",
        )
