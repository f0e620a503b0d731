"""A gate that holds keys: an approval counts only with a receipt that proves it by them, about what was asked from here."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pytest

from molecule_approve.audit.receipts import receipt_path
from molecule_approve.client.platform import Sighting
from molecule_approve.errors import RejectedError, UnavailableError
from molecule_approve.model import Outcome
from molecule_approve.proofs.canonical import canonical
from molecule_approve.proofs.enrolled import EnrolledKey
from molecule_approve.proofs.keys_file import KeyRing
from molecule_approve.proofs.passkey import Passkey
from molecule_approve.proofs.presence import Presence
from tests.client.fakes import OTHER, OURS, row, submitted
from tests.gate.scene import Scene, shows
from tests.proofs.notary import Notary, subject_of
from tests.proofs.signing import SoftwareHardwareKey

if TYPE_CHECKING:
    from molecule_approve.model import JsonValue, Verdict

    Receipt = dict[str, JsonValue]

NOTARY = Notary()
APPROVED = row("approved", "alice")


@pytest.fixture
def scene() -> Iterator[Scene]:
    """A gate that holds alice's and bo's keys, of which one is enough; alice approves what was sent."""
    with TemporaryDirectory(prefix="ma-") as folder:
        made = Scene(Path(folder))
        made.keys = NOTARY.ring()
        made.contract.shows = shows(APPROVED)
        made.contract.receipts = [lambda: good(made)]
        yield made


def good(scene: Scene) -> Receipt:
    """The receipt of what was sent first."""
    sent = scene.contract.sent[0]
    return NOTARY.receipt(subject_of(sent, OURS), sent.context)


def test_a_receipt_that_proves_it_leads_to_an_approval(scene: Scene) -> None:
    """It is kept beside the log under its hash, which the record has; also what was asked is in the log."""
    verdict = scene.request()
    assert (verdict.outcome, verdict.error) == (Outcome.APPROVED, None)
    digest = str(scene.ending["receipt_sha256"])
    kept = receipt_path(scene.path, digest)
    assert hashlib.sha256(kept.read_bytes()).hexdigest() == digest
    assert kept.read_bytes() == canonical(json.loads(kept.read_bytes())) + b"\n"
    assert [kept.stat().st_mode & 0o777, kept.parent.stat().st_mode & 0o777] == [0o600, 0o700]
    assert len(str(scene.records[1]["asked_sha256"])) == 64
    assert scene.calls.index("gives") < scene.calls.index("submit")


def test_without_keys_nothing_is_demanded(scene: Scene) -> None:
    """No receipt is fetched, and no record speaks of one."""
    scene.keys = None
    assert scene.request().approved
    assert {"gives", "receipt"} & set(scene.calls) == set()
    assert "sha256" not in scene.path.read_text()


def told(
    **fields: object,
) -> Callable[[Scene], Receipt]:
    """A receipt about a subject with these fields, which alice signed."""

    def made(scene: Scene) -> Receipt:
        sent = scene.contract.sent[0]
        return NOTARY.receipt(subject_of(sent, OURS, **fields), sent.context)

    return made


def _other_context(scene: Scene) -> Receipt:
    sent = replace(scene.contract.sent[0], context={"host": "elsewhere"})
    return NOTARY.receipt(subject_of(sent, OURS), sent.context)


def _context_beside(scene: Scene) -> Receipt:
    return NOTARY.receipt(subject_of(scene.contract.sent[0], OURS), {"host": "elsewhere"})


def _by_a_stranger(scene: Scene) -> Receipt:
    sent = scene.contract.sent[0]
    subject = subject_of(sent, OURS)
    return NOTARY.receipt(subject, sent.context, [NOTARY.decision(subject, "alice", SoftwareHardwareKey())])


def _by_nobody(scene: Scene) -> Receipt:
    sent = scene.contract.sent[0]
    return NOTARY.receipt(subject_of(sent, OURS), sent.context, [])


def _denied(scene: Scene) -> Receipt:
    sent = scene.contract.sent[0]
    return NOTARY.receipt(subject_of(sent, OURS), sent.context, status="denied")


def _unsigned(scene: Scene) -> Receipt:
    return {**good(scene), "ended_at": "2026-11-28T23:00:00.000000Z"}


def _too_large(scene: Scene) -> Receipt:
    return {**good(scene), "ended_at": "x" * (1 << 20)}


LIES: dict[str, tuple[Callable[[Scene], Receipt], str]] = {
    "another request": (told(request=OTHER), "it is about another request"),
    "another workspace": (told(workspace="w"), "it is about another action"),
    "another action": (told(action="drop it"), "it is about another action"),
    "another task": (told(task="t"), "it is about another task"),
    "another reason": (told(reason="fun"), "it is about another reason or context"),
    "another context": (_other_context, "it is about another reason or context"),
    "the context of another": (_context_beside, "the context is the one that was decided on"),
    "a key of its own": (_by_a_stranger, "0 of 1 approvals are proven: nobody"),
    "by nobody": (_by_nobody, "0 of 1 approvals are proven: nobody"),
    "denied": (_denied, "the request was denied, as the server says"),
    "not signed": (_unsigned, "the server's signature does not fit the receipt"),
    "another server": (told(server="elsewhere"), "made at another server"),
    "not a receipt": (lambda _: {}, "it cannot be read: it is not"),
    "no canonical form": (lambda _: {"type": "\ud800"}, "it cannot be read: "),
    "too large": (_too_large, "it cannot be read: it is larger than"),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_receipt_that_proves_something_else_is_no_approval(scene: Scene, lie: str) -> None:
    """The verdict, the log and the reason agree; the approval is used up, and no receipt is kept."""
    made, sentence = LIES[lie]
    scene.contract.receipts = [lambda: made(scene)]
    _is_unproven(scene, scene.request(), sentence)


def _is_unproven(scene: Scene, verdict: Verdict, sentence: str) -> None:
    assert (verdict.outcome, verdict.approval_id, verdict.recorded) == (Outcome.FAILED, OURS, True)
    assert verdict.error is not None
    assert (verdict.error.kind, sentence in verdict.error.message) == ("receipt", True), verdict.error
    ending = scene.ending
    assert (ending["outcome"], ending["reason"], ending["error"]) == ("failure", "receipt", verdict.error.message)
    assert "which is used up" in verdict.error.message
    assert not (scene.path.parent / f".{scene.path.name}.private" / "receipts").exists()
    assert scene.contract.taken_back == []


def test_one_approval_too_few_is_none(scene: Scene) -> None:
    """The file asks for two people: one, or the same one twice, are not enough, whatever the server's rule says."""
    scene.keys = NOTARY.ring(2)
    _is_unproven(scene, scene.request(), "1 of 2 approvals are proven: alice")


def test_one_person_twice_counts_once(scene: Scene) -> None:
    """With another spelling of the name, too."""
    scene.keys = NOTARY.ring(2)

    def twice() -> Receipt:
        sent = scene.contract.sent[0]
        subject = subject_of(sent, OURS)
        again = NOTARY.decision(subject, "ALICE", NOTARY.keys["alice"])
        return NOTARY.receipt(subject, sent.context, [NOTARY.decision(subject, "alice"), again])

    scene.contract.receipts = [twice]
    _is_unproven(scene, scene.request(), "1 of 2 approvals are proven: ALICE")


def test_a_platform_without_receipts_is_asked_nothing(scene: Scene) -> None:
    """It is refused before anything is sent."""
    scene.contract.gives = [False]
    verdict = scene.request()
    assert verdict.error is not None
    assert (verdict.outcome, verdict.error.kind) == (Outcome.FAILED, "platform")
    assert "gives no receipts" in verdict.error.message
    assert "submit" not in scene.calls


def test_a_receipt_that_cannot_be_fetched_is_no_approval(scene: Scene) -> None:
    """Its error is in the message; one that may pass is tried again."""
    scene.contract.receipts = [RejectedError("the platform refused it", status=409)]
    _is_unproven(scene, scene.request(), "could not be fetched: the platform refused it")


def test_a_fault_that_passes_does_not_cost_the_approval(scene: Scene) -> None:
    """The platform was away for a moment."""
    scene.contract.receipts = [UnavailableError("it is away"), lambda: good(scene)]
    assert scene.request().approved
    assert scene.calls.count("receipt") == 2


def test_a_key_that_is_none_ends_the_wait(scene: Scene) -> None:
    """It is found while nobody has decided yet, and the request is withdrawn."""
    broken = EnrolledKey("cy", Passkey("localhost", ("http://localhost",), "AAAA", "AAAA"), Presence.REQUIRED)
    scene.keys = KeyRing(1, (broken,))
    scene.contract.shows = shows(row())
    verdict = scene.request()
    assert verdict.error is not None
    assert (verdict.outcome, verdict.error.kind) == (Outcome.FAILED, "configuration")
    assert "of cy: the passkey's public key is malformed" in verdict.error.message
    assert scene.contract.taken_back == [OURS]


def test_a_receipt_that_cannot_be_kept_is_no_approval(scene: Scene) -> None:
    """Else the record would name what nobody has."""
    folder = scene.path.parent / f".{scene.path.name}.private"
    folder.mkdir(mode=0o700)
    (folder / "receipts").touch()
    verdict = scene.request()
    assert verdict.error is not None
    assert (verdict.outcome, verdict.error.kind) == (Outcome.FAILED, "audit")


# --- earlier requests --------------------------------------------------------------------------------------------------


def _asked_before(scene: Scene) -> None:
    """A request that did not wait."""
    assert scene.request(wait=False).outcome is Outcome.PENDING


def test_an_earlier_request_is_known_from_the_log(scene: Scene) -> None:
    """``wait`` accepts what was asked then, with its context and its log's head, and nothing else."""
    _asked_before(scene)
    assert scene.resume().approved


@pytest.mark.parametrize("lie", ["another reason", "another context", "another task"])
def test_an_earlier_request_is_that_very_one(scene: Scene, lie: str) -> None:
    """Another reason, context or task than those in the log is another request."""
    _asked_before(scene)
    made, sentence = LIES[lie]
    scene.contract.receipts = [lambda: made(scene)]
    verdict = scene.resume()
    assert verdict.error is not None
    assert (verdict.error.kind, sentence in verdict.error.message) == ("receipt", True)


def test_an_earlier_request_that_the_log_does_not_know_is_not_waited_for(scene: Scene) -> None:
    """Nothing is read of it: no receipt could prove what nobody here remembers."""
    verdict = scene.resume()
    assert verdict.error is not None
    assert (verdict.error.kind, "does not say what request" in verdict.error.message) == ("receipt", True)
    assert "fetch" not in scene.calls


def test_the_request_of_an_earlier_call_with_the_same_key_counts(scene: Scene) -> None:
    """Its context is the earlier one, and the log knows that; so an agent's hook finds its answer."""
    scene.asked = replace(scene.asked, idempotency_key="k")
    _asked_before(scene)
    scene.contract.submits = [submitted(own=False)]
    assert scene.request().approved


def test_without_a_key_the_log_does_not_speak_for_an_old_request(scene: Scene) -> None:
    """A server that gives a new request an old one's id, and shows that one's receipt, gets no approval."""
    _asked_before(scene)
    scene.asked = replace(scene.asked, task_id=OTHER)
    scene.contract.submits = [submitted(task_id=OTHER)]
    scene.contract.shows = [Sighting(replace(APPROVED, task_id=OTHER))]
    verdict = scene.request()
    assert verdict.error is not None
    assert "it is about another task" in verdict.error.message
