"""What is known about programs: how they start, which of them run others, which variables make them run other code."""

from __future__ import annotations

import errno
import os
import re
import stat
import struct
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

from molecule_approve.errors import NotExecutableError, NotFoundError
from molecule_approve.safe_text import quoted

from .command import FileRole

NESTING_LIMIT = 4
"""Scripts whose interpreter is a script again; Linux refuses more (fs/exec.c)."""

_FIRST_LINE = 256
"""Bytes of a script that Linux looks at (BINPRM_BUF_SIZE)."""


class Shebang(NamedTuple):
    """The first line of a script: the path behind ``#!``, and for ``#!/usr/bin/env X`` what env starts."""

    interpreter: str
    programs: tuple[str, ...]


def shebang(path: Path) -> Shebang | None:
    """The first line of the file, if it is a script with one.

    Raises:
        NotExecutableError: the file cannot be read, or the line names no interpreter.
    """
    head = _head(path)
    if not head.startswith(b"#!"):
        return None
    line, newline, _ = head[2:].partition(b"\n")
    interpreter, *rest = re.split("[ \t]+", os.fsdecode(line).strip(" \t"), maxsplit=1)
    if not interpreter or not (newline or len(head) < _FIRST_LINE):
        raise NotExecutableError(f"the first line of {quoted(str(path))} names no interpreter", hint="correct it: #!/bin/sh")
    is_env = interpreter.rpartition("/")[2] == "env"
    return Shebang(interpreter, _started_by_env(path, "".join(rest)) if is_env else ())


def _started_by_env(path: Path, argument: str) -> tuple[str, ...]:
    """What ``env`` starts with this one argument of a first line; only ``-S`` makes several words of it.

    Raises:
        NotExecutableError: further options, or a PATH of its own, decide what it starts.
    """
    words = argument[2:].split() if argument.startswith("-S") else [argument]
    for word in words:
        if word.startswith(("-", "PATH=")) or (words != [argument] and _SPLITTING & set(word)):
            raise NotExecutableError(
                f"the first line of {quoted(str(path))} leaves open what env starts: {quoted(argument)}",
                hint="name the interpreter itself: #!/usr/bin/python3",
            )
        if word and "=" not in word:
            return (word,)
    return ()


_SPLITTING = frozenset("\"'\\$#")
"""What ``env -S`` reads as more than itself."""


def _head(path: Path) -> bytes:
    try:
        descriptor = open_regular(path)
    except OSError as exc:
        raise NotExecutableError(
            f"cannot read {quoted(str(path))}, so it cannot be bound: {exc.strerror}", hint="it must be readable"
        ) from exc
    try:
        return os.pread(descriptor, _FIRST_LINE, 0)
    finally:
        os.close(descriptor)


def open_regular(path: Path) -> int:
    """The file, open for reading; a pipe or a device is not opened, since that alone can have an effect.

    Raises:
        OSError: it cannot be opened, or is not a regular file.
    """
    handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, "not a regular file")
        return os.open(f"/proc/self/fd/{handle}", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(handle)


# --- finding them ----------------------------------------------------------------------------------------------------------


def executables(name: str, folder: str, search: str) -> list[tuple[FileRole, Path]]:
    """The program, and for a script its interpreters, in the order in which they are started.

    ``folder`` is the folder in which it runs, ``search`` the PATH.

    Raises:
        NotFoundError: there is no such program.
        NotExecutableError: it, or one of its interpreters, cannot be executed.
    """
    program = find(name, folder, search)
    return [(FileRole.PROGRAM, program), *((FileRole.INTERPRETER, path) for path in _interpreters(program, folder, search))]


def _interpreters(script: Path, folder: str, search: str, depth: int = 0) -> Iterator[Path]:
    """What executes the script, what executes that, and for env what it starts."""
    line = shebang(script)
    if line is None:
        return
    if depth == NESTING_LIMIT:
        raise NotExecutableError(f"{quoted(str(script))} has too many interpreters", hint="name the interpreter itself")
    for name, path in ((line.interpreter, ""), *((program, search) for program in line.programs)):
        try:
            found = find(name, folder, path)
        except (NotFoundError, NotExecutableError) as exc:
            raise NotExecutableError(
                f"the interpreter of {quoted(str(script))} cannot be executed: {exc.message}", hint="correct its first line"
            ) from exc
        yield found
        yield from _interpreters(found, folder, search, depth + 1)


def find(name: str, folder: str, search: str) -> Path:
    """The path of a program as execvp(3) finds it.

    Raises:
        NotFoundError: there is none.
        NotExecutableError: it is a folder, or has not the mode of a program.
    """
    paths = [Path(folder, name)] if "/" in name else [Path(folder, entry, name) for entry in search.split(os.pathsep)]
    for path in paths:
        if _is_file(path) and os.access(path, os.X_OK):
            return path
    if name and any(os.path.exists(path) for path in paths):  # noqa: PTH110 - see _is_file
        raise NotExecutableError(f"{quoted(name)} is not an executable file", hint="check its mode: chmod +x")
    is_assignment = re.match(r"\w+=", name) is not None
    hint = "to set a variable: run -- env NAME=VALUE COMMAND" if is_assignment else "check its name and PATH"
    raise NotFoundError(f"command not found: {quoted(name)}", hint=hint)


def _is_file(path: Path) -> bool:
    return os.path.isfile(path)  # noqa: PTH113 - a name that is too long, or a folder that is closed to us, is no error


# --- what can be executed --------------------------------------------------------------------------------------------------

_ALSO_RUNS = {62: {3}, 183: {40}}
"""Machines in ELF's numbers, and those whose programs they run too: x86-64 i386's, AArch64 ARM's."""

_ELF_HEAD = 20
"""Bytes of an ELF file up to the end of e_machine."""

_FORMATS = Path("/proc/sys/fs/binfmt_misc")
"""Further formats that this machine executes, such as programs for other machines."""


def check(descriptor: int, path: Path) -> None:
    """Check that the system can execute the file, and that we may.

    Raises:
        NotExecutableError: it is a setuid program, for another machine, or neither a binary nor a script with ``#!``.
    """
    name = quoted(str(path))
    if os.fstat(descriptor).st_mode & (stat.S_ISUID | stat.S_ISGID) or _has_capabilities(descriptor):
        raise NotExecutableError(
            f"{name} is a setuid program: it runs as another user, whom no signal of this program reaches",
            hint="run molecule-approve itself as that user",
        )
    head = os.pread(descriptor, _ELF_HEAD, 0)
    if head.startswith(b"\x7fELF"):
        if not _is_for(head) and not _other_formats():
            raise NotExecutableError(f"{name} is a binary for another machine", hint="use the one for this machine")
    elif not head.startswith(b"#!") and not _other_formats():
        raise NotExecutableError(f"{name} is neither a binary nor a script with #!", hint=f"name its interpreter: sh {name}")


def _has_capabilities(descriptor: int) -> bool:
    try:
        return bool(os.getxattr(descriptor, "security.capability"))
    except OSError as exc:
        if exc.errno in {errno.ENODATA, errno.ENOTSUP}:
            return False
        raise


def _is_for(head: bytes) -> bool:
    own, other = (_machine(found) for found in (_head(Path("/proc/self/exe")), head))
    return other == own or other in _ALSO_RUNS.get(own, ())


def _machine(head: bytes) -> int:
    """The machine of an ELF file (elf(5): e_machine, in the byte order of EI_DATA)."""
    if len(head) < _ELF_HEAD:
        return 0
    order = ">" if head[5] == 2 else "<"
    return int(struct.unpack_from(f"{order}H", head, 18)[0])


def _other_formats() -> bool:
    try:
        return any(found.name not in {"register", "status"} for found in _FORMATS.iterdir())
    except OSError:
        return False


# --- what the approver should know ----------------------------------------------------------------------------------------

_RUN_OTHERS = frozenset((
    "ansible", "ansible-playbook", "at", "batch", "bundle", "chroot", "chrt", "docker", "doas", "entr", "env",
    "fakeroot", "find", "firejail", "flock", "gdb", "gmake", "ionice", "just", "kubectl", "make", "ninja", "nice",
    "nohup", "npm", "npx", "nsenter", "parallel", "pipenv", "pnpm", "podman", "poetry", "runuser", "screen", "script",
    "setarch", "setpriv", "setsid", "ssh", "stdbuf", "strace", "su", "sudo", "systemd-run", "taskset", "task", "time",
    "timeout", "tmux", "tox", "unbuffer", "unshare", "uv", "uvx", "valgrind", "vi", "vim", "watch", "xargs", "yarn",
))  # fmt: skip
_SHELLS = frozenset(["ash", "bash", "busybox", "csh", "dash", "fish", "ksh", "mksh", "nu", "pwsh", "sh", "tcsh", "zsh"])
_INTERPRETERS = frozenset(
    ["awk", "gawk", "mawk", "deno", "bun", "lua", "node", "perl", "php", "python", "pypy", "ruby", "sed"]
)
_CODE_FIRST = frozenset(["awk", "gawk", "mawk", "sed"])
"""Interpreters whose first argument is code."""

_CODE_OPTION = re.compile(r"-[A-Za-z]*[ceErRp]|-[A-Za-z]?[ceEr].+|--(?:eval|execute|print|command)(?:=.*)?", re.DOTALL)
"""Also with the code in the same word: ``python3 -cCODE``, ``perl -neCODE``."""

_VERSION = re.compile(r"-?[\d.]+\Z")


def remarks(arguments: Sequence[str]) -> tuple[str, ...]:
    """What the approver should know about the command: whether it runs other commands, which are not bound."""
    name = _VERSION.sub("", arguments[0].rpartition("/")[2])
    if name in _RUN_OTHERS or name in _SHELLS:
        return (f"{name} can run other commands; they are not bound",)
    if name not in _INTERPRETERS:
        return ()
    if name in _CODE_FIRST or any(_CODE_OPTION.fullmatch(word) for word in arguments[1:]):
        return (f"{name} runs code that an argument holds; it can run other commands",)
    if all(word.startswith("-") for word in arguments[1:]):
        return (f"{name} runs code from its input, which is not bound; it can run other commands",)
    return ()


_DROPPED = (
    # The dynamic linker, the C library and its resolver.
    "LD_*", "GLIBC_TUNABLES", "GCONV_PATH", "GETCONF_DIR", "HOSTALIASES", "LOCALDOMAIN", "LOCPATH", "NLSPATH", "RES_OPTIONS",
    # Shells.
    "BASH_ENV", "BASH_FUNC_*", "BASHOPTS", "CDPATH", "ENV", "FPATH", "GLOBIGNORE", "IFS", "PROMPT_COMMAND", "PS4",
    "SHELLOPTS", "ZDOTDIR",
    # Interpreters.
    "CLASSPATH", "JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS", "LUA_CPATH*", "LUA_INIT*", "LUA_PATH*",
    "NODE_OPTIONS", "NODE_PATH", "PERL5DB", "PERL5LIB", "PERL5OPT", "PERLLIB", "PHPRC", "PHP_INI_SCAN_DIR",
    "PYTHONBREAKPOINT", "PYTHONHOME", "PYTHONINSPECT", "PYTHONPATH", "PYTHONPLATLIBDIR", "PYTHONPYCACHEPREFIX",
    "PYTHONSTARTUP", "PYTHONUSERBASE", "RUBYLIB", "RUBYOPT", "RUBYSHELL",
    "BUNDLE_GEMFILE", "GEM_HOME", "GEM_PATH", "GRADLE_OPTS", "MAVEN_ARGS", "MAVEN_OPTS", "PYTHONEXECUTABLE",
    "PYTHONWARNINGS",
    "DOTNET_STARTUP_HOOKS", "PERL5SHELL",
    # git and its like start what these name; it reads its settings and hooks where GIT_DIR says.
    "KUBECTL_EXTERNAL_DIFF", "SUDO_ASKPASS",
    "GIT_ASKPASS", "GIT_COMMON_DIR", "GIT_CONFIG*", "GIT_DIR", "GIT_EDITOR", "GIT_EXEC_PATH", "GIT_EXTERNAL_DIFF",
    "GIT_PAGER", "GIT_PROXY_COMMAND", "GIT_SEQUENCE_EDITOR", "GIT_SSH", "GIT_SSH_COMMAND", "GIT_TEMPLATE_DIR",
    "LESSOPEN", "LESSCLOSE", "MAKEFLAGS",
    "RSYNC_RSH", "SSH_ASKPASS",
    # Others: further makefiles and arguments, compilers and plug-ins of another place.
    "COMPILER_PATH", "GCC_EXEC_PREFIX", "GNUMAKEFLAGS", "GOFLAGS", "MAKEFILES", "OPENSSL_CONF", "OPENSSL_ENGINES",
    "OPENSSL_MODULES", "RUSTC_WRAPPER", "TF_CLI_ARGS*",
    "ANSIBLE_LIBRARY", "ANSIBLE_*_PLUGINS",
)  # fmt: skip


def is_dropped(name: str) -> bool:
    """Whether a variable of this name can make a program run other code, so that it is removed."""
    return any(fnmatchcase(name, pattern) for pattern in _DROPPED)
