"""What a key signs to vouch for another one."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest

from molecule_approve.proofs.key_statement import KeyStatement, parse_key_statement
from tests.proofs.test_statement import STATEMENT

KEY = KeyStatement("server-1", "alice", "ssh", "ssh-ed25519 AAAA", "2026-11-28T21:30:00.000000Z")
TEXT = (
    '{"approver":"alice","at":"2026-11-28T21:30:00.000000Z","kind":"ssh","public_key":"ssh-ed25519 AAAA",'
    '"server":"server-1","type":"molecule-approve key v1"}'
)


def test_what_is_signed_is_the_hash_of_a_tag_and_the_text() -> None:
    """As for a decision, under a tag of its own."""
    expected = hashlib.sha256(b"molecule-approve key v1\n" + TEXT.encode()).digest()
    assert (KEY.text, KEY.digest, KEY.signed_line) == (TEXT, expected, expected.hex().encode() + b"\n")
    assert parse_key_statement(TEXT) == KEY


def test_every_field_changes_the_hash() -> None:
    """No two statements that differ in anything have the same hash."""
    others = [replace(KEY, **{name: "x"}) for name in KeyStatement.__slots__]
    assert len({one.digest for one in (KEY, *others)}) == 6


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "it is not JSON"),
        ("[]", "it is not 'molecule-approve key v1'"),
        (STATEMENT.text, "it is not 'molecule-approve key v1'"),
        (TEXT.replace('"ssh"', "1"), "it has other fields than a key's statement has"),
        (TEXT.replace('"kind":"ssh",', ""), "it has other fields than a key's statement has"),
        (TEXT.replace('"kind"', '"label":"x","kind"'), "it has other fields than a key's statement has"),
        (TEXT.replace(",", ", "), "it is not in canonical form"),
    ],
)
def test_nothing_else_is_read_as_one(text: str, sentence: str) -> None:
    """Not even another spelling, or a decision."""
    with pytest.raises(ValueError, match=sentence):
        parse_key_statement(text)
