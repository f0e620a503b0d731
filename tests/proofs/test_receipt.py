"""Receipts, checked without the server that wrote them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from molecule_approve.proofs.enrolled import EnrolledKey
from molecule_approve.proofs.faults import ProofError
from molecule_approve.proofs.keys_file import KeyRing, ServerKey
from molecule_approve.proofs.presence import Presence
from molecule_approve.proofs.receipt import LIMIT, ProvenDecision, Receipt, check_receipt, parse_receipt
from molecule_approve.proofs.ssh import parse_ssh_key
from molecule_approve.proofs.statement import Statement, context_digest
from tests.proofs.signing import SoftwareAuthenticator, SoftwareHardwareKey, public_text, signed_by
from tests.proofs.test_ssh import KINDS, key_of
from tests.proofs.test_statement import SUBJECT as BARE

if TYPE_CHECKING:
    from molecule_approve.model import JsonValue

CONTEXT: Mapping[str, JsonValue] = {"host": "build-7", "audit_head": {"seq": 7}}
SUBJECT = replace(BARE, context_sha256=context_digest(CONTEXT))
AT = "2026-11-28T21:40:00.000000Z"
HARDWARE, AUTHENTICATOR = SoftwareHardwareKey(flags=0x01), SoftwareAuthenticator()
PLAIN = parse_ssh_key(public_text(key_of(*KINDS[0])))
RING = KeyRing(
    2,
    (
        EnrolledKey("alice", PLAIN, Presence.SIGNATURE),
        EnrolledKey("alice", HARDWARE.key, Presence.REQUIRED),
        EnrolledKey("bo", AUTHENTICATOR.passkey, Presence.VERIFIED),
    ),
)
SERVER = Ed25519PrivateKey.generate()
SERVER_KEY = SERVER.public_key().public_bytes_raw()


def by_hardware(statement: Statement) -> dict[str, JsonValue]:
    """The proof of a hardware key."""
    return {"kind": "ssh", "signature": HARDWARE.sign(statement.signed_line)}


def by_passkey(statement: Statement) -> dict[str, JsonValue]:
    """The proof of a passkey."""
    return dict(AUTHENTICATOR.sign(statement.digest))


ALICE, BO = Statement(SUBJECT, "approved", "alice", AT), Statement(SUBJECT, "approved", "bo", AT)


def decided(made: Statement, proof: Mapping[str, JsonValue] | None) -> ProvenDecision:
    """A decision with its proof."""
    return ProvenDecision(made.approver, made.at, made.decision, None, made.text, proof)


GOOD = Receipt(SUBJECT, CONTEXT, "approved", AT, (decided(ALICE, by_hardware(ALICE)), decided(BO, by_passkey(BO))))


def written(receipt: Receipt, server: str = SUBJECT.server) -> bytes:
    """The receipt as a file."""
    return json.dumps(receipt.sign(server, SERVER_KEY, SERVER.sign)).encode()


def failures(receipt: Receipt | bytes, ring: KeyRing = RING) -> list[str]:
    """What does not hold; empty for a good one."""
    signed = parse_receipt(receipt if isinstance(receipt, bytes) else written(receipt))
    return [check.sentence for check in check_receipt(signed, ring) if not check.passed]


def test_a_receipt_with_enough_proofs_holds() -> None:
    """Every check says in a sentence what it found."""
    said = [check.sentence for check in check_receipt(parse_receipt(written(GOOD)), RING)]
    assert failures(GOOD) == []
    assert any(line.startswith("alice approved this very request at 2026") and "touched" in line for line in said)
    assert any(line.startswith("bo approved") and "verified the person (passkey, passkey " in line for line in said)
    assert said[-1] == "2 of 2 approvals are proven: alice, bo"


ONE, ALICE_ALONE = ["1 of 2 approvals are proven: bo"], ["1 of 2 approvals are proven: alice"]
FAKE, ELSEWHERE = SoftwareAuthenticator(), replace(AUTHENTICATOR, origin="https://elsewhere.example")
ELSEWHERE.private = AUTHENTICATOR.private
STRANGER, UNTOUCHED = SoftwareHardwareKey(), SoftwareHardwareKey(flags=0x00)
ALICES, BOS = GOOD.decisions
OTHER, CY = replace(ALICE, subject=replace(SUBJECT, action="another")), replace(ALICE, approver="cy")
DENIED, SPELT = replace(CY, decision="denied"), replace(BO, approver="BO")
BY_STRANGER: Mapping[str, JsonValue] = {"kind": "ssh", "signature": STRANGER.sign(ALICE.signed_line)}

LIES: dict[str, tuple[tuple[ProvenDecision, ...], list[str]]] = {
    "nobody": ((), ["0 of 2 approvals are proven: nobody"]),
    "one too few": ((BOS,), ONE),
    "one person twice": ((BOS, BOS), ONE),
    "one person twice, in two spellings": ((BOS, decided(SPELT, by_passkey(SPELT))), [ONE[0].replace("bo", "BO")]),
    "in another's name": ((ALICES, decided(CY, by_passkey(CY))._replace(by="bo")), ALICE_ALONE),
    "without a proof": ((decided(ALICE, None), BOS), ONE),
    "by a token": ((ALICES._replace(statement=None), BOS), ONE),
    "by a key of its own": ((decided(ALICE, BY_STRANGER), BOS), ONE),
    "somebody else's": ((ALICES._replace(by="cy"), BOS), ONE),
    "under a name without keys": ((decided(CY, by_hardware(CY)), BOS), ONE),
    "another action's": ((decided(OTHER, by_hardware(OTHER)), BOS), ONE),
    "another action's signature": ((decided(ALICE, by_hardware(OTHER)), BOS), ONE),
    "a denial's signature": ((decided(ALICE, by_hardware(DENIED)), BOS), ONE),
    "another time": ((ALICES._replace(at="2026-11-28T21:41:00.000000Z"), BOS), ONE),
    "a malformed statement": ((ALICES._replace(statement="{}"), BOS), ONE),
    "another kind of proof": ((decided(ALICE, {"kind": "passkey"}), BOS), ONE),
    "an SSH signature for a passkey": ((ALICES, decided(BO, by_hardware(BO))), ALICE_ALONE),
    "a passkey's assertion under another kind": ((ALICES, decided(BO, {**by_passkey(BO), "kind": "ssh"})), ALICE_ALONE),
    "a passkey's assertion over another statement": ((ALICES, decided(BO, by_passkey(ALICE))), ALICE_ALONE),
    "a stranger's passkey under the same id": ((ALICES, decided(BO, dict(FAKE.sign(BO.digest)))), ALICE_ALONE),
    "a passkey's assertion on another page": ((ALICES, decided(BO, dict(ELSEWHERE.sign(BO.digest)))), ALICE_ALONE),
    "a denial": ((*GOOD.decisions, decided(DENIED, None)), ["cy denied the request"]),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_server_that_lies_about_decisions_proves_nothing(lie: str) -> None:
    """Each way is refused, because one approval too few is left."""
    decisions, expected = LIES[lie]
    assert failures(replace(GOOD, decisions=decisions)) == expected


def test_the_statement_may_ask_for_more_than_the_file() -> None:
    """Who signed that two have to approve has not approved alone, whatever is left out of the receipt."""
    assert failures(replace(GOOD, decisions=(BOS,)), replace(RING, approvals=1)) == ONE
    assert failures(GOOD, replace(RING, approvals=1)) == []


def test_a_key_that_proves_too_little_does_not_count() -> None:
    """A hardware key that nobody touched, and a passkey that did not verify the person."""
    key = EnrolledKey("alice", UNTOUCHED.key, Presence.REQUIRED)
    proof: dict[str, JsonValue] = {"kind": "ssh", "signature": UNTOUCHED.sign(ALICE.signed_line)}
    untouched = replace(GOOD, decisions=(decided(ALICE, proof), GOOD.decisions[1]))
    assert failures(untouched, replace(RING, keys=(key, RING.keys[2]))) == ONE
    unverified = replace(AUTHENTICATOR, flags=0x01)
    unverified.private = AUTHENTICATOR.private
    less = decided(BO, dict(unverified.sign(BO.digest)))
    assert failures(replace(GOOD, decisions=(GOOD.decisions[0], less))) == ALICE_ALONE


def test_a_plain_key_counts_where_it_is_listed_as_one() -> None:
    """It proves a signature, and no more."""
    proof: dict[str, JsonValue] = {"kind": "ssh", "signature": signed_by(key_of(*KINDS[0]), ALICE.signed_line)}
    checks = check_receipt(parse_receipt(written(replace(GOOD, decisions=(decided(ALICE, proof), GOOD.decisions[1])))), RING)
    assert [check.sentence for check in checks if not check.passed] == []
    assert "a signature (ssh, SHA256:" in checks[-3].sentence


def test_what_the_server_says_of_the_request_has_to_fit() -> None:
    """Another status, context, command or server than the statements'."""
    assert failures(replace(GOOD, status="denied")) == ["the request was denied, as the server says"]
    assert failures(replace(GOOD, context={})) == ["the context is the one that was decided on"]
    bound = replace(GOOD, subject=replace(SUBJECT, run_sha256="ab" * 32))
    assert "the digest of the command is the one in the action" in failures(bound)
    command = replace(GOOD, subject=replace(SUBJECT, action=f"ls\ndigest: sha256:{'ab' * 32}", run_sha256="cd" * 32))
    assert "the digest of the command is the one in the action" in failures(command)
    moved = parse_receipt(written(GOOD, server="another"))
    assert "made at another server" in check_receipt(moved, RING)[0].sentence


def test_the_servers_signature_has_to_fit() -> None:
    """It covers all of the receipt; a listed server has to be that one, with that key."""
    listed = replace(RING, server=ServerKey(SUBJECT.server, SERVER_KEY))
    assert failures(GOOD, listed) == []
    assert "or by another key" in failures(GOOD, replace(RING, server=ServerKey(SUBJECT.server, b"\0" * 32)))[0]
    changed = written(GOOD).replace(b'"comment": null', b'"comment": "x"')
    assert failures(changed) == ["the server's signature does not fit the receipt"]
    nonsense = json.loads(written(GOOD))
    nonsense["server"]["key"] = "AAAA"
    assert failures(json.dumps(nonsense).encode()) == ["the server's signature does not fit the receipt"]


def changed_field(*path: str | int, value: object) -> bytes:
    """A receipt with another value in one place."""
    found = json.loads(written(GOOD))
    place = found
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return json.dumps(found).encode()


MALFORMED = [
    b"",
    b"[]",
    b"{}",
    written(GOOD) + b" " * (LIMIT + 1 - len(written(GOOD))),
    changed_field("more", value=1),
    changed_field("type", value="x"),
    changed_field("subject", value=[]),
    changed_field("subject", "action", value=1),
    changed_field("subject", "more", value="x"),
    changed_field("context", value=[]),
    changed_field("status", value=None),
    changed_field("decisions", value={}),
    changed_field("decisions", 0, value=[]),
    changed_field("decisions", 0, "by", value=None),
    changed_field("decisions", 0, "more", value="x"),
    changed_field("decisions", 0, "comment", value=1),
    changed_field("decisions", 0, "proof", value=[]),
    changed_field("context", "deep", value=json.loads("[" * 900 + "]" * 900)),
    changed_field("context", "half", value="\ud800"),
    changed_field("server", value={}),
    changed_field("server", "more", value="x"),
    changed_field("server", "key", value="+"),
]


@pytest.mark.parametrize("data", MALFORMED)
def test_what_is_not_a_receipt_is_refused(data: bytes) -> None:
    """Other types, missing and further fields, and what is too large."""
    with pytest.raises(ProofError):
        parse_receipt(data)


def test_a_receipt_needs_no_context() -> None:
    """A request without one has none in its receipt."""
    subject = replace(SUBJECT, context_sha256=None)
    alice, bo = replace(ALICE, subject=subject), replace(BO, subject=subject)
    decisions = (decided(alice, by_hardware(alice)), decided(bo, by_passkey(bo)))
    assert failures(Receipt(subject, None, "approved", AT, decisions)) == []


def test_a_receipt_may_be_as_large_as_the_limit() -> None:
    """Blanks after it do not matter."""
    good = written(GOOD)
    assert failures(good + b" " * (LIMIT - len(good))) == []
