"""What one decision says, and the hash of it that is signed."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from molecule_approve.proofs.canonical import canonical
from molecule_approve.proofs.statement import Statement, Subject, context_digest, parse_statement, run_digest

if TYPE_CHECKING:
    from molecule_approve.model import JsonValue

SUBJECT = Subject(
    server="0b0e7a52-6c7c-4b26-9c2c-0d8e1d0a6f11",
    workspace="9f1c5ac4-7c57-4f1e-8a44-3a4f3a1f2b01",
    request="6d1a9ad0-6a0e-4d3b-9d0e-0d8f2f0c9a11",
    task="3f9b2f0e-53b6-4f0c-9f5e-7f6f1d0f4c22",
    requester="ci",
    action='drop the "staging" database',
    reason="schema réset",
    context_sha256=None,
    run_sha256=None,
    rule="prod-deploy",
    rule_sha256="ab" * 32,
    approvals=2,
)
STATEMENT = Statement(SUBJECT, "approved", "alice", "2026-11-28T21:30:00.000000Z")


def test_the_text_is_one_flat_object_in_canonical_form() -> None:
    """Sorted keys, no blanks, UTF-8; the type says what it is."""
    assert STATEMENT.text == (
        '{"action":"drop the \\"staging\\" database","approvals":2,"approver":"alice","at":"2026-11-28T21:30:00.000000Z",'
        '"context_sha256":null,"decision":"approved","reason":"schema réset",'
        '"request":"6d1a9ad0-6a0e-4d3b-9d0e-0d8f2f0c9a11","requester":"ci","rule":"prod-deploy",'
        f'"rule_sha256":"{"ab" * 32}","run_sha256":null,"server":"0b0e7a52-6c7c-4b26-9c2c-0d8e1d0a6f11",'
        '"task":"3f9b2f0e-53b6-4f0c-9f5e-7f6f1d0f4c22","type":"molecule-approve decision v1",'
        '"workspace":"9f1c5ac4-7c57-4f1e-8a44-3a4f3a1f2b01"}'
    )


def test_what_is_signed_is_the_hash_of_a_tag_and_the_text() -> None:
    """The line for ssh-keygen is the hex of the passkey's challenge."""
    expected = hashlib.sha256(b"molecule-approve decision v1\n" + STATEMENT.text.encode()).digest()
    assert (STATEMENT.digest, STATEMENT.signed_line) == (expected, expected.hex().encode() + b"\n")


def _with(name: str) -> Subject:
    found = replace(SUBJECT)
    object.__setattr__(found, name, "x")
    return found


def test_every_field_changes_the_hash() -> None:
    """No two statements that differ in anything have the same hash."""
    changed = [replace(STATEMENT, subject=_with(name)) for name in Subject.__slots__ if name != "approvals"]
    changed += [replace(STATEMENT, subject=replace(SUBJECT, approvals=1)), replace(STATEMENT, decision="denied")]
    changed += [replace(STATEMENT, approver="bo"), replace(STATEMENT, at="2026-11-28T21:30:00.000001Z")]
    assert len({STATEMENT.digest, *(one.digest for one in changed)}) == 1 + len(Subject.__slots__) + 3


def test_a_statement_is_read_back_from_its_text() -> None:
    """Parsing gives the same value."""
    assert parse_statement(STATEMENT.text) == STATEMENT
    bare = replace(STATEMENT, subject=replace(SUBJECT, requester=None, rule=None, rule_sha256=None))
    assert parse_statement(bare.text) == bare


FIELDS = json.loads(STATEMENT.text)


def as_text(fields: dict[str, JsonValue]) -> str:
    """The fields in canonical form."""
    return canonical(fields).decode()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        STATEMENT.text + " ",
        STATEMENT.text.replace(",", ", "),
        STATEMENT.text.replace('"approvals":2', '"approvals":2.0'),
        STATEMENT.text.replace("decision v1", "decision v2"),
        as_text({**FIELDS, "more": "x"}),
        as_text({name: value for name, value in FIELDS.items() if name != "task"}),
        as_text({name: value for name, value in FIELDS.items() if name != "approvals"}),
        as_text({**FIELDS, "approvals": True}),
        as_text({**FIELDS, "approvals": "2"}),
        as_text({**FIELDS, "action": None}),
        as_text({**FIELDS, "approver": None}),
        as_text({**FIELDS, "rule": 1}),
    ],
)
def test_any_other_text_is_refused(text: str) -> None:
    """Blanks, other types, missing and further fields are errors."""
    with pytest.raises(ValueError, match="it "):
        parse_statement(text)


def test_the_digest_of_a_bound_command_is_its_last_line() -> None:
    """Only a last line of that form counts."""
    line = f"digest: sha256:{'0f' * 32}"
    assert run_digest(f"ls\nprogram: /bin/ls\n{line}") == "0f" * 32
    assert [run_digest(action) for action in ("ls", line, f"ls\n{line}\n", f"ls\n{line}0")] == [None] * 4


def test_a_context_has_the_hash_of_its_canonical_form() -> None:
    """An empty context counts as none."""
    assert context_digest({"b": 1.0, "a": "x"}) == hashlib.sha256(b'{"a":"x","b":1}').hexdigest()
    assert (context_digest({}), context_digest(None)) == (None, None)
