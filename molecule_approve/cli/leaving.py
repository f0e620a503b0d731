"""The files that a gating command leaves, the result and the id: which may be put where, and when an old one goes."""

from __future__ import annotations

import json
import os
import secrets
import stat
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from molecule_approve.errors import UsageError
from molecule_approve.wire import is_uuid

if TYPE_CHECKING:
    from collections.abc import Iterator

    from molecule_approve.settings.resolve import Settings

_LARGEST = 1_048_576
_KEYS = frozenset({"outcome", "approved", "approval_id", "exit_code"})


class TakenError(UsageError):
    """The path is another file's of ours: nothing may be written there, not even this."""


class Leaving(NamedTuple):
    """Where the files go that were asked for.

    Attributes:
        result: the result file, or None.
        id: the id file, or None.

    """

    result: Path | None
    id: Path | None

    @classmethod
    def checked(cls, result: str | None, id_file: str | None) -> Leaving:
        """The paths, if files can be put there; nothing is removed yet.

        Raises:
            UsageError: one cannot be, or something lies there that is no former file of that kind.

        """
        found = cls(
            None if result is None else vacant(result, "--result-file"),
            None if id_file is None else vacant(id_file, "--id-file"),
        )
        if found.result and found.id and _same(found.result, found.id):
            raise TakenError(f"--result-file and --id-file name one file: {found.id}", hint="name two files")
        return found

    def clear(self, settings: Settings) -> None:
        """Remove what an earlier run left: whoever looks while we wait must not read yesterday's yes.

        Raises:
            TakenError: a path is one that the program uses otherwise; then nothing was removed.
            UsageError: what lies there cannot be removed.

        """
        named = [(self.result, "--result-file"), (self.id, "--id-file")]
        chosen = [(path, option) for path, option in named if path is not None]
        for path, option in chosen:
            if _used(path, settings):
                raise TakenError(f"{option} names a file that the program uses otherwise: {path}", hint="name another file")
        for path, option in chosen:
            vacant(str(path), option)  # again: much may have come there since
            try:
                path.unlink(missing_ok=True)
            except OSError as exc:
                raise UsageError(f"{option} cannot be replaced: {path}: {exc.strerror}", hint="name another file") from exc


def vacant(path: str, option: str) -> Path:
    """The path, if a file can be put there: it is free, empty, or a former file of the same option.

    Raises:
        UsageError: it cannot, or what lies there is somebody's.

    """
    try:
        found = Path(path).absolute()
        if not path or not _is_file_or_nothing(found):
            raise UsageError(f"{option} names no plain file: {path!r}", hint="name a file, or one that is yet to be made")
        if not _is_former(found, option):
            raise UsageError(
                f"{option} names a file that no earlier run left there: {path!r}",
                hint="it stays as it is; name another file, or remove it yourself",
            )
        _try_out(found.parent)
    except (OSError, ValueError) as exc:
        raise UsageError(
            f"{option} cannot be written: {path!r}", hint="name a file in a folder that exists and is yours"
        ) from exc
    return found


def _is_file_or_nothing(path: Path) -> bool:
    """Whether the path is free or a plain file's: a link, a pipe or a device would be replaced, which nobody means."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except FileNotFoundError:
        return True


def _is_former(path: Path, option: str) -> bool:
    """Whether the file may be replaced. An empty one may, which is what mktemp makes."""
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST + 1)
    except FileNotFoundError:
        return True
    if not data:
        return True
    if option == "--id-file":
        return is_uuid(data.decode("latin-1").removesuffix("\n"))
    try:
        told = json.loads(data)
    except (ValueError, RecursionError):
        return False
    return isinstance(told, dict) and told.keys() >= _KEYS


def _used(path: Path, settings: Settings) -> bool:
    """Whether the program reads or writes this path for something else."""
    real = Path(os.path.realpath(path))
    log = Path(os.path.realpath(settings.audit_log.value))
    beside_log = real.parent == log.parent and real.name.lstrip(".").startswith(log.name)
    state = Path(os.path.realpath(settings.requester_file.parent))
    return beside_log or state in real.parents or any(_same(path, other) for other in _others(settings))


def _others(settings: Settings) -> Iterator[Path]:
    yield settings.audit_log.value
    if settings.config_path is not None:
        yield settings.config_path
        yield settings.config_path.parent / ".auth_token"


def _same(one: Path, other: Path) -> bool:
    """Whether two paths are one file, by name or by a second name of it."""
    if os.path.realpath(one) == os.path.realpath(other):
        return True
    try:
        return one.samefile(other)
    except OSError:
        return False  # one of them is not there


def _try_out(folder: Path) -> None:
    # Asking for the permission says too little: root has every one, also on a file system that takes nothing.
    # The name is new each time: what a killed run left must not be in the way of the next with its process id.
    probe = folder / f".molecule-approve.{secrets.token_hex(8)}"
    os.close(os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    probe.unlink()
