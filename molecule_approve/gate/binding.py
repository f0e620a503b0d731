"""Finds a command and the files that it names, keeps them open, and says later what is no longer as it was.

What is bound, and what is not, is described in docs/run.md.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from molecule_approve.errors import ApprovalError, NotExecutableError, NotFoundError, UsageError

from . import programs
from .command import ANY_HOST, BoundCommand, BoundFile, FileRole, UnboundFile, quoted, secrets_in

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
    """A bound file, open since before the request.

    Attributes:
        bound: what is bound of it.
        path: its absolute path.
        descriptor: it, open for reading.
        identity: how it was when its bytes were read.

    """

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
        """What is no longer as it was, as a clause; None if all is."""
        name = f"{self.bound.role} {quoted(str(self.path))}"
        try:
            by_name = self.path.stat()
        except OSError as exc:
            return f"{name} cannot be read any more: {exc.strerror}"
        if not self.identity.is_file(by_name):
            return f"{name} is another file now"
        if by_name.st_size != self.identity.size or by_name.st_mode != self.identity.mode:
            return f"{name} has another size or mode"
        if _sha256(self.descriptor, self.identity.size) != self.bound.sha256:
            return f"{name} has other contents"
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
        found = [change for file in self.held if (change := file.change()) is not None]
        return [*self._names_changed(), *found]

    def _names_changed(self) -> list[str]:
        """What the folder, the search path and the arguments no longer lead to."""
        folder = self.command.folder
        try:
            held = os.fstat(self.folder)
            if not all(os.path.samestat(held, Path(path).stat()) for path in (folder, ".")):
                return [f"the folder {quoted(folder)} is another one now"]
            paths = [path for _, path in _executables(self.command.arguments[0], folder, self._search)]
        except (OSError, ApprovalError) as exc:
            return [f"the folder or the program is gone: {exc}"]
        executables = [file.path for file in self.held if file.bound.role is not FileRole.ARGUMENT]
        if paths != executables:
            return [f"{quoted(self.command.arguments[0])} leads to {quoted(str(paths[0]))} now"]
        known = {file.path for file in self.command.files} | {file.path for file in self.command.unbound}
        appeared = [path for path in _files_named(self.command.arguments[1:], folder) if path not in known]
        return [f"file {quoted(path)} was not there" for path in appeared]


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

    Args:
        arguments: the command and its arguments.
        origin: the user, host and folder.
        environ: the environment of this process.
        keep: names of variables that would be dropped otherwise.
        strict: whether a file beyond a limit is an error.
        any_host: whether the command may run on another machine later.

    Raises:
        UsageError: an argument is not UTF-8, the folder is gone, or a file is beyond a limit and ``strict`` is set.
        NotFoundError: the command does not exist.
        NotExecutableError: it cannot be executed, or must not be: a setuid program.

    """
    _require_text([*arguments, origin.folder])
    search = environ.get("PATH", os.defpath)
    with contextlib.ExitStack() as resources:
        folder = _folder(origin.folder, resources)
        held = [_hold(role, str(path), path, resources) for role, path in _executables(arguments[0], origin.folder, search)]
        for file in held:
            programs.check(file.descriptor, file.path)
        unbound = list[UnboundFile]()
        for name in _files_named(arguments[1:], origin.folder):
            if (reason := _beyond_limit(name, origin.folder, len(held))) is not None:
                unbound.append(UnboundFile(name, reason))
            else:
                held.append(_hold(FileRole.ARGUMENT, name, Path(origin.folder, name), resources))
        if unbound and strict:
            raise UsageError(f"cannot bind {quoted(unbound[0].path)}: {unbound[0].reason}", hint="omit --strict")
        kept = {name: environ[name] for name in sorted(set(keep)) if name in environ}
        dropped = sorted(name for name in environ if programs.is_dropped(name) and name not in kept)
        command = BoundCommand(
            arguments=tuple(arguments),
            files=tuple(file.bound for file in held),
            folder=origin.folder,
            host=ANY_HOST if any_host else origin.host,
            user=f"{quoted(origin.user)} (uid {os.geteuid()})",
            unbound=tuple(unbound),
            kept=tuple(kept.items()),
            dropped=tuple(dropped),
            remarks=programs.remarks(arguments),
            secrets=secrets_in(environ),
        )
        passed = {name: value for name, value in environ.items() if name not in dropped}
        return Binding(command, passed, held, folder, search, resources.pop_all())


def _require_text(words: Sequence[str]) -> None:
    for word in words:
        if any("\ud800" <= character <= "\udfff" for character in word):
            raise UsageError(
                f"{word!r} is not UTF-8, so the approver could not read it", hint="rename it, or encode it as UTF-8"
            )


# --- finding -------------------------------------------------------------------------------------------------------------


def _executables(name: str, folder: str, search: str) -> list[tuple[FileRole, Path]]:
    """The program, and for a script its interpreters, in the order in which they are started."""
    program = _find(name, folder, search)
    found = [(FileRole.PROGRAM, program)]
    script = program
    while (line := programs.shebang(script)) is not None:
        if len(found) > programs.NESTING_LIMIT:
            raise NotExecutableError(f"{quoted(str(program))} has too many interpreters", hint="name the interpreter itself")
        try:
            interpreters = [_find(line.interpreter, folder, ""), *(_find(name, folder, search) for name in line.programs)]
        except (NotFoundError, NotExecutableError) as exc:
            raise NotExecutableError(
                f"the interpreter of {quoted(str(script))} cannot be executed: {exc.message}", hint="correct its first line"
            ) from exc
        found += [(FileRole.INTERPRETER, path) for path in interpreters]
        script = interpreters[0]
    return found


def _find(name: str, folder: str, search: str) -> Path:
    """The path of a program as execvp(3) finds it."""
    if "=" in name.partition("/")[0] and not Path(folder, name).exists():
        hint = "to set a variable: run -- env NAME=VALUE COMMAND"
    else:
        hint = "check its name and PATH"
    candidates = [Path(folder, name)] if "/" in name else [Path(folder, entry, name) for entry in search.split(os.pathsep)]
    exists = False
    for candidate in candidates:
        if candidate.is_file() and os.access(candidate, os.X_OK):
            return candidate
        exists = exists or (name != "" and candidate.exists())
    if exists:
        raise NotExecutableError(f"{quoted(name)} is not an executable file", hint="check its mode: chmod +x")
    raise NotFoundError(f"command not found: {quoted(name)}", hint=hint)


def _files_named(arguments: Sequence[str], folder: str) -> list[str]:
    """The regular files that arguments name, whole or behind their first ``=``, each once."""
    words = (word for argument in arguments for word in (argument, argument.partition("=")[2]))
    return list(dict.fromkeys(word for word in words if word and _is_regular(Path(folder, word))))


def _is_regular(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except (OSError, ValueError):  # no such file, a name that is too long
        return False


def _beyond_limit(name: str, folder: str, count: int) -> str | None:
    size = Path(folder, name).stat().st_size
    if size > SIZE_LIMIT:
        return f"{size:,} bytes, more than {SIZE_LIMIT:,}"
    return f"more than {COUNT_LIMIT} files" if count >= COUNT_LIMIT else None


# --- holding -------------------------------------------------------------------------------------------------------------


def _hold(role: FileRole, name: str, path: Path, resources: contextlib.ExitStack) -> HeldFile:
    try:
        descriptor = _open_regular(path)
        resources.callback(os.close, descriptor)
        identity = _Identity.of(os.fstat(descriptor))
        digest = _sha256(descriptor, identity.size)
    except OSError as exc:
        raise NotExecutableError(
            f"cannot read {quoted(name)}, so it cannot be bound: {exc.strerror}", hint="it must be a regular, readable file"
        ) from exc
    return HeldFile(BoundFile(role, name, digest), path, descriptor, identity)


def _open_regular(path: Path) -> int:
    """The file, open for reading; a pipe or a device is not opened, since that alone can have an effect."""
    handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(0, "not a regular file")
        return os.open(f"/proc/self/fd/{handle}", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(handle)


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
