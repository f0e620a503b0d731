"""Decisions that a passkey signs: only a fresh signature of an enrolled key, over this very decision, counts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from molecule_approve.settings.policy_yaml import parse_policy
from tests.server.passkey_desk import PasskeyDesk

if TYPE_CHECKING:
    from molecule_approve.proofs.statement import Statement
    from tests.proofs.signing import SoftwareAuthenticator
    from tests.server.conftest import OpenDesk

POLICY = b"""
version: 1
rules:
  - {name: two, match: {action: "drop*"}, approvals: 2, presence: required}
  - {name: touched, match: {action: "touch*"}, presence: required}
  - {name: known, match: {action: "know*"}, presence: verified}
"""


@pytest.fixture
def house(open_desk: OpenDesk) -> Iterator[PasskeyDesk]:
    """A desk under the policy, whose approvers are alice and bo."""
    desk = open_desk(policy=parse_policy(POLICY, Path("policy.yaml")))
    desk.server.add_approver("bo")
    with PasskeyDesk(desk) as found:
        yield found


def _code(house: PasskeyDesk, asked: str, statement: Statement, proof: dict[str, str], **more: str) -> str:
    """The code of the refusal, or the status of the request."""
    said = house.decide(asked, statement, proof, **more).json()
    return str(said.get("code", said.get("status")))


def test_a_signature_approves_where_a_session_cannot(house: PasskeyDesk) -> None:
    """Presence is asked for: the session alone can deny, and the passkey approves; the statement and its proof are kept."""
    signs, asked = house.enrolled(), house.desk.ask("touch this")
    plain = house.client().post(f"{house.desk.path}/{asked}/decide", json={"decision": "approved"})
    assert plain.json()["code"] == "presence_required"
    statement = house.statement(asked)
    assert _code(house, asked, statement, signs.sign(statement.digest)) == "approved"
    assert house.desk.select("SELECT statement, proof_kind FROM decisions") == [(statement.text, "passkey")]
    assert house.desk.select("SELECT sign_count FROM approver_keys") == [(signs.counter,)]


Wrong = Callable[[PasskeyDesk, "SoftwareAuthenticator", str], tuple["Statement", dict[str, str]]]


def _of_another_request(house: PasskeyDesk, signs: SoftwareAuthenticator, _asked: str) -> tuple[Statement, dict[str, str]]:
    statement = house.statement(house.desk.ask("touch that"))
    return statement, signs.sign(statement.digest)


def _of_another_decision(house: PasskeyDesk, signs: SoftwareAuthenticator, asked: str) -> tuple[Statement, dict[str, str]]:
    statement = house.statement(asked, "denied")
    return statement, signs.sign(statement.digest)


def _of_another_server(house: PasskeyDesk, signs: SoftwareAuthenticator, asked: str) -> tuple[Statement, dict[str, str]]:
    statement = house.statement(asked)
    elsewhere = replace(statement, subject=replace(statement.subject, server="another"))
    return elsewhere, signs.sign(elsewhere.digest)


def _of_another_time(house: PasskeyDesk, signs: SoftwareAuthenticator, asked: str) -> tuple[Statement, dict[str, str]]:
    early = replace(house.statement(asked), at="2026-01-01T00:00:00.000000Z")
    return early, signs.sign(early.digest)


def _signed_for_another_text(
    house: PasskeyDesk, signs: SoftwareAuthenticator, asked: str
) -> tuple[Statement, dict[str, str]]:
    statement = house.statement(asked)
    return statement, signs.sign(house.statement(house.desk.ask("touch that")).digest)


def _with(**changed: object) -> Wrong:
    """By a passkey that is used otherwise."""

    def made(house: PasskeyDesk, signs: SoftwareAuthenticator, asked: str) -> tuple[Statement, dict[str, str]]:
        for name, value in changed.items():
            setattr(signs, name, value)
        statement = house.statement(asked)
        return statement, signs.sign(statement.digest)

    return made


def _by_another_person(house: PasskeyDesk, _signs: SoftwareAuthenticator, asked: str) -> tuple[Statement, dict[str, str]]:
    statement = house.statement(asked)
    return statement, house.enrolled("bo").sign(statement.digest)


def _by_a_removed_key(house: PasskeyDesk, signs: SoftwareAuthenticator, asked: str) -> tuple[Statement, dict[str, str]]:
    house.desk.change("UPDATE approver_keys SET removed_at = added_at")
    statement = house.statement(asked)
    return statement, signs.sign(statement.digest)


def _by_an_unenrolled_key(house: PasskeyDesk, _signs: SoftwareAuthenticator, asked: str) -> tuple[Statement, dict[str, str]]:
    statement = house.statement(asked)
    return statement, house.authenticator(credential_id=b"nobody's").sign(statement.digest)


def _with_the_id_of_an_enrolled_one(
    house: PasskeyDesk, _signs: SoftwareAuthenticator, asked: str
) -> tuple[Statement, dict[str, str]]:
    statement = house.statement(asked)
    return statement, house.authenticator().sign(statement.digest)


WRONG: dict[str, tuple[Wrong, str, str]] = {
    "another request's": (_of_another_request, "statement", "request"),
    "another decision's": (_of_another_decision, "statement", "decision"),
    "another server's": (_of_another_server, "statement", "server"),
    "an old one": (_of_another_time, "statement", "here it is"),
    "signed for another text": (_signed_for_another_text, "bad_proof", "signed another statement"),
    "wrong origin": (_with(origin="http://localhost:1"), "bad_proof", "was used on the page"),
    "loopback by number": (_with(origin="http://127.0.0.1:8788"), "bad_proof", "was used on the page"),
    "wrong host": (_with(rp_id="127.0.0.1"), "bad_proof", "for another host"),
    "not touched": (_with(flags=0x04), "bad_proof", "nobody touched"),
    "in a frame": (_with(said={"crossOrigin": True}), "bad_proof", "in a frame"),
    "an enrolment": (_with(said={"type": "webauthn.create"}), "bad_proof", "for something else"),
    "a counter that went back": (_with(counter=2), "bad_proof", "was not greater than current count"),
    "a counter that stands still": (_with(counter=3), "bad_proof", "was not greater than current count"),
    "a counter that starts anew": (_with(counter=0), "bad_proof", "was not greater than current count"),
    "another person's": (_by_another_person, "bad_proof", "no such key"),
    "removed": (_by_a_removed_key, "bad_proof", "no such key"),
    "not enrolled": (_by_an_unenrolled_key, "bad_proof", "no such key"),
    "not the enrolled one": (_with_the_id_of_an_enrolled_one, "bad_proof", "signature does not fit"),
}


@pytest.mark.usefixtures("untraced")
@pytest.mark.parametrize("case", WRONG)
def test_a_proof_that_shows_something_else_decides_nothing(house: PasskeyDesk, case: str) -> None:
    """It is refused with a sentence, and the request goes on waiting."""
    made, code, why = WRONG[case]
    signs, asked = house.enrolled(), house.desk.ask("touch this")
    statement, proof = made(house, signs, asked)
    answer = house.decide(asked, statement, proof)
    assert (answer.status_code, answer.json()["code"]) == (422, code)
    assert why in answer.json()["error"]
    assert house.desk.one(asked)["status"] == "pending"


def test_a_proof_counts_once(house: PasskeyDesk) -> None:
    """Also after the approval was retracted: the same assertion is refused, a fresh one counts."""
    signs, asked = house.enrolled(), house.desk.ask("drop this")
    statement = house.statement(asked)
    proof = signs.sign(statement.digest)
    assert _code(house, asked, statement, proof) == "pending"
    assert house.client().post(f"{house.desk.path}/{asked}/retract").json()["approvals"] == {"have": 0, "need": 2}
    assert _code(house, asked, statement, proof) == "proof_used"
    signs.counter += 1
    fresh = house.statement(asked)
    assert _code(house, asked, fresh, signs.sign(fresh.digest)) == "pending"
    assert house.desk.one(asked)["approvals"]["approved_by"] == ["alice"]


def test_an_approval_counts_no_longer_than_its_passkey(house: PasskeyDesk) -> None:
    """One that is removed while the request waits proves nothing any more; alice can approve again with another one."""
    first, asked = house.enrolled(), house.desk.ask("drop this")
    statement = house.statement(asked)
    assert _code(house, asked, statement, first.sign(statement.digest)) == "pending"
    house.desk.change("UPDATE approver_keys SET removed_at = added_at")
    assert house.desk.one(asked)["approvals"]["approved_by"] == []
    second, fresh = house.enrolled(credential_id=b"the second one"), house.statement(asked)
    assert _code(house, asked, fresh, second.sign(fresh.digest)) == "pending"
    assert house.desk.one(asked)["approvals"]["approved_by"] == ["alice"]


def test_verification_is_read_from_the_signature(house: PasskeyDesk) -> None:
    """A touch is enough where the rule asks for presence; where it asks for the person, the authenticator has to say so."""
    signs = house.enrolled()
    cases = (("touch", 0x01, "approved"), ("know", 0x01, "presence_required"), ("know", 0x05, "approved"))
    for action, flags, expected in cases:
        asked = house.desk.ask(action)
        signs.flags, signs.counter = flags, signs.counter + 1
        statement = house.statement(asked)
        assert _code(house, asked, statement, signs.sign(statement.digest)) == expected, (action, flags)


def test_an_authenticator_that_does_not_count_can_sign_again(house: PasskeyDesk) -> None:
    """Many synchronized passkeys always say 0: then there is nothing that could go back."""
    signs = house.enrolled(counter=0)
    signs.counter = 0
    for _ in range(2):
        asked = house.desk.ask("touch this")
        statement = house.statement(asked)
        assert _code(house, asked, statement, signs.sign(statement.digest)) == "approved"


def test_a_denial_can_be_signed_too(house: PasskeyDesk) -> None:
    """It is not asked for, and it is kept with the decision."""
    signs, asked = house.enrolled(), house.desk.ask("touch this")
    statement = house.statement(asked, "denied")
    assert _code(house, asked, statement, signs.sign(statement.digest), decision="denied") == "denied"
    assert house.desk.one(asked)["decisions"][0]["proof"] == "passkey"


def test_a_signed_decision_needs_no_rule(house: PasskeyDesk) -> None:
    """A passkey is offered everywhere; what it signed is kept."""
    signs, asked = house.enrolled(), house.desk.ask("deploy")
    statement = house.statement(asked)
    assert _code(house, asked, statement, signs.sign(statement.digest)) == "approved"
    found: dict[str, Any] = house.desk.one(asked)
    assert [(one["by"], one["proof"]) for one in found["decisions"]] == [("alice", "passkey")]


def test_a_text_that_is_no_statement_is_refused(house: PasskeyDesk) -> None:
    """Whatever signed it."""
    asked = house.desk.ask("touch this")
    body = {"decision": "approved", "statement": "{}", "proof": {"kind": "passkey"}}
    answer = house.client().post(f"{house.desk.path}/{asked}/decide", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "statement")


def test_each_of_an_approvers_passkeys_signs(house: PasskeyDesk) -> None:
    """And a refusal is about the one that was used."""
    first, second = house.enrolled(), house.enrolled(credential_id=b"the second one")
    for signs in (first, second):
        asked = house.desk.ask("touch this")
        statement = house.statement(asked)
        assert _code(house, asked, statement, signs.sign(statement.digest)) == "approved"
    first.counter, asked = 1, house.desk.ask("touch this")
    statement = house.statement(asked)
    refused = house.decide(asked, statement, first.sign(statement.digest))
    assert "was not greater than current count" in refused.json()["error"]
