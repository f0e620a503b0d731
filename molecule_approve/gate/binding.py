"""Finds a command and the files that it names, keeps them open, and says later what is no longer as it was.

What is bound, and what is not, is described in docs/run.md.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from molecule_approve.errors import ApprovalError, NotExecutableError, UsageError
from molecule_approve.limits import ACTION_LIMIT
from molecule_approve.safe_text import quoted

from . import programs
from .command import ANY_HOST, BoundCommand, BoundFile, FileRole, UnboundFile, secrets_in

if TYPE_CHECKING:
    from .compose import Origin

SIZE_LIMIT = 1 << 30
"""Bytes of a file that is bound."""

COUNT_LIMIT = 32
"""Files that arguments name and that are bound."""

_BLOCK = 1 << 18


class _Identity(NamedTuple):
    """What tells a file from another, or from its earlier self, without reading it."""

    device: int
    inode: int
    mode: int
    size: int
    modified: int
    changed: int

    @classmethod
    def of(cls, found: os.stat_result) -> _Identity:
        return cls(found.st_dev, found.st_ino, found.st_mode, found.st_size, found.st_mtime_ns, found.st_ctime_ns)

    def is_file(self, found: os.stat_result) -> bool:
        return (self.device, self.inode) == (found.st_dev, found.st_ino)


class HeldFile(NamedTuple):
    """A bound file, open for reading since before the request; ``identity`` is how it was when its bytes were read."""

    bound: BoundFile
    path: Path
    descriptor: int
    identity: _Identity

    def is_touched(self) -> bool:
        """Whether it may have changed, by its name or its times."""
        try:
            by_name = self.path.stat()
        except OSError:
            return True
        return self.identity != _Identity.of(by_name)

    def change(self) -> str | None:
        """What is no longer as it was, for a clause that begins with its name; None if all is."""
        try:
            by_name = self.path.stat()
            if not self.identity.is_file(by_name):
                return "is another file now"
            if by_name.st_size != self.identity.size or by_name.st_mode != self.identity.mode:
                return "has another size or mode"
            if _sha256(self.descriptor, self.identity.size) != self.bound.sha256:
                return "has other contents"
            if self.bound.role is not FileRole.ARGUMENT:
                programs.check(self.descriptor, self.path)
        except OSError as exc:
            return f"cannot be read any more: {exc.strerror}"
        except NotExecutableError:
            return "must not be executed any more"
        return None


@dataclass(slots=True)
class Binding:
    """A command, and the descriptors of all that is bound of it. Close it.

    Attributes:
        command: what the approver reads.
        environ: the environment in which it runs.
        held: its files.
        folder: the folder in which it runs, as a descriptor.
    """

    command: BoundCommand
    environ: dict[str, str]
    held: list[HeldFile]
    folder: int
    _search: str = ""
    _resources: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    def close(self) -> None:
        """Close the descriptors."""
        self._resources.close()

    @property
    def executable(self) -> str:
        """What to execute: a binary by its descriptor, a script by its path, which its interpreter opens."""
        program = self.held[0]
        is_script = len(self.held) > 1 and self.held[1].bound.role is FileRole.INTERPRETER
        return str(program.path) if is_script else f"/proc/self/fd/{program.descriptor}"

    def is_touched(self) -> bool:
        """Whether anything may have changed; reads no file."""
        return any(file.is_touched() for file in self.held) or bool(self._names_changed())

    def changes(self) -> list[str]:
        """What is no longer as it was, each as a clause; every bound byte is read again."""
        found = [(file, change) for file in self.held if (change := file.change()) is not None]
        return [*self._names_changed(), *(f"{file.bound.role} {self._shown(file)} {change}" for file, change in found)]

    def _shown(self, file: HeldFile) -> str:
        return self.command.shown(str(file.path)) if file.bound.role is FileRole.ARGUMENT else quoted(str(file.path))

    def _names_changed(self) -> list[str]:
        """What the folder, the search path and the arguments no longer lead to."""
        folder, name = self.command.folder, self.command.arguments[0]
        try:
            held = os.fstat(self.folder)
            if not all(os.path.samestat(held, Path(path).stat()) for path in (folder, ".")):
                return [f"the folder {quoted(folder)} is another one now"]
            paths = [path for _, path in programs.executables(name, folder, self._search)]
        except OSError as exc:
            return [f"the folder {quoted(folder)} is gone: {exc.strerror}"]
        except ApprovalError:
            return [f"{quoted(name)} is gone, or it or its interpreter cannot be executed any more"]
        before = [file.path for file in self.held if file.bound.role is not FileRole.ARGUMENT]
        if paths != before:
            leads = (new for new, old in itertools.zip_longest(paths, before) if new != old)
            return [f"{quoted(name)} leads to {quoted(str(next(leads) or 'fewer interpreters'))} now"]
        known = {file.path for file in self.command.files} | {file.path for file in self.command.unbound}
        appeared = [path for path in _files_named(self.command.arguments[1:], folder) if path not in known]
        return [
            f"file {self.command.shown(path)} was not there" for path in appeared if not _is_of_process(Path(folder, path))
        ]


def bind(
    arguments: Sequence[str],
    origin: Origin,
    environ: Mapping[str, str],
    *,
    keep: Sequence[str] = (),
    strict: bool = False,
    any_host: bool = False,
) -> Binding:
    """Find the command and read all that is bound of it.

    ``keep`` names variables that would be dropped otherwise. With ``strict`` a file beyond a limit is an error; with
    ``any_host`` the command may run on another machine later.

    Raises:
        UsageError: an argument is not UTF-8, the folder is gone, the text is too long to be requested, or a file cannot be
            bound and ``strict`` is set.
        NotFoundError: the command does not exist.
        NotExecutableError: it cannot be executed, or must not be: a setuid program.
    """
    _require_text(arguments)
    _require_names(keep)
    search = environ.get("PATH", os.defpath)
    with contextlib.ExitStack() as resources:
        folder = _folder(origin.folder, resources)
        found = programs.executables(arguments[0], origin.folder, search)
        held = [_hold_program(role, path, resources) for role, path in found]
        of_arguments, unbound = _hold_arguments(_files_named(arguments[1:], origin.folder), origin.folder, resources)
        held += of_arguments
        if unbound and strict:
            raise UsageError(f"cannot bind {quoted(unbound[0].path)}: {unbound[0].reason}", hint="omit --strict")
        kept = {name: environ[name] for name in sorted(set(keep)) if name in environ}
        dropped = sorted(name for name in environ if programs.is_dropped(name) and name not in kept)
        command = BoundCommand(
            arguments=tuple(arguments),
            files=tuple(file.bound for file in held),
            folder=origin.folder,
            host=ANY_HOST if any_host else _own_name(origin.host),
            user=f"{quoted(origin.user)} (uid {os.geteuid()})",
            unbound=tuple(unbound),
            kept=tuple(kept.items()),
            dropped=tuple(dropped),
            remarks=programs.remarks(arguments),
            secrets=secrets_in(environ),
        )
        _require_text(list(command.fields()))
        _require_length(command.text)
        passed = {name: value for name, value in environ.items() if name not in dropped}
        return Binding(command, passed, held, folder, search, resources.pop_all())


def _require_text(words: Sequence[str]) -> None:
    if not words:
        raise UsageError("there is no command", hint="pass it behind --: run -- COMMAND")
    for word in words:
        if any("\ud800" <= character <= "\udfff" for character in word):
            raise UsageError(
                f"{word!r} is not UTF-8, so the approver could not read it", hint="rename it, or encode it as UTF-8"
            )
        if "\0" in word:
            raise UsageError(f"{word!r} contains a NUL character, which no argument can", hint="remove it")


def _require_names(keep: Sequence[str]) -> None:
    for name in keep:
        if not name or "=" in name:
            raise UsageError(f"{quoted(name)} is not the name of a variable to keep", hint="give the name alone")


def _require_length(text: str) -> None:
    if len(text) > ACTION_LIMIT:
        raise UsageError(
            f"the command and what is bound of it have {len(text):,} characters; the limit is {ACTION_LIMIT:,}",
            hint="put the command into a script, and run that: its bytes are bound",
        )


def _own_name(host: str) -> str:
    return f"{host}." if host == ANY_HOST else host


# --- finding -------------------------------------------------------------------------------------------------------------


def _files_named(arguments: Sequence[str], folder: str) -> list[str]:
    """The regular files that arguments name, whole or behind their first ``=``, each once."""
    words = (word for argument in arguments for word in (argument, argument.partition("=")[2]))
    return list(dict.fromkeys(word for word in words if word and _is_regular(Path(folder, word))))


def _is_regular(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except (OSError, ValueError):  # no such file, a name that is too long
        return False


def _is_of_process(path: Path) -> bool:
    """Whether the command may find another file by this name: /dev/stdin, /proc/self/exe, or a link to such a one."""
    try:
        proc = Path("/proc/self").lstat().st_dev
        here, left = Path("/"), [*reversed(path.parts[1:])]
        while left:
            here = here / left.pop()
            found = here.lstat()
            if found.st_dev == proc:
                return True
            if stat.S_ISLNK(found.st_mode):
                target = here.readlink()
                here = Path("/") if target.is_absolute() else here.parent
                left += reversed([part for part in target.parts if part != "/"])
    except OSError:
        return True
    return False


def _why_not_bound(path: Path, count: int) -> str | None:
    """Why this file, after so many others, is not bound; None if it can be."""
    if _is_of_process(path):
        return "another file for each process"
    size = path.stat().st_size
    if size > SIZE_LIMIT:
        return f"{size:,} bytes, more than {SIZE_LIMIT:,}"
    return f"more than {COUNT_LIMIT} files" if count >= COUNT_LIMIT else None


# --- holding -------------------------------------------------------------------------------------------------------------


def _hold(role: FileRole, name: str, path: Path, resources: contextlib.ExitStack) -> HeldFile:
    descriptor = programs.open_regular(path)
    resources.callback(os.close, descriptor)
    identity = _Identity.of(os.fstat(descriptor))
    return HeldFile(BoundFile(role, name, _sha256(descriptor, identity.size)), path, descriptor, identity)


def _hold_program(role: FileRole, path: Path, resources: contextlib.ExitStack) -> HeldFile:
    try:
        held = _hold(role, str(path), path, resources)
        programs.check(held.descriptor, path)
    except OSError as exc:
        raise NotExecutableError(
            f"cannot read {quoted(str(path))}, so it cannot be bound: {exc.strerror}", hint="it must be readable"
        ) from exc
    return held


def _hold_arguments(
    names: Sequence[str], folder: str, resources: contextlib.ExitStack
) -> tuple[list[HeldFile], list[UnboundFile]]:
    """The files that arguments name: those that are bound, and those that cannot be."""
    held, unbound = list[HeldFile](), list[UnboundFile]()
    for name in names:
        path = Path(folder, name)
        try:
            reason = _why_not_bound(path, len(held))
            if reason is None:
                held.append(_hold(FileRole.ARGUMENT, name, path, resources))
        except OSError as exc:
            reason = f"cannot be read: {exc.strerror}"
        if reason is not None:
            unbound.append(UnboundFile(name, reason))
    return held, unbound


def _sha256(descriptor: int, size: int) -> str:
    """The SHA-256 of the first ``size`` bytes: what grows meanwhile has another size."""
    digest, position, block = hashlib.sha256(), 0, bytearray(_BLOCK)
    view = memoryview(block)
    while position < size and (count := os.preadv(descriptor, [view[: size - position]], position)):
        digest.update(view[:count])
        position += count
    return digest.hexdigest()


def _folder(path: str, resources: contextlib.ExitStack) -> int:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as exc:
        raise UsageError(
            f"cannot open the folder {quoted(path)}: {exc.strerror}", hint="cd to a folder that exists"
        ) from exc
    resources.callback(os.close, descriptor)
    return descriptor
