"""wire.py: JSON <-> model, against what the real platform sent."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from molecule_approve import wire
from molecule_approve.errors import ProtocolError
from molecule_approve.model import Approval, ApprovalRequest, JsonValue, Status

RECORDINGS = Path(__file__).parent / "recordings"
WORKSPACE = "6d938018-d3d0-4d05-a6e9-6470f2d4cc13"
ID = "b2c7549c-69e0-4ade-ab0c-dab547d790f5"


def exchanges(name: str) -> list[dict[str, Any]]:
    """The lines of one recording."""
    return [json.loads(line) for line in (RECORDINGS / name).read_text(encoding="utf-8").splitlines()]


def recorded_frames() -> list[str]:
    """Every frame that a socket heard."""
    steps = [step for scenario in exchanges("scenarios.jsonl") for step in scenario["steps"]]
    found = [frame for step in steps for frame in step.get("frames", [])]
    heard = json.loads((RECORDINGS / "socket.json").read_text(encoding="utf-8"))["who_hears_what"]["heard"]
    return found + [frame for frames in heard.values() for frame in frames]


# --- ids and times -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "is_one"),
    [(ID, True), (ID.upper(), True), (ID + "\n", False), (ID[:-1], False), ("", False), ("{" + ID + "}", False)],
)
def test_a_uuid_is_known_by_its_usual_writing(text: str, *, is_one: bool) -> None:
    """No braces, no line break at its end."""
    assert wire.is_uuid(text) is is_one


@pytest.mark.parametrize(
    ("value", "is_one"),
    [
        (ID, True),
        ("a", True),
        ("a.b_c~d-1", True),
        ("a" * 128, True),
        ("a" * 129, False),
        ("", False),
        (".a", False),
        ("a/b", False),
        ("a b", False),
        ("a\n", False),
        ("ä", False),
        (None, False),
        (5, False),
        ("..", False),
    ],
)
def test_an_id_is_safe_as_one_segment_of_an_address(value: object, *, is_one: bool) -> None:
    """And begins with a letter or a digit."""
    assert wire.is_id(value) is is_one


def test_a_key_stands_for_one_task_id() -> None:
    """uuid5 with the workspace as namespace; a workspace id that is no UUID is made one first."""
    assert wire.key_task_id(WORKSPACE, "k") == str(uuid.uuid5(uuid.UUID(WORKSPACE), "k"))
    assert wire.key_task_id("ops", "k") == str(uuid.uuid5(uuid.uuid5(uuid.NAMESPACE_URL, "ops"), "k"))
    assert wire.key_task_id("ops", "k") != wire.key_task_id("dev", "k")


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-22T13:09:29.973061Z", datetime(2026, 11, 22, 13, 9, 29, 973061, UTC)),
        ("2026-11-22T13:09:32.716036912Z", datetime(2026, 11, 22, 13, 9, 32, 716036, UTC)),
        ("2026-11-22T13:09:29+01:00", datetime(2026, 11, 22, 12, 9, 29, tzinfo=UTC)),
        ("2026-11-22T13:09:29", datetime(2026, 11, 22, 13, 9, 29, tzinfo=UTC)),
        ("yesterday", None),
        ("", None),
        (None, None),
    ],
)
def test_a_moment_is_read_to_microseconds(text: str | None, moment: datetime | None) -> None:
    """Nanoseconds are cut, no zone means UTC, and what is no time is None."""
    assert wire.instant(text) == moment


# --- strict JSON -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"", "not valid JSON: it cannot be parsed; it begins with ''"),
        (b"<html>Bad gateway</html>", "begins with '<html>"),
        ("404 page not found", "begins with '404 page"),
        (b"\xff\xfe", "not valid JSON"),
        (b"{} {}", "not valid JSON"),
        (b'{"a": 1, "a": 2}', "duplicate key"),
        (b'[{"b": {"a": 1, "a": 1}}]', "duplicate key"),
        (b"NaN", "NaN is not a number"),
        (b"[-Infinity]", "-Infinity is not a number"),
        (b"[1e999]", "too large"),
        (b"[" * 65 + b"]" * 65, "nested too deeply"),
        (b'{"a":' * 65 + b"1" + b"}" * 65, "nested too deeply"),
        (b"[" * 200_000, "not valid JSON"),
        (b"9" * 5000, "not valid JSON"),
    ],
)
def test_what_is_no_strict_json_is_a_protocol_error(data: bytes | str, complaint: str) -> None:
    """The message says what came instead, and not all of it."""
    with pytest.raises(ProtocolError, match=complaint) as caught:
        wire.loads(data)
    assert len(caught.value.message) < 400
    assert caught.value.hint


def test_sixty_three_levels_are_read() -> None:
    """The bound is far from what anybody sends."""
    assert wire.loads(b"[" * 63 + b"]" * 63) is not None
    assert wire.loads('{"a": [1, 2.5, null, true, "x"]}') == {"a": [1, 2.5, None, True, "x"]}


# --- answers -----------------------------------------------------------------------------------------------------------


def test_every_recorded_201_has_an_id() -> None:
    """And none says what only the embedded server says."""
    found = [entry for entry in exchanges("rest.jsonl") if entry["response"]["status"] == 201]
    assert len(found) > 10
    for entry in found:
        read = wire.read_submitted(entry["response"]["body"].encode())
        assert wire.is_uuid(read.approval_id)
        assert not wire.is_signed({}, entry["response"]["body"].encode())


def test_every_recorded_list_can_be_read() -> None:
    """Strange names, markup, a megabyte and escalated rows included."""
    statuses = set()
    for entry in exchanges("rest.jsonl"):
        if (
            entry["request"]["method"] == "GET"
            and entry["request"]["path"].endswith("/approvals")
            and entry["response"]["status"] == 200
        ):
            rows = wire.read_list(entry["response"]["body"].encode(), WORKSPACE)
            assert len(rows) <= wire.LIST_LENGTH
            statuses |= {row.status for row in rows}
            # What was read is what the embedded server would write.
            assert [wire.row_body(row) for row in rows] == json.loads(entry["response"]["body"])
    assert statuses == {Status.PENDING, Status.APPROVED, Status.DENIED, Status.ESCALATED}


@pytest.mark.parametrize(
    ("headers", "body", "signed"),
    [
        ({"x-molecule-server": "embedded"}, b"404 page not found", True),
        ({"x-molecule-server": "other"}, b"{}", False),
        ({}, b'{"server":"molecule-approve"}', True),
        ({}, b'[{"server":"molecule-approve"},{"server":"molecule-approve"}]', True),
        ({}, b'[{"server":"molecule-approve"},{"server":"molecule-core"}]', False),
        ({}, b'{"action":"\\"server\\":\\"molecule-approve\\""}', False),
        ({}, b'{"context":{"server":"molecule-approve"}}', False),
        ({}, b'"molecule-approve"', False),
        ({}, b"molecule-approve", False),
        ({}, b"[]", False),
        ({}, b"", False),
    ],
)
def test_an_answer_says_that_the_embedded_server_gave_it(headers: dict[str, str], body: bytes, *, signed: bool) -> None:
    """By its header or by a field of its object or of every row; text that somebody asked for cannot say it."""
    assert wire.is_signed(headers, body) is signed


@pytest.mark.parametrize(
    "body", [b"[]", b"null", b"{}", b'{"approval_id": 5}', b'{"approval_id": "../x"}', b'{"approval_id": ""}']
)
def test_an_answer_without_a_usable_id_is_a_protocol_error(body: bytes) -> None:
    """Nothing can be waited for."""
    with pytest.raises(ProtocolError):
        wire.read_submitted(body)


ROW: dict[str, JsonValue] = {"id": ID, "action": "a", "status": "approved"}


def test_a_row_needs_little_and_keeps_what_it_has() -> None:
    """Missing texts are empty, an unknown status is UNKNOWN, only true is verified."""
    assert wire.read_row(ROW, "w") == Approval(ID, "w", "a", Status.APPROVED)
    full: dict[str, JsonValue] = {
        "workspace_id": "v", "reason": "r", "task_id": "t", "decided_by": "alice", "decided_at": "d", "created_at": "c",
        "comment": "k", "context": {"host": "h"}, "expires_at": "e", "decided_by_verified": True, "requested_by": "bot",
    }  # fmt: skip
    found = wire.read_row({**ROW, **full}, "w")
    assert found == Approval(
        ID,
        "v",
        "a",
        Status.APPROVED,
        "r",
        "t",
        "alice",
        "d",
        "c",
        "k",
        {"host": "h"},
        "e",
        decided_by_verified=True,
        requested_by="bot",
    )
    assert wire.read_one(wire.dump(wire.one_body(found)), "w") == found
    assert wire.read_row({**ROW, "status": "granted"}, "w").status is Status.UNKNOWN
    assert wire.read_row({**ROW, "decided_by_verified": "yes"}, "w").decided_by_verified is False
    assert wire.read_row(ROW, "w").decided_by_verified is None
    assert wire.read_row({**ROW, "context": []}, "w").context is None


@pytest.mark.parametrize(
    ("row", "name", "is_anonymous"),
    [({}, None, False), ({"requested_by": None}, None, True), ({"requested_by": "bot"}, "bot", False)],
)
def test_a_row_says_who_asked_or_that_nobody_knows(row: dict[str, JsonValue], name: str | None, is_anonymous: bool) -> None:
    """An older server, and the platform, say neither."""
    found = wire.read_row({**ROW, **row}, "w")
    assert (found.requested_by, found.is_anonymous) == (name, is_anonymous)


def test_a_row_of_another_workspace_says_so() -> None:
    """Null is another one too."""
    assert wire.read_row({**ROW, "workspace_id": None}, "w").workspace_id != "w"


@pytest.mark.parametrize(
    "change",
    [
        {"id": None},
        {"id": "a/b"},
        {"id": 5},
        {"action": None},
        {"action": 5},
        {"status": None},
        {"status": True},
        {"decided_by": 5},
        {"requested_by": 5},
        {"requested_by": {"name": "bot"}},
        {"decided_by": ["alice"]},
        {"reason": {}},
        {"task_id": 1},
        {"created_at": 0},
        {"comment": False},
    ],
)
def test_a_row_of_the_wrong_shape_is_a_protocol_error(change: dict[str, JsonValue]) -> None:
    """Alone or in a list."""
    with pytest.raises(ProtocolError):
        wire.read_one(wire.dump({**ROW, **change}), "w")
    with pytest.raises(ProtocolError):
        wire.read_list(wire.dump([ROW, {**ROW, **change}]), "w")


def test_a_list_may_be_null_and_nothing_else() -> None:
    """An empty workspace's list."""
    assert wire.read_list(b"null", "w") == []
    assert wire.read_list(b"[]", "w") == []
    for body in (b"{}", b'"x"', b"[1]"):
        with pytest.raises(ProtocolError):
            wire.read_list(body, "w")


def test_an_error_s_body_is_read_as_far_as_it_goes() -> None:
    """A status says enough."""
    assert wire.read_error(b'{"error": "x"}') == {"error": "x"}
    assert wire.read_error(b"404 page not found") == {}
    assert wire.read_error(b"[]") == {}


# --- events ------------------------------------------------------------------------------------------------------------


def test_every_recorded_frame_about_an_approval_is_read() -> None:
    """In the platform's own dialect."""
    found = [event for event in map(wire.read_event, recorded_frames()) if event]
    names = {event.name for event in found}
    assert {"APPROVAL_REQUESTED", "APPROVAL_ESCALATED", "APPROVAL_APPROVED", "APPROVAL_DENIED"} <= names
    assert all(event.native and wire.is_uuid(event.approval_id) for event in found)


def native(name: str, **payload: JsonValue) -> str:
    """An event as the platform sends it."""
    return wire.event_frame(name, "w", "2026-01-01T00:00:00Z", {"approval_id": ID, **payload})


@pytest.mark.parametrize(
    ("frame", "status", "by"),
    [
        (native("APPROVAL_REQUESTED"), Status.PENDING, None),
        (native("APPROVAL_ESCALATED"), Status.ESCALATED, None),
        (native("APPROVAL_PROGRESS"), Status.PENDING, None),
        (native("APPROVAL_APPROVED", decision="approved", decided_by="alice"), Status.APPROVED, "alice"),
        (native("APPROVAL_APPROVED"), Status.APPROVED, None),
        (native("APPROVAL_DENIED", decision="denied", decided_by=5), Status.DENIED, None),
        (native("APPROVAL_EXPIRED"), Status.DENIED, None),
        (native("APPROVAL_WITHDRAWN"), Status.DENIED, None),
        (native("APPROVAL_APPROVED", decision="denied"), Status.UNKNOWN, None),
        (native("APPROVAL_DENIED", decision="approved"), Status.UNKNOWN, None),
    ],
)
def test_an_event_claims_what_its_name_says(frame: str, status: Status, by: str | None) -> None:
    """One that contradicts itself claims nothing."""
    found = wire.read_event(frame.encode())
    assert found is not None
    assert (found.approval_id, found.workspace_id, found.status, found.decided_by, found.native) == (
        ID,
        "w",
        status,
        by,
        True,
    )
    assert found.timestamp == "2026-01-01T00:00:00Z"


def test_the_earlier_flat_dialect_is_understood() -> None:
    """As the embedded server writes it, without workspace and time."""
    frame = wire.flat_frame(Approval(ID, "w", "a", Status.DENIED, decided_by="bob"))
    assert wire.read_event(frame) == wire.Event("APPROVAL_DECIDED", ID, None, Status.DENIED, "bob", None, native=False)
    odd = wire.read_event(json.dumps({"event": "APPROVAL_DECIDED", "approval_id": ID}))
    assert odd is not None
    assert odd.status is Status.UNKNOWN


@pytest.mark.parametrize(
    "frame",
    [
        "",
        "no JSON",
        "[]",
        "{}",
        '{"event": 5}',
        '{"event": "HEARTBEAT", "payload": {}}',
        native("TASK_UPDATED"),
        native("APPROVAL_DECIDED"),
        json.dumps({"event": "APPROVAL_APPROVED", "approval_id": ID}),
        json.dumps({"event": "APPROVAL_DECIDED", "approval_id": "a/b"}),
        '{"event": "APPROVAL_APPROVED", "payload": {"approval_id": 5}}',
        '{"event": "A", "event": "B"}',
    ],
)
def test_anything_else_is_no_event(frame: str) -> None:
    """A bad hint is no reason to stop waiting."""
    assert wire.read_event(frame) is None


# --- writing -----------------------------------------------------------------------------------------------------------


def test_a_request_is_written_as_the_platform_reads_it() -> None:
    """What is not there is not sent."""
    request = ApprovalRequest("w", "a\né", "r", "t", "t")
    assert json.loads(wire.submit_body(request)) == {"action": "a\né", "reason": "r", "task_id": "t"}
    full = ApprovalRequest("w", "a", "r", "t", "t", context={"host": "h"}, expires_in=60.0)
    assert json.loads(wire.submit_body(full)) == {
        "action": "a", "reason": "r", "task_id": "t", "context": {"host": "h"}, "expires_in": 60.0,
    }  # fmt: skip


def test_a_decision_is_written_with_what_is_known() -> None:
    """Name and comment only where there are any."""
    assert wire.decide_body(Status.DENIED, None) == b'{"decision":"denied"}'
    assert (
        wire.decide_body(Status.APPROVED, "alice", "fine")
        == b'{"decision":"approved","decided_by":"alice","comment":"fine"}'
    )


def test_one_approval_is_a_row_with_additions() -> None:
    """The list's fields and no others stand in a list."""
    found = Approval(ID, "w", "a", Status.PENDING)
    assert set(wire.one_body(found)) - set(wire.row_body(found)) == {
        "workspace_id", "requested_by", "comment", "context", "expires_at", "decided_by_verified",
    }  # fmt: skip
    assert wire.one_body(found)["context"] is None


def test_json_is_written_compactly_in_utf8() -> None:
    """And what is no JSON is refused."""
    assert wire.dump({"a": "é"}) == '{"a":"é"}'.encode()
    with pytest.raises(ValueError, match="not JSON compliant"):
        wire.dump(float("inf"))
