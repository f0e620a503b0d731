"""One request's story as lines for a person, and as one JSON object. Pure; every word from the log is made visible."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from molecule_approve.audit.record import EventType, RecordAction, RecordOutcome, moment
from molecule_approve.audit.report.story import deciders
from molecule_approve.audit.seal import FIELD as SEAL
from molecule_approve.cli.requester import ci, described, job, person
from molecule_approve.gate.command import parse
from molecule_approve.safe_text import visible, visible_json, visible_lines, visible_quoted

from .commands import execution_json, execution_outcome, style_of_record

if TYPE_CHECKING:
    from molecule_approve.audit.report.story import Story, StoryRecord
    from molecule_approve.cli.terminal import StyledText
    from molecule_approve.model import JsonValue

UNCHAINED = "(unchained line, written by other tools)"
"""Follows an unchained line."""

NOT_VERIFIED = "not verified: run `molecule-approve audit verify` to check that nobody changed the log"
"""The last line of what was read but not verified."""

NOT_PERMITTED = "not_permitted"
NOT_AWAITED = "not_awaited"

_TAKEN_UP = frozenset({RecordOutcome.REQUESTED, RecordOutcome.RESUMED})

_NOT_AWAITED = "submitted without waiting; the decision is in the server's log"

_WIDTH = 11  # of the names before the facts
_TIME = 9  # of the time that passed

# What the sentences say already.
_SAID = frozenset(
    {
        "attempted_action", "comment", "decided_by", "decided_by_verified", "decision_that_stood", "decisions", "error",
        "exit_code",
        "observed_by", "observed_outcome", "reason", "replaces_process", "requested_by", "roles", "self_approved",
        "signal", "taken_back", "timeout_seconds", "transport", "wait", "waited_seconds", "withdrawn",
    }
)  # fmt: skip


def story_lines(story: Story) -> Iterator[list[StyledText]]:
    """The story: what was asked, then each record, then how it ended."""
    yield from _facts(story)
    yield []
    for entry in story.entries:
        yield _happening(story, entry)
        for name, value in _rest(story, entry):
            yield [(f"{'':{_TIME + 24}}{visible(name)}: {_shown(value)}", "dim")]
    yield []
    yield _ended(story)
    yield from _command_ended(story)
    yield [(NOT_VERIFIED, "dim")]


def story_json(story: Story) -> JsonValue:
    """The story's facts, and its records as they are in the log."""
    return {
        "trace_id": story.first("trace_id"),
        "approval_id": story.first("approval_id") or None,
        "task_id": story.first("task_id") or None,
        "workspace_id": story.first("workspace_id"),
        "requested_by": story.first("requested_by") or None,
        "requester": person(story.context) or None,
        "ci": {**ci(story.context)} or None,
        "action": story.asked,
        "reason": story.first("reason_text") or None,
        "outcome": outcome(story),
        "self_approved": story.outcome_record is not None and story.outcome_record.fields.get("self_approved") is True,
        "execution": execution_json(story),
        "observed": story.outcome_record is None and story.observation is not None,
        "invocations": list(story.invocations),
        "verified": False,
        "records": [_record_json(story, entry) for entry in story.entries],
    }


def outcome(story: Story) -> str:
    """How it ended, as one of the record's own words; ``not_permitted``, ``not_awaited``, ``open``."""
    record = story.outcome_record
    if record is None and story.observation is not None:
        return story.observation.observed
    if record is None:
        return NOT_AWAITED if _is_left(story) else "open"
    return NOT_PERMITTED if record.kind[0] == EventType.RBAC else record.kind[2]


def _record_json(story: Story, entry: StoryRecord) -> JsonValue:
    return {
        "elapsed_seconds": story.elapsed(entry),
        "happened": happened(entry),
        "chained": entry.link is not None,
        "record": _sayable(dict(entry.fields)),
    }


def _sayable(fields: dict[str, JsonValue]) -> JsonValue:
    """The fields as JSON can say them: another tool's line may hold NaN, or be nested so deeply that it can only be read."""
    try:
        json.dumps(fields, allow_nan=False)
    except (ValueError, RecursionError):
        return {name: value for name, value in fields.items() if value is None or isinstance(value, str | bool | int)}
    return fields


# --- what was asked ------------------------------------------------------------------------------------------------------


def _facts(story: Story) -> Iterator[list[StyledText]]:
    """What was asked and why, whole and in its own lines; then the ids, and who asked from where."""
    command = parse(story.asked)
    if command is None:
        yield from _fact("asked", visible_lines(story.asked), "bold")
    else:
        yield from _fact("asked", [visible_quoted(command.line)], "bold")
        yield from _fact("", [f"{label}: {visible_quoted(value)}" for label, value in command.facts])
    reason = story.first("reason_text")
    if reason:
        yield from _fact("why", visible_lines(reason))
    task, trace = story.first("task_id"), story.first("trace_id")
    for name, text in (
        ("workspace", story.first("workspace_id")),
        *_requester(story),
        ("approval", story.first("approval_id")),
        ("trace", trace),
        ("task", "" if task == trace else task),
        *((f"process {number}", text) for number, text in _processes(story)),
    ):
        if text:
            yield from _fact(name, [visible(text)])


def _requester(story: Story) -> Iterator[tuple[str, str]]:
    """Who asked. The records of whoever asked know that; in a server's log it is the credential's name, and claims."""
    if any(entry.kind[2] == RecordOutcome.INITIATED for entry in story.entries):
        yield "requester", person(story.context)
        yield "CI job", job(story.context)
    else:
        yield "requester", described(story.first("requested_by"), story.context)


def _fact(name: str, lines: Iterable[str], style: str = "") -> Iterator[list[StyledText]]:
    for number, line in enumerate(lines):
        yield [(f"{'' if number else name:<{_WIDTH}}", "dim"), (line, style)]


def _processes(story: Story) -> list[tuple[int, str]]:
    """The processes with the numbers by which the records name them; none where there is only one."""
    found = story.invocations
    return list(enumerate(found, 1)) if len(found) > 1 else []


# --- what happened -------------------------------------------------------------------------------------------------------


def _happening(story: Story, entry: StoryRecord) -> list[StyledText]:
    which = {text: f"[{number}] " for number, text in _processes(story)}
    pieces = [
        ("  " if entry.link is not None else "? ", "dim"),
        (f"{_time(entry)}  {_elapsed(story.elapsed(entry)):>{_TIME}}  ", "dim"),
        (which.get(entry.text("invocation"), ""), "dim"),
        (happened(entry), style_of_record(entry.fields)),
        (_measured(entry), "dim"),
    ]
    return pieces if entry.link is not None else [*pieces, (f"  {UNCHAINED}", "dim")]


def _time(entry: StoryRecord) -> str:
    found = moment(entry.fields.get("timestamp"))
    return f"{found:%Y-%m-%d %H:%M:%S}Z" if found is not None else f"{visible(entry.text('timestamp')) or '-':<20}"


def _elapsed(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return f"{'-' if seconds < 0 else '+'}{span(abs(seconds))}"


def _measured(entry: StoryRecord) -> str:
    """How long it was waited, and how the answer came."""
    waited = _seconds(entry, "waited_seconds")
    parts = [] if waited is None or entry.kind[2] == RecordOutcome.TIMEOUT else [f"waited {waited}"]
    if entry.text("transport"):
        parts.append(visible(entry.text("transport")))
    return f"  ({', '.join(parts)})" if parts else ""


def happened(entry: StoryRecord) -> str:
    """A record as a plain sentence."""
    event, action, outcome_word = entry.kind
    sentence = _SENTENCES.get((event, action))
    found = "" if sentence is None else sentence(entry, outcome_word)
    return found or visible(f"{event or '-'}/{action or '-'}: {outcome_word or '-'}")


def _approval(entry: StoryRecord, outcome_word: str) -> str:
    """The sentence of an `approval / approve` record; empty for an outcome that is not known."""
    match outcome_word:
        case RecordOutcome.INITIATED:
            return _with(f"asked{_by(entry)}", _limit(entry), ", ")
        case RecordOutcome.REQUESTED:
            return f"submitted as {_word(entry, 'approval_id')}"
        case RecordOutcome.RESUMED:
            return _with("resumed", _limit(entry), ", ")
        case RecordOutcome.GRANTED:
            return _decision(entry, "approved")
        case RecordOutcome.DENIED:
            return _decision(entry, "denied")
        case RecordOutcome.TIMEOUT:
            return _timeout(entry)
        case RecordOutcome.WITHDRAWN:
            return _withdrawal(entry)
        case RecordOutcome.FAILURE:
            return _with("no verdict", _word(entry, "error") or _word(entry, "reason"))
        case _:
            return ""


def _observation(entry: StoryRecord) -> str:
    ended = _approval(entry, entry.observed)
    return f"{ended}, observed later by {_word(entry, 'observed_by') or '-'}" if ended else ""


def _by(entry: StoryRecord) -> str:
    """Who requests, as the context says; it is not verified."""
    asked = visible(person(entry.fields.get("context")))
    return f" by {asked}" if asked else ""


def _decision(entry: StoryRecord, done: str) -> str:
    return _with(f"{done} by {_name(entry, done)}", _word(entry, "comment"))


def _name(entry: StoryRecord, done: str) -> str:
    """Who decided so: everybody whose decision the record lists, each with how it was proven."""
    verified = "" if entry.fields.get("decided_by_verified") is True else " (name not verified)"
    own = " (also the requester)" if entry.fields.get("self_approved") is True else ""
    listed = _listed(entry, done)
    return f"{listed or _word(entry, 'decided_by') or _word(entry, 'actor') or 'nobody'}{verified}{own}"


def _listed(entry: StoryRecord, decision: str) -> str:
    return ", ".join(visible(f"{by} ({proof})" if proof else by) for by, proof in deciders(entry.fields, decision))


def _too_few(entry: StoryRecord) -> str:
    """Who had approved a request that ended without a decision."""
    listed = _listed(entry, "approved")
    return f"; approved by {listed} alone" if listed else ""


def _timeout(entry: StoryRecord) -> str:
    waited = _seconds(entry, "waited_seconds")
    after = "" if waited is None else f" after {waited}"
    why = {"nobody_decided": "", "expired": "expired by the platform"}.get(entry.text("reason"), _word(entry, "reason"))
    left = "" if entry.fields.get("withdrawn") is not False or why else "it could not be withdrawn"
    return _with(f"timed out{after}", why or left) + _too_few(entry)


def _withdrawal(entry: StoryRecord) -> str:
    said = _with("withdrawn", _word(entry, "reason"))
    stood = _word(entry, "decision_that_stood")
    if stood:
        return f"{said}; it was already {stood} by {_name(entry, stood)}"
    by_others = entry.text("reason") == "by somebody else"
    stays = not by_others and entry.fields.get("taken_back") is False
    return f"{said}{'; it could not be withdrawn' if stays else ''}{_too_few(entry)}"


def _execution(entry: StoryRecord, outcome_word: str) -> str:
    match outcome_word:
        case RecordOutcome.STARTED:
            replaces = entry.fields.get("replaces_process") is True
            return f"the command was started{', in place of this program (--exec)' if replaces else ''}"
        case RecordOutcome.FINISHED:
            return f"the command {execution_outcome(entry.fields)}"
        case RecordOutcome.REFUSED:
            return _with("the command was not run", _word(entry, "error") or _word(entry, "reason"))
        case _:
            return ""


def _refusal(entry: StoryRecord) -> str:
    found = entry.fields.get("roles")
    roles = [visible(str(role)) for role in found] if isinstance(found, list) else []
    who = f"role {roles[0]}" if len(roles) == 1 else f"roles {', '.join(roles) or '-'}"
    return f"not permitted: {who}, which may not {_word(entry, 'attempted_action') or '-'}"


_SENTENCES: dict[tuple[str, str], Callable[[StoryRecord, str], str]] = {
    (EventType.APPROVAL, RecordAction.APPROVE): _approval,
    (EventType.APPROVAL, RecordAction.DELIVER): lambda entry, _: _with("could not be delivered", _word(entry, "error")),
    (EventType.APPROVAL, RecordAction.OBSERVE): lambda entry, _: _observation(entry),
    (EventType.APPROVAL, RecordAction.EXECUTE): _execution,
    (EventType.RBAC, RecordAction.RBAC_DENY): lambda entry, _: _refusal(entry),
    (EventType.AUDIT, RecordAction.RECOVER): lambda entry, _: _with(
        "the log was damaged and continues here", _word(entry, "reason")
    ),
    (EventType.AUDIT, RecordAction.INIT): lambda entry, _: _beginning(entry),
}


def _beginning(entry: StoryRecord) -> str:
    return "the log is sealed from here on" if SEAL in entry.fields else "the log begins here"


def _limit(entry: StoryRecord) -> str:
    limit = _seconds(entry, "timeout_seconds")
    return "" if limit is None else f"waits at most {limit}"


def _rest(story: Story, entry: StoryRecord) -> Iterator[tuple[str, JsonValue]]:
    """What a record says and its sentence does not; the command that was asked for, the host, and the like."""
    command = parse(story.asked) if entry.kind[1] == RecordAction.EXECUTE else None
    told = {} if command is None else {"command": command.line, "digest": (command.fact("digest") or "")[len("sha256:") :]}
    for name, value in story.extras(entry).items():
        if name not in _SAID and value not in (None, "") and told.get(name) != value:
            yield name, value


def _ended(story: Story) -> list[StyledText]:
    record = story.outcome_record or story.observation
    if record is None:
        return [(_NOT_AWAITED if _is_left(story) else "open: no outcome yet", "bold")]
    elapsed = story.elapsed(record)
    after = "" if elapsed is None or len(story.entries) == 1 else f", {_elapsed(elapsed)}"
    return [("ended: ", "dim"), (happened(record), style_of_record(record.fields)), (after, "dim")]


def _command_ended(story: Story) -> Iterator[list[StyledText]]:
    """What became of an approved command; nothing where none was approved."""
    last = story.executions[-1] if story.executions else None
    if last is None and (outcome(story) != RecordOutcome.GRANTED or parse(story.asked) is None):
        return
    label = ("command: ", "dim")
    if last is None:
        yield [label, ("the log has no record of a start", "bold")]
    elif last.kind[2] == RecordOutcome.STARTED:
        replaced = last.fields.get("replaces_process") is True
        why = "it took the place of this program (--exec)" if replaced else "it still runs, or this program was killed"
        yield [label, (f"no record of its end: {why}", "bold")]
    else:
        yield [label, (happened(last).removeprefix("the command "), style_of_record(last.fields))]


def _is_left(story: Story) -> bool:
    """Whether nobody waits for it: ``request --no-wait``, and no ``wait`` since."""
    asked = [entry.fields.get("wait") is not False for entry in story.entries if entry.kind[2] in _TAKEN_UP]
    return bool(asked) and not asked[-1]


def _word(entry: StoryRecord, name: str) -> str:
    return visible(entry.text(name))


def _shown(value: JsonValue) -> str:
    try:
        return visible(value) if isinstance(value, str) else visible_json(json.dumps(value, ensure_ascii=False))
    except RecursionError:
        return "(nested too deeply)"


def _with(sentence: str, more: str, between: str = ": ") -> str:
    return f"{sentence}{between}{more}" if more else sentence


def _seconds(entry: StoryRecord, name: str) -> str | None:
    value = entry.fields.get(name)
    return span(value) if isinstance(value, int | float) and 0 <= value < _FOREVER else None


_FOREVER = 1e12


def span(seconds: float) -> str:
    """A time span as people say it: ``0.423 s``, ``12.4 s``, ``5 min``, ``1 h 30 min``, ``2 d 3 h``."""
    if seconds < 59.95:
        return f"{round(seconds, 3 if seconds < 1 else 1):g} s"
    whole = round(seconds)
    size, unit, below, smaller = next(row for row in _UNITS if whole >= row[0])
    count, rest = divmod(whole, size)
    left = rest // below
    return f"{count} {unit} {left} {smaller}" if left else f"{count} {unit}"


_UNITS = ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "min"), (60, "min", 1, "s"))
