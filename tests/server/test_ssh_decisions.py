"""Decisions signed with SSH keys at a real server: what each key proves, and every proof that does not count."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from molecule_approve.proofs.ssh import parse_ssh_key
from molecule_approve.server import enrolment
from molecule_approve.settings.policy_yaml import parse_policy
from tests.proofs.signing import SoftwareHardwareKey, generated, public_text, signed_by
from tests.server.signer import Signer

if TYPE_CHECKING:
    from molecule_approve.proofs.ssh import SshKey
    from molecule_approve.proofs.statement import Statement
    from tests.server.conftest import OpenDesk
    from tests.server.desk import Desk

POLICY = b"""
version: 1
rules:
  - {name: signed, match: {action: "sign*"}, presence: signature}
  - {name: touched, match: {action: "touch*"}, presence: required}
  - {name: verified, match: {action: "verify*"}, presence: verified}
  - {name: two, match: {action: "two*"}, presence: required, approvals: 2}
  - {name: counted, match: {action: "count*"}, approvals: 2}
"""
PLAIN, UNTOUCHED, TOUCHED, UNTOUCHED_PIN, VERIFIED = "plain", 0x00, 0x01, 0x04, 0x05
ECDSA = "sk-ecdsa-sha2-nistp256@openssh.com"


@dataclass
class PlainKey:
    """A key of ssh-keygen in a file, which signs as a software-made hardware key does in these tests."""

    path: Path
    counter: int = 0

    @property
    def key(self) -> SshKey:
        """The public key."""
        return parse_ssh_key(public_text(self.path))

    def sign(self, message: bytes) -> str:
        """By ssh-keygen."""
        return signed_by(self.path, message)


@pytest.fixture
def ruled(open_desk: OpenDesk) -> Desk:
    """A desk at a server with the policy; its approvers are alice and bo."""
    desk = open_desk(policy=parse_policy(POLICY, Path("policy.yaml")))
    desk.server.add_approver("bo")
    return desk


@pytest.fixture
def alice(ruled: Desk) -> Signer:
    """alice, with a hardware key whose PIN was verified."""
    return Signer(ruled, "alice")


def send(
    signer: Signer, asked: str, made: Statement | Nonsense, signature: str, decision: str = "approved"
) -> tuple[int, dict[str, Any]]:
    """Decide with this statement and signature: the status and body of the answer."""
    body = {"decision": decision, "statement": made.text, "proof": {"kind": "ssh", "signature": signature}}
    with signer.desk.client(signer.desk.session(signer.name)) as client:
        answer = client.post(f"{signer.desk.path}/{asked}/decide", json=body)
        return answer.status_code, answer.json()


@pytest.mark.usefixtures("untraced")
@pytest.mark.parametrize("action", ["sign", "touch", "verify"])
@pytest.mark.parametrize("shows", [PLAIN, UNTOUCHED, TOUCHED, UNTOUCHED_PIN, VERIFIED])
@pytest.mark.parametrize("kind", ["sk-ssh-ed25519@openssh.com", ECDSA])
def test_what_a_key_shows_has_to_be_what_the_rule_wants(
    ruled: Desk, tmp_path: Path, action: str, shows: int | str, kind: str
) -> None:
    """A plain key or an untouched one proves a signature, a touched one presence, one with a PIN too who it is."""
    if isinstance(shows, str):
        made: Any = PlainKey(generated(tmp_path, "ed25519" if "ed25519" in kind else "ecdsa"))
        reaches = 1
    else:
        made = SoftwareHardwareKey(kind, flags=shows)
        reaches = {UNTOUCHED: 1, TOUCHED: 2, UNTOUCHED_PIN: 1, VERIFIED: 3}[shows]
    signer, asked = Signer(ruled, "alice", made), ruled.ask(action)
    answer = signer.decide(asked)
    if reaches >= {"sign": 1, "touch": 2, "verify": 3}[action]:
        assert (answer.status_code, answer.json()["status"]) == (200, "approved")
        proof = ruled.one(asked)["decisions"][0]["proof"]
        assert proof == ("ssh" if shows == PLAIN else "ssh-sk")
    else:
        said = answer.json()
        assert (answer.status_code, said["code"]) == (403, "presence_required")
        assert "wants an approval that proves that" in said["error"]
        assert ruled.one(asked)["status"] == "pending"
        assert signer.decide(asked, "denied").json()["status"] == "denied"


def _others(alice: Signer, asked: str, change: Callable[[Statement], Statement]) -> tuple[Statement, str]:
    made = change(alice.statement(asked))
    return made, alice.key.sign(made.signed_line)


def _about(**more: Any) -> Callable[[Signer, str], tuple[Statement, str]]:  # noqa: ANN401 - fields of a subject
    return lambda alice, asked: _others(alice, asked, lambda made: replace(made, subject=replace(made.subject, **more)))


def _saying(**more: Any) -> Callable[[Signer, str], tuple[Statement, str]]:  # noqa: ANN401 - fields of a statement
    return lambda alice, asked: _others(alice, asked, lambda made: replace(made, **more))


def _made(seconds: float) -> Callable[[Signer, str], tuple[Statement, str]]:
    def made(alice: Signer, asked: str) -> tuple[Statement, str]:
        then = (datetime.now(UTC) + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        return _saying(at=then)(alice, asked)

    return made


def _for_another_request(alice: Signer, _asked: str) -> tuple[Statement, str]:
    made = alice.statement(alice.desk.ask("touch something else"))
    return made, alice.key.sign(made.signed_line)


@dataclass(frozen=True)
class Nonsense:
    """What is sent instead of a statement."""

    text: str = "{}"


def _with_a_statement_that_is_none(_alice: Signer, _asked: str) -> tuple[Nonsense, str]:
    return Nonsense(), ""


def _in_another_namespace(alice: Signer, asked: str) -> tuple[Statement, str]:
    made = alice.statement(asked)
    return made, alice.key.sign(made.signed_line, "git")


def _with_the_signature_of_another_statement(alice: Signer, asked: str) -> tuple[Statement, str]:
    made = alice.statement(asked)
    return made, alice.key.sign(replace(made, decision="denied").signed_line)


def _by_an_unenrolled_key(alice: Signer, asked: str) -> tuple[Statement, str]:
    made = alice.statement(asked)
    return made, SoftwareHardwareKey().sign(made.signed_line)


def _by_a_key_of_another_person(alice: Signer, asked: str) -> tuple[Statement, str]:
    made = alice.statement(asked)
    return made, Signer(alice.desk, "bo").key.sign(made.signed_line)


def _by_a_removed_key(alice: Signer, asked: str) -> tuple[Statement, str]:
    alice.desk.change("UPDATE approver_keys SET removed_at = '2026-11-28T22:00:00.000000Z'")
    made = alice.statement(asked)
    return made, alice.key.sign(made.signed_line)


def _counting(counter: int) -> Callable[[Signer, str], tuple[Statement, str]]:
    def made(alice: Signer, asked: str) -> tuple[Statement, str]:
        alice.key.counter = 7
        alice.decide(alice.desk.ask("touch the first"))
        alice.key.counter = counter
        statement = alice.statement(asked)
        return statement, alice.key.sign(statement.signed_line)

    return made


REFUSED: dict[str, tuple[Callable[[Signer, str], tuple[Statement | Nonsense, str]], str, str]] = {
    "another request's": (_for_another_request, "statement", "is about something else: request, action"),
    "another decision's": (_saying(decision="denied"), "statement", "is about something else: decision"),
    "another person's": (_saying(approver="bo"), "statement", "is about something else: approver"),
    "another server's": (_about(server="other"), "statement", "is about something else: server"),
    "another action's": (_about(action="x"), "statement", "is about something else: action"),
    "another rule's": (_about(rule="x"), "statement", "is about something else: rule"),
    "another text of the rule": (_about(rule_sha256="0" * 64), "statement", "is about something else: rule_sha256"),
    "another number of approvals": (_about(approvals=9), "statement", "is about something else: approvals"),
    "unreadable": (_with_a_statement_that_is_none, "statement", "cannot be read: it is not 'molecule-approve decision v1'"),
    "too early": (_made(-301), "statement", "the clocks may be 300 s apart"),
    "too late": (_made(302), "statement", "the clocks may be 300 s apart"),
    "at no time": (_saying(at="noon"), "statement", "the statement was made at noon, and here it is 20"),
    "another namespace's": (_in_another_namespace, "bad_proof", "is made for 'git', not for 'molecule-approve@v1'"),
    "another statement's": (_with_the_signature_of_another_statement, "bad_proof", "does not fit the statement"),
    "not enrolled": (_by_an_unenrolled_key, "bad_proof", "the SSH signature is by the key SHA256:"),
    "another person's key": (_by_a_key_of_another_person, "bad_proof", "the SSH signature is by the key SHA256:"),
    "removed": (_by_a_removed_key, "bad_proof", "alice has no such key here"),
    "a counter that went back": (_counting(3), "bad_proof", "has counted backwards, so there may be a copy of it"),
    "a counter that stands still": (_counting(8), "bad_proof", "has counted backwards"),
    "a counter that starts anew": (_counting(0), "bad_proof", "has counted backwards"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_proof_that_shows_something_else_decides_nothing(alice: Signer, case: str) -> None:
    """422 with its code and sentence; the request stays open, and the same person can still decide it."""
    made, code, sentence = REFUSED[case]
    asked = alice.desk.ask("touch it")
    statement, signature = made(alice, asked)
    status, said = send(alice, asked, statement, signature)
    assert (status, said["code"]) == (422, code)
    assert sentence in said["error"]
    assert alice.desk.one(asked)["status"] == "pending"
    assert alice.desk.select("SELECT name FROM decisions WHERE approval_id = ?", asked) == []


_MORE: dict[str, str] = {
    "another field": '"x"',
    "half a character": '"\\ud800"',
    "hundreds of levels": "[" * 900 + "]" * 900,
    "a number": "9" * 4_000,
}


@pytest.mark.parametrize("more", _MORE)
@pytest.mark.parametrize("name", ["note", "kind"])
def test_a_proof_has_no_more_than_a_proofs_fields(alice: Signer, more: str, name: str) -> None:
    """Whatever else came along would be kept, and told in every receipt."""
    asked = alice.desk.ask("touch it")
    made = alice.statement(asked)
    proof = {**alice.sign(made), name: "more"}
    body = json.dumps({"decision": "approved", "statement": made.text, "proof": proof}).replace('"more"', _MORE[more])
    with alice.desk.client(alice.desk.session()) as client:
        answer = client.post(f"{alice.desk.path}/{asked}/decide", content=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "bad_proof")
    assert "it has other fields than a proof has" in answer.json()["error"]
    assert alice.decide(asked).json()["status"] == "approved"


@pytest.mark.parametrize("seconds", [-295, 295])
def test_clocks_may_differ_a_little(alice: Signer, seconds: int) -> None:
    """Less than five minutes, both ways."""
    asked = alice.desk.ask("touch it")
    assert send(alice, asked, *_made(seconds)(alice, asked))[1]["status"] == "approved"


def test_a_proof_counts_once(alice: Signer) -> None:
    """Also after the approval for which it was given was retracted."""
    asked = alice.desk.ask("two of us touch it")
    made = alice.statement(asked)
    signature = alice.key.sign(made.signed_line)
    assert send(alice, asked, made, signature)[1]["approvals"] == {"have": 1, "need": 2}
    with alice.desk.client(alice.desk.session()) as client:
        assert client.post(f"{alice.desk.path}/{asked}/retract").status_code == 200
    status, said = send(alice, asked, made, signature)
    assert (status, said["code"]) == (409, "proof_used")
    assert alice.decide(asked).json()["status"] == "pending"


def test_a_key_that_does_not_count_its_uses_can_be_used_again(ruled: Desk) -> None:
    """Some say 0 each time."""
    alice = Signer(ruled, "alice")
    for number in range(2):
        alice.key.counter = -1
        assert alice.decide(ruled.ask(f"touch {number}")).json()["status"] == "approved"


def test_a_revoked_approvers_key_is_free_for_another_one(alice: Signer) -> None:
    """Who is added again under the same name has no keys; the key can be enrolled anew."""
    with alice.desk.server.opened() as store, store.write() as transaction:
        transaction.credentials.revoke_approver("alice", "2026-11-28T22:00:00.000000Z")
    alice.desk.decider.headers["Authorization"] = f"Bearer {alice.desk.server.add_approver('alice')}"
    asked = alice.desk.ask("touch it")
    assert alice.decide(asked).json()["code"] == "bad_proof"
    with alice.desk.server.opened() as store:
        enrolment.enrol_ssh(store, "alice", alice.key.text, None)
    assert alice.decide(asked).json()["status"] == "approved"


def _removed(alice: Signer) -> None:
    alice.desk.change("UPDATE approver_keys SET removed_at = added_at WHERE public_key = ?", alice.key.key.text)


def _kept(proof: str | None) -> Callable[[Signer], None]:
    """Somebody wrote this into the database, in place of the proof."""
    return lambda alice: alice.desk.change("UPDATE decisions SET proof = ? WHERE name = 'alice'", proof)


_OTHER_PROOFS = [None, "{", "[]", "{}", '{"kind": "passkey"}']


@pytest.mark.parametrize("happens", [_removed, *map(_kept, _OTHER_PROOFS)])
def test_an_approval_counts_no_longer_than_its_key(alice: Signer, happens: Callable[[Signer], None]) -> None:
    """Where a proof is wanted, a key that was removed meanwhile proves nothing; with another one alice counts."""
    asked, bo = alice.desk.ask("two of us touch it"), Signer(alice.desk, "bo")
    assert alice.decide(asked).json()["approvals"] == {"have": 1, "need": 2}
    happens(alice)
    assert alice.desk.one(asked)["approvals"]["have"] == 0
    page = alice.desk.decider.get(f"/desk/requests/{asked}").json()
    assert (page["mine"], page["eligible"]) == (None, True)
    assert bo.decide(asked).json()["approvals"] == {"have": 1, "need": 2}
    assert Signer(alice.desk, "alice").decide(asked).json()["status"] == "approved"
    assert [(one["by"], one["proof"]) for one in alice.desk.one(asked)["decisions"]] == [
        ("bo", "ssh-sk"),
        ("alice", "ssh-sk"),
    ]


def test_without_a_wanted_proof_an_approval_outlives_its_key(alice: Signer) -> None:
    """The rule takes the token alone, which is still alice's."""
    asked = alice.desk.ask("count two")
    assert alice.decide(asked).json()["approvals"] == {"have": 1, "need": 2}
    _removed(alice)
    assert alice.desk.one(asked)["approvals"]["have"] == 1
    assert alice.desk.decider.get(f"/desk/requests/{asked}").json()["mine"] == "approved"
