"""What the audit log's views say about approved commands: the command line, and how it ended. Pure."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from typing import TYPE_CHECKING

from molecule_approve.audit.record import RecordAction, RecordOutcome
from molecule_approve.cli.terminal import style_of
from molecule_approve.gate.command import parse
from molecule_approve.model import Executed
from molecule_approve.safe_text import visible

if TYPE_CHECKING:
    from molecule_approve.audit.report.story import Story
    from molecule_approve.model import JsonValue

_Fields = Mapping[str, "JsonValue"]


def action_line(action: str) -> str:
    """An action's text on one line; of a command's, the command without the facts that are bound."""
    command = parse(action)
    return visible(action if command is None else command.line)


def ending(fields: _Fields) -> str:
    """How a command ended, by a `finished` record: ``exited with 3``, ``was ended by SIGTERM``."""
    code, number = fields.get("exit_code"), fields.get("signal")
    if isinstance(number, int):
        return f"was ended by {_name(number)}"
    return f"exited with {visible(str(code))}" if isinstance(code, int) else "ended"


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # most real-time signals have no name
        return f"signal {number}"


def style_of_record(fields: _Fields) -> str:
    """The style of a record's outcome; a command that did not exit with 0 needs a look."""
    outcome = fields.get("observed_outcome") or fields.get("outcome")
    if (fields.get("action"), outcome) == (RecordAction.EXECUTE, RecordOutcome.FINISHED) and fields.get("exit_code") != 0:
        return "warning"
    return style_of(str(outcome))


def execution_json(story: Story) -> JsonValue:
    """What became of a request's command, in the words of a result file; null where the log has no record of it."""
    found = story.executions
    if not found:
        return None
    last, words = found[-1], [entry.kind[2] for entry in found]
    finished = last.kind[2] == RecordOutcome.FINISHED
    executed = Executed.FINISHED if finished else Executed.STARTED if RecordOutcome.STARTED in words else Executed.NO
    return {
        "executed": executed.value,
        "child_exit_code": last.fields.get("exit_code"),
        "child_signal": last.fields.get("signal"),
        "digest": last.fields.get("digest"),
        "error": last.fields.get("error"),
    }
