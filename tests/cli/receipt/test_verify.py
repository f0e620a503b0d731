"""``receipt verify``: offline, against keys that one keeps."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from molecule_approve.proofs.keys_file import key_line
from molecule_approve.proofs.passkey import encode
from tests.proofs.test_receipt import AUTHENTICATOR, GOOD, RING, SERVER_KEY, SUBJECT, written

if TYPE_CHECKING:
    from tests.callers import Caller

KEYS = "\n".join(["approvals 2", f"server {SUBJECT.server} {encode(SERVER_KEY)}", *map(key_line, RING.keys)])


@pytest.fixture
def files(caller: Caller) -> tuple[str, str]:
    """A good receipt, and the keys that it holds by; the platform cannot be reached."""
    caller.set(PLATFORM_URL="http://127.0.0.1:9")
    receipt, keys = caller.folder / "receipt.json", caller.folder / "approvers.keys"
    receipt.write_bytes(written(GOOD))
    keys.write_text(KEYS)
    return str(receipt), str(keys)


def test_a_good_receipt_holds(caller: Caller, files: tuple[str, str]) -> None:
    """0, a sentence for each check, and what it is about."""
    receipt, keys = files
    told = caller.main("receipt", "verify", receipt, "--approvers", keys)
    assert (told.code, told.err) == (0, "")
    lines = told.out.splitlines()
    assert lines[0] == "the receipt holds"
    assert f"ok: it is signed by the server that is listed: {SUBJECT.server}" in lines
    assert "ok: 2 of 2 approvals are proven: alice, bo" in lines
    assert (
        lines[-2:]
        == [
            f"request: {SUBJECT.request}, of workspace {SUBJECT.workspace}",
            f"action: {SUBJECT.action.splitlines()[0]}",
        ]
        or SUBJECT.action.splitlines()[0] in lines[-1]
    )
    answer = caller.main("receipt", "verify", receipt, "--approvers", keys, "--json")
    found = json.loads(answer.out)
    assert (answer.code, found["holds"], found["subject"]["request"]) == (0, True, SUBJECT.request)
    assert found["receipt_sha256"] == hashlib.sha256(Path(receipt).read_bytes()).hexdigest()
    assert {"passed": True, "sentence": "2 of 2 approvals are proven: alice, bo"} in found["checks"]


def test_one_that_proves_too_little_does_not(caller: Caller, files: tuple[str, str]) -> None:
    """65, with the approvals that count and those that do not."""
    receipt, keys = files
    Path(keys).write_text(KEYS.replace("\nbo ", "\ncarol "))
    told = caller.main("receipt", "verify", receipt, "--approvers", keys)
    assert told.code == 65
    assert told.out.startswith("the receipt does not hold\n")
    assert "ok: the approval by bo does not count: no key of this approver is listed" in told.out
    assert "failed: 1 of 2 approvals are proven: alice" in told.out
    found = json.loads(caller.main("receipt", "verify", receipt, "--approvers", keys, "--json").out)
    assert found["holds"] is False


def test_what_is_not_a_receipt_does_not_hold(caller: Caller, files: tuple[str, str]) -> None:
    """65: it is no evidence."""
    receipt, keys = files
    Path(receipt).write_text("{}")
    told = caller.main("receipt", "verify", receipt, "--approvers", keys)
    assert told.code == 65
    assert "failed: it cannot be read as a receipt" in told.out
    assert json.loads(caller.main("receipt", "verify", receipt, "--approvers", keys, "--json").out)["subject"] is None


def test_what_cannot_be_read_is_not_checked(caller: Caller, files: tuple[str, str]) -> None:
    """125: either file is missing, or the keys are none; with --json there is one object all the same."""
    receipt, keys = files
    missing = str(caller.folder / "missing")
    for wanted in ((missing, keys), (receipt, missing), (receipt, receipt)):
        told = caller.main("receipt", "verify", wanted[0], "--approvers", wanted[1], "--json")
        assert told.code == 125
        found = json.loads(told.out)
        assert (found["holds"], bool(found["error"]["message"])) == (None, True)
    (caller.folder / "no.keys").write_text(KEYS.replace(AUTHENTICATOR.passkey.public_key, "AAAA"))
    told = caller.main("receipt", "verify", receipt, "--approvers", str(caller.folder / "no.keys"))
    assert told.code == 125
    assert "of bo: the passkey's public key is malformed" in told.err
