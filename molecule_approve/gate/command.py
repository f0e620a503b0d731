"""A command as the approver reads it, and the digest over all that is bound. Pure; binding.py looks at the files.

docs/run.md describes both forms, so that anybody can recompute the digest.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import NamedTuple

from molecule_approve.safe_text import is_hidden, quoted

FORM = "molecule-approve run 1"
"""The first field of the digest; a change of its form changes the number."""

ANY_HOST = "any"
"""The host of a command that may run on another machine than the one where it was requested (``request --for``).

A machine of that name is ``any.``, with the dot of an absolute name.
"""

_SECRET_NAMES = ("*TOKEN*", "*SECRET*", "*PASSWORD*", "*KEY*")
_SHORT = 8
"""Values with fewer characters are replaced only as whole words: they may be a part of many others."""


class FileRole(StrEnum):
    """What a bound file is for the command."""

    PROGRAM = "program"
    INTERPRETER = "interpreter"
    ARGUMENT = "file"


class BoundFile(NamedTuple):
    """A file whose bytes are bound.

    Attributes:
        path: of a program and an interpreter absolute, of an argument as it was given.
        sha256: of its bytes, in lower-case hex.
    """

    role: FileRole
    path: str
    sha256: str


class UnboundFile(NamedTuple):
    """A file that an argument names, and that is beyond a limit."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class BoundCommand:
    """All that is bound before the request, and what else the approver should know.

    Attributes:
        arguments: the command and its arguments, as they will be executed.
        files: the program, then its interpreters, then the files that arguments name.
        folder: the absolute path of the folder in which it runs.
        host: the machine's name, or ANY_HOST.
        user: name and user id, as they are shown.
        unbound: files that arguments name, and whose bytes are not bound.
        kept: variables that could make the program run other code and are kept all the same, with their values.
        dropped: the names of those that are removed.
        remarks: what the approver should know about the program.
        secrets: values that are shown as ``[NAME]``, by the names of their variables.
    """

    arguments: tuple[str, ...]
    files: tuple[BoundFile, ...]
    folder: str
    host: str
    user: str
    unbound: tuple[UnboundFile, ...] = ()
    kept: tuple[tuple[str, str], ...] = ()
    dropped: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def digest(self) -> str:
        """The SHA-256, in lower-case hex, over the fields of ``fields``, each followed by a NUL."""
        return hashlib.sha256(b"".join(f"{word}\0".encode() for word in self.fields())).hexdigest()

    def fields(self) -> Iterator[str]:
        """What the digest is of; no field contains a NUL."""
        yield FORM
        for argument in self.arguments:
            yield from ("argument", argument)
        for file in self.files:
            yield from (file.role, file.path, file.sha256)
        for unbound in self.unbound:
            yield from ("not bound", unbound.path)
        yield from ("folder", self.folder, "host", self.host, "user", self.user)
        for name, value in self.kept:
            yield from ("keeps", f"{name}={value}")

    @property
    def line(self) -> str:
        """The command on one line, quoted as a shell would read it; values of secret variables are shown as ``[NAME]``."""
        program, *words = self.arguments
        name = quoted(program)
        if "=" in name and name[0] not in "'$":  # a shell would read an assignment
            name = f"'{name}'"
        return " ".join([name, *map(self.shown, words)])

    @property
    def text(self) -> str:
        """The action of the request: the command, then a line for each fact, then the digest."""
        facts = "".join(f"\n{label}: {value}" for label, value in self._facts())
        return f"{self.line}{facts}\ndigest: sha256:{self.digest}"

    def _facts(self) -> Iterator[tuple[str, str]]:
        for file in self.files:
            path = self.shown(file.path) if file.role is FileRole.ARGUMENT else quoted(file.path)
            yield file.role, f"{path} sha256:{file.sha256}"
        for unbound in self.unbound:
            yield "not bound", f"{self.shown(unbound.path)} ({unbound.reason})"
        yield from (("folder", quoted(self.folder)), ("host", quoted(self.host)), ("user", self.user))
        if self.kept:
            yield "keeps", " ".join(quoted(f"{name}={without_secrets(value, self.secrets)}") for name, value in self.kept)
        if self.dropped:
            yield "drops", " ".join(map(quoted, self.dropped))
        for remark in self.remarks:
            yield "remark", remark
        if foreign := _foreign("".join((self.line, self.folder, *(file.path for file in self.files)))):
            yield "remark", f"not all letters are Latin, so they may look like others or stand in another order: {foreign}"
        for name in self._names_shown():
            yield "remark", f"{quoted(f'[{name}]')} stands for text that is not shown; whoever requests this chose it"

    def _names_shown(self) -> list[str]:
        """The variables whose names stand for their values: a requester can hide any word by one."""
        words = (*self.arguments[1:], *(file.path for file in self.unbound), *(value for _, value in self.kept))
        return sorted({name for word in words for _, _, name in _replaced(word, self.secrets)})

    def shown(self, word: str) -> str:
        """The word as the approver reads it: quoted, and without secrets.

        Not for the program, its interpreters and the folder: what decides what is done is never hidden.
        """
        return quoted(without_secrets(word, self.secrets))


_POINTS = 5
"""Characters that the remark on letters names."""


def _foreign(text: str) -> str:
    """The first code points of the visible characters that are neither ASCII nor Latin letters."""
    found = sorted(
        {one for one in text if one > "~" and not is_hidden(one) and not unicodedata.name(one, "").startswith("LATIN ")}
    )
    points = [f"U+{ord(one):04X}" for one in found]
    return " ".join([*points[:_POINTS], *(["…"] if points[_POINTS:] else [])])


_LABELS = frozenset({*FileRole, "not bound", "folder", "host", "user", "keeps", "drops", "remark", "digest"})
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}\Z")
_DROPS = re.compile(r"\ndrops: [^\n]+(?=(?:\nremark: [^\n]*)*\ndigest: [^\n]*\Z)")
"""The line of the dropped variables, in its place and in no other."""


class Shown(NamedTuple):
    """An action of this form, for a view: the command on one line, and each fact with its label, the digest last."""

    line: str
    facts: tuple[tuple[str, str], ...]

    def fact(self, label: str) -> str | None:
        """The first fact with this label."""
        return next((value for name, value in self.facts if name == label), None)


def parse(action: str) -> Shown | None:
    """The parts of an action; None if it is not of this form.

    The form says nothing about where the action came from: any requester can write it.
    """
    line, *rest = action.split("\n")
    facts = tuple((label, value) for label, _, value in (fact.partition(": ") for fact in rest))
    if not facts or facts[0][0] != FileRole.PROGRAM or not {label for label, _ in facts} <= _LABELS:
        return None
    if facts[-1][0] != "digest" or not _DIGEST.match(facts[-1][1]) or any(is_hidden(found) for found in line):
        return None
    return Shown(line, facts)


def differences(approved: str, command: BoundCommand) -> list[str]:
    """What tells an action that was requested earlier from this command, each as a clause; empty if it is the same.

    The names of dropped variables may differ: they are dropped here too.
    """
    then, now = (_DROPS.sub("", text).split("\n") for text in (approved, command.text))
    if then == now:
        return []
    gone, new = ([line for line in one if line not in other] for one, other in ((then, now), (now, then)))
    if not gone and not new:
        return ["its lines are repeated, or in another order"]
    return [f"requested was {' / '.join(gone) or 'less'}, and here it is {' / '.join(new) or 'less'}"]


def secrets_in(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables whose values are not shown."""
    return {
        name: value
        for name, value in environ.items()
        if value and any(fnmatchcase(name.upper(), pattern) for pattern in _SECRET_NAMES)
    }


def without_secrets(text: str, secrets: Mapping[str, str]) -> str:
    """The text with ``[NAME]`` in place of each secret value; those that overlap have the first one's."""
    shown, end = "", 0
    for start, stop, name in _replaced(text, secrets):
        shown += f"{text[end:start]}[{name}]"
        end = stop
    return shown + text[end:]


def _replaced(text: str, secrets: Mapping[str, str]) -> list[tuple[int, int, str]]:
    """The places that a name stands for, in their order, each with it; places that overlap are one."""
    found = list[tuple[int, int, str]]()
    for start, stop, name in sorted(_places_of(text, secrets), key=lambda place: (place[0], -place[1], place[2])):
        if found and start < found[-1][1]:
            before = found.pop()
            found.append((before[0], max(before[1], stop), before[2]))
        else:
            found.append((start, stop, name))
    return found


def _places_of(text: str, secrets: Mapping[str, str]) -> Iterator[tuple[int, int, str]]:
    """Where a secret begins and ends, with its name."""
    for name, value in secrets.items():
        if value not in text:
            continue
        found = re.escape(value)
        pattern = rf"(?=({found}))" if len(value) >= _SHORT else rf"(?<!\w)(?=({found})(?!\w))"
        yield from ((*place.span(1), name) for place in re.finditer(pattern, text))
