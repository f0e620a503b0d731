"""An approver's own keys as the server answers, read: whole, or refused with a sentence."""

from __future__ import annotations

import json
from typing import Any

import pytest

from molecule_approve.client.http import Answer
from molecule_approve.client.keys import OwnKey, OwnKeys, key_refused, read_keys
from molecule_approve.errors import ProtocolError

KEY = {
    "id": "1",
    "kind": "ssh",
    "label": "desk",
    "public_key": "ssh-ed25519 A",
    "added_at": "now",
    "added_by": "administrator",
}
GOOD = {"name": "alice", "server_id": "s", "keys": [KEY]}


def test_keys_come_with_what_a_statement_says() -> None:
    """The approver's name and the server's id."""
    assert read_keys(json.dumps(GOOD).encode()) == OwnKeys("alice", "s", (OwnKey(**KEY),))


@pytest.mark.parametrize(
    "answer",
    [
        [],
        {**GOOD, "name": 1},
        {**GOOD, "server_id": None},
        {**GOOD, "keys": {}},
        {**GOOD, "keys": [[]]},
        {**GOOD, "keys": [{}]},
    ],
)
def test_anything_else_is_a_protocol_error(answer: Any) -> None:  # noqa: ANN401 - JSON
    """Nothing is guessed."""
    with pytest.raises(ProtocolError):
        read_keys(json.dumps(answer).encode())


def test_only_a_refusal_with_its_code_is_one() -> None:
    """A proxy's answer, or one of a server that is away, is an error of another kind."""
    said = json.dumps({"error": "you have no such key", "code": "unknown_key"}).encode()
    found = key_refused(Answer(404, {}, said))
    assert found is not None
    assert found.message == "you have no such key"
    assert [key_refused(one) for one in (Answer(404, {}, b"{}"), Answer(503, {}, said))] == [None, None]
