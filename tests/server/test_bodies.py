"""What the server takes and what it will not keep, call by call."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.server.conftest import OpenDesk
    from tests.server.desk import Desk


@pytest.mark.parametrize(
    "body",
    [
        {"action": "x" * 4_097},
        {"action": " \t\n"},
        {"action": "\u200b\u2063"},
        {"action": "a\0b"},
        {"action": "a", "reason": "r" * 16_385},
        {"action": "a", "reason": "\ud800"},
        {"action": "a", "task_id": "t" * 257},
        {"action": "a", "context": {"key": "c" * 65_536}},
        {"action": "a", "context": {"list": ["\0"]}},
        {"action": "a", "context": {"\ud800": 1}},
        {"action": "a", "expires_in": 0},
        {"action": "a", "expires_in": -1},
        {"action": "a", "expires_in": True},
        {"action": "a", "expires_in": "60"},
        {"action": "a", "expires_in": 2_592_001},
    ],
)
def test_what_cannot_be_kept_is_refused(shared_desk: Desk, body: dict[str, Any]) -> None:
    """422 with a sentence, and nothing is stored: nothing is ever cut off before it can be approved."""
    before = [one["id"] for one in shared_desk.asker.get(shared_desk.path).json()]
    answer = shared_desk.asker.post(shared_desk.path, content=json.dumps(body))
    assert (answer.status_code, answer.json()["code"]) == (422, "unacceptable"), answer.text
    assert [one["id"] for one in shared_desk.asker.get(shared_desk.path).json()] == before


@pytest.mark.parametrize(
    "body",
    [
        {"action": "x" * 4_096},
        {"action": "é" * 4_096, "reason": "r" * 16_384},
        {"action": "\u202e\x1b[31m <b>\r\n"},
        {"action": "a", "reason": None, "task_id": None, "context": None, "expires_in": None},
        {"action": "a", "context": {"deep": [1, 1.5, True, None, {"text": "x"}]}},
        {"action": "a", "expires_in": 0.5},
    ],
)
def test_everything_else_comes_back_as_it_was_sent(shared_desk: Desk, body: dict[str, Any]) -> None:
    """Up to the limits, and with every character in it."""
    found = shared_desk.one(shared_desk.ask(**body))
    for key in ("action", "reason", "context"):
        assert found[key] == (body.get(key) if body.get(key) is not None else ("" if key == "reason" else found[key]))


@pytest.mark.parametrize(
    "content",
    [
        b'{"action": NaN}',
        b"[]",
        b"null",
        b"[" * 100_000,
        b'{"action": "a"} x',
        b'{"action": "a", "task_id": 7}',
        b'{"reason": 7}',
    ],
)
def test_what_is_no_request_is_refused(shared_desk: Desk, content: bytes) -> None:
    """400 with the platform's sentence."""
    answer = shared_desk.asker.post(shared_desk.path, content=content)
    assert (answer.status_code, answer.json()) == (400, {"error": "invalid request body"})


@pytest.mark.parametrize(
    "content",
    [
        b'{"action": "a", "action": "b"}',
        b'{"action": "a", "Action": "b"}',
        b'{"ACTION": "a"}',
        '{"action": "a", "rea\N{LATIN SMALL LETTER LONG S}on": "b"}'.encode(),
        b'{"action": "a", "context": {"in": [{"x": 1, "x": 2}]}}',
        rb'{"action": "a", "\u0061ction": "b"}',
    ],
)
def test_a_key_that_readers_understand_differently_is_refused(shared_desk: Desk, content: bytes) -> None:
    """Twice, in other letters, or escaped: nothing is asked, whichever of them another reader would take."""
    before = [one["id"] for one in shared_desk.asker.get(shared_desk.path).json()]
    answer = shared_desk.asker.post(shared_desk.path, content=content)
    assert (answer.status_code, answer.json()) == (400, {"error": "invalid request body"})
    assert [one["id"] for one in shared_desk.asker.get(shared_desk.path).json()] == before


@pytest.mark.parametrize(
    "content",
    [
        b'{"decision": "denied", "decision": "approved"}',
        b'{"decision": "denied", "Decision": "approved"}',
        b'{"Decision": "approved"}',
    ],
)
def test_a_decision_that_is_made_twice_decides_nothing(shared_desk: Desk, content: bytes) -> None:
    """The request stays open."""
    approval_id = shared_desk.ask()
    assert shared_desk.decider.post(f"{shared_desk.path}/{approval_id}/decide", content=content).status_code == 400
    assert shared_desk.one(approval_id)["status"] == "pending"


def test_keys_that_are_the_askers_own_may_differ_in_case_alone(shared_desk: Desk) -> None:
    """What stands in a context is nobody's command, and keys that mean nothing are passed over."""
    body = {"action": "a", "context": {"Key": 1, "key": 2, "Action": 3}, "unknown": 1}
    assert shared_desk.asker.post(shared_desk.path, json=body).status_code == 201


@pytest.mark.parametrize("number", ["1e400", "-1e400", '[1, {"in": 1e999}]'])
def test_a_number_that_cannot_be_written_again_is_refused(shared_desk: Desk, number: str) -> None:
    """It is good JSON, and is read as infinite: 422 instead of a fault, and nothing is stored."""
    before = [one["id"] for one in shared_desk.asker.get(shared_desk.path).json()]
    answer = shared_desk.asker.post(shared_desk.path, content=f'{{"action": "a", "context": {{"n": {number}}}}}')
    assert (answer.status_code, answer.json()["error"]) == (422, "the context contains a number that is too large")
    assert [one["id"] for one in shared_desk.asker.get(shared_desk.path).json()] == before


def test_a_context_that_is_too_deep_is_refused(shared_desk: Desk) -> None:
    """The clients read at most 64 levels in an answer."""
    context: dict[str, Any] = {}
    for _ in range(32):
        context = {"in": context}
    answer = shared_desk.asker.post(shared_desk.path, json={"action": "a", "context": context})
    assert (answer.status_code, answer.json()["error"]) == (422, "the context has more than 32 levels")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"decision": "approved", "comment": "c" * 4_097}, 422),
        ({"decision": "approved", "comment": "\0"}, 422),
        ({"decision": "approved", "decided_by": "n" * 257}, 422),
        ({"decision": "approved", "comment": 7}, 400),
        ({"decision": "maybe"}, 400),
        ({"decision": ""}, 400),
    ],
)
def test_a_decision_that_cannot_be_kept_decides_nothing(shared_desk: Desk, body: dict[str, Any], status: int) -> None:
    """The request stays open."""
    approval_id = shared_desk.ask()
    assert shared_desk.decider.post(f"{shared_desk.path}/{approval_id}/decide", json=body).status_code == status
    assert shared_desk.one(approval_id)["status"] == "pending"


@pytest.mark.parametrize("body", [{}, {"invocation": 7}, {"invocation": "mine"}])
def test_an_invocation_is_a_uuid(shared_desk: Desk, body: dict[str, Any]) -> None:
    """Nothing is used up under another name."""
    approval_id = shared_desk.ask()
    shared_desk.decide(approval_id)
    answer = shared_desk.asker.post(f"{shared_desk.path}/{approval_id}/redeem", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "unacceptable")
    assert shared_desk.redeem(approval_id).status_code == 200


@pytest.mark.parametrize("key", [b"", b"k" * 1_025, b"\xff"])
def test_a_key_must_be_text_of_some_length(shared_desk: Desk, key: bytes) -> None:
    """An empty, endless or undecodable key stands for nothing."""
    answer = shared_desk.asker.post(shared_desk.path, json={"action": "a"}, headers={b"Idempotency-Key": key})
    assert (answer.status_code, answer.json()["code"]) == (422, "unacceptable")


def test_a_body_that_says_it_is_too_long_is_refused_at_once(open_desk: OpenDesk) -> None:
    """413, from its announced length."""
    desk = open_desk(body=1_000)
    answer = desk.asker.post(desk.path, json={"action": "a" * 1_000})
    assert (answer.status_code, answer.json()) == (413, {"error": "the body has more than 1000 bytes", "code": "too_large"})


def test_a_body_that_grows_too_long_is_refused_while_it_comes(open_desk: OpenDesk) -> None:
    """413 for a chunked body, too, which announces nothing."""
    desk = open_desk(body=1_000)
    answer = desk.asker.post(desk.path, content=(b" " * 100 for _ in range(11)))
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
