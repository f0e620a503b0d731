"""The result file and the id file of a gating command: which paths are accepted, and when an old file is removed."""

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
    """The program uses this path for another file, so nothing is written there, not even this error."""


class ResultFiles(NamedTuple):
    """The paths of the result file and of the id file; None for one that was not asked for."""

    result: Path | None
    id: Path | None

    @classmethod
    def checked(cls, result: str | None, id_file: str | None) -> ResultFiles:
        """The paths, if files can be written there; nothing is removed yet.

        Raises:
            UsageError: one cannot be written, or another file is there.
        """
        found = cls(
            None if result is None else vacant(result, "--result-file"),
            None if id_file is None else vacant(id_file, "--id-file"),
        )
        if found.result and found.id and _same(found.result, found.id):
            raise TakenError(f"--result-file and --id-file are the same file: {found.id}", hint="pass two paths")
        return found

    def clear(self, settings: Settings) -> None:
        """Remove the files of an earlier run: nobody must read an old approval while this one waits.

        Raises:
            TakenError: the program uses a path for another file; nothing was removed.
            UsageError: a file cannot be removed.
        """
        named = [(self.result, "--result-file"), (self.id, "--id-file")]
        chosen = [(path, option) for path, option in named if path is not None]
        for path, option in chosen:
            if _used(path, settings):
                raise TakenError(f"{option}: the program uses this file otherwise: {path}", hint="pass another path")
        for path, option in chosen:
            vacant(str(path), option)  # again: another file may be there by now
            try:
                path.unlink(missing_ok=True)
            except OSError as exc:
                raise UsageError(f"{option}: cannot replace {path}: {exc.strerror}", hint="pass another path") from exc


def vacant(path: str, option: str) -> Path:
    """The path, if a file can be written there: there is none, an empty one, or one of an earlier run.

    Raises:
        UsageError: it cannot be written, or another file is there.
    """
    try:
        found = Path(path).absolute()
        if not path or not _is_file_or_nothing(found):
            raise UsageError(f"{option} is not a regular file: {path!r}", hint="pass the path of a file, or of a new one")
        if not _is_former(found, option):
            raise UsageError(
                f"{option}: this file is not from an earlier run, and is not replaced: {path!r}",
                hint="pass another path, or remove the file",
            )
        _try_out(found.parent)
    except (OSError, ValueError) as exc:
        why = exc.strerror if isinstance(exc, OSError) else exc
        hint = f"the folder must exist and be writable: {Path(path).parent}"
        raise UsageError(f"{option}: cannot write {path!r}: {why}", hint=hint) from exc
    return found


def _is_file_or_nothing(path: Path) -> bool:
    """Whether there is no file or a regular one: a link, a pipe or a device must not be replaced."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except FileNotFoundError:
        return True


def _is_former(path: Path, option: str) -> bool:
    """Whether the file is from an earlier run, or empty, as from mktemp."""
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
        found = json.loads(data)
    except (ValueError, RecursionError):
        return False
    return isinstance(found, dict) and found.keys() >= _KEYS


def _used(path: Path, settings: Settings) -> bool:
    """Whether the program uses this path for another file."""
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
    """Whether two paths are the same file, also by a hard link."""
    if os.path.realpath(one) == os.path.realpath(other):
        return True
    try:
        return one.samefile(other)
    except OSError:
        return False  # one of them does not exist


def _try_out(folder: Path) -> None:
    # Permission bits say too little: root has all of them, also on a read-only file system. The name is random, so that the
    # file of a killed run is never in the way.
    probe = folder / f".molecule-approve.{secrets.token_hex(8)}"
    os.close(os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    probe.unlink()
