"""One request's story as a person reads it: each kind of record a plain sentence, and nothing from the log raw."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from molecule_approve.audit.report.story import Story, StoryRecord
from molecule_approve.cli.audit.story_view import NOT_VERIFIED, UNCHAINED, happened, span, story_json, story_lines
from molecule_approve.safe_text import json_line
from tests.audit.records import begun, foreign, gathered, lines, record, seen

if TYPE_CHECKING:
    from molecule_approve.audit.record import Record
    from molecule_approve.model import JsonValue


def story(*rows: Record | bytes) -> Story:
    chained = iter(lines(*(row for row in rows if not isinstance(row, bytes))))
    return Story(gathered([row if isinstance(row, bytes) else next(chained) for row in rows]).entries)


def shown(told: Story) -> list[str]:
    return ["".join(text for text, _ in pieces).rstrip() for pieces in story_lines(told)]


def said(outcome: str, action: str = "approve", event: str = "approval", **fields: JsonValue) -> str:
    known: dict[str, JsonValue] = {"event_type": event, "action": action, "outcome": outcome, "actor": "ws"}
    return happened(StoryRecord(b"", None, {**known, **fields}))


def test_a_whole_story() -> None:
    """What was asked, why, the ids, each record with its time, the process and what else it holds, and how it ended."""
    told = story(
        record("initiated", invocation="one", task_id="key", reason_text="rebuild\nit", timeout_seconds=300.0),
        record("requested", at="10:00:01", invocation="one", approval_id="a-1", task_id="key"),
        foreign(trace_id="trace-1", event_type="memory", action="note", outcome="kept", timestamp="noon"),
        record("resumed", at="10:02:00", invocation="two", timeout_seconds=60, host={"name": "ci"}, empty=""),
        record(
            "granted", at="10:02:05", invocation="two", decided_by="alice", decided_by_verified=True, comment="go",
            waited_seconds=5.0, transport="live", evidence="rest",
        ),
    )  # fmt: skip
    assert shown(told) == [
        "asked      deploy",
        "why        rebuild",
        "           it",
        "workspace  ws",
        "approval   a-1",
        "trace      trace-1",
        "task       key",
        "process 1  one",
        "process 2  two",
        "",
        "  2026-04-27 10:00:00Z       +0 s  [1] asked, waits at most 5 min",
        "  2026-04-27 10:00:01Z       +1 s  [1] submitted as a-1",
        f"? noon                             memory/note: kept  {UNCHAINED}",
        "  2026-04-27 10:02:00Z     +2 min  [2] resumed, waits at most 1 min",
        '                                 host: {"name": "ci"}',
        "  2026-04-27 10:02:05Z  +2 min 5 s  [2] approved by alice: go  (waited 5 s, live)",
        "                                 evidence: rest",
        "",
        "ended: approved by alice: go, +2 min 5 s",
        NOT_VERIFIED,
    ]


def test_one_process_needs_no_number_and_an_open_request_says_so() -> None:
    """Nor is a task id told that is the trace's."""
    told = shown(story(begun(invocation="one")))
    assert not [line for line in told if line.startswith(("process", "task", "why", "approval"))]
    assert told[-2] == "open: no outcome yet"


def test_a_servers_record_has_the_name_of_the_credential_first() -> None:
    """And what the requester claims behind it, as claimed; that it approved its own request is said, too."""
    context: JsonValue = {"user": "ann", "host": "ci-7", "ci": {"system": "GitLab"}}
    told = story(
        record("granted", actor="alice", requested_by="ALICE", context=context, decided_by_verified=True, self_approved=True)
    )
    assert "requester  ALICE, says it runs as ann@ci-7 in GitLab" in shown(told)
    assert shown(told)[-2] == "ended: approved by alice (also the requester)"
    assert not [line for line in shown(told) if "requested_by" in line or "self_approved" in line]
    found: Any = story_json(told)
    assert (found["requested_by"], found["requester"], found["self_approved"]) == ("ALICE", "ann@ci-7", True)
    unnamed = story(record("denied", actor="alice", context=context))
    assert "requester  says it runs as ann@ci-7 in GitLab" in shown(unnamed)
    found = story_json(unnamed)
    assert (found["requested_by"], found["self_approved"]) == (None, False)


def test_a_single_record_that_ends_it_took_no_time() -> None:
    """A server's own log has nothing but the decision; a clock that jumped back is told as it was."""
    assert shown(story(record("granted", actor="alice", decided_by_verified=True)))[-2] == "ended: approved by alice"
    assert shown(story(begun(), record("timeout", at="09:59:58")))[-2] == "ended: timed out, -2 s"
    assert shown(story(begun(), _undated(record("timeout"))))[-2] == "ended: timed out"


def _undated(one: Record) -> Record:
    from dataclasses import replace  # noqa: PLC0415 - beside its one use

    return replace(one, timestamp="")


@pytest.mark.parametrize(
    ("outcome", "fields", "sentence"),
    [
        ("initiated", {}, "asked"),
        ("initiated", {"timeout_seconds": "5"}, "asked"),
        ("initiated", {"timeout_seconds": -1}, "asked"),
        ("granted", {"actor": "alice"}, "approved by alice (name not verified)"),
        ("granted", {"decided_by": "", "actor": ""}, "approved by nobody (name not verified)"),
        ("denied", {"decided_by": "bob", "comment": "no"}, "denied by bob (name not verified): no"),
        ("timeout", {"waited_seconds": 300, "reason": "nobody_decided", "withdrawn": True}, "timed out after 5 min"),
        (
            "timeout",
            {"waited_seconds": 300.0, "reason": "nobody_decided", "withdrawn": False},
            "timed out after 5 min: it could not be withdrawn",
        ),
        ("timeout", {"reason": "expired", "withdrawn": False}, "timed out: expired by the platform"),
        ("timeout", {"reason": "slept"}, "timed out: slept"),
        ("withdrawn", {"reason": "SIGINT", "taken_back": True}, "withdrawn: SIGINT"),
        ("withdrawn", {"reason": "SIGINT", "taken_back": False}, "withdrawn: SIGINT; it could not be withdrawn"),
        ("withdrawn", {"reason": "by somebody else", "taken_back": False}, "withdrawn: by somebody else"),
        (
            "withdrawn",
            {"reason": "SIGINT", "taken_back": False, "decision_that_stood": "approved", "decided_by": "al"},
            "withdrawn: SIGINT; it was already approved by al (name not verified)",
        ),
        ("failure", {"reason": "submit_failed", "error": "no such host"}, "no verdict: no such host"),
        ("failure", {"reason": "interrupted"}, "no verdict: interrupted"),
        ("odd", {}, "approval/approve: odd"),
        (
            "observed",
            {"action": "observe", "observed_outcome": "granted", "observed_by": "status", "actor": "al"},
            "approved by al (name not verified), observed later by status",
        ),
        ("observed", {"action": "observe", "observed_outcome": "withdrawn"}, "withdrawn, observed later by -"),
        ("observed", {"action": "observe", "observed_outcome": "initiated"}, "approval/observe: observed"),
        ("failed", {"action": "deliver", "error": "stdout is closed"}, "could not be delivered: stdout is closed"),
        ("started", {"action": "execute"}, "the command was started"),
        (
            "started",
            {"action": "execute", "replaces_process": True},
            "the command was started, in place of this program (--exec)",
        ),
        ("finished", {"action": "execute", "exit_code": 143, "signal": 15}, "the command was ended by SIGTERM"),
        ("finished", {"action": "execute", "exit_code": 163, "signal": 35}, "the command was ended by signal 35"),
        ("finished", {"action": "execute"}, "the command ended"),
        ("refused", {"action": "execute", "reason": "changed", "error": "it is\x1b"}, "the command was not run: it is\\x1b"),
        ("refused", {"action": "execute", "reason": "changed"}, "the command was not run: changed"),
        ("finished", {"action": "execute", "exit_code": 3}, "the command exited with 3"),
        ("odd", {"action": "execute"}, "approval/execute: odd"),
        (
            "denied",
            {"event_type": "rbac", "action": "rbac.deny", "roles": ["reader"], "attempted_action": "approve"},
            "not permitted: role reader, which may not approve",
        ),
        (
            "denied",
            {"event_type": "rbac", "action": "rbac.deny", "roles": ["a", "b"]},
            "not permitted: roles a, b, which may not -",
        ),
        ("denied", {"event_type": "rbac", "action": "rbac.deny", "roles": "a"}, "not permitted: roles -, which may not -"),
        (
            "success",
            {"event_type": "audit", "action": "recover", "reason": "torn_line"},
            "the log was damaged and continues here: torn_line",
        ),
        ("success", {"event_type": "audit", "action": "init"}, "the log begins here"),
        ("success", {"event_type": "audit", "action": "init", "seal": "0"}, "the log is sealed from here on"),
        (
            "initiated",
            {"context": {"user": "ana", "host": "ci-7"}, "timeout_seconds": 60},
            "asked by ana@ci-7, waits at most 1 min",
        ),
        ("initiated", {"context": {"user": 7, "host": ""}}, "asked"),
        (None, {"event_type": None, "action": None}, "-/-: -"),
    ],
)
def test_each_kind_of_record_is_a_sentence(outcome: str, fields: dict[str, Any], sentence: str) -> None:
    """And one that is not known is named by its words."""
    assert said(outcome, **{"event": fields.pop("event_type", "approval"), **fields}) == sentence


def test_the_outcome_has_the_colour() -> None:
    """A yes, a no, and nobody's decision look different, where they happened and where it ended."""
    for outcome, style in (("granted", "good"), ("denied", "bad"), ("timeout", "warning")):
        for end in (record(outcome), seen(outcome)):
            styles = [style for pieces in story_lines(story(begun(), end)) for text, style in pieces if text]
            assert styles.count(style) == 2


@pytest.mark.parametrize("text", ["\x1b[2J", "\u202e", "::error::x", "##[error]", "\u00a0", "section_start:1:x\r"])
def test_nothing_from_the_log_reaches_a_terminal_raw(text: str) -> None:
    """Escape sequences, bidi overrides and orders to a CI's log reader are made visible, wherever they stand."""
    fields = dict.fromkeys(
        ("invocation", "reason_text", "decided_by", "comment", "approval_id", "task_id", "transport"), text
    )
    context: JsonValue = {"user": text, "ci": {"system": text, "job": text}}
    rows = [
        record(outcome, resource=text, workspace=text, actor=text, context=context, **fields)
        for outcome in ("initiated", "granted", text)
    ]
    odd = foreign(trace_id="trace-1", timestamp=text, event_type=text, action=text, outcome=text, odd=[text])
    refusal = record("denied", event="rbac", action="rbac.deny", roles=[text], attempted_action=text)
    whole = record("withdrawn", reason=text, decision_that_stood=text, decided_by=text, error=text)
    for line in shown(story(*rows, odd, whole, refusal)):
        assert line.isprintable(), line
        assert "##[" not in line
        assert "section_start:" not in line
        assert not line.lstrip().startswith("::")


def test_what_was_asked_is_never_cut() -> None:
    """However long it is, and in its own lines."""
    text = "x" * 3_000 + "\n" + "y" * 1_000
    told = shown(story(record("initiated", resource=text)))
    assert told[0] == "asked      " + "x" * 3_000
    assert told[1] == "           " + "y" * 1_000


def test_json_is_one_object_with_the_facts_and_the_records() -> None:
    """With what is not known as null, and without a claim that anything was verified."""
    told = story(begun(), foreign(trace_id="trace-1"), record("timeout", at="10:00:05"))
    found: Any = story_json(told)
    assert [one.pop("record")["trace_id"] for one in found["records"]] == ["trace-1"] * 3
    assert found == {
        "trace_id": "trace-1",
        "approval_id": None,
        "task_id": "trace-1",
        "workspace_id": "ws",
        "requested_by": None,
        "requester": None,
        "ci": None,
        "action": "deploy",
        "reason": None,
        "outcome": "timeout",
        "self_approved": False,
        "execution": None,
        "observed": False,
        "invocations": [],
        "verified": False,
        "records": [
            {"elapsed_seconds": 0.0, "happened": "asked", "chained": True},
            {"elapsed_seconds": None, "happened": "-/-: -", "chained": False},
            {"elapsed_seconds": 5.0, "happened": "timed out", "chained": True},
        ],
    }


def test_who_asked_and_the_ci_job_are_facts_of_the_request() -> None:
    """Whether the beginning tells them, or, in a server's log, the decision; a line that is not chained is believed last."""
    job = {"system": "GitLab", "job": "https://x.example/-/jobs/7", "commit": "abc"}
    context: JsonValue = {"user": "ada", "host": "build", "ci": {**job, "retries": 2}}
    lie = foreign(trace_id="trace-1", context={"user": "eve"})
    begins = [record("initiated", context=context), record("granted")]
    for rows, told in (
        (begins, ["requester  ada@build", "CI job     GitLab https://x.example/-/jobs/7"]),
        (
            [record("granted", context=context)],
            ["requester  says it runs as ada@build in GitLab https://x.example/-/jobs/7"],
        ),
    ):
        assert set(told) <= set(shown(story(lie, *rows)))
        found: Any = story_json(story(lie, *rows))
        assert (found["requester"], found["ci"]) == ("ada@build", job)


@pytest.mark.parametrize(
    ("rows", "outcome"),
    [
        ([begun()], "open"),
        ([record("denied", event="rbac", action="rbac.deny")], "not_permitted"),
        ([begun(), record("denied")], "denied"),
    ],
)
def test_json_tells_how_it_ended_in_one_word(rows: list[Record], outcome: str) -> None:
    """The record's own word, or that it is open, or that nothing was asked."""
    found: Any = story_json(story(*rows))
    assert found["outcome"] == outcome


def test_what_json_cannot_say_is_left_out() -> None:
    """NaN, and what is nested so deeply that it can only just be read, of another tool's line."""
    deep: Any = "x"
    for _ in range(50_000):
        deep = [deep]
    rows: list[dict[str, JsonValue]] = [{"trace_id": "t", "n": value} for value in (float("nan"), deep)]
    told = Story([StoryRecord(b"", None, row) for row in rows])
    found = json.loads(json_line(story_json(told)))
    assert [one["record"] for one in found["records"]] == [{"trace_id": "t"}, {"trace_id": "t"}]
    assert shown(told)[-4].endswith("n: (nested too deeply)")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"), (0.0004, "0 s"), (0.423, "0.423 s"), (1.0, "1 s"), (12.44, "12.4 s"), (59.9, "59.9 s"), (59.99, "1 min"),
        (65, "1 min 5 s"), (300, "5 min"), (3_599.6, "1 h"), (5_400, "1 h 30 min"), (86_400, "1 d"), (100_000, "1 d 3 h"),
    ],
)  # fmt: skip
def test_time_spans_are_told_as_people_say_them(seconds: float, text: str) -> None:
    """Two units at most."""
    assert span(seconds) == text


def test_everybody_who_decided_is_named() -> None:
    """With how it was proven; of a request that ended otherwise, who had approved it."""
    one: JsonValue = {"by": "al\nice", "decision": "approved", "proof": "passkey"}
    both: JsonValue = [one, {"by": "bo", "decision": "approved", "proof": None}]

    def bo(outcome: str, decisions: JsonValue, **more: str) -> str:
        return said(outcome, decided_by="bo", decided_by_verified=True, decisions=decisions, **more)

    assert bo("granted", decisions=both, comment="go") == "approved by al\\nice (passkey), bo: go"
    assert bo("denied", decisions=[one, {"by": "bo", "decision": "denied"}]) == "denied by bo"
    assert bo("granted", decisions="x") == "approved by bo"
    assert said("timeout", reason="expired", decisions=[one]).endswith("; approved by al\\nice (passkey) alone")
    assert said("withdrawn", reason="why", decisions=[one]) == "withdrawn: why; approved by al\\nice (passkey) alone"
    stood = bo("withdrawn", reason="why", decision_that_stood="approved", decisions=both)
    assert stood == "withdrawn: why; it was already approved by al\\nice (passkey), bo"
