"""Receipts of the embedded server: who gets them, and what stands in them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from molecule_approve.proofs.keys_file import parse_keys
from molecule_approve.proofs.receipt import check_receipt, parse_receipt
from molecule_approve.settings.policy_yaml import parse_policy
from tests.server.signer import Signer

if TYPE_CHECKING:
    from tests.server.conftest import OpenDesk
    from tests.server.desk import Desk

BOTH_DATABASES = True

POLICY = b"""
version: 1
rules:
  - {name: never, match: {action: "never*"}, outcome: deny, message: ask somebody}
  - {name: two, match: {action: "drop*"}, approvals: 2}
"""


@pytest.fixture
def ruled(open_desk: OpenDesk) -> Desk:
    """A desk at a server with the policy, and a second approver."""
    desk = open_desk(policy=parse_policy(POLICY, Path("policy.yaml")))
    desk.server.add_approver("bo")
    return desk


def receipt_of(desk: Desk, approval_id: str) -> dict[str, Any]:
    """The receipt, as the requester gets it."""
    answer = desk.asker.get(f"{desk.path}/{approval_id}/receipt")
    assert answer.status_code == 200, answer.text
    said = answer.json()
    assert said["approval_id"] == approval_id
    found: dict[str, Any] = said["receipt"]
    return found


def failures(receipt: dict[str, Any], keys: str) -> list[str]:
    """What does not hold of it."""
    signed = parse_receipt(json.dumps(receipt).encode())
    return [check.sentence for check in check_receipt(signed, parse_keys(keys.encode())) if not check.passed]


@pytest.mark.parametrize("context", [{"host": "build-7", "load": 0.25, "n": 1e21}, {}], ids=["context", "none"])
def test_the_receipt_of_signed_approvals_holds_without_the_server(ruled: Desk, context: dict[str, object]) -> None:
    """Two people's, for a request with whatever context; the keys file names the server, too."""
    alice, bo = Signer(ruled, "alice"), Signer(ruled, "bo")
    asked = ruled.ask("drop the table", context=context)
    assert alice.decide(asked).json()["approvals"] == {"have": 1, "need": 2}
    assert bo.decide(asked).json()["status"] == "approved"
    found = receipt_of(ruled, asked)
    server = found["server"]
    keys = f"approvals 2\nserver {server['id']} {server['key']}\n{alice.line}\n{bo.line}\n"
    assert failures(found, keys) == []
    assert found["context"] == (context or None)
    assert [one["by"] for one in found["decisions"]] == ["alice", "bo"]
    assert receipt_of(ruled, asked) == found  # Ed25519 signs the same bytes in the same way


def test_a_signature_makes_a_receipt_of_a_request_without_a_rule(desk: Desk) -> None:
    """Its subject names no rule, and one approval."""
    alice = Signer(desk, "alice")
    asked = desk.ask("deploy")
    assert alice.decide(asked).json()["status"] == "approved"
    found = receipt_of(desk, asked)
    assert failures(found, f"approvals 1\n{alice.line}\n") == []
    assert (found["subject"]["rule"], found["subject"]["approvals"]) == (None, 1)


def test_a_decision_by_a_token_is_in_the_receipt_without_a_proof(ruled: Desk) -> None:
    """The server says it, and nothing proves it; so too beside a proof."""
    keys = Signer(ruled, "alice").line
    asked = ruled.ask("deploy")
    ruled.decide(asked, comment="go on")
    (said,) = receipt_of(ruled, asked)["decisions"]
    assert (said["by"], said["decision"], said["comment"]) == ("alice", "approved", "go on")
    assert said["statement"] is said["proof"] is None
    assert failures(receipt_of(ruled, asked), f"approvals 1\n{keys}\n") == ["0 of 1 approvals are proven: nobody"]
    second = ruled.ask("drop the table")
    ruled.decide(second)
    Signer(ruled, "bo").decide(second)
    assert [one["proof"] is None for one in receipt_of(ruled, second)["decisions"]] == [True, False]


def test_a_decision_without_a_policy_is_in_the_receipt(desk: Desk) -> None:
    """Of a request that needs one approval by anybody, and of a denial."""
    for decision in ("approved", "denied"):
        asked = desk.ask("deploy")
        desk.decide(asked, decision, comment="so be it")
        found = receipt_of(desk, asked)
        (said,) = found["decisions"]
        assert (said["by"], said["decision"], said["comment"]) == ("alice", decision, "so be it")
        assert (said["proof"], found["status"], found["subject"]["rule"]) == (None, decision, None)


def test_what_nobody_decided_has_no_decision(ruled: Desk) -> None:
    """A withdrawn request, and one that a rule denied."""
    withdrawn = ruled.ask("deploy")
    ruled.withdraw(withdrawn)
    for approval_id in (withdrawn, ruled.ask("never")):
        found = receipt_of(ruled, approval_id)
        assert (found["status"], found["decisions"]) == ("denied", [])


def test_what_nobody_decided_has_none_without_a_policy_either(desk: Desk) -> None:
    """A withdrawn request, and an expired one."""
    withdrawn, expired = desk.ask("deploy"), desk.ask("deploy")
    desk.withdraw(withdrawn)
    desk.change("UPDATE approvals SET expires = 1.0 WHERE id = ?", expired)
    assert [desk.one(one)["decided_by"] for one in (withdrawn, expired)] == ["withdrawn", "auto-expired"]
    for approval_id in (withdrawn, expired):
        assert receipt_of(desk, approval_id)["decisions"] == []


def test_a_receipt_is_for_the_requester_and_approvers(desk: Desk) -> None:
    """Not for another workspace's requester, an approver of another one, or whoever has no token."""
    asked = desk.ask("deploy")
    desk.decide(asked)
    desk.add_workspace("other", "other", "token-of-other")
    bo = desk.server.add_approver("bo")
    with desk.server.opened() as store, store.write() as transaction:
        transaction.administration.limit_approver(transaction.credentials.approver_named("bo") or "", ["other"])
    told = []
    for token in (None, "token-of-other", bo, desk.server.requester.token):
        with desk.client(token) as client:
            told.append(client.get(f"{desk.path}/{asked}/receipt").status_code)
    assert told == [401, 401, 403, 200]


def test_only_an_ended_request_has_a_receipt(ruled: Desk) -> None:
    """One that waits is refused, and so is one that does not exist."""
    asked = ruled.ask("deploy")
    waiting, unknown = (ruled.asker.get(f"{ruled.path}/{one}/receipt") for one in (asked, "unknown"))
    assert (waiting.status_code, waiting.json()["code"], waiting.json()["approval_id"]) == (409, "not_ended", asked)
    assert (unknown.status_code, unknown.json()["code"]) == (404, "unknown_approval")


@pytest.mark.parametrize("column", ["statement", "proof"])
@pytest.mark.parametrize("value", ["", "[]", f'{{"kind": "ssh", "signature": {"[" * 500}{"]" * 500}}}'])
def test_what_was_changed_in_the_database_proves_nothing(ruled: Desk, column: str, value: str) -> None:
    """The receipt is told all the same; the approval does not count."""
    alice = Signer(ruled, "alice")
    asked = ruled.ask("deploy")
    alice.decide(asked)
    ruled.change(f"UPDATE decisions SET {column} = ? WHERE approval_id = ?", value, asked)
    assert failures(receipt_of(ruled, asked), f"approvals 1\n{alice.line}\n") == ["0 of 1 approvals are proven: nobody"]
