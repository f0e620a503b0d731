"""What the audit log's views say about approved commands: how one ended, in which style, and as JSON. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from molecule_approve.audit.record import RecordAction, RecordOutcome
from molecule_approve.cli.exits import command_end
from molecule_approve.cli.terminal import style_of
from molecule_approve.executions import Executed

if TYPE_CHECKING:
    from molecule_approve.audit.report.story import Story
    from molecule_approve.model import JsonValue


def execution_outcome(fields: Mapping[str, JsonValue]) -> str:
    """How a command ended, by a `finished` record."""
    code, number = fields.get("exit_code"), fields.get("signal")
    return command_end(code, number if isinstance(number, int) else None) if isinstance(code, int) else "ended"


def style_of_record(fields: Mapping[str, JsonValue]) -> str:
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
