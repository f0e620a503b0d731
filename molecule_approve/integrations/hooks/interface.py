"""The contract between a hook and its host, which is the agent's program: what it reads, and the three answers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, NamedTuple

if TYPE_CHECKING:
    from molecule_approve.model import JsonValue

BLOCKED = 2
"""The exit code that blocks a tool call in every host; another one lets it run in most of them."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool call that an agent wants to make.

    Attributes:
        host: the name of the host whose form the event had.
        event: the event's name.
        tool: the tool's name.
        arguments: all its arguments.
        command: the command line if the tool is a shell, else None.
        session: the id of the agent's session.
        folder: the folder in which the tool would run, or empty.
        call_id: the host's id of this call, or empty.
        agent: the subagent that makes it, or empty.
        server: what the host says about the MCP server of the tool, or empty.
    """

    host: str
    event: str
    tool: str
    arguments: Mapping[str, JsonValue]
    command: str | None
    session: str
    folder: str = ""
    call_id: str = ""
    agent: str = ""
    server: str = ""


class HookAnswer(NamedTuple):
    """What a hook answers: all of stdout and stderr, and the exit code."""

    stdout: str
    stderr: str
    code: int


class Host(ABC):
    """An agent's program that starts hooks.

    Attributes:
        name: as ``molecule-approve hook`` knows it.
        title: as people know it.
        default_limit: seconds after which it gives a hook up, where its settings do not say otherwise.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    default_limit: ClassVar[float]

    @abstractmethod
    def parse(self, data: bytes) -> ToolCall:
        """The tool call of an event.

        Raises:
            HookEventError: it is not an event of this host, or its tool has arguments of an unknown form.
        """

    @abstractmethod
    def allow(self, call: ToolCall) -> HookAnswer:
        """A person approved the call."""

    def leave(self, call: ToolCall) -> HookAnswer:
        """No opinion: the host's own rules decide. Most hosts take an object without a decision for that."""
        del call
        return HookAnswer("{}", "", 0)

    @abstractmethod
    def deny(self, reason: str, call: ToolCall | None = None) -> HookAnswer:
        """The call must not be made.

        Args:
            reason: one line for the agent and its user; not empty.
            call: the call, or None where the event could not be read.
        """
