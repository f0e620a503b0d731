"""Writes what a command was asked to keep (``--output``): a new file, whole or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from molecule_approve.errors import DeliveryError, UsageError
from molecule_approve.paths import write_private

if TYPE_CHECKING:
    from pathlib import Path


def write_new(path: Path, data: bytes) -> None:
    """Write the file 0600, whole or not at all, and over no other.

    Raises:
        UsageError: something of that name is there.
        DeliveryError: it cannot be written.
    """
    try:
        write_private(path, data, over=False)
    except FileExistsError as exc:
        raise UsageError(
            f"--output: {str(path)!r} already exists", hint="pass another path; files are never overwritten"
        ) from exc
    except OSError as exc:
        raise DeliveryError(
            f"{path} cannot be written: {exc.strerror}", hint="pass a path in a folder that you can write to"
        ) from exc
