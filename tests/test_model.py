"""model.py: the nouns."""

from __future__ import annotations

import dataclasses
import json

import pytest

from molecule_approve.errors import ProtocolError
from molecule_approve.model import (
    ApprovalProgress,
    Endpoint,
    Evidence,
    Failure,
    Outcome,
    PersonDecision,
    Secret,
    Status,
    Verdict,
    WaitingGroup,
)

KEYS = [
    "outcome", "approved", "approval_id", "action", "requested_by", "decided_by", "decided_by_verified", "self_approved",
    "comment", "decided_at", "decisions", "approvals", "requested_at", "expires_at", "waited_seconds", "trace_id",
    "evidence", "recorded", "error",
]  # fmt: skip


def test_a_secret_does_not_show_itself() -> None:
    """Not in a repr, a format string, a dataclass around it or an exception's arguments."""
    secret = Secret("hunter2")
    shown = f"{secret!r} {secret} {secret!s:>10} {Endpoint('https://a', 'w', token=secret)} {ValueError(secret)!r}"
    assert "hunter2" not in shown
    assert not hasattr(secret, "__dict__")
    assert secret.reveal() == "hunter2"


def test_an_error_as_it_is_shown() -> None:
    """Its stable word, its sentence and its hint."""
    assert Failure.of(ProtocolError("what?", hint="look there")) == Failure("protocol", "what?", "look there")


def test_secrets_are_equal_by_value() -> None:
    """And equal to nothing else."""
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a"), Secret("b")}) == 2


@pytest.mark.parametrize("outcome", list(Outcome))
def test_only_one_outcome_is_a_yes(outcome: Outcome) -> None:
    """Everything else is a no."""
    verdict = Verdict(outcome)
    assert verdict.approved is (outcome is Outcome.APPROVED)
    assert verdict.as_json()["approved"] is (outcome is Outcome.APPROVED)


@pytest.mark.parametrize("outcome", Outcome)
def test_of_a_name_that_is_not_there_nothing_is_known(outcome: Outcome) -> None:
    """Null in JSON, as everything that is not known; in Python it stays a bool."""
    nobodys, bobs = Verdict(outcome), Verdict(outcome, decided_by="bob")
    assert (nobodys.as_json()["decided_by_verified"], nobodys.decided_by_verified) == (None, False)
    by_person = outcome not in {Outcome.TIMEOUT, Outcome.EXPIRED, Outcome.WITHDRAWN}
    assert bobs.as_dict()["decided_by_verified"] == bobs.as_json()["decided_by_verified"] == (False if by_person else None)


@pytest.mark.parametrize(
    ("verdict", "message"),
    [
        (Verdict(Outcome.APPROVED, decided_by="alice", decided_by_verified=True), "approved by alice"),
        (Verdict(Outcome.APPROVED, decided_by="alice"), "approved by alice (name not verified)"),
        (Verdict(Outcome.APPROVED, decided_by="alice", decided_by_verified=True, self_approved=True, comment="go"),
         "approved by alice (also the requester): go"),
        (Verdict(Outcome.DENIED, decided_by="bob", decided_by_verified=True, comment="not on a Friday"),
         "denied by bob: not on a Friday"),
        (Verdict(Outcome.DENIED), "denied by nobody (name not verified)"),
        (Verdict(Outcome.TIMEOUT, waited_seconds=299.9), "timed out: nobody decided within 300 s"),
        (Verdict(Outcome.EXPIRED), "expired: nobody decided in time"),
        (Verdict(Outcome.WITHDRAWN), "withdrawn by the requester"),
        (Verdict(Outcome.PENDING), "pending: nobody has decided yet"),
        (Verdict(Outcome.NOT_PERMITTED, error=Failure("k", "no role")), "not permitted: no role"),
        (Verdict(Outcome.FAILED, error=Failure("k", "away")), "gate failed: away"),
        (Verdict(Outcome.INTERRUPTED, error=Failure("k", "SIGTERM")), "interrupted: SIGTERM"),
        (Verdict(Outcome.FAILED), "gate failed"),
        (Verdict(Outcome.INTERRUPTED), "interrupted"),
    ],
)  # fmt: skip
def test_a_verdict_is_one_line(verdict: Verdict, message: str) -> None:
    """The name says whether it was verified."""
    assert verdict.message == message
    assert verdict.as_dict()["message"] == message


@pytest.mark.parametrize("outcome", list(Outcome))
def test_the_json_object_always_has_the_same_keys(outcome: Outcome) -> None:
    """In the order of the contract, whatever the outcome; as_dict has the message besides."""
    found = Verdict(outcome).as_json()
    assert list(found) == KEYS
    assert list(Verdict(outcome).as_dict()) == [*KEYS, "message"]
    assert json.loads(json.dumps(found)) == found


def test_the_json_object_tells_how_far_a_request_is() -> None:
    """Each decision with how it was proven, and who could still approve."""
    decision = PersonDecision("alice", "2026-11-28T22:00:00Z", Status.APPROVED, "fine", "token")
    progress = ApprovalProgress(2, 1, "two", approved_by=("alice",), waiting_for=(WaitingGroup("dba", ("bo", "cy")),))
    found = json.loads(json.dumps(Verdict(Outcome.PENDING, decisions=(decision,), progress=progress).as_json()))
    at = "2026-11-28T22:00:00Z"
    assert found["decisions"] == [{"by": "alice", "at": at, "decision": "approved", "comment": "fine", "proof": "token"}]
    assert found["approvals"] == {
        "need": 2,
        "have": 1,
        "rule": "two",
        "presence": "none",
        "comment": False,
        "approved_by": ["alice"],
        "waiting_for": [{"group": "dba", "people": ["bo", "cy"]}],
    }


def test_the_json_object_holds_what_the_verdict_holds() -> None:
    """Evidence as its word, the error as an object, the wait to milliseconds."""
    verdict = Verdict(
        Outcome.FAILED,
        action="deploy",
        approval_id="i",
        waited_seconds=1.23456,
        evidence=Evidence.EVENT,
        recorded=True,
        error=Failure("platform", "away", "start it"),
    )
    found = verdict.as_json()
    assert found["outcome"] == "failed"
    assert found["evidence"] == "event"
    assert found["waited_seconds"] == 1.235
    assert found["error"] == {"kind": "platform", "message": "away", "hint": "start it"}
    assert (found["action"], found["approval_id"], found["recorded"]) == ("deploy", "i", True)


def test_values_do_not_change() -> None:
    """A verdict is what it was."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        Verdict(Outcome.DENIED).outcome = Outcome.APPROVED  # type: ignore[misc]  # that it cannot be assigned is the test


@pytest.mark.parametrize("outcome", list(Outcome))
def test_a_verdict_is_neither_true_nor_false(outcome: Outcome) -> None:
    """A refusal must not pass for a yes by being an object."""
    with pytest.raises(TypeError, match=r"use \.approved"):
        bool(Verdict(outcome))
