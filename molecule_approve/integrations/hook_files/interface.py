"""What there is to know of a host's settings file, and the work on its value that is the same for all hosts.

Two forms occur. Grouped: ``hooks.EVENT`` lists groups, each a matcher and a list of handlers. Flat: it lists the handlers.
"""

from __future__ import annotations

import copy
import shlex
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from molecule_approve import strict_json
from molecule_approve.errors import ConfigError

if TYPE_CHECKING:
    from molecule_approve.model import JsonValue

PROGRAM = "molecule-approve"
LIMIT = 3_600
"""Seconds that an installed hook has, from its host."""

_SH = "/bin/sh"
_GUARD = f' || {{ test $? -eq 2 || echo "{PROGRAM}: the hook failed; nothing was approved" >&2; exit 2; }}'
"""Behind the hook's command: whatever becomes of it, a host that reads the shell's exit code blocks the tool."""

JsonObject = dict[str, "JsonValue"]


class Scope(StrEnum):
    """Whose sessions a settings file is about: all of this user, or all in one project."""

    USER = "user"
    PROJECT = "project"


class InstalledCommand(NamedTuple):
    """What a host is to start, by absolute path, and how many seconds it may take."""

    program: str
    arguments: tuple[str, ...]
    limit: int = LIMIT

    @property
    def shell(self) -> str:
        """The same for hosts that start a shell, with the guard.

        The shell that a host starts may be the user's own, which need not be one of POSIX: it only starts the one that is.
        """
        return shlex.join([_SH, "-c", shlex.join([self.program, *self.arguments]) + _GUARD])


class HookEntry(NamedTuple):
    """Our hook as a settings file has it.

    Attributes:
        event: the host's event.
        matcher: which tools; empty for all.
        words: the program and its arguments.
        shell: the text for the shell that the host starts; empty if it starts the words themselves.
        limit: seconds.
        blocks_if_lost: whether the entry tells the host to block if the hook cannot start or is killed.
        faults: what is wrong with it, a sentence each.
    """

    event: str
    matcher: str
    words: tuple[str, ...]
    shell: str
    limit: float
    blocks_if_lost: bool
    faults: tuple[str, ...] = ()

    @property
    def program(self) -> str:
        """Our program, as it is written."""
        return next(word for word in self.words if word.rpartition("/")[2] == PROGRAM)


class HookRun(NamedTuple):
    """How a hook ended: its exit code, negative for a signal, and what it printed."""

    code: int
    stdout: str
    stderr: str


class HostFile(ABC):
    """The settings file of one host. Every method is pure; ``document`` is the file's value, and ``path`` names it.

    What reads its hooks raises ConfigError where they have another form.

    Attributes:
        name: as in ``hook NAME``.
        programs: the host's own program, by the names that it may have.
        folder: of its settings, in the user's home folder and in a project.
        moved_by: the variable that names another folder for the user's settings; empty if there is none.
        file: the settings file, below that folder.
        matchers: the events that our hook is for, each with the matcher that it gets; empty for all tools.
        grouped: the form.
        blank: what a new file has beside our entry.
        default_limit: seconds that a hook has if its entry does not say.
        gap: when the host runs the tool although the hook gave no answer, if nothing can be set against that; else empty.
        since: the first version that blocks if the entry tells it to; empty if all do.
        afterwards: what the user must do after an installation; empty if nothing.
    """

    name: ClassVar[str]
    programs: ClassVar[tuple[str, ...]]
    folder: ClassVar[str]
    moved_by: ClassVar[str] = ""
    file: ClassVar[str]
    matchers: ClassVar[Mapping[str, str]]
    grouped: ClassVar[bool] = True
    blank: ClassVar[JsonObject] = {}
    default_limit: ClassVar[float] = 600
    gap: ClassVar[str] = ""
    since: ClassVar[tuple[int, ...]] = ()
    afterwards: ClassVar[str] = ""

    @abstractmethod
    def handler(self, command: InstalledCommand) -> JsonObject:
        """Our handler."""

    @abstractmethod
    def made_up(self, event: str, folder: str) -> JsonObject:
        """An event as the host sends it: a shell command that should be asked about."""

    @abstractmethod
    def blocks(self, run: HookRun, entry: HookEntry) -> bool:
        """Whether the host lets no tool run after a hook that ended so."""

    def user_folder(self, environ: Mapping[str, str], home: Path) -> Path:
        """The folder of the user's settings."""
        return Path(environ.get(self.moved_by) or home / self.folder)

    def path(self, scope: Scope, environ: Mapping[str, str], home: Path, project: Path) -> Path:
        """Where the file is."""
        folder = project / self.folder if scope is Scope.PROJECT else self.user_folder(environ, home)
        return folder / self.file

    def read_limit(self, handler: JsonObject) -> JsonValue:
        """The handler's limit, in seconds if it is a number; None if it has none."""
        return handler.get("timeout")

    def needs(self, entry: HookEntry, version: tuple[int, ...] | None) -> str:
        """What the host's version lacks for this entry, as a sentence; empty if nothing, or the version is unknown."""
        if not entry.blocks_if_lost or version is None or version >= self.since:
            return ""
        return f"this version runs the tool if the hook is lost: update to {dotted(self.since)} or later"

    def blocks_if_lost(self, handler: JsonObject) -> bool:
        """See ``HookEntry``; by default, whether the guard is there."""
        return line_of(words_of(handler)[1]).endswith(_GUARD)

    def faults(self, handler: JsonObject) -> Iterator[str]:
        """What makes the host ignore this handler's answer, a sentence each."""
        del handler
        yield from ()

    def switches(self, environ: Mapping[str, str], home: Path, project: Path) -> tuple[Path, ...]:
        """Further files in which hooks can be turned off."""
        del environ, home, project
        return ()

    def trust_file(self, environ: Mapping[str, str], home: Path) -> Path | None:
        """The TOML file in which the host notes what hooks the user trusts; None if it does not ask for trust."""
        del environ, home
        return None

    def untrusted(self, trust: Mapping[str, JsonValue], path: Path, event: str) -> str:
        """Why the host skips the hook of this file and event, as a sentence; empty if it does not."""
        del trust, path, event
        return ""

    def turned_off(self, document: JsonObject, handler: JsonObject) -> Iterator[str]:
        """What in one of the host's files turns the handler off."""
        del handler
        if document.get("disableAllHooks") is True:
            yield "disableAllHooks is true"

    # --- the same for all ----------------------------------------------------------------------------------------------

    def entries(
        self, document: JsonObject, path: Path, others: Mapping[Path, JsonObject] = MappingProxyType({})
    ) -> list[HookEntry]:
        """Our entries in the file, whatever event they are for.

        Args:
            document: the file's value.
            path: the file.
            others: the values of further files in which hooks can be turned off.
        """
        return [
            self._entry({**others, path: document}, event, element, handler)
            for event, elements in _events(document, path).items()
            for element in elements
            for handler in self._handlers(element)
            if self._is_ours(handler)
        ]

    def installed(
        self, document: JsonObject, path: Path, command: InstalledCommand, matcher: str | None = None
    ) -> JsonObject:
        """The value with our entry in it, and no other entry of ours.

        Args:
            document: the file's value.
            path: the file, for errors.
            command: what the host is to start.
            matcher: which tools, instead of the usual ones.
        """
        made: JsonObject = copy.deepcopy({**self.blank, **document})
        hooks: JsonObject = {}
        for event, elements in _events(made, path).items():
            left = self._put(elements, command, event, matcher)
            if left or not elements:
                hooks[event] = left
        for event in self.matchers:
            hooks.setdefault(event, [self._element(command, event, matcher)])
        made["hooks"] = hooks
        return made

    def removed(self, document: JsonObject, path: Path) -> JsonObject:
        """The value without our entries, and without what held nothing else."""
        made = copy.deepcopy(document)
        before = _events(made, path)
        hooks: JsonObject = {}
        for event, elements in before.items():
            left: list[JsonValue] = [kept for element in elements if (kept := self._stripped(element)) is not None]
            if left or not elements:
                hooks[event] = left
        if hooks or not before or "hooks" in self.blank:
            made["hooks"] = hooks
        else:
            made.pop("hooks")
        return made

    def _put(self, elements: list[JsonValue], command: InstalledCommand, event: str, matcher: str | None) -> list[JsonValue]:
        """The elements with ours in the place of an earlier one, or at the end; without it for an event of another host."""
        wanted: list[JsonValue] = [self._element(command, event, matcher)] if event in self.matchers else []
        found: list[JsonValue] = []
        for element in elements:
            left = self._stripped(element)
            if left is None:
                found += wanted
                wanted = []
            else:
                found.append(left)
        return found + wanted

    def _element(self, command: InstalledCommand, event: str, matcher: str | None) -> JsonObject:
        tools = self.matchers[event]
        # An event without a matcher is about one tool alone.
        chosen = matcher if matcher is not None and tools else tools
        front: JsonObject = {"matcher": chosen} if chosen else {}
        handler = self.handler(command)
        return {**front, "hooks": [handler]} if self.grouped else {**front, **handler}

    def _handlers(self, element: JsonValue) -> Sequence[JsonValue]:
        if not self.grouped:
            return [element]
        handlers = element.get("hooks") if isinstance(element, dict) else None
        return handlers if isinstance(handlers, list) else []

    def _stripped(self, element: JsonValue) -> JsonValue:
        """The element without our handlers; None if nothing is left."""
        handlers = self._handlers(element)
        left: list[JsonValue] = [handler for handler in handlers if not self._is_ours(handler)]
        if len(left) == len(handlers):
            return element
        return {**element, "hooks": left} if left and isinstance(element, dict) else None

    def _entry(self, documents: Mapping[Path, JsonObject], event: str, element: JsonValue, handler: JsonValue) -> HookEntry:
        found = handler if isinstance(handler, dict) else {}
        outer = element if isinstance(element, dict) else {}
        words, shell = words_of(found)
        limit = self.read_limit(found)
        seconds = float(limit) if isinstance(limit, int | float) else self.default_limit
        faults = [
            *(f"{why} in {path}: it does not run" for path in documents for why in self.turned_off(documents[path], found)),
            *self.faults(found),
            *_late(words, seconds),
        ]
        if event not in self.matchers:
            faults.append(f"{event} is not the event that `hook install {self.name}` sets")
        matcher = outer.get("matcher")
        text = matcher if isinstance(matcher, str) else ""
        return HookEntry(event, text, words, shell, seconds, self.blocks_if_lost(found), tuple(faults))

    def _is_ours(self, handler: JsonValue) -> bool:
        words, _ = words_of(handler) if isinstance(handler, dict) else ((), "")
        return any(
            word.rpartition("/")[2] == PROGRAM and words[place + 1 : place + 3] == ("hook", self.name)
            for place, word in enumerate(words)
        )


def dotted(version: tuple[int, ...]) -> str:
    """A version as people write it."""
    return ".".join(map(str, version))


def json_object(text: str) -> JsonObject:
    """The one JSON object that a hook printed, as hosts read it; empty if the text is something else."""
    try:
        found = strict_json.loads(text)
    except strict_json.StrictJsonError:
        return {}
    return found if isinstance(found, dict) else {}


def words_of(handler: JsonObject) -> tuple[tuple[str, ...], str]:
    """A handler's program with its arguments, and the shell's text if there is a shell between; empty for other kinds."""
    program, arguments = handler.get("exec", handler.get("command", handler.get("bash"))), handler.get("args")
    if not isinstance(program, str):
        return (), ""
    if isinstance(arguments, list):
        return (program, *(str(word) for word in arguments)), ""
    if "exec" in handler:
        return (program,), ""
    try:
        return tuple(shlex.split(line_of(program).removesuffix(_GUARD))), program
    except ValueError:  # quotes without an end
        return (), program


def line_of(shell: str) -> str:
    """The line that is about the hook: the text itself, or that of a shell which it starts."""
    try:
        words = shlex.split(shell)
    except ValueError:
        return shell
    return words[2] if words[:2] == [_SH, "-c"] and len(words) == 3 else shell


def _late(words: Sequence[str], limit: float) -> Iterator[str]:
    """A sentence if the hook counts on more time than it has: it would be ended before it has answered."""
    given = next((words[place + 1] for place, word in enumerate(words[:-1]) if word == "--limit"), None)
    if given is not None and not (given.isascii() and given.isdigit() and int(given) <= limit):
        yield f"the hook counts on {given} s, the host ends it after {limit:g} s"


def _events(document: JsonObject, path: Path) -> dict[str, list[JsonValue]]:
    hooks = document.get("hooks", {})
    if not isinstance(hooks, dict):
        raise ConfigError(f"{path}: hooks is not an object", hint="correct the file")
    found: dict[str, list[JsonValue]] = {}
    for event, elements in hooks.items():
        if not isinstance(elements, list):
            raise ConfigError(f"{path}: hooks.{event[:40]} is not a list", hint="correct the file")
        found[event] = elements
    return found
