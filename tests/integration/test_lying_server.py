"""A server that lies in whatever way never gets 0 out of a program that holds keys; nor does a database changed by hand."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from molecule_approve.audit.receipts import receipt_path
from molecule_approve.proofs.keys_file import key_line
from molecule_approve.proofs.passkey import encode
from tests.cli.hook.hosts import event
from tests.integration.lying_server import LyingServer
from tests.integration.raw_http import Reply
from tests.proofs.notary import AT, SERVER, Notary, subject_of
from tests.proofs.signing import SoftwareHardwareKey
from tests.server.desk import desk_of
from tests.server.signer import Signer

if TYPE_CHECKING:
    from molecule_approve.model import ApprovalRequest
    from molecule_approve.server.run import Running
    from tests.callers import Caller, Told
    from tests.integration.fake_platform import FakePlatform
    from tests.integration.lying_server import Lie

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="the file of keys has to be root's")

NOTARY = Notary()
ACTION = "drop the staging database"
PACE = ("--transport", "poll", "--poll-interval", "1", "--timeout", "5")
Receipt = dict[str, Any]


def holds(caller: Caller, *lines: str) -> None:
    """Let this machine keep these keys."""
    path = caller.folder / "approvers.keys"
    path.write_text("\n".join(lines))
    path.chmod(0o644)
    caller.configure(f"approve: {{approver_keys: {path}}}")


def lines(approvals: int = 1) -> list[str]:
    """The notary's people, of whom so many have to have signed."""
    return [f"approvals {approvals}", *map(key_line, NOTARY.ring().keys)]


def honest(asked: ApprovalRequest, approval_id: str) -> Receipt:
    """What alice signed, about this very request."""
    return NOTARY.receipt(subject_of(asked, approval_id), asked.context)


@pytest.fixture
def liar(caller: Caller) -> Iterator[LyingServer]:
    """The server of a caller who holds the keys of alice and bo."""
    holds(caller, *lines())
    with LyingServer(honest) as found:
        caller.set(PLATFORM_URL=found.url, WORKSPACE_ID="w", MOLECULE_TOKEN="t")
        yield found


def asks(caller: Caller, *options: str) -> Told:
    """Ask, as a script does."""
    return caller.run("request", "--json", *PACE, *options, "--", ACTION)


def is_refused(caller: Caller, told: Told, sentence: str, kind: str = "receipt", reason: str = "receipt") -> None:
    """The exit code, the JSON and the log say the same no."""
    assert told.code == 125, told
    error = told.object["error"]
    assert (told.object["outcome"], told.object["approved"], error["kind"]) == ("failed", False, kind), error
    assert sentence in error["message"]
    ending = caller.records()[-1]
    assert (ending["outcome"], ending["reason"], ending["error"]) == ("failure", reason, error["message"])


def test_a_server_that_tells_the_truth_gets_its_yes(caller: Caller, liar: LyingServer) -> None:
    """With the receipt beside the log; so it is the lies below that are refused."""
    told = asks(caller)
    assert (told.code, told.object["outcome"]) == (0, "approved")
    granted = caller.records()[-1]
    assert json.loads(receipt_path(caller.log, granted["receipt_sha256"]).read_bytes())["subject"]["action"] == ACTION
    again = caller.run("wait", "--json", "--transport", "poll", "--timeout", "5", liar.approval_id)
    assert (again.code, again.object["error"]["kind"]) == (125, "already_used")


def changed(**fields: object) -> Lie:
    """Alice's signature is about a subject with these fields."""
    return lambda asked, found: NOTARY.receipt(subject_of(asked, found, **fields), asked.context)


def elsewhere(asked: ApprovalRequest, approval_id: str) -> Receipt:
    """Alice saw another context, in which it looked harmless."""
    seen = replace(asked, context={"host": "a test machine"})
    return NOTARY.receipt(subject_of(seen, approval_id), seen.context)


def without_proofs(asked: ApprovalRequest, approval_id: str) -> Receipt:
    """The server says that alice approved, and nothing proves it."""
    subject = subject_of(asked, approval_id)
    said = NOTARY.decision(subject, "alice")._replace(statement=None, proof=None)
    return NOTARY.receipt(subject, asked.context, [said])


def under_anothers_name(asked: ApprovalRequest, approval_id: str) -> Receipt:
    """Alice's signature, shown as bo's."""
    subject = subject_of(asked, approval_id)
    return NOTARY.receipt(subject, asked.context, [NOTARY.decision(subject, "alice")._replace(by="bo")])


def of_its_own_key(asked: ApprovalRequest, approval_id: str) -> Receipt:
    """A key that the server made, and calls alice's."""
    subject = subject_of(asked, approval_id)
    return NOTARY.receipt(subject, asked.context, [NOTARY.decision(subject, "alice", SoftwareHardwareKey())])


def untouched(asked: ApprovalRequest, approval_id: str) -> Receipt:
    """Alice's key, which nobody touched."""
    subject, key = subject_of(asked, approval_id), NOTARY.keys["alice"]
    key.flags = 0
    try:
        return NOTARY.receipt(subject, asked.context, [NOTARY.decision(subject, "alice")])
    finally:
        key.flags = 0x05


def of_a_denial(asked: ApprovalRequest, approval_id: str) -> Receipt:
    """Bo said no, and the server calls it approved."""
    subject = subject_of(asked, approval_id)
    no = NOTARY.decision(subject, "bo")._replace(decision="denied")
    return NOTARY.receipt(subject, asked.context, [NOTARY.decision(subject, "alice"), no])


def with_another_action_beside(asked: ApprovalRequest, approval_id: str) -> Receipt:
    """The statement is about a harmless action; the receipt's own subject is about ours."""
    subject = subject_of(asked, approval_id)
    return NOTARY.receipt(subject, asked.context, [NOTARY.decision(replace(subject, action="list"), "alice")])


NOBODY = "0 of 1 approvals are proven: nobody"
LIES: dict[str, tuple[Lie, str]] = {
    "no receipt": (lambda *_: Reply(404, b'{"error":"none"}'), "could not be fetched"),
    "no proofs": (without_proofs, NOBODY),
    "no decisions": (lambda asked, found: NOTARY.receipt(subject_of(asked, found), asked.context, []), NOBODY),
    "somebody else's": (under_anothers_name, NOBODY),
    "a key of its own": (of_its_own_key, NOBODY),
    "a key that nobody touched": (untouched, NOBODY),
    "a denial": (of_a_denial, "bo denied the request"),
    "another action's": (changed(action="list the tables"), "it is about another action"),
    "another action's statement": (with_another_action_beside, NOBODY),
    "another request's": (changed(request="another"), "it is about another request"),
    "another task's": (changed(task="another"), "it is about another task"),
    "another workspace's": (changed(workspace="another"), "it is about another action"),
    "another reason's": (changed(reason="a drill"), "another reason or context"),
    "another context's": (elsewhere, "another reason or context"),
    "another server's": (changed(server="another"), "made at another server"),
    "malformed": (lambda *_: {"type": "x"}, "it cannot be read"),
    "no JSON": (lambda *_: Reply(200, b"yes", (("X-Molecule-Server", "embedded"),)), "could not be fetched"),
    "too large": (lambda *_: {"type": "x" * (1 << 21)}, "could not be fetched"),
    "slow": (lambda *_: None, "could not be fetched"),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_is_never_a_yes(caller: Caller, liar: LyingServer, lie: str) -> None:
    """125 with the sentence of what does not hold, in the answer and in the log."""
    liar.lie, sentence = LIES[lie]
    is_refused(caller, asks(caller), sentence)


@pytest.mark.parametrize("key", [(), ("--idempotency-key", "deploy-7")], ids=["no key", "the same key"])
def test_an_old_approval_is_never_a_new_one(caller: Caller, liar: LyingServer, key: tuple[str, ...]) -> None:
    """The server gives the same id once more, and shows what alice signed for the same action before.

    Also to another log, which does not know that it was used; and whatever key the requests share.
    """
    assert asks(caller, *key).code == 0
    assert liar.asked is not None
    old = honest(liar.asked, liar.approval_id)
    liar.lie = lambda *_: old
    again = asks(caller, *key)
    assert (again.code, again.object["error"]["kind"]) == (125, "already_used" if key else "receipt")
    caller.set(AUDIT_LOG_PATH=str(caller.folder / "another.jsonl"))
    elsewhere = asks(caller, *key)
    assert (elsewhere.code, elsewhere.object["error"]["kind"]) == (125, "receipt")


@pytest.mark.parametrize("names", [("alice",), ("alice", "alice"), ("alice", "ALICE")], ids=["one", "twice", "spelt"])
def test_one_too_few_is_none(caller: Caller, liar: LyingServer, names: tuple[str, ...]) -> None:
    """The keys file asks for two people; the server's own rule says one."""
    holds(caller, *lines(2))

    def lie(asked: ApprovalRequest, approval_id: str) -> Receipt:
        subject = subject_of(asked, approval_id)
        said = [NOTARY.decision(subject, name, NOTARY.keys["alice"]) for name in names]
        return NOTARY.receipt(subject, asked.context, said)

    liar.lie = lie
    is_refused(caller, asks(caller), "1 of 2 approvals are proven")


def test_a_second_approval_cannot_be_left_out(caller: Caller, liar: LyingServer) -> None:
    """The file is content with one; what alice signed says that two have to approve."""
    liar.lie = changed(approvals=2)
    is_refused(caller, asks(caller), "1 of 2 approvals are proven: alice")


def test_a_listed_server_is_that_one(caller: Caller, liar: LyingServer) -> None:
    """Another one with its id, and a key of its own, is none."""
    other = Notary().server.public_key().public_bytes_raw()
    holds(caller, f"server {SERVER} {encode(other)}", *lines())
    is_refused(caller, asks(caller), "or by another key than")


def test_a_platform_without_receipts_is_asked_nothing(caller: Caller, platform: FakePlatform) -> None:
    """The Molecule platform is refused before anything is sent."""
    holds(caller, *lines())
    is_refused(caller, asks(caller), "gives no receipts", "platform", "submit_failed")
    assert platform.rows == []


@pytest.mark.parametrize("way", ["run", "wait", "hook", "api"])
def test_no_other_way_leads_past_the_keys(caller: Caller, liar: LyingServer, way: str) -> None:
    """A command does not run, a hook blocks, and Python gets no approval."""
    liar.lie = of_its_own_key
    mark = caller.folder / "ran"
    if way == "run":
        assert caller.run("run", "--transport", "poll", "--timeout", "5", "--", "touch", str(mark)).code == 125
    elif way == "wait":
        assert asks(caller, "--no-wait").code == 8
        told = caller.run("wait", "--json", "--transport", "poll", "--timeout", "5", liar.approval_id)
        is_refused(caller, told, NOBODY)
    elif way == "hook":
        (caller.folder / "event").write_text(json.dumps(event("claude-code")))
        with (caller.folder / "event").open() as stdin:
            told = caller.run("hook", "claude-code", stdin=stdin)
        assert told.code == 2
        assert json.loads(told.out)["hookSpecificOutput"]["permissionDecision"] == "deny"
    else:
        script = "import molecule_approve as m; v = m.request_approval_sync('x', timeout=5); print(v.approved, v.error.kind)"
        told = caller.run("-c", script, program=(sys.executable,))
        assert told.out == "False receipt\n", told.err
    assert not mark.exists()
    assert "granted" not in [record["outcome"] for record in caller.records()]


@pytest.mark.parametrize("place", ["file", "folder"])
def test_keys_that_somebody_else_could_have_written_refuse_before_asking(
    caller: Caller, liar: LyingServer, place: str
) -> None:
    """The server hears nothing."""
    path = caller.folder / "approvers.keys"
    (path if place == "file" else path.parent).chmod(0o757)
    told = asks(caller)
    path.parent.chmod(0o700)
    assert (told.code, told.object["error"]["kind"]) == (125, "configuration")
    assert "is not only root's" in told.object["error"]["message"]
    assert liar.routes == []


def test_without_the_setting_nothing_is_loaded(caller: Caller, liar: LyingServer) -> None:
    """Neither the library that verifies, nor the code of receipts; with it, both."""
    script = (
        "import sys; from molecule_approve.cli.main import main; code = main(sys.argv[1:]); "
        "print(code, sorted(n for n in sys.modules if n == 'cryptography' or n.endswith('receipts')), file=sys.stderr)"
    )
    words = ("-c", script, "request", "--transport", "poll", "--timeout", "5", "--", ACTION)
    said = [caller.run(*words, program=(sys.executable,)).err]
    caller.configure("approve: {}")
    said.append(caller.run(*words, program=(sys.executable,)).err)
    assert "0 ['cryptography', 'molecule_approve.audit.receipts', 'molecule_approve.gate.receipts']" in said[0]
    assert "0 []" in said[1]


# --- a real server, whose database an agent can write -------------------------------------------------------------------


@pytest.fixture
def real(caller: Caller, live_server: Running) -> Iterator[Caller]:
    """A caller at a server of their own, with alice's key, which this machine keeps too."""
    requester = live_server.requester
    caller.set(PLATFORM_URL=live_server.url, WORKSPACE_ID=requester.workspace_id, MOLECULE_TOKEN=requester.token)
    with desk_of(live_server) as desk:
        yield replace(caller, desk=desk)


Change = Callable[["Caller", str, str], None]
"""What is done to the database while the request waits, of which there is an approved one before."""


def by_hand(caller: Caller, _earlier: str, approval_id: str) -> None:
    """The row says approved by alice."""
    caller.desk.change(
        "UPDATE approvals SET status = 'approved', decided_by = 'alice', verified = ?, decided_at = ? WHERE id = ?",
        True,
        AT,
        approval_id,
    )


def with_earlier_proofs(caller: Caller, earlier: str, approval_id: str) -> None:
    """The earlier request's decision and its rule are moved to this one."""
    caller.desk.change("UPDATE decisions SET approval_id = ? WHERE approval_id = ?", approval_id, earlier)
    ((requirement,),) = caller.desk.select("SELECT requirement FROM approvals WHERE id = ?", earlier)
    caller.desk.change("UPDATE approvals SET requirement = ? WHERE id = ?", requirement, approval_id)
    by_hand(caller, earlier, approval_id)


def with_another_rule(caller: Caller, _earlier: str, approval_id: str) -> None:
    """One approval is enough now, where the file asks for two."""
    Signer(caller.desk, "alice").decide(approval_id)


CHANGES: dict[str, tuple[Change, int, str]] = {
    "approved": (by_hand, 1, NOBODY),
    "earlier proofs": (with_earlier_proofs, 1, NOBODY),
    "another rule": (with_another_rule, 2, "of 2 approvals are proven"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_database_changed_by_hand_is_no_yes(real: Caller, name: str) -> None:
    """Whatever stands in it, nobody's key signed this very request as often as it has to be."""
    change, number, sentence = CHANGES[name]
    alice = Signer(real.desk, "alice")
    earlier = real.desk.ask(ACTION)
    alice.decide(earlier)
    real.desk.server.add_approver("bo")
    holds(real, f"approvals {number}", alice.line, Signer(real.desk, "bo").line)
    with real.answering(ACTION, lambda approval_id: change(real, earlier, approval_id)):
        told = asks(real)
    is_refused(real, told, sentence)


@pytest.mark.parametrize("way", ["request", "run"])
def test_signatures_of_those_who_are_listed_lead_to_a_yes(real: Caller, way: str) -> None:
    """By both; what it runs, runs, and the record names the receipt, which holds by the same file."""
    alice = Signer(real.desk, "alice")
    holds(real, "approvals 1", alice.line)
    pace = ("--transport", "websocket", "--timeout", "15")
    words = ("request", *pace, "--", ACTION) if way == "request" else ("run", *pace, "--", "touch", str(real.folder / "ran"))
    with real.start(*words) as process:
        approval_id = real.requested()
        assert alice.decide(approval_id).json()["status"] == "approved"
        assert process.wait(15) == 0
    assert (real.folder / "ran").exists() is (way == "run")
    granted = next(record for record in real.records() if record["outcome"] == "granted")
    kept = receipt_path(real.log, granted["receipt_sha256"])
    keys = Path(real.folder / "approvers.keys")
    assert real.main("receipt", "verify", str(kept), "--approvers", str(keys)).code == 0
